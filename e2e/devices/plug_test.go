package devices_test

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"dcpos/agent/devices"
	"dcpos/agent/devices/sysfs/sysfstest"
	"dcpos/drivers"
	"dcpos/drivers/receipt"
	"dcpos/lab/device"
)

// bytesOfAll is about what the agent sends from the hello to the confirmation.
const bytesOfAll = 700

var (
	cycles = flag.Int("cycles", 150, "how often the printer is unplugged and plugged in again; 1000 is the long form")
	seed   = flag.Uint64("seed", 1, "seed of the moments at which it is")
)

// socket is where the printer of the bench hangs.
type socket struct {
	*testing.T
	device.Socket
	printer *device.Printer
}

// plug plugs the printer in; pulled, if not nil, pulls the plug again when so many bytes
// have come.
func (s *socket) plug(pulled *hand) {
	s.Helper()
	var served device.Served = s.printer
	if pulled != nil {
		pulled.printer = s.printer
		served = pulled
	}
	if err := s.Plug(s.Context(), served); err != nil {
		s.Fatal(err)
	}
}

// hand pulls the plug after some bytes.
type hand struct {
	io.ReadWriteCloser
	printer *device.Printer
	left    int
	pulled  chan struct{}
	once    sync.Once
}

// Serve implements device.Served.
func (h *hand) Serve(ctx context.Context, rw io.ReadWriteCloser) error {
	h.ReadWriteCloser = rw
	return h.printer.Serve(ctx, h)
}

// Read implements io.Reader.
func (h *hand) Read(b []byte) (int, error) {
	n, err := h.ReadWriteCloser.Read(b[:min(len(b), h.left)])
	if h.left -= n; h.left == 0 && n > 0 {
		h.pull()
		return n, errors.Join(io.EOF, h.Close())
	}
	return n, err
}

// unplug ends the line; what the model says about a host that hung up is of no interest.
func (s *socket) unplug() { _ = s.Unplug() }

// pull pulls the plug if it is still in.
func (h *hand) pull() {
	h.once.Do(func() { close(h.pulled) })
}

// use is what a process holds.
type use struct {
	goroutines, descriptors int
	heap                    uint64
}

func held(t *testing.T) use {
	t.Helper()
	runtime.GC()
	fds, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return use{runtime.NumGoroutine(), len(fds), m.HeapAlloc}
}

// TestManyPlugs unplugs a printer on a real serial line again and again, every twentieth
// time in the middle of a receipt. Every receipt has to be on paper once, and a
// second one of the same job only with the mark of a duplicate; nothing may be left over.
func TestManyPlugs(t *testing.T) {
	font, err := device.OpenFont("")
	if err != nil {
		t.Fatal(err)
	}
	s := &socket{T: t, Socket: device.Socket{Path: filepath.Join(t.TempDir(), "printer")}}
	set := devices.New(devices.Config{Printer: &drivers.DeviceConfig{
		Profile: "escpos-80mm-gb18030", Transport: drivers.TransportConfig{Kind: drivers.TransportSerial, Path: s.Path},
	}}, devices.All(), devices.Options{Tree: sysfstest.Plant(t, ""), Log: slog.New(slog.DiscardHandler)})
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { defer close(done); set.Run(ctx, nil) }()
	dice := rand.New(rand.NewPCG(*seed, 2))
	var before use
	began := time.Now()
	interrupted, slowest := 0, time.Duration(0)
	for n := range *cycles {
		if n == 50 { // everything that is made once has been made
			before = held(t)
		}
		if s.printer, err = device.NewPrinter(device.PrinterOptions{Font: font}); err != nil { // a model keeps all its paper
			t.Fatal(err)
		}
		job := drivers.PrintJob{ID: fmt.Sprintf("job-%d", n), Receipt: receipt.New(
			receipt.Text(fmt.Sprintf("begin %d", n)), receipt.Text("二十元 20.00"), receipt.QR("https://example.cn/r"),
			receipt.Text(fmt.Sprintf("end %d.", n)), receipt.Cut())}
		var h *hand
		again := make(chan struct{})
		if n%20 == 1 { // each costs the two seconds in which the driver finds half a command in the printer
			h = &hand{left: 1 + dice.IntN(bytesOfAll), pulled: make(chan struct{})}
		}
		s.plug(h)
		if h == nil {
			close(again)
		} else {
			go func() {
				defer close(again)
				<-h.pulled
				s.unplug()
				s.plug(nil)
			}()
		}
		plugged := time.Now()
		for !confirmed(ctx, set, &job) {
			if time.Since(plugged) > time.Minute {
				t.Fatalf("cycle %d: not printed: %+v", n, set.Status())
			}
			time.Sleep(2 * time.Millisecond)
		}
		slowest = max(slowest, time.Since(plugged))
		if h != nil { // the receipt was shorter than the hand was slow
			h.pull()
		}
		<-again
		if job.Duplicate {
			interrupted++
		}
		s.unplug()
		judge(t, s.printer, n)
	}
	after := settled(t, before)
	detail, err := set.Detail("printer")
	if err != nil {
		t.Fatal(err)
	}
	cancel()
	<-done
	t.Logf("%d cycles in %s, seed %d, slowest %s; %d jobs interrupted; before %+v, after %+v; %+v",
		*cycles, time.Since(began).Round(time.Millisecond), *seed, slowest.Round(time.Millisecond), interrupted, before, after, detail.Healing)
	if after.exceeds(before) {
		t.Errorf("left over: before %+v, after %+v", before, after)
	}
}

// exceeds reports whether more is held than before.
func (u use) exceeds(before use) bool {
	return u.goroutines > before.goroutines+2 || u.descriptors > before.descriptors+1 || u.heap > before.heap+8<<20
}

// settled is what is held once it is no more than before, or after a minute: the set may be
// closing the device that was pulled out last, or trying to open it.
func settled(t *testing.T, before use) use {
	t.Helper()
	after := held(t)
	for end := time.Now().Add(time.Minute); after.exceeds(before) && time.Now().Before(end); after = held(t) {
		time.Sleep(10 * time.Millisecond)
	}
	return after
}

// confirmed prints the job once more and reports whether the printer confirmed it. A next
// print of what may be on paper is a duplicate, as the checkout does it.
func confirmed(ctx context.Context, set *devices.Set, job *drivers.PrintJob) bool {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	r, err := set.Print(ctx, *job)
	if err == nil && r.State == drivers.PrintConfirmed {
		return true
	}
	job.Duplicate = job.Duplicate || r.MayBeOnPaper()
	return false
}

// judge reads a cycle's paper from the first line to the last.
func judge(t *testing.T, paper *device.Printer, n int) {
	t.Helper()
	paper.Tear()
	printed, marked := 0, false
	for _, r := range paper.Receipts() {
		for _, line := range r.Lines {
			switch line = strings.TrimSpace(line); {
			case strings.HasPrefix(line, "补打"):
				marked = true
			case line == fmt.Sprintf("end %d.", n):
				if printed++; printed > 1 && !marked {
					t.Errorf("receipt %d: printed again without a mark", n)
				}
				marked = false
			}
		}
	}
	if printed == 0 {
		t.Errorf("receipt %d is not on paper", n)
	}
}
