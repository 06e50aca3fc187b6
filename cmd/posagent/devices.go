package main

import (
	"context"
	"slices"
	"sync/atomic"

	"dcpos/agent/checkout"
	"dcpos/agent/devices"
	"dcpos/drivers"
	profiles "dcpos/firmware-profiles"
)

// bench are the till's devices, and the till that is told of them: it is made later.
type bench struct {
	*devices.Set
	till  atomic.Pointer[checkout.Till]
	ready chan struct{} // holds one value when a printer became fit to print
}

func (a *agent) devices() *bench {
	b := &bench{ready: make(chan struct{}, 1)}
	s := a.settings
	c := devices.Config{Auto: s.Devices.Auto, Printer: s.Printer, NFC: s.NFC, Display: s.Display, Scanners: slices.Clone(s.Scanners)}
	if s.Scanner != nil {
		c.Scanners = append([]drivers.DeviceConfig{*s.Scanner}, c.Scanners...)
	}
	b.Set = devices.New(c, devices.All(), devices.Options{Log: a.log, Changed: b.changed})
	return b
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
func (a *agent) prints() bool {
	return a.settings.Printer != nil || a.settings.Devices.Auto && slices.ContainsFunc(a.class.Devices, func(d profiles.ClassDevice) bool {
		return d.Kind == profiles.KindPrinter
	})
}

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
