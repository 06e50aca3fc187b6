package statement

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/snappy"
	"github.com/klauspost/compress/zstd"
	"github.com/parquet-go/parquet-go/encoding/thrift"
	"github.com/parquet-go/parquet-go/format"
)

// What a Parquet file may ask for. The library makes room for whatever a header promises, so a
// file of a hundred bytes could ask for gigabytes: everything is held to these bounds before
// the library sees it. Writers stay far below them (pages of 1 MiB, or a column of some 100,000 rows).
const (
	mostFooter   = 16 << 20
	mostElements = 1 << 18 // of all lists of the footer: 4,000 row groups
	mostPageHead = 64 << 10
	leastPage    = 16 << 20 // what a page may always hold, packed and unpacked
	mostPageRows = 4 << 20
)

var errDamagedParquet = errors.New("the file is damaged")

// parquetBounds checks a file's pages, column by column.
type parquetBounds struct {
	r        io.ReaderAt
	size     int64
	page     int64 // bytes that a page may hold
	protocol thrift.CompactProtocol
	body     []byte
	plain    []byte
	zstd     *zstd.Decoder
}

func newParquetBounds(r io.ReaderAt, size, page int64) (*parquetBounds, error) {
	b := &parquetBounds{r: r, size: size, page: max(page, leastPage)}
	return b, b.footer()
}

// footer checks the lists and texts of the footer.
func (b *parquetBounds) footer() error {
	const tail, magic = 8, 4
	if b.size < tail+magic {
		return nil // the library knows what to say
	}
	end := make([]byte, tail)
	if _, err := b.r.ReadAt(end, b.size-tail); err != nil {
		return err
	}
	n := int64(binary.LittleEndian.Uint32(end))
	if string(end[magic:]) != "PAR1" {
		return nil // nor is it Parquet
	}
	if n > mostFooter || n > b.size-tail-magic {
		return fmt.Errorf("its footer has %d bytes of %d, at most %d are read: %w", n, b.size, mostFooter, errDamagedParquet)
	}
	text := make([]byte, n)
	if _, err := b.r.ReadAt(text, b.size-tail-n); err != nil {
		return err
	}
	c := compact{b: text, elements: mostElements}
	if c.structure(0); c.bad {
		return fmt.Errorf("its footer promises more than it holds: %w", errDamagedParquet)
	}
	return nil
}

// chunk checks all pages of one column of one row group.
func (b *parquetBounds) chunk(m *format.ColumnMetaData, optional bool) error {
	at, data := m.DataPageOffset, false
	if m.DictionaryPageOffset != 0 {
		at = m.DictionaryPageOffset
	}
	end := at + m.TotalCompressedSize
	if at < 0 || end < at || end > b.size {
		return fmt.Errorf("a column lies outside of the file: %w", errDamagedParquet)
	}
	for at < end {
		data = data || at == m.DataPageOffset
		h, length, err := b.head(at, end)
		if err != nil {
			return err
		}
		at += length
		size := int64(h.CompressedPageSize)
		if size < 0 || size > end-at {
			return fmt.Errorf("a page ends behind its column: %w", errDamagedParquet)
		}
		if max(size, int64(h.UncompressedPageSize)) > b.page {
			return b.large()
		}
		body := sizedBytes(&b.body, size)
		if _, err := b.r.ReadAt(body, at); err != nil {
			return err
		}
		if err := b.check(h, m.Codec, optional, body); err != nil {
			return err
		}
		at += size
	}
	if !data && m.TotalCompressedSize > 0 {
		return fmt.Errorf("a column begins within a page: %w", errDamagedParquet)
	}
	return nil
}

// head reads a page's header, and tells its length.
func (b *parquetBounds) head(at, end int64) (*format.PageHeader, int64, error) {
	text := sizedBytes(&b.body, min(mostPageHead, end-at))
	if _, err := b.r.ReadAt(text, at); err != nil && !errors.Is(err, io.EOF) {
		return nil, 0, err
	}
	c := compact{b: text, elements: mostPageHead}
	if c.structure(0); c.bad {
		return nil, 0, fmt.Errorf("a page's header promises more than it holds: %w", errDamagedParquet)
	}
	length := int64(len(text) - len(c.b))
	h := new(format.PageHeader)
	return h, length, thrift.Unmarshal(&b.protocol, text[:length], h)
}

func (b *parquetBounds) large() error {
	return fmt.Errorf("a page is larger than %d MiB: write row groups of at most 100,000 rows, or allow more memory", b.page>>20)
}

func sizedBytes(buf *[]byte, n int64) []byte {
	if int64(cap(*buf)) < n {
		*buf = make([]byte, n)
	}
	return (*buf)[:n]
}

// plainDictionary is an old name of a dictionary's encoding that writers still use.
const plainDictionary format.Encoding = 2

// check unpacks a page and counts the values that it asks for.
func (b *parquetBounds) check(h *format.PageHeader, codec format.CompressionCodec, optional bool, body []byte) error {
	switch h.Type { //nolint:exhaustive // the library refuses what it does not know
	case format.DictionaryPage:
		d := &h.DictionaryPageHeader.V
		if d.NumValues > mostPageRows || d.Encoding != format.Plain && d.Encoding != plainDictionary {
			return tooMany("a dictionary")
		}
		_, err := b.unpack(codec, body)
		return err
	case format.DataPage:
		return b.first(&h.DataPageHeader.V, codec, optional, body)
	case format.DataPageV2:
		return b.second(&h.DataPageHeaderV2.V, codec, body)
	}
	return nil
}

// first checks a data page of version 1: levels and values are packed together.
func (b *parquetBounds) first(d *format.DataPageHeader, codec format.CompressionCodec, optional bool, body []byte) error {
	text, err := b.unpack(codec, body)
	if err != nil {
		return err
	}
	const length = 4
	if optional && len(text) >= length {
		n := int64(binary.LittleEndian.Uint32(text))
		if d.DefinitionLevelEncoding != format.RLE || n > int64(len(text)-length) {
			return fmt.Errorf("a page's levels are not to be read: %w", errDamagedParquet)
		}
		if !runs(text[length:length+n], 1) {
			return tooMany("a page")
		}
		text = text[length+n:]
	}
	return values(d.NumValues, d.Encoding, text)
}

// second checks a data page of version 2: only values are packed.
func (b *parquetBounds) second(d *format.DataPageHeaderV2, codec format.CompressionCodec, body []byte) error {
	levels := int64(d.DefinitionLevelsByteLength)
	if levels < 0 || d.RepetitionLevelsByteLength != 0 || levels > int64(len(body)) {
		return fmt.Errorf("a page's levels are not to be read: %w", errDamagedParquet)
	}
	if !runs(body[:levels], 1) {
		return tooMany("a page")
	}
	text := body[levels:]
	if !d.IsCompressed.Valid || d.IsCompressed.V {
		var err error
		if text, err = b.unpack(codec, text); err != nil {
			return err
		}
	}
	return values(d.NumValues, d.Encoding, text)
}

func tooMany(what string) error {
	return fmt.Errorf("%s asks for more than %d values: write row groups of at most 100,000 rows", what, mostPageRows)
}

// unpack gives a page's text, of which there is no more than a page may hold.
func (b *parquetBounds) unpack(codec format.CompressionCodec, body []byte) (text []byte, err error) {
	switch codec { //nolint:exhaustive // others are refused below
	case format.Uncompressed:
		return body, nil
	case format.Snappy:
		n, err := snappy.DecodedLen(body)
		if err != nil {
			return nil, err
		}
		if int64(n) > b.page {
			return nil, b.large()
		}
		return snappy.Decode(sizedBytes(&b.plain, int64(n)), body)
	case format.Zstd:
		if b.zstd == nil {
			if b.zstd, err = zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxMemory(uint64(b.page))); err != nil {
				return nil, err
			}
		}
		text, err = b.zstd.DecodeAll(body, b.plain[:0])
		b.plain = text
		return text, err
	case format.Gzip:
		z, err := gzip.NewReader(bytes.NewReader(body))
		if err != nil {
			return nil, err
		}
		out := bytes.NewBuffer(b.plain[:0])
		_, err = io.Copy(out, io.LimitReader(z, b.page+1))
		if b.plain = out.Bytes(); err == nil && int64(out.Len()) > b.page {
			err = b.large()
		}
		return b.plain, err
	}
	return nil, fmt.Errorf("packed by %s, which is not read: write it with snappy, zstd, gzip or nothing", codec)
}

// values holds what a page's encoding asks for to what a page may have.
func values(rows int32, encoding format.Encoding, text []byte) error {
	asks := uint64(max(rows, 0))
	switch encoding { //nolint:exhaustive // others are refused
	case format.Plain: // as many as the text holds
	case plainDictionary, format.RLEDictionary:
		if len(text) > 0 && !runs(text[1:], uint(text[0])) {
			return tooMany("a page")
		}
	case format.DeltaBinaryPacked, format.DeltaLengthByteArray:
		for range 3 { // size of a block, its parts, values
			n, length := binary.Uvarint(text)
			if length <= 0 {
				return fmt.Errorf("a page's lengths are not to be read: %w", errDamagedParquet)
			}
			asks, text = max(asks, n), text[length:]
		}
	default: // prefixes (DELTA_BYTE_ARRAY) can repeat a long text for every value
		return fmt.Errorf("encoded as %s, which is not read: write it as PLAIN or with a dictionary", encoding)
	}
	if asks > mostPageRows {
		return tooMany("a page")
	}
	return nil
}

// runs walks through run lengths and packed bits, and says whether they are whole and few enough.
func runs(b []byte, width uint) bool {
	const widest, packed = 32, 8
	if width > widest {
		return false
	}
	for total := uint64(0); len(b) > 0; {
		head, n := binary.Uvarint(b)
		if n <= 0 {
			return false
		}
		b = b[n:]
		count, size := head>>1, uint64(width+7)/8
		if head&1 != 0 {
			if count > mostPageRows {
				return false
			}
			count, size = count*packed, count*uint64(width)
		}
		if total += count; count > mostPageRows || total > mostPageRows || size > uint64(len(b)) {
			return false
		}
		b = b[size:]
	}
	return true
}

// compact walks through a structure of Thrift's compact protocol. It says whether lists and
// texts are as long as what is there allows: an element takes a byte at least.
type compact struct {
	b        []byte // what is left
	elements int    // that all lists together may still have
	bad      bool
}

// The types of Thrift's compact protocol, as its specification numbers them.
const (
	compactTrue = iota + 1
	compactFalse
	compactByte
	compactInt16
	compactInt32
	compactInt64
	compactDouble
	compactBinary
	compactList
	compactSet
	compactMap
	compactStruct
	compactUUID
)

func (c *compact) take(n uint64) []byte {
	if c.bad || n > uint64(len(c.b)) {
		c.bad = true
		return nil
	}
	taken := c.b[:n]
	c.b = c.b[n:]
	return taken
}

func (c *compact) octet() byte {
	if b := c.take(1); b != nil {
		return b[0]
	}
	return 0
}

func (c *compact) number() uint64 {
	v, n := binary.Uvarint(c.b)
	if c.bad = c.bad || n <= 0; c.bad {
		return 0
	}
	c.b = c.b[n:]
	return v
}

// structure walks to the end of a structure.
func (c *compact) structure(depth int) {
	for !c.bad {
		head := c.octet()
		if head == 0 {
			return
		}
		if head>>4 == 0 {
			c.number() // the field's number in full
		}
		if kind := head & 15; kind != compactTrue && kind != compactFalse { // whose value is their type
			c.value(kind, depth)
		}
	}
}

func (c *compact) value(kind byte, depth int) {
	const deepest, uuid = 16, 16
	switch kind {
	case compactTrue, compactFalse, compactByte:
		c.take(1)
	case compactInt16, compactInt32, compactInt64:
		c.number()
	case compactDouble:
		c.take(8)
	case compactUUID:
		c.take(uuid)
	case compactBinary:
		c.take(c.number())
	case compactList, compactSet:
		head := c.octet()
		n := uint64(head >> 4)
		if n == 15 {
			n = c.number()
		}
		c.items(n, depth, head&15)
	case compactMap:
		if n := c.number(); n > 0 {
			kinds := c.octet()
			c.items(n, depth, kinds>>4, kinds&15)
		}
	case compactStruct:
		if c.bad = c.bad || depth >= deepest; !c.bad {
			c.structure(depth + 1)
		}
	default:
		c.bad = true
	}
}

func (c *compact) items(n uint64, depth int, kinds ...byte) {
	const deepest = 16
	if c.bad = c.bad || n > uint64(min(c.elements, len(c.b))) || depth >= deepest; c.bad {
		return
	}
	c.elements -= int(n)
	for ; n > 0 && !c.bad; n-- {
		for _, kind := range kinds {
			c.value(kind, depth+1)
		}
	}
}
