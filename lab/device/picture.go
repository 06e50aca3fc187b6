package device

import (
	"github.com/makiuchi-d/gozxing/qrcode/decoder"
	"github.com/makiuchi-d/gozxing/qrcode/encoder"
)

// picture is dots to be printed: rows of bytes, the high bit is the left dot.
type picture struct {
	bits           []byte
	rowBytes, rows int
	width          int // dots
	sx, sy         int // how many times wider and higher
}

// show prints a picture where the alignment puts it.
func (p *Printer) show(d picture) {
	p.flush()
	p.paper.raster(d.bits, d.rowBytes, d.rows, p.indent(d.width*d.sx), d.sx, d.sy)
	p.useUp(d.rows * d.sy)
	p.paper.note(d.width*d.sx, d.rows*d.sy)
	if p.opt.LosesChinese {
		p.mode.chinese = false
	}
}

// gsL is GS ( L: function 112 keeps a picture of one colour, 50 (and 2) prints it.
func (p *Printer) gsL(args []byte) {
	switch {
	case len(args) == 2 && args[0] == 0x30 && (args[1] == 50 || args[1] == 2):
		if p.stored != nil {
			p.show(*p.stored)
			p.stored = nil
		}
	case len(args) >= 10 && args[0] == 0x30 && args[1] == 112 && args[2] == 0x30 && args[5] == 0x31:
		width, rows := int(args[6])+int(args[7])<<8, int(args[8])+int(args[9])<<8
		rowBytes := (width + 7) / 8
		if width == 0 || len(args) != 10+rowBytes*rows || args[3] < 1 || args[3] > 2 || args[4] < 1 || args[4] > 2 {
			p.strange(args[:10])
			return
		}
		p.stored = &picture{append([]byte(nil), args[10:]...), rowBytes, rows, width, int(args[3]), int(args[4])}
	default:
		p.strange(args[:min(len(args), 6)])
	}
}

// columns is ESC * m nL nH data; m 33 has columns of 24 dots at full density, the others
// are passed over.
func (p *Printer) columns(b []byte) int {
	if len(b) < 5 {
		return 0
	}
	n := int(b[3]) + int(b[4])<<8
	bytes := n
	if b[2] == 32 || b[2] == 33 {
		bytes = 3 * n
	}
	return need(b, 5+bytes, func() {
		if b[2] != 33 {
			p.strange(b[:3])
			return
		}
		m := &p.mode
		n = min(n, p.dots-m.x)
		if n > 0 {
			m.line = append(m.line, glyph{x: m.x, sx: 1, sy: 1, columns: append([]byte(nil), b[5:5+3*n]...)})
			m.x += n
		}
	})
}

// qrCode is what the functions of GS ( k have set.
type qrCode struct {
	module int
	level  byte
	data   []byte
}

// gsK is GS ( k with cn 49: QR codes.
func (p *Printer) gsK(args []byte) {
	if len(args) < 3 || args[0] != 49 {
		p.strange(args[:min(len(args), 3)])
		return
	}
	switch q := &p.qr; args[1] {
	case 65: // model; only 2 is common
		if args[2] != 50 {
			p.strange(args)
		}
	case 67:
		q.module = min(max(int(args[2]), 1), 16)
	case 69:
		q.level = args[2]
	case 80:
		q.data = append([]byte(nil), args[3:]...)
	case 81:
		p.printQR()
	default:
		p.strange(args[:3])
	}
}

func (p *Printer) printQR() {
	level, ok := map[byte]decoder.ErrorCorrectionLevel{
		0: decoder.ErrorCorrectionLevel_L, 48: decoder.ErrorCorrectionLevel_L, 49: decoder.ErrorCorrectionLevel_M,
		50: decoder.ErrorCorrectionLevel_Q, 51: decoder.ErrorCorrectionLevel_H,
	}[p.qr.level]
	if !ok || len(p.qr.data) == 0 {
		p.strange([]byte{49, 81})
		return
	}
	code, err := encoder.Encoder_encodeWithoutHint(string(p.qr.data), level)
	if err != nil {
		return // a printer prints nothing
	}
	module, matrix := max(p.qr.module, 3), code.GetMatrix()
	n := matrix.GetWidth()
	if n*module > p.dots {
		return // nor one that does not fit
	}
	rowBytes := (n + 7) / 8
	bits := make([]byte, rowBytes*n)
	for y := range n {
		for x := range n {
			if matrix.Get(x, y) == 1 {
				bits[y*rowBytes+x/8] |= 0x80 >> (x % 8)
			}
		}
	}
	lost := p.opt.LosesChinese
	p.opt.LosesChinese = false // that is a fault of pictures
	p.show(picture{bits, rowBytes, n, n, module, module})
	p.opt.LosesChinese = lost
}
