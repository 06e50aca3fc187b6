// Package all is the one list of what ships: which driver names a profile may use,
// and how a configured device becomes a driver on a port.
//
// To add a driver: its line in Printers, Scanners or Readers. To add a transport: its case in
// Dial.
package all

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"dcpos/drivers"
	"dcpos/drivers/escpos"
	"dcpos/drivers/transport"
	"dcpos/drivers/transport/serial"
	"dcpos/drivers/transport/tcp"
	"dcpos/drivers/transport/usb"
	profiles "dcpos/firmware-profiles"
)

// NewPrinter makes a closed printer; font is the file that draws what its own font lacks.
type NewPrinter func(p profiles.Printer, dial transport.Dial, name, font string) drivers.POSPrinter

// Printers are the printer drivers by the name that profiles use.
func Printers() map[string]NewPrinter {
	return map[string]NewPrinter{
		"escpos": func(p profiles.Printer, dial transport.Dial, name, font string) drivers.POSPrinter {
			return escpos.New(p, dial, escpos.Options{Name: name, FontFile: font})
		},
	}
}

// OpenPrinter finds the profile, makes its driver on the configured port, and opens,
// claims and enables it. The caller closes it. Errors are *pos.Error with a
// drivers.ErrorCode inside: ErrIllegal (the configuration), ErrNoService (no such
// profile or driver), ErrNoHardware, ErrClaimed, ErrOffline.
func OpenPrinter(ctx context.Context, cfg drivers.DeviceConfig) (drivers.POSPrinter, error) {
	category := drivers.CategoryPOSPrinter
	if cfg.Name == "" {
		cfg.Name = cfg.Profile
	}
	if err := cfg.Check(); err != nil {
		return nil, drivers.Trouble(category, "open "+cfg.Name, drivers.ErrIllegal, err)
	}
	profile, err := profiles.FindPrinter(cfg.Profile)
	if err != nil {
		return nil, drivers.Trouble(category, "open "+cfg.Name, drivers.ErrNoService, err)
	}
	build, ok := Printers()[profile.Driver]
	if !ok {
		return nil, drivers.Trouble(category, "open "+cfg.Name, drivers.ErrNoService, unknownDriver(profile.Driver, Printers()))
	}
	dial := Dial(cfg.Transport, profile.Serial, profile.Match, usbWant(usb.Printer, profile.USB))
	p := build(profile, dial, cfg.Name, cfg.Font)
	if err := start(ctx, p); err != nil {
		return nil, err
	}
	return p, nil
}

func unknownDriver[T any](name string, known map[string]T) error {
	names := make([]string, 0, len(known))
	for n := range known {
		names = append(names, n)
	}
	slices.Sort(names)
	return fmt.Errorf("driver %q: there are %s", name, strings.Join(names, ", "))
}

// start takes a device through the steps of its life; a device that does not come up is closed.
func start(ctx context.Context, d drivers.Device) error {
	for _, step := range []func(context.Context) error{d.Open, d.Claim, d.Enable} {
		if err := step(ctx); err != nil {
			return errors.Join(err, d.Close())
		}
	}
	return nil
}

// Dial says how to reach a configured port; what the configuration leaves open comes
// from the profile.
func Dial(t drivers.TransportConfig, line profiles.Serial, match profiles.Match, want usb.Want) transport.Dial {
	return func(ctx context.Context) (transport.Conn, error) {
		switch t.Kind {
		case drivers.TransportSerial:
			baud := line.Baud
			if t.Baud != 0 {
				baud = t.Baud
			}
			return serial.Open(ctx, t.Path, serial.Line{Baud: baud, Bits: line.Bits, Parity: line.Parity, Stop: line.Stop})
		case drivers.TransportUSB:
			return usb.Open(ctx, usb.Match{IDs: usbIDs(t, match), Serial: t.Serial, Port: t.Port}, want)
		case drivers.TransportTCP:
			return tcp.Open(ctx, t.Address)
		case drivers.TransportHID, drivers.TransportEvdev, drivers.TransportPCSC, drivers.TransportPrinter:
			// of scanners, readers and displays alone
		}
		return nil, fmt.Errorf("transport %q: %w", t.Kind, transport.ErrNotFound)
	}
}

// usbWant places a function on a device as the profile does.
func usbWant(f usb.Function, i profiles.USBInterface) usb.Want {
	return usb.Want{Function: f, Config: i.Config, Interface: i.Interface, Alternate: i.Alternate}
}

func usbIDs(t drivers.TransportConfig, match profiles.Match) []usb.ID {
	if t.VID != "" {
		return []usb.ID{{VID: t.VID, PID: t.PID}}
	}
	var ids []usb.ID // none: any, as when an identity is any maker's
	for _, m := range match.USB {
		if m.VID == "*" {
			return nil
		}
		ids = append(ids, usb.ID{VID: m.VID, PID: m.PID})
	}
	return ids
}
