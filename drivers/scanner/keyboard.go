package scanner

import (
	"time"

	"dcpos/drivers"
	"dcpos/drivers/scanner/framing"
	"dcpos/drivers/scanner/wedge"
	"dcpos/drivers/transport"
	profiles "dcpos/firmware-profiles"
)

// NewKeyboard makes a closed scanner that types. dial gives the kernel's input events of
// a device that is grabbed, as transport/evdev does.
func NewKeyboard(p profiles.Scanner, dial transport.Dial, o Options) *Scanner {
	return build(p, dial, o, func(transport.Conn) decoder {
		return &keyboard{keys: wedge.Decoder{AltCodes: wedge.AltCodes(p.Keyboard.AltCodes)}, Framer: framing.Typed(p.Framing)}
	})
}

// keyboard frames what is typed. Silence within a code is measured by the kernel's times
// and not by when we came to read, so that a till that stood still cuts no code in two.
type keyboard struct {
	*framing.Framer

	keys  wedge.Decoder
	start time.Time // the wall clock at the kernel's time 0
}

func (k *keyboard) Feed(p []byte, at time.Time) []drivers.ScanEvent {
	strokes := k.keys.Take(p)
	if len(strokes) == 0 {
		return nil
	}
	last := strokes[len(strokes)-1].At
	if start := at.Add(-last); k.start.IsZero() || start.Before(k.start) {
		k.start = start // the shortest way from the kernel to here is the truest
	}
	var out []drivers.ScanEvent
	for _, s := range strokes {
		when := k.start.Add(s.At)
		if s.Lost {
			out = append(out, k.Silence(when)...)
			k.Lose(when)
			continue
		}
		out = append(out, k.Framer.Feed(s.Bytes, when)...)
	}
	return out
}
