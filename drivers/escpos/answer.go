package escpos

// kind tells the answers of a printer apart. Masks: Epson's command reference,
// DLE EOT, GS a, GS r, GS I, GS ( H; the same as receiptio lib/receiptio.js uses.
type kind int

const (
	answerRealTime kind = iota + 1 // one byte to DLE EOT n
	answerASB                      // four bytes, sent unasked after GS a
	answerPlain                    // one byte to GS r or GS I
	answerBlock                    // header … 00, to GS I 65 to 69 and GS ( H
)

// answer is one whole answer. data is the byte, the four bytes, or the block with its
// header and without the closing 00.
type answer struct {
	kind kind
	data []byte
}

// maxBlock is longer than any block answer known (80 characters of text).
const maxBlock = 256

// decoder cuts the printer's bytes into answers. Bytes that fit nothing are counted
// and dropped; flow control is dropped. It keeps half an answer until the rest comes.
type decoder struct {
	pending []byte
	noise   int
}

// feed takes what was read and returns the answers that are now whole.
func (d *decoder) feed(p []byte) []answer {
	var out []answer
	for _, b := range p {
		if a, ok := d.take(b); ok {
			out = append(out, a)
		}
	}
	return out
}

func (d *decoder) take(b byte) (answer, bool) {
	if len(d.pending) > 0 {
		return d.more(b)
	}
	switch {
	case b == 0x11 || b == 0x13: // XON, XOFF
		return answer{}, false
	case b&0x93 == 0x12:
		return answer{answerRealTime, []byte{b}}, true
	case b&0x93 == 0x10, blockHeader(b):
		d.pending = append(d.pending, b)
		return answer{}, false
	case b&0x90 == 0:
		return answer{answerPlain, []byte{b}}, true
	default:
		d.noise++
		return answer{}, false
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
func (d *decoder) more(b byte) (answer, bool) {
	if blockHeader(d.pending[0]) {
		return d.moreBlock(b)
	}
	if b == 0x11 || b == 0x13 {
		// Both are also possible nowhere in an ASB: bytes 2 to 4 have bit 4 clear.
		return answer{}, false
	}
	if b&0x90 != 0 {
		// The rest of the report was lost; what comes now begins something new.
		d.noise += len(d.pending)
		d.pending = d.pending[:0]
		return d.take(b)
	}
	d.pending = append(d.pending, b)
	if len(d.pending) < 4 {
		return answer{}, false
	}
	return d.whole(answerASB)
}

func (d *decoder) moreBlock(b byte) (answer, bool) {
	switch {
	case b == 0:
		return d.whole(answerBlock)
	case b < 0x20 || b > 0x7E || len(d.pending) >= maxBlock:
		d.noise += len(d.pending)
		d.pending = d.pending[:0]
		return d.take(b)
	default:
		d.pending = append(d.pending, b)
		return answer{}, false
	}
}

func (d *decoder) whole(k kind) (answer, bool) {
	a := answer{k, append([]byte(nil), d.pending...)}
	d.pending = d.pending[:0]
	return a, true
}
