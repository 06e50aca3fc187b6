package scanner_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/sys/unix"

	"dcpos/drivers"
	"dcpos/drivers/drivertest"
	"dcpos/drivers/scanner"
	"dcpos/drivers/transport"
	"dcpos/drivers/transport/evdev"
	"dcpos/lab/device"
	"dcpos/pos"
)

// eventNode is a /dev/input/eventN in memory, of a scanner that types.
type eventNode struct {
	model  *device.KeyboardScanner
	before []byte
	start  time.Time
	once   sync.Once
	closed chan struct{}
	gone   chan struct{}
}

func (n *eventNode) Read(b []byte) (int, error) {
	for {
		select {
		case r := <-n.model.Reports():
			events := device.KeyEvents(n.before, r)
			n.before = r
			if len(events) == 0 {
				continue
			}
			return copy(b, device.EncodeKeyEvents(time.Since(n.start), events...)), nil
		case <-n.gone:
			return 0, unix.ENODEV
		case <-n.closed:
			return 0, os.ErrClosed
		}
	}
}

func (*eventNode) Write([]byte) (int, error) { return 0, unix.EBADF }

func (n *eventNode) Close() error {
	n.once.Do(func() { close(n.closed) })
	return nil
}

func keyboardRig(t *testing.T, o device.KeyboardScannerOptions) (*scanner.Scanner, *device.KeyboardScanner, func() *eventNode) {
	t.Helper()
	model := device.NewKeyboardScanner(o)
	var node *eventNode
	start := time.Now()
	s := scanner.NewKeyboard(profile(t, "zebra-keyboard"), func(context.Context) (transport.Conn, error) {
		node = &eventNode{model: model, start: start, closed: make(chan struct{}), gone: make(chan struct{})}
		return transport.NewStream("evdev:memory", node), nil
	}, scanner.Options{})
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s, model, func() *eventNode { return node }
}

func TestKeyboardSuite(t *testing.T) {
	drivertest.RunScanner(t, func(t *testing.T) (drivers.Scanner, func(string)) {
		t.Helper()
		s, model, _ := keyboardRig(t, device.KeyboardScannerOptions{})
		return s, func(code string) {
			if err := model.Scan(code, ""); err != nil {
				t.Error(err)
			}
		}
	})
}

func TestKeyboardCodes(t *testing.T) {
	for _, tc := range []struct {
		name  string
		model device.KeyboardScannerOptions
		code  string
	}{
		{"AIM identifier", device.KeyboardScannerOptions{AIM: true}, "6901028075862"},
		{"Tab", device.KeyboardScannerOptions{AIM: true, Suffix: "\t"}, "https://example.com/?a=B&c=~D"},
		{"GS1 separators by Ctrl", device.KeyboardScannerOptions{AIM: true}, "0106901028075862\x1d10ABC"},
		{"GS1 separators by Alt", device.KeyboardScannerOptions{AIM: true, Control: "alt", Keypad: true}, "0106901028075862\x1d10ABC"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			s, model, _ := keyboardRig(t, tc.model)
			enabled(t, s)
			if err := model.Scan(tc.code, "]Q1"); err != nil {
				t.Fatal(err)
			}
			if e := <-s.Events(); e.Err != nil || e.Data.Symbology != "]Q1" || e.Data.Text() != tc.code {
				t.Errorf("got %s %q, %v", e.Data.Symbology, e.Data.Text(), e.Err)
			}
		})
	}
}

// A code that was begun before the grab went elsewhere in part: the rest is no code.
func TestWhatWasBeingTypedAtTheGrabIsDropped(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, model, _ := keyboardRig(t, device.KeyboardScannerOptions{})
		if err := errors.Join(s.Open(t.Context()), s.Claim(t.Context())); err != nil {
			t.Fatal(err)
		}
		go func() { // ten milliseconds a key
			for _, r := range model.ScanReports("0100320229316139647", "") {
				time.Sleep(5 * time.Millisecond)
				if err := model.Type(r); err != nil {
					t.Error(err)
				}
			}
		}()
		time.Sleep(50 * time.Millisecond)
		if err := s.Enable(t.Context()); err != nil {
			t.Fatal(err)
		}
		if err := model.Scan("next", ""); err != nil {
			t.Fatal(err)
		}
		if e := <-s.Events(); e.Err != nil || e.Data.Text() != "next" {
			t.Errorf("got %q, %v", e.Data.Text(), e.Err)
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
}

func TestKeyboardUnplugged(t *testing.T) {
	s, _, node := keyboardRig(t, device.KeyboardScannerOptions{})
	enabled(t, s)
	close(node().gone)
	if e := <-s.Events(); !errors.Is(e.Err, drivers.ErrOffline) {
		t.Errorf("got %+v", e)
	}
}

// Wherever the kernel drops events, however many: each code that is delivered was
// scanned, and those that no drop touched are delivered.
func TestDroppedEventsNeverMakeAWrongCode(t *testing.T) {
	const letters = "0123456789ABCXYZabcxyz:/"
	for seed := range uint64(300) {
		dice := rand.New(rand.NewPCG(seed, 0)) //nolint:gosec // a test's choices
		opt := device.KeyboardScannerOptions{Keypad: dice.IntN(2) == 0, HoldShift: dice.IntN(2) == 0}
		codes := make([]string, 1+dice.IntN(6))
		for i := range codes {
			for range 1 + dice.IntN(20) {
				codes[i] += string(letters[dice.IntN(len(letters))])
			}
		}
		model := device.NewKeyboardScanner(opt)
		var events []device.KeyEvent
		var ends []int // of each code in events
		var before []byte
		for _, c := range codes {
			for _, r := range model.ScanReports(c, "") {
				events = append(events, device.KeyEvents(before, r)...)
				before = r
			}
			ends = append(ends, len(events))
		}
		lost := map[int]bool{}
		dropAfter := map[int]bool{}
		for range dice.IntN(5) {
			from := dice.IntN(len(events))
			n := 1 + dice.IntN(len(events)-from)
			for i := from; i < from+n; i++ {
				lost[i] = true
			}
			dropAfter[from+n-1] = true
		}
		var in []byte
		for i, e := range events {
			if !lost[i] {
				in = append(in, device.EncodeKeyEvents(time.Duration(i)*time.Millisecond, e)...)
			}
			if dropAfter[i] {
				in = append(in, device.EncodeKeyEvents(time.Duration(i)*time.Millisecond, device.Dropped())...)
			}
		}
		got := scanner.Typed(in, func(rest int) int { return 1 + dice.IntN(rest) })
		checkDelivered(t, codes, ends, lost, got)
		if t.Failed() {
			t.Fatalf("seed %d", seed)
		}
	}
}

func checkDelivered(t *testing.T, codes []string, ends []int, lost map[int]bool, got []string) {
	t.Helper()
	rest := codes
	for _, g := range got {
		i := 0
		for i < len(rest) && rest[i] != g {
			i++
		}
		if i == len(rest) {
			t.Errorf("%q was delivered of %q, got %q", g, codes, got)
			return
		}
		rest = rest[i+1:]
	}
	if len(lost) == 0 && strings.Join(got, " ") != strings.Join(codes, " ") {
		t.Errorf("nothing was dropped: got %q of %q", got, codes)
	}
	// A code whose events and those of the code before it all came is delivered.
	begin := 0
	for i, end := range ends {
		whole := true
		from := begin
		if i > 0 {
			from = 0
			if i > 1 {
				from = ends[i-2]
			}
		}
		for k := from; k < end; k++ {
			whole = whole && !lost[k]
		}
		begin = end
		if !whole {
			continue
		}
		found := false
		for _, g := range got {
			found = found || g == codes[i]
		}
		if !found {
			t.Errorf("%q came whole and was not delivered: %q", codes[i], got)
		}
	}
}

func TestAPortThatCannotBeHadSaysWhy(t *testing.T) {
	for _, tc := range []struct {
		cause error
		want  drivers.ErrorCode
		hint  string
	}{
		{transport.ErrInUse, drivers.ErrClaimed, "Close the program that uses it"},
		{transport.ErrNotFound, drivers.ErrNoHardware, "Check power and cable"},
		{transport.ErrAccess, drivers.ErrNoHardware, "install this till's udev rules, then plug the scanner in again"},
		{evdev.ErrKeyboard, drivers.ErrNoHardware, "if it is a scanner, name its path"},
	} {
		s := scanner.NewKeyboard(profile(t, "keyboard"), func(context.Context) (transport.Conn, error) {
			return nil, fmt.Errorf("open: %w", tc.cause)
		}, scanner.Options{})
		if err := s.Open(t.Context()); err != nil {
			t.Fatal(err)
		}
		err := s.Claim(t.Context())
		if e := pos.AsError(err); !errors.Is(err, tc.want) || !strings.HasPrefix(e.Hint.EN, tc.hint) || e.Hint.ZH == "" {
			t.Errorf("%v: got %v, hint %q", tc.cause, err, e.Hint.EN)
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}
}
