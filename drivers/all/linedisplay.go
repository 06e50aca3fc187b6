package all

import (
	"context"
	"errors"
	"fmt"

	"dcpos/drivers"
	"dcpos/drivers/linedisplay"
	"dcpos/drivers/transport"
	"dcpos/drivers/transport/usb"
	profiles "dcpos/firmware-profiles"
)

// NewLineDisplay makes a closed customer display.
type NewLineDisplay func(p profiles.LineDisplay, dial transport.Dial, name string) drivers.LineDisplay

// LineDisplays are the display drivers by the name that profiles use.
func LineDisplays() map[string]NewLineDisplay {
	return map[string]NewLineDisplay{
		"linedisplay": func(p profiles.LineDisplay, dial transport.Dial, name string) drivers.LineDisplay {
			return linedisplay.New(p, dial, linedisplay.Options{Name: name})
		},
	}
}

// OpenLineDisplay is OpenPrinter for customer displays.
func OpenLineDisplay(ctx context.Context, cfg drivers.DeviceConfig) (drivers.LineDisplay, error) {
	category := drivers.CategoryLineDisplay
	if cfg.Name == "" {
		cfg.Name = cfg.Profile
	}
	if err := cfg.Check(); err != nil {
		return nil, drivers.Trouble(category, "open "+cfg.Name, drivers.ErrIllegal, err)
	}
	profile, err := profiles.FindLineDisplay(cfg.Profile)
	if err != nil {
		return nil, drivers.Trouble(category, "open "+cfg.Name, drivers.ErrNoService, err)
	}
	build, ok := LineDisplays()[profile.Driver]
	if !ok {
		return nil, drivers.Trouble(category, "open "+cfg.Name, drivers.ErrNoService, unknownDriver(profile.Driver, LineDisplays()))
	}
	d := build(profile, Dial(cfg.Transport, profile.Serial, profile.Match, usb.Want{}), cfg.Name)
	if err := start(ctx, d); err != nil {
		return nil, err
	}
	return d, nil
}

// OpenLineDisplayBehind opens a display that hangs on an enabled printer; of cfg only
// Name and Profile count. ErrIllegal: the printer passes nothing on, or the profile is
// for a display with a line of its own (select is false).
func OpenLineDisplayBehind(ctx context.Context, printer drivers.POSPrinter, cfg drivers.DeviceConfig) (drivers.LineDisplay, error) {
	category := drivers.CategoryLineDisplay
	if cfg.Name == "" {
		cfg.Name = cfg.Profile
	}
	profile, err := profiles.FindLineDisplay(cfg.Profile)
	if err != nil {
		return nil, drivers.Trouble(category, "open "+cfg.Name, drivers.ErrNoService, err)
	}
	router, ok := printer.(linedisplay.Router)
	build, known := LineDisplays()[profile.Driver]
	switch {
	case !known:
		return nil, drivers.Trouble(category, "open "+cfg.Name, drivers.ErrNoService, unknownDriver(profile.Driver, LineDisplays()))
	case !ok:
		return nil, drivers.Trouble(category, "open "+cfg.Name, drivers.ErrIllegal, errors.New("the printer passes nothing on"))
	case !profile.Select:
		return nil, drivers.Trouble(category, "open "+cfg.Name, drivers.ErrIllegal, fmt.Errorf("profile %s is for a display with a line of its own", cfg.Profile))
	}
	d := build(profile, linedisplay.Through(printer.Info().Name, router), cfg.Name)
	if err := start(ctx, d); err != nil {
		return nil, err
	}
	return d, nil
}
