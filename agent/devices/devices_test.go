package devices_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"dcpos/agent/devices"
	"dcpos/agent/devices/sysfs"
	"dcpos/agent/devices/sysfs/sysfstest"
	"dcpos/agent/devices/uevent"
	"dcpos/drivers"
	"dcpos/drivers/receipt"
	"dcpos/drivers/transport"
	profiles "dcpos/firmware-profiles"
)

// fake is a device of every category, which tests make go away, hang or fall ill.
type fake struct {
	drivers.POSPrinter
	config  drivers.DeviceConfig
	events  chan drivers.ScanEvent
	changed chan struct{}
	unhang  chan struct{} // closed: no call hangs

	mu      sync.Mutex
	err     error         // of Status and CheckHealth
	slow    time.Duration // Status takes so long
	status  drivers.PrinterStatus
	closed  int
	hangs   bool // Print waits for Close and longer than its context
	stuck   bool // not even Close ends it
	printed int
	job     drivers.PrintJob // the latest
	shown   []string
	deaf    bool // a display that takes nothing
	sounds  int
	kicks   int
}

func newFake(c drivers.DeviceConfig) *fake {
	return &fake{
		config: c, events: make(chan drivers.ScanEvent), changed: make(chan struct{}, 1), unhang: make(chan struct{}),
		status: drivers.PrinterStatus{Online: drivers.Reading{Value: drivers.Yes}},
	}
}

func (f *fake) with(g func()) {
	f.mu.Lock()
	defer f.mu.Unlock()
	g()
}

// tell changes the fake and says that it changed.
func (f *fake) tell(g func()) {
	f.with(g)
	f.changed <- struct{}{}
}

func (f *fake) Info() drivers.DeviceInfo {
	return drivers.DeviceInfo{Port: "port of " + f.config.Name, Model: "model"}
}
func (f *fake) Columns() int             { return 48 }
func (f *fake) State() drivers.State     { return drivers.StateIdle }
func (f *fake) Changed() <-chan struct{} { return f.changed }
func (f *fake) Reports() bool            { return true }
func (f *fake) Statistics() map[drivers.StatisticName]int64 {
	f.mu.Lock()
	defer f.mu.Unlock()
	return map[drivers.StatisticName]int64{drivers.ReceiptLinePrintedCount: int64(f.printed)}
}

func (f *fake) Close() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.closed++
	if f.closed == 1 && !f.stuck {
		close(f.unhang)
	}
	return nil
}

func (f *fake) Status(context.Context) (drivers.PrinterStatus, error) {
	f.mu.Lock()
	status, err, slow := f.status, f.err, f.slow
	f.mu.Unlock()
	time.Sleep(slow)
	return status, err
}

func (f *fake) CheckHealth(_ context.Context, l drivers.HealthLevel) (drivers.Health, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return drivers.Health{OK: f.err == nil, Level: l}, f.err
}

func (f *fake) Snapshot() drivers.PrinterStatus {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.status
}

func (f *fake) Print(_ context.Context, job drivers.PrintJob) (drivers.PrintResult, error) {
	f.mu.Lock()
	hangs := f.hangs || f.stuck
	f.printed++
	f.job = job
	f.mu.Unlock()
	if hangs {
		<-f.unhang
	}
	return drivers.PrintResult{JobID: job.ID, State: drivers.PrintConfirmed}, nil
}

func (f *fake) OpenDrawer(context.Context) error { f.with(func() { f.kicks++ }); return nil }
func (f *fake) DrawerOpened(context.Context) (drivers.Reading, error) {
	return drivers.Reading{}, nil
}
func (f *fake) Events() <-chan drivers.ScanEvent { return f.events }
func (f *fake) Show(_ context.Context, lines []string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.deaf {
		return drivers.ErrOffline
	}
	f.shown = lines
	return nil
}
func (f *fake) Clear(context.Context) error                    { return nil }
func (f *fake) Size() (columns, rows int)                      { return 20, 2 }
func (f *fake) Chinese() bool                                  { return true }
func (f *fake) WaitCard(context.Context) (drivers.Card, error) { return nil, drivers.ErrTimeout }
func (f *fake) Signal(context.Context, drivers.Signal) error   { return nil }
func (f *fake) Sound(context.Context, drivers.Tone) error      { f.with(func() { f.sounds++ }); return nil }

// bench is a set on fakes, with what it told.
type bench struct {
	*testing.T
	*devices.Set
	rings  chan error
	cancel context.CancelFunc
	done   chan struct{}

	log slog.Handler

	mu     sync.Mutex
	refuse error
	open   time.Duration      // how long opening takes
	silent error              // what every device that opens answers
	slow   time.Duration      // after so long
	deaf   bool               // displays that open take nothing
	pulled func()             // called by a reset
	fakes  map[string][]*fake // by name, in the order of opening
	told   []string
	codes  []string
	resets []string
	asked  int // how often it was asked who nobody is
}

// Next implements devices.Ear.
func (b *bench) Next(ctx context.Context) (uevent.Event, error) {
	select {
	case err := <-b.rings:
		return uevent.Event{Action: "change", Path: "/x", Subsystem: "usb"}, err
	case <-ctx.Done():
		return uevent.Event{}, ctx.Err()
	}
}

// Close implements devices.Ear.
func (b *bench) Close() error { return nil }

// set changes what the devices that are opened from now on do.
func (b *bench) set(f func()) {
	b.mu.Lock()
	defer b.mu.Unlock()
	f()
}

func (b *bench) opens(c drivers.DeviceConfig) (*fake, error) {
	b.mu.Lock()
	open := b.open
	b.mu.Unlock()
	time.Sleep(open)
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.refuse != nil {
		return nil, b.refuse
	}
	f := newFake(c)
	f.err, f.slow, f.deaf = b.silent, b.slow, b.deaf
	b.fakes[c.Name] = append(b.fakes[c.Name], f)
	return f, nil
}

func opener[D any](b *bench) func(context.Context, drivers.DeviceConfig) (D, error) {
	return func(_ context.Context, c drivers.DeviceConfig) (D, error) {
		f, err := b.opens(c)
		if err != nil {
			var none D
			return none, err
		}
		return any(f).(D), nil
	}
}

// start runs a set; deaf makes its ear fail to open.
func start(t *testing.T, c devices.Config, tree sysfs.Tree, deaf bool, before ...func(*bench)) *bench {
	t.Helper()
	b := &bench{T: t, rings: make(chan error), fakes: map[string][]*fake{}, done: make(chan struct{}), log: slog.DiscardHandler}
	for _, f := range before {
		f(b)
	}
	o := devices.Options{
		Tree: tree, Log: slog.New(b.log),
		Listen: func() (devices.Ear, error) {
			if deaf {
				return nil, errors.New("deaf")
			}
			return b, nil
		},
		SelfTest: func(info drivers.DeviceInfo, columns int, _ drivers.PrinterStatus) receipt.Receipt {
			return receipt.New(receipt.Text(fmt.Sprintf("ticket of %s, %d", info.Model, columns)))
		},
		ResetUSB: func(_ context.Context, node string) error {
			b.mu.Lock()
			defer b.mu.Unlock()
			b.resets = append(b.resets, node)
			if b.pulled != nil {
				b.pulled()
			}
			return nil
		},
		Changed: func(s devices.Status) {
			b.mu.Lock()
			defer b.mu.Unlock()
			b.told = append(b.told, strings.TrimSuffix(fmt.Sprintf("%s %s %s", s.Name, s.State, s.Reason), " "))
		},
		Identify: func(s profiles.Seen) []profiles.Candidate {
			id := func(kind profiles.Kind, name string, as profiles.Function) []profiles.Candidate {
				return []profiles.Candidate{{Kind: kind, Profile: name, Reason: profiles.ByID, As: as}}
			}
			switch s.VID + ":" + s.PID {
			case ":":
				b.mu.Lock()
				defer b.mu.Unlock()
				b.asked++
			case "0416:5011":
				return id(profiles.KindPrinter, "pos58", profiles.AsPrinter)
			case "0c2e:0b87":
				return id(profiles.KindScanner, "hid", profiles.AsHIDPOS)
			case "05e0:1200":
				return id(profiles.KindScanner, "keyboard", profiles.AsKeyboard)
			case "05e0:1701":
				return id(profiles.KindScanner, "cdc", profiles.AsCDC)
			case "072f:2200":
				return []profiles.Candidate{
					{Kind: profiles.KindNFC, Profile: "acr", Driver: "pcsc", Reason: profiles.ByID, As: profiles.AsCCID},
					{Kind: profiles.KindNFC, Profile: "acr-ccid", Driver: "ccid", Reason: profiles.ByID, As: profiles.AsCCID},
				}
			}
			return nil
		},
	}
	b.Set = devices.New(c, devices.Opener{
		Printer: opener[drivers.POSPrinter](b), Scanner: opener[drivers.Scanner](b),
		NFC: opener[drivers.NFCReader](b), Display: opener[drivers.LineDisplay](b),
	}, o)
	ctx, cancel := context.WithCancel(t.Context())
	b.cancel = cancel
	go func() {
		defer close(b.done)
		b.Set.Run(ctx, func(_ context.Context, code, _ string) {
			b.mu.Lock()
			defer b.mu.Unlock()
			b.codes = append(b.codes, code)
		})
	}()
	t.Cleanup(b.stop)
	return b
}

func (b *bench) stop() {
	b.cancel()
	<-b.done
}

// last is the latest fake of a name.
func (b *bench) last(name string) *fake {
	b.Helper()
	b.mu.Lock()
	defer b.mu.Unlock()
	list := b.fakes[name]
	if len(list) == 0 {
		b.Fatalf("%s was never opened", name)
	}
	return list[len(list)-1]
}

func (b *bench) opened(name string) int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return len(b.fakes[name])
}

// changes returns what was told since the last call.
func (b *bench) changes() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	out := strings.Join(b.told, ", ")
	b.told = nil
	return out
}

func (b *bench) want(what, got, want string) {
	b.Helper()
	if got != want {
		b.Fatalf("%s:\n got %s\nwant %s", what, got, want)
	}
}

func (b *bench) status(name string) devices.Status {
	b.Helper()
	d, err := b.Detail(name)
	if err != nil {
		b.Fatal(err)
	}
	return d.Status
}

func pty(profile string) *drivers.DeviceConfig {
	return &drivers.DeviceConfig{Profile: profile, Transport: drivers.TransportConfig{Kind: drivers.TransportSerial, Path: "/dev/pts/7"}}
}

func noHardware() error {
	return drivers.Trouble(drivers.CategoryPOSPrinter, "ask", drivers.ErrNoHardware, nil)
}

func TestDevicesAreKeptOpen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		gun := *pty("s")
		gun.Name = "gun"
		b := start(t, devices.Config{Printer: pty("p"), Scanners: []drivers.DeviceConfig{gun}}, sysfstest.Plant(t, ""), true,
			func(b *bench) { b.refuse = noHardware() })
		rest(10 * time.Second)
		if r, err := b.Print(t.Context(), drivers.PrintJob{ID: "j"}); !errors.Is(err, drivers.ErrNoHardware) || r.State != drivers.PrintPaused || r.MayBeOnPaper() {
			t.Fatalf("printing without a printer: %+v %v", r, err)
		}
		if s := b.status("printer"); s.State != devices.StateAbsent || s.Hint == nil || s.Text.ZH == "" || s.UPOS != "CLOSED" || !s.Pinned {
			t.Fatalf("%+v", s)
		}
		b.mu.Lock()
		b.refuse = nil
		b.mu.Unlock()
		rest(31 * time.Second)
		if r, err := b.Print(t.Context(), drivers.PrintJob{ID: "j"}); err != nil || r.State != drivers.PrintConfirmed {
			t.Fatalf("%+v %v", r, err)
		}
		synctest.Wait()
		if s := b.status("printer"); s.State != devices.StateReady || s.Printer == nil || s.Model != "model" || s.Text != nil || s.UPOS != "IDLE" {
			t.Fatalf("%+v", s)
		}
		if err := b.OpenDrawer(t.Context()); err != nil || b.last("printer").kicks != 1 {
			t.Fatal(err)
		}
		b.changes()
		scanner, printer := b.last("gun"), b.last("printer")
		scanner.events <- drivers.ScanEvent{Data: drivers.ScanData{Bytes: []byte("one")}}
		scanner.events <- drivers.ScanEvent{Err: drivers.ErrBadFormat}
		close(scanner.events)
		printer.tell(func() { printer.err, printer.status.Online.Value = noHardware(), drivers.No })
		rest(10 * time.Second)
		if b.opened("gun") != 2 || scanner.closed != 1 || b.opened("printer") != 2 || printer.closed != 1 || !slices.Equal(b.codes, []string{"one"}) {
			t.Fatalf("%d scanners, %d printers, codes %v", b.opened("gun"), b.opened("printer"), b.codes)
		}
		d, _ := b.Detail("printer")
		if d.Healing.Lost != 1 || d.Healing.Opened != 2 || d.Statistics[drivers.CommunicationErrorCount] != 1 || d.Statistics[drivers.ReceiptLinePrintedCount] != 1 {
			t.Fatalf("%+v", d)
		}
		rest(2 * time.Hour)
		if d, _ = b.Detail("printer"); d.Statistics[drivers.HoursPoweredCount] != 2 {
			t.Fatalf("%+v", d.Statistics)
		}
		b.changes()
		b.stop()
		if b.last("gun").closed != 1 || b.last("printer").closed != 1 {
			t.Fatal("devices stay open")
		}
		got := strings.Split(b.changes(), ", ")
		slices.Sort(got)
		b.want("at the end", strings.Join(got, ", "), "gun RELEASED, printer RELEASED")
	})
}

func TestAPrinterTellsHowItIs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := start(t, devices.Config{Printer: pty("p")}, sysfstest.Plant(t, ""), true)
		rest(time.Second)
		b.want("at first", b.changes(), "printer CLAIMED, printer ENABLED, printer READY")
		p := b.last("printer")
		yes := drivers.Reading{Value: drivers.Yes}
		for _, c := range []struct {
			change func()
			want   string
		}{
			{func() { p.status.PaperNearEnd = yes }, "printer DEGRADED REC_NEAREMPTY"},
			{func() { p.status.PaperEnd = yes }, "printer ERROR EPTR_REC_EMPTY"},
			{func() { p.status.CoverOpen = yes }, "printer ERROR EPTR_COVER_OPEN"},
			{func() { p.status = drivers.PrinterStatus{Fault: yes} }, "printer ERROR E_FAILURE"},
			{func() { p.status = drivers.PrinterStatus{Online: yes} }, "printer READY"},
			{func() {}, ""},
		} {
			p.tell(c.change)
			synctest.Wait()
			b.want("change", b.changes(), c.want)
		}
		if b.opened("printer") != 1 {
			t.Fatal("an ill printer is not a lost one")
		}
		p.tell(func() { p.err, p.status.Online.Value = drivers.ErrOffline, drivers.No })
		b.mu.Lock()
		b.refuse = drivers.Trouble(drivers.CategoryPOSPrinter, "open", drivers.ErrOffline, nil)
		b.mu.Unlock()
		rest(5 * time.Second)
		b.want("silence", b.changes(), "printer ERROR E_OFFLINE")
	})
}

func TestAHangIsHealed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tree := sysfstest.Plant(t, sysfstest.Counter)
		b := start(t, devices.Config{Printer: &drivers.DeviceConfig{
			Profile: "pos58", Transport: drivers.TransportConfig{Kind: drivers.TransportUSB, VID: "0416", PID: "5011"},
		}}, tree, false)
		rest(time.Second)
		b.want("at first", b.changes(), "printer PRESENT, printer CLAIMED, printer ENABLED, printer READY")
		for n := range 2 {
			p := b.last("printer")
			p.with(func() { p.hangs = true })
			ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
			began := time.Now()
			r, err := b.Print(ctx, drivers.PrintJob{ID: "j"})
			cancel()
			if err != nil || r.State != drivers.PrintUnknown || !r.MayBeOnPaper() || time.Since(began) != 5*time.Second {
				t.Fatalf("hang %d: %+v %v after %s", n, r, err, time.Since(began))
			}
			rest(3 * time.Second)
			if p.closed != 1 || b.opened("printer") != n+2 || len(b.resets) != n {
				t.Fatalf("hang %d: closed %d, opened %d, resets %v", n, p.closed, b.opened("printer"), b.resets)
			}
			b.want("healed", b.changes(), "printer ERROR HUNG, printer ENABLED, printer READY")
		}
		b.want("reset", b.resets[0], "/dev/bus/usb/001/002")
		if d, _ := b.Detail("printer"); d.Healing.Hung != 2 || d.Healing.Resets != 1 || d.Healing.Stuck != 0 {
			t.Fatalf("%+v", d.Healing)
		}
	})
}

func TestADeviceThatKeepsHangingIsNotOpenedForEver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := start(t, devices.Config{Printer: pty("p")}, sysfstest.Plant(t, ""), true)
		rest(time.Second)
		var stuck []*fake
		for n := range 3 {
			p := b.last("printer")
			p.with(func() { p.stuck = true })
			stuck = append(stuck, p)
			if _, err := b.CheckHealth(t.Context(), "printer", "doctor", drivers.HealthInternal); err != nil {
				t.Fatal(err)
			}
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			_, _ = b.Print(ctx, drivers.PrintJob{ID: fmt.Sprint(n)})
			cancel()
			rest(time.Minute)
		}
		d, _ := b.Detail("printer")
		if d.State != devices.StateError || d.Reason != devices.ReasonHung || d.Healing.Stuck != 3 || b.opened("printer") != 3 ||
			!strings.Contains(d.Text.EN, "keeps hanging") {
			t.Fatalf("%+v", d)
		}
		close(stuck[0].unhang)
		rest(time.Minute)
		if s := b.status("printer"); s.State != devices.StateReady || b.opened("printer") != 4 {
			t.Fatalf("%+v", s)
		}
		close(stuck[1].unhang)
		close(stuck[2].unhang)
	})
}

func TestOneOwnerAtATime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := start(t, devices.Config{NFC: pty("n")}, sysfstest.Plant(t, ""), true)
		rest(time.Second)
		free := make(chan struct{})
		ended := make(chan error, 1)
		go func() {
			ended <- b.WithReader(t.Context(), "kernel", func(context.Context, drivers.NFCReader) error {
				<-free // an owner who does not listen to its context
				return nil
			})
		}()
		synctest.Wait()
		if s := b.status("nfc"); s.Owner != "kernel" {
			t.Fatalf("%+v", s)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		_, err := b.CheckHealth(ctx, "nfc", "selftest", drivers.HealthInternal)
		if !errors.Is(err, drivers.ErrBusy) || !strings.Contains(err.Error(), "kernel has it") {
			t.Fatal(err)
		}
		began := time.Now()
		if err := <-ended; !errors.Is(err, drivers.ErrTimeout) || time.Since(began) > 6*time.Minute {
			t.Fatalf("%v after %s", err, time.Since(began))
		}
		rest(3 * time.Second)
		if err := b.WithReader(t.Context(), "kernel", func(context.Context, drivers.NFCReader) error { return nil }); err != nil {
			t.Fatalf("after the owner was dispossessed: %v", err)
		}
		close(free)
	})
}

func TestWhatIsPluggedInIsUsed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tree := sysfstest.Plant(t, sysfstest.Counter)
		b := start(t, devices.Config{Auto: true}, tree, false)
		rest(time.Second)
		var got []string
		for _, s := range b.Status() {
			got = append(got, fmt.Sprintf("%s %s %s [%s]", s.Name, s.Profile, s.State, s.Bound))
		}
		b.want("found", strings.Join(got, "\n"), `printer pos58 READY [port 1-1 0416:5011]
scanner hid READY [serial 18156B0BC2 0c2e:0b87]
scanner-2 keyboard READY [serial S/N:0123456789ABCDEF 05e0:1200]
scanner-3 cdc READY [serial USB_CDC_1 05e0:1701]
nfc acr-ccid READY [port 1-5 072f:2200]`)
		c := b.last("scanner-3").config.Transport
		if c.Kind != drivers.TransportSerial || !strings.HasPrefix(c.Path, "/dev/serial/by-id/usb-Symbol") || b.last("scanner").config.Transport.Path != "/dev/hidraw0" ||
			b.last("scanner-2").config.Transport.Path != "/dev/input/event5" || b.last("printer").config.Transport.Port != "1-1" ||
			b.last("nfc").config.Transport.Kind != drivers.TransportUSB {
			t.Fatalf("%+v", c)
		}
		unknown := b.Unknown()
		if len(unknown) != 1 || unknown[0].ID() != "1a86:7523" {
			t.Fatalf("%+v", unknown)
		}
		b.changes()
		gone := b.last("scanner")
		sysfstest.Pull(t, tree, "1-2")
		b.rings <- nil
		rest(3 * time.Second)
		b.want("pulled", b.changes(), "scanner ABSENT E_NOHARDWARE")
		if gone.closed != 1 {
			t.Fatal("a scanner that was pulled is still open")
		}
		rest(time.Hour)
		if b.opened("scanner") != 1 {
			t.Fatal("what the kernel does not list was tried")
		}
		sysfstest.Plug(t, tree, sysfstest.Counter, "1-2")
		b.rings <- uevent.ErrOverrun // lost events are a ring as well
		rest(time.Second)
		b.want("plugged", b.changes(), "scanner PRESENT, scanner CLAIMED, scanner ENABLED, scanner READY")
	})
}

func TestTheDaemonHasTheReaders(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tree := sysfstest.Plant(t, sysfstest.Counter+"\n[run/pcscd]\npcscd.comm=\n")
		b := start(t, devices.Config{Auto: true}, tree, false)
		rest(time.Second)
		b.want("found", b.status("nfc").Profile, "acr")
		if c := b.last("nfc").config.Transport; c.Kind != drivers.TransportPCSC {
			t.Fatalf("%+v", c)
		}
	})
}

func TestAFlapIsNotTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tree := sysfstest.Plant(t, sysfstest.Counter)
		b := start(t, devices.Config{Auto: true}, tree, false)
		rest(time.Second)
		b.changes()
		for range 5 {
			sysfstest.Pull(t, tree, "1-4")
			close(b.last("scanner-3").events) // its port broke
			b.rings <- nil
			rest(400 * time.Millisecond)
			sysfstest.Plug(t, tree, sysfstest.Counter, "1-4")
			b.rings <- nil
			rest(time.Second)
			b.want("flap", b.changes(), "")
		}
		if b.opened("scanner-3") != 6 {
			t.Fatalf("opened %d times", b.opened("scanner-3"))
		}
	})
}

func TestAMovedDeviceIsTheSame(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tree := sysfstest.Plant(t, sysfstest.Counter)
		b := start(t, devices.Config{Auto: true}, tree, false)
		rest(time.Second)
		sysfstest.Pull(t, tree, "1-1")
		b.rings <- nil
		rest(3 * time.Second)
		sysfstest.Plug(t, tree, strings.ReplaceAll(sysfstest.Counter, "1-1", "1-9"), "1-9")
		b.rings <- nil
		rest(2 * time.Second)
		if s := b.status("printer"); s.State != devices.StateReady || s.Bound != "port 1-9 0416:5011" || len(b.Status()) != 5 {
			t.Fatalf("%+v", s)
		}
	})
}

func TestTwoScannersOneFeed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		one, two := *pty("a"), *pty("b")
		b := start(t, devices.Config{Scanners: []drivers.DeviceConfig{one, two}}, sysfstest.Plant(t, ""), true)
		rest(time.Second)
		b.mu.Lock() // the checkout is busy: it takes no code
		first, second := b.fakes["scanner"][0], b.fakes["scanner-2"][0]
		b.mu.Unlock()
		first.events <- drivers.ScanEvent{Data: drivers.ScanData{Bytes: []byte("1")}}
		synctest.Wait()
		second.events <- drivers.ScanEvent{Data: drivers.ScanData{Bytes: []byte("2")}}
		synctest.Wait()
		if !slices.Equal(b.codes, []string{"1", "2"}) {
			t.Fatal(b.codes)
		}
	})
}

func TestWhatATillHas(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		none := start(t, devices.Config{}, sysfstest.Plant(t, ""), true)
		rest(time.Second)
		if none.HasPrinter() || none.HasDisplay() || none.Columns() != 0 || none.Unconfirmed() || none.Customer().Chinese() {
			t.Error("a till without devices has some")
		}
		if columns, rows := none.Customer().Size(); columns != 20 || rows != 2 {
			t.Errorf("no display is %d by %d", columns, rows)
		}
		shut := start(t, devices.Config{Printer: pty("star-graphics"), Display: pty("d")}, sysfstest.Plant(t, ""), true,
			func(b *bench) { b.refuse = noHardware() })
		rest(time.Second)
		if !shut.HasPrinter() || !shut.HasDisplay() || shut.Columns() != 0 || !shut.Unconfirmed() {
			t.Error("devices that are named and not there are not known")
		}
		open := start(t, devices.Config{Printer: pty("epson-tm-t20")}, sysfstest.Plant(t, ""), true)
		rest(time.Second)
		if open.Columns() != 48 || open.Unconfirmed() {
			t.Errorf("%d columns, unconfirmed %v", open.Columns(), open.Unconfirmed())
		}
		open.last("printer").tell(func() { open.last("printer").status.HeadHot = drivers.Reading{Value: drivers.Yes} })
		rest(time.Second)
		if s := open.status("printer"); s.State == devices.StateReady || s.Text == nil || s.Hint == nil || s.Reason != "head_hot" {
			t.Errorf("a hot head is told as %+v", s)
		}
	})
}

func TestADeviceThatMayNotBeOpened(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := start(t, devices.Config{Printer: pty("p")}, sysfstest.Plant(t, ""), true, func(b *bench) {
			b.refuse = drivers.Trouble(drivers.CategoryPOSPrinter, "claim", drivers.ErrNoHardware, fmt.Errorf("open: %w", transport.ErrAccess))
		})
		rest(10 * time.Second)
		s := b.status("printer")
		if s.State != devices.StateError || s.Reason != devices.ReasonPermission || s.Hint == nil || !strings.Contains(s.Hint.EN, "udev") || !strings.Contains(s.Hint.ZH, "udev") {
			t.Errorf("%+v", s)
		}
	})
}

func TestDisplayAndTone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := start(t, devices.Config{Display: pty("d")}, sysfstest.Plant(t, ""), true)
		if err := b.Customer().Show(t.Context(), []string{"应收 ¥12.00"}); err != nil {
			t.Fatal(err)
		}
		rest(time.Second)
		d := b.last("display")
		if columns, rows := b.Customer().Size(); columns != 20 || rows != 2 || !b.Customer().Chinese() {
			t.Fatal(columns, rows)
		}
		if !slices.Equal(d.shown, []string{"应收 ¥12.00"}) {
			t.Fatal(d.shown)
		}
		if err := b.Sound(t.Context(), drivers.ToneGood); err != nil || d.sounds != 1 {
			t.Fatal(err)
		}
		d.with(func() { d.err = noHardware() })
		rest(65 * time.Second) // a display on a line tells nothing: it is asked once a minute
		if again := b.last("display"); again == d || !slices.Equal(again.shown, []string{"应收 ¥12.00"}) {
			t.Fatal("a display that came back shows nothing")
		}
		if h, err := b.CheckHealth(t.Context(), "display", "doctor", drivers.HealthInternal); err != nil || !h.OK {
			t.Fatal(h, err)
		}
	})
}

func TestSelfTest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := start(t, devices.Config{Printer: pty("p"), Scanners: []drivers.DeviceConfig{*pty("s")}}, sysfstest.Plant(t, ""), true)
		rest(time.Second)
		p := b.last("printer")
		h, printed, err := b.SelfTest(t.Context(), "printer", "api:local")
		if err != nil || !h.OK || printed == nil || printed.State != drivers.PrintConfirmed || p.job.Receipt.Items[0].Text != "ticket of model, 48" {
			t.Fatalf("%+v %+v %v", h, printed, err)
		}
		if h, printed, err := b.SelfTest(t.Context(), "scanner", "api:local"); err != nil || !h.OK || printed != nil {
			t.Fatalf("%+v %+v %v", h, printed, err)
		}
		b.mu.Lock()
		b.refuse = noHardware()
		b.mu.Unlock()
		p.tell(func() { p.err, p.status.Online.Value = noHardware(), drivers.No })
		rest(3 * time.Second)
		if h, _, err := b.SelfTest(t.Context(), "printer", "api:local"); err != nil || h.OK || h.Code != drivers.ErrNoHardware || h.Hint.EN == "" {
			t.Fatalf("a printer that is gone: %+v %v", h, err)
		}
		if _, _, err := b.SelfTest(t.Context(), "nobody", "api:local"); err == nil {
			t.Fatal("nobody was tested")
		}
	})
}

func TestInteractiveHealth(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := start(t, devices.Config{Scanners: []drivers.DeviceConfig{*pty("s")}}, sysfstest.Plant(t, ""), true)
		rest(time.Second)
		ask := func() <-chan drivers.Health {
			c := make(chan drivers.Health, 1)
			go func() {
				h, _ := b.CheckHealth(t.Context(), "scanner", "doctor", drivers.HealthInteractive)
				c <- h
			}()
			synctest.Wait()
			return c
		}
		answer := ask()
		b.last("scanner").events <- drivers.ScanEvent{Data: drivers.ScanData{Bytes: []byte("2812345678901234")}}
		if h := <-answer; !h.OK || len(b.codes) != 0 {
			t.Fatalf("%+v; the checkout got %v", h, b.codes)
		}
		if h := <-ask(); h.OK || h.Code != drivers.ErrTimeout || h.Hint.ZH == "" {
			t.Fatalf("nobody scanned: %+v", h)
		}
		rest(time.Second)
		b.last("scanner").events <- drivers.ScanEvent{Data: drivers.ScanData{Bytes: []byte("next")}}
		synctest.Wait()
		if !slices.Equal(b.codes, []string{"next"}) {
			t.Fatal(b.codes)
		}
	})
}

func TestAScannerTellsHowItIsSet(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := start(t, devices.Config{Scanners: []drivers.DeviceConfig{*pty("s")}}, sysfstest.Plant(t, ""), true)
		rest(time.Second)
		b.changes()
		b.last("scanner").events <- drivers.ScanEvent{Err: drivers.Trouble(drivers.CategoryScanner, "read", drivers.ErrExtended, nil)}
		synctest.Wait()
		b.want("advice", b.changes(), "scanner DEGRADED E_EXTENDED")
		b.last("scanner").events <- drivers.ScanEvent{Data: drivers.ScanData{Bytes: []byte("1")}}
		synctest.Wait()
		b.want("a code", b.changes(), "scanner READY")
	})
}

func TestNothingConfigured(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := start(t, devices.Config{}, sysfstest.Plant(t, ""), true)
		synctest.Wait()
		b.mu.Lock()
		asked := b.asked
		b.mu.Unlock()
		if asked != 1 {
			t.Errorf("the profiles were read %d times before a device came; want 1", asked)
		}
		if len(b.Status()) != 0 || b.HasPrinter() || b.HasReader() {
			t.Fatal("devices out of nothing")
		}
		for what, err := range map[string]error{
			"print":  func() error { _, err := b.Print(t.Context(), drivers.PrintJob{}); return err }(),
			"drawer": b.OpenDrawer(t.Context()),
			"reader": b.WithReader(t.Context(), "kernel", nil),
		} {
			if !errors.Is(err, drivers.ErrNoService) {
				t.Errorf("%s: %v", what, err)
			}
		}
		if err := b.Sound(t.Context(), drivers.ToneBad); !errors.Is(err, drivers.ErrIllegal) {
			t.Error(err)
		}
		if _, err := b.Detail("printer"); err == nil {
			t.Error("a device out of nothing")
		}
		_ = b.Customer().Show(t.Context(), nil)
	})
}

// rest lets time go by and everything come to rest.
func rest(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}
