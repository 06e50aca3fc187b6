package payment

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"dcpos/central/institution"
	"dcpos/central/ledger"
	"dcpos/pos"
	"dcpos/pos/dcep"
)

// Config is what a Desk needs.
type Config struct {
	Env          pos.Environment
	Store        Store
	Institutions *institution.Set
	// Default is the institution of a QR for which the till names none.
	Default string
	// Key makes the fingerprints of questions, at least 16 bytes; the same after every
	// start, or a repeated question is a conflict. Payment codes are in them.
	Key []byte
	// Margin is added to a validity before "never arrived" is believed; 0 is 30 s.
	Margin time.Duration
	// Now is the clock of what is stored; nil is time.Now.
	Now func() time.Time
	// Trust verifies a wallet's evidence again before its institution is asked; nil leaves
	// that to the institution.
	Trust func() dcep.Trust
	Log   *slog.Logger
	// Nudge is called after a verdict for the terminal was committed; may be nil.
	Nudge func(terminal string)
	// Observe is called with each answer to pay, present, query, abandon and refund and
	// how long it took, for metrics; may be nil.
	Observe func(question string, a pos.Answer, took time.Duration)
}

// Desk takes the questions of tills and follows each payment to its end. It is safe
// for concurrent use; Run must run for what is not final to become so.
type Desk struct {
	cfg  Config
	wake chan struct{}

	mu   sync.Mutex
	busy map[pos.PaymentID]bool   // being asked about, or their answer written, by this process; refunds too
	asks map[pos.PaymentID]string // those whose institution has not answered yet
	load map[string]int           // how many of these per institution

	behind atomic.Bool // something due was not started for want of room
	ill    atomic.Bool // an answer was not written since the last tick: the store may be down
}

// New checks the configuration.
func New(cfg Config) (*Desk, error) {
	switch {
	case !cfg.Env.Valid():
		return nil, pos.FieldError(pos.ErrConfig, "env", errors.New("want live or lab"))
	case cfg.Store == nil || cfg.Institutions == nil:
		return nil, pos.NewError(pos.ErrConfig, errors.New("payment needs store and institutions"))
	case len(cfg.Key) < 16:
		return nil, pos.FieldError(pos.ErrConfig, "key", errors.New("want at least 16 bytes"))
	}
	if _, ok := cfg.Institutions.Member(cfg.Default); cfg.Default != "" && !ok {
		return nil, pos.FieldError(pos.ErrConfig, "default_institution", fmt.Errorf("%q is not described", cfg.Default))
	}
	if cfg.Margin == 0 {
		cfg.Margin = 30 * time.Second
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	return &Desk{
		cfg: cfg, wake: make(chan struct{}, 1), busy: map[pos.PaymentID]bool{}, asks: map[pos.PaymentID]string{}, load: map[string]int{},
	}, nil
}

func (d *Desk) nowMS() int64 { return d.cfg.Now().UnixMilli() }

// observed times one question.
func (d *Desk) observed(question string, answer func() pos.Answer) pos.Answer {
	began := d.cfg.Now()
	a := answer()
	if d.cfg.Observe != nil {
		seen := a
		if _, ok := d.cfg.Institutions.Member(a.Institution); !ok {
			seen.Institution = "" // a till's text must not become a metric's label
		}
		d.cfg.Observe(question, seen, d.cfg.Now().Sub(began))
	}
	return a
}

// turn is one transaction with the moment of its beginning and whom it tells.
type turn struct {
	Tx
	now    int64
	told   []string
	limits map[uint64]pos.Limits // of policies, by version, that were read
	read   *journaled            // what the journal said last: an answer asks for it more than once
}

// journaled is what a till's journal says of a payment.
type journaled struct {
	terminal string
	payment  pos.Payment
	known    bool
	id       pos.PaymentID
}

// Journaled implements Tx. No turn writes a journal.
func (t *turn) Journaled(ctx context.Context, terminal string, id pos.PaymentID) (pos.Payment, bool, error) {
	if have := t.read; have != nil && have.terminal == terminal && have.id == id {
		return have.payment, have.known, nil
	}
	p, known, err := t.Tx.Journaled(ctx, terminal, id)
	if err == nil {
		t.read = &journaled{terminal, p, known, id}
	}
	return p, known, err
}

// turn runs fn in a transaction and nudges after the commit.
func (d *Desk) turn(ctx context.Context, fn func(t *turn) error) error {
	return d.turnIn(ctx, d.cfg.Store.PaymentTx, fn)
}

// shared is turn in a transaction that others share: for what a till waits for.
func (d *Desk) shared(ctx context.Context, fn func(t *turn) error) error {
	return d.turnIn(ctx, d.cfg.Store.SharedTx, fn)
}

func (d *Desk) turnIn(ctx context.Context, within func(context.Context, func(Tx) error) error, fn func(t *turn) error) error {
	var told []string
	err := within(ctx, func(tx Tx) error {
		t := &turn{Tx: tx, now: d.nowMS()}
		err := fn(t)
		told = t.told
		return err
	})
	if err != nil {
		return err
	}
	if d.cfg.Nudge != nil {
		for _, terminal := range told {
			d.cfg.Nudge(terminal)
		}
	}
	return nil
}

// tell gives a till its verdict. A web shop has no journal to keep one in: it hears by
// events (announce.go).
func (t *turn) tell(ctx context.Context, terminal string, v pos.Verdict) error {
	if Online(terminal) {
		return nil
	}
	if _, err := t.AppendVerdict(ctx, terminal, v); err != nil {
		return fmt.Errorf("verdict on %s: %w", v.Payment, err)
	}
	t.told = append(t.told, terminal)
	return nil
}

// book posts a transaction. Another body under the key means that the till's journal
// and the institution disagree on a date or an account: the money is booked once
// already, reconciliation finds the difference, and the payment must go on.
func (d *Desk) book(ctx context.Context, t *turn, tr ledger.Transaction) error {
	_, err := ledger.Post(ctx, t, tr)
	if pos.CodeOf(err) == pos.ErrKeyConflict {
		d.cfg.Log.ErrorContext(ctx, "ledger key was posted with other content", "key", tr.Key, "err", err)
		return nil
	}
	return err
}

// claim reserves the id for one asker of this process; release undoes it.
func (d *Desk) claim(id pos.PaymentID, code string) (release func(), ok bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.busy[id] {
		return nil, false
	}
	d.busy[id], d.asks[id] = true, code
	d.load[code]++
	return func() {
		d.answered(id)
		d.mu.Lock()
		defer d.mu.Unlock()
		delete(d.busy, id)
		d.room(len(d.busy), maxBusy)
	}, true
}

// answered gives the place at its institution to another: what was answered waits for its commit alone.
func (d *Desk) answered(id pos.PaymentID) {
	d.mu.Lock()
	defer d.mu.Unlock()
	code, asking := d.asks[id]
	if !asking {
		return
	}
	delete(d.asks, id)
	d.load[code]--
	d.room(d.load[code], perInstitution)
}

// room wakes Run when something due was left for want of room and half of it is free again: a look at
// what is due costs more than one payment.
func (d *Desk) room(used, of int) {
	if used <= of/2 && !d.ill.Load() && d.behind.Swap(false) {
		d.poke()
	}
}

// fullFor reports that nothing more may be started for the institution.
func (d *Desk) fullFor(code string) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.load[code] >= perInstitution || len(d.busy) >= maxBusy
}

// fingerprint is a keyed hash of a question: what makes it the same question.
func (d *Desk) fingerprint(parts ...any) []byte {
	h := hmac.New(sha256.New, d.cfg.Key)
	for _, p := range parts {
		s := fmt.Sprint(p)
		_, _ = fmt.Fprintf(h, "%d:%s", len(s), s) // a hash never fails to write
	}
	return h.Sum(nil)
}

// rejected answers a question that was not started.
func (d *Desk) rejected(ctx context.Context, payment pos.PaymentID, refund pos.RefundID, err error) pos.Answer {
	e := pos.AsError(err)
	if e.Code == pos.ErrInternal || e.Code == pos.ErrStorage {
		d.cfg.Log.ErrorContext(ctx, "question not started", "payment", payment.String(), "err", err)
	}
	return pos.Answer{
		Payment: payment, Refund: refund, Outcome: pos.OutcomeRejected, Reason: e.Code, Detail: e.Error(),
		CentreMS: d.nowMS(),
	}
}

// silent answers a question whose state could not be read or written just now.
func (d *Desk) silent(ctx context.Context, payment pos.PaymentID, refund pos.RefundID, err error) pos.Answer {
	d.cfg.Log.ErrorContext(ctx, "payment state not at hand", "payment", payment.String(), "err", err)
	return pos.Answer{
		Payment: payment, Refund: refund, Outcome: pos.OutcomeUnknown, Reason: pos.ErrStorage, CentreMS: d.nowMS(),
	}
}

// foreign reports an error that only says that the till may not ask this, or that
// there is no such thing: nothing is wrong at the centre.
func foreign(err error) bool {
	return slices.Contains([]pos.Code{pos.ErrNotFound, pos.ErrNotEnrolled, pos.ErrBadRequest}, pos.CodeOf(err))
}

// poke wakes Run.
func (d *Desk) poke() {
	select {
	case d.wake <- struct{}{}:
	default:
	}
}
