package statement

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/parquet-go/parquet-go"
	"github.com/parquet-go/parquet-go/compress"
	"github.com/parquet-go/parquet-go/encoding/thrift"
	"github.com/parquet-go/parquet-go/format"
)

type parquetRow struct {
	TxnID    string  `parquet:"txn_id"`
	Merchant *string `parquet:"merchant_id,optional"`
	Terminal string  `parquet:"terminal_id,dict"`
	Bank     string  `parquet:"bank,dict"`
	Amount   int64   `parquet:"amount_fen,delta"`
	Fee      int32   `parquet:"fee_fen"`
	Status   string  `parquet:"status,dict"`
	TS       int64   `parquet:"ts,timestamp"`
}

func parquetFile(tb testing.TB, rows int, options ...parquet.WriterOption) []byte {
	tb.Helper()
	var list []parquetRow
	name := "M1"
	for i := range rows {
		row := parquetRow{
			TxnID: strings.Repeat(string(rune('a'+i%26)), 32), Terminal: "T1", Bank: "ICBC", Amount: int64(i), Fee: -1, Status: "S", TS: 1612962000000,
		}
		if i%3 > 0 {
			row.Merchant = &name
		}
		list = append(list, row)
	}
	var b bytes.Buffer
	if err := parquet.Write(&b, list, options...); err != nil {
		tb.Fatal(err)
	}
	return b.Bytes()
}

// parquetForms are the packagings that are read.
func parquetForms() map[string][]parquet.WriterOption {
	forms := map[string][]parquet.WriterOption{}
	for name, codec := range map[string]compress.Codec{
		"plain": &parquet.Uncompressed, "snappy": &parquet.Snappy, "zstd": &parquet.Zstd, "gzip": &parquet.Gzip,
	} {
		forms[name+" v1"] = []parquet.WriterOption{parquet.Compression(codec), parquet.DataPageVersion(1)}
		forms[name+" v2"] = []parquet.WriterOption{parquet.Compression(codec), parquet.DataPageVersion(2)}
	}
	forms["many groups"] = []parquet.WriterOption{parquet.MaxRowsPerRowGroup(7)}
	return forms
}

// readParquet reads at most so many bytes of the text.
func readParquet(file []byte, most int64) ([]byte, error) {
	var read atomic.Int64
	p, err := newParquetText(bytes.NewReader(file), int64(len(file)), 0, &read)
	if err != nil {
		return nil, err
	}
	return io.ReadAll(io.LimitReader(p, most))
}

func TestParquetIsReadInEveryForm(t *testing.T) {
	want := ""
	for name, options := range parquetForms() {
		text, err := readParquet(parquetFile(t, 100, options...), 1<<20)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if want == "" {
			want = string(text)
		}
		if string(text) != want || strings.Count(want, "\n") != 101 || !strings.Contains(want, "\n"+strings.Repeat("b", 32)+",M1,T1,ICBC,1,-1,S,1612962000000\n") {
			t.Errorf("%s:\n%.300s", name, text)
		}
	}
}

// hostile rewrites the first page of a column with nothing else changed.
func hostile(t *testing.T, column int, options []parquet.WriterOption, change func(h *format.PageHeader, body []byte) []byte) []byte {
	t.Helper()
	file := parquetFile(t, 50, options...)
	const tail = 8
	size := int(binary.LittleEndian.Uint32(file[len(file)-tail:]))
	var protocol thrift.CompactProtocol
	var meta format.FileMetaData
	if err := thrift.Unmarshal(&protocol, file[len(file)-tail-size:len(file)-tail], &meta); err != nil {
		t.Fatal(err)
	}
	m := &meta.RowGroups[0].Columns[column].MetaData
	at := m.DataPageOffset
	head := compact{b: file[at:], elements: 100}
	if head.structure(0); head.bad {
		t.Fatal("no header")
	}
	length := int64(len(file)) - at - int64(len(head.b))
	var h format.PageHeader
	if err := thrift.Unmarshal(&protocol, file[at:at+length], &h); err != nil {
		t.Fatal(err)
	}
	body := change(&h, file[at+length:at+length+int64(h.CompressedPageSize)])
	h.CompressedPageSize, h.CRC = int32(len(body)), 0
	text, err := thrift.Marshal(&protocol, h)
	if err != nil {
		t.Fatal(err)
	}
	out := append([]byte{}, file[:len(file)-tail-size]...)
	m.DataPageOffset, m.DictionaryPageOffset = int64(len(out)), 0
	out = append(append(out, text...), body...)
	m.TotalCompressedSize = int64(len(out)) - m.DataPageOffset
	if text, err = thrift.Marshal(&protocol, meta); err != nil {
		t.Fatal(err)
	}
	out = binary.LittleEndian.AppendUint32(append(out, text...), uint32(len(text)))
	return append(out, "PAR1"...)
}

// TestAHostileParquetFileAsksForNothing: what a small file promises is not what is made room for.
func TestAHostileParquetFileAsksForNothing(t *testing.T) {
	forms := parquetForms()
	const txn, status = 0, 6 // columns
	file := func(column int, form string, change func(h *format.PageHeader, body []byte) []byte) func() []byte {
		return func() []byte { return hostile(t, column, forms[form], change) }
	}
	for name, c := range map[string]struct {
		file func() []byte
		want string
	}{
		"nothing wrong": {file(txn, "snappy v1", func(_ *format.PageHeader, body []byte) []byte { return body }), ""},
		"a page of two gigabytes": {file(txn, "plain v1", func(h *format.PageHeader, body []byte) []byte {
			h.UncompressedPageSize = 1<<31 - 1
			return body
		}), "larger than 16 MiB"},
		"two billion values": {file(txn, "plain v2", func(h *format.PageHeader, body []byte) []byte {
			h.DataPageHeaderV2.V.NumValues, h.DataPageHeaderV2.V.NumRows = 1<<31-1, 1<<31-1
			return body
		}), "more than 4194304 values"},
		"two billion times the same": {file(status, "plain v1", func(h *format.PageHeader, _ []byte) []byte {
			h.DataPageHeader.V.Encoding = format.RLEDictionary
			return append(binary.AppendUvarint([]byte{1}, 1<<32-2), 0)
		}), "more than 4194304 values"},
		"snappy of four gigabytes": {file(txn, "snappy v1", func(_ *format.PageHeader, _ []byte) []byte {
			return binary.AppendUvarint(nil, 1<<32-1)
		}), "larger than 16 MiB"},
		"lengths of a million million": {file(txn, "plain v1", func(h *format.PageHeader, _ []byte) []byte {
			h.DataPageHeader.V.Encoding = format.DeltaLengthByteArray
			return binary.AppendUvarint([]byte{128, 1, 4}, 1<<30)
		}), "more than 4194304 values"},
		"a long prefix again and again": {file(txn, "plain v1", func(h *format.PageHeader, body []byte) []byte {
			h.DataPageHeader.V.Encoding = format.DeltaByteArray
			return body
		}), "DELTA_BYTE_ARRAY, which is not read"},
		"a footer of a billion row groups": {func() []byte {
			list := append(binary.AppendUvarint([]byte{0x15, 2, 0x19, 0xFC}, 1<<30), 0, 0) // version, schema
			return append(binary.LittleEndian.AppendUint32(append([]byte("PAR1"), list...), uint32(len(list))), "PAR1"...)
		}, "promises more than it holds"},
		"a footer longer than the file": {func() []byte {
			return append(binary.LittleEndian.AppendUint32([]byte("PAR1abcdefgh"), 1<<32-1), "PAR1"...)
		}, "its footer has 4294967295 bytes"},
	} {
		body := c.file()
		used, _, err := allocated(body)
		if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
			t.Errorf("%s: %v", name, err)
		}
		if used > 64<<20 {
			t.Errorf("%s: took %d MiB", name, used>>20)
		}
	}
}

// allocated reads a file and tells what was allocated for it.
func allocated(body []byte) (used uint64, text []byte, err error) {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	const most = 4 << 20
	text, err = readParquet(body, most)
	runtime.ReadMemStats(&after)
	return after.TotalAlloc - before.TotalAlloc, text, err
}

// FuzzParquet gives arbitrary files: what is read are lines of as many fields as the first one has, and
// no file makes the reader allocate what it does not hold.
func FuzzParquet(f *testing.F) {
	for _, options := range parquetForms() {
		f.Add(parquetFile(f, 9, options...))
	}
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, body []byte) {
		used, text, err := allocated(body)
		if used > 1<<30 {
			t.Fatalf("%d MiB were allocated for a file of %d bytes (%v)", used>>20, len(body), err)
		}
		lines := bytes.SplitAfter(text, []byte("\n"))
		for _, line := range lines[:len(lines)-1] {
			if bytes.Count(line, []byte(",")) != bytes.Count(lines[0], []byte(",")) || len(line) > MaxLine+1 {
				t.Fatalf("%.200q below %q", line, lines[0])
			}
		}
		if errors.Is(err, io.EOF) {
			t.Fatal("a damaged file reads as one that has ended")
		}
	})
}
