package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"go.yaml.in/yaml/v3"

	"dcpos/agent/devices"
	"dcpos/agent/devices/sysfs/sysfstest"
	"dcpos/drivers"
	"dcpos/drivers/receipt"
	"dcpos/internal/cli"
)

// screen is what a person sees, while it is written.
type screen struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *screen) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *screen) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}

// trainer is a person before a program.
type trainer struct {
	t        *testing.T
	keys     *io.PipeWriter
	out, err screen
	code     chan int
}

func sit(t *testing.T, args ...string) *trainer {
	t.Helper()
	in, keys := io.Pipe()
	p := &trainer{t: t, keys: keys, code: make(chan int, 1)}
	go func() { p.code <- run(args, &cli.Streams{In: in, Out: &p.out, Err: &p.err}) }()
	return p
}

func (p *trainer) types(lines ...string) {
	p.t.Helper()
	for _, l := range lines {
		if _, err := io.WriteString(p.keys, l+"\n"); err != nil {
			p.t.Fatal(err)
		}
	}
}

// sees waits until a text is on the screen.
func (p *trainer) sees(text string) {
	p.t.Helper()
	eventually(p.t, "the screen says "+text, func() bool { return strings.Contains(p.out.String()+p.err.String(), text) })
}

func (p *trainer) leaves() int {
	p.t.Helper()
	_ = p.keys.Close()
	select {
	case code := <-p.code:
		return code
	case <-time.After(time.Minute):
		p.t.Fatalf("it does not end: %s%s", p.out.String(), p.err.String())
		return 0
	}
}

func eventually(t *testing.T, what string, is func() bool) {
	t.Helper()
	for end := time.Now().Add(time.Minute); !is(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("not so: %s", what)
		}
	}
}

func TestEveryCommandOfTheCounterByHand(t *testing.T) {
	dir := t.TempDir()
	p := sit(t, "till", "--dir", dir, "--printer", "epson-tm-t88")
	p.sees(":help")
	for _, name := range []string{"printer", "scanner", "nfc", "display"} {
		path, err := os.Readlink(filepath.Join(dir, name))
		if err != nil || !strings.HasPrefix(path, "/dev/pts/") {
			t.Errorf("%s leads to %q: %v", name, path, err)
		}
	}
	p.types(":paper out", ":cover open", ":near on", ":cutter stuck", ":jam on", ":stall on", ":silent on", ":drawer open", ":show")
	for _, state := range []string{"paper out", "cover open", "near end", "cutter stuck", "jam", "stalled", "silent", "drawer open"} {
		p.sees(state)
	}
	p.types(":paper in", ":cover shut", ":near off", ":cutter free", ":jam off", ":stall off", ":silent off", ":drawer shut",
		":paper 100", ":slow 960", ":slow off", ":hangup 100000", ":powercut 100000", ":rip",
		":frame crlf", ":aim on", ":show")
	p.sees(`after it "\r\n", AIM true`)
	p.types(":tap", ":show")
	p.sees("is in the field")
	p.types(":take", ":tear after 2", ":reader dead", ":reader alive", ":wait 1ms", ":config", ":help", "# a remark", "")
	p.sees("the reader answers nothing")
	if p.err.String() != "" {
		t.Errorf("errors were told:\n%s", p.err.String())
	}
	for line, answer := range map[string]string{
		":paper maybe": "usage: :paper out|in|MM", ":jam": "usage: :jam on|off", ":tear 3": "usage: :tear after N", ":slow fast": "usage: :slow",
		":wait long": ":wait 2s", ":unplug everything": "usage: :unplug printer|", ":frame so": "usage: :frame", ":show me": "usage: :show",
		":explode": `":explode": 未知命令 unknown command`, ":": "unknown command", ":hidpos 123": "is not plugged in",
		":plug printer": "plugged in already",
	} {
		p.types(line)
		p.sees(answer)
	}
	p.types(":quit")
	if code := p.leaves(); code != cli.OK {
		t.Errorf("exit %d", code)
	}
	if _, err := os.Lstat(filepath.Join(dir, "printer")); err == nil {
		t.Error("a link is left that leads nowhere")
	}
}

// TestTheKernelsScannersExplainThemselves: where the kernel plays no HID device the command
// says why; where it does, the device is there.
func TestTheKernelsScannersExplainThemselves(t *testing.T) {
	script := filepath.Join(t.TempDir(), "script")
	if err := os.WriteFile(script, []byte("# practice\n:show\n:plug hidpos\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	var out, errs bytes.Buffer
	code := run([]string{"till", "--dir", t.TempDir(), "--script", script}, &cli.Streams{In: strings.NewReader(""), Out: &out, Err: &errs})
	f, err := os.OpenFile("/dev/uhid", os.O_RDWR, 0)
	if err == nil {
		_ = f.Close()
		if code != cli.OK || !strings.Contains(out.String(), "hidpos 已接上 is plugged in") {
			t.Errorf("exit %d: %s", code, errs.String())
		}
		return
	}
	if code != cli.Negative || !strings.Contains(errs.String(), "line 3 of the script") || !strings.Contains(errs.String(), "/dev/uhid") {
		t.Errorf("exit %d: %s", code, errs.String())
	}
}

func TestACounterThatCannotBeIsRefused(t *testing.T) {
	for _, args := range [][]string{
		{"--printer", "no-such"},
		{"--printer", "star-line"},
		{"--scanner", "keyboard"},
		{"--nfc", "acr122u"},
		{"--width", "70"},
		{"--script", "/nonexistent"},
	} {
		var out, errs bytes.Buffer
		args = append([]string{"till", "--dir", t.TempDir()}, args...)
		if code := run(args, &cli.Streams{In: strings.NewReader(""), Out: &out, Err: &errs}); code != cli.Usage || errs.Len() == 0 {
			t.Errorf("%v: exit %d: %s", args, code, errs.String())
		}
	}
}

// agentAt is an agent's devices, from the configuration that the counter hands out.
func agentAt(t *testing.T, config string) (*devices.Set, chan string) {
	t.Helper()
	b, err := os.ReadFile(config)
	if err != nil {
		t.Fatal(err)
	}
	var c struct {
		Printer, Scanner, NFC, Display *drivers.DeviceConfig
	}
	if err := yaml.Unmarshal(b, &c); err != nil {
		t.Fatal(err)
	}
	set := devices.New(devices.Config{Printer: c.Printer, NFC: c.NFC, Display: c.Display, Scanners: []drivers.DeviceConfig{*c.Scanner}},
		devices.All(), devices.Options{Tree: sysfstest.Plant(t, ""), Log: slog.New(slog.DiscardHandler)})
	ctx, stop := context.WithCancel(t.Context())
	done, codes := make(chan struct{}), make(chan string, 100)
	go func() {
		defer close(done)
		set.Run(ctx, func(_ context.Context, code, _ string) { codes <- code })
	}()
	t.Cleanup(func() {
		stop()
		<-done
	})
	return set, codes
}

func state(set *devices.Set, name string) devices.State {
	for _, s := range set.Status() {
		if s.Name == name {
			return s.State
		}
	}
	return ""
}

func works(set *devices.Set, name string) func() bool {
	return func() bool { return state(set, name).Works() }
}

// TestTheCounterServesAnAgent is a lesson: the agent's devices on the counter's lines, with
// all that can go wrong between them.
func TestTheCounterServesAnAgent(t *testing.T) {
	dir := t.TempDir()
	p := sit(t, "till", "--dir", dir, "--printer", "epson-tm-t70ii-ch")
	p.sees(":help")
	set, codes := agentAt(t, filepath.Join(dir, "devices.yaml"))
	for _, name := range []string{"printer", "scanner", "nfc", "display"} {
		eventually(t, name+" works", works(set, name))
	}
	job := drivers.PrintJob{ID: "lesson", Receipt: receipt.New(receipt.Title("数字人民币"), receipt.Pair("合计 Total", "¥20.00"), receipt.Cut())}
	printed := func() (drivers.PrintResult, error) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		return set.Print(ctx, job)
	}
	t.Run("print", func(t *testing.T) {
		if r, err := printed(); err != nil || r.State != drivers.PrintConfirmed {
			t.Fatalf("%+v, %v", r, err)
		}
		p.sees("小票 receipt 1")
		p.sees("│ 合计 Total")
		if _, err := os.Stat(filepath.Join(dir, "receipts", "1.png")); err != nil {
			t.Error(err)
		}
	})
	t.Run("scan", func(t *testing.T) {
		p.types("6901028075862", ":halves 6901028075879", ":scan 012345")
		for _, want := range []string{"6901028075862", "6901028075879", "012345"} {
			if got := <-codes; got != want {
				t.Errorf("got %q, want %q", got, want)
			}
		}
	})
	t.Run("paper", func(t *testing.T) {
		p.types(":paper out")
		eventually(t, "the printer has no paper", func() bool { return !state(set, "printer").Works() })
		if r, err := printed(); err == nil || r.State != drivers.PrintPaused {
			t.Errorf("%+v, %v", r, err)
		}
		p.types(":paper in")
		eventually(t, "the printer works", works(set, "printer"))
	})
	card := func(t *testing.T) {
		t.Helper()
		p.types(":tap")
		err := set.WithReader(t.Context(), "lesson", func(ctx context.Context, r drivers.NFCReader) error {
			card, err := r.WaitCard(ctx)
			if err != nil {
				return err
			}
			defer func() { _ = card.Close() }()
			answer, err := card.Transmit(ctx, []byte("\x00\xa4\x04\x00\x09\xf0DCPOSLAB"))
			if err != nil || len(answer) < 2 || answer[len(answer)-2] != 0x90 {
				return errors.Join(err, fmt.Errorf("answer % x", answer))
			}
			return nil
		})
		if err != nil {
			t.Error(err)
		}
		p.types(":take")
	}
	t.Run("card", card)
	t.Run("plugs", func(t *testing.T) {
		for _, name := range []string{"printer", "scanner", "nfc", "display"} {
			p.types(":unplug " + name)
			if name != "display" { // it is not listened to while it shows the same
				eventually(t, name+" is gone", func() bool { return !state(set, name).Works() })
			}
			p.types(":plug " + name)
			eventually(t, name+" works again", works(set, name))
		}
		card(t)
		p.types("13579")
		if got := <-codes; got != "13579" {
			t.Errorf("got %q", got)
		}
		if r, err := printed(); err != nil || r.State != drivers.PrintConfirmed {
			t.Errorf("%+v, %v", r, err)
		}
	})
	t.Run("pulled while it prints", func(t *testing.T) {
		p.types(":hangup 60")
		// On a busy machine a print may end before its 60th byte: the next one is cut then.
		eventually(t, "the printer is gone", func() bool {
			if r, err := printed(); err == nil && r.State == drivers.PrintConfirmed {
				t.Errorf("confirmed without a cable: %+v", r)
			}
			return !state(set, "printer").Works()
		})
		p.types(":plug printer")
		eventually(t, "the printer works again", works(set, "printer"))
	})
	if p.err.String() != "" {
		t.Errorf("errors were told:\n%s", p.err.String())
	}
	if code := p.leaves(); code != cli.OK {
		t.Errorf("exit %d", code)
	}
}
