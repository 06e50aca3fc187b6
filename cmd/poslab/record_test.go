package main

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"dcpos/drivers"
	"dcpos/drivers/all"
	"dcpos/drivers/receipt"
	"dcpos/drivers/transporttest"
	"dcpos/internal/cli"
	"dcpos/lab/device"
)

// atPrinter prints on what hangs at a path.
func atPrinter(t *testing.T, path string) error {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	p, err := all.OpenPrinter(ctx, drivers.DeviceConfig{
		Profile: "epson-tm-t70ii-ch", Transport: drivers.TransportConfig{Kind: drivers.TransportSerial, Path: path},
	})
	if err != nil {
		return err
	}
	r, err := p.Print(ctx, drivers.PrintJob{ID: "recorded", Receipt: receipt.New(receipt.Title("测试"), receipt.QR("https://example.cn/r"), receipt.Cut())})
	if err == nil && r.State != drivers.PrintConfirmed {
		err = errors.New(string(r.State))
	}
	return errors.Join(err, p.Close())
}

func TestWhatWasRecordedPlays(t *testing.T) {
	dir := t.TempDir()
	box, link, file := device.Socket{Path: filepath.Join(dir, "real")}, filepath.Join(dir, "link"), filepath.Join(dir, "script")
	model, err := device.NewPrinter(device.PrinterOptions{StartsWithoutChinese: true})
	if err != nil {
		t.Fatal(err)
	}
	if err := box.Plug(t.Context(), model); err != nil {
		t.Fatal(err)
	}
	p := sit(t, "record", "--port", box.Path+"@115200", "--listen", link, "--out", file, "--profile", "printer/epson-tm-t70ii-ch", "--note", "firmware 1.00")
	p.sees("recording until")
	if err := atPrinter(t, link); err != nil {
		t.Fatal(err)
	}
	if n := len(model.Receipts()); n != 1 {
		t.Fatalf("%d receipts came through the recorder", n)
	}
	if err := box.Unplug(); err != nil { // the device goes away: the recording ends
		t.Log(err)
	}
	if code := p.leaves(); code != cli.OK || !strings.Contains(p.out.String(), "recorded") {
		t.Fatalf("exit %d: %s", code, p.err.String())
	}
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{`"profile":"epson-tm-t70ii-ch"`, `"note":"firmware 1.00"`, `@115200"`, `"masked":true`, `"r_text":"_DCPOS-LAB."`} {
		if !strings.Contains(string(b), want) {
			t.Errorf("%s is not in\n%s", want, b)
		}
	}
	p = sit(t, "play", file, "--dir", dir)
	p.sees("→ /dev/pts/")
	if err := atPrinter(t, filepath.Join(dir, "printer")); err != nil {
		t.Fatal(err)
	}
	if code := p.leaves(); code != cli.OK {
		t.Errorf("exit %d: %s", code, p.err.String())
	}
	p = sit(t, "play", file, "--dir", dir)
	p.sees("→ /dev/pts/")
	host, err := os.OpenFile(filepath.Join(dir, "printer"), os.O_RDWR|syscall.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = host.Close() }()
	if _, err := host.WriteString("something else"); err != nil {
		t.Fatal(err)
	}
	if code := p.leaves(); code != cli.Negative || !strings.Contains(p.err.String(), "at byte 0") {
		t.Errorf("what differs: exit %d: %s", code, p.err.String())
	}
}

func TestARecordingHidesPaymentCodes(t *testing.T) {
	const code = "281234567890123456"
	for _, raw := range []bool{false, true} {
		dir := t.TempDir()
		box, file := device.Socket{Path: filepath.Join(dir, "real")}, filepath.Join(dir, "script")
		scanner := device.NewScanner(device.ScannerOptions{AIM: true})
		if err := box.Plug(t.Context(), scanner); err != nil {
			t.Fatal(err)
		}
		args := []string{"record", "--port", box.Path, "--listen", filepath.Join(dir, "link"), "--out", file}
		if raw {
			args = append(args, "--raw")
		}
		p := sit(t, args...)
		p.sees("recording until")
		host, err := os.Open(filepath.Join(dir, "link"))
		if err != nil {
			t.Fatal(err)
		}
		if err := scanner.Scan(code, "]Q1"); err != nil {
			t.Fatal(err)
		}
		buf := make([]byte, 64)
		for got := ""; !strings.HasSuffix(got, code+"\r"); { // the till itself sees all of it
			n, err := host.Read(buf)
			if err != nil {
				t.Fatal(err)
			}
			got += string(buf[:n])
		}
		_ = host.Close()
		_ = box.Unplug()
		if exit := p.leaves(); exit != cli.OK {
			t.Fatalf("exit %d: %s", exit, p.err.String())
		}
		f, err := os.Open(file)
		if err != nil {
			t.Fatal(err)
		}
		script, err := transporttest.Load(f)
		if err := errors.Join(err, f.Close()); err != nil {
			t.Fatal(err)
		}
		var sent string
		for _, op := range script.Ops {
			sent += string(op.R)
		}
		want := map[bool]string{true: code, false: "28" + strings.Repeat("0", 16)}[raw]
		if sent != "]Q1"+want+"\r" || script.Masked == raw {
			t.Errorf("raw %t: got %q", raw, sent)
		}
	}
}

func TestWrongRecordingsAreRefused(t *testing.T) {
	dir := t.TempDir()
	bad := filepath.Join(dir, "bad")
	if err := os.WriteFile(bad, []byte("\x1b@"), 0o600); err != nil {
		t.Fatal(err)
	}
	record := func(port string, more ...string) []string {
		return append([]string{"record", "--port", port, "--listen", filepath.Join(dir, "l"), "--out", filepath.Join(dir, "o")}, more...)
	}
	for name, c := range map[string]struct {
		want int
		args []string
	}{
		"no port":       {cli.Usage, record("ttyUSB0")},
		"no speed":      {cli.Usage, record("/dev/ttyUSB0@fast")},
		"half an id":    {cli.Usage, record("usb:04b8")},
		"no hex":        {cli.Usage, record("usb:04b8:xyzw")},
		"no profile":    {cli.Usage, record("/dev/ttyUSB0", "--profile", "printer/nope")},
		"no kind":       {cli.Usage, record("/dev/ttyUSB0", "--profile", "toaster/x")},
		"not there":     {cli.Unreachable, record(filepath.Join(dir, "absent"))},
		"nobody there":  {cli.Unreachable, record("tcp:127.0.0.1:1")},
		"no recording":  {cli.Usage, []string{"play", bad, "--dir", dir}},
		"nothing there": {cli.Usage, []string{"play", filepath.Join(dir, "absent"), "--dir", dir}},
	} {
		var out, errs screen
		if code := run(c.args, &cli.Streams{In: strings.NewReader(""), Out: &out, Err: &errs}); code != c.want || errs.String() == "" {
			t.Errorf("%s: exit %d, want %d: %s", name, code, c.want, errs.String())
		}
	}
}
