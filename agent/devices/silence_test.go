package devices_test

import (
	"context"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"dcpos/agent/devices"
	"dcpos/agent/devices/sysfs/sysfstest"
	"dcpos/drivers"
)

func silence() error {
	return drivers.Trouble(drivers.CategoryPOSPrinter, "ask", drivers.ErrOffline, nil)
}

// mute makes every printer that is opened from now on answer nothing, which is known
// after five seconds.
func (b *bench) mute() { b.set(func() { b.silent, b.slow = silence(), 5*time.Second }) }

// heard takes that back.
func (b *bench) heard() { b.set(func() { b.silent, b.slow = nil, 0 }) }

// fall has the open printer say that it is off-line, and answer nothing when it is asked.
func (f *fake) fall(why error) {
	f.tell(func() { f.err, f.status.Online = why, drivers.Reading{Value: drivers.No} })
}

const offline = "printer ERROR E_OFFLINE"

// The line of a printer that answers nothing opens every time. That must not pass for a
// printer that is back, over and over.
func TestAPrinterThatFellSilent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := start(t, devices.Config{Printer: pty("p")}, sysfstest.Plant(t, ""), true)
		rest(time.Second)
		b.changes()
		b.mute()
		b.last("printer").fall(silence())
		rest(900 * time.Millisecond)
		b.want("told at once", b.changes(), "")
		rest(200 * time.Millisecond)
		b.want("told after a second, while it is asked again", b.changes(), offline)
		rest(10 * time.Minute)
		if s := b.status("printer"); s.State != devices.StateError || s.Hint == nil {
			t.Errorf("told as %+v", s)
		}
		b.want("told", b.changes(), "")
		if n := b.opened("printer"); n < 10 || n > 30 {
			t.Errorf("opened %d times in ten minutes; want ever longer pauses, up to half a minute", n)
		}
		if _, err := b.Print(t.Context(), drivers.PrintJob{ID: "j"}); err != nil && b.last("printer").printed > 0 {
			t.Error("a job was given to a printer that answers nothing")
		}
		b.heard()
		rest(time.Minute)
		b.want("told", b.changes(), "printer READY")
		d, _ := b.Detail("printer")
		if d.Statistics[drivers.CommunicationErrorCount] < 10 || d.Healing.Lost != 0 {
			t.Errorf("%+v %+v", d.Statistics, d.Healing)
		}
	})
}

func TestAPrinterThatNeverAnswered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := start(t, devices.Config{Printer: pty("p")}, sysfstest.Plant(t, ""), true, (*bench).mute)
		rest(4 * time.Second)
		b.want("while it is asked", b.changes(), "printer CLAIMED, printer ENABLED")
		rest(time.Minute)
		b.want("told", b.changes(), offline)
		b.heard()
		rest(time.Minute)
		b.want("told", b.changes(), "printer READY")
	})
}

// Within a second nobody is told of a printer that answers again; one that takes longer
// is told of, twice.
func TestAPrinterThatAnswersLate(t *testing.T) {
	for late, want := range map[time.Duration]string{
		500 * time.Millisecond: "",
		3 * time.Second:        offline + ", printer READY",
	} {
		synctest.Test(t, func(t *testing.T) {
			b := start(t, devices.Config{Printer: pty("p")}, sysfstest.Plant(t, ""), true)
			rest(time.Second)
			b.changes()
			b.set(func() { b.slow = late })
			b.last("printer").fall(silence())
			rest(time.Minute)
			b.want("told of "+late.String(), b.changes(), want)
			if n := b.opened("printer"); n != 2 {
				t.Errorf("opened %d times", n)
			}
		})
	}
}

func TestASilentPrinterIsPulledOut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tree := sysfstest.Plant(t, sysfstest.Counter)
		b := start(t, devices.Config{Auto: true}, tree, false)
		rest(time.Second)
		b.changes()
		b.mute()
		b.last("printer").fall(silence())
		rest(time.Minute)
		b.want("silent", b.changes(), offline)
		sysfstest.Pull(t, tree, "1-1")
		b.set(func() { b.refuse = noHardware() })
		b.rings <- nil
		rest(time.Minute)
		b.want("pulled", b.changes(), "printer ABSENT E_NOHARDWARE")
		b.heard()
		b.set(func() { b.refuse = nil })
		sysfstest.Plug(t, tree, sysfstest.Counter, "1-1")
		b.rings <- nil
		rest(time.Second)
		b.want("plugged", b.changes(), "printer PRESENT, printer CLAIMED, printer ENABLED, printer READY")
	})
}

// A printer that is pulled out while it is asked for the first time after its port broke.
func TestPulledOutWhileItIsOpenedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := start(t, devices.Config{Printer: pty("p")}, sysfstest.Plant(t, ""), true)
		rest(time.Second)
		b.changes()
		b.set(func() { b.silent, b.slow = noHardware(), 100*time.Millisecond })
		b.last("printer").fall(noHardware())
		rest(500 * time.Millisecond)
		b.want("at once", b.changes(), "")
		b.set(func() { b.refuse = noHardware() })
		rest(time.Minute)
		b.want("told", b.changes(), "printer ABSENT E_NOHARDWARE")
	})
}

// A reader whose opening takes long, as that of a hung one does, is not taken for ready
// meanwhile.
func TestPulledOutAndOpeningHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := start(t, devices.Config{NFC: pty("n")}, sysfstest.Plant(t, ""), true)
		rest(time.Second)
		b.changes()
		b.set(func() { b.refuse, b.open = noHardware(), 19*time.Second })
		err := b.WithReader(t.Context(), "kernel", func(context.Context, drivers.NFCReader) error { return noHardware() })
		if err == nil {
			t.Fatal("no error")
		}
		rest(1100 * time.Millisecond)
		b.want("while it is being opened", b.changes(), "nfc ABSENT E_NOHARDWARE")
		rest(time.Minute)
		b.want("afterwards", b.changes(), "")
		b.set(func() { b.refuse, b.open = nil, 0 })
		rest(time.Minute)
		b.want("back", b.changes(), "nfc ENABLED, nfc READY")
	})
}

// A reader that hangs, and is pulled out while its port is being reset.
func TestPulledOutDuringAReset(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tree := sysfstest.Plant(t, sysfstest.Counter)
		b := start(t, devices.Config{Printer: &drivers.DeviceConfig{
			Profile: "pos58", Transport: drivers.TransportConfig{Kind: drivers.TransportUSB, VID: "0416", PID: "5011"},
		}}, tree, false)
		rest(time.Second)
		b.changes()
		for range 2 { // the second is answered by a reset
			p := b.last("printer")
			p.with(func() { p.hangs = true })
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			_, _ = b.Print(ctx, drivers.PrintJob{ID: "j"})
			cancel()
			b.set(func() { b.pulled = func() { sysfstest.Pull(t, tree, "1-1"); b.refuse = noHardware() } })
			rest(100 * time.Millisecond)
		}
		b.rings <- nil
		rest(time.Minute)
		if s := b.status("printer"); s.State != devices.StateAbsent {
			t.Errorf("%+v; told %s", s, b.changes())
		}
	})
}

// slowLog takes its time to write that a device is not open, so that there is a moment
// between a station's decisions.
type slowLog struct {
	slog.Handler
	takes time.Duration
}

func (s slowLog) Enabled(context.Context, slog.Level) bool { return true }
func (s slowLog) WithAttrs([]slog.Attr) slog.Handler       { return s }

func (s slowLog) Handle(_ context.Context, r slog.Record) error {
	if r.Message == "device is not open" {
		time.Sleep(s.takes)
	}
	return nil
}

// The second in which nobody is told ends at any moment, also between the look whether it
// has ended and the wait for the next ring: a device must never wait for a ring untold.
// In a guest this took a reader for ready more than a minute after it was pulled out.
func TestTheSecondEndsAtAnyMoment(t *testing.T) {
	for _, takes := range []int{0, 7, 30, 49, 60, 110, 400} {
		synctest.Test(t, func(t *testing.T) {
			tree := sysfstest.Plant(t, sysfstest.Counter)
			b := start(t, devices.Config{Auto: true}, tree, false, func(b *bench) {
				b.log = slowLog{takes: time.Duration(takes) * time.Millisecond}
			})
			rest(10 * time.Second)
			b.changes()
			sysfstest.Pull(t, tree, "1-5")
			b.set(func() { b.refuse = noHardware() })
			b.rings <- nil
			rest(5 * time.Second)
			b.want("pulled out", b.changes(), "nfc ABSENT E_NOHARDWARE")
		})
	}
}

// The kernel rings before its files are as it says: a look that comes between finds what
// is gone.
func TestALookThatComesTooEarly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tree := sysfstest.Plant(t, sysfstest.Counter)
		b := start(t, devices.Config{Auto: true}, tree, false)
		rest(time.Second)
		b.changes()
		b.rings <- nil
		rest(200 * time.Millisecond) // it has looked
		sysfstest.Pull(t, tree, "1-5")
		b.set(func() { b.refuse = noHardware() })
		rest(5 * time.Second)
		b.want("pulled out", b.changes(), "nfc ABSENT E_NOHARDWARE")
	})
}

// A display that takes nothing is not ready because its line opens.
func TestADisplayThatTakesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := start(t, devices.Config{Display: pty("d")}, sysfstest.Plant(t, ""), true)
		rest(time.Second)
		b.changes()
		b.set(func() { b.deaf = true })
		b.last("display").with(func() { b.last("display").deaf = true })
		_ = b.Customer().Show(t.Context(), []string{"应收 ¥12.00"})
		rest(time.Minute)
		b.want("told", b.changes(), "display ERROR E_OFFLINE")
		if n := b.opened("display"); n > 40 {
			t.Errorf("opened %d times in a minute", n)
		}
		b.set(func() { b.deaf = false })
		rest(time.Minute)
		if got := b.changes(); got != "display READY" {
			t.Errorf("back: %s", got)
		}
		if got := strings.Join(b.last("display").shown, ""); got != "应收 ¥12.00" {
			t.Errorf("shows %q", got)
		}
	})
}

// Whoever finds a device silent has it told, and one that says that its port is lost is
// believed at once: nobody waits for the next question, a minute later.
func TestALostPortIsToldAtOnce(t *testing.T) {
	for what, how := range map[string]func(b *bench){
		"the driver noticed": func(b *bench) { b.last("nfc").changed <- struct{}{} },
		"the doctor asked":   func(b *bench) { _, _ = b.CheckHealth(b.Context(), "nfc", "doctor", drivers.HealthInternal) },
		"a tap came to nothing": func(b *bench) {
			_ = b.WithReader(b.Context(), "kernel", func(context.Context, drivers.NFCReader) error { return drivers.ErrOffline })
		},
	} {
		synctest.Test(t, func(t *testing.T) {
			b := start(t, devices.Config{NFC: pty("n")}, sysfstest.Plant(t, ""), true)
			rest(time.Second)
			b.changes()
			b.set(func() { b.refuse = noHardware() })
			b.last("nfc").with(func() { b.last("nfc").err = noHardware() })
			how(b)
			rest(1200 * time.Millisecond)
			b.want(what, b.changes(), "nfc ABSENT E_NOHARDWARE")
		})
	}
}
