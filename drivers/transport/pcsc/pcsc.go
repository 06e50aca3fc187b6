// Package pcsc reaches smart card readers through the PC/SC daemon (pcscd).
//
// Traps that are dealt with here: every call of the library blocks in C and knows no
// context (each runs beside the caller, one after the other; what was given up is waited
// for by the next call, not by the caller); SCardCancel is lost when it comes before
// SCardGetStatusChange has begun to wait (it is repeated until the call has ended); a daemon
// that was restarted leaves every handle dead, with one of several error codes (all of
// them are transport.ErrGone); the library keeps a reader's name alive only until the next
// wait for the same name (one wait at a time for each Reader); a card that was replaced
// between two looks shows only in the event counter in the upper half of the state.
package pcsc

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/ebfe/scard"

	"dcpos/drivers"
	"dcpos/drivers/transport"
	"dcpos/pos"
)

// errNoDaemon is the advice for a machine where pcscd does not run.
func errNoDaemon(err error) error {
	return &drivers.Advice{
		Text: pos.Text{ZH: "读卡服务 pcscd 没有运行", EN: "The card service pcscd is not running"},
		Hint: pos.Text{
			ZH: "请执行 systemctl enable --now pcscd.socket(Debian 软件包 pcscd、libccid);或在设备设置中改用 usb 方式直接连接读卡器",
			EN: "Run: systemctl enable --now pcscd.socket (Debian packages pcscd, libccid); or set the device's transport to usb, which needs no service",
		},
		Err: fmt.Errorf("%w: %w", transport.ErrNotFound, err),
	}
}

// errDenied is the advice when the daemon's polkit rules refuse this program. A daemon that
// is just ending may say so as well.
func errDenied(err error) error {
	return &drivers.Advice{
		Text: pos.Text{ZH: "读卡服务拒绝本程序访问", EN: "The card service refuses this program"},
		Hint: pos.Text{
			ZH: "请重试;仍不行请为本程序的用户添加 polkit 规则 org.debian.pcsc-lite.access_pcsc 和 access_card",
			EN: "Try again; if it stays, allow this program's user org.debian.pcsc-lite.access_pcsc and access_card in polkit",
		},
		Err: fmt.Errorf("%w: %w", transport.ErrAccess, err),
	}
}

// errNoControl is the advice when the daemon keeps commands from the reader.
func errNoControl(err error) error {
	return &drivers.Advice{
		Text: pos.Text{ZH: "读卡服务不允许控制灯光和蜂鸣器", EN: "The card service does not let lights and sounds be controlled"},
		Hint: pos.Text{
			ZH: "请把 libccid 的 Info.plist 中 ifdDriverOptions 设为 0x0001,然后重启 pcscd",
			EN: "Set ifdDriverOptions to 0x0001 in libccid's Info.plist and restart pcscd",
		},
		Err: fmt.Errorf("%w: %w", drivers.ErrIllegal, err),
	}
}

// ErrRemoved is returned when the card is no longer there, or was reset by somebody.
var ErrRemoved = errors.New("the card was removed")

// cancelEvery is between two tries to end a wait, until it has ended.
const cancelEvery = 20 * time.Millisecond

// closeWait is how long Close waits for the daemon; one that is stopped answers nothing.
const closeWait = time.Second

// Reader is one reader of the daemon. Its calls run one after the other, except that
// Control may run while Wait waits. It is for one user at a time; Close may be called
// from anywhere.
type Reader struct {
	name    string
	cards   *scard.Context
	watcher *scard.Context // waits for changes, so that the other context stays free

	using    chan struct{} // holds one token while a call on cards runs
	watching chan struct{} // holds one token while a call on watcher runs
	closing  chan struct{}
	closed   chan struct{} // holds one token once Close was called

	card *scard.Card // connected; guarded by using
}

// Open takes the first reader whose name begins with name, or, when name is empty, with one
// of prefixes; with neither the first of all. Errors: transport.ErrNotFound (with an
// advice when there is no daemon), ErrAccess, or the daemon's own.
func Open(ctx context.Context, name string, prefixes []string) (*Reader, error) {
	if name != "" {
		prefixes = []string{name}
	}
	type opened struct {
		r   *Reader
		err error
	}
	done := make(chan opened, 1)
	go func() {
		r, err := open(prefixes)
		if err == nil && ctx.Err() != nil {
			err = errors.Join(ctx.Err(), r.Close())
		}
		done <- opened{r, err}
	}()
	select {
	case o := <-done:
		if o.err != nil {
			return nil, fmt.Errorf("open pc/sc reader: %w", o.err)
		}
		return o.r, nil
	case <-ctx.Done():
		return nil, fmt.Errorf("open pc/sc reader: %w", ctx.Err())
	}
}

func open(prefixes []string) (*Reader, error) {
	cards, err := scard.EstablishContext()
	if err != nil {
		return nil, reason(err)
	}
	name, err := find(cards, prefixes)
	if err != nil {
		return nil, errors.Join(err, cards.Release())
	}
	watcher, err := scard.EstablishContext()
	if err != nil {
		return nil, errors.Join(reason(err), cards.Release())
	}
	return &Reader{
		name: name, cards: cards, watcher: watcher,
		using: make(chan struct{}, 1), watching: make(chan struct{}, 1),
		closing: make(chan struct{}), closed: make(chan struct{}, 1),
	}, nil
}

func find(c *scard.Context, prefixes []string) (string, error) {
	names, err := c.ListReaders()
	if err != nil && !errors.Is(err, scard.ErrNoReadersAvailable) {
		return "", reason(err)
	}
	for _, n := range names {
		if len(prefixes) == 0 || slices.ContainsFunc(prefixes, func(p string) bool { return strings.HasPrefix(n, p) }) {
			return n, nil
		}
	}
	return "", fmt.Errorf("%w: wanted %q, the daemon has %q", transport.ErrNotFound, prefixes, names)
}

// reason puts the library's codes under transport's (pcsclite.h).
func reason(err error) error {
	code, ok := errors.AsType[scard.Error](err)
	if !ok {
		return err
	}
	switch code { //nolint:exhaustive // the others have no counterpart
	case scard.ErrNoService:
		return errNoDaemon(err)
	case scard.ErrServiceStopped, scard.ErrInvalidHandle, scard.ErrCommError, scard.ErrShutdown, scard.ErrSystemCancelled,
		scard.ErrReaderUnavailable, scard.ErrUnknownReader, scard.ErrNoReadersAvailable:
		return fmt.Errorf("%w: %w", transport.ErrGone, err)
	case scard.ErrSharingViolation:
		return fmt.Errorf("%w: %w", transport.ErrInUse, err)
	case scard.ErrNoAccess, scard.ErrSecurityViolation:
		return errDenied(err)
	case scard.ErrRemovedCard, scard.ErrResetCard, scard.ErrNoSmartcard, scard.ErrUnpoweredCard, scard.ErrUnresponsiveCard,
		scard.ErrUnsupportedCard, scard.ErrNotTransacted, scard.ErrCommDataLost, scard.ErrProtoMismatch:
		return fmt.Errorf("%w: %w", ErrRemoved, err)
	}
	return err
}

// lost is reason for calls after Open: there an absent daemon is one that went away.
func lost(err error) error {
	if code, ok := errors.AsType[scard.Error](err); ok && code == scard.ErrNoService {
		return fmt.Errorf("%w: %w", transport.ErrGone, err)
	}
	return reason(err)
}

// run does one call of the library beside the caller, in turn. interrupt (may be nil) is
// called again and again once the caller has given up.
func (r *Reader) run(ctx context.Context, turn chan struct{}, interrupt func(), call func() error) error {
	select {
	case turn <- struct{}{}:
	case <-ctx.Done():
		return ctx.Err()
	case <-r.closing:
		return transport.ErrClosed
	}
	done := make(chan error, 1)
	ended := make(chan struct{})
	go func() {
		err := call()
		close(ended)
		<-turn
		done <- err
	}()
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
		insist(interrupt, ended)
		return ctx.Err()
	case <-r.closing:
		insist(interrupt, ended)
		return transport.ErrClosed
	}
}

// insist interrupts until the call has ended, beside the caller.
func insist(interrupt func(), ended <-chan struct{}) {
	if interrupt == nil {
		return
	}
	go func() {
		ticker := time.NewTicker(cancelEvery)
		defer ticker.Stop()
		for {
			interrupt()
			select {
			case <-ended:
				return
			case <-ticker.C:
			}
		}
	}()
}

// Visit tells one card's stay in the field from the next: the daemon counts them.
type Visit uint32

// Wait waits until a card is there, and returns its visit. The daemon may not have noticed
// yet that it left.
func (r *Reader) Wait(ctx context.Context) (Visit, error) {
	state, err := r.watch(ctx, present)
	return visit(state), err
}

// WaitRemoved waits until the card of a visit has left.
func (r *Reader) WaitRemoved(ctx context.Context, v Visit) error {
	_, err := r.watch(ctx, func(s scard.StateFlag) bool { return !present(s) || visit(s) != v })
	return err
}

func present(s scard.StateFlag) bool { return s&scard.StatePresent != 0 }

// eventShift is where the daemon keeps its event counter in a state (winscard.h,
// SCARD_READERSTATE: the upper word).
const eventShift = 16

func visit(s scard.StateFlag) Visit { return Visit(s >> eventShift) }

// watch waits for a state; the daemon tells changes.
func (r *Reader) watch(ctx context.Context, wanted func(scard.StateFlag) bool) (scard.StateFlag, error) {
	states := []scard.ReaderState{{Reader: r.name, CurrentState: scard.StateUnaware}}
	for {
		err := r.run(ctx, r.watching, func() { _ = r.watcher.Cancel() }, func() error {
			return r.watcher.GetStatusChange(states, -1)
		})
		if err != nil {
			return 0, lost(err)
		}
		s := states[0].EventState
		if s&(scard.StateUnknown|scard.StateUnavailable|scard.StateIgnore) != 0 {
			return 0, fmt.Errorf("%w: %s", transport.ErrGone, r.name)
		}
		if wanted(s) {
			return s, nil
		}
		states[0].CurrentState = s &^ scard.StateChanged
	}
}

// Connect powers the card and takes it for this program alone.
func (r *Reader) Connect(ctx context.Context) error {
	return r.run(ctx, r.using, nil, func() error {
		r.disconnect()
		card, err := r.cards.Connect(r.name, scard.ShareExclusive, scard.ProtocolT0|scard.ProtocolT1)
		if err != nil {
			return lost(err)
		}
		r.card = card
		return nil
	})
}

// disconnect lets the card go; the turn is held.
func (r *Reader) disconnect() {
	if r.card != nil {
		_ = r.card.Disconnect(scard.UnpowerCard) // a card that left cannot be let go
		r.card = nil
	}
}

// Disconnect lets the card go and takes its power, so that the next one begins afresh.
func (r *Reader) Disconnect(ctx context.Context) error {
	return r.run(ctx, r.using, nil, func() error {
		r.disconnect()
		return nil
	})
}

// Transmit sends one APDU to the connected card. ErrRemoved: it left, or there is none.
func (r *Reader) Transmit(ctx context.Context, command []byte) (response []byte, err error) {
	sent := slices.Clone(command) // the daemon may still read it after the caller gave up
	var heard []byte
	err = r.run(ctx, r.using, nil, func() (err error) {
		if r.card == nil || len(sent) == 0 {
			return ErrRemoved
		}
		heard, err = r.card.Transmit(sent)
		return lost(err)
	})
	if err != nil {
		return nil, err
	}
	return heard, nil
}

// controlEscape is the control code for a reader's own commands in libccid: 1 (SCARD_CTL_CODE(1)).
const controlEscape = 1

// Control sends a command to the reader itself, card or not. An advice that is
// drivers.ErrIllegal: the daemon is set not to let them through.
func (r *Reader) Control(ctx context.Context, command []byte) (response []byte, err error) {
	sent := slices.Clone(command)
	var heard []byte
	err = r.run(ctx, r.using, nil, func() error {
		card := r.card
		if card == nil {
			direct, err := r.cards.Connect(r.name, scard.ShareDirect, scard.ProtocolUndefined)
			if err != nil {
				return lost(err)
			}
			defer func() { _ = direct.Disconnect(scard.LeaveCard) }() // it held nothing
			card = direct
		}
		out, err := card.Control(scard.CtlCode(controlEscape), sent)
		if code, ok := errors.AsType[scard.Error](err); ok && (code == scard.ErrNotTransacted || code == scard.ErrUnsupportedFeature ||
			code == scard.ErrInvalidParameter || code == scard.ErrInvalidValue) {
			return errNoControl(err)
		}
		heard = out
		return lost(err)
	})
	if err != nil {
		return nil, err
	}
	return heard, nil
}

// Check asks whether the daemon still knows the reader.
func (r *Reader) Check(ctx context.Context) error {
	return r.run(ctx, r.using, nil, func() error {
		names, err := r.cards.ListReaders()
		if err != nil {
			return lost(err)
		}
		if !slices.Contains(names, r.name) {
			return fmt.Errorf("%w: %s", transport.ErrGone, r.name)
		}
		return nil
	})
}

// Close ends the reader and interrupts its calls. It waits for the daemon only a moment:
// what it still holds ends with its answer.
func (r *Reader) Close() error {
	select {
	case r.closed <- struct{}{}:
	default:
		return nil
	}
	close(r.closing)
	done := make(chan error, 1)
	go func() {
		r.using <- struct{}{} // for ever: nothing runs on a released context
		r.watching <- struct{}{}
		r.disconnect()
		done <- errors.Join(release(r.watcher), release(r.cards))
	}()
	timer := time.NewTimer(closeWait)
	defer timer.Stop()
	select {
	case err := <-done:
		return err
	case <-timer.C:
		return nil
	}
}

// release gives a context back; one that died with its daemon is given back already.
func release(c *scard.Context) error {
	if err := lost(c.Release()); err != nil && !errors.Is(err, transport.ErrGone) {
		return err
	}
	return nil
}

// String names the reader for logs.
func (r *Reader) String() string { return "pcsc:" + r.name }
