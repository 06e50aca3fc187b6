package device_test

import (
	"context"
	"encoding/binary"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/google/go-cmp/cmp"

	"dcpos/lab/device"
)

var labFont = sync.OnceValues(func() (*device.Font, error) { return device.OpenFont("") })

// spoken sends bytes to a printer and returns what it answered until it had nothing
// more to say.
func spoken(t *testing.T, o device.PrinterOptions, spoil func(*device.Printer), send string) (*device.Printer, []byte) {
	t.Helper()
	font, err := labFont()
	if err != nil {
		t.Fatal(err)
	}
	o.Font = font
	p, err := device.NewPrinter(o)
	if err != nil {
		t.Fatal(err)
	}
	if spoil != nil {
		spoil(p)
	}
	var answers []byte
	synctest.Test(t, func(t *testing.T) {
		host, dev := device.Pipe()
		ctx, cancel := context.WithCancel(t.Context())
		served := make(chan error, 1)
		go func() { served <- p.Serve(ctx, dev) }()
		heard := make(chan error, 1)
		go func() {
			var err error
			answers, err = io.ReadAll(host)
			heard <- err
		}()
		if _, err := io.WriteString(host, send); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		cancel()
		if err := errors.Join(<-served, <-heard); err != nil {
			t.Errorf("serve: %v", err)
		}
	})
	return p, answers
}

// The bytes are those of Epson's reference, written here as a person reads them there.
func TestAnswers(t *testing.T) {
	cover := func(p *device.Printer) { p.SetCover(true) }
	empty := func(p *device.Printer) { p.SetPaper(false) }
	for _, tc := range []struct {
		name  string
		spoil func(*device.Printer)
		send  string
		want  string
	}{
		{"well", nil, "\x10\x04\x02\x10\x04\x03\x10\x04\x04", "\x12\x12\x12"},
		{"cover open", cover, "\x10\x04\x02\x10\x04\x04", "\x16\x12"},
		{"no paper", empty, "\x10\x04\x02\x10\x04\x04", "\x32\x7e"},
		{"near the end", func(p *device.Printer) { p.SetNearEnd(true) }, "\x10\x04\x04\x1dr\x01", "\x1e\x03"},
		{"report on demand", nil, "\x1da\xff", "\x10\x00\x00\x00"},
		{"no report when all is off", nil, "\x1da\x00", ""},
		{"paper by GS r", nil, "\x1dr\x01", "\x00"},
		{"drawer by GS r", func(p *device.Printer) { p.SetDrawer(true) }, "\x1dr\x02", "\x01"},
		{"model", nil, "\x1dI\x43", "_LAB-80\x00"},
		{"font", nil, "\x1dI\x45", "_CHINA GB18030\x00"},
		{"process id", nil, "\x1d(H\x06\x000012~ ", "\x37\x2212~ \x00"},
		{"off-line it answers only at once, not in order", cover, "\x1dr\x01\x1da\xff\x1d(H\x06\x000012~ ", ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			p, got := spoken(t, device.PrinterOptions{}, tc.spoil, tc.send)
			if string(got) != tc.want {
				t.Errorf("got % x, want % x", got, tc.want)
			}
			if u := p.Unknown(); len(u) != 0 {
				t.Errorf("unknown %q", u)
			}
		})
	}
}

func TestEachCutIsOneReceipt(t *testing.T) {
	folder := t.TempDir()
	p, _ := spoken(t, device.PrinterOptions{Directory: folder}, nil, "one\n\x1dV\x00two\n\x1dV\x01\x1dV\x00three")
	got := p.Receipts()
	if len(got) != 2 || got[0].Text() != "one\n" || got[1].Text() != "two\n" || !got[0].Cut {
		t.Fatalf("got %+v", got)
	}
	p.Tear()
	if n := len(p.Receipts()); n != 2 {
		t.Errorf("%d receipts: what is not printed yet is not on paper", n)
	}
	for _, name := range []string{"1.png", "1.txt", "2.png", "2.txt"} {
		if _, err := os.Stat(filepath.Join(folder, name)); err != nil {
			t.Error(err)
		}
	}
}

func TestPrinterShowsMistakesOfTheHost(t *testing.T) {
	for _, tc := range []struct {
		name string
		o    device.PrinterOptions
		send string
		want []string
	}{
		{"Chinese without FS &", device.PrinterOptions{StartsWithoutChinese: true}, "\xd4\xaa\n", []string{"╘¬"}},
		{"half yen sign as GB 18030", device.PrinterOptions{}, "\x81\x30\x84\x36\n", []string{"〓〓"}},
		{"the euro of CP936", device.PrinterOptions{}, "\x80\n", []string{"Ç"}},
		{"a line too long goes on below", device.PrinterOptions{WidthMM: 58}, strings.Repeat("a", 33) + "\n", []string{strings.Repeat("a", 32), "a"}},
		{"a Chinese character is not cut in half", device.PrinterOptions{WidthMM: 58}, strings.Repeat("a", 31) + "\xd4\xaa\n", []string{strings.Repeat("a", 31), "元"}},
		{"right", device.PrinterOptions{WidthMM: 58}, "\x1ba\x02x\n", []string{strings.Repeat(" ", 31) + "x"}},
		{"centre, double", device.PrinterOptions{WidthMM: 58}, "\x1ba\x01\x1d!\x11ab\n", []string{strings.Repeat(" ", 14) + "ab"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			p, _ := spoken(t, tc.o, nil, tc.send+"\x1dV\x00")
			got := p.Receipts()
			if len(got) != 1 {
				t.Fatalf("%d receipts", len(got))
			}
			if diff := cmp.Diff(tc.want, got[0].Lines); diff != "" {
				t.Error(diff)
			}
		})
	}
	p, _ := spoken(t, device.PrinterOptions{}, nil, "\x1bzx\n\x1dV\x00")
	if u := p.Unknown(); !slices.Equal(u, []string{"1b 7a"}) {
		t.Errorf("unknown commands: %q", u)
	}
}

func TestOptionsAreChecked(t *testing.T) {
	font, err := labFont()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := device.NewPrinter(device.PrinterOptions{WidthMM: 72, Font: font}); err == nil {
		t.Error("72 mm was taken")
	}
	for name, data := range map[string][]byte{
		"empty": {}, "text": []byte("not a font"), "a broken collection": append([]byte("ttcf"), binary.BigEndian.AppendUint32(make([]byte, 4), 1<<31)...),
	} {
		file := filepath.Join(t.TempDir(), "font.ttc")
		if err := os.WriteFile(file, data, 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := device.OpenFont(file); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

func FuzzPrinter(f *testing.F) {
	f.Add([]byte("\x1b@\x1c&\xd4\xaa\n\x1d!\x11ab\n\x1dv0\x00\x02\x00\x02\x00abcd\x1dV\x00\x10\x04\x01\x1d(H\x06\x0000abcd"))
	f.Add([]byte("\x1dv0\x00\xff\xff\xff\xff\x09\x09\x1bd\xff\x1bp\x00\x19\x19"))
	font, err := labFont()
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, in []byte) {
		if len(in) > 4096 {
			return
		}
		p, err := device.NewPrinter(device.PrinterOptions{Font: font})
		if err != nil {
			t.Fatal(err)
		}
		host, dev := device.Pipe()
		served := make(chan error, 1)
		go func() { served <- p.Serve(context.Background(), dev) }()
		go func() { _, _ = io.Copy(io.Discard, host) }()
		if _, err := host.Write(in); err != nil {
			t.Fatal(err)
		}
		if err := host.Close(); err != nil {
			t.Fatal(err)
		}
		if err := <-served; err != nil {
			t.Fatal(err)
		}
		for _, r := range p.Receipts() {
			if r.Image.Bounds().Dx() != 640 || len(r.Lines) == 0 {
				t.Fatalf("receipt %d: %v, %d lines", r.N, r.Image.Bounds(), len(r.Lines))
			}
		}
	})
}
