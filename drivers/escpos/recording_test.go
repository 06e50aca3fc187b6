package escpos_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"dcpos/drivers"
	"dcpos/drivers/escpos"
	"dcpos/drivers/receipt"
	"dcpos/drivers/transport"
	"dcpos/drivers/transporttest"
	profiles "dcpos/firmware-profiles"
	"dcpos/lab/device"
)

// recorded is the day of a printer as "poslab record" writes it down: it comes up, prints,
// has no paper for a second job, and is closed.
const recorded = "epson-tm-t70ii-ch.script"

// ofTheDay does what the recording was made of.
func ofTheDay(t *testing.T, p drivers.POSPrinter, paper func(in bool)) {
	t.Helper()
	defer func() { _ = p.Close() }() // again, where the test has ended early
	if err := errors.Join(p.Open(t.Context()), p.Claim(t.Context()), p.Enable(t.Context())); err != nil {
		t.Fatal(err)
	}
	if firmware := p.Info().Firmware; firmware == "" {
		t.Errorf("the printer's answers were not heard: %+v", p.Info())
	}
	job := drivers.PrintJob{ID: "1", Receipt: receipt.New(
		receipt.Title("测试 TEST"), receipt.Pair("合计 Total", "¥200.70"), receipt.QR(payment), receipt.Cut())}
	got, err := p.Print(t.Context(), job)
	wantState(t, got, err, drivers.PrintConfirmed, "")
	time.Sleep(time.Minute) // of the test's own clock; the paper goes out between two customers
	paper(false)
	synctest.Wait()
	s, err := p.Status(t.Context())
	if err != nil || s.PaperEnd.Value != drivers.Yes {
		t.Errorf("paper end is %s, %v", s.PaperEnd.Value, err)
	}
	if err := p.Close(); err != nil {
		t.Error(err)
	}
}

// TestARecordingPlaysBack records the model's day, holds it against the file, and runs the
// driver on the file alone.
func TestARecordingPlaysBack(t *testing.T) {
	profile, err := profiles.FindPrinter("epson-tm-t70ii-ch")
	if err != nil {
		t.Fatal(err)
	}
	font, err := labFont()
	if err != nil {
		t.Fatal(err)
	}
	var script bytes.Buffer
	synctest.Test(t, func(t *testing.T) {
		model, err := device.NewPrinter(device.PrinterOptions{Font: font, StartsWithoutChinese: true})
		if err != nil {
			t.Fatal(err)
		}
		host, dev := device.Pipe()
		go func() { _ = model.Serve(t.Context(), dev) }()
		conn := transporttest.Record(transport.NewStream("bench", host))
		p := escpos.New(profile, func(context.Context) (transport.Conn, error) { return conn, nil }, escpos.Options{})
		ofTheDay(t, p, model.SetPaper)
		s := transporttest.Script{
			Header: transporttest.Header{Kind: "printer", Profile: profile.Name, Date: "2026-11-26", Port: "bench", Note: "model of lab/device"},
			Ops:    conn.Ops(),
		}
		if err := s.Mask().Save(&script); err != nil {
			t.Fatal(err)
		}
	})
	path := filepath.Join("testdata", recorded)
	if *update {
		if err := os.WriteFile(path, script.Bytes(), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	golden, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for name, from := range map[string]io.Reader{"recorded just now": &script, "recorded and shipped": bytes.NewReader(golden)} {
		t.Run(name, func(t *testing.T) {
			s, err := transporttest.Load(from)
			if err != nil {
				t.Fatal(err)
			}
			synctest.Test(t, func(t *testing.T) {
				playback := &transporttest.Playback{Ops: s.Ops}
				p := escpos.New(profile, playback.Dial, escpos.Options{})
				ofTheDay(t, p, func(bool) {}) // the script takes it out
				if err := playback.Close(); err != nil {
					t.Error(err)
				}
			})
		})
	}
}
