// Package usb takes one interface of a USB device by libusb: the printer class of receipt
// printers, without the kernel's usblp, or the chip card class of contactless readers,
// without pcscd. A kernel driver is taken off while we hold the interface.
//
// Traps that are dealt with here: without udev a libusb context never sees what was
// plugged in after it was made (a new context for every Open); a printer that says
// NAK stalls a transfer for ever (every transfer has a context); a cancelled transfer
// reports "cancelled" instead of the context's error, and an unplugged device three
// different things (both are mapped); endpoint numbers differ (they are read from the
// descriptors); a read that is cancelled may already have bytes (they are kept).
package usb

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/google/gousb"

	"dcpos/drivers/transport"
)

// Match chooses a device.
type Match struct {
	IDs    []ID   // any of these; none: every device with the wanted function
	Serial string // its serial number; empty: any
	Port   string // the socket it is plugged into, "1-1.4" as the kernel names it; empty: any
}

// ID is a vendor and a product in hex, "04b8", "0202"; PID "*" is any of the vendor's.
type ID struct{ VID, PID string }

// Function is what is wanted of a device.
type Function int

// The functions, by interface class (usb.org/defined-class-codes).
const (
	Printer  Function = iota // class 07
	ChipCard                 // class 0B, CCID
)

// String names the function for errors.
func (f Function) String() string {
	if f == ChipCard {
		return "chip card reader"
	}
	return "printer"
}

// Want says which interface is taken. Config, Interface and Alternate override what the
// descriptors say; zero values take the descriptors'.
type Want struct {
	Function                     Function
	Config, Interface, Alternate int
}

// placed reports whether the place is overridden.
func (w Want) placed() bool { return w.Config != 0 || w.Interface != 0 || w.Alternate != 0 }

// Open takes the first device that matches. Errors: transport.ErrNotFound, ErrInUse,
// ErrAccess, or the system's.
func Open(ctx context.Context, m Match, want Want) (transport.Conn, error) {
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("open usb: %w", err)
	}
	usb, err := newContext()
	if err != nil {
		return nil, fmt.Errorf("open usb: %w", err)
	}
	c, err := open(usb, m, want)
	if err != nil {
		_ = usb.Close() // the first error is the telling one
		return nil, fmt.Errorf("open usb: %w", err)
	}
	return c, nil
}

// newContext turns the library's panic on a system without USB into an error.
func newContext() (usb *gousb.Context, err error) {
	defer func() {
		if r := recover(); r != nil {
			usb, err = nil, fmt.Errorf("%w: no usb here: %v", transport.ErrNotFound, r)
		}
	}()
	return gousb.NewContext(), nil
}

func open(usb *gousb.Context, m Match, want Want) (*conn, error) {
	devices, err := usb.OpenDevices(func(d *gousb.DeviceDesc) bool { return m.fits(d, want.Function) })
	var chosen *gousb.Device
	for _, d := range devices {
		if chosen == nil && m.serialFits(d) {
			chosen = d
			continue
		}
		_ = d.Close() // not ours
	}
	if chosen == nil {
		if err != nil {
			return nil, reason(err)
		}
		return nil, fmt.Errorf("%w: %s", transport.ErrNotFound, m)
	}
	c, err := claim(usb, chosen, want)
	if err != nil {
		_ = chosen.Close() // the first error is the telling one
		return nil, reason(err)
	}
	return c, nil
}

// String names what was looked for.
func (m Match) String() string {
	if len(m.IDs) == 0 {
		return "any device"
	}
	names := make([]string, len(m.IDs))
	for i, id := range m.IDs {
		names[i] = id.VID + ":" + id.PID
	}
	return strings.Join(names, " or ")
}

func (m Match) fits(d *gousb.DeviceDesc, f Function) bool {
	if m.Port != "" && m.Port != portName(d) {
		return false
	}
	if len(m.IDs) == 0 {
		_, ok := choose(d, Want{Function: f})
		return ok
	}
	for _, id := range m.IDs {
		if sameID(id.VID, d.Vendor) && (id.PID == "*" || sameID(id.PID, d.Product)) {
			return true
		}
	}
	return false
}

// portName is the bus and the ports on the way, as the kernel names a device below
// /sys/bus/usb/devices.
func portName(d *gousb.DeviceDesc) string {
	name := strconv.Itoa(d.Bus)
	for i, p := range d.Path {
		sep := "."
		if i == 0 {
			sep = "-"
		}
		name += sep + strconv.Itoa(p)
	}
	return name
}

func sameID(hex string, id gousb.ID) bool {
	n, err := strconv.ParseUint(hex, 16, 16)
	return err == nil && gousb.ID(n) == id
}

func (m Match) serialFits(d *gousb.Device) bool {
	if m.Serial == "" {
		return true
	}
	serial, err := d.SerialNumber()
	return err == nil && serial == m.Serial
}

// place is where a function's endpoints lie.
type place struct {
	config, number, alternate int
	in, out                   int // endpoint numbers; in 0: the device says nothing
	interrupt                 int // endpoint number; 0: none
	inPacket                  int
}

// choose finds the interface that suits the function best: the bidirectional printer
// interface (class 07, protocol 02), else any printer interface; the CCID interface (class
// 0B) with pipes both ways. One with a bulk OUT endpoint and another class, as some clones
// call themselves vendor-specific, is taken only where the profile places it.
func choose(d *gousb.DeviceDesc, want Want) (place, bool) {
	best, bestScore := place{}, 0
	for _, cfg := range d.Configs {
		if want.Config != 0 && cfg.Number != want.Config {
			continue
		}
		for _, alt := range settings(cfg, want) {
			if p, score := look(cfg.Number, alt, want.Function); score > bestScore {
				best, bestScore = p, score
			}
		}
	}
	return best, bestScore > 1 || bestScore == 1 && want.placed()
}

// settings are a configuration's interfaces in all their settings, or the wanted one.
func settings(cfg gousb.ConfigDesc, want Want) (all []gousb.InterfaceSetting) {
	for _, intf := range cfg.Interfaces {
		for _, alt := range intf.AltSettings {
			if !want.placed() || alt.Number == want.Interface && alt.Alternate == want.Alternate {
				all = append(all, alt)
			}
		}
	}
	return all
}

func look(config int, alt gousb.InterfaceSetting, f Function) (place, int) {
	p := place{config: config, number: alt.Number, alternate: alt.Alternate}
	for _, e := range alt.Endpoints {
		in := e.Direction == gousb.EndpointDirectionIn
		switch {
		case e.TransferType == gousb.TransferTypeInterrupt && in && p.interrupt == 0:
			p.interrupt = e.Number
		case e.TransferType == gousb.TransferTypeBulk && !in && p.out == 0:
			p.out = e.Number
		case e.TransferType == gousb.TransferTypeBulk && in && p.in == 0:
			p.in, p.inPacket = e.Number, e.MaxPacketSize
		}
	}
	return p, suits(p, alt, f)
}

// suits is 0 for an interface that cannot serve, 1 for one that might, more for one that does.
func suits(p place, alt gousb.InterfaceSetting, f Function) int {
	switch {
	case p.out == 0 || f == ChipCard && p.in == 0:
		return 0
	case f == ChipCard && alt.Class == gousb.ClassSmartCard:
		return 2
	case f == Printer && alt.Class == gousb.ClassPrinter && alt.Protocol == 2:
		return 3
	case f == Printer && alt.Class == gousb.ClassPrinter:
		return 2
	}
	return 1
}

func claim(usb *gousb.Context, d *gousb.Device, want Want) (*conn, error) {
	p, ok := choose(d.Desc, want)
	if !ok && p.out == 0 {
		return nil, fmt.Errorf("%w: %s has no %s interface", transport.ErrNotFound, d, want.Function)
	}
	if err := d.SetAutoDetach(true); err != nil {
		return nil, fmt.Errorf("take the kernel's driver off: %w", err)
	}
	cfg, err := d.Config(p.config)
	if err != nil {
		return nil, fmt.Errorf("choose configuration %d: %w", p.config, err)
	}
	c := &conn{usb: usb, device: d, config: cfg, place: p, closing: make(chan struct{})}
	c.name = fmt.Sprintf("usb:%s:%s@%d.%d", d.Desc.Vendor, d.Desc.Product, d.Desc.Bus, d.Desc.Address)
	if c.intf, err = cfg.Interface(p.number, p.alternate); err != nil {
		_ = cfg.Close() // the first error is the telling one
		return nil, fmt.Errorf("claim interface %d: %w", p.number, err)
	}
	if c.out, err = c.intf.OutEndpoint(p.out); err == nil && p.in != 0 {
		c.in, err = c.intf.InEndpoint(p.in)
		c.packet = p.inPacket
	}
	if err == nil && p.interrupt != 0 {
		c.interrupt, err = c.intf.InEndpoint(p.interrupt)
	}
	if err != nil {
		c.intf.Close()
		_ = cfg.Close() // the first error is the telling one
		return nil, fmt.Errorf("open endpoints: %w", err)
	}
	return c, nil
}

// reason puts the library's errors under transport's.
func reason(err error) error {
	switch {
	case errors.Is(err, gousb.ErrorAccess):
		return fmt.Errorf("%w: %w", transport.ErrAccess, err)
	case errors.Is(err, gousb.ErrorBusy):
		return fmt.Errorf("%w: %w", transport.ErrInUse, err)
	case errors.Is(err, gousb.ErrorNoDevice), errors.Is(err, gousb.ErrorNotFound):
		return fmt.Errorf("%w: %w", transport.ErrNotFound, err)
	}
	return err
}
