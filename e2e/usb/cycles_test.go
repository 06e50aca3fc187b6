package usb_test

import (
	"context"
	"errors"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"dcpos/drivers/transport"
	"dcpos/drivers/transport/serial"
	"dcpos/drivers/transport/usb"
	"dcpos/lab/device"
	"dcpos/lab/usbip"
)

// usage is what a process holds.
type usage struct{ files, threads, residentKiB int }

func usageOf(t *testing.T, process string) (u usage) {
	t.Helper()
	files, err := os.ReadDir(filepath.Join("/proc", process, "fd"))
	if err != nil {
		t.Fatal(err)
	}
	u.files = len(files)
	status, err := os.ReadFile(filepath.Join("/proc", process, "status"))
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(status)) {
		f := strings.Fields(line)
		switch {
		case len(f) > 1 && f[0] == "VmRSS:":
			u.residentKiB, err = strconv.Atoi(f[1])
		case len(f) > 1 && f[0] == "Threads:":
			u.threads, err = strconv.Atoi(f[1])
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return u
}

// dice are the choices of a test; the seed is printed and repeats them.
func dice(t *testing.T) *rand.Rand {
	t.Helper()
	t.Logf("%d cycles with -seed=%d", *cycles, *seed)
	return rand.New(rand.NewPCG(*seed, 0))
}

// Devices come and go while they are opened, read, written and closed, at any moment.
func testCycles(t *testing.T) {
	d := dice(t)
	cycle(t, d) // what is made once is made
	goroutines, before := runtime.NumGoroutine(), usageOf(t, "self")
	began := time.Now()
	for range *cycles {
		cycle(t, d)
	}
	t.Logf("%v a cycle", time.Since(began)/time.Duration(max(*cycles, 1)))
	eventually(t, "all goroutines and files are given back", func() error {
		after := usageOf(t, "self")
		if n := runtime.NumGoroutine(); n > goroutines || after.files > before.files || after.threads > before.threads+4 {
			return errors.New(strconv.Itoa(n-goroutines) + " goroutines more, and " + strconv.Itoa(after.files-before.files) + " files")
		}
		return nil
	})
	after := usageOf(t, "self")
	t.Logf("before %+v, after %+v", before, after)
	if more := after.residentKiB - before.residentKiB; more > 8<<10+*cycles*4 {
		t.Errorf("%d KiB more memory", more)
	}
}

func cycle(t *testing.T, d *rand.Rand) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	w := newWire()
	printer, err := usbip.Plug(ctx, usbip.Printer{Identity: epson, Model: w})
	if err != nil {
		t.Fatal(err)
	}
	scanner, err := usbip.Plug(ctx, &usbip.Serial{Identity: newland, Model: device.NewScanner(device.ScannerOptions{})})
	if err != nil {
		t.Fatal(err)
	}
	ended, pulled := make(chan error, 2), make(chan struct{})
	go func() {
		ended <- use(ctx, pulled, func() (transport.Conn, error) {
			return usb.Open(ctx, usb.Match{IDs: []usb.ID{{VID: "04b8", PID: "0e15"}}}, usb.Want{})
		})
	}()
	go func() {
		ended <- use(ctx, pulled, func() (transport.Conn, error) {
			found, _ := filepath.Glob(scanner.Sys + "/*:1.0/tty/tty*") // the pattern is right
			if len(found) != 1 {
				return nil, transport.ErrNotFound
			}
			return serial.Open(ctx, "/dev/"+filepath.Base(found[0]), serial.Line{})
		})
	}()
	time.Sleep(time.Duration(d.IntN(900)) * time.Millisecond)
	plugs := []*usbip.Plugged{printer, scanner}
	d.Shuffle(2, func(i, j int) { plugs[i], plugs[j] = plugs[j], plugs[i] })
	for _, p := range plugs {
		if err := p.Unplug(); err != nil {
			t.Errorf("the device: %v", err)
		}
		eventually(t, "the kernel lets the device go", func() error {
			if _, err := os.Stat(p.Sys); err == nil {
				return errors.New("still there")
			}
			return nil
		})
	}
	close(pulled)
	for range plugs {
		if err := <-ended; err != nil {
			t.Error(err)
		}
	}
}

// use opens a device as soon as it is there, and reads and writes until it is gone.
// Whatever moment it goes at, the error is one that says so.
func use(ctx context.Context, pulled <-chan struct{}, open func() (transport.Conn, error)) error {
	c, err := open()
	for err != nil {
		select {
		case <-time.After(20 * time.Millisecond):
		case <-pulled: // before it could be opened
			return nil
		}
		c, err = open()
	}
	go func() { _, _ = c.Write(ctx, make([]byte, 10_000)) }() // some of it, nobody knows how much
	for err == nil {
		_, err = c.Read(ctx, make([]byte, 64))
	}
	if errors.Is(err, transport.ErrGone) {
		err = nil
	}
	return errors.Join(err, c.Close())
}
