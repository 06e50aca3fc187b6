package device

import "slices"

// NewEchoCard makes a card with one application, which echoes the data of every command
// with INS E0, also of a chain of them (ISO/IEC 7816-4, 5.3.3). What does not fit a short
// answer comes by 61xx and GET RESPONSE when the command was short.
func NewEchoCard(aid []byte, opt CardOptions) *Card {
	opt.Applications = append(opt.Applications, Application{AID: aid, Label: "ECHO", Priority: 1, Applet: &echo{}})
	return NewCard(opt)
}

type echo struct {
	chained []byte
	rest    []byte
}

// Process implements Applet.
func (e *echo) Process(c []byte) []byte {
	switch {
	case len(c) < 4:
		return []byte{0x67, 0x00}
	case c[1] == 0xA4:
		return nil // selected; the card answers
	case c[1] == 0xC0:
		return e.more(256)
	case c[1] != 0xE0:
		return []byte{0x6D, 0x00}
	}
	data, extended := body(c)
	e.chained = append(e.chained, data...)
	if c[0]&0x10 != 0 {
		return []byte{0x90, 0x00}
	}
	e.rest, e.chained = e.chained, nil
	if extended {
		return e.more(65_536)
	}
	return e.more(256)
}

// body takes the data out of a command of case 3 or 4.
func body(c []byte) (data []byte, extended bool) {
	switch {
	case len(c) < 6:
		return nil, false
	case c[4] != 0:
		return c[5 : 5+min(int(c[4]), len(c)-5)], false
	case len(c) < 7:
		return nil, true
	}
	return c[7 : 7+min(int(c[5])<<8|int(c[6]), len(c)-7)], true
}

func (e *echo) more(most int) []byte {
	part := e.rest[:min(len(e.rest), most)]
	e.rest = e.rest[len(part):]
	out := slices.Clone(part)
	if n := len(e.rest); n > 0 {
		return append(out, 0x61, byte(min(n, 256))) // 256 is 00
	}
	return append(out, 0x90, 0x00)
}
