package all

import (
	"context"

	"dcpos/drivers"
	"dcpos/drivers/scanner"
	"dcpos/drivers/scanner/framing"
	"dcpos/drivers/scanner/hidpos"
	"dcpos/drivers/transport"
	"dcpos/drivers/transport/evdev"
	"dcpos/drivers/transport/hid"
	"dcpos/drivers/transport/usb"
	profiles "dcpos/firmware-profiles"
)

// NewScanner makes a closed scanner.
type NewScanner func(p profiles.Scanner, dial transport.Dial, name string) drivers.Scanner

// Scanners are the scanner drivers by the name that profiles use.
func Scanners() map[string]NewScanner {
	return map[string]NewScanner{
		"serial-scanner": func(p profiles.Scanner, dial transport.Dial, name string) drivers.Scanner {
			return scanner.New(p, dial, scanner.Options{Name: name})
		},
		"hidpos-scanner": func(p profiles.Scanner, dial transport.Dial, name string) drivers.Scanner {
			return scanner.NewHIDPOS(p, dial, scanner.Options{Name: name})
		},
		"keyboard-scanner": func(p profiles.Scanner, dial transport.Dial, name string) drivers.Scanner {
			return scanner.NewKeyboard(p, dial, scanner.Options{Name: name})
		},
	}
}

// OpenScanner is OpenPrinter for scanners.
func OpenScanner(ctx context.Context, cfg drivers.DeviceConfig) (drivers.Scanner, error) {
	category := drivers.CategoryScanner
	if cfg.Name == "" {
		cfg.Name = cfg.Profile
	}
	if err := cfg.Check(); err != nil {
		return nil, drivers.Trouble(category, "open "+cfg.Name, drivers.ErrIllegal, err)
	}
	profile, err := profiles.FindScanner(cfg.Profile)
	if err != nil {
		return nil, drivers.Trouble(category, "open "+cfg.Name, drivers.ErrNoService, err)
	}
	build, ok := Scanners()[profile.Driver]
	if !ok {
		return nil, drivers.Trouble(category, "open "+cfg.Name, drivers.ErrNoService, unknownDriver(profile.Driver, Scanners()))
	}
	if cfg.Framing != nil {
		profile.Framing = framing.Fixed(profile.Framing, *cfg.Framing)
	}
	s := build(profile, scannerDial(cfg.Transport, profile), cfg.Name)
	if l, ok := s.(drivers.FramingLearner); ok && cfg.Learned != nil {
		l.Recall(*cfg.Learned)
	}
	if err := start(ctx, s); err != nil {
		return nil, err
	}
	return s, nil
}

// scannerDial is Dial, and the two ways that only scanners have.
func scannerDial(t drivers.TransportConfig, p profiles.Scanner) transport.Dial {
	switch t.Kind { //nolint:exhaustive // the others are Dial's
	case drivers.TransportHID:
		m := hid.Match{Path: t.Path, Serial: t.Serial, Top: hidpos.Scanner}
		for _, id := range usbIDs(t, p.Match) {
			m.IDs = append(m.IDs, hid.ID(id))
		}
		return func(ctx context.Context) (transport.Conn, error) {
			c, err := hid.Open(ctx, m)
			if err != nil {
				return nil, err
			}
			return c, nil
		}
	case drivers.TransportEvdev:
		m := evdev.Match{Path: t.Path, Serial: t.Serial, Named: t.Path != "" || t.VID != ""}
		for _, id := range usbIDs(t, p.Match) {
			m.IDs = append(m.IDs, evdev.ID(id))
		}
		return func(ctx context.Context) (transport.Conn, error) { return evdev.Open(ctx, m) }
	}
	return Dial(t, p.Serial, p.Match, usb.Want{})
}
