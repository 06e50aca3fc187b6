// Package statement reads the files that are reconciled: our ledger's export and
// the institutions' statements. It opens a file (plain, gzip, zstd or Parquet),
// hands out blocks of whole lines to any number of workers, and turns a line
// into a Row without allocating.
//
// To add an institution's format, write it down in formats/ (see the README there). Only
// what cannot be described needs code: implement Format, Layout and Parser, and list the
// format in Shipped; everything else works on Rows.
package statement

import (
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"

	"dcpos/pos"
)

// Limits of what a line may hold. They bound the memory that any input can ask for.
const (
	MaxLine  = 64 << 10 // bytes of one line, without its end
	MaxTxnID = 64       // bytes of a txn_id
	MaxField = 128      // bytes of a bank, merchant or terminal
)

// The statuses of a line. A refund is a line of its own with its own txn_id.
const (
	Success = 'S'
	Failed  = 'F'
	Pending = 'P'
	Refund  = 'R'
)

// Row is one line of a statement. Its slices point into the block that the line
// came from and are good until the worker reads its next block.
type Row struct {
	At       int64 // where the line begins in the file's text; set before Parse
	Skip     bool  // the line is a title or a trailer, not a line of the statement
	TxnID    []byte
	Merchant []byte
	Terminal []byte
	Bank     []byte
	Amount   pos.Money // never negative
	Fee      pos.Money // may be negative: a fee given back
	Status   byte      // Success, Failed, Pending or Refund
	Orig     []byte    // of a refund: the payment's txn_id; empty where the format does not say
	Batch    []byte    // settlement batch; empty where the format does not say
	Day      int32     // settlement date as yyyymmdd: the column, else the date of ts in Asia/Shanghai

	stamp []byte // the time, not taken apart yet
	clock int    // where there is no stamp: hhmmss, and 1,000,000 more so that 0 is "not known"
}

// Parser turns one line (without its LF) into a Row. It is used by one worker at a time.
type Parser interface {
	// Parse fills row or says what is wrong with the line; it never keeps line.
	Parse(line []byte, row *Row) *Fault
}

// Format is a way to write a statement.
type Format interface {
	// Name is what follows @ in FILE@FORMAT.
	Name() string
	// Header checks the first line of a file and says how to read the lines after it.
	Header(line []byte) (Layout, *Fault)
}

// Layout reads the lines of one file.
type Layout interface {
	// NewParser makes a parser for one worker.
	NewParser() Parser
	// Verify is asked once, after every line was parsed: is the file whole?
	Verify() *Fault
}

// Shipped lists the formats of this program, the default first: the house's own, and
// those of the institutions, which are data.
func Shipped() ([]Format, error) {
	formats := []Format{dcposCSV{}}
	all, err := Descriptions()
	for _, d := range all {
		formats = append(formats, d.format())
	}
	return formats, err
}

// Source is one input file and the format it is written in ("" is the default).
type Source struct {
	Path   string
	Format string
}

var formatName = regexp.MustCompile(`^[A-Za-z0-9_-]+$`)

// ParseSource reads FILE or FILE@FORMAT. A name that exists as it stands is a
// file, whatever it holds; an ending that cannot be a format's name is part of the file's name.
func ParseSource(arg string) (Source, error) {
	at := strings.LastIndexByte(arg, '@')
	if at < 0 || !formatName.MatchString(arg[at+1:]) {
		return Source{Path: arg}, nil
	}
	if _, err := os.Stat(arg); err == nil {
		return Source{Path: arg}, nil
	}
	src := Source{Path: arg[:at], Format: arg[at+1:]}
	_, err := src.format()
	return src, err
}

func (s Source) format() (Format, error) {
	shipped, err := Shipped()
	if err != nil {
		return nil, err
	}
	if s.Format == "" {
		return shipped[0], nil
	}
	names := make([]string, len(shipped))
	for i, f := range shipped {
		names[i] = f.Name()
	}
	if i := slices.Index(names, s.Format); i >= 0 {
		return shipped[i], nil
	}
	known := strings.Join(names, ", ")
	return nil, &InputError{File: s.Path, Why: pos.Text{
		EN: fmt.Sprintf("unknown statement format %q; known: %s", s.Format, known),
		ZH: fmt.Sprintf("未知的对账单格式 %q;已知:%s", s.Format, known),
	}}
}
