package statement

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/parquet-go/parquet-go"
	"github.com/parquet-go/parquet-go/format"
)

// parquetText reads a Parquet file row by row as the text of the dcpos CSV, so
// that every check of a line is made in one place. Columns are found by name.
type parquetText struct {
	rows    []parquet.Row
	groups  []parquet.RowGroup
	metas   []format.RowGroup // of groups
	bounds  *parquetBounds
	current parquet.Rows
	columns []parquetColumn
	// optional are the leaf columns that may have no value.
	optional []bool
	byIndex  []int // leaf column of the file to index in columns
	line     int64
	total    int64
	size     int64
	read     *atomic.Int64
	out      bytes.Buffer
	scratch  [maxColumns][]byte
}

type parquetColumn struct {
	name   string
	render func(dst []byte, v parquet.Value) []byte
}

// newParquetText opens a file whose pages may have so many bytes (16 MiB at least).
func newParquetText(r io.ReaderAt, size, page int64, read *atomic.Int64) (p *parquetText, err error) {
	defer rescue(&err)
	bounds, err := newParquetBounds(r, size, page)
	if err != nil {
		return nil, err
	}
	file, err := parquet.OpenFile(r, size, parquet.SkipPageIndex(true), parquet.SkipBloomFilters(true))
	if err != nil {
		return nil, noBareEOF(err)
	}
	p = &parquetText{
		rows: make([]parquet.Row, 256), groups: file.RowGroups(), metas: file.Metadata().RowGroups, bounds: bounds,
		total: file.NumRows(), size: size, read: read, line: 1,
	}
	if err := p.bind(file.Schema()); err != nil {
		return nil, err
	}
	for i, c := range p.columns {
		if i > 0 {
			p.out.WriteByte(',')
		}
		p.out.WriteString(c.name)
	}
	p.out.WriteByte('\n')
	return p, nil
}

func (p *parquetText) bind(schema *parquet.Schema) error {
	known := strings.Split(requiredColumns+","+optionalColumns, ",")
	paths := schema.Columns()
	p.byIndex, p.optional = make([]int, len(paths)), make([]bool, len(paths))
	for _, path := range paths {
		if len(path) != 1 || !slices.Contains(known, path[0]) {
			return fmt.Errorf("unknown column %q", strings.Join(path, "."))
		}
	}
	for i, name := range known {
		leaf, ok := schema.Lookup(name)
		if !ok {
			if i < requiredCount {
				return fmt.Errorf("column %s is missing", name)
			}
			continue
		}
		if leaf.MaxRepetitionLevel > 0 {
			return fmt.Errorf("column %s is a list", name)
		}
		render, err := renderer(leaf.Node.Type())
		if err != nil {
			return fmt.Errorf("column %s: %w", name, err)
		}
		p.byIndex[leaf.ColumnIndex], p.optional[leaf.ColumnIndex] = len(p.columns), leaf.MaxDefinitionLevel > 0
		p.columns = append(p.columns, parquetColumn{name, render})
	}
	return nil
}

// Read gives the next bytes of the text.
func (p *parquetText) Read(b []byte) (n int, err error) {
	defer rescue(&err)
	for p.out.Len() == 0 {
		if err := p.fill(); err != nil {
			return 0, err
		}
	}
	return p.out.Read(b)
}

func (p *parquetText) fill() error {
	if p.current == nil {
		if len(p.groups) == 0 {
			p.read.Store(p.size)
			return io.EOF
		}
		if err := p.bounded(&p.metas[0]); err != nil {
			return fmt.Errorf("parquet: %w", noBareEOF(err))
		}
		p.current, p.groups, p.metas = p.groups[0].Rows(), p.groups[1:], p.metas[1:]
	}
	n, err := p.current.ReadRows(p.rows)
	for _, row := range p.rows[:n] {
		p.line++
		if err := p.write(row); err != nil {
			return err
		}
	}
	if p.total > 0 {
		p.read.Store(p.size / p.total * (p.line - 1))
	}
	if errors.Is(err, io.EOF) {
		err = p.current.Close()
		p.current = nil
	}
	if err != nil {
		return fmt.Errorf("parquet: %w", noBareEOF(err))
	}
	return nil
}

// bounded checks a row group before it is read.
func (p *parquetText) bounded(group *format.RowGroup) error {
	if len(group.Columns) != len(p.optional) {
		return fmt.Errorf("a row group has %d columns of %d: %w", len(group.Columns), len(p.optional), errDamagedParquet)
	}
	for i := range group.Columns {
		if err := p.bounds.chunk(&group.Columns[i].MetaData, p.optional[i]); err != nil {
			return fmt.Errorf("column %s: %w", p.columns[p.byIndex[i]].name, err)
		}
	}
	return nil
}

func (p *parquetText) write(row parquet.Row) error {
	length := len(p.columns)
	for _, v := range row {
		i := p.byIndex[v.Column()]
		p.scratch[i] = p.scratch[i][:0]
		if v.IsNull() {
			continue
		}
		p.scratch[i] = p.columns[i].render(p.scratch[i], v)
		if bytes.ContainsAny(p.scratch[i], ",\r\n") {
			return fmt.Errorf("parquet: line %d, column %d (%s): %s holds a comma or a line end",
				p.line, i+1, p.columns[i].name, shown(p.scratch[i]))
		}
		if length += len(p.scratch[i]); length > MaxLine {
			return fmt.Errorf("parquet: line %d is longer than %d bytes", p.line, MaxLine)
		}
	}
	for i := range p.columns {
		if i > 0 {
			p.out.WriteByte(',')
		}
		p.out.Write(p.scratch[i])
	}
	p.out.WriteByte('\n')
	return nil
}

// renderer says how a column's values read as text. Floats are refused: there is
// no exact money in them.
func renderer(t parquet.Type) (func([]byte, parquet.Value) []byte, error) {
	switch t.Kind() {
	case parquet.ByteArray, parquet.FixedLenByteArray:
		return func(dst []byte, v parquet.Value) []byte { return append(dst, v.ByteArray()...) }, nil
	case parquet.Int32, parquet.Int64:
		return intRenderer(t)
	case parquet.Boolean, parquet.Int96, parquet.Float, parquet.Double:
	}
	return nil, fmt.Errorf("type %s cannot be used, want a string or an integer", t)
}

func intRenderer(t parquet.Type) (func([]byte, parquet.Value) []byte, error) {
	per := int64(1)
	if logical := t.LogicalType(); logical != nil {
		switch kind := logical.Value.(type) {
		case *format.DateType:
			return func(dst []byte, v parquet.Value) []byte {
				return time.Unix(int64(v.Int32())*24*3600, 0).UTC().AppendFormat(dst, time.DateOnly)
			}, nil
		case *format.TimestampType:
			switch kind.Unit.Value.(type) {
			case *format.MicroSeconds:
				per = 1e3
			case *format.NanoSeconds:
				per = 1e6
			}
		case *format.IntType:
			if !kind.IsSigned && kind.BitWidth == 64 {
				return func(dst []byte, v parquet.Value) []byte { return strconv.AppendUint(dst, v.Uint64(), 10) }, nil
			}
		case *format.DecimalType:
			return nil, fmt.Errorf("type %s cannot be used, want whole fen", t)
		}
	}
	if t.Kind() == parquet.Int32 {
		return func(dst []byte, v parquet.Value) []byte { return strconv.AppendInt(dst, int64(v.Int32()), 10) }, nil
	}
	return func(dst []byte, v parquet.Value) []byte { return strconv.AppendInt(dst, v.Int64()/per, 10) }, nil
}

// rescue turns a panic of the Parquet library over a damaged file into an error.
func rescue(err *error) {
	if r := recover(); r != nil {
		*err = fmt.Errorf("damaged file: %v", r)
	}
}
