package draw

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
)

// Ticket names an entry without saying whose it is.
type Ticket [32]byte

// String is the ticket in hexadecimal.
func (t Ticket) String() string { return hex.EncodeToString(t[:]) }

// ParseTicket reads 64 lower-case hexadecimal digits.
func ParseTicket(s string) (Ticket, error) {
	var t Ticket
	if !hashForm.MatchString(s) {
		return t, fmt.Errorf("ticket %.70q: want 64 hexadecimal digits, lower case", s)
	}
	_, err := hex.Decode(t[:], []byte(s))
	return t, err
}

// NewTicket makes the ticket of an entry from a fresh random salt and the keyed hashes
// of the person and the phone. The salt is the entrant's proof that the ticket is hers.
func NewTicket(campaign string, salt, person, phone [32]byte) Ticket {
	h := sha256.New()
	h.Write([]byte("ticket-v1\x00" + campaign + "\x00"))
	h.Write(salt[:])
	h.Write(person[:])
	h.Write(phone[:])
	return Ticket(h.Sum(nil))
}

// Entry is one line of the list.
type Entry struct {
	Ticket      Ticket
	Stratum     string // empty where the terms have no strata
	Institution string
}

// listHead is the first line of entries.csv.
const listHead = "ticket,stratum,institution\n"

// maxLine is the longest line that is allowed.
const maxLine = 64 + 1 + 40 + 1 + 12 + 1

// Line is the entry as it stands in entries.csv, without the line feed. Its bytes are
// the leaf of the tree.
func (e Entry) Line() string { return e.Ticket.String() + "," + e.Stratum + "," + e.Institution }

// LeafHash is the entry's leaf in the list's tree (RFC 6962, 2.1): what an entrant
// proves to be under the root.
func (e Entry) LeafHash() [32]byte { return leafHash([]byte(e.Line())) }

// leafHash is SHA-256 of 00h and the record, nodeHash of 01h and both children (RFC 6962, 2.1).
func leafHash(line []byte) [32]byte {
	var buf [1 + maxLine]byte
	n := copy(buf[1:], line)
	return sha256.Sum256(buf[:1+n])
}

// leafHashIn is leafHash of all but the first byte, which it writes over: that of a long
// list need not be copied.
func leafHashIn(buf []byte) [32]byte {
	buf[0] = 0
	return sha256.Sum256(buf)
}

func nodeHash(left, right [32]byte) [32]byte {
	var buf [65]byte
	buf[0] = 1
	copy(buf[1:], left[:])
	copy(buf[33:], right[:])
	return sha256.Sum256(buf[:])
}

// treeHash is the root over hashes that stand for complete subtrees of one size, the
// last for what is left over (RFC 6962, 2.1: split at the largest power of two below n).
func treeHash(hashes [][32]byte) [32]byte {
	switch len(hashes) {
	case 0:
		return sha256.Sum256(nil)
	case 1:
		return hashes[0]
	}
	k := 1
	for k*2 < len(hashes) {
		k *= 2
	}
	return nodeHash(treeHash(hashes[:k]), treeHash(hashes[k:]))
}

// names turns the names of the terms into small numbers. They are few: to walk over them takes
// less than to hash one.
type names struct{ strata, institutions []string }

func namesOf(t Terms) names {
	var n names
	for _, s := range t.Strata {
		n.strata = append(n.strata, s.Name)
	}
	if len(t.Strata) == 0 {
		n.strata = []string{""}
	}
	for _, i := range t.Institutions {
		n.institutions = append(n.institutions, i.Code)
	}
	return n
}

// number is the name's place in the list of at most 256.
func number(list []string, name []byte) (n uint8, ok bool) {
	for i, s := range list {
		if s == string(name) {
			return uint8(i), true //nolint:gosec // scan has counted them
		}
	}
	return 0, false
}

var (
	errTicket      = errors.New("ticket: want 64 hexadecimal digits, lower case")
	errStratum     = errors.New("stratum is not one of the terms")
	errInstitution = errors.New("institution is not one of the terms")
	errOrder       = errors.New("tickets are not in strictly ascending order")
)

// parseLine reads one line without its line feed.
func (n names) parseLine(line []byte) (ticket Ticket, stratum, institution uint8, err error) {
	if len(line) >= maxLine {
		return ticket, 0, 0, errLength
	}
	if len(line) < 66 || line[64] != ',' {
		return ticket, 0, 0, errTicket
	}
	if !parseHex(&ticket, line[:64]) {
		return ticket, 0, 0, errTicket
	}
	rest := line[65:]
	comma := bytes.IndexByte(rest, ',')
	if comma < 0 {
		return ticket, 0, 0, errInstitution
	}
	stratum, ok := number(n.strata, rest[:comma])
	if !ok {
		return ticket, 0, 0, errStratum
	}
	if institution, ok = number(n.institutions, rest[comma+1:]); !ok {
		return ticket, 0, 0, errInstitution
	}
	return ticket, stratum, institution, nil
}

// parseHex is hex.Decode for lower case only: upper case would be a second spelling. Eight digits
// are worked on at once, a byte of a word each; what comes out must be spelled as it came in.
func parseHex(into *Ticket, digits []byte) bool {
	var bad uint64
	for i := range len(into) / 4 {
		text := binary.LittleEndian.Uint64(digits[8*i:])
		letters := text >> 6 & ones
		value := (text&(0xf*ones) + 9*letters) & (0xf * ones)
		above9 := (value + 6*ones) >> 4 & ones
		bad |= text ^ (value + '0'*ones + above9*('a'-'0'-10))
		pairs := (value<<4 | value>>8) & 0x00ff_00ff_00ff_00ff
		pairs = (pairs | pairs>>8) & 0x0000_ffff_0000_ffff
		binary.LittleEndian.PutUint32(into[4*i:], uint32(pairs|pairs>>16)) //nolint:gosec // the lower half
	}
	return bad == 0
}

// ones is a one in each byte of a word.
const ones = 0x0101_0101_0101_0101
