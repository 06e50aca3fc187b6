// Package answer cuts what an ESC/POS printer says into answers. Masks: Epson's command
// reference, DLE EOT, GS a, GS r, GS I, GS ( H; the same as receiptio lib/receiptio.js uses.
package answer

// Kind tells the answers of a printer apart.
type Kind int

// The kinds of answers.
const (
	RealTime Kind = iota + 1 // one byte to DLE EOT n
	ASB                      // four bytes, sent unasked after GS a
	Plain                    // one byte to GS r or GS I
	Block                    // header … 00, to GS I 65 to 69 and GS ( H
)

// Answer is one whole answer. Data is the byte, the four bytes, or the block with its
// header and without the closing 00; it is the receiver's own.
type Answer struct {
	Kind Kind
	Data []byte
}

// maxBlock is longer than any block answer known (80 characters of text).
const maxBlock = 256

// Decoder cuts the printer's bytes into answers. Bytes that fit nothing are dropped, and
// so is flow control. It keeps half an answer until the rest comes, at most 256 bytes.
type Decoder struct{ pending []byte }

// Feed takes what was read and returns the answers that are now whole.
func (d *Decoder) Feed(p []byte) []Answer {
	var out []Answer
	for _, b := range p {
		if a, ok := d.take(b); ok {
			out = append(out, a)
		}
	}
	return out
}

func (d *Decoder) take(b byte) (Answer, bool) {
	if len(d.pending) > 0 {
		return d.more(b)
	}
	switch {
	case b == 0x11 || b == 0x13: // XON, XOFF
		return Answer{}, false
	case b&0x93 == 0x12:
		return Answer{RealTime, []byte{b}}, true
	case b&0x93 == 0x10, blockHeader(b):
		d.pending = append(d.pending, b)
		return Answer{}, false
	case b&0x90 == 0:
		return Answer{Plain, []byte{b}}, true
	default:
		return Answer{}, false
	}
}

// blockHeader reports the first bytes of block answers: 37 process id and other
// transmissions, 5F GS I text, 35 3B 3D others.
func blockHeader(b byte) bool {
	switch b {
	case 0x35, 0x37, 0x3B, 0x3D, 0x5F:
		return true
	}
	return false
}

// more continues an ASB or a block.
func (d *Decoder) more(b byte) (Answer, bool) {
	if blockHeader(d.pending[0]) {
		return d.moreBlock(b)
	}
	if b == 0x11 || b == 0x13 {
		// Both are also possible nowhere in an ASB: bytes 2 to 4 have bit 4 clear.
		return Answer{}, false
	}
	if b&0x90 != 0 {
		// The rest of the report was lost; what comes now begins something new.
		d.pending = d.pending[:0]
		return d.take(b)
	}
	d.pending = append(d.pending, b)
	if len(d.pending) < 4 {
		return Answer{}, false
	}
	return d.whole(ASB)
}

func (d *Decoder) moreBlock(b byte) (Answer, bool) {
	switch {
	case b == 0:
		return d.whole(Block)
	case b < 0x20 || b > 0x7E || len(d.pending) >= maxBlock:
		d.pending = d.pending[:0]
		return d.take(b)
	default:
		d.pending = append(d.pending, b)
		return Answer{}, false
	}
}

func (d *Decoder) whole(k Kind) (Answer, bool) {
	a := Answer{k, append([]byte(nil), d.pending...)}
	d.pending = d.pending[:0]
	return a, true
}
