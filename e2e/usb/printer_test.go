package usb_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/google/gousb"

	"dcpos/drivers"
	"dcpos/drivers/all"
	"dcpos/drivers/drivertest"
	"dcpos/drivers/transport"
	"dcpos/drivers/transport/usb"
	profiles "dcpos/firmware-profiles"
	"dcpos/lab/device"
	"dcpos/lab/usbip"
)

// patience bounds each wait in the guest, whose processor is emulated.
const patience = 90 * time.Second

var epson = usbip.Identity{Vendor: 0x04b8, Product: 0x0e15, Release: 0x0214, Maker: "EPSON", Model: "TM-T20II", Serial: "J8K1"}

// wire is a model that is nothing but its line.
type wire struct{ line chan io.ReadWriteCloser }

func newWire() wire { return wire{make(chan io.ReadWriteCloser, 1)} }

func (w wire) Serve(ctx context.Context, rw io.ReadWriteCloser) error {
	w.line <- rw
	<-ctx.Done()
	return nil
}

// plug puts a device into the kernel until the test ends.
func plug(t *testing.T, f usbip.Function) *usbip.Plugged {
	t.Helper()
	p, err := usbip.Plug(context.Background(), f)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := p.Unplug(); err != nil {
			t.Errorf("the device: %v", err)
		}
		eventually(t, "the kernel lets the device go", func() error {
			if _, err := os.Stat(p.Sys); err == nil {
				return errors.New("still there")
			}
			return nil
		})
	})
	return p
}

// eventually tries until f succeeds.
func eventually(t *testing.T, what string, f func() error) {
	t.Helper()
	deadline := time.Now().Add(patience)
	for {
		err := f()
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("%s: %v", what, err)
		}
		time.Sleep(10 * time.Millisecond)
	}
}

// find waits for the one path that fits the pattern.
func find(t *testing.T, pattern string) (path string) {
	t.Helper()
	eventually(t, pattern, func() error {
		found, err := filepath.Glob(pattern)
		if err != nil || len(found) != 1 {
			return errors.Join(err, errors.New("found "+filepath.Join(found...)))
		}
		path = found[0]
		return nil
	})
	return path
}

// openPrinter opens the epson as the agent does, as soon as it is there.
func openPrinter(t *testing.T) (c transport.Conn) {
	t.Helper()
	eventually(t, "open the printer", func() (err error) {
		c, err = usb.Open(t.Context(), usb.Match{IDs: []usb.ID{{VID: "04b8", PID: "0e15"}}, Serial: epson.Serial}, usb.Want{})
		return err
	})
	t.Cleanup(func() { _ = c.Close() }) // tests close it too
	return c
}

var glyphs = sync.OnceValues(func() (*device.Font, error) { return device.OpenFont("") }) // read once

// plugPrinter plugs a printer in that prints, and makes the driver of whatever TM-T20II is there.
func plugPrinter(t *testing.T) drivers.POSPrinter {
	t.Helper()
	font, err := glyphs()
	if err != nil {
		t.Fatal(err)
	}
	model, err := device.NewPrinter(device.PrinterOptions{Font: font, Maker: "EPSON", Model: "TM-T20II"})
	if err != nil {
		t.Fatal(err)
	}
	p := plug(t, usbip.Printer{Identity: epson, Model: model})
	find(t, p.Sys+"/*:1.0")
	find(t, "/dev/bus/usb/"+busNode(t, p.Sys))
	profile, err := profiles.FindPrinter("epson-tm-t20")
	if err != nil {
		t.Fatal(err)
	}
	d := all.Printers()[profile.Driver](profile, func(ctx context.Context) (transport.Conn, error) {
		return usb.Open(ctx, usb.Match{IDs: []usb.ID{{VID: "04b8", PID: "0e15"}}, Serial: epson.Serial}, usb.Want{})
	}, "printer", "")
	t.Cleanup(func() {
		if err := d.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	return d
}

// busNode is where usbfs has a device, below /dev/bus/usb.
func busNode(t *testing.T, sys string) string {
	t.Helper()
	var n [2]int
	for i, name := range []string{"busnum", "devnum"} {
		b, err := os.ReadFile(filepath.Join(sys, name))
		if err == nil {
			n[i], err = strconv.Atoi(string(bytes.TrimSpace(b)))
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return fmt.Sprintf("%03d/%03d", n[0], n[1])
}

func within(t *testing.T, d time.Duration) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), d)
	t.Cleanup(cancel)
	return ctx
}

func testPrinter(t *testing.T) {
	t.Run("suite", func(t *testing.T) {
		drivertest.RunConn(t, func(t *testing.T) (transport.Conn, io.ReadWriteCloser) {
			t.Helper()
			w := newWire()
			plug(t, usbip.Printer{Identity: epson, Model: w})
			return openPrinter(t), <-w.line
		})
	})
	t.Run("driver's suite", func(t *testing.T) {
		drivertest.RunPrinter(t, plugPrinter)
	})
	t.Run("300028 bytes arrive as they were sent at full speed", func(t *testing.T) { exactBytes(t, usbip.FullSpeed) })
	t.Run("300028 bytes arrive as they were sent at high speed", func(t *testing.T) { exactBytes(t, usbip.HighSpeed) })
	t.Run("a printer that says NAK holds nobody beyond the deadline", testNAK)
	t.Run("a stall is told, not taken for an unplugged cable", testStall)
	t.Run("unplugged during a read and a write", testUnplug)
	t.Run("usblp gives the printer up and gets it back", testUsblp)
	t.Run("class requests", testClassRequests)
}

// exactBytes sends more than a transfer holds, and not a whole number of packets.
func exactBytes(t *testing.T, speed usbip.Speed) {
	t.Helper()
	w := newWire()
	plug(t, usbip.Printer{Identity: epson, Speed: speed, Model: w})
	c := openPrinter(t)
	want := make([]byte, 300_028)
	for i := range want {
		want[i] = byte(i*7 + i>>8)
	}
	got := make([]byte, len(want))
	read := make(chan error, 1)
	line := <-w.line
	go func() {
		_, err := io.ReadFull(line, got)
		read <- err
	}()
	began := time.Now()
	if n, err := c.Write(within(t, patience), want); n != len(want) || err != nil {
		t.Fatal(n, err)
	}
	if err := <-read; err != nil || !bytes.Equal(got, want) {
		t.Errorf("the bytes differ; %v", err)
	}
	t.Logf("%d bytes in %v", len(want), time.Since(began))
}

func testNAK(t *testing.T) {
	w := newWire()
	plug(t, usbip.Printer{Identity: epson, Model: w})
	c := openPrinter(t)
	began := time.Now()
	if _, err := c.Write(within(t, 300*time.Millisecond), make([]byte, 100)); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("write: got %v", err)
	}
	if _, err := c.Read(within(t, 300*time.Millisecond), make([]byte, 100)); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("read: got %v", err)
	}
	if d := time.Since(began); d > patience/2 {
		t.Errorf("took %v", d)
	}
	line := <-w.line
	go func() { _, _ = c.Write(within(t, patience), []byte("later")) }() // what arrives is checked
	buf := make([]byte, 5)
	if _, err := io.ReadFull(line, buf); err != nil || string(buf) != "later" {
		t.Errorf("after the deadline: got %q, %v", buf, err)
	}
}

// halting is a printer whose endpoints can be halted from outside.
type halting struct {
	usbip.Printer
	session chan *usbip.Session
}

func (h halting) Run(ctx context.Context, s *usbip.Session) error {
	h.session <- s
	return h.Printer.Run(ctx, s)
}

func testStall(t *testing.T) {
	w := newWire()
	h := halting{usbip.Printer{Identity: epson, Model: w}, make(chan *usbip.Session, 1)}
	plug(t, h)
	c := openPrinter(t)
	s := <-h.session
	s.Halt(usbip.PrinterOut)
	if _, err := c.Write(within(t, patience), []byte("x")); !errors.Is(err, gousb.TransferStall) || errors.Is(err, transport.ErrGone) {
		t.Errorf("write: got %v", err)
	}
	read := make(chan error, 1)
	go func() {
		_, err := c.Read(within(t, patience), make([]byte, 10))
		read <- err
	}()
	time.Sleep(100 * time.Millisecond) // let the transfer wait
	s.Halt(usbip.PrinterIn)
	if err := <-read; !errors.Is(err, gousb.TransferStall) || errors.Is(err, transport.ErrGone) {
		t.Errorf("read: got %v", err)
	}
}

func testUnplug(t *testing.T) {
	w := newWire()
	p := plug(t, usbip.Printer{Identity: epson, Model: w})
	c := openPrinter(t)
	ended := make(chan error, 2)
	go func() {
		_, err := c.Read(within(t, patience), make([]byte, 10))
		ended <- err
	}()
	go func() {
		_, err := c.Write(within(t, patience), make([]byte, 100_000)) // nobody takes it
		ended <- err
	}()
	time.Sleep(200 * time.Millisecond) // both are under way
	began := time.Now()
	if err := p.Unplug(); err != nil {
		t.Error(err)
	}
	for range 2 {
		if err := <-ended; !errors.Is(err, transport.ErrGone) {
			t.Errorf("got %v, want ErrGone", err)
		}
	}
	t.Logf("told after %v", time.Since(began))
	if _, err := c.Write(within(t, patience), []byte("x")); !errors.Is(err, transport.ErrGone) {
		t.Errorf("write afterwards: got %v", err)
	}
	if err := c.Close(); err != nil {
		t.Errorf("close: %v", err)
	}
}

func testUsblp(t *testing.T) {
	w := newWire()
	p := plug(t, usbip.Printer{Identity: epson, Model: w})
	driver := func() string {
		to, err := os.Readlink(filepath.Join(p.Sys, filepath.Base(p.Sys)+":1.0", "driver"))
		if err != nil {
			return ""
		}
		return filepath.Base(to)
	}
	held := func(by string) {
		t.Helper()
		eventually(t, "the printer is held by "+by, func() error {
			if d := driver(); d != by {
				return errors.New("it is held by " + d)
			}
			return nil
		})
	}
	held("usblp")
	find(t, "/dev/usb/lp*")
	c := openPrinter(t)
	held("usbfs")
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	held("usblp")
}

func testClassRequests(t *testing.T) {
	p := plug(t, usbip.Printer{
		Identity: epson, Model: newWire(), DeviceID: "MFG:EPSON;CMD:ESC/POS;MDL:TM-T20II;CLS:PRINTER;",
		PortStatus: func() byte { return usbip.PortSelected | usbip.PortPaperEmpty },
	})
	// usblp asks for GET_DEVICE_ID when it takes the printer; LPGETSTATUS is GET_PORT_STATUS.
	id := ""
	eventually(t, "the kernel shows the IEEE 1284 id", func() error {
		b, err := os.ReadFile(filepath.Join(p.Sys, filepath.Base(p.Sys)+":1.0", "ieee1284_id"))
		id = string(bytes.TrimSpace(b))
		return err
	})
	if id != "MFG:EPSON;CMD:ESC/POS;MDL:TM-T20II;CLS:PRINTER;" {
		t.Errorf("got %q", id)
	}
}
