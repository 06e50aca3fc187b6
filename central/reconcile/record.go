package reconcile

import (
	"encoding/binary"

	"dcpos/central/reconcile/statement"
	"dcpos/pos"
)

// A record is one line as it lies in a shard, two words:
//
//	40 bits of the hash of its txn_id · 48 bits of the hash of all that is compared · 40 bits place
//
// Lines of one id are compared by the 88 bits of hashes. Whatever is not then an
// ordinary pair is read again, and from there on only bytes count.
const (
	idBits    = 40
	bodyHigh  = 24 // bits of the body's hash beside the id's
	placeBits = 40
)

const recordSize = 16

type record struct{ first, second uint64 }

func recordOf(id, body uint64, at place) record {
	return record{
		first:  id>>bodyHigh<<bodyHigh | body>>idBits,
		second: body>>(64-48)<<placeBits | uint64(at),
	}
}

func readRecord(b []byte) record {
	return record{binary.LittleEndian.Uint64(b), binary.LittleEndian.Uint64(b[8:])}
}

// id is the part of the id's hash that records keep.
func (r record) id() uint64 { return r.first >> bodyHigh }

// late is the id for late splits: its bits in an order that no earlier split has used.
func (r record) late() uint64 { return r.id() * 0x9E3779B97F4A7C15 }

func (r record) place() place { return place(r.second & (1<<placeBits - 1)) }

// same reports whether two lines agree in everything that is compared.
func (r record) same(o record) bool {
	return r.first == o.first && r.second>>placeBits == o.second>>placeBits
}

// place says where a line stands on its side: the position in its file's text, plus
// where that file's places begin. Places compare like (file, line). Zero is no line:
// every file begins with a header.
type place uint64

// placesPerSide is a tebibyte of text.
const placesPerSide = 1 << placeBits

// line is a line that was read again.
type line struct {
	place    place
	number   string // LINE or FILEINDEX:LINE
	status   byte
	txnID    []byte
	bank     []byte
	merchant []byte
	amount   pos.Money
	fee      pos.Money
}

// encode appends the line, so that it can be sorted on disk.
func (l *line) encode(b []byte) []byte {
	b = binary.LittleEndian.AppendUint64(b, uint64(l.place))
	b = append(b, l.status)
	for _, field := range [][]byte{l.txnID, l.bank, l.merchant, []byte(l.number)} {
		b = append(append(b, byte(len(field))), field...)
	}
	b = binary.AppendUvarint(b, uint64(l.amount))
	return binary.AppendVarint(b, int64(l.fee))
}

// decode reads what encode wrote; the line's fields point into b.
func (l *line) decode(b []byte) {
	l.place, l.status = place(binary.LittleEndian.Uint64(b)), b[8]
	b = b[9:]
	var number []byte
	for _, field := range []*[]byte{&l.txnID, &l.bank, &l.merchant, &number} {
		n := int(b[0])
		*field, b = b[1:1+n], b[1+n:]
	}
	l.number = string(number)
	amount, n := binary.Uvarint(b)
	fee, _ := binary.Varint(b[n:])
	l.amount, l.fee = pos.Money(amount), pos.Money(fee)
}

// effective is what a line means for the money: success adds, a refund takes away.
func effective(status byte, amount pos.Money) pos.Money {
	switch status {
	case statement.Success:
		return amount
	case statement.Refund:
		return -amount
	}
	return 0
}
