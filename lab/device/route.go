package device

// routed takes what is for the display behind the printer: ESC = n chooses who listens
// (bit 1 the printer, bit 2 the display; Epson, ESC/POS reference). It reports whether the
// bytes were dealt with, and how many.
func (p *Printer) routed(b []byte) (n int, ok bool) {
	d := p.opt.Display
	if d == nil {
		return 0, false
	}
	if b[0] == 0x1b && len(b) < 2 {
		return 0, true
	}
	if b[0] == 0x1b && b[1] == '=' {
		return need(b, 3, func() {
			p.toDisplay = b[2]&2 != 0
			d.take(b[:3])
		}), true
	}
	if !p.toDisplay {
		return 0, false
	}
	d.take(b[:1])
	return 1, true
}
