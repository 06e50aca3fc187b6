package devices_test

import (
	"context"
	"errors"
	"log/slog"
	"maps"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"dcpos/agent/devices"
	"dcpos/agent/devices/sysfs/sysfstest"
	"dcpos/drivers"
	"dcpos/lab/device"
	"dcpos/pos"
)

// notebook is a memory that outlives a set.
type notebook struct {
	mu     sync.Mutex
	values map[string]string
	broken error
}

func (n *notebook) Meta(_ context.Context, key string) (string, bool, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	v, ok := n.values[key]
	return v, ok, n.broken
}

func (n *notebook) SetMeta(_ context.Context, key, value string) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.broken != nil {
		return n.broken
	}
	if n.values == nil {
		n.values = map[string]string{}
	}
	n.values[key] = value
	return nil
}

func (n *notebook) all() map[string]string {
	n.mu.Lock()
	defer n.mu.Unlock()
	return maps.Clone(n.values)
}

// line is a real scanner driver on a real serial line, over several lives of the agent.
type line struct {
	*testing.T
	socket device.Socket
	memory *notebook
	config drivers.DeviceConfig
	box    *device.Scanner
}

func newLine(t *testing.T, opt device.ScannerOptions) *line {
	t.Helper()
	l := &line{T: t, memory: &notebook{}, box: device.NewScanner(opt)}
	l.socket = device.Socket{Path: filepath.Join(t.TempDir(), "scanner")}
	if err := l.socket.Plug(t.Context(), l.box); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.socket.Unplug() })
	l.config = drivers.DeviceConfig{
		Profile: "serial-auto", Transport: drivers.TransportConfig{Kind: drivers.TransportSerial, Path: l.socket.Path},
	}
	return l
}

// life is one run of the agent's devices.
type life struct {
	*line
	set   *devices.Set
	codes chan string
	end   func()
}

func (l *line) begin() *life {
	l.Helper()
	x := &life{line: l, codes: make(chan string, 16)}
	x.set = devices.New(devices.Config{Scanners: []drivers.DeviceConfig{l.config}}, devices.All(), devices.Options{
		Tree: sysfstest.Plant(l.T, ""), Log: slog.New(slog.DiscardHandler), Memory: l.memory,
	})
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		x.set.Run(ctx, func(_ context.Context, code, _ string) { x.codes <- code })
	}()
	var once sync.Once
	x.end = func() { once.Do(func() { cancel(); <-done }) }
	l.Cleanup(x.end)
	x.until("ready", func(s devices.Status) bool { return s.State.Works() })
	return x
}

// until waits for the scanner to be as wanted.
func (x *life) until(what string, ok func(devices.Status) bool) devices.Status {
	x.Helper()
	for end := time.Now().Add(time.Minute); ; time.Sleep(2 * time.Millisecond) {
		s := x.set.Status()[0]
		if ok(s) {
			return s
		}
		if time.Now().After(end) {
			x.Fatalf("never %s: %+v", what, s)
		}
	}
}

// scan scans codes one after the other and waits for each.
func (x *life) scan(codes ...string) {
	x.Helper()
	for _, c := range codes {
		if err := x.box.Scan(c, ""); err != nil {
			x.Fatal(err)
		}
		select {
		case got := <-x.codes:
			if got != c {
				x.Fatalf("scanned %q, got %q", c, got)
			}
		case <-time.After(time.Minute):
			x.Fatalf("%q never came", c)
		}
	}
}

func learned(end drivers.FrameEnd) func(devices.Status) bool {
	return func(s devices.Status) bool {
		return s.Framing != nil && s.Framing.End == end && s.Framing.From == devices.FramingLearned && s.Framing.Codes > 0 && s.Framing.AtMS > 0
	}
}

func TestWhatAScannerTaughtOutlivesTheAgent(t *testing.T) {
	l := newLine(t, device.ScannerOptions{Suffix: "\r\n"})
	x := l.begin()
	if s := x.set.Status()[0]; s.Framing != nil {
		t.Fatalf("before a code: %+v", s.Framing)
	}
	x.scan("6901028075862", "96385074", "036000291452")
	x.until("learned", learned(drivers.EndCRLF))
	x.end()

	x = l.begin() // the agent has started again
	x.until("recalled", learned(drivers.EndCRLF))
	// Only one that knows its end may deliver the first code whole: it comes in two halves,
	// further apart than the silence that ends a code as long as nothing is known.
	if err := l.box.ScanSlowly(t.Context(), "0100320229316139647", "", 600*time.Millisecond); err != nil {
		t.Fatal(err)
	}
	select {
	case got := <-x.codes:
		if got != "0100320229316139647" {
			t.Fatalf("the first code came as %q", got)
		}
	case <-time.After(time.Minute):
		t.Fatal("no code came")
	}

	if err := x.set.ForgetFraming(t.Context(), "scanner"); err != nil {
		t.Fatal(err)
	}
	if s := x.set.Status()[0]; s.Framing != nil {
		t.Fatalf("forgotten: %+v", s.Framing)
	}
	l.box.Set(device.ScannerOptions{Suffix: "\n"})
	x.scan("1", "2", "3", "4")
	x.until("learned anew", learned(drivers.EndLF))
	if err := x.set.ForgetFraming(t.Context(), "scanner"); err != nil {
		t.Fatal(err)
	}
	x.end()

	x = l.begin()
	if s := x.set.Status()[0]; s.Framing != nil {
		t.Fatalf("what was forgotten is back: %+v", s.Framing)
	}
	if len(l.memory.all()) != 1 {
		t.Fatalf("%v", l.memory.all())
	}
}

// A memory that is wrong, broken or full of nonsense costs a code or two, never the scanner.
func TestAMemoryIsOnlyAHint(t *testing.T) {
	key := func(l *line) string { return "scanner.framing path " + l.socket.Path }
	t.Run("nonsense", func(t *testing.T) {
		for _, bad := range []string{"{", `{"end":"tab","codes":3}`, `{"end":"cr","prefix":"41"}`, `[]`, "\x00"} {
			l := newLine(t, device.ScannerOptions{})
			_ = l.memory.SetMeta(t.Context(), key(l), bad)
			x := l.begin()
			x.scan("1", "2", "3")
			x.until("learned", learned(drivers.EndCR))
			x.end()
		}
	})
	t.Run("it cannot be read or written", func(t *testing.T) {
		l := newLine(t, device.ScannerOptions{})
		l.memory.broken = errors.New("no disk")
		x := l.begin()
		x.scan("1", "2", "3")
		x.until("learned", learned(drivers.EndCR))
	})
	t.Run("the scanner was set anew", func(t *testing.T) {
		l := newLine(t, device.ScannerOptions{Suffix: "\n"})
		_ = l.memory.SetMeta(t.Context(), key(l), `{"end":"cr","codes":3,"at_ms":1}`)
		x := l.begin()
		x.until("recalled", learned(drivers.EndCR))
		x.scan("1", "2", "3") // each is delivered after a pause until the new end is learned
		x.until("learned anew", learned(drivers.EndLF))
		x.end()
		if v := l.memory.all()[key(l)]; !strings.Contains(v, `"end":"lf"`) {
			t.Errorf("kept %s", v)
		}
	})
}

func TestAConfiguredFramingIsNotLearned(t *testing.T) {
	l := newLine(t, device.ScannerOptions{Prefix: "\x02", Suffix: "\n"})
	l.config.Framing = &drivers.Framing{End: drivers.EndLF, Prefix: "02"}
	_ = l.memory.SetMeta(t.Context(), "scanner.framing path "+l.socket.Path, `{"end":"cr","codes":3,"at_ms":1}`)
	x := l.begin()
	x.scan("6901028075862")
	if f := x.set.Status()[0].Framing; f == nil || f.From != devices.FramingConfigured || f.End != drivers.EndLF || f.Prefix != "02" {
		t.Errorf("%+v", f)
	}
	err := x.set.ForgetFraming(t.Context(), "scanner")
	if e := pos.AsError(err); e.Code != pos.ErrBadRequest || e.Field != "name" || e.Hint.ZH == "" || !errors.Is(err, drivers.ErrIllegal) {
		t.Errorf("%v", err)
	}
	if err := x.set.ForgetFraming(t.Context(), "nobody"); pos.AsError(err).Code != pos.ErrNotFound {
		t.Errorf("%v", err)
	}
}
