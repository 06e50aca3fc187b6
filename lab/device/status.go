package device

// The answers of the printer's status commands, written down from Epson's command
// reference (DLE EOT, GS a, GS r, GS I, GS ( H) on its own, not from the driver.

// offline reports whether the printer acts on nothing but real-time commands.
func (p *Printer) offline() bool { return p.cover || p.noPaper || p.cutter || p.waiting }

// report is the automatic status of four bytes.
func (p *Printer) report() [4]byte {
	r := [4]byte{0x10, 0, 0, 0}
	if p.drawer {
		r[0] |= 0x04
	}
	if p.offline() {
		r[0] |= 0x08
	}
	if p.cover {
		r[0] |= 0x20
	}
	if p.waiting {
		r[1] |= 0x04
	}
	if p.cutter {
		r[1] |= 0x08
	}
	if p.nearEnd || p.noPaper {
		r[2] |= 0x03
	}
	if p.noPaper {
		r[2] |= 0x0C
	}
	return r
}

// changed sends the report when it differs and was asked for.
func (p *Printer) changed(before [4]byte) {
	if now := p.report(); now != before && p.asb != 0 && p.answers.ASB {
		p.send(now[:]...)
	}
}

// realTime watches the bytes as they arrive for DLE EOT, DLE ENQ and DLE DC4.
func (p *Printer) realTime(b byte) {
	p.seen = append(p.seen, b)
	if len(p.seen) > 10 {
		p.seen = p.seen[len(p.seen)-10:]
	}
	end := func(n int, head ...byte) []byte {
		if len(p.seen) < n {
			return nil
		}
		tail := p.seen[len(p.seen)-n:]
		for i, h := range head {
			if tail[i] != h {
				return nil
			}
		}
		return tail
	}
	if t := end(3, 0x10, 0x04); t != nil && t[2] >= 1 && t[2] <= 4 {
		p.realTimeStatus(t[2])
	}
	if t := end(3, 0x10, 0x05); t != nil && (t[2] == 1 || t[2] == 2) {
		p.recoverError(t[2] == 2)
	}
	if t := end(5, 0x10, 0x14, 1); t != nil && t[3] <= 1 && t[4] >= 1 && t[4] <= 8 {
		p.kick()
	}
	if t := end(10, 0x10, 0x14, 8, 1, 3, 0x14, 1, 6, 2, 8); t != nil {
		p.in, p.mode.line = nil, nil
		p.send(0x37, 0x25, 0)
	}
}

// recoverError is DLE ENQ: out of the error, and on from the line of the error or, with
// clear, without what was left of the job.
func (p *Printer) recoverError(clearMemory bool) {
	if !p.cutter && !p.waiting || p.cover {
		return // no error, or one whose cause is still there
	}
	before := p.report()
	p.cutter, p.waiting = false, false
	if clearMemory {
		p.in, p.mode.line, p.mode.uncut = nil, nil, false
	}
	if p.mode.uncut {
		p.cut()
	}
	p.changed(before)
}

func (p *Printer) realTimeStatus(n byte) {
	if !p.answers.DLEEOT {
		return
	}
	b := byte(0x12)
	set := func(on bool, bits byte) {
		if on {
			b |= bits
		}
	}
	switch n {
	case 1:
		set(p.drawer, 0x04)
		set(p.offline(), 0x08)
	case 2:
		set(p.cover, 0x04)
		set(p.noPaper, 0x20)
		set(p.cutter || p.waiting, 0x40)
	case 3:
		set(p.waiting, 0x04)
		set(p.cutter, 0x08)
	case 4:
		set(p.nearEnd || p.noPaper, 0x0C)
		set(p.noPaper, 0x60)
	}
	p.send(b)
}

// gsR answers GS r n.
func (p *Printer) gsR(n byte) {
	if !p.answers.GSR {
		return
	}
	switch n {
	case 1, '1':
		var b byte
		if p.nearEnd || p.noPaper {
			b |= 0x03
		}
		if p.noPaper {
			b |= 0x0C
		}
		p.send(b)
	case 2, '2':
		if p.drawer {
			p.send(0x01)
		} else {
			p.send(0x00)
		}
	}
}

// gsI answers GS I n.
func (p *Printer) gsI(n byte) {
	if !p.answers.GSI {
		return
	}
	text := func(s string) { p.send(append(append([]byte{0x5F}, s...), 0)...) }
	switch n {
	case 1, '1':
		p.send(0x20)
	case 2, '2':
		if p.opt.Chinese == LatinOnly {
			p.send(0x02) // cutter
		} else {
			p.send(0x03) // two-byte characters, cutter
		}
	case 3, '3':
		p.send(0x01)
	case 65:
		text("1.00 LAB")
	case 66:
		text(p.opt.Maker)
	case 67:
		text(p.opt.Model)
	case 68:
		text("LAB000001")
	case 69:
		if font := p.fontAnswer(); font != "" {
			text(font)
		}
	}
}

// fontAnswer is the answer of GS I 69; a printer without such a font gives none.
func (p *Printer) fontAnswer() string {
	switch {
	case p.opt.FontAnswer == "-":
		return ""
	case p.opt.FontAnswer != "":
		return p.opt.FontAnswer
	case p.opt.Chinese == LatinOnly:
		return ""
	case p.opt.Chinese == GB2312 || p.opt.Chinese == GBK:
		return "CHINA GB2312"
	}
	return "CHINA GB18030"
}

// gsA answers GS a n: the report once, when anything is switched on.
func (p *Printer) gsA(n byte) {
	p.asb = n
	if r := p.report(); n != 0 && p.answers.ASB {
		p.send(r[:]...)
	}
}

// gsH answers GS ( H function 48: by its place in the stream, everything before it has
// been printed.
func (p *Printer) gsH(args []byte) {
	if p.answers.GSH && len(args) == 6 && args[0] == 0x30 && args[1] == 0x30 {
		p.send(0x37, 0x22, args[2], args[3], args[4], args[5], 0)
	}
}
