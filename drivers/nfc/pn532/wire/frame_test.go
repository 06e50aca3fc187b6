package wire

import (
	"bytes"
	"encoding/hex"
	"errors"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
)

func unhex(tb testing.TB, s string) []byte {
	tb.Helper()
	b, err := hex.DecodeString(strings.ReplaceAll(s, " ", ""))
	if err != nil {
		tb.Fatal(err)
	}
	return b
}

// Vectors of UM0701-02, 7.2.2, and of 6.2.1.
func TestFramesAreThoseOfTheManual(t *testing.T) {
	got, err := Encode([]byte{0x02})
	if err != nil || !bytes.Equal(got, unhex(t, "0000ff02fed4022a00")) {
		t.Errorf("GetFirmwareVersion: % x, %v", got, err)
	}
	long, err := Encode(make([]byte, 255))
	if err != nil || !bytes.HasPrefix(long, unhex(t, "0000ffffff0100ffd400")) {
		t.Errorf("extended: % .12x, %v", long, err)
	}
	if _, err := Encode(make([]byte, maxExtended)); !errors.Is(err, ErrTooLong) {
		t.Errorf("too long: %v", err)
	}
	for name, tc := range map[string]struct {
		in   string
		want Frame
	}{
		"version":   {"0000ff06fad50332010607e800", Frame{Answer, unhex(t, "0332010607")}},
		"ack":       {"0000ff00ff00", Frame{Kind: Acknowledged}},
		"nack":      {"0000ffff0000", Frame{Kind: Refused}},
		"error":     {"0000ff01ff7f8100", Frame{Kind: SyntaxError}},
		"extended":  {"0000ffffff0003fdd54100ea00", Frame{Answer, unhex(t, "4100")}},
		"no 00 end": {"00ff03fdd54100ea", Frame{Answer, unhex(t, "4100")}},
	} {
		var d Decoder
		got := d.Feed(unhex(t, tc.in))
		if len(got) != 1 || got[0].Kind != tc.want.Kind || !bytes.Equal(got[0].Data, tc.want.Data) {
			t.Errorf("%s: got %+v", name, got)
		}
	}
}

// Frames are found between noise, in pieces of any size, and noise is no frame.
func TestFramesAmongNoise(t *testing.T) {
	for seed := range uint64(300) {
		dice := rand.New(rand.NewPCG(seed, 0)) //nolint:gosec // a test's choices
		some := func(n int, of func() byte) []byte {
			b := make([]byte, n)
			for i := range b {
				b[i] = of()
			}
			return b
		}
		var line []byte
		var want [][]byte
		for range 1 + dice.IntN(5) {
			noise := some(dice.IntN(21), func() byte { return []byte{0x01, 0x55, 0x7E, 0xAA, 0x00}[dice.IntN(5)] })
			data := some(1+dice.IntN(263), func() byte { return byte(dice.Uint32()) }) //nolint:gosec // any byte
			framed, err := Encode(data)
			if err != nil {
				t.Fatal(err)
			}
			i := len(framed) - len(data) - 3                                     // before the data, their sum and the last 00
			framed[i], framed[len(framed)-2] = fromChip, framed[len(framed)-2]-1 // as the chip sends it
			line, want = append(append(line, noise...), framed...), append(want, data)
		}
		var d Decoder
		var got [][]byte
		for len(line) > 0 {
			n := min(1+dice.IntN(40), len(line))
			for _, f := range d.Feed(line[:n]) {
				if f.Kind == Answer {
					got = append(got, f.Data)
				}
			}
			line = line[n:]
		}
		if !slices.EqualFunc(got, want, bytes.Equal) {
			t.Fatalf("seed %d: got % x\nwant % x", seed, got, want)
		}
	}
}

// A frame with a flipped bit is never taken for data, and the next one is found.
func TestFlippedBits(t *testing.T) {
	good := unhex(t, "0000ff06fad50332010607e800")
	for bit := range len(good) * 8 {
		bad := bytes.Clone(good)
		bad[bit/8] ^= 1 << (bit % 8)
		var d Decoder
		for _, f := range d.Feed(bad) {
			if f.Kind == Answer && !bytes.Equal(f.Data, unhex(t, "0332010607")) {
				t.Errorf("bit %d: % x was taken", bit, f.Data)
			}
		}
		d.Forget() // as before a repetition
		if got := d.Feed(good); len(got) != 1 || got[0].Kind != Answer {
			t.Errorf("bit %d: the next frame: %+v", bit, got)
		}
	}
}

func TestTargets(t *testing.T) {
	one := unhex(t, "01 01 0044 20 07 04112233445566 05 7880 7002")
	got, err := Targets(one)
	if err != nil || len(got) != 1 || len(got[0].UID) != 7 || len(got[0].ATS) != 5 {
		t.Errorf("got %+v, %v", got, err)
	}
	classic, err := Targets(unhex(t, "01 01 0004 08 04 11223344"))
	if err != nil || len(classic) != 1 || classic[0].ATS != nil {
		t.Errorf("classic: %+v, %v", classic, err)
	}
	for n := range one {
		if got, err := Targets(one[:n]); err == nil {
			t.Errorf("cut at %d: %+v", n, got)
		}
	}
	for _, bad := range []string{"03", "01 01 0044 20 05 0411223344 05 78807002", "01 01 0044 20 04 11223344 00"} {
		if got, err := Targets(unhex(t, bad)); err == nil {
			t.Errorf("%s: %+v", bad, got)
		}
	}
}

func FuzzDecode(f *testing.F) {
	f.Add(unhex(f, "0000ff06fad50332010607e800"), 3)
	f.Add(unhex(f, "00ffffff0003fdd54100ea00ff00ff00"), 1)
	f.Add(unhex(f, "0000ff0000ff01ff7f8100"), 2)
	f.Fuzz(func(t *testing.T, b []byte, size int) {
		if len(b) > 100 {
			return // longer ones only take longer
		}
		var d Decoder
		for rest := b; len(rest) > 0; {
			n := min(max(size, 1), len(rest))
			for _, fr := range d.Feed(rest[:n]) {
				if fr.Kind == Answer && (len(fr.Data) == 0 || !bytes.Contains(b, fr.Data)) {
					t.Fatalf("% x is not in the input", fr.Data)
				}
			}
			if len(d.buf) > maxExtended+16 {
				t.Fatalf("%d bytes are kept", len(d.buf))
			}
			rest = rest[n:]
		}
		_, _ = Targets(b)
	})
}
