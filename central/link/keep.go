package link

import (
	"bytes"
	"context"
	"fmt"

	"dcpos/central/ledger"
	"dcpos/pos"
	"dcpos/pos/dcep"
	"dcpos/sync/wire"
)

// keeping is one database transaction that takes in several batches. It remembers what
// it has read, so that batches of one terminal cost one look.
type keeping struct {
	tx        Tx
	terminals map[string]Terminal
	heads     map[keyName][]Head
	payments  map[paymentName]*folded
	order     []paymentName // of payments, so that they are written in order of first change
	islands   map[keyName][]Head
	posts     []post
	outcomes  []outcome
}

// post is what an entry moves, with the terminal that says so.
type post struct {
	terminal string
	item     ledger.Item
	// rejoins tells that the same money may lie in suspense: the terminal has islands.
	rejoins bool
}

type paymentName struct {
	terminal, branch string
	id               pos.PaymentID
}

// folded is a payment as the entries so far say.
type folded struct {
	payment pos.Payment
	known   bool
	changed bool
}

// outcome is what a batch led to, for those who hear of it after the commit.
type outcome struct {
	terminal string
	epoch    uint32
	head     Head        // of the branch that the batch belongs to; Seq 0: nothing to receipt
	fresh    []pos.Entry // newly kept on branch 0
	resend   uint64
	// fenced tells that the terminal is in quarantine.
	fenced bool
	reject string
	kept   int // entries that are new, on whichever branch
}

// keepAll takes in examined messages in order, all in one transaction. Only the
// database can make it fail; whatever a message says is kept, or noted as rejected.
func keepAll(ctx context.Context, tx Tx, messages []examined) ([]outcome, error) {
	k := newKeeping(tx)
	for _, x := range messages {
		o, err := k.keep(ctx, x)
		if err != nil {
			return nil, err
		}
		k.outcomes = append(k.outcomes, o)
	}
	return k.outcomes, k.finish(ctx)
}

func newKeeping(tx Tx) *keeping {
	return &keeping{
		tx: tx, terminals: make(map[string]Terminal), heads: make(map[keyName][]Head), islands: make(map[keyName][]Head),
		payments: make(map[paymentName]*folded),
	}
}

func (k *keeping) finish(ctx context.Context) error {
	if err := k.writePayments(ctx); err != nil {
		return err
	}
	return k.postAll(ctx)
}

func (k *keeping) keep(ctx context.Context, x examined) (outcome, error) {
	o := outcome{terminal: x.terminal, epoch: x.batch.Epoch, reject: x.reason}
	if x.reason != "" {
		return o, k.reject(ctx, x)
	}
	t, err := k.terminal(ctx, x.terminal)
	if err != nil {
		return o, err
	}
	if t.ID == "" { // its key was known a moment ago: another database, or a restored one
		o.reject, x.reason, x.err = reasonUnknown, reasonUnknown, fmt.Errorf("no terminal %s", x.terminal)
		return o, k.reject(ctx, x)
	}
	heads, err := k.headsOf(ctx, keyName{x.terminal, x.batch.Epoch})
	if err != nil {
		return o, err
	}
	where, err := k.locate(ctx, x.batch, heads)
	if err != nil {
		return o, err
	}
	o.fenced = t.Quarantined
	switch where.kind {
	case isGap:
		o.resend, err = k.noteGap(ctx, x.batch, heads)
		return o, err
	case isOrphan:
		o.resend, o.fenced = orphanFrom(x.batch), true
		return o, k.noteOrphan(ctx, x.batch)
	case isRepeat:
		o.head = Head{Branch: where.branch, Seq: x.batch.Last, Hash: x.batch.Head}
		return o, nil
	case isNew, isFork:
	}
	return k.extend(ctx, t, x.batch, where, o)
}

func (k *keeping) reject(ctx context.Context, x examined) error {
	return k.tx.PutReject(ctx, Reject{
		Terminal: x.terminal, Reason: x.reason, Detail: cutTo(x.err.Error(), 300), Payload: x.payload,
	})
}

func cutTo(s string, n int) string { return s[:min(len(s), n)] }

func (k *keeping) terminal(ctx context.Context, id string) (Terminal, error) {
	if t, ok := k.terminals[id]; ok {
		return t, nil
	}
	t, _, err := k.tx.Terminal(ctx, id)
	if err != nil {
		return t, fmt.Errorf("find terminal %s: %w", id, err)
	}
	k.terminals[id] = t
	return t, nil
}

func (k *keeping) headsOf(ctx context.Context, name keyName) ([]Head, error) {
	if h, ok := k.heads[name]; ok {
		return h, nil
	}
	h, err := k.tx.Heads(ctx, name.terminal, name.epoch)
	if err != nil {
		return nil, fmt.Errorf("read heads of %s epoch %d: %w", name.terminal, name.epoch, err)
	}
	k.heads[name] = h
	return h, nil
}

// whereKind says how a batch stands to what is kept.
type whereKind int

const (
	isNew    whereKind = iota // it goes on where a branch ends
	isRepeat                  // everything is kept
	isFork                    // it goes on where a branch goes on otherwise
	isGap                     // entries before it are missing
	isOrphan                  // it follows an entry that differs from the kept one
)

// where is the place of a batch: the branch that it belongs to, and how many of its
// entries are kept already.
type where struct {
	kind   whereKind
	branch int
	skip   int
	other  []byte // isFork: the kept entry's hash
}

// locate finds the place of a batch that verifies in itself.
func (k *keeping) locate(ctx context.Context, b wire.Batch, heads []Head) (where, error) {
	if len(heads) == 0 {
		if b.First == 1 {
			return where{kind: isNew}, nil
		}
		return where{kind: isGap}, nil
	}
	for _, h := range heads { // the common case needs no look at entries
		if b.First == h.Seq+1 && bytes.Equal(b.Prev, h.Hash) {
			return where{kind: isNew, branch: h.Branch}, nil
		}
	}
	places, err := k.tx.Places(ctx, b.Terminal, b.Epoch, b.First-1, b.Last)
	if err != nil {
		return where{}, fmt.Errorf("read entries of %s epoch %d: %w", b.Terminal, b.Epoch, err)
	}
	at := make(map[uint64][]Place)
	for _, p := range places {
		if p.Branch < islandBranch {
			at[p.Seq] = append(at[p.Seq], p)
		}
	}
	return follow(b, heads, at), nil
}

// follow walks a batch along the kept branches.
func follow(b wire.Batch, heads []Head, at map[uint64][]Place) where {
	w := where{branch: -1}
	if b.First > 1 {
		before := at[b.First-1]
		p, ok := match(before, b.Prev)
		switch {
		case ok:
			w.branch = p.Branch
		case len(before) == 0:
			return where{kind: isGap}
		default:
			return where{kind: isOrphan}
		}
	}
	for i, e := range b.Entries {
		if p, ok := match(at[e.Seq], e.Hash); ok {
			w.branch = p.Branch
			continue
		}
		w.skip = i
		w.kind = isFork
		if w.branch < 0 { // another first entry of the epoch
			w.branch, w.other = 0, hashOn(at[e.Seq], 0)
			return w
		}
		if head, ok := headOf(heads, w.branch); ok && head.Seq == e.Seq-1 {
			w.kind = isNew
			return w
		}
		w.other = hashOn(at[e.Seq], w.branch)
		return w
	}
	w.kind = isRepeat
	return w
}

func match(places []Place, hash []byte) (Place, bool) {
	for _, p := range places {
		if bytes.Equal(p.Hash, hash) {
			return p, true
		}
	}
	return Place{}, false
}

func hashOn(places []Place, branch int) []byte {
	for _, p := range places {
		if p.Branch == branch {
			return p.Hash
		}
	}
	if len(places) > 0 {
		return places[0].Hash
	}
	return nil
}

func headOf(heads []Head, branch int) (Head, bool) {
	for _, h := range heads {
		if h.Branch == branch {
			return h, true
		}
	}
	return Head{}, false
}

// noteGap remembers what is missing and gives the number to send again from.
func (k *keeping) noteGap(ctx context.Context, b wire.Batch, heads []Head) (uint64, error) {
	from := uint64(1)
	if len(heads) > 0 {
		from = heads[0].Seq + 1
	}
	if err := k.tx.PutGap(ctx, b.Terminal, b.Epoch, Gap{From: from, Seen: b.First}); err != nil {
		return 0, fmt.Errorf("note gap of %s epoch %d: %w", b.Terminal, b.Epoch, err)
	}
	return from, nil
}

// orphanFrom goes back far enough to find, in a few steps, where two journals parted.
func orphanFrom(b wire.Batch) uint64 {
	const step = 8 * wire.BatchEntries
	if b.First <= step {
		return 1
	}
	return b.First - step
}

// noteOrphan fences a terminal whose journal parted from the kept one before this batch.
func (k *keeping) noteOrphan(ctx context.Context, b wire.Batch) error {
	return k.fence(ctx, b.Terminal, fmt.Sprintf("epoch %d: entry %d follows a head that differs from the kept one", b.Epoch, b.First))
}

func (k *keeping) fence(ctx context.Context, terminal, why string) error {
	changed, err := k.tx.Quarantine(ctx, terminal, why)
	if err != nil {
		return fmt.Errorf("quarantine %s: %w", terminal, err)
	}
	if t := k.terminals[terminal]; changed {
		t.Quarantined = true
		k.terminals[terminal] = t
		return k.tx.Audit(ctx, pos.OperatorSystem, "fork_seen", terminal, cutTo(why, 300))
	}
	return nil
}

// extend keeps what is new of a batch.
func (k *keeping) extend(ctx context.Context, t Terminal, b wire.Batch, w where, o outcome) (outcome, error) {
	name := keyName{b.Terminal, b.Epoch}
	heads := k.heads[name]
	head, _ := headOf(heads, w.branch)
	if len(heads) == 0 {
		head = Head{First: 1}
	}
	fresh := b.Entries[w.skip:]
	if w.kind == isFork {
		head = Head{Branch: nextBranch(heads), First: fresh[0].Seq, Parent: w.branch}
		if err := k.noteFork(ctx, b, head, w.other, fresh[0]); err != nil {
			return o, err
		}
		o.fenced = true
	}
	if head.Branch == 0 {
		if err := k.foresee(ctx, t.ID, fresh); err != nil {
			return o, err
		}
		if _, err := k.islandsOf(ctx, name); err != nil {
			return o, err
		}
	}
	if len(heads) == 0 {
		if err := k.tx.PutOpening(ctx, b.Terminal, opening(fresh[0])); err != nil {
			return o, fmt.Errorf("note epoch %d of %s: %w", b.Epoch, b.Terminal, err)
		}
	}
	var err error
	if o, err = k.append(ctx, t, b.Epoch, head, fresh, o); err != nil {
		return o, err
	}
	head = o.head
	k.heads[name] = replaceHead(heads, head)
	if head.Branch == 0 {
		o.fresh = fresh
		if err := k.tx.ClearGap(ctx, b.Terminal, b.Epoch); err != nil {
			return o, fmt.Errorf("clear gap of %s epoch %d: %w", b.Terminal, b.Epoch, err)
		}
	}
	return o, nil
}

// append keeps entries at the end of a branch and moves its head.
func (k *keeping) append(ctx context.Context, t Terminal, epoch uint32, head Head, fresh []pos.Entry, o outcome) (outcome, error) {
	late := epoch < t.Epoch
	kept := make([]Kept, 0, len(fresh))
	for _, e := range fresh {
		fault, err := k.fold(ctx, t, head, e)
		if err != nil {
			return o, err
		}
		kept = append(kept, Kept{Entry: e, Branch: head.Branch, Late: late, Fault: fault})
	}
	last := fresh[len(fresh)-1]
	if err := k.tx.AppendEntries(ctx, kept); err != nil {
		return o, fmt.Errorf("keep entries %d to %d of %s: %w", fresh[0].Seq, last.Seq, t.ID, err)
	}
	head.Seq, head.Hash = last.Seq, last.Hash
	if err := k.tx.PutHead(ctx, t.ID, epoch, head); err != nil {
		return o, fmt.Errorf("move head of %s epoch %d: %w", t.ID, epoch, err)
	}
	o.head, o.kept = head, len(fresh)
	return o, nil
}

// opening reads what the first entry of an epoch says; an entry of another kind says nothing.
func opening(e pos.Entry) Opening {
	o := Opening{Epoch: e.Epoch}
	if e.Kind != pos.KindEpochOpened {
		return o
	}
	if body, err := dcep.Body(e); err == nil {
		if b, ok := body.(*pos.EpochOpened); ok && b.PrevEpoch < e.Epoch {
			o.Reason, o.PrevEpoch, o.PrevSeq, o.PrevHead = b.Reason, b.PrevEpoch, clamp(b.PrevSeq), b.PrevHead
		}
	}
	return o
}

func (k *keeping) noteFork(ctx context.Context, b wire.Batch, head Head, first []byte, second pos.Entry) error {
	if err := k.tx.AppendFork(ctx, Fork{
		Terminal: b.Terminal, Epoch: b.Epoch, Branch: head.Branch, Seq: second.Seq, First: first, Second: second.Hash,
	}); err != nil {
		return fmt.Errorf("note fork of %s epoch %d: %w", b.Terminal, b.Epoch, err)
	}
	why := fmt.Sprintf("epoch %d: two entries %d, branch %d", b.Epoch, second.Seq, head.Branch)
	if err := k.tx.Audit(ctx, pos.OperatorSystem, "fork_kept", b.Terminal, why); err != nil {
		return err
	}
	return k.fence(ctx, b.Terminal, why)
}

func nextBranch(heads []Head) int {
	next := 0
	for _, h := range heads {
		next = max(next, h.Branch+1)
	}
	return next
}

func replaceHead(heads []Head, h Head) []Head {
	out := make([]Head, 0, len(heads)+1)
	for _, o := range heads {
		if o.Branch != h.Branch {
			out = append(out, o)
		}
	}
	if h.Branch == 0 {
		return append([]Head{h}, out...)
	}
	return append(out, h)
}

// fold applies an entry to its payment and posts what it moves. fault tells, for the
// record, why an entry that should have changed a payment did not; that is no error:
// the entry is the till's word and is kept.
func (k *keeping) fold(ctx context.Context, t Terminal, head Head, e pos.Entry) (fault string, err error) {
	switch e.Kind {
	case pos.KindPaymentCreated, pos.KindPaymentMoved, pos.KindLatePaid, pos.KindRefundMoved:
	case pos.KindEpochOpened, pos.KindOrderConfirmed, pos.KindPrint, pos.KindDrawer,
		pos.KindShift, pos.KindClockJump, pos.KindConfig, pos.KindCheckpoint:
		return "", nil
	default: // a newer till's kind is kept and passed on
		return "", nil
	}
	body, err := dcep.Body(e)
	if err != nil {
		return cutTo(err.Error(), 200), nil
	}
	f, err := k.payment(ctx, t.ID, head, e)
	if err != nil {
		return "", err
	}
	after, changed, wrong := dcep.Apply(f.payment, f.known, e)
	if wrong != nil {
		return cutTo(wrong.Error(), 200), nil
	}
	if !changed {
		return "", nil
	}
	before := f.payment
	f.payment, f.known, f.changed = after, true, true
	if tr, moves := ledger.Moved(t.Merchant, before, after, body); moves {
		item := ledger.Item{Transaction: tr}
		if head.Branch > 0 { // under the payment's own key it is the same money, counted once already
			item = ledger.Item{Transaction: ledger.Forked(t.ID, t.Merchant, tr), Unless: tr.Key}
		}
		k.posts = append(k.posts, post{t.ID, item, head.Branch == 0 && len(k.islands[keyName{t.ID, e.Epoch}]) > 0})
	}
	return "", nil
}

// postAll writes what the entries move. When the centre has posted a key with another
// body (what the institution said), that stays, and the till's word is noted.
func (k *keeping) postAll(ctx context.Context) error {
	if err := k.rejoin(ctx); err != nil {
		return err
	}
	items := make([]ledger.Item, len(k.posts))
	for i, p := range k.posts {
		items[i] = p.item
	}
	if len(items) == 0 {
		return nil
	}
	refused, err := ledger.PostAll(ctx, k.tx, items)
	if err != nil {
		return err
	}
	for i, why := range refused {
		if why == nil {
			continue
		}
		what := "posting_refused"
		if pos.CodeOf(why) == pos.ErrKeyConflict {
			what = "posting_conflict"
		}
		if err := k.tx.Audit(ctx, pos.OperatorSystem, what, k.posts[i].terminal, cutTo(why.Error(), 500)); err != nil {
			return err
		}
	}
	return nil
}

// foresee reads the payments that entries of the journal proper name, all at once.
func (k *keeping) foresee(ctx context.Context, terminal string, entries []pos.Entry) error {
	var ids []pos.PaymentID
	for _, e := range entries {
		name := paymentName{terminal: terminal, id: e.Payment}
		if k.payments[name] != nil || e.Payment.IsZero() {
			continue
		}
		k.payments[name] = &folded{}
		k.order = append(k.order, name)
		ids = append(ids, e.Payment)
	}
	if len(ids) == 0 {
		return nil
	}
	known, err := k.tx.Payments(ctx, terminal, ids)
	if err != nil {
		return fmt.Errorf("read %d payments of %s: %w", len(ids), terminal, err)
	}
	for _, p := range known {
		*k.payments[paymentName{terminal: terminal, id: p.ID}] = folded{payment: p, known: true}
	}
	return nil
}

// payment finds the payment that an entry names as the branch has it.
func (k *keeping) payment(ctx context.Context, terminal string, head Head, e pos.Entry) (*folded, error) {
	name := paymentName{terminal: terminal, id: e.Payment}
	if head.Branch > 0 {
		name.branch = fmt.Sprintf("%d/%d", e.Epoch, head.Branch)
	}
	if f, ok := k.payments[name]; ok {
		return f, nil
	}
	p, known, err := k.tx.Payment(ctx, terminal, e.Payment, name.branch)
	if err != nil {
		return nil, fmt.Errorf("read payment %s: %w", e.Payment, err)
	}
	f := &folded{payment: p, known: known}
	if !known && head.Branch > 0 {
		if f, err = k.refold(ctx, terminal, head, e); err != nil {
			return nil, err
		}
	}
	k.payments[name] = f
	k.order = append(k.order, name)
	return f, nil
}

// refold computes a payment as it stood where a branch forked off the journal proper.
func (k *keeping) refold(ctx context.Context, terminal string, head Head, e pos.Entry) (*folded, error) {
	entries, err := k.tx.PaymentEntries(ctx, terminal, e.Payment)
	if err != nil {
		return nil, fmt.Errorf("read entries of payment %s: %w", e.Payment, err)
	}
	f := &folded{}
	for _, old := range entries {
		if old.Branch != 0 || old.Fault != "" || old.Entry.Epoch > e.Epoch ||
			(old.Entry.Epoch == e.Epoch && old.Entry.Seq >= head.First) {
			continue
		}
		if next, changed, err := dcep.Apply(f.payment, f.known, old.Entry); err == nil && changed {
			f.payment, f.known = next, true
		}
	}
	return f, nil
}

func (k *keeping) writePayments(ctx context.Context) error {
	var list []Folded
	for _, name := range k.order {
		if f := k.payments[name]; f.changed {
			list = append(list, Folded{k.terminals[name.terminal].Merchant, name.branch, f.payment})
		}
	}
	if err := k.tx.PutPayments(ctx, list); err != nil {
		return fmt.Errorf("keep %d payments: %w", len(list), err)
	}
	return nil
}
