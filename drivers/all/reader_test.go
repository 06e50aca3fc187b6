package all_test

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"dcpos/drivers"
	"dcpos/drivers/drivertest"
	"dcpos/drivers/nfc"
	"dcpos/drivers/nfc/apdu"
	"dcpos/drivers/nfc/ccid"
	"dcpos/drivers/nfc/pcsc"
	"dcpos/drivers/nfc/pn532"
	"dcpos/drivers/transport"
	daemon "dcpos/drivers/transport/pcsc"
	profiles "dcpos/firmware-profiles"
	"dcpos/lab/device"
)

// field is where a card is held on a bench.
type field interface {
	Tap(card *device.Card)
	Take(card *device.Card)
}

// readerBench taps a card on the reader of a profile. dial makes the model's port.
func readerBench(dial func(t *testing.T, p profiles.NFC) (nfc.Dial, field)) bench {
	return func(t *testing.T, name string) {
		t.Helper()
		p, err := profiles.FindNFC(name)
		if err != nil {
			t.Fatal(err)
		}
		open, air := dial(t, p)
		r := closing(t, nfc.New(p, open, nfc.Options{}))
		up(t, r)
		if i := r.Info(); i.Profile != name || i.Port == "" {
			t.Errorf("%+v", i)
		}
		for range 2 { // the second tap is as good as the first
			tapOnce(t, r, air)
		}
		if err := r.Signal(t.Context(), drivers.SignalDone); (err == nil) != (p.Signals.Language != "") {
			t.Errorf("signal: %v", err)
		}
		if h, err := r.CheckHealth(t.Context(), drivers.HealthInternal); err != nil || !h.OK {
			t.Errorf("health %+v, %v", h, err)
		}
	}
}

func tapOnce(t *testing.T, r drivers.NFCReader, air field) {
	t.Helper()
	card := device.NewEchoCard([]byte(drivertest.TapAID), device.CardOptions{})
	air.Tap(card)
	c, err := r.WaitCard(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if len(c.Info().UID) < 4 {
		t.Errorf("uid % x", c.Info().UID)
	}
	a, err := nfc.SelectApplication(t.Context(), c, []nfc.Candidate{{AID: []byte(drivertest.TapAID)}})
	if err != nil || string(a.AID) != drivertest.TapAID {
		t.Fatalf("select: %x, %v", a.AID, err)
	}
	answer, err := c.Transmit(t.Context(), append([]byte{0x80, drivertest.EchoINS, 0, 0, 3}, "abc"...))
	if data, status, e := apdu.Split(answer); err != nil || e != nil || status != apdu.OK || string(data) != "abc" {
		t.Errorf("echo: % x, %v", answer, errors.Join(err, e))
	}
	air.Take(nil)
	if err := errors.Join(c.WaitRemoved(t.Context()), c.Close()); err != nil {
		t.Error(err)
	}
}

func ccidModel(t *testing.T, p profiles.NFC) (nfc.Dial, field) {
	t.Helper()
	model := device.NewCCID(device.CCIDOptions{})
	t.Cleanup(model.Close)
	return ccid.Dial(p, model.Socket().Dial), model
}

func pn532Model(t *testing.T, p profiles.NFC) (nfc.Dial, field) {
	t.Helper()
	model := device.NewPN532(device.PN532Options{Asleep: true})
	return pn532.Dial(p, served(t, model)), model
}

func pcscModel(_ *testing.T, _ profiles.NFC) (nfc.Dial, field) {
	air := &device.Field{}
	return pcsc.Dial(func(context.Context) (pcsc.Daemon, error) {
		return &desk{field: air, closed: make(chan struct{})}, nil
	}), air
}

// desk is a reader behind a PC/SC daemon. The real daemon is in e2e/pcsc.
type desk struct {
	field  *device.Field
	closed chan struct{}
	once   sync.Once
	card   *device.Card
	uid    []byte
}

func (d *desk) until(ctx context.Context, there bool) error {
	ticker := time.NewTicker(2 * time.Millisecond)
	defer ticker.Stop()
	for len(d.field.Cards()) > 0 != there {
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return ctx.Err()
		case <-d.closed:
			return transport.ErrClosed
		}
	}
	return nil
}

func (d *desk) Check(context.Context) error { return nil }

func (d *desk) Wait(ctx context.Context) (daemon.Visit, error) { return 1, d.until(ctx, true) }

func (d *desk) WaitRemoved(ctx context.Context, _ daemon.Visit) error { return d.until(ctx, false) }

func (d *desk) Connect(context.Context) error {
	cards := d.field.Cards()
	if len(cards) == 0 {
		return daemon.ErrRemoved
	}
	d.card = cards[0]
	d.uid, _ = d.card.Activate()
	return nil
}

func (d *desk) Transmit(_ context.Context, command []byte) ([]byte, error) {
	switch {
	case len(d.field.Cards()) == 0:
		return nil, daemon.ErrRemoved
	case command[0] == 0xFF && command[2] == 0: // the UID
		return append(append([]byte(nil), d.uid...), 0x90, 0x00), nil
	case command[0] == 0xFF:
		return []byte{0x6A, 0x81}, nil
	}
	answer, torn := d.card.Transmit(command)
	if torn {
		return nil, daemon.ErrRemoved
	}
	return answer, nil
}

func (d *desk) Control(_ context.Context, command []byte) ([]byte, error) {
	if command[2] == 0x48 {
		return []byte("ACR122U214"), nil
	}
	return []byte{0x90, 0x00}, nil
}

func (d *desk) Disconnect(context.Context) error { d.card = nil; return nil }

func (d *desk) Close() error { d.once.Do(func() { close(d.closed) }); return nil }

func (d *desk) String() string { return "pcsc:bench" }
