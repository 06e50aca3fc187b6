package device_test

import (
	"context"
	"encoding/binary"
	"errors"
	"image"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/makiuchi-d/gozxing"
	"github.com/makiuchi-d/gozxing/qrcode"

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

// more sends further bytes to a printer that has been spoken to.
func more(t *testing.T, p *device.Printer, send string) (answers []byte) {
	t.Helper()
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
	return answers
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
		{"type: two-byte characters and a cutter", nil, "\x1dI\x02", "\x03"},
		{"a real-time question inside a picture is answered", nil, "\x1dv0\x00\x03\x00\x01\x00\x10\x04\x01", "\x12"},
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

func TestFontAnswers(t *testing.T) {
	for want, o := range map[string]device.PrinterOptions{
		"_CHINA GB18030\x00\x03":  {},
		"_CHINA GB2312\x00\x03":   {Chinese: device.GB2312},
		"_KANJI JAPANESE\x00\x03": {FontAnswer: "KANJI JAPANESE"},
		"\x03":                    {FontAnswer: "-"},
		"\x02":                    {Chinese: device.LatinOnly},
	} {
		if _, got := spoken(t, o, nil, "\x1dI\x45\x1dI\x02"); string(got) != want {
			t.Errorf("%+v: got %q, want %q", o, got, want)
		}
	}
}

// A code that the printer itself draws can be read from its paper.
func TestNativeCode(t *testing.T) {
	const data = "https://example.com/数字人民币"
	for _, level := range "0123" {
		p, _ := spoken(t, device.PrinterOptions{}, nil, "\x1ba\x01\x1d(k\x04\x001A2\x00\x1d(k\x03\x001C\x05\x1d(k\x03\x001E"+string(level)+
			"\x1d(k"+string([]byte{byte(len(data) + 3), 0})+"1P0"+data+"\x1d(k\x03\x001Q0\x1dV\x00")
		if got := decodeQR(t, p.Receipts()[0].Image); got != data || len(p.Unknown()) != 0 {
			t.Errorf("level %c: got %q, unknown %q", level, got, p.Unknown())
		}
	}
	// One that is too wide for the paper, or has no data, is not printed.
	p, _ := spoken(t, device.PrinterOptions{WidthMM: 58}, nil, "\x1d(k\x03\x001C\x10\x1d(k\x03\x001E1\x1d(k\x2b\x001P0"+strings.Repeat("x", 40)+"\x1d(k\x03\x001Q0x\n\x1dV\x00")
	if lines := p.Receipts()[0].Lines; !slices.Equal(lines, []string{"x"}) {
		t.Errorf("too wide: %q", lines)
	}
}

// The same dots by each of the three commands.
func TestPictureCommands(t *testing.T) {
	dots := "\xf0\x0f\xaa\x55"
	column := make([]byte, 0, 48)
	for x := range 16 {
		b := byte(0)
		for y := range 2 {
			if dots[2*y+x/8]&(0x80>>(x%8)) != 0 {
				b |= 0x80 >> y
			}
		}
		column = append(column, b, 0, 0)
	}
	var first image.Image
	for name, send := range map[string]string{
		"GS v 0":   "\x1dv0\x00\x02\x00\x02\x00" + dots,
		"GS ( L":   "\x1d(L\x0e\x000\x700\x01\x011\x10\x00\x02\x00" + dots + "\x1d(L\x02\x0002",
		"ESC * 33": "\x1b3\x18\x1b*\x21\x10\x00" + string(column) + "\n\x1b2",
	} {
		p, _ := spoken(t, device.PrinterOptions{}, nil, send+"\x1dV\x00")
		if len(p.Receipts()) != 1 || len(p.Unknown()) != 0 {
			t.Fatalf("%s: %d receipts, unknown %q", name, len(p.Receipts()), p.Unknown())
		}
		img := p.Receipts()[0].Image.SubImage(image.Rect(32, 40, 48, 42))
		if first == nil {
			first = img
		}
		for y := 40; y < 42; y++ {
			for x := 32; x < 48; x++ {
				if img.At(x, y) != first.At(x, y) {
					t.Fatalf("%s: dot %d,%d differs from the other commands'", name, x, y)
				}
			}
		}
	}
}

func TestBuzzer(t *testing.T) {
	p, _ := spoken(t, device.PrinterOptions{Buzzer: true}, nil, "\x1bB\x03\x02\x1bB\x01\x09")
	if p.Beeps() != 4 || len(p.Unknown()) != 0 {
		t.Errorf("%d beeps, unknown %q", p.Beeps(), p.Unknown())
	}
	if p, _ = spoken(t, device.PrinterOptions{}, nil, "\x1bB\x03\x02"); p.Beeps() != 0 || len(p.Unknown()) == 0 {
		t.Errorf("without a buzzer: %d beeps, unknown %q", p.Beeps(), p.Unknown())
	}
}

func TestLamp(t *testing.T) {
	const commands = "\x1bC\x03\x02\x03\x1bC\x02\x02\x02\x1bC\x01\x01\x01\x1bC\x05\x05\x00\x1bC\x15\x01\x03\x1bC\x01\x00\x03\x1bC\x01\x01\x04"
	p, _ := spoken(t, device.PrinterOptions{Buzzer: true, Lamp: true}, nil, commands)
	if p.Beeps() != 4 || p.Flashes() != 5 || len(p.Unknown()) != 0 {
		t.Errorf("%d beeps, %d flashes, unknown %q", p.Beeps(), p.Flashes(), p.Unknown())
	}
	if p, _ = spoken(t, device.PrinterOptions{Buzzer: true}, nil, commands); p.Flashes() != 0 || len(p.Unknown()) == 0 {
		t.Errorf("without a lamp: %d flashes, unknown %q", p.Flashes(), p.Unknown())
	}
}

// A jam fails the cut, and every recovery until a hand has cleared it; then DLE ENQ 1 cuts.
func TestJam(t *testing.T) {
	p, _ := spoken(t, device.PrinterOptions{}, func(p *device.Printer) { p.SetJam(true) }, "x\n\x1dV\x00y\n")
	for _, step := range []struct{ send, want string }{
		{"\x10\x04\x03\x10\x04\x02", "\x1a\x52"}, {"\x10\x05\x01", ""}, {"\x10\x04\x03", "\x1a"},
	} {
		if got := more(t, p, step.send); string(got) != step.want {
			t.Errorf("% x: got % x, want % x", step.send, got, step.want)
		}
	}
	p.SetJam(false)
	if got := more(t, p, "\x10\x04\x03"); string(got) != "\x1a" || len(p.Receipts()) != 0 {
		t.Errorf("cleared by hand it is still in error: % x, %d receipts", got, len(p.Receipts()))
	}
	if got := more(t, p, "\x10\x05\x01"); len(got) != 0 || len(p.Receipts()) != 1 || p.Receipts()[0].Text() != "x\n" || p.Pending() != 0 {
		t.Errorf("recovered: % x, %d receipts, %d bytes wait", got, len(p.Receipts()), p.Pending())
	}
}

// A cover that was opened in the middle of a job is an error until the host lets the job
// go on or clears it, and not before it is closed.
func TestCoverIsError(t *testing.T) {
	for recovery, want := range map[string]string{"\x10\x05\x01": "before\nafter\n", "\x10\x05\x02": "before\n"} {
		p, got := spoken(t, device.PrinterOptions{CoverIsError: true}, func(p *device.Printer) { p.SetPaperLeft(30) }, "before\nafter\n\x1dV\x00")
		if len(got) != 0 || len(p.Receipts()) != 0 || p.Waiting() {
			t.Fatalf("out of paper: %d receipts, waiting %v", len(p.Receipts()), p.Waiting())
		}
		p.SetCover(true)
		p.SetPaper(true)
		if answers := more(t, p, recovery+"\x10\x04\x02"); string(answers) != "\x56" {
			t.Errorf("told to go on while the cover is open: % x", answers)
		}
		p.SetCover(false)
		if !p.Waiting() || p.Pending() == 0 {
			t.Errorf("new paper: waiting %v, %d bytes", p.Waiting(), p.Pending())
		}
		answers := more(t, p, "\x10\x04\x01\x10\x04\x03"+recovery+"\x10\x04\x01\x10\x04\x03")
		if string(answers) != "\x1a\x16\x12\x12" {
			t.Errorf("DLE EOT 1 and 3 before and after: % x", answers)
		}
		p.Tear()
		if len(p.Receipts()) != 1 || p.Receipts()[0].Text() != want {
			t.Errorf("after % x: %+v", recovery, p.Receipts())
		}
	}
}

// The cable breaks after exactly so many bytes; without power what was not printed is lost.
func TestCableBreaks(t *testing.T) {
	for power, want := range map[bool]int{false: 1, true: 0} {
		p, _ := spoken(t, device.PrinterOptions{}, nil, "")
		p.PullCableAfter(7, power)
		host, dev := device.Pipe()
		served := make(chan error, 1)
		go func() { served <- p.Serve(context.Background(), dev) }()
		if n, err := io.WriteString(host, "one\n\x1dV\x00two\n\x1dV\x00"); err == nil && n > 7 {
			t.Logf("the host believes that %d bytes have left", n)
		}
		if err := <-served; err != nil {
			t.Error(err)
		}
		if n := len(p.Receipts()); n != want || p.Pending() != 0 {
			t.Errorf("power %v: %d receipts, want %d; %d bytes wait", power, n, want, p.Pending())
		}
	}
}

func TestSlowLineTakesItsTime(t *testing.T) {
	font, err := labFont()
	if err != nil {
		t.Fatal(err)
	}
	synctest.Test(t, func(t *testing.T) {
		p, err := device.NewPrinter(device.PrinterOptions{Font: font, BytesPerSecond: 960})
		if err != nil {
			t.Fatal(err)
		}
		host, dev := device.Pipe()
		served := make(chan error, 1)
		go func() { served <- p.Serve(context.Background(), dev) }()
		start := time.Now()
		if _, err := io.WriteString(host, strings.Repeat("x", 960)); err != nil {
			t.Fatal(err)
		}
		if d := time.Since(start); d < 850*time.Millisecond || d > 1100*time.Millisecond {
			t.Errorf("960 bytes at 960 a second took %v", d)
		}
		if err := host.Close(); err != nil {
			t.Error(err)
		}
		if err := <-served; err != nil {
			t.Error(err)
		}
	})
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
		{"Chinese on a printer of Latin letters", device.PrinterOptions{Chinese: device.LatinOnly}, "\x1c&\xcd\xf5\xb8\xae\n", []string{"═⌡╕«"}},
		{"what GBK added, on GB 2312", device.PrinterOptions{Chinese: device.GB2312}, "\xfd\x93\xb0\xa1\n", []string{"〓啊"}},
		{"four bytes on a font that has them", device.PrinterOptions{Chinese: device.GB18030x4}, "\x95\x34\xb2\x35\n", []string{"𠮷"}},
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

func decodeQR(t *testing.T, img image.Image) string {
	t.Helper()
	bitmap, err := gozxing.NewBinaryBitmapFromImage(img)
	if err != nil {
		t.Fatal(err)
	}
	found, err := qrcode.NewQRCodeReader().Decode(bitmap, map[gozxing.DecodeHintType]any{gozxing.DecodeHintType_TRY_HARDER: true})
	if err != nil {
		t.Fatalf("no qr code on the paper: %v", err)
	}
	return found.GetText()
}

func TestMissingFontNamesThePackage(t *testing.T) {
	_, err := device.OpenFont(filepath.Join(t.TempDir(), "none.ttc"))
	if err == nil || !strings.Contains(err.Error(), "fonts-wqy-microhei") {
		t.Errorf("got %v", err)
	}
}
