package pcsc_test

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"dcpos/drivers"
	"dcpos/drivers/drivertest"
	"dcpos/drivers/nfc"
	"dcpos/drivers/nfc/pcsc"
	"dcpos/drivers/transport"
	daemon "dcpos/drivers/transport/pcsc"
	profiles "dcpos/firmware-profiles"
	"dcpos/lab/device"
)

// fake is a daemon's reader with a field.
type fake struct {
	field *device.Field

	mu     sync.Mutex
	gone   chan struct{}
	closed chan struct{}
	card   *device.Card
	uid    []byte
	mute   int // the next so many connections find a card that does not wake
	others int // the next so many find that another program holds it
	calls  []string
}

func (f *fake) note(call string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.calls = append(f.calls, call)
}

func (f *fake) Check(context.Context) error { return f.alive() }

func (f *fake) alive() error {
	select {
	case <-f.gone:
		return transport.ErrGone
	case <-f.closed:
		return transport.ErrClosed
	default:
		return nil
	}
}

// until looks every few milliseconds, as a simple daemon does.
func (f *fake) until(ctx context.Context, there func() bool) error {
	ticker := time.NewTicker(5 * time.Millisecond)
	defer ticker.Stop()
	for {
		if err := f.alive(); err != nil {
			return err
		}
		if there() {
			return nil
		}
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return ctx.Err()
		case <-f.gone:
		case <-f.closed:
		}
	}
}

func (f *fake) Wait(ctx context.Context) (daemon.Visit, error) {
	f.note("wait")
	return 1, f.until(ctx, func() bool { return len(f.field.Cards()) > 0 })
}

func (f *fake) WaitRemoved(ctx context.Context, _ daemon.Visit) error {
	f.note("removed")
	return f.until(ctx, func() bool { return len(f.field.Cards()) == 0 })
}

func (f *fake) Connect(context.Context) error {
	f.note("connect")
	cards := f.field.Cards()
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.others > 0 {
		f.others--
		return transport.ErrInUse
	}
	if len(cards) == 0 || f.mute > 0 {
		f.mute = max(0, f.mute-1)
		return daemon.ErrRemoved
	}
	f.card = cards[0]
	f.uid, _ = f.card.Activate()
	return nil
}

func (f *fake) Transmit(_ context.Context, command []byte) ([]byte, error) {
	if err := f.alive(); err != nil {
		return nil, err
	}
	f.mu.Lock()
	card, uid := f.card, f.uid
	f.mu.Unlock()
	for _, c := range f.field.Cards() {
		if c != card {
			continue
		}
		if command[0] == 0xFF {
			if command[2] == 0 {
				return append(append([]byte(nil), uid...), 0x90, 0x00), nil
			}
			return []byte{0x6A, 0x81}, nil
		}
		response, torn := c.Transmit(command)
		if !torn {
			return response, nil
		}
	}
	return nil, daemon.ErrRemoved
}

func (f *fake) Control(_ context.Context, command []byte) ([]byte, error) {
	if command[2] == 0x48 {
		return []byte("ACR122U214"), nil
	}
	return []byte{0x90, 0x00}, nil
}

func (f *fake) Disconnect(context.Context) error {
	f.note("disconnect")
	f.mu.Lock()
	defer f.mu.Unlock()
	f.card = nil
	return nil
}

func (f *fake) Close() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	select {
	case <-f.closed:
	default:
		close(f.closed)
	}
	return nil
}

func (f *fake) String() string { return "pcsc:fake" }

type bench struct {
	field device.Field
	gone  chan struct{}
	last  *fake
}

func (b *bench) reader() *nfc.Reader {
	p := profiles.NFC{
		Name: "fake", Signals: profiles.NFCSignals{Language: "acr122u", QuietDetect: true},
		Timing: profiles.NFCTiming{AnswerMS: 300, CardMS: 1000, PollMS: 50},
	}
	return nfc.New(p, pcsc.Dial(func(context.Context) (pcsc.Daemon, error) {
		select {
		case <-b.gone:
			return nil, transport.ErrNotFound
		default:
		}
		b.last = &fake{field: &b.field, gone: b.gone, closed: make(chan struct{})}
		return b.last, nil
	}), nfc.Options{})
}

func TestSuite(t *testing.T) {
	drivertest.RunNFCReader(t, func(t *testing.T) (drivers.NFCReader, drivertest.Taps) {
		t.Helper()
		b := &bench{gone: make(chan struct{})}
		card := device.NewEchoCard([]byte(drivertest.TapAID), device.CardOptions{})
		return b.reader(), drivertest.Taps{
			Tap: func() { b.field.Tap(card) }, Take: func() { b.field.Take(nil) },
			Unplug: func() { close(b.gone) }, Lights: true,
		}
	})
}

// A card that does not wake, or that another program holds, is tried a few times; then the tap is torn, and the customer is
// told to hold it there again.
func TestCardThatCannotBeConnected(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := &bench{gone: make(chan struct{})}
		r := b.reader()
		if err := errors.Join(r.Open(t.Context()), r.Claim(t.Context()), r.Enable(t.Context())); err != nil {
			t.Fatal(err)
		}
		if got := r.Info().Firmware; got != "ACR122U214" {
			t.Errorf("firmware %q", got)
		}
		card := device.NewEchoCard([]byte(drivertest.TapAID), device.CardOptions{})
		b.field.Tap(card)
		b.last.mute = 2
		c, err := r.WaitCard(t.Context())
		if err != nil {
			t.Fatalf("woke at the third try: %v", err)
		}
		if err := c.Close(); err != nil {
			t.Error(err)
		}
		b.last.mute = 100
		begin := time.Now()
		if _, err := r.WaitCard(t.Context()); !errors.Is(err, drivers.ErrTorn) || time.Since(begin) > 5*time.Second {
			t.Errorf("after %v: %v", time.Since(begin), err)
		}
		if n := r.Statistics()[drivers.UnreadableCardCount]; n != 1 {
			t.Errorf("%d unreadable cards", n)
		}
		b.last.mute, b.last.others = 0, 2
		if c, err = r.WaitCard(t.Context()); err != nil {
			t.Fatalf("another program looked at it for a moment: %v", err)
		}
		if err := c.Close(); err != nil {
			t.Error(err)
		}
		b.last.others = 100
		if _, err := r.WaitCard(t.Context()); !errors.Is(err, drivers.ErrClaimed) {
			t.Errorf("another program keeps it: %v", err)
		}
		b.last.others = 0
		if c, err = r.WaitCard(t.Context()); err != nil {
			t.Fatal(err)
		}
		if err := errors.Join(c.Close(), r.Close()); err != nil {
			t.Error(err)
		}
	})
}
