package nfc

import (
	"context"
	"fmt"

	"dcpos/drivers"
	"dcpos/drivers/nfc/apdu"
)

// The one language of lights so far: pseudo-APDUs of the ACR122U (ACS, ACR122U API 2.04).
const languageACR122U = "acr122u"

// Bits of P2 of FF 00 40 (section 6.2): the final state of the LEDs, which of them are to
// be changed, their state while blinking, and which of them blink.
const (
	red, green             = 0x01, 0x02
	setRed, setGreen       = 0x04, 0x08
	startRed, startGreen   = 0x10, 0x20
	blinkRed, blinkGreen   = 0x40, 0x80
	setBoth                = setRed | setGreen
	buzzOff, buzzWhileLit  = 0x00, 0x01
	tick                   = 1 // of 100 ms
	acr122uRefusedTicks    = 3
	acr122uRefusedRepeated = 2
)

// acr122uSignal is the LED and buzzer command for a signal: FF 00 40 P2 04 T1 T2 n link,
// T1 and T2 in tenths of a second. Ready is green, working is both, done is one beep and
// green, refused is two long beeps and red.
func acr122uSignal(s drivers.Signal) []byte {
	p2, t1, t2, n, link := byte(setBoth), byte(0), byte(0), byte(0), byte(buzzOff)
	switch s {
	case drivers.SignalReady:
		p2 |= green
	case drivers.SignalWorking:
		p2 |= red | green
	case drivers.SignalDone:
		p2 |= green | startGreen | blinkGreen
		t1, t2, n, link = tick, tick, 1, buzzWhileLit
	case drivers.SignalRefused:
		p2 |= red | startRed | blinkRed
		t1, t2, n, link = acr122uRefusedTicks, tick, acr122uRefusedRepeated, buzzWhileLit
	case drivers.SignalOff:
	}
	return []byte{0xFF, 0x00, 0x40, p2, 0x04, t1, t2, n, link}
}

// quietDetect switches off the beep that the ACR122U gives for every card (section 6.7).
func quietDetect() []byte { return []byte{0xFF, 0x00, 0x52, 0x00, 0x00} }

// askFirmware is FF 00 48 00 00; the answer is text without a status word (section 6.1).
func askFirmware() []byte { return []byte{0xFF, 0x00, 0x48, 0x00, 0x00} }

// accepted judges the answer to a light or sound command: 90 and the state of the LEDs.
func accepted(response []byte) error {
	_, status, err := apdu.Split(response)
	if err != nil {
		return fmt.Errorf("%w: %w", drivers.ErrFailure, err)
	}
	if status>>8 != 0x90 {
		return fmt.Errorf("%w: the reader answers %s", drivers.ErrFailure, status)
	}
	return nil
}

// introduce asks an ACR122U for its firmware and switches its own beep off. A reader whose
// daemon does not let such commands through serves all the same.
func (r *Reader) introduce(ctx context.Context, port Port, id *Identity) {
	if r.profile.Signals.Language != languageACR122U {
		return
	}
	if answer, err := r.control(ctx, port, askFirmware()); err == nil && len(answer) > 2 {
		id.Firmware = printable(answer)
	}
	if r.profile.Signals.QuietDetect {
		_, _ = r.control(ctx, port, quietDetect()) // it only beeps more
	}
}

func printable(b []byte) string {
	out := make([]byte, 0, len(b))
	for _, c := range b {
		if c >= 0x20 && c < 0x7F {
			out = append(out, c)
		}
	}
	return string(out)
}

func (r *Reader) control(ctx context.Context, port Port, command []byte) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, signalLimit+r.profile.Timing.Answer())
	defer cancel()
	return port.Control(ctx, command)
}
