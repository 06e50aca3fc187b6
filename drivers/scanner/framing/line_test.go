package framing

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"golang.org/x/text/encoding/simplifiedchinese"
	"pgregory.net/rapid"

	"dcpos/drivers"
	profiles "dcpos/firmware-profiles"
	"dcpos/lab/device"
)

// The ways in which a profile frames, as the shipped ones do.
var framings = map[string]profiles.Framing{
	"serial-cr":       {End: []string{"\r", "\n"}, MaxBytes: 4096, StaleMS: 5000},
	"serial-nosuffix": {End: []string{"\r", "\n"}, IdleMS: 60, MaxBytes: 4096, StaleMS: 5000},
	"serial-auto":     {Learn: true, MaxBytes: 4096, StaleMS: 5000},
}

// hall plays scans to a framer: each at once or in pieces, and the silence after it in the
// steps in which the driver tells of it.
type hall struct {
	*Framer

	now    time.Time
	events []drivers.ScanEvent
}

func newHall(rules profiles.Framing) *hall {
	return &hall{Framer: New(rules, nil), now: time.Unix(1_700_000_000, 0)}
}

// burst hears the bytes of one scan, then nothing for the silence.
func (h *hall) burst(b []byte, piece int, silence time.Duration) {
	for len(b) > 0 {
		n := min(piece, len(b))
		h.events = append(h.events, h.Feed(b[:n], h.now)...)
		b = b[n:]
		h.now = h.now.Add(time.Duration(n) * time.Millisecond)
	}
	for silence > 0 {
		step := silence
		if w := h.Waiting(); w > 0 {
			step = min(step, w)
		}
		h.now = h.now.Add(step)
		silence -= step
		h.events = append(h.events, h.Silence(h.now)...)
	}
}

// The usual settings of scanners and ports, each taken for the other.
var wrongPairs = [][2]int{
	{9600, 115200},
	{115200, 9600},
	{9600, 19200},
	{19200, 9600},
	{9600, 38400},
	{38400, 9600},
	{57600, 115200},
	{115200, 57600},
	{38400, 115200},
	{115200, 38400},
	{19200, 115200},
	{115200, 19200},
}

func digits(r *rand.Rand, n int) string {
	var b strings.Builder
	for range n {
		b.WriteByte('0' + byte(r.IntN(10)))
	}
	return b.String()
}

// contents are codes of a till: goods, payment codes, links.
func contents(r *rand.Rand, n int) string {
	switch r.IntN(3) {
	case 0:
		return digits(r, n)
	case 1:
		return ("https://qr.95516.com/" + digits(r, 20))[:n]
	}
	const letters = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ"
	var b strings.Builder
	for range n {
		b.WriteByte(letters[r.IntN(len(letters))])
	}
	return b.String()
}

// At a wrong speed it is said, whatever the two speeds are, however long the codes, however
// fast the cashier tries, whichever the chip; and the first good code ends it.
func TestAWrongSpeedIsFound(t *testing.T) {
	const scans = 25 // by as many scanners, each with his codes, clock and haste
	for name, rules := range framings {
		for _, pair := range wrongPairs {
			t.Run(fmt.Sprintf("%s, %d heard at %d", name, pair[0], pair[1]), func(t *testing.T) {
				r := rand.New(rand.NewPCG(1, uint64(pair[0]))) //nolint:gosec // the same codes each time
				needed := map[int]int{}
				for range scans {
					h := newHall(rules)
					end := "\r"
					if rules.IdleMS > 0 && r.IntN(2) == 0 {
						end = ""
					}
					uart := device.UART{Baud: pair[1], Resync: r.IntN(2) == 0}
					sent := int(float64(pair[0]) * (0.985 + 0.03*r.Float64()))
					n, length, hurry := 0, 8+r.IntN(33), time.Duration(300+r.IntN(8000))*time.Millisecond
					code, same := contents(r, length), r.IntN(2) == 0 // who wonders takes the same one again
					for n < 12 && h.Known().Finding.Name != wrongSpeed {
						if h.burst(uart.Hears([]byte(code+end), sent), 1+r.IntN(16), hurry); !same {
							code = contents(r, length)
						}
						n++
					}
					needed[n]++
					found := h.Known().Finding.Name
					h.events = nil
					h.burst([]byte("6901028075862\r"), 16, pause) // a learner may wait for its end
					if f := h.Known().Finding; found != "" && (f.Name != "" || len(h.events) != 1 || h.events[0].Err != nil) {
						t.Fatalf("after a good code: %+v, %+v", f, h.events)
					}
				}
				// A few codes sound like a short one at the wrong speed, and where silence ends
				// codes, nothing tells them from it.
				missed, quick := scans*4/100, scans*96/100
				if rules.IdleMS > 0 || rules.Learn {
					missed, quick = scans*15/100, scans*85/100
				}
				if needed[12] > missed || needed[3]+needed[4] < quick {
					t.Errorf("of %d, found after so many scans: %v", scans, needed)
				}
			})
		}
	}
}

// A piece that looks like a code, such as the letter between two line feeds of noise, does
// not end the finding.
func TestNoiseThatLooksLikeACodeEndsNothing(t *testing.T) {
	h := newHall(framings["serial-cr"])
	for range 3 {
		h.burst([]byte("\x08\x48\x88"), 8, time.Second)
	}
	h.burst([]byte("\x88\nH\n\x8a\xc1"), 8, time.Second)
	if f := h.Known().Finding; f.Name != wrongSpeed {
		t.Errorf("%+v", f)
	}
	h.burst([]byte("7\r"), 8, time.Second)
	if f := h.Known().Finding; f.Name != "" {
		t.Errorf("a short code in step: %+v", f)
	}
}

// At the right speed nothing is said of it, whatever codes hold.
func TestARightSpeedIsNeverDoubted(t *testing.T) {
	gbk := func(s string) string {
		b, err := simplifiedchinese.GBK.NewEncoder().String(s)
		if err != nil {
			panic(err)
		}
		return b
	}
	chinese := []rune("中国人民银行数字钱包商品条码测试,零售价￥¥€")
	rapid.Check(t, func(t *rapid.T) {
		name := rapid.SampledFrom([]string{"serial-cr", "serial-nosuffix", "serial-auto"}).Draw(t, "framing")
		kinds := []string{"text", "utf-8", "gbk", "gs1", "binary", "short"}
		kind := rapid.SampledFrom(kinds).Draw(t, "kind")
		ends := []string{"\r", "\n", "\r\n"}
		if name != "serial-cr" && kind != "binary" {
			ends = append(ends, "")
		}
		end := rapid.SampledFrom(ends).Draw(t, "end")
		h := newHall(framings[name])
		for i := range rapid.IntRange(1, 12).Draw(t, "scans") {
			var code string
			switch kind {
			case "text":
				code = rapid.StringMatching(`[ -~]{8,80}`).Draw(t, "code")
			case "utf-8":
				code = rapid.StringOfN(rapid.SampledFrom(chinese), 3, 60, -1).Draw(t, "code")
			case "gbk":
				code = gbk(strings.ReplaceAll(rapid.StringOfN(rapid.SampledFrom(chinese[:20]), 3, 60, -1).Draw(t, "code"), "¥", "￥"))
			case "gs1":
				code = "]C1" + rapid.StringMatching(`01[0-9]{14}\x1d?10[A-Z0-9]{1,20}\x1d21[0-9]{1,20}`).Draw(t, "code")
			case "binary":
				code = string(rapid.SliceOfN(rapid.Byte(), 1, 300).Draw(t, "code"))
			case "short":
				code = rapid.StringMatching(`[0-9]{1,5}`).Draw(t, "code")
			}
			h.burst([]byte(code+end), rapid.IntRange(1, 64).Draw(t, "piece"), time.Duration(rapid.IntRange(300, 8000).Draw(t, "silence"))*time.Millisecond)
			if f := h.Known().Finding; f.Name == wrongSpeed || f.Name == missingEnd || kind == "binary" && f.Name == nothingFits {
				t.Fatalf("after %d codes of %s that end with %q, last % x: %+v", i+1, kind, end, code, f)
			}
		}
	})
}

// Binary contents where silence ends codes cannot be told from noise when they are short;
// those of a ticket or a licence are not.
func TestBinaryContentsWithoutAnEnd(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4)) //nolint:gosec // the same codes each time
	for _, name := range []string{"serial-nosuffix", "serial-auto"} {
		for range 100 {
			h := newHall(framings[name])
			for range 6 {
				b := make([]byte, longNoise+r.IntN(200))
				for i := range b {
					b[i] = byte(r.IntN(256))
				}
				h.burst(b, 64, 2*time.Second)
			}
			if f := h.Known().Finding; f.Name == wrongSpeed {
				t.Fatalf("%s: %+v", name, f)
			}
		}
	}
}

func TestAMissingEndIsFoundHoweverFastTheCashierTries(t *testing.T) {
	for _, every := range []time.Duration{400 * time.Millisecond, 2 * time.Second, 8 * time.Second} {
		h := newHall(framings["serial-cr"])
		for i := range 3 {
			if f := h.Known().Finding; f.Name != "" {
				t.Fatalf("every %s, after %d scans: %+v", every, i, f)
			}
			h.burst([]byte("6901028075862"), 16, every)
		}
		if f := h.Known().Finding; f.Name != missingEnd {
			t.Errorf("every %s: %+v", every, f)
		}
		h.events = nil
		h.burst([]byte("6901028075862\r"), 16, 0)
		if f := h.Known().Finding; f.Name != "" || len(h.events) != 1 || string(h.events[0].Data.Bytes) != "6901028075862" {
			t.Errorf("every %s, after a good code: %+v, %+v", every, f, h.events)
		}
	}
}

// A code is understood by what is in it, whatever the scanner puts before it.
func TestACodeWithAPrefixEndsAFinding(t *testing.T) {
	h := newHall(profiles.Framing{Prefix: "\x02", IdleMS: 60, MaxBytes: 4096, StaleMS: 5000})
	for range 3 {
		h.burst([]byte{0, 0, 0}, 8, time.Second)
	}
	if f := h.Known().Finding; f.Name != wrongSpeed {
		t.Fatalf("%+v", f)
	}
	h.burst([]byte("\x026901028075862"), 16, 100*time.Millisecond)
	if f := h.Known().Finding; f.Name != "" {
		t.Errorf("after a good code: %+v", f)
	}
}

// What is no scan is no sign: keys that a person types, and sparks an hour apart.
func TestCrumbsAreNoSign(t *testing.T) {
	typed := &hall{Framer: Typed(framings["serial-cr"]), now: time.Unix(1_700_000_000, 0)}
	for _, key := range "6901028075862" {
		typed.burst([]byte(string(key)), 1, time.Second)
	}
	if f := typed.Known().Finding; f.Name != "" {
		t.Errorf("keys: %+v", f)
	}
	h := newHall(framings["serial-cr"])
	for range 10 {
		h.burst([]byte{0}, 1, time.Hour)
		h.burst([]byte{0xff}, 1, time.Hour)
	}
	if f := h.Known().Finding; f.Name != "" {
		t.Errorf("%+v", f)
	}
	for range 6 {
		typed.burst([]byte{0, 0, 1}, 1, time.Second)
	}
	if f := typed.Known().Finding; f.Name == wrongSpeed {
		t.Errorf("of a keyboard: %+v", f)
	}
}

// Somebody who never pauses is judged all the same.
func TestAChatteringLine(t *testing.T) {
	h := newHall(framings["serial-cr"])
	h.burst(make([]byte, 20_000), 64, 0)
	if f := h.Known().Finding; f.Name != wrongSpeed || len(h.events) == 0 || !errors.Is(h.events[0].Err, drivers.ErrTooBig) {
		t.Errorf("%+v, %d events", f, len(h.events))
	}
}

// Noise teaches nothing: the right framing is learned as soon as the speed is right.
func TestNoiseTeachesNothing(t *testing.T) {
	for _, pair := range wrongPairs {
		r := rand.New(rand.NewPCG(5, uint64(pair[0]))) //nolint:gosec // the same codes each time
		h := newHall(framings["serial-auto"])
		for range 20 {
			h.burst(device.UART{Baud: pair[1]}.Hears([]byte(digits(r, 13)+"\r"), pair[0]), 16, time.Second)
		}
		if k := h.Known(); k.Sure {
			t.Errorf("%d heard at %d: learned %+v", pair[0], pair[1], k.Framing)
		}
		for range 4 {
			h.burst([]byte(digits(r, 13)+"\r"), 16, time.Second)
		}
		if k := h.Known(); !k.Sure || k.Framing.End != drivers.EndCR || k.Framing.Prefix != "" || k.Finding.Name != "" {
			t.Errorf("%d heard at %d, then right: %+v", pair[0], pair[1], k)
		}
	}
}
