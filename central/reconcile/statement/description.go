package statement

import (
	"bytes"
	"embed"
	"fmt"
	"io/fs"
	"regexp"
	"slices"
	"strings"
	"sync"

	"go.yaml.in/yaml/v3"

	"dcpos/pos"
)

// Described files: the statements of institutions, each a format as data.
//
//go:embed formats/*.yaml
var described embed.FS

// Description is an institution's statement as data (formats/README.md explains the
// keys). A statement has a header line, detail lines and a trailer line; what the
// header and the trailer say about the details is checked.
type Description struct {
	Version   int               `yaml:"version"`
	Name      string            `yaml:"name"` // what follows @ in FILE@FORMAT
	Note      pos.Text          `yaml:"-"`
	NoteZH    string            `yaml:"note_zh"`
	NoteEN    string            `yaml:"note_en"`
	Bank      string            `yaml:"bank"`      // the bank of every line
	Encoding  string            `yaml:"encoding"`  // utf-8, gbk or gb18030
	Delimiter string            `yaml:"delimiter"` // one ASCII character; none for fixed width
	Header    Part              `yaml:"header"`
	Detail    Part              `yaml:"detail"`
	Trailer   Part              `yaml:"trailer"`
	Ignore    []string          `yaml:"ignore"` // marks of lines that say nothing, such as titles
	Status    map[string]string `yaml:"status"` // theirs to S, F, P or R
	CutOver   string            `yaml:"cut_over"`

	cutOver int    // hhmmss
	bank    []byte // Bank
	ignore  [][]byte
}

// Part is one kind of line.
type Part struct {
	Mark    string            `yaml:"mark"`   // how such lines begin
	Fields  int               `yaml:"fields"` // delimited: how many there are
	Bytes   int               `yaml:"bytes"`  // fixed width: how long the line is
	Columns map[string]Column `yaml:"columns"`

	mark []byte // in the file's encoding
}

// Column says where a value is and how it is written.
type Column struct {
	At    int    `yaml:"at"`    // delimited: field from 1; fixed width: byte from 1
	Bytes int    `yaml:"bytes"` // fixed width
	Form  string `yaml:"form"`  // of dates and times, see forms
	Unit  string `yaml:"unit"`  // of money: fen (default) or yuan
	Sign  string `yaml:"sign"`  // of money: leading or trailing; none when absent
	Comma string `yaml:"thousands"`
	After string `yaml:"after"` // the value begins behind this
	Until string `yaml:"until"` // and ends before this
	UUID  bool   `yaml:"uuid"`  // 32 hexadecimal digits of an id that we write with hyphens
}

const (
	descriptionVersion = 1
	maxFields          = 64
)

// The columns that parts may name.
var (
	detailColumns = []string{
		"txn_id", "merchant_id", "terminal_id", "amount", "fee", "status", "date", "time", "settlement_date",
		"orig_txn_id", "batch_no",
	}
	controlColumns = []string{
		"date", "from", "to", "count", "success_count", "refund_count", "amount", "success_amount", "refund_amount",
		"net_amount", "fee",
	}
	forms = []string{"", "yyyyMMdd", "yyyy-MM-dd", "MMdd", "HHmmss", "HH:mm:ss"}
)

var shippedDescriptions = sync.OnceValues(func() ([]*Description, error) {
	names, err := fs.Glob(described, "formats/*.yaml")
	if err != nil {
		return nil, err
	}
	var all []*Description
	for _, name := range names {
		b, err := described.ReadFile(name)
		if err != nil {
			return nil, err
		}
		d, err := ReadDescription(b)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		all = append(all, d)
	}
	return all, nil
})

// Descriptions are the formats that this program knows as data.
func Descriptions() ([]*Description, error) { return shippedDescriptions() }

// ReadDescription reads and checks a description; unknown keys are errors.
func ReadDescription(b []byte) (*Description, error) {
	var d Description
	decoder := yaml.NewDecoder(bytes.NewReader(b))
	decoder.KnownFields(true)
	if err := decoder.Decode(&d); err != nil {
		return nil, fmt.Errorf("read statement format: %w", err)
	}
	d.Note = pos.Text{ZH: d.NoteZH, EN: d.NoteEN}
	if err := d.check(); err != nil {
		return nil, fmt.Errorf("statement format %s: %w", d.Name, err)
	}
	return &d, nil
}

func (d *Description) check() error {
	switch {
	case d.Version != descriptionVersion:
		return fmt.Errorf("version is %d, this program reads %d", d.Version, descriptionVersion)
	case !formatName.MatchString(d.Name) || d.Name == (dcposCSV{}).Name():
		return fmt.Errorf("name %q cannot be used", d.Name)
	case d.NoteZH == "" || d.NoteEN == "":
		return fmt.Errorf("note_zh or note_en is missing")
	case d.Bank == "" || len(d.Bank) > MaxField:
		return fmt.Errorf("bank %q cannot be used", d.Bank)
	case !slices.Contains([]string{"utf-8", "gbk", "gb18030"}, d.Encoding):
		return fmt.Errorf("encoding %q: want utf-8, gbk or gb18030", d.Encoding)
	case len(d.Delimiter) > 1 || strings.ContainsAny(d.Delimiter, "\n\r\x00") || d.Delimiter >= "\x80":
		return fmt.Errorf("delimiter %q: want one ASCII character, or none for fixed width", d.Delimiter)
	case d.Header.Mark == "" || d.Detail.Mark == "" || d.Trailer.Mark == "":
		return fmt.Errorf("header, detail and trailer each want a mark")
	}
	for name, p := range map[string]*Part{"header": &d.Header, "detail": &d.Detail, "trailer": &d.Trailer} {
		known := controlColumns
		if name == "detail" {
			known = detailColumns
		}
		if err := d.checkPart(p, known); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
	}
	if err := d.encodeMarks(); err != nil {
		return err
	}
	return d.checkValues()
}

// encodeMarks writes the marks as the file has them.
func (d *Description) encodeMarks() error {
	d.bank = []byte(d.Bank)
	for _, p := range []*Part{&d.Header, &d.Detail, &d.Trailer} {
		var err error
		if p.mark, err = d.encode(p.Mark); err != nil {
			return fmt.Errorf("mark %q: %w", p.Mark, err)
		}
	}
	for _, mark := range d.Ignore {
		b, err := d.encode(mark)
		if err != nil || len(b) == 0 {
			return fmt.Errorf("ignore %q: want a mark", mark)
		}
		d.ignore = append(d.ignore, b)
	}
	return nil
}

func (d *Description) checkPart(p *Part, known []string) error {
	if d.Delimiter == "" && (p.Bytes < 1 || p.Bytes > MaxLine) || d.Delimiter != "" && (p.Fields < 1 || p.Fields > maxFields) {
		return fmt.Errorf("want bytes (1 to %d) for fixed width, fields (1 to %d) with a delimiter", MaxLine, maxFields)
	}
	for name, c := range p.Columns {
		switch {
		case !slices.Contains(known, name):
			return fmt.Errorf("column %q is not known; known: %s", name, strings.Join(known, ", "))
		case !slices.Contains(forms, c.Form):
			return fmt.Errorf("column %s: form %q is not known; known: %s", name, c.Form, strings.Join(forms[1:], ", "))
		case d.Delimiter != "" && (c.At < 1 || c.At > p.Fields):
			return fmt.Errorf("column %s: field %d is not among 1 to %d", name, c.At, p.Fields)
		case d.Delimiter == "" && (c.At < 1 || c.Bytes < 1 || c.At+c.Bytes-1 > p.Bytes):
			return fmt.Errorf("column %s: bytes %d+%d are not within 1 to %d", name, c.At, c.Bytes, p.Bytes)
		case !slices.Contains([]string{"", "fen", "yuan"}, c.Unit), !slices.Contains([]string{"", "leading", "trailing"}, c.Sign):
			return fmt.Errorf("column %s: unit %q or sign %q is not known", name, c.Unit, c.Sign)
		case len(c.Comma) > 1:
			return fmt.Errorf("column %s: thousands %q: want one character", name, c.Comma)
		}
	}
	return nil
}

var clock = regexp.MustCompile(`^([01][0-9]|2[0-3]):[0-5][0-9]$`)

func (d *Description) checkValues() error {
	for _, name := range []string{"txn_id", "amount", "status", "date"} {
		if _, ok := d.Detail.Columns[name]; !ok {
			return fmt.Errorf("detail: column %s is missing", name)
		}
	}
	if c := d.Detail.Columns["date"]; c.Form == "MMdd" {
		_, one := d.Header.Columns["date"]
		_, from := d.Header.Columns["from"]
		if !one && !from {
			return fmt.Errorf("dates without a year want a date in the header")
		}
	}
	for from, to := range d.Status {
		if len(to) != 1 || !isStatus(to[0]) {
			return fmt.Errorf("status %q: %q is not S, F, P or R", from, to)
		}
	}
	if len(d.Status) == 0 {
		return fmt.Errorf("status is empty")
	}
	if d.CutOver == "" {
		return nil
	}
	if _, ok := d.Detail.Columns["time"]; !ok || !clock.MatchString(d.CutOver) {
		return fmt.Errorf("cut_over %q: want HH:mm, and a time in the details", d.CutOver)
	}
	_, err := fmt.Sscanf(strings.Replace(d.CutOver, ":", "", 1)+"00", "%d", &d.cutOver)
	return err
}
