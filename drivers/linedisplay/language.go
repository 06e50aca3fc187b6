package linedisplay

import (
	"bytes"
	"fmt"

	profiles "dcpos/firmware-profiles"
)

// language turns what is to be shown into bytes. Rows are encoded, of the display's width.
type language interface {
	// hello brings the display into the state that the other messages count on, and clears it.
	hello() []byte
	// row shows one row, counted from 0.
	row(n int, text []byte) []byte
	// blank clears the display.
	blank() []byte
}

// speak returns the language that a profile names.
func speak(p profiles.LineDisplay) (language, error) {
	switch p.Language {
	case "epson-dm":
		return epsonDM{}, nil
	case "cd5220":
		return cd5220{}, nil
	case "led8":
		return led8{labels: p.Labels}, nil
	}
	return nil, fmt.Errorf("language %q: there are epson-dm, cd5220 and led8", p.Language)
}

// epsonDM is ESC/POS for displays (Epson, DM-D110 Specification, 5.4 Command Details).
type epsonDM struct{}

func (epsonDM) hello() []byte {
	return []byte{
		0x1b, '@', // ESC @: initialise, clear, cursor home
		0x1b, 't', 0, // ESC t 0: character table PC437
		0x1f, 0x01, // US MD1: overwrite mode
		0x1f, 'C', 0, // US C 0: no cursor
	}
}

func (epsonDM) row(n int, text []byte) []byte {
	return append([]byte{0x1f, '$', 1, byte(n + 1)}, text...) // US $ x y: cursor to column x, row y
}

func (epsonDM) blank() []byte { return []byte{0x0c} } // CLR

// cd5220 is the CD5220 standard mode (CD5220 user's manual, 6.1). The string mode of
// ESC Q is left by CLR alone; a further ESC Q is taken without.
type cd5220 struct{}

func (cd5220) hello() []byte { return []byte{0x1b, '@', 0x0c} } // ESC @: initialise; CLR: leave the string mode

func (cd5220) row(n int, text []byte) []byte {
	return append(append([]byte{0x1b, 'Q', byte('A' + n)}, text...), '\r') // ESC Q A: upper row, B: lower row
}

func (cd5220) blank() []byte { return []byte{0x0c} } // CLR

// led8 is eight digits and four lamps (LED8N user's manual: STX L; displays of the older
// kind: ESC s n, bbs.bccn.net thread 471533). Its only row is a label's
// number, one byte, and the amount.
type led8 struct{ labels string }

// The lamps, by the label they light.
const (
	lampNone = iota
	lampPrice
	lampTotal
	lampReceived
	lampChange
)

func (l led8) hello() []byte { return append([]byte{0x1b, '@'}, l.lamp(lampNone)...) } // ESC @: initialise and clear

func (l led8) row(_ int, text []byte) []byte {
	out := l.lamp(int(text[0]))
	out = append(out, 0x1b, 'Q', 'A') // ESC Q A digits CR
	out = append(out, bytes.TrimSpace(text[1:])...)
	return append(out, '\r')
}

func (l led8) blank() []byte { return append([]byte{0x0c}, l.lamp(lampNone)...) } // CLR

// lamp lights one lamp and puts the others out.
func (l led8) lamp(n int) []byte {
	switch l.labels {
	case "esc_s":
		return []byte{0x1b, 's', byte('0' + n)}
	case "stx_l":
		out := []byte{0x02, 'L', '0', '0', '0', '0'} // price, total, collect, change; '1' is bright
		if n > 0 {
			out[1+n] = '1'
		}
		return out
	}
	return nil
}
