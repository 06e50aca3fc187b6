package scanner_test

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"dcpos/drivers"
	"dcpos/drivers/drivertest"
	"dcpos/drivers/scanner"
	"dcpos/drivers/transport"
	"dcpos/drivers/transport/serial"
	"dcpos/drivers/transporttest"
	profiles "dcpos/firmware-profiles"
	"dcpos/lab/device"
)

func profile(tb testing.TB, name string) profiles.Scanner {
	tb.Helper()
	p, err := profiles.FindScanner(name)
	if err != nil {
		tb.Fatal(err)
	}
	return p
}

// drained is the silence that Enable waits for before it listens.
const drained = 100 * time.Millisecond

// play scans a script and returns what was delivered until the line ended.
func play(t *testing.T, p profiles.Scanner, ops ...transporttest.IO) (got []string, s *scanner.Scanner) {
	t.Helper()
	ops = append([]transporttest.IO{{Silence: drained}}, ops...)
	line := &transporttest.Playback{Ops: ops, GoneAtEnd: true}
	s = scanner.New(p, line.Dial, scanner.Options{})
	for _, step := range []func(context.Context) error{s.Open, s.Claim, s.Enable} {
		if err := step(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	for e := range s.Events() {
		if code, bad := errors.AsType[drivers.ErrorCode](e.Err); bad {
			got = append(got, code.Name())
			continue
		}
		got = append(got, e.Data.Symbology+" "+e.Data.Text())
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	return got, s
}

func TestFraming(t *testing.T) {
	type ops = []transporttest.IO
	say := func(s string) transporttest.IO { return transporttest.IO{R: []byte(s)} }
	later := func(d time.Duration, s string) transporttest.IO {
		return transporttest.IO{Silence: d, R: []byte(s)}
	}
	const end = "E_OFFLINE"
	for _, tc := range []struct {
		name    string
		profile string
		framing func(f *profiles.Framing)
		ops     ops
		want    []string
	}{
		{"CR", "serial-cr", nil, ops{say("123\r456\r")}, []string{" 123", " 456", end}},
		{"LF", "serial-cr", nil, ops{say("123\n456\n")}, []string{" 123", " 456", end}},
		{"CRLF: the LF does not begin the next code", "serial-cr", nil, ops{say("123\r\n456\r\n")}, []string{" 123", " 456", end}},
		{
			"CRLF though only CR is named", "serial-cr", func(f *profiles.Framing) { f.End = []string{"\r"} },
			ops{say("123\r"), later(time.Second, "\n456\r\n")},
			[]string{" 123", " 456", end},
		},
		{
			"silence within a code loses nothing", "serial-cr", nil,
			ops{say("01003202"), later(2*time.Second, "29316139647\r")},
			[]string{" 0100320229316139647", end},
		},
		{
			"byte by byte", "serial-cr", nil,
			ops{say("6"), later(time.Millisecond, "9"), later(time.Millisecond, "0"), later(time.Millisecond, "\r")},
			[]string{" 690", end},
		},
		{
			"half a code that got stale is not joined to the next", "serial-cr", nil,
			ops{say("0100"), later(6*time.Second, "456\r")},
			[]string{" 456", end},
		},
		{
			"AIM identifier", "honeywell-serial", nil,
			ops{say("]E06901028075862\r]Q1dcpos:pay:x\r")},
			[]string{"]E0 6901028075862", "]Q1 dcpos:pay:x", end},
		},
		{"AIM expected and absent", "honeywell-serial", nil, ops{say("6901028075862\r]x\r")}, []string{" 6901028075862", " ]x", end}},
		{"AIM look-alike is data when not expected", "serial-cr", nil, ops{say("]E0123\r")}, []string{" ]E0123", end}},
		{"prefix", "serial-cr", func(f *profiles.Framing) { f.Prefix = "\x02" }, ops{say("\x02123\r\x02456\r")}, []string{" 123", " 456", end}},
		{"noise before the prefix", "serial-cr", func(f *profiles.Framing) { f.Prefix = "\x02" }, ops{say("\xf0\xf1\x02123\r")}, []string{" 123", end}},
		{
			"prefix absent", "serial-cr", func(f *profiles.Framing) { f.Prefix = "\x02" },
			ops{say("123\r\x02456\r")},
			[]string{"EPTR_BADFORMAT", " 456", end},
		},
		{
			"no suffix: cut by silence", "serial-nosuffix", nil,
			ops{say("123"), later(100*time.Millisecond, "456"), later(100*time.Millisecond, "")},
			[]string{" 123", " 456", end},
		},
		{
			"no suffix: a short pause does not cut", "serial-nosuffix", nil,
			ops{say("123"), later(40*time.Millisecond, "456"), later(100*time.Millisecond, "")},
			[]string{" 123456", end},
		},
		{"empty codes are none", "serial-cr", nil, ops{say("\r\r\n\n123\r")}, []string{" 123", end}},
		{
			"too long, then in step again", "serial-cr", func(f *profiles.Framing) { f.MaxBytes = 16 },
			ops{say(strings.Repeat("9", 60)), say(strings.Repeat("9", 60) + "\r123\r")},
			[]string{"EPTR_TOOBIG", " 123", end},
		},
		{
			"too long and never ended: in step after the silence", "serial-cr", func(f *profiles.Framing) { f.MaxBytes = 16 },
			ops{say(strings.Repeat("9", 60)), later(6*time.Second, "123\r")},
			[]string{"EPTR_TOOBIG", " 123", end},
		},
		{
			"the longest is not too long", "serial-cr", func(f *profiles.Framing) { f.MaxBytes = 16 },
			ops{say("0123456789abcdef\r")},
			[]string{" 0123456789abcdef", end},
		},
		{
			"broken bytes", "serial-cr", nil,
			ops{say("12\x0034\r12\xff\r\xf0\x28\x8c\r789\r")},
			[]string{"EPTR_BADFORMAT", "EPTR_BADFORMAT", "EPTR_BADFORMAT", " 789", end},
		},
		{"GS1 separators are data", "serial-cr", nil, ops{say("0106901028075862\x1d10ABC\r")}, []string{" 0106901028075862\x1d10ABC", end}},
		{
			"Chinese in UTF-8 and GB 18030", "serial-cr", nil,
			ops{say("王府井\r\xcd\xf5\xb8\xae\xbe\xae\r")},
			[]string{" 王府井", " \xcd\xf5\xb8\xae\xbe\xae", end},
		},
	} {
		t.Run(tc.name, func(t *testing.T) {
			p := profile(t, tc.profile)
			if tc.framing != nil {
				tc.framing(&p.Framing)
			}
			synctest.Test(t, func(t *testing.T) {
				got, _ := play(t, p, tc.ops...)
				if diff := cmp.Diff(tc.want, got); diff != "" {
					t.Errorf("(-want +got):\n%s", diff)
				}
			})
		})
	}
}

func TestStaleHalvesAreCounted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, s := play(t, profile(t, "serial-cr"), transporttest.IO{R: []byte("0100")}, transporttest.IO{Silence: 6 * time.Second, R: []byte("4\r")})
		if st := s.Statistics(); st[drivers.FailedReadCount] != 2 || st[drivers.GoodScanCount] != 1 || st[drivers.CommunicationErrorCount] != 1 {
			t.Errorf("statistics %v; the stale half and the lost line are failed reads", st)
		}
	})
}

// rig joins a scanner driver and a modelled scanner in memory.
func rig(t *testing.T, p profiles.Scanner, o device.ScannerOptions) (*scanner.Scanner, *device.Scanner) {
	t.Helper()
	model := device.NewScanner(o)
	ctx, cancel := context.WithCancel(context.Background())
	var served sync.WaitGroup
	dial := func(context.Context) (transport.Conn, error) {
		host, dev := device.Pipe()
		served.Go(func() { _ = model.Serve(ctx, dev) })
		return transport.NewStream("memory", host), nil
	}
	s := scanner.New(p, dial, scanner.Options{Name: "scanner"})
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
		cancel()
		served.Wait()
	})
	return s, model
}

func enabled(tb testing.TB, s *scanner.Scanner) {
	tb.Helper()
	for _, step := range []func(context.Context) error{s.Open, s.Claim, s.Enable} {
		if err := step(tb.Context()); err != nil {
			tb.Fatal(err)
		}
	}
}

func TestACodeThatNobodyTookIsNotForTheNextCustomer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, model := rig(t, profile(t, "serial-cr"), device.ScannerOptions{})
		enabled(t, s)
		for _, code := range []string{"first", "second"} {
			if err := model.Scan(code, ""); err != nil {
				t.Fatal(err)
			}
		}
		time.Sleep(6 * time.Second)
		if err := model.Scan("third", ""); err != nil {
			t.Fatal(err)
		}
		if e := <-s.Events(); e.Data.Text() != "third" {
			t.Errorf("got %q", e.Data.Text())
		}
	})
}

func TestWhatWasScannedBeforeEnableIsThrownAway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, model := rig(t, profile(t, "serial-cr"), device.ScannerOptions{})
		if err := errors.Join(s.Open(t.Context()), s.Claim(t.Context())); err != nil {
			t.Fatal(err)
		}
		go func() { _ = model.Scan("before", "") }()
		time.Sleep(time.Second)
		if err := s.Enable(t.Context()); err != nil {
			t.Fatal(err)
		}
		if err := model.Scan("after", ""); err != nil {
			t.Fatal(err)
		}
		if e := <-s.Events(); e.Data.Text() != "after" {
			t.Errorf("got %q", e.Data.Text())
		}
	})
}

func TestTrigger(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, model := rig(t, profile(t, "honeywell-serial"), device.ScannerOptions{AIM: true})
		enabled(t, s)
		if err := errors.Join(s.Trigger(t.Context(), true), s.Trigger(t.Context(), false)); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if got := string(model.Heard()); got != "\x16T\r\x16U\r" {
			t.Errorf("got %q", got)
		}
		plain, _ := rig(t, profile(t, "serial-cr"), device.ScannerOptions{})
		enabled(t, plain)
		if err := plain.Trigger(t.Context(), true); !errors.Is(err, drivers.ErrIllegal) {
			t.Errorf("no trigger: got %v", err)
		}
	})
}

func TestSuite(t *testing.T) {
	drivertest.RunScanner(t, func(t *testing.T) (drivers.Scanner, func(string)) {
		t.Helper()
		s, model := rig(t, profile(t, "serial-cr"), device.ScannerOptions{})
		return s, func(code string) {
			if err := model.Scan(code, ""); err != nil {
				t.Error(err)
			}
		}
	})
}

func TestSuiteOnPTY(t *testing.T) {
	drivertest.RunScanner(t, func(t *testing.T) (drivers.Scanner, func(string)) {
		t.Helper()
		model := device.NewScanner(device.ScannerOptions{Suffix: "\r\n"})
		bench, err := device.Start(context.Background(), model)
		if err != nil {
			t.Fatal(err)
		}
		s := scanner.New(profile(t, "serial-cr"), func(ctx context.Context) (transport.Conn, error) {
			return serial.Open(ctx, bench.Path, serial.Line{Baud: 9600})
		}, scanner.Options{})
		t.Cleanup(func() {
			if err := errors.Join(s.Close(), bench.Unplug()); err != nil {
				t.Error(err)
			}
		})
		return s, func(code string) {
			if err := model.Scan(code, ""); err != nil {
				t.Error(err)
			}
		}
	})
}
