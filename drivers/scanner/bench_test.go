package scanner_test

import (
	"context"
	"slices"
	"testing"
	"time"

	"dcpos/drivers/scanner"
	"dcpos/drivers/transport"
	"dcpos/drivers/transport/serial"
	"dcpos/lab/device"
)

// BenchmarkScanToEvent is the time from a scanner's first byte on a serial line of the
// kernel to the code in the agent's hands; it reports the median and the 99th hundredth.
func BenchmarkScanToEvent(b *testing.B) {
	model := device.NewScanner(device.ScannerOptions{AIM: true})
	bench, err := device.Start(context.Background(), model)
	if err != nil {
		b.Fatal(err)
	}
	s := scanner.New(profile(b, "honeywell-serial"), func(ctx context.Context) (transport.Conn, error) {
		return serial.Open(ctx, bench.Path, serial.Line{Baud: 115200})
	}, scanner.Options{})
	enabled(b, s)
	took := make([]time.Duration, 0, b.N)
	for b.Loop() {
		start := time.Now()
		if err := model.Scan("0100320229316139647", "]Q1"); err != nil {
			b.Fatal(err)
		}
		if e := <-s.Events(); e.Err != nil || e.Data.Symbology != "]Q1" {
			b.Fatalf("%+v", e)
		}
		took = append(took, time.Since(start))
	}
	slices.Sort(took)
	b.ReportMetric(float64(took[len(took)/2].Microseconds()), "p50-µs")
	b.ReportMetric(float64(took[len(took)*99/100].Microseconds()), "p99-µs")
	if err := s.Close(); err != nil {
		b.Error(err)
	}
	if err := bench.Unplug(); err != nil {
		b.Error(err)
	}
}
