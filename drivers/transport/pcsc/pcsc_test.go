package pcsc

import (
	"context"
	"errors"
	"path/filepath"
	"testing"
	"time"

	"github.com/ebfe/scard"

	"dcpos/drivers"
	"dcpos/drivers/transport"
)

// The library reads PCSCLITE_CSOCK_NAME for every connection.
func TestNoDaemonSaysWhatToDo(t *testing.T) {
	t.Setenv("PCSCLITE_CSOCK_NAME", filepath.Join(t.TempDir(), "pcscd.comm"))
	_, err := Open(t.Context(), "", nil)
	advice, ok := errors.AsType[*drivers.Advice](err)
	if !ok || !errors.Is(err, transport.ErrNotFound) || advice.Hint.ZH == "" || advice.Hint.EN == "" {
		t.Errorf("got %v", err)
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := Open(ended, "", nil); err == nil {
		t.Error("an ended context opened a reader")
	}
}

func TestCodesOfTheLibrary(t *testing.T) {
	for code, want := range map[scard.Error]error{
		scard.ErrServiceStopped: transport.ErrGone, scard.ErrInvalidHandle: transport.ErrGone, scard.ErrReaderUnavailable: transport.ErrGone,
		scard.ErrNoService: transport.ErrGone, scard.ErrSharingViolation: transport.ErrInUse, scard.ErrNoAccess: transport.ErrAccess, scard.ErrSecurityViolation: transport.ErrAccess,
		scard.ErrRemovedCard: ErrRemoved, scard.ErrNoSmartcard: ErrRemoved, scard.ErrCommDataLost: ErrRemoved, scard.ErrResetCard: ErrRemoved,
	} {
		if err := lost(code); !errors.Is(err, want) || !errors.Is(err, code) {
			t.Errorf("%v: got %v, want %v", code, err, want)
		}
	}
	if err := lost(nil); err != nil {
		t.Errorf("nil: %v", err)
	}
	if err := lost(scard.ErrNoMemory); errors.Is(err, transport.ErrGone) || errors.Is(err, ErrRemoved) || err == nil {
		t.Errorf("no memory: %v", err)
	}
}

// A call that was given up is not waited for, interrupted until it ends, and the next one
// waits for it.
func TestCallsThatHang(t *testing.T) {
	r := &Reader{closing: make(chan struct{})}
	turn := make(chan struct{}, 1)
	release := make(chan struct{})
	interrupts := make(chan struct{}, 100)
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	err := r.run(ctx, turn, func() { interrupts <- struct{}{} }, func() error { <-release; return nil })
	if !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("given up: %v", err)
	}
	for range 3 { // the first ones may come before the library waits
		<-interrupts
	}
	short, stop := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer stop()
	if err := r.run(short, turn, nil, func() error { t.Error("two calls at once"); return nil }); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("behind it: %v", err)
	}
	close(release)
	if err := r.run(t.Context(), turn, nil, func() error { return nil }); err != nil {
		t.Errorf("after it: %v", err)
	}
	close(r.closing)
	turn <- struct{}{}
	if err := r.run(t.Context(), turn, nil, func() error { return nil }); !errors.Is(err, transport.ErrClosed) {
		t.Errorf("closed: %v", err)
	}
}
