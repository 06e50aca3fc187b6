package reconcile

import (
	"encoding/binary"

	"dcpos/central/reconcile/statement"
	"dcpos/pos"
)

// place says where a line stands on its side: file (16 bits), block of that file
// (28), line of that block (20), plus one so that zero is "no line". Places compare
// like (file, line).
type place uint64

const (
	lineBits  = 20
	blockBits = 28
	maxFiles  = 1 << 16
	maxBlocks = 1 << blockBits
	maxBlock  = 1<<lineBits - 1 // lines of a block: its bytes, at most
)

func placeOf(file int, block, line int64) place {
	return place(uint64(file)<<(blockBits+lineBits)|uint64(block)<<lineBits|uint64(line)) + 1
}

func (p place) file() int    { return int((p - 1) >> (blockBits + lineBits)) }
func (p place) block() int64 { return int64((p - 1) >> lineBits & (maxBlocks - 1)) }
func (p place) line() int64  { return int64((p - 1) & maxBlock) }

// A record is one line as it lies in a shard:
//
//	hash 8 | place 8 | length of the rest 2 |
//	status 1 | id 1+n | bank 1+n | merchant 1+n | amount uvarint | fee varint
//
// Two lines agree in everything that is compared exactly when the bytes from
// status on are equal, which decides nearly every pair in one comparison.
const (
	recordHead = 8 + 8 + 2
	maxRecord  = recordHead + 1 + 3*(1+255) + 2*binary.MaxVarintLen64
)

type record []byte

func (r record) hash() uint64  { return binary.LittleEndian.Uint64(r) }
func (r record) place() place  { return place(binary.LittleEndian.Uint64(r[8:])) }
func (r record) size() int     { return recordHead + int(binary.LittleEndian.Uint16(r[16:])) }
func (r record) rest() []byte  { return r[recordHead:r.size()] }
func (r record) status() byte  { return r[recordHead] }
func (r record) txnID() []byte { return r[recordHead+2 : recordHead+2+int(r[recordHead+1])] }

// line is a record taken apart.
type line struct {
	place    place
	status   byte
	txnID    []byte
	bank     []byte
	merchant []byte
	amount   pos.Money
	fee      pos.Money
}

func (r record) line() line {
	l := line{place: r.place(), status: r.status()}
	rest := r.rest()[1:]
	for _, field := range []*[]byte{&l.txnID, &l.bank, &l.merchant} {
		n := int(rest[0])
		*field, rest = rest[1:1+n], rest[1+n:]
	}
	amount, n := binary.Uvarint(rest)
	fee, _ := binary.Varint(rest[n:])
	l.amount, l.fee = pos.Money(amount), pos.Money(fee)
	return l
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

// encode writes a row into scratch and returns the record.
func encode(scratch []byte, hash uint64, at place, row *statement.Row) []byte {
	b := binary.LittleEndian.AppendUint64(scratch[:0], hash)
	b = binary.LittleEndian.AppendUint64(b, uint64(at))
	b = append(b, 0, 0, row.Status, byte(len(row.TxnID)))
	b = append(b, row.TxnID...)
	b = append(append(b, byte(len(row.Bank))), row.Bank...)
	b = append(append(b, byte(len(row.Merchant))), row.Merchant...)
	b = binary.AppendUvarint(b, uint64(row.Amount))
	b = binary.AppendVarint(b, int64(row.Fee))
	binary.LittleEndian.PutUint16(b[16:], uint16(len(b)-recordHead))
	return b
}
