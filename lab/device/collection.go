package device

import (
	"encoding/binary"
	"errors"
)

var errNotFont = errors.New("not a TrueType font or collection")

const (
	tableRecord = 16 // tag, checksum, offset, length (OpenType specification, table directory)
	directory   = 12 // version, number of tables, three search hints
	maxTables   = 64
)

// lastFont takes the last font out of a collection (or the only one of a file) and
// puts its tables on boundaries of four bytes. The specification demands them there,
// WenQuanYi's collection has them anywhere, and the library refuses those.
func lastFont(data []byte) ([]byte, error) {
	start := uint32(0)
	if len(data) >= directory && string(data[:4]) == "ttcf" {
		n := binary.BigEndian.Uint32(data[8:])
		at := directory + 4*(uint64(n)-1)
		if n == 0 || at+4 > uint64(len(data)) {
			return nil, errNotFont
		}
		start = binary.BigEndian.Uint32(data[at:])
	}
	if uint64(start)+directory > uint64(len(data)) {
		return nil, errNotFont
	}
	head := data[start:]
	n := int(binary.BigEndian.Uint16(head[4:]))
	if n == 0 || n > maxTables || len(head) < directory+n*tableRecord {
		return nil, errNotFont
	}
	out := append([]byte(nil), head[:directory+n*tableRecord]...)
	for i := range n {
		record := out[directory+i*tableRecord:]
		from := uint64(binary.BigEndian.Uint32(record[8:]))
		to := from + uint64(binary.BigEndian.Uint32(record[12:]))
		if to > uint64(len(data)) {
			return nil, errNotFont
		}
		for len(out)%4 != 0 {
			out = append(out, 0)
		}
		at := uint32(len(out)) //nolint:gosec // no larger than the font file
		out = append(out, data[from:to]...)
		binary.BigEndian.PutUint32(out[directory+i*tableRecord+8:], at)
	}
	return out, nil
}
