package nfc

import (
	"context"
	"errors"
	"slices"
	"time"

	"dcpos/drivers"
	"dcpos/drivers/nfc/apdu"
	"dcpos/drivers/transport"
	profiles "dcpos/firmware-profiles"
)

// Port is one claimed reader in its own language. A Reader calls Activate, Exchange,
// Removed and Deselect for one card at a time; Hello, Control and Close come from any
// goroutine. Errors carry a drivers.ErrorCode or one of package transport's; an error that
// is transport.ErrGone or ErrClosed means that the port is of no further use.
type Port interface {
	// Hello makes sure that the reader answers, puts it in order, and says who it is.
	Hello(ctx context.Context) (Identity, error)
	// Activate waits for a card and activates it.
	Activate(ctx context.Context) (drivers.CardInfo, error)
	// Exchange carries one APDU as it is, no longer than the reader takes. drivers.ErrTorn:
	// the card left or went silent.
	Exchange(ctx context.Context, command []byte) ([]byte, error)
	// Removed waits until the activated card has left.
	Removed(ctx context.Context) error
	// Deselect lets the activated card go; without one it does nothing.
	Deselect(ctx context.Context) error
	// Control sends a command to the reader itself; drivers.ErrIllegal when it has none.
	Control(ctx context.Context, command []byte) ([]byte, error)
	// Close ends the port and interrupts every call.
	Close() error
	// String names the port for logs.
	String() string
}

// Noticing is a Port that notices between two calls that it is lost.
type Noticing interface {
	// Ended is closed when the port is of no further use.
	Ended() <-chan struct{}
}

// leastPoll keeps a profile that says nothing from making a port busy.
const leastPoll = 50 * time.Millisecond

// Pause waits between two looks at a card, where the reader does not tell by itself. It
// ends early with lost (then the error is nil: the next call finds out why) or with ctx.
func Pause(ctx context.Context, t profiles.NFCTiming, lost <-chan struct{}) error {
	timer := time.NewTimer(max(t.Poll(), leastPoll))
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-lost:
	case <-ctx.Done():
		return ctx.Err()
	}
	return nil
}

// Dial claims a reader. Errors are those of transport.Dial.
type Dial func(ctx context.Context) (Port, error)

// Identity is who a reader is and what it carries.
type Identity struct {
	Maker, Model, Firmware string
	// Extended: it carries extended APDUs.
	Extended bool
}

// AskIdentity reads UID and ATS of the activated card by the pseudo-APDU GET DATA of PC/SC
// Part 3, 3.2.2.1.3 (FF CA 00 00 00, FF CA 01 00 00). A reader that keeps the ATS gives
// none; one that keeps the UID too is drivers.ErrFailure.
func AskIdentity(ctx context.Context, carry apdu.Carry) (drivers.CardInfo, error) {
	var info drivers.CardInfo
	uid, err := getData(ctx, carry, 0)
	if err != nil {
		return info, err
	}
	info.UID = uid
	ats, err := getData(ctx, carry, 1)
	if err == nil {
		info.ATS = ats
	} else if !errors.Is(err, drivers.ErrFailure) {
		return info, err
	}
	return info, nil
}

func getData(ctx context.Context, carry apdu.Carry, what byte) ([]byte, error) {
	response, err := carry(ctx, []byte{0xFF, 0xCA, what, 0x00, 0x00})
	if err != nil {
		return nil, err
	}
	data, status, err := apdu.Split(response)
	if err != nil || status != apdu.OK || len(data) == 0 {
		return nil, errors.Join(drivers.ErrFailure, err)
	}
	return slices.Clone(data), nil
}

// codeOf is the code under which an error of a port reaches the caller.
func codeOf(ctx context.Context, err error) drivers.ErrorCode {
	code, coded := errors.AsType[drivers.ErrorCode](err)
	switch {
	case errors.Is(err, transport.ErrGone), errors.Is(err, transport.ErrNotFound), errors.Is(err, transport.ErrAccess):
		return drivers.ErrNoHardware
	case errors.Is(err, transport.ErrInUse):
		return drivers.ErrClaimed
	case errors.Is(err, transport.ErrClosed):
		return drivers.ErrNotClaimed
	case ctx.Err() != nil:
		return drivers.ErrTimeout
	case coded:
		return code
	case errors.Is(err, apdu.ErrTooLong):
		return drivers.ErrIllegal
	case errors.Is(err, context.DeadlineExceeded):
		return drivers.ErrOffline
	}
	return drivers.ErrFailure
}

// dead reports whether the port behind an error is of no further use.
func dead(err error) bool {
	return errors.Is(err, transport.ErrGone) || errors.Is(err, transport.ErrClosed)
}
