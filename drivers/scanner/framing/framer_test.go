package framing

import (
	"bytes"
	"errors"
	"slices"
	"testing"
	"time"

	"dcpos/drivers"
	profiles "dcpos/firmware-profiles"
)

func sameEvent(a, b drivers.ScanEvent) bool {
	return bytes.Equal(a.Data.Bytes, b.Data.Bytes) && a.Data.Symbology == b.Data.Symbology && a.Data.At.Equal(b.Data.At) &&
		(a.Err == nil) == (b.Err == nil) && (a.Err == nil || a.Err.Error() == b.Err.Error())
}

func FuzzFramer(f *testing.F) {
	f.Add([]byte("]E06901028075862\r\n0100320229316139647\r"), uint8(0))
	f.Add(bytes.Repeat([]byte("9"), 200), uint8(3))
	f.Add([]byte("\x02abc\r\x00\xff\r]Q1x\r"), uint8(7))
	f.Add([]byte("\x02abc\r\n\x02def\r\n\x02ghi\r\n"), uint8(8))
	f.Fuzz(func(t *testing.T, in []byte, set uint8) {
		if len(in) > 200 {
			return // longer ones only take longer
		}
		rules := profiles.Framing{End: []string{"\r", "\n"}, MaxBytes: 64, StaleMS: 5000, AIM: set&1 != 0}
		if set&2 != 0 {
			rules.Prefix = "\x02"
		}
		if set&4 != 0 {
			rules.End = []string{"\r\n", "\x03"}
		}
		if set&8 != 0 {
			rules = profiles.Framing{Learn: true, MaxBytes: 64, StaleMS: 5000}
		}
		at := time.Unix(1, 0)
		whole, single := New(rules, nil), New(rules, nil)
		all := whole.Feed(in, at)
		var one []drivers.ScanEvent
		for _, b := range in {
			one = append(one, single.Feed([]byte{b}, at)...)
		}
		if !slices.EqualFunc(all, one, sameEvent) {
			t.Fatalf("pieces matter: whole %+v, single %+v", all, one)
		}
		for _, e := range all {
			if e.Err == nil && (len(e.Data.Bytes) == 0 || len(e.Data.Bytes) > rules.MaxBytes+3+len(rules.Prefix)) {
				t.Fatalf("code of %d bytes", len(e.Data.Bytes))
			}
			if e.Err != nil && !errors.Is(e.Err, drivers.ErrTooBig) && !errors.Is(e.Err, drivers.ErrBadFormat) {
				t.Fatalf("error %v", e.Err)
			}
		}
		if len(whole.buf) > rules.MaxBytes+8 {
			t.Fatalf("%d bytes are kept", len(whole.buf))
		}
		whole.Silence(at.Add(10 * time.Second)) // what is stale is given up, and a learner begins again
		again := whole.rules
		// After a silence it is in step again, whatever came before.
		got := whole.Feed([]byte(again.Prefix+"123"+again.End[0]), at.Add(time.Minute))
		if len(got) == 0 || got[len(got)-1].Err != nil || string(got[len(got)-1].Data.Bytes) != "123" {
			t.Fatalf("after the silence: %+v", got)
		}
	})
}
