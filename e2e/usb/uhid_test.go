package usb_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"go.yaml.in/yaml/v3"

	"dcpos/agent/devices"
	counter "dcpos/cmd/poslab/till"
	"dcpos/drivers"
)

// practice is poslab till with a hand at its keyboard.
type practice struct {
	*testing.T
	dir  string
	keys io.Writer

	mu   sync.Mutex
	said bytes.Buffer
}

func (p *practice) Write(b []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.said.Write(b)
}

func (p *practice) words() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.said.String()
}

// startPractice runs it until the test ends.
func startPractice(t *testing.T) *practice {
	t.Helper()
	in, keys := io.Pipe()
	p := &practice{T: t, dir: t.TempDir(), keys: keys}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() {
		done <- counter.Run(ctx, counter.Options{
			Dir: p.dir, Printer: "escpos-80mm-gb18030", Scanner: "serial-cr", NFC: "pn532-uart", Display: "epson-dm-d-shared",
			In: in, Out: p, Err: p,
		})
	}()
	t.Cleanup(func() {
		cancel()
		if err := errors.Join(keys.Close(), <-done); err != nil {
			t.Error(err)
		}
		if t.Failed() {
			t.Log(p.words())
		}
	})
	return p
}

func (p *practice) say(format string, args ...any) {
	p.Helper()
	if _, err := fmt.Fprintf(p.keys, format+"\n", args...); err != nil {
		p.Fatal(err)
	}
}

// scanner waits for what the counter's configuration says of its HID scanner.
func (p *practice) scanner() drivers.DeviceConfig {
	p.Helper()
	for end := time.Now().Add(time.Minute); time.Now().Before(end); time.Sleep(50 * time.Millisecond) {
		var c struct {
			Scanners []drivers.DeviceConfig `yaml:"scanners"`
		}
		b, err := os.ReadFile(filepath.Join(p.dir, "devices.yaml"))
		if err == nil && yaml.Unmarshal(b, &c) == nil && len(c.Scanners) == 1 {
			return c.Scanners[0]
		}
		p.say(":config") // the kernel may need longer than the counter waited
	}
	p.Fatalf("no HID scanner is named:\n%s", p.words())
	return drivers.DeviceConfig{}
}

// testUHID plays the HID scanners of poslab till to the kernel through /dev/uhid, and has
// the agent's devices read them from hidraw and the input layer.
func testUHID(t *testing.T) {
	for _, name := range []string{"hidpos", "keyboard"} {
		t.Run(name, func(t *testing.T) {
			p := startPractice(t)
			p.say(":plug %s", name)
			codes := make(chan string, 16)
			set := devices.New(devices.Config{Scanners: []drivers.DeviceConfig{p.scanner()}}, devices.All(), devices.Options{Log: slog.New(slog.DiscardHandler)})
			ctx, cancel := context.WithCancel(context.Background())
			done := make(chan struct{})
			go func() {
				defer close(done)
				set.Run(ctx, func(_ context.Context, code, _ string) { codes <- code })
			}()
			defer func() { cancel(); <-done }()
			until := func(what string, ok func(devices.Status) bool) {
				t.Helper()
				for end := time.Now().Add(time.Minute); !ok(set.Status()[0]); time.Sleep(10 * time.Millisecond) {
					if time.Now().After(end) {
						t.Fatalf("never %s: %+v", what, set.Status())
					}
				}
			}
			for _, code := range []string{"6901028075862", "0100320229316139647"} {
				until("open", func(s devices.Status) bool { return s.State.Works() })
				p.say(":%s %s", name, code)
				select {
				case got := <-codes:
					if got != code {
						t.Errorf("got %q, want %q", got, code)
					}
				case <-time.After(time.Minute):
					t.Fatalf("%q did not come", code)
				}
				p.say(":unplug %s", name)
				until("gone", func(s devices.Status) bool { return !s.State.Works() })
				p.say(":plug %s", name)
			}
		})
	}
}
