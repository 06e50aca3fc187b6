// Package statement reads the files that are reconciled: our ledger's export and
// the institutions' statements. It opens a file (plain, gzip, zstd or Parquet),
// hands out blocks of whole lines to any number of workers, and turns a line
// into a Row without allocating.
//
// To add a format, implement Format and Parser (one line to one Row) and list
// the format in Shipped; everything else works on Rows.
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
	TxnID    []byte
	Merchant []byte
	Terminal []byte
	Bank     []byte
	Amount   pos.Money // never negative
	Fee      pos.Money // may be negative: a fee given back
	Status   byte      // Success, Failed, Pending or Refund
	Day      int32     // settlement date as yyyymmdd: the column, else the date of ts in Asia/Shanghai
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
	// Header checks the first line of a file and returns a maker of parsers for
	// the lines after it. Every worker makes its own.
	Header(line []byte) (func() Parser, *Fault)
}

// Shipped lists the formats of this program, the default first.
func Shipped() []Format { return []Format{dcposCSV{}} }

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
	shipped := Shipped()
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
