// Package devices keeps the till's devices working: it finds what is plugged in, opens
// it, opens it again when it went away or hangs, gives it to one owner at a time, and
// tells how each device stands. See DESIGN.md.
//
// To add a kind of device: its contract in drivers, its line in Opener and in kinds.
package devices

import (
	"context"
	"log/slog"
	"time"

	"dcpos/agent/devices/sysfs"
	"dcpos/agent/devices/uevent"
	"dcpos/drivers"
	"dcpos/drivers/all"
	"dcpos/drivers/receipt"
	profiles "dcpos/firmware-profiles"
)

// Config names the devices of a till. A device that is named is pinned: it is always
// listed, also while it is not there.
type Config struct {
	// Auto uses every device that is plugged in, recognised, and not named below.
	Auto bool

	Printer  *drivers.DeviceConfig
	Scanners []drivers.DeviceConfig
	NFC      *drivers.DeviceConfig
	Display  *drivers.DeviceConfig
}

// Opener makes open devices; nil where a kind cannot be opened. All is the one that ships.
type Opener struct {
	Printer func(context.Context, drivers.DeviceConfig) (drivers.POSPrinter, error)
	Scanner func(context.Context, drivers.DeviceConfig) (drivers.Scanner, error)
	NFC     func(context.Context, drivers.DeviceConfig) (drivers.NFCReader, error)
	Display func(context.Context, drivers.DeviceConfig) (drivers.LineDisplay, error)
	// DisplayBehind opens a display that hangs on an open printer (drivers.TransportPrinter).
	DisplayBehind func(context.Context, drivers.POSPrinter, drivers.DeviceConfig) (drivers.LineDisplay, error)
}

// All opens every device that ships.
func All() Opener {
	return Opener{
		Printer: all.OpenPrinter, Scanner: all.OpenScanner, NFC: all.OpenNFC,
		Display: all.OpenLineDisplay, DisplayBehind: all.OpenLineDisplayBehind,
	}
}

// of returns how a kind is opened; nil when it is not.
func (o Opener) of(kind profiles.Kind) func(context.Context, drivers.DeviceConfig) (drivers.Device, error) {
	switch {
	case kind == profiles.KindPrinter && o.Printer != nil:
		return func(ctx context.Context, c drivers.DeviceConfig) (drivers.Device, error) { return o.Printer(ctx, c) }
	case kind == profiles.KindScanner && o.Scanner != nil:
		return func(ctx context.Context, c drivers.DeviceConfig) (drivers.Device, error) { return o.Scanner(ctx, c) }
	case kind == profiles.KindNFC && o.NFC != nil:
		return func(ctx context.Context, c drivers.DeviceConfig) (drivers.Device, error) { return o.NFC(ctx, c) }
	case kind == profiles.KindDisplay && o.Display != nil:
		return func(ctx context.Context, c drivers.DeviceConfig) (drivers.Device, error) { return o.Display(ctx, c) }
	}
	return nil
}

// Ear hears that something was plugged in or out; uevent.Monitor is one.
type Ear interface {
	Next(ctx context.Context) (uevent.Event, error)
	Close() error
}

// Options are what a set needs besides its configuration; all have defaults.
type Options struct {
	// Tree is the machine's. Default: sysfs.Host().
	Tree sysfs.Tree
	// Listen opens the ear. Default: uevent.Listen. When it fails, the set looks every half
	// minute instead.
	Listen func() (Ear, error)
	// Identify recognises what is plugged in. Default: profiles.Identify.
	Identify func(profiles.Seen) []profiles.Candidate
	// ResetUSB resets the USB device behind a node such as /dev/bus/usb/001/002. Default:
	// the kernel's.
	ResetUSB func(ctx context.Context, node string) error
	// Changed is told every change of a device's state, in order, one at a time. It must
	// return soon and not call the set.
	Changed func(Status)
	// SelfTest makes the ticket that a printer's self-test prints, from what the printer
	// said of itself, its columns and its last status. Nil: the driver's own test slip.
	SelfTest func(info drivers.DeviceInfo, columns int, s drivers.PrinterStatus) receipt.Receipt
	// Memory keeps what was learned of scanners over a restart. Nil: nothing is kept.
	Memory Memory
	// Log may be nil.
	Log *slog.Logger
}

func (o Options) withDefaults() Options {
	if o.Tree.Root == "" {
		o.Tree = sysfs.Host()
	}
	if o.Listen == nil {
		o.Listen = func() (Ear, error) { return uevent.Listen() }
	}
	if o.Identify == nil {
		o.Identify = profiles.Identify
	}
	if o.ResetUSB == nil {
		o.ResetUSB = resetUSB
	}
	if o.Changed == nil {
		o.Changed = func(Status) {}
	}
	if o.Log == nil {
		o.Log = slog.Default()
	}
	return o
}

// The set's times.
const (
	openLimit  = 20 * time.Second // for a driver to open; a printer's hello waits up to 10 s
	closeLimit = 5 * time.Second  // for a driver to close, which promises not to hang
	resetLimit = 10 * time.Second // for a reset: a USB device needs up to 5 s to come back
	patience   = 2 * time.Second  // how long a call may outlive its context before it hangs
	heartbeat  = time.Minute      // between questions to a device that does not tell by itself

	pauseFirst = time.Second // between tries to open; doubles
	pauseLast  = 30 * time.Second
	pauseFlap  = 50 * time.Millisecond // between tries while nobody has been told that it is gone
	flap       = time.Second           // a device that is back within it was not gone
	healthy    = time.Minute           // a device that worked so long begins a new ladder

	// maxStuck is how many calls of one device may be stuck in its driver for ever before it
	// is not opened again: each costs a goroutine and perhaps a descriptor.
	maxStuck = 3
)

// holds are how long one use of a kind may last at most, whatever its caller's context says.
func hold(kind profiles.Kind) time.Duration {
	if kind == profiles.KindNFC {
		return 5 * time.Minute // a tap and its retries
	}
	return 2 * time.Minute // the longest receipt, with a change of paper
}

// category is the UnifiedPOS category of a kind.
func category(kind profiles.Kind) string {
	switch kind {
	case profiles.KindPrinter:
		return drivers.CategoryPOSPrinter
	case profiles.KindScanner:
		return drivers.CategoryScanner
	case profiles.KindNFC:
		return drivers.CategorySmartCardRW
	case profiles.KindDisplay:
		return drivers.CategoryLineDisplay
	case profiles.KindClass:
	}
	return ""
}

// role is the first name of a device of the kind.
func role(kind profiles.Kind) string {
	if kind == profiles.KindDisplay {
		return "display"
	}
	return string(kind)
}
