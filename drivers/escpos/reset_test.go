package escpos_test

import (
	"context"
	"errors"
	"testing"

	"dcpos/drivers"
	"dcpos/drivers/escpos"
	"dcpos/drivers/transport"
	"dcpos/drivers/transporttest"
	profiles "dcpos/firmware-profiles"
)

// resettable is a port with a reset.
type resettable struct {
	*transporttest.Playback
	resets *int
	err    error
}

func (r resettable) Reset(context.Context) error {
	*r.resets++
	return errors.Join(r.err, r.Close())
}

func TestReset(t *testing.T) {
	profile, err := profiles.FindPrinter("pos-5890")
	if err != nil {
		t.Fatal(err)
	}
	broken := errors.New("no luck")
	for _, tc := range []struct {
		name   string
		conn   func(resets *int) (transport.Conn, error)
		resets int
		want   error
	}{
		{"usb", func(n *int) (transport.Conn, error) { return resettable{&transporttest.Playback{}, n, nil}, nil }, 1, nil},
		{"a reset that fails", func(n *int) (transport.Conn, error) { return resettable{&transporttest.Playback{}, n, broken}, nil }, 1, drivers.ErrFailure},
		{"a port without reset", func(*int) (transport.Conn, error) { return &transporttest.Playback{}, nil }, 0, drivers.ErrIllegal},
		{"not there", func(*int) (transport.Conn, error) { return nil, transport.ErrNotFound }, 0, drivers.ErrNoHardware},
		{"in use", func(*int) (transport.Conn, error) { return nil, transport.ErrInUse }, 0, drivers.ErrClaimed},
	} {
		t.Run(tc.name, func(t *testing.T) {
			resets := 0
			p := escpos.New(profile, func(context.Context) (transport.Conn, error) { return tc.conn(&resets) }, escpos.Options{})
			if err := p.Reset(t.Context()); !errors.Is(err, drivers.ErrClosed) {
				t.Errorf("closed: %v", err)
			}
			if err := p.Open(t.Context()); err != nil {
				t.Fatal(err)
			}
			if err := p.Reset(t.Context()); !errors.Is(err, tc.want) || resets != tc.resets {
				t.Errorf("%d resets, %v", resets, err)
			}
			if err := p.Enable(t.Context()); !errors.Is(err, drivers.ErrNotClaimed) {
				t.Errorf("after a reset: %v", err)
			}
			if err := p.Close(); err != nil {
				t.Error(err)
			}
		})
	}
}
