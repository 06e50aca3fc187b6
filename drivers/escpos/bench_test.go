package escpos_test

import (
	"context"
	"errors"
	"io"
	"testing"
	"time"

	"dcpos/drivers"
	"dcpos/drivers/escpos"
	"dcpos/drivers/transport"
	"dcpos/lab/device"
)

// BenchmarkEncode is an 80 mm receipt with logo, Chinese and QR code on each kind of
// printer; "bytes" is what goes to the printer.
func BenchmarkEncode(b *testing.B) {
	r, font := everything(b), ourFont()
	for _, bench := range benches(b) {
		b.Run(bench.name, func(b *testing.B) {
			n := 0
			for b.Loop() {
				doc, err := escpos.Encode(r, bench.profile, font)
				if err != nil {
					b.Fatal(err)
				}
				n = len(doc.Bytes)
			}
			b.ReportMetric(float64(n), "bytes")
		})
	}
}

// watched tells when the first byte of a document went out.
type watched struct {
	transport.Conn
	first time.Time
	head  int // bytes before the document
}

func (w *watched) Write(ctx context.Context, p []byte) (int, error) {
	if len(p) > w.head && w.first.IsZero() {
		w.first = time.Now()
	}
	return w.Conn.Write(ctx, p)
}

// BenchmarkPrint is a whole job through the model in memory: asked, initialised, sent,
// confirmed. "first-byte-ns" is from the call to the first byte of the receipt.
func BenchmarkPrint(b *testing.B) {
	font, err := labFont()
	if err != nil {
		b.Fatal(err)
	}
	r := everything(b)
	for _, bench := range benches(b)[:2] {
		b.Run(bench.name, func(b *testing.B) {
			o := bench.model
			o.Font = font
			model, err := device.NewPrinter(o)
			if err != nil {
				b.Fatal(err)
			}
			host, dev := device.Pipe()
			ctx, cancel := context.WithCancel(context.Background())
			served := make(chan error, 1)
			go func() { served <- model.Serve(ctx, dev) }()
			conn := &watched{Conn: transport.NewStream("memory", host), head: 64}
			p := escpos.New(bench.profile, func(context.Context) (transport.Conn, error) { return conn, nil }, escpos.Options{Font: ourFont()})
			if err := errors.Join(p.Open(ctx), p.Claim(ctx), p.Enable(ctx)); err != nil {
				b.Fatal(err)
			}
			var first time.Duration
			for b.Loop() {
				conn.first = time.Time{}
				start := time.Now()
				got, err := p.Print(ctx, drivers.PrintJob{Receipt: r})
				if err != nil || got.State != drivers.PrintConfirmed {
					b.Fatalf("%+v, %v", got, err)
				}
				first += conn.first.Sub(start)
			}
			b.ReportMetric(float64(first.Nanoseconds())/float64(b.N), "first-byte-ns/op")
			if err := p.Close(); err != nil {
				b.Fatal(err)
			}
			cancel()
			if err := <-served; err != nil && !errors.Is(err, io.EOF) {
				b.Fatal(err)
			}
		})
	}
}
