package bench

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"syscall"
	"time"

	"dcpos/agent/devices"
	"dcpos/drivers"
	every "dcpos/drivers/all"
	"dcpos/drivers/receipt"
	"dcpos/drivers/transport"
	"dcpos/drivers/transport/usb"
	profiles "dcpos/firmware-profiles"
	"dcpos/lab/device"
	"dcpos/pos"
)

// The profiles of the bench's devices, all on serial lines of the kernel.
const (
	benchPrinter = "escpos-80mm-gb18030"
	benchScanner = "serial-cr"
)

func serialAt(profile, path string) drivers.DeviceConfig {
	return drivers.DeviceConfig{
		Profile: profile, Transport: drivers.TransportConfig{Kind: drivers.TransportSerial, Path: path},
	}
}

// bareLine is the floor of what passes over a serial line: the same bytes over a pty with
// no driver and no model at its ends.
type bareLine struct {
	line *device.PTY
	host *os.File
}

func newBareLine() (*bareLine, error) {
	line, err := device.NewPTY()
	if err != nil {
		return nil, err
	}
	host, err := os.OpenFile(line.Path, os.O_RDWR|syscall.O_NOCTTY, 0)
	if err != nil {
		return nil, errors.Join(err, line.Close())
	}
	return &bareLine{line: line, host: host}, nil
}

func (b *bareLine) close() error { return errors.Join(b.host.Close(), b.line.Close()) }

// up carries n bytes from the device to the host.
func (b *bareLine) up(n int) error {
	if _, err := b.line.Write(make([]byte, n)); err != nil {
		return err
	}
	_, err := io.ReadFull(b.host, make([]byte, n))
	return err
}

// downAndBack carries n bytes from the host to the device, and one byte back.
func (b *bareLine) downAndBack(n int) error {
	heard := make(chan error, 1)
	go func() {
		_, err := io.ReadFull(b.line, make([]byte, n))
		if err == nil {
			_, err = b.line.Write([]byte{0})
		}
		heard <- err
	}()
	_, err := b.host.Write(make([]byte, n))
	if err == nil {
		_, err = io.ReadFull(b.host, make([]byte, 1))
	}
	return errors.Join(err, <-heard)
}

// scans measures the time from the first byte that a scanner sends to the event that the
// agent gets.
func scans(ctx context.Context, r *run) (err error) {
	const code = "6901028075862"
	socket := device.Socket{Path: r.path("scanner")}
	model := device.NewScanner(device.ScannerOptions{})
	if err := socket.Plug(ctx, model); err != nil {
		return err
	}
	defer func() { _ = socket.Unplug() }() // the bench ends with it
	scanner, err := every.OpenScanner(ctx, serialAt(benchScanner, socket.Path))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, scanner.Close()) }()
	bare, err := newBareLine()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, bare.close()) }()
	s, err := byTurns(ctx, r.Repeat, func() error {
		if err := model.Scan(code, "]E0"); err != nil {
			return err
		}
		select {
		case e := <-scanner.Events():
			if e.Err != nil || e.Data.Text() != code {
				return errors.Join(e.Err, fmt.Errorf("scanned %q", e.Data.Text()))
			}
			return nil
		case <-time.After(patience):
			return errors.New("the scan did not come")
		case <-ctx.Done():
			return ctx.Err()
		}
	}, func() error { return bare.up(len(code) + 1) })
	if err != nil {
		return err
	}
	for _, p := range []int{50, 99} {
		r.report(Figure{
			Name: fmt.Sprintf("event.p%d", p), Value: s[0].at(p), Unit: "ms", Count: len(s[0]),
			Means: pos.Text{ZH: "扫码枪发出首字节到收银端得到一码", EN: "from the scanner's first byte to the event with the code"},
			Peer:  &Peer{Name: fmt.Sprintf("the same bytes over a bare pty, p%d", p), Value: s[1].at(p)},
		})
	}
	return nil
}

// sample is an 80 mm receipt as a shop prints it: Chinese, amounts, a QR code, a cut.
func sample() receipt.Receipt {
	return receipt.New(
		receipt.Title("王府井冰雪超市"), receipt.Centered("Wangfujing Ice & Snow Market"),
		receipt.Pair("单号 Order", "A-20210212-0042"), receipt.DoubleRule(),
		receipt.Pair("牛肉饭 Beef bowl", "35.20"), receipt.Pair("老酸奶 特供", "165.50"), receipt.Rule(),
		receipt.Pair("合计 Total", "￥200.70", receipt.Style{Bold: true, Size: receipt.Double}),
		receipt.Pair("数字人民币 e-CNY", "￥200.70"),
		receipt.QR("dcpos:pay:0197f1b2-7c3d-7e11-9a2b-3c4d5e6f7a8b"), receipt.Centered("扫码查询本笔支付"),
		receipt.Feed(1), receipt.Centered("谢谢惠顾,欢迎再来"), receipt.Cut())
}

// watched tells how many bytes went out, and when the first of a receipt did.
type watched struct {
	transport.Conn
	first time.Time
	bytes int
}

// longestQuestion: writes up to it ask, initialise or clear; longer ones are receipts.
const longestQuestion = 64

// Write implements transport.Conn.
func (w *watched) Write(ctx context.Context, p []byte) (int, error) {
	if len(p) > longestQuestion && w.first.IsZero() {
		w.first = time.Now()
	}
	w.bytes += len(p)
	return w.Conn.Write(ctx, p)
}

// receipts measures a receipt on a printer that has Chinese and QR codes of its own, and
// on one that has neither, to which all of that goes as pictures.
func receipts(ctx context.Context, r *run) error {
	native, err := profiles.FindPrinter("epson-tm-t70ii-ch")
	if err != nil {
		return err
	}
	raster := native
	raster.CJK, raster.QR = profiles.CJK{Encoding: "none", Around: "job"}, profiles.QR{}
	font, err := device.OpenFont("")
	if err != nil {
		return err
	}
	size, err := r.receipt(ctx, "native", native, device.PrinterOptions{Font: font, StartsWithoutChinese: true}, nil)
	if err != nil {
		return err
	}
	_, err = r.receipt(ctx, "raster", raster, device.PrinterOptions{Font: font, Chinese: device.LatinOnly}, &Peer{Name: "native", Value: size})
	return err
}

func (r *run) receipt(ctx context.Context, name string, p profiles.Printer, opt device.PrinterOptions, size *Peer) (bytes float64, err error) {
	model, err := device.NewPrinter(opt)
	if err != nil {
		return 0, err
	}
	socket := device.Socket{Path: r.path(name)}
	if err := socket.Plug(ctx, model); err != nil {
		return 0, err
	}
	defer func() { _ = socket.Unplug() }() // the bench ends with it
	var line *watched
	dial := every.Dial(serialAt(p.Name, socket.Path).Transport, p.Serial, p.Match, usb.Want{})
	printer := every.Printers()[p.Driver](p, func(ctx context.Context) (transport.Conn, error) {
		conn, err := dial(ctx)
		line = &watched{Conn: conn}
		return line, err
	}, name, "")
	defer func() { err = errors.Join(err, printer.Close()) }()
	if err := errors.Join(printer.Open(ctx), printer.Claim(ctx), printer.Enable(ctx)); err != nil {
		return 0, err
	}
	bare, err := newBareLine()
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, bare.close()) }()
	var first samples
	s, err := byTurns(ctx, r.Repeat/2, func() error {
		line.first, line.bytes = time.Time{}, 0
		began := time.Now()
		got, err := printer.Print(ctx, drivers.PrintJob{ID: "bench", Receipt: sample()})
		if err != nil || got.State != drivers.PrintConfirmed {
			return errors.Join(err, fmt.Errorf("printed: %s", got.State))
		}
		first = append(first, line.first.Sub(began))
		return nil
	}, func() error { return bare.downAndBack(max(1, line.bytes)) })
	if err != nil {
		return 0, err
	}
	r.printed(name, line.bytes, first, s, size)
	return float64(line.bytes), nil
}

// printed reports a receipt; s are the whole job and the bare line.
func (r *run) printed(name string, bytes int, first samples, s []samples, size *Peer) {
	how := map[string]pos.Text{
		"native": {ZH: "打印机自带中文与二维码", EN: "the printer's own Chinese and QR code"},
		"raster": {ZH: "中文与二维码均为图形", EN: "Chinese and QR code as pictures"},
	}[name]
	r.report(Figure{
		Name: name + ".bytes", Value: float64(bytes), Unit: "B", Peer: size,
		Means: pos.Text{ZH: "80 毫米小票字节数,含查询:" + how.ZH, EN: "an 80 mm receipt with its questions: " + how.EN},
	})
	r.report(Figure{
		Name: name + ".first-byte", Value: first.at(50), Unit: "ms", Count: len(first),
		Means: pos.Text{ZH: "调用打印到首字节送出(中位数,含问状态与排版)", EN: "from the call to the receipt's first byte on the line, median; asking and layout included"},
	})
	r.report(Figure{
		Name: name + ".confirmed", Value: s[0].at(50), Unit: "ms", Count: len(s[0]),
		Means: pos.Text{ZH: "调用打印到打印机确认(中位数,串口不限速)", EN: "from the call to the printer's confirmation, median, on a line without a speed"},
		Peer:  &Peer{Name: "as many bytes over a bare pty and one back, p50", Value: s[1].at(50)},
	})
}

// plugs measures how soon a printer works that was pulled out and put back at once.
func plugs(ctx context.Context, r *run) error {
	socket := device.Socket{Path: r.path("printer")}
	model, err := device.NewPrinter(device.PrinterOptions{})
	if err != nil {
		return err
	}
	if err := socket.Plug(ctx, model); err != nil {
		return err
	}
	defer func() { _ = socket.Unplug() }() // the bench ends with it
	hello, err := byTurns(ctx, r.Repeat/5, func() error {
		p, err := every.OpenPrinter(ctx, serialAt(benchPrinter, socket.Path))
		if err != nil {
			return err
		}
		return p.Close()
	})
	if err != nil {
		return err
	}
	c := serialAt(benchPrinter, socket.Path)
	set := devices.New(devices.Config{Printer: &c}, devices.All(), devices.Options{Log: slog.New(slog.DiscardHandler)})
	ctx, stop := context.WithCancel(ctx)
	done := make(chan struct{})
	go func() { defer close(done); set.Run(ctx, nil) }()
	defer func() { <-done }()
	defer stop()
	opened := func(more int64) func() (bool, error) {
		return func() (bool, error) {
			d, err := set.Detail("printer")
			return err == nil && d.Healing.Opened >= more && d.State.Works(), err
		}
	}
	if err := until(ctx, time.Millisecond, "the printer works", opened(1)); err != nil {
		return err
	}
	var s samples
	for n := range r.Sizes.Plugs {
		if err := socket.Unplug(); err != nil {
			return err
		}
		if err := socket.Plug(ctx, model); err != nil {
			return err
		}
		if err := s.time(func() error { return until(ctx, time.Millisecond, "the printer works again", opened(int64(n)+2)) }); err != nil {
			return err
		}
	}
	for _, p := range []int{50, 99} {
		r.report(Figure{
			Name: fmt.Sprintf("replug.p%d", p), Value: s.at(p), Unit: "ms", Count: len(s),
			Means: pos.Text{ZH: "拔出后立即接回,到打印机重新可用", EN: "pulled out and put back at once: from the plug to a printer that works"},
			Peer:  &Peer{Name: fmt.Sprintf("the driver alone opens and closes it, p%d", p), Value: hello[0].at(p)},
		})
	}
	return nil
}
