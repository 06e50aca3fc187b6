package link

import (
	"bytes"
	"context"
	"fmt"
	"maps"
	"math"
	"slices"
	"sync"
	"time"

	"github.com/nats-io/nats.go"

	"dcpos/pos"
	"dcpos/pos/dcep"
	"dcpos/sync/wire"
)

// markTime bounds the making of one mark.
const markTime = 10 * time.Second

func (l *Link) listenMarks() ([]*nats.Subscription, error) {
	sub, err := l.road.nc.QueueSubscribe(wire.MarkFilter, "dcpos-mark", func(m *nats.Msg) {
		select {
		case l.marking <- struct{}{}:
		case <-l.ctx.Done():
			return
		}
		l.spawn(func() {
			defer func() { <-l.marking }()
			l.answerMark(m)
		})
	})
	if err != nil {
		return nil, fmt.Errorf("subscribe to marks: %w", err)
	}
	return []*nats.Subscription{sub}, nil
}

func (l *Link) answerMark(m *nats.Msg) {
	terminal, err := wire.TerminalOf(m.Subject)
	if err != nil {
		return // permissions let nobody publish there
	}
	var req wire.MarkRequest
	if len(m.Data) > maxAsk || dcep.Unmarshal(m.Data, &req) != nil {
		l.log.WarnContext(l.ctx, "mark request is not readable", "terminal", terminal, "size", len(m.Data))
		return
	}
	if req.Env != l.cfg.Env {
		l.log.WarnContext(l.ctx, "mark request of another environment", "terminal", terminal)
		return
	}
	ctx, cancel := context.WithTimeout(l.ctx, markTime)
	defer cancel()
	err = l.renumber(ctx, terminal, req)
	var mark wire.Mark
	if err == nil {
		mark, err = l.mark(ctx, terminal, req)
	}
	if err != nil {
		l.log.WarnContext(ctx, "mark is not made", "terminal", terminal, "err", err)
		return
	}
	l.heard.note(l.contact(terminal, req))
	mark.Nonce = req.Nonce[:min(len(req.Nonce), wire.NonceSize)]
	sealed, err := wire.SealMark(l.cfg.Signer, mark)
	if err != nil {
		l.log.ErrorContext(ctx, "mark is not signed", "terminal", terminal, "err", err)
		return
	}
	l.respond(m, terminal, sealed)
}

// renumber lets verdicts go on after what the till has, when a restore of the database
// made the centre forget numbers that it had given.
func (l *Link) renumber(ctx context.Context, terminal string, req wire.MarkRequest) error {
	var restored bool
	err := l.store.Read(ctx, func(r Reader) (err error) {
		restored, err = r.VerdictsRestored(ctx, terminal)
		return err
	})
	if err != nil || !restored {
		return err
	}
	return l.store.Write(ctx, func(tx Tx) error { return tx.RenumberVerdicts(ctx, terminal, clamp(req.Verdict)) })
}

// mark makes the answer to a request.
func (l *Link) mark(ctx context.Context, terminal string, req wire.MarkRequest) (wire.Mark, error) {
	var m wire.Mark
	err := l.store.Read(ctx, func(r Reader) error {
		m = l.newMark(terminal)
		t, found, err := r.Terminal(ctx, terminal)
		switch {
		case err != nil:
			return err
		case !found:
			return pos.NewError(pos.ErrNotEnrolled, fmt.Errorf("no terminal %s", terminal))
		}
		m.Quarantine = t.Quarantined || t.Suspended
		if m.Verdicts, err = r.Verdicts(ctx, terminal, clamp(req.Verdict), wire.MaxVerdicts); err != nil {
			return err
		}
		if err := l.orders(ctx, r, terminal, req, &m); err != nil {
			return err
		}
		return l.far(ctx, r, terminal, req, &m)
	})
	return m, err
}

// catalogueEvery is how often a terminal is told that its catalogue still holds, also when
// no campaign was published; limits' catalogue_max counts from it.
const catalogueEvery = 6 * time.Hour

// catalogueTail is how long after the end of its window a campaign stays in the catalogue,
// so that an envelope that comes late is told to be late and not unknown.
const catalogueTail = 7 * 24 * time.Hour

// orders are what the terminal may do from now on, where it does not know yet.
func (l *Link) orders(ctx context.Context, r Reader, terminal string, req wire.MarkRequest, m *wire.Mark) error {
	policies, highest, err := r.Policies(ctx, terminal, m.CentreMS)
	if err != nil {
		return err
	}
	if highest > req.Policies {
		m.Policies = policies
	}
	if trust := l.trust(); trust.IssuedMS > req.TrustMS || m.Policies != nil {
		m.Trust = &trust
	}
	issued, err := r.CatalogueIssued(ctx)
	if err != nil {
		return err
	}
	issued = max(issued, l.startedMS) // the institutions' descriptions may be others than before
	issued = max(issued, time.UnixMilli(m.CentreMS).Truncate(catalogueEvery).UnixMilli())
	if issued <= req.CatalogueMS {
		return nil
	}
	c := pos.Catalogue{Env: l.cfg.Env, Terminal: terminal, IssuedMS: issued, Instruments: l.cfg.Instruments}
	if c.Campaigns, err = r.Campaigns(ctx, terminal, m.CentreMS-catalogueTail.Milliseconds()); err != nil {
		return err
	}
	sealed, err := dcep.SealCatalogue(l.cfg.Signer, c)
	m.Catalogue = &sealed
	return err
}

func (l *Link) newMark(terminal string) wire.Mark {
	return wire.Mark{Env: l.cfg.Env, Terminal: terminal, CentreMS: l.now().UnixMilli()}
}

func (l *Link) trust() dcep.Trust {
	if l.cfg.Trust == nil {
		return dcep.Trust{Env: l.cfg.Env}
	}
	return l.cfg.Trust()
}

// far says how far the centre is with the terminal's journal, and what it lacks.
func (l *Link) far(ctx context.Context, r Reader, terminal string, req wire.MarkRequest, m *wire.Mark) error {
	if req.Epoch == 0 { // a nudge to a till that never spoke
		return nil
	}
	epoch, err := epochFor(ctx, r, terminal, req)
	if err != nil {
		return err
	}
	heads, err := r.Heads(ctx, terminal, epoch)
	if err != nil {
		return err
	}
	gap, isGap, err := r.Gap(ctx, terminal, epoch)
	if err != nil {
		return err
	}
	var kept Head
	if len(heads) > 0 {
		kept = heads[0]
	}
	receipted := epoch < req.ReceiptEpoch || (epoch == req.ReceiptEpoch && req.Receipt > kept.Seq)
	written := epoch < req.Epoch || req.Seq > kept.Seq
	switch {
	case isGap:
		m.ResendEpoch, m.ResendFrom = epoch, gap.From
	case receipted, // it was kept once: the database was restored
		written && req.Unsent > 0 && l.idle.quiet(ctx, l.consumer): // sent perhaps, but not on its way
		m.ResendEpoch, m.ResendFrom = epoch, kept.Seq+1
	}
	if kept, err = common(ctx, r, terminal, epoch, heads, kept); err != nil || kept.Seq == 0 {
		return err
	}
	m.Receipt, err = l.receipt(ctx, r, terminal, epoch, kept)
	return err
}

// epochFor chooses the epoch that a mark speaks of: the oldest that the till has not
// receipted whole, but none beyond what is kept whole.
func epochFor(ctx context.Context, r Reader, terminal string, req wire.MarkRequest) (uint32, error) {
	openings, err := r.Openings(ctx, terminal)
	if err != nil {
		return 0, err
	}
	want := req.ReceiptEpoch
	if want == 0 && (len(openings) == 0 || req.Unsent <= req.Seq) {
		want = req.Epoch
	}
	if len(openings) == 0 {
		return want, nil
	}
	top, err := climb(ctx, r, terminal, openings, req.Epoch)
	if err != nil {
		return 0, err
	}
	epoch := min(max(want, openings[0].Epoch), top)
	if epoch < top && epoch == req.ReceiptEpoch {
		heads, err := r.Heads(ctx, terminal, epoch)
		if err != nil {
			return 0, err
		}
		if len(heads) == 0 || heads[0].Seq <= req.Receipt {
			return following(openings, epoch, top), nil
		}
	}
	return epoch, nil
}

func following(openings []Opening, epoch, top uint32) uint32 {
	for _, o := range openings {
		if o.Epoch > epoch {
			return min(o.Epoch, top)
		}
	}
	return top
}

// climb gives the last epoch, up to the limit, before which nothing is missing: a
// receipt for a later one would let a till forget what the centre lacks. An epoch's
// first entry names the head before it; after damage the rest of the old file comes
// by another way.
func climb(ctx context.Context, r Reader, terminal string, openings []Opening, limit uint32) (uint32, error) {
	top := openings[0].Epoch
	for _, o := range openings[1:] {
		if o.Epoch > limit {
			break
		}
		if o.PrevEpoch != 0 && o.Reason != pos.EpochDamaged {
			places, err := r.Places(ctx, terminal, o.PrevEpoch, o.PrevSeq, o.PrevSeq)
			if err != nil {
				return 0, err
			}
			if _, kept := match(places, o.PrevHead); !kept {
				break
			}
		}
		top = o.Epoch
	}
	return top, nil
}

// common is the last entry that all branches of an epoch share: the centre cannot tell
// which branch asks, and a receipt for the other would be a licence to forget what it
// does not cover.
func common(ctx context.Context, r Reader, terminal string, epoch uint32, heads []Head, kept Head) (Head, error) {
	if len(heads) < 2 {
		return kept, nil
	}
	last := kept.Seq
	for _, h := range heads[1:] {
		last = min(last, h.First-1)
	}
	if last == 0 {
		return Head{}, nil
	}
	places, err := r.Places(ctx, terminal, epoch, last, last)
	if err != nil || len(places) == 0 {
		return Head{}, err
	}
	return Head{Seq: last, Hash: places[0].Hash}, nil
}

func (l *Link) receipt(ctx context.Context, r Reader, terminal string, epoch uint32, h Head) (*dcep.Receipt, error) {
	generation, err := r.Generation(ctx)
	if err != nil {
		return nil, err
	}
	receipt := dcep.Receipt{
		Env: l.cfg.Env, Terminal: terminal, Epoch: epoch, Seq: h.Seq, Head: bytes.Clone(h.Hash),
		CentreMS: l.now().UnixMilli(), Generation: generation,
	}
	return &receipt, receipt.Sign(l.cfg.Signer)
}

// Nudge sends the terminal what is new for it, when it is connected: the centre's
// mark as of the terminal's last word. It never blocks; a till that misses a nudge
// asks by itself.
func (l *Link) Nudge(terminal string) {
	select {
	case l.nudges <- terminal:
	default:
	}
}

func (l *Link) sendNudges() {
	for {
		select {
		case <-l.ctx.Done():
			return
		case terminal := <-l.nudges:
			if err := l.nudge(terminal, math.MaxInt64); err != nil && l.ctx.Err() == nil { // of the trust it asks by itself
				l.log.WarnContext(l.ctx, "nudge is not sent", "terminal", terminal, "err", err)
			}
		}
	}
}

// nudge sends a mark as of the terminal's last word; trustMS is when the trust was issued
// that it is taken to have.
func (l *Link) nudge(terminal string, trustMS int64) error {
	if err := wire.CheckTerminal(terminal); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(l.ctx, markTime)
	defer cancel()
	c, known := l.heard.last(terminal)
	if !known {
		err := l.store.Read(ctx, func(r Reader) (err error) {
			c, known, err = r.Contact(ctx, terminal)
			return err
		})
		if err != nil {
			return err
		}
	}
	mark, err := l.mark(ctx, terminal, wire.MarkRequest{
		Epoch: c.Epoch, Verdict: c.Verdict, Policies: c.Policies,
		TrustMS: trustMS, CatalogueMS: math.MaxInt64, // the till asks for the catalogue by itself
	})
	if err != nil {
		return err
	}
	return l.push(terminal, mark)
}

func (l *Link) push(terminal string, mark wire.Mark) error {
	sealed, err := wire.SealMark(l.cfg.Signer, mark)
	if err != nil {
		return err
	}
	return l.road.nc.Publish(wire.DownSubject(terminal), sealed)
}

func (l *Link) contact(terminal string, req wire.MarkRequest) Contact {
	now := l.now().UnixMilli()
	return Contact{
		Terminal: terminal, AtMS: now, Epoch: req.Epoch, Seq: clamp(req.Seq), Receipt: clamp(req.Receipt),
		Verdict: clamp(req.Verdict), SkewMS: req.SentMS - now, BootID: cut(req.BootID), Version: cut(req.Version),
		Policies: clamp(req.Policies), Unsent: clamp(req.Unsent),
	}
}

// clamp brings what a till says into the numbers that a database has.
func clamp(v uint64) uint64 { return min(v, math.MaxInt64) }

func cut(s string) string { return s[:min(len(s), 64)] }

// contacts gathers what tills say of themselves, so that the database hears of it once
// a second and not at each mark.
type contacts struct {
	mu     sync.Mutex
	latest map[string]Contact
	dirty  []string
}

func (c *contacts) note(v Contact) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.latest[v.Terminal] = v
	c.dirty = append(c.dirty, v.Terminal)
}

func (c *contacts) last(terminal string) (Contact, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	v, ok := c.latest[terminal]
	return v, ok
}

// terminals lists who has spoken in this run.
func (c *contacts) terminals() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Sorted(maps.Keys(c.latest))
}

func (c *contacts) take() map[string]Contact {
	c.mu.Lock()
	defer c.mu.Unlock()
	out := make(map[string]Contact, len(c.dirty))
	for _, terminal := range c.dirty {
		out[terminal] = c.latest[terminal]
	}
	c.dirty = nil
	return out
}

func (l *Link) keepContacts() {
	tick := time.NewTicker(contactFlush)
	defer tick.Stop()
	for {
		select {
		case <-l.ctx.Done():
			return
		case <-tick.C:
			l.flushContacts()
		}
	}
}

func (l *Link) flushContacts() {
	batch := l.heard.take()
	if len(batch) == 0 {
		return
	}
	ctx, cancel := context.WithTimeout(l.ctx, markTime)
	defer cancel()
	err := l.store.Write(ctx, func(tx Tx) error {
		for _, c := range batch {
			if err := tx.PutContact(ctx, c); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		l.log.WarnContext(ctx, "contacts are not kept", "err", err)
	}
}
