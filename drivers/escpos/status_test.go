package escpos

import (
	"slices"
	"strings"
	"testing"
	"time"

	"dcpos/drivers"
	"dcpos/drivers/escpos/answer"
	profiles "dcpos/firmware-profiles"
)

// The tables of Epson's command reference, written down bit by bit as they stand there,
// not as masks: which bit of which answer says what.
type meaning struct {
	bit  int
	says string
}

func eotTable() map[int][]meaning {
	return map[int][]meaning{
		1: {{2, "drawer high"}, {3, "off-line"}},
		2: {{2, "cover"}, {5, "paper end"}},
		3: {{3, "cutter"}, {2, "fault"}, {5, "fault"}, {6, "hot"}},
		4: {{2, "near end"}, {3, "near end"}},
	}
}

// said is what a status says, by the words of the tables.
func said(s drivers.PrinterStatus) map[string]drivers.Tri {
	return map[string]drivers.Tri{
		"off-line": not(s.Online.Value), "cover": s.CoverOpen.Value, "paper end": s.PaperEnd.Value, "near end": s.PaperNearEnd.Value,
		"cutter": s.CutterError.Value, "fault": s.Fault.Value, "hot": s.HeadHot.Value, "drawer high": s.DrawerOpen.Value,
	}
}

func not(t drivers.Tri) drivers.Tri {
	switch t {
	case drivers.Yes:
		return drivers.No
	case drivers.No:
		return drivers.Yes
	case drivers.Unknown:
	}
	return drivers.Unknown
}

func bit(b byte, n int) bool { return b>>n&1 == 1 }

// realTimeByte is how an answer to DLE EOT looks: 0xx1xx10.
func realTimeByte(b byte) bool { return !bit(b, 0) && bit(b, 1) && bit(b, 4) && !bit(b, 7) }

// All 256 values of each answer: those that are none say nothing, the others what the
// table says and nothing else.
func TestEveryRealTimeAnswer(t *testing.T) {
	high := profiles.Drawer{OpenLevel: "high"}
	for n := 1; n <= 4; n++ {
		for v := range 256 {
			b := byte(v)
			got := new(answer.Decoder).Feed([]byte{b})
			if isOne := len(got) == 1 && got[0].Kind == answer.RealTime; isOne != realTimeByte(b) {
				t.Errorf("%02x is taken for %v", b, got)
				continue
			}
			if !realTimeByte(b) {
				continue
			}
			var s drivers.PrinterStatus
			applyRealTime(&s, n, b, high, time.Unix(1, 0))
			want := map[string]drivers.Tri{}
			for _, m := range eotTable()[n] {
				if bit(b, m.bit) {
					want[m.says] = drivers.Yes
				} else if want[m.says] != drivers.Yes {
					want[m.says] = drivers.No
				}
			}
			if n == 2 && want["paper end"] == drivers.No {
				want["paper end"] = drivers.Unknown // only that printing has not stopped for it
			}
			if n == 4 {
				want["paper end"] = drivers.TriOf(bit(b, 5) && bit(b, 6))
			}
			for what, is := range said(s) {
				if is != want[what] {
					t.Errorf("DLE EOT %d answered %02x: %s is %v, want %v", n, b, what, is, want[what])
				}
			}
		}
	}
}

// All combinations of the bits of a report, and every first byte that is none.
func TestEveryReport(t *testing.T) {
	free := func(fixed, value byte) (out []byte) {
		for v := range 256 {
			if byte(v)&fixed == value {
				out = append(out, byte(v))
			}
		}
		return out
	}
	first, rest := free(0x93, 0x10), free(0x90, 0x00)
	d := new(answer.Decoder)
	for _, b1 := range first {
		for _, b2 := range rest {
			for _, b3 := range rest {
				report := []byte{b1, b2, b3, b3}
				got := d.Feed(report)
				if len(got) != 1 || got[0].Kind != answer.ASB {
					t.Fatalf("report % x is taken for %v", report, got)
				}
				var s drivers.PrinterStatus
				applyASB(&s, got[0].Data, profiles.Drawer{OpenLevel: "low"}, time.Unix(1, 0))
				for what, want := range map[string]bool{
					"off-line": bit(b1, 3), "cover": bit(b1, 5), "drawer high": !bit(b1, 2),
					"cutter": bit(b2, 3), "fault": bit(b2, 2) || bit(b2, 5), "hot": bit(b2, 6),
					"near end": bit(b3, 0) || bit(b3, 1), "paper end": bit(b3, 2) && bit(b3, 3),
				} {
					if is := said(s)[what]; is != drivers.TriOf(want) {
						t.Fatalf("report % x: %s is %v, want %v", report, what, is, want)
					}
				}
			}
		}
	}
	for v := range 256 {
		b := byte(v)
		if got := new(answer.Decoder).Feed([]byte{b, 0, 0, 0}); (len(got) == 1 && got[0].Kind == answer.ASB) != (b&0x93 == 0x10) {
			t.Errorf("%02x 00 00 00 is taken for %v", b, got)
		}
		if b&0x90 != 0 {
			got := new(answer.Decoder).Feed([]byte{0x10, b, 0, 0})
			if b != 0x11 && b != 0x13 && len(got) > 0 && got[0].Kind == answer.ASB && got[0].Data[1] == b {
				t.Errorf("10 %02x 00 00 is taken for a report", b)
			}
		}
	}
}

// All 256 answers to GS r 1: one that says that there is paper confirms, no other does.
func TestEveryAnswerThatConfirms(t *testing.T) {
	p := New(profiles.Printer{Status: profiles.Status{GSR: true}}, nil, Options{})
	_, fits, by := p.confirmation()
	for v := range 256 {
		b := byte(v)
		want := !bit(b, 4) && !bit(b, 7) && !bit(b, 2) && !bit(b, 3) && !strings.ContainsRune("57;=_", rune(b)) // the headers of blocks
		confirms := false
		for _, a := range new(answer.Decoder).Feed([]byte{b}) {
			confirms = confirms || fits(a)
		}
		if confirms != want || by != drivers.ConfirmedByStatus {
			t.Errorf("GS r answered %02x: confirms %v, want %v", b, confirms, want)
		}
	}
}

// What is asked for a reason comes in an order that a person can act on.
func TestTroubleInOrder(t *testing.T) {
	yes := drivers.Reading{Value: drivers.Yes}
	var s drivers.PrinterStatus
	for _, step := range []struct {
		set  func()
		want drivers.PauseReason
	}{
		{func() {}, ""},
		{func() { s.PaperNearEnd = yes; s.DrawerOpen = yes }, ""},
		{func() { s.Online = drivers.Reading{Value: drivers.No} }, drivers.PausedOffline},
		{func() { s.HeadHot = yes }, drivers.PausedError},
		{func() { s.PaperEnd = yes }, drivers.PausedPaper},
		{func() { s.CoverOpen = yes }, drivers.PausedCover},
	} {
		if step.set(); trouble(s) != step.want {
			t.Errorf("%+v: got %q, want %q", s, trouble(s), step.want)
		}
	}
}

// Languages that are not ESC/POS are told apart by what they answer, whatever the first byte.
func TestEveryFirstByteOfOtherLanguages(t *testing.T) {
	for v := range 256 {
		b := byte(v)
		got := language([]byte{b})
		if want := b>>4 == 0xB; (got == "SII") != want || got == "Star" {
			t.Errorf("%02x alone: got %q", b, got)
		}
		// A report of Star's: bit 0 set, bits 4 and 7 clear; the length in bits 1-3 and 5-6.
		length := int(b>>1&7) + 8*int(b>>5&3)
		report := make([]byte, max(length, 2))
		report[0], report[1] = b, 0x86
		isStar := bit(b, 0) && !bit(b, 4) && !bit(b, 7) && length >= 7
		if got := language(report); (got == "Star") != isStar {
			t.Errorf("% x: got %q, Star %v", report, got, isStar)
		}
		if isStar && (language(report[:length-1]) != "" || language(slices.Concat(report, []byte{0, 0})) != "Star") {
			t.Errorf("half of % x is taken for Star's, or a longer one is not", report)
		}
	}
	if got := language(nil); got != "" {
		t.Errorf("silence is %q", got)
	}
	// The common report of a TSP100: 23 86 and seven more.
	if got := language([]byte{0x23, 0x86, 0, 0, 0, 0, 0, 0, 0}); got != "Star" {
		t.Errorf("a TSP100 is %q", got)
	}
}
