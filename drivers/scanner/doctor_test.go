package scanner_test

import (
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"dcpos/drivers"
	"dcpos/drivers/scanner"
	"dcpos/drivers/transporttest"
	profiles "dcpos/firmware-profiles"
	"dcpos/lab/device"
	"dcpos/pos"
)

// heard is a scanner after it has heard a script: what was delivered, and how it stands.
type heard struct {
	events  []string // codes; errors by their name; a finding by its English text
	health  drivers.Health
	learned drivers.LearnedFraming
	sure    bool
}

func hear(t *testing.T, p profiles.Scanner, ops ...transporttest.IO) heard {
	t.Helper()
	line := &transporttest.Playback{Ops: append([]transporttest.IO{{Silence: drained}}, ops...)}
	s := scanner.New(p, line.Dial, scanner.Options{})
	enabled(t, s)
	var h heard
	done := make(chan struct{})
	go func() {
		defer close(done)
		for e := range s.Events() {
			code, bad := errors.AsType[drivers.ErrorCode](e.Err)
			switch {
			case code == drivers.ErrExtended:
				h.events = append(h.events, pos.AsError(e.Err).Text.EN)
				if he := pos.AsError(e.Err); he.Text.ZH == "" || he.Hint.ZH == "" || he.Hint.EN == "" {
					t.Errorf("%+v does not tell a person what to do", he)
				}
			case bad:
				h.events = append(h.events, code.Name())
			default:
				h.events = append(h.events, strings.TrimSpace(e.Data.Symbology+" "+e.Data.Text()))
			}
		}
	}()
	time.Sleep(time.Minute)
	var err error
	if h.health, err = s.CheckHealth(t.Context(), drivers.HealthInternal); err != nil {
		t.Error(err)
	}
	h.learned, h.sure = s.Learned()
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	<-done
	return h
}

func say(s string) transporttest.IO { return transporttest.IO{R: []byte(s)} }

func later(d time.Duration, s string) transporttest.IO {
	return transporttest.IO{Silence: d, R: []byte(s)}
}

// scans are codes a second apart, each with what the scanner puts around it.
func scans(before, after string, codes ...string) []transporttest.IO {
	var ops []transporttest.IO
	for _, c := range codes {
		ops = append(ops, later(time.Second, before+c+after))
	}
	return ops
}

func TestTheDriverLearnsHowCodesEnd(t *testing.T) {
	codes := []string{"6901028075862", "0100320229316139647", "96385074", "036000291452"}
	for _, tc := range []struct {
		name          string
		before, after string
		end           drivers.FrameEnd
		prefix        string
		refused       int // codes before the prefix is known
	}{
		{name: "CR", after: "\r", end: drivers.EndCR},
		{name: "LF", after: "\n", end: drivers.EndLF},
		{name: "CRLF", after: "\r\n", end: drivers.EndCRLF},
		{name: "nothing", after: "", end: drivers.EndIdle},
		{name: "STX and CR", before: "\x02", after: "\r", end: drivers.EndCR, prefix: "02", refused: 2},
		{name: "STX and nothing", before: "\x02", end: drivers.EndIdle, prefix: "02", refused: 2},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				h := hear(t, profile(t, "serial-auto"), scans(tc.before, tc.after, codes...)...)
				want := append([]string(nil), codes...)
				for i := range tc.refused {
					want[i] = "EPTR_BADFORMAT"
				}
				if diff := cmp.Diff(want, h.events); diff != "" {
					t.Errorf("(-want +got):\n%s", diff)
				}
				if !h.sure || h.learned.End != tc.end || h.learned.Prefix != tc.prefix || h.learned.Codes > 3 {
					t.Errorf("learned %+v, %v", h.learned, h.sure)
				}
				if !h.health.OK {
					t.Errorf("health %+v", h.health)
				}
			})
		})
	}
}

func TestLearning(t *testing.T) {
	type ops = []transporttest.IO
	for _, tc := range []struct {
		name string
		ops  ops
		want []string
		end  drivers.FrameEnd
		sure bool
	}{
		{"one code is not enough", ops{say("123\r")}, []string{"123"}, "", false},
		{"the AIM identifier is never part of a code", ops{say("]Q10100320229316139647\r]E0690\r456\r")}, []string{"]Q1 0100320229316139647", "]E0 690", "456"}, drivers.EndCR, true},
		{
			"once ends are seen, a pause within a code cuts nothing",
			ops{say("123\r"), later(time.Second, "01003202"), later(2*time.Second, "29316139647\r"), say("789\r")},
			[]string{"123", "0100320229316139647", "789"},
			drivers.EndCR, true,
		},
		{
			"a code of several lines is not taken apart once CR is learned",
			ops{say("1\r2\r3\r"), say("line 1\nline 2\r")},
			[]string{"1", "2", "3", "line 1\nline 2"},
			drivers.EndCR, true,
		},
		{
			"a scanner that is set anew is learned anew",
			ops{say("1\r2\r3\r"), later(time.Second, "4\n"), later(6*time.Second, "5\n"), say("6\n"), say("7\n")},
			[]string{"1", "2", "3", "4", "5", "6", "7"},
			drivers.EndLF, true,
		},
		{
			"a scanner that begins to send ends",
			append(scans("", "", "1", "2", "3", "4"), scans("", "\r", "5", "6", "7")...),
			[]string{"1", "2", "3", "4", "5", "6", "7"},
			drivers.EndCR, true,
		},
		{
			"a scanner that is set anew is believed when it pauses, however soon the next code comes",
			ops{say("1\r2\r3\r"), later(time.Second, "4\n"), later(time.Second, "5\n"), later(time.Second, "6\n")},
			[]string{"1", "2", "3", "4", "5", "6"},
			drivers.EndLF, true,
		},
		{
			"CR where CRLF was learned", append(scans("", "\r\n", "1", "2", "3"), scans("", "\r", "4", "5", "6")...),
			[]string{"1", "2", "3", "4", "5", "6"},
			drivers.EndCR, true,
		},
		{
			"CRLF where LF was learned leaves no CR in the code", append(scans("", "\n", "1", "2", "3"), scans("", "\r\n", "4", "5")...),
			[]string{"1", "2", "3", "4", "5"},
			drivers.EndLF, true,
		},
		{
			"a scanner that sends no end any more is heard again, though somebody tries once a second",
			append(scans("", "\r", "1", "2", "3"), scans("", "", "4", "5", "6", "7", "8", "9", "10", "11", "12")...),
			[]string{"1", "2", "3", "9", "10", "11", "12"},
			drivers.EndIdle, true,
		},
		{"empty lines prove nothing", ops{say("\r\r\r\r\n\n\n1\n")}, []string{"1"}, "", false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				h := hear(t, profile(t, "serial-auto"), tc.ops...)
				if diff := cmp.Diff(tc.want, h.events); diff != "" {
					t.Errorf("(-want +got):\n%s", diff)
				}
				if h.sure != tc.sure || h.learned.End != tc.end {
					t.Errorf("learned %+v, %v", h.learned, h.sure)
				}
			})
		})
	}
}

// wrong is what each way of being set wrongly sounds like.
func TestTheDriverSaysWhatIsSetWrongly(t *testing.T) {
	mishear := func(sent, heard int) (ops []transporttest.IO) {
		for _, c := range []string{"6901028075862\r", "0100320229316139647\r", "96385074\r", "036000291452\r"} {
			ops = append(ops, later(8*time.Second, string(device.UART{Baud: heard}.Hears([]byte(c), sent))))
		}
		return ops
	}
	apart := func(before, after string) (ops []transporttest.IO) {
		for _, c := range []string{"6901028075862", "0100320229316139647", "96385074", "036000291452"} {
			ops = append(ops, later(8*time.Second, before+c+after))
		}
		return ops
	}
	const (
		noise  = "the scanner sends data that is no code"
		noEnd  = "the scanner sends data, but nothing ends a code"
		prefix = "every code begins with the control byte 02"
		aim    = "the AIM identifier (such as ]Q1) is counted into the code"
		cr     = "every code ends with a CR that is counted in"
		absent = "codes come without the prefix that the profile wants"
	)
	for _, tc := range []struct {
		name    string
		framing func(*profiles.Framing)
		ops     []transporttest.IO
		want    string
	}{
		{"sent at 9600, heard at 115200", nil, mishear(9600, 115200), noise},
		{"sent at 115200, heard at 9600", nil, mishear(115200, 9600), noise},
		{"sent at 9600, heard at 19200", nil, mishear(9600, 19200), noise},
		{"no suffix", nil, apart("", ""), noEnd},
		{"a suffix that is not in the profile", nil, apart("", "\x03"), noEnd},
		{"a prefix that is not in the profile", nil, apart("\x02", "\r"), prefix},
		{"a prefix that is doubled", nil, apart("\x02\x02", "\r"), prefix},
		{"AIM identifiers that are not in the profile", nil, apart("]Q1", "\r"), aim},
		{"CRLF, cut at LF", func(f *profiles.Framing) { f.End = []string{"\n"} }, apart("", "\r\n"), cr},
		{"a prefix that does not come", func(f *profiles.Framing) { f.Prefix = "\x02" }, apart("", "\r"), absent},
		{"bytes that no code has", nil, apart("1", "\x00\r"), "codes have characters that no code has"},
		{"all is well", nil, apart("", "\r"), ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := profile(t, "serial-cr")
				if tc.framing != nil {
					tc.framing(&p.Framing)
				}
				h := hear(t, p, tc.ops...)
				said := 0
				for _, e := range h.events {
					if e == tc.want {
						said++
					}
				}
				if tc.want == "" {
					if !h.health.OK || len(h.events) != 4 {
						t.Errorf("%+v, %q", h.health, h.events)
					}
					return
				}
				if said != 1 || h.health.OK || h.health.Code != drivers.ErrExtended || h.health.Text.EN != tc.want || h.health.Hint.ZH == "" {
					t.Errorf("said %d times in %q; health %+v", said, h.events, h.health)
				}
			})
		})
	}
	t.Run("a good code ends it", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			h := hear(t, profile(t, "serial-cr"), append(apart("\x02", "\r"), say("123\r"))...)
			if !h.health.OK {
				t.Errorf("health %+v", h.health)
			}
		})
	})
}
