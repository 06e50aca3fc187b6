package ccid

import (
	"bytes"
	"encoding/hex"
	"errors"
	"strings"
	"testing"

	"dcpos/drivers"
)

func unhex(tb testing.TB, s string) []byte {
	tb.Helper()
	b, err := hex.DecodeString(strings.ReplaceAll(s, " ", ""))
	if err != nil {
		tb.Fatal(err)
	}
	return b
}

// The bytes of sections 6.1.1, 6.1.3, 6.1.4 and 6.1.8.
func TestCommandsAreThoseOfTheSpecification(t *testing.T) {
	for name, tc := range map[string]struct {
		m    message
		want string
	}{
		"power on":    {message{kind: powerOn, seq: 1}, "62 00000000 00 01 000000"},
		"slot status": {message{kind: getStatus, seq: 2}, "65 00000000 00 02 000000"},
		"block":       {message{kind: xfrBlock, seq: 3, specific: [3]byte{0, 0x10, 0}, data: []byte{0, 0xA4}}, "6f 02000000 00 03 001000 00a4"},
		"escape":      {message{kind: escape, seq: 4, data: unhex(t, "ff00480000")}, "6b 05000000 00 04 000000 ff00480000"},
		"power off":   {message{kind: powerOff, seq: 255}, "63 00000000 00 ff 000000"},
	} {
		if got := tc.m.encode(); !bytes.Equal(got, unhex(t, tc.want)) {
			t.Errorf("%s: got % x", name, got)
		}
	}
}

func TestAnswersInAnyPieces(t *testing.T) {
	whole := unhex(t, "80 02000000 00 05 000000 9000 81 00000000 00 06 42fe00 80 00000000 00 07 800500")
	for size := 1; size <= len(whole); size++ {
		var d decoder
		var got []message
		for rest := whole; len(rest) > 0; {
			n := min(size, len(rest))
			got, rest = append(got, d.Feed(rest[:n])...), rest[n:]
		}
		if len(got) != 3 || !bytes.Equal(got[0].data, []byte{0x90, 0}) || got[0].icc() != iccActive {
			t.Fatalf("pieces of %d: %+v", size, got)
		}
		if m := got[1]; m.icc() != iccAbsent || m.outcome() != commandFailed || m.fault() != faultMute || m.seq != 6 {
			t.Errorf("failed: %+v", m)
		}
		if m := got[2]; m.outcome() != commandMoreTime || m.fault() != 5 {
			t.Errorf("more time: %+v", m)
		}
	}
}

func TestEveryFaultHasACodeAndAName(t *testing.T) {
	for b := range 256 {
		f := fault(b)
		if f.String() == "" || f.code() == 0 {
			t.Errorf("%02x: %q %v", b, f.String(), f.code())
		}
	}
	for f, want := range map[fault]drivers.ErrorCode{
		faultMute: drivers.ErrTorn, faultParity: drivers.ErrTorn, faultBusy: drivers.ErrBusy, faultHardware: drivers.ErrFailure,
		faultUnsupported: drivers.ErrIllegal, 0x07: drivers.ErrFailure, 0x91: drivers.ErrFailure,
	} {
		if f.code() != want {
			t.Errorf("%s: got %v, want %v", f, f.code(), want)
		}
	}
}

func TestClassDescriptor(t *testing.T) {
	// readers/ACR122U_PICC.txt of libccid, in the order of table 5.1-1
	acr122u := unhex(t, "3621 0001 00 07 02000000 a00f0000 a00f0000 00 002a0000 90d00300 00 00010000 00000000 00000000 40000200 0f010000 00 00 0000 00 01")
	a, err := parseClass(append(unhex(t, "0424 0102"), acr122u...))
	if err != nil || a.extended || a.maxMessage != 271 {
		t.Errorf("got %+v, %v", a, err)
	}
	extended := bytes.Clone(acr122u)
	extended[42] = 0x04
	if a, err := parseClass(extended); err != nil || !a.extended {
		t.Errorf("extended: got %+v, %v", a, err)
	}
	tpdu := bytes.Clone(acr122u)
	tpdu[42] = 0x01
	for name, bad := range map[string][]byte{"tpdu": tpdu, "none": nil, "cut": acr122u[:50], "zero length": {0, 0x21}} {
		if _, err := parseClass(bad); !errors.Is(err, errNotCCID) {
			t.Errorf("%s: got %v", name, err)
		}
	}
}

func TestNotifications(t *testing.T) {
	for s, want := range map[string]notification{
		"5003": {change: true, present: true}, "5002": {change: true}, "5000": {}, "51000001": {fault: true},
	} {
		if got, err := parseNotification(unhex(t, s)); err != nil || got != want {
			t.Errorf("%s: got %+v, %v", s, got, err)
		}
	}
	for _, bad := range []string{"", "50", "5203"} {
		if _, err := parseNotification(unhex(t, bad)); err == nil {
			t.Errorf("%q was taken", bad)
		}
	}
}

func FuzzDecode(f *testing.F) {
	f.Add(unhex(f, "80 02000000 00 05 000000 9000"), 3)
	f.Add(unhex(f, "81 ffffffff 00 06 42fe00"), 1)
	f.Add(unhex(f, "50 03"), 1)
	f.Fuzz(func(t *testing.T, b []byte, size int) {
		if len(b) > 128 {
			return // longer ones only take longer
		}
		var d decoder
		for rest := b; len(rest) > 0; {
			n := min(max(size, 1), len(rest))
			for _, m := range d.Feed(rest[:n]) {
				if again := m.encode(); !bytes.Contains(b, again) {
					t.Fatalf("% x is not in the input", again)
				}
			}
			rest = rest[n:]
		}
		_, _ = parseNotification(b)
		_, _ = parseClass(b)
	})
}
