package escpos

import (
	"dcpos/drivers"
	profiles "dcpos/firmware-profiles"
)

// Commands of buzzer and lamp. ESC B n t (manuals of Chinese-market printers, such as
// Zjiang's): n times, each of t times 50 ms, 1 to 9. ESC C m t n (Xprinter's SDK, "the
// printer beeps and the alarm light flashes"; command 63 of Gprinter's programming manual
// for receipt printers, for models with a lamp): m times at intervals of t times 50 ms, 1
// to 20, and what does it.
const (
	escBeep  = "\x1bB"
	escAlarm = "\x1bC"

	alarmLamp = 2
	alarmBoth = 3
)

// alarm is a tone in the printer's commands; nil for a tone that is none, or a printer with
// neither buzzer nor lamp.
func alarm(p profiles.Printer, t drivers.Tone) []byte {
	var times, length byte
	switch t {
	case drivers.ToneGood:
		times, length = 1, 2
	case drivers.ToneBad:
		times, length = 2, 8
	case drivers.ToneAttention:
		times, length = 3, 3
	default:
		return nil
	}
	buzzer := p.Buzzer == "esc_b"
	switch {
	case p.Lamp == "esc_c" && buzzer:
		return append([]byte(escAlarm), times, length, alarmBoth)
	case p.Lamp == "esc_c":
		return append([]byte(escAlarm), times, length, alarmLamp)
	case buzzer:
		return append([]byte(escBeep), times, length)
	}
	return nil
}
