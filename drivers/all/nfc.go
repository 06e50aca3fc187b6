package all

import (
	"context"
	"fmt"

	"dcpos/drivers"
	"dcpos/drivers/nfc"
	"dcpos/drivers/nfc/ccid"
	"dcpos/drivers/nfc/pcsc"
	"dcpos/drivers/nfc/pn532"
	"dcpos/drivers/transport"
	daemon "dcpos/drivers/transport/pcsc"
	"dcpos/drivers/transport/usb"
	profiles "dcpos/firmware-profiles"
)

// NewReader makes a closed contactless reader.
type NewReader func(p profiles.NFC, t drivers.TransportConfig, name string) drivers.NFCReader

// Readers are the reader drivers by the name that profiles use.
func Readers() map[string]NewReader {
	return map[string]NewReader{
		"pcsc": func(p profiles.NFC, t drivers.TransportConfig, name string) drivers.NFCReader {
			return nfc.New(p, pcsc.Dial(func(ctx context.Context) (pcsc.Daemon, error) {
				r, err := daemon.Open(ctx, t.Reader, p.Match.PCSC)
				if err != nil {
					return nil, err // not a nil *Reader in a Daemon
				}
				return r, nil
			}), nfc.Options{Name: name})
		},
		"ccid": func(p profiles.NFC, t drivers.TransportConfig, name string) drivers.NFCReader {
			dial := Dial(t, p.Serial, p.Match, usbWant(usb.ChipCard, p.USB))
			reset := func(ctx context.Context) error { return transport.Reset(ctx, dial) }
			return nfc.New(p, ccid.Dial(p, dial), nfc.Options{Name: name, Reset: reset})
		},
		"pn532": func(p profiles.NFC, t drivers.TransportConfig, name string) drivers.NFCReader {
			return nfc.New(p, pn532.Dial(p, Dial(t, p.Serial, p.Match, usb.Want{})), nfc.Options{Name: name})
		},
	}
}

// readerTransport says how each driver reaches its reader.
func readerTransport() map[string]drivers.TransportKind {
	return map[string]drivers.TransportKind{
		"pcsc": drivers.TransportPCSC, "ccid": drivers.TransportUSB, "pn532": drivers.TransportSerial,
	}
}

// OpenNFC is OpenPrinter for contactless readers. A transport that is not the driver's own
// is ErrIllegal.
func OpenNFC(ctx context.Context, cfg drivers.DeviceConfig) (drivers.NFCReader, error) {
	category := drivers.CategorySmartCardRW
	if cfg.Name == "" {
		cfg.Name = cfg.Profile
	}
	if err := cfg.Check(); err != nil {
		return nil, drivers.Trouble(category, "open "+cfg.Name, drivers.ErrIllegal, err)
	}
	profile, err := profiles.FindNFC(cfg.Profile)
	if err != nil {
		return nil, drivers.Trouble(category, "open "+cfg.Name, drivers.ErrNoService, err)
	}
	build, ok := Readers()[profile.Driver]
	if !ok {
		return nil, drivers.Trouble(category, "open "+cfg.Name, drivers.ErrNoService, unknownDriver(profile.Driver, Readers()))
	}
	if want := readerTransport()[profile.Driver]; cfg.Transport.Kind != want {
		return nil, drivers.Trouble(category, "open "+cfg.Name, drivers.ErrIllegal,
			fmt.Errorf("transport.kind %q: profile %s is for %q", cfg.Transport.Kind, cfg.Profile, want))
	}
	r := build(profile, cfg.Transport, cfg.Name)
	if err := start(ctx, r); err != nil {
		return nil, err
	}
	return r, nil
}
