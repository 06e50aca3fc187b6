package main

import (
	"context"
	"slices"
	"sync/atomic"

	"dcpos/agent/checkout"
	"dcpos/agent/devices"
	"dcpos/agent/identity"
	"dcpos/agent/slip"
	"dcpos/drivers"
	"dcpos/drivers/receipt"
	profiles "dcpos/firmware-profiles"
)

// bench are the till's devices, and the till that is told of them: it is made later.
type bench struct {
	*devices.Set
	till  atomic.Pointer[checkout.Till]
	ready chan struct{} // holds one value when a printer became fit to print
}

func (a *agent) devices(id identity.Identity, memory devices.Memory) *bench {
	b := &bench{ready: make(chan struct{}, 1)}
	s := a.settings
	c := devices.Config{Auto: s.Devices.Auto, Printer: s.Printer, NFC: s.NFC, Display: s.Display, Scanners: slices.Clone(s.Scanners)}
	if s.Scanner != nil {
		c.Scanners = append([]drivers.DeviceConfig{*s.Scanner}, c.Scanners...)
	}
	b.Set = devices.New(c, devices.All(), devices.Options{
		Log: a.log, Changed: b.changed, SelfTest: a.selfTest(id), Memory: memory,
	})
	return b
}

// font draws what a printer's own font lacks; empty: the usual one.
func (a *agent) font() string {
	if a.settings.Printer == nil {
		return ""
	}
	return a.settings.Printer.Font
}

// selfTest lays out the self-test ticket of this till's printers.
func (a *agent) selfTest(id identity.Identity) func(drivers.DeviceInfo, int, drivers.PrinterStatus) receipt.Receipt {
	return func(info drivers.DeviceInfo, columns int, status drivers.PrinterStatus) receipt.Receipt {
		return slip.SelfTest(slip.SelfTestInfo{
			Shop:    slip.Shop{Env: id.Env, Merchant: id.Merchant, Store: id.Store, StoreName: id.StoreName, Terminal: id.Terminal},
			Version: version, Printer: info, Columns: columns, Status: &status, OpenTill: a.settings.Drawer, At: a.clock.Now(),
		})
	}
}

// faces reports whether a display faces the customer: one is named, or the class has one
// and may find it by itself.
func (a *agent) faces() bool { return a.settings.Display != nil || a.mayFind(profiles.KindDisplay) }

// mayFind reports whether the till may find a device of the kind by itself.
func (a *agent) mayFind(kind profiles.Kind) bool {
	return a.settings.Devices.Auto && slices.ContainsFunc(a.class.Devices, func(d profiles.ClassDevice) bool { return d.Kind == kind })
}

// changed tells the till, once there is one.
func (b *bench) changed(s devices.Status) {
	if s.Category == drivers.CategoryPOSPrinter && s.State.Works() {
		select {
		case b.ready <- struct{}{}:
		default:
		}
	}
	till := b.till.Load()
	if till == nil {
		return
	}
	till.DeviceChanged(checkout.Device{
		Name: s.Name, Role: s.Role, Category: s.Category, State: string(s.State), StateText: s.StateText,
		Reason: s.Reason, Text: s.Text, Hint: s.Hint,
	})
}

// prints reports whether the till prints: a printer is named, or its class has one and
// may find it by itself.
func (a *agent) prints() bool { return a.settings.Printer != nil || a.mayFind(profiles.KindPrinter) }

// serveDevices keeps the devices working until ctx ends.
func (a *agent) serveDevices(ctx context.Context, till *checkout.Till, b *bench) error {
	b.till.Store(till)
	b.Run(ctx, func(ctx context.Context, code, symbology string) {
		if _, err := till.Scan(ctx, code, symbology); err != nil {
			a.log.InfoContext(ctx, "scan", "err", err)
		}
	})
	return nil
}
