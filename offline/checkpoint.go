package offline

import (
	"bytes"
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"dcpos/offline/file"
	"dcpos/pos"
	"dcpos/pos/dcep"
)

// MinKeep is how long entries stay after the centre's receipt at least.
const MinKeep = 90 * 24 * time.Hour

// maxForget bounds what one call of Forget removes: the till sells meanwhile.
const maxForget = 20_000

// Forgotten tells what Forget removed; Entries 0: nothing was old enough.
type Forgotten struct {
	Entries int
	Epoch   uint32 // the checkpoint: the last entry that is forgotten
	Seq     uint64
}

// checkpointRow is the one row of table checkpoint with its body.
type checkpointRow struct {
	place
	pos.Checkpoint
	entry place
	raw   []byte
}

// checkpoint reads the file's checkpoint; ok is false before the first.
func checkpoint(ctx context.Context, db file.Querier) (c checkpointRow, ok bool, err error) {
	// A file that no program of this version has opened yet has no such table; Schema.Check finds one that was dropped.
	err = db.QueryRowContext(ctx, `SELECT EXISTS (SELECT 1 FROM sqlite_schema WHERE type = 'table' AND name = 'checkpoint')`).Scan(&ok)
	if err != nil || !ok {
		return c, false, storage(err)
	}
	err = db.QueryRowContext(ctx, `SELECT epoch, seq, entry_epoch, entry_seq, body FROM checkpoint`).
		Scan(&c.epoch, &c.seq, &c.entry.epoch, &c.entry.seq, &c.raw)
	if errors.Is(err, sql.ErrNoRows) {
		return c, false, nil
	}
	if err != nil {
		return c, false, storage(err)
	}
	if err := dcep.UnmarshalExact(c.raw, &c.Checkpoint); err != nil {
		return c, false, broken(place{max(c.epoch, 1), c.seq + 1}, fmt.Errorf("checkpoint: %w", err))
	}
	return c, true, c.check()
}

// check compares what the row says of itself. That its entry is in the chain is the walk's to see.
func (c checkpointRow) check() error {
	r, err := c.receipt()
	switch {
	case err != nil:
		return broken(place{c.epoch, c.seq + 1}, err)
	case c.Epoch != c.epoch || c.Seq != c.seq || c.Seq == 0:
		return broken(place{c.epoch, c.seq + 1}, errors.New("checkpoint: row and body name different places"))
	case r.Epoch != c.epoch || r.Seq != c.seq || !bytes.Equal(r.Head, c.Head):
		return broken(place{c.epoch, c.seq + 1}, errors.New("checkpoint: the centre's receipt in it is for another place"))
	}
	return nil
}

func (c checkpointRow) receipt() (r dcep.Receipt, err error) {
	if err := dcep.UnmarshalExact(c.Receipt, &r); err != nil {
		return r, fmt.Errorf("checkpoint: receipt: %w", err)
	}
	return r, nil
}

// licensed verifies that the centre allowed to forget up to here.
func (c checkpointRow) licensed(env pos.Environment, terminal string, centre dcep.Verifier) error {
	r, err := c.receipt()
	if err == nil && (r.Env != env || r.Terminal != terminal) {
		err = fmt.Errorf("checkpoint: receipt for %q (%s)", r.Terminal, r.Env)
	}
	if err == nil && centre != nil {
		err = r.Verify(centre)
	}
	if err != nil {
		return broken(place{c.epoch, c.seq + 1}, err)
	}
	return nil
}

// Forget removes the entries that the centre has receipted longer than keep ago (at least MinKeep), by the
// centre's own signed times, behind a checkpoint: an entry of the journal that names the last removed one, the
// centre's receipt for it and a hash of what the removed ones said of payments and print jobs, which stays. It
// removes nothing at and after the first entry of a payment or print job that is still open, and never the last
// entry. One commit: a power cut leaves all or nothing. at and date are the checkpoint entry's.
func (s *Store) Forget(ctx context.Context, keep time.Duration, at pos.Instant, date pos.Date) (done Forgotten, err error) {
	if s.signer == nil {
		return done, pos.NewError(pos.ErrNotEnrolled, errors.New("forget: no key"))
	}
	err = s.write(ctx, func(ctx context.Context, tx *sql.Tx) error {
		f := forgetting{store: s, tx: tx, keep: max(keep, MinKeep)}
		done, err = f.run(ctx, at, date)
		return err
	})
	return done, err
}

// forgetting is one call of Forget.
type forgetting struct {
	store *Store
	tx    *sql.Tx
	keep  time.Duration
	have  checkpointRow // the last checkpoint; zero before the first
	head  headRow
}

func (f *forgetting) run(ctx context.Context, at pos.Instant, date pos.Date) (Forgotten, error) {
	var err error
	if f.have, _, err = checkpoint(ctx, f.tx); err != nil {
		return Forgotten{}, err
	}
	if f.head, err = f.store.head(ctx, f.tx); err != nil {
		return Forgotten{}, err
	}
	to, err := f.limit(ctx)
	if err != nil || to.place == (place{}) {
		return Forgotten{}, err
	}
	body, err := f.carry(ctx, to)
	if err != nil {
		return Forgotten{}, err
	}
	k := checkpointRow{place: to.place, Checkpoint: body}
	if err := errors.Join(k.check(), k.licensed(f.store.cfg.Env, f.store.cfg.Terminal, f.store.cfg.Centre)); err != nil {
		return Forgotten{}, err
	}
	e := pos.Entry{Position: pos.Position{Terminal: f.store.cfg.Terminal, Epoch: f.head.epoch, Seq: f.head.seq + 1}}
	d := pos.Draft{Kind: pos.KindCheckpoint, Operator: pos.OperatorSystem, At: at, BusinessDate: date, Body: body}
	if e, err = f.store.appendEntry(ctx, f.tx, f.store.signer, f.head.hash, e, d); err != nil {
		return Forgotten{}, err
	}
	if _, err := f.tx.ExecContext(ctx, `INSERT INTO checkpoint (one, epoch, seq, entry_epoch, entry_seq, body) VALUES (1, ?, ?, ?, ?, ?)
		ON CONFLICT (one) DO UPDATE SET epoch = excluded.epoch, seq = excluded.seq, entry_epoch = excluded.entry_epoch,
		entry_seq = excluded.entry_seq, body = excluded.body`,
		to.epoch, int64(to.seq), e.Epoch, int64(e.Seq), e.Body); err != nil {
		return Forgotten{}, fmt.Errorf("move checkpoint: %w", err)
	}
	res, err := f.tx.ExecContext(ctx, `DELETE FROM journal WHERE (epoch, seq) <= (?, ?)`, to.epoch, int64(to.seq))
	if err != nil {
		return Forgotten{}, fmt.Errorf("forget entries: %w", err)
	}
	n, err := res.RowsAffected()
	if err != nil {
		return Forgotten{}, err
	}
	if _, err := f.tx.ExecContext(ctx, `DELETE FROM receipts WHERE (epoch, seq) <= (?, ?)`, to.epoch, int64(to.seq)); err != nil {
		return Forgotten{}, fmt.Errorf("forget receipts: %w", err)
	}
	return Forgotten{Entries: int(n), Epoch: to.epoch, Seq: to.seq}, nil
}

// licence is a receipt of the centre that is old enough.
type licence struct {
	place
	raw []byte
}

// limit chooses the last place that may be forgotten; zero for none.
func (f *forgetting) limit(ctx context.Context) (licence, error) {
	var none licence
	cur, err := cursor(ctx, f.tx)
	if err != nil || cur.receipt == nil {
		return none, err
	}
	var last dcep.Receipt
	if err := dcep.UnmarshalExact(cur.receipt, &last); err != nil {
		return none, pos.NewError(pos.ErrChainBroken, fmt.Errorf("stored receipt: %w", err))
	}
	stop, err := f.open(ctx)
	if err != nil {
		return none, err
	}
	rows, err := f.tx.QueryContext(ctx, `SELECT epoch, seq, receipt FROM receipts
		WHERE centre_ms <= ? AND (epoch, seq) > (?, ?) AND (epoch, seq) < (?, ?) AND (epoch, seq) <= (?, ?) ORDER BY epoch, seq`,
		last.CentreMS-f.keep.Milliseconds(), f.have.epoch, int64(f.have.seq), stop.epoch, int64(stop.seq), cur.epoch, int64(cur.seq))
	if err != nil {
		return none, storage(err)
	}
	defer func() { _ = rows.Close() }()
	best := none
	for rows.Next() {
		var l licence
		if err := rows.Scan(&l.epoch, &l.seq, &l.raw); err != nil {
			return none, storage(err)
		}
		if best.raw != nil && (l.epoch != f.have.epoch || l.seq > f.have.seq+maxForget) {
			break
		}
		best = l
	}
	return best, storage(rows.Err())
}

// openWork finds the first entries of what is not settled yet.
const openWork = `SELECT first_epoch, first_seq FROM payments WHERE state IN ('created', 'asking', 'unknown', 'stored', 'accepted_evidence')
		OR EXISTS (SELECT 1 FROM json_each(doc, '$.refunds') AS r WHERE r.value->>'state' IN ('intent', 'asking', 'unknown'))
	UNION ALL SELECT first_epoch, first_seq FROM prints WHERE open = 1
	ORDER BY first_epoch, first_seq LIMIT 1`

// open gives the first place that must stay: the first entry of what is not settled yet, at the latest the head.
// While something from before the last checkpoint is open again, such as a refund, nothing goes.
func (f *forgetting) open(ctx context.Context) (place, error) {
	var at place
	err := f.tx.QueryRowContext(ctx, openWork).Scan(&at.epoch, &at.seq)
	if errors.Is(err, sql.ErrNoRows) || (err == nil && f.head.before(at)) {
		return f.head.place, nil
	}
	return at, storage(err)
}

// carry folds the entries that go into table carried and gives the checkpoint's body.
func (f *forgetting) carry(ctx context.Context, to licence) (pos.Checkpoint, error) {
	b := f.have.Checkpoint
	b.Epoch, b.Seq, b.Receipt = to.epoch, to.seq, to.raw
	for after := f.have.place; after.before(to.place); {
		entries, err := entriesAfter(ctx, f.tx, after, 1000, 16<<20)
		if err != nil {
			return b, err
		}
		if len(entries) == 0 {
			return b, broken(place{after.epoch, after.seq + 1}, errors.New("entry is missing"))
		}
		for _, e := range entries {
			if to.before(placeOf(e)) {
				break
			}
			if err := errors.Join(f.carryOne(ctx, e), reopened(&b, e), configured(&b, e)); err != nil {
				return b, err
			}
			b.Entries, b.Head, after = b.Entries+1, e.Hash, placeOf(e)
		}
	}
	suite, err := dcep.SuiteByName(b.Suite)
	if err != nil {
		return b, err
	}
	b.Carried, err = carriedHash(ctx, f.tx, suite)
	return b, err
}

// configured notes the highest version of what a configuration's entry names.
func configured(b *pos.Checkpoint, e pos.Entry) error {
	if e.Kind != pos.KindConfig {
		return nil
	}
	var c pos.ConfigChanged
	if err := dcep.Unmarshal(e.Body, &c); err != nil {
		return broken(placeOf(e), errors.New("config_changed entry is not readable"))
	}
	if c.Version == 0 {
		return nil
	}
	i, found := slices.BinarySearchFunc(b.Configs, c.What, func(v pos.ConfigVersion, what string) int { return strings.Compare(v.What, what) })
	if !found {
		b.Configs = slices.Insert(slices.Clone(b.Configs), i, pos.ConfigVersion{What: c.What})
	}
	b.Configs[i].Version = max(b.Configs[i].Version, c.Version)
	return nil
}

// reopened notes the key under which the journal goes on when the entry opens an epoch.
func reopened(b *pos.Checkpoint, e pos.Entry) error {
	if e.Kind != pos.KindEpochOpened {
		return nil
	}
	opened, err := openedBody(e)
	if err == nil {
		b.Suite, b.PublicKey, b.Epochs = opened.Suite, opened.PublicKey, b.Epochs+1
	}
	return err
}

func openedBody(e pos.Entry) (*pos.EpochOpened, error) {
	body, err := dcep.Body(e)
	if err != nil {
		return nil, err
	}
	opened, ok := body.(*pos.EpochOpened)
	if !ok {
		return nil, fmt.Errorf("entry %d: %T opens no epoch: %w", e.Seq, body, dcep.ErrChain)
	}
	return opened, nil
}

func (f *forgetting) carryOne(ctx context.Context, e pos.Entry) error {
	if e.Kind == pos.KindPrint {
		return f.carryPrint(ctx, e)
	}
	state, was := folds{}, carriedRow{kind: carriedPayment, id: e.Payment[:]}
	known, err := was.read(ctx, f.tx)
	if err != nil {
		return err
	}
	if known {
		if state[e.Payment], err = was.payment(); err != nil {
			return err
		}
	}
	now, changed, err := state.apply(e)
	if err != nil || !changed {
		return err
	}
	return putCarried(ctx, f.tx, carriedPayment, e.Payment[:], now.first, now.last, now.Payment)
}

func (f *forgetting) carryPrint(ctx context.Context, e pos.Entry) error {
	state := printFolds{}
	next, changed, err := dcep.ApplyPrint(e, func(id string) (pos.PrintJob, error) {
		was := carriedRow{kind: carriedPrint, id: []byte(id)}
		known, err := was.read(ctx, f.tx)
		if err != nil || !known {
			return pos.PrintJob{}, err
		}
		p, err := was.print()
		state[id] = p
		return p.PrintJob, err
	})
	if err != nil || !changed {
		return err
	}
	now := state[next.ID].then(next, e)
	return putCarried(ctx, f.tx, carriedPrint, []byte(next.ID), now.first, now.last, now.PrintJob)
}

// The kinds of carried rows.
const (
	carriedPayment = "payment"
	carriedPrint   = "print"
)

// carriedRow is one row of table carried.
type carriedRow struct {
	kind        string
	id          []byte
	first, last place
	doc         string
}

const carriedColumns = `kind, id, first_epoch, first_seq, last_epoch, last_seq, doc`

func (c *carriedRow) scan(row scanner) error {
	return row.Scan(&c.kind, &c.id, &c.first.epoch, &c.first.seq, &c.last.epoch, &c.last.seq, &c.doc)
}

func (c *carriedRow) read(ctx context.Context, db file.Querier) (bool, error) {
	err := c.scan(db.QueryRowContext(ctx, `SELECT `+carriedColumns+` FROM carried WHERE kind = ? AND id = ?`, c.kind, c.id))
	if errors.Is(err, sql.ErrNoRows) {
		return false, nil
	}
	return err == nil, storage(err)
}

func (c carriedRow) payment() (folded, error) {
	p := folded{first: c.first, last: c.last}
	return p, c.decode(&p.Payment)
}

func (c carriedRow) print() (foldedPrint, error) {
	p := foldedPrint{first: c.first, last: c.last}
	return p, c.decode(&p.PrintJob)
}

func (c carriedRow) decode(v any) error {
	if err := json.Unmarshal([]byte(c.doc), v); err != nil {
		return pos.NewError(pos.ErrChainBroken, fmt.Errorf("carried %s: %w", c.kind, err))
	}
	return nil
}

func putCarried(ctx context.Context, tx *sql.Tx, kind string, id []byte, first, last place, v any) error {
	doc, err := json.Marshal(v)
	if err != nil {
		return fmt.Errorf("carry %s: %w", kind, err)
	}
	_, err = tx.ExecContext(ctx, `INSERT INTO carried (`+carriedColumns+`) VALUES (?,?,?,?,?,?,?)
		ON CONFLICT (kind, id) DO UPDATE SET last_epoch = excluded.last_epoch, last_seq = excluded.last_seq, doc = excluded.doc`,
		kind, id, first.epoch, int64(first.seq), last.epoch, int64(last.seq), string(doc))
	if err != nil {
		return fmt.Errorf("carry %s: %w", kind, err)
	}
	return nil
}

// carriedHash is the suite's hash over the canonical arrays of all carried rows in order of kind and id.
func carriedHash(ctx context.Context, db file.Querier, suite dcep.Suite) ([]byte, error) {
	h := suite.New()
	err := eachCarried(ctx, db, func(c carriedRow) error {
		b, err := dcep.Marshal([]any{c.kind, c.id, c.first.epoch, c.first.seq, c.last.epoch, c.last.seq, c.doc})
		_, _ = h.Write(b) // a hash never returns an error
		return err
	})
	return h.Sum(nil), err
}

func eachCarried(ctx context.Context, db file.Querier, do func(carriedRow) error) error {
	rows, err := db.QueryContext(ctx, `SELECT `+carriedColumns+` FROM carried ORDER BY kind, id`)
	if err != nil {
		return storage(err)
	}
	defer func() { _ = rows.Close() }()
	for rows.Next() {
		var c carriedRow
		if err := c.scan(rows); err != nil {
			return storage(err)
		}
		if err := do(c); err != nil {
			return err
		}
	}
	return storage(rows.Err())
}

// begin puts the chain where a checkpoint says that forgetting ended.
func (c *chain) begin(ctx context.Context, db file.Querier) error {
	k, ok, err := checkpoint(ctx, db)
	if err != nil || !ok {
		return err
	}
	next := place{k.epoch, k.seq + 1}
	suite, err := dcep.SuiteByName(k.Suite)
	if err != nil {
		return broken(next, fmt.Errorf("checkpoint: %w", err))
	}
	verifier, err := suite.Verifier(k.PublicKey)
	if err != nil {
		return broken(next, fmt.Errorf("checkpoint: %w", err))
	}
	hash, err := carriedHash(ctx, db, suite)
	if err != nil {
		return err
	}
	if !bytes.Equal(hash, k.Carried) {
		return broken(next, errors.New("what was carried over the checkpoint was changed"))
	}
	err = eachCarried(ctx, db, func(row carriedRow) error {
		if row.kind == carriedPrint {
			p, err := row.print()
			c.prints[p.ID] = p
			return err
		}
		p, err := row.payment()
		c.folds[p.ID] = p
		return err
	})
	if err != nil {
		return err
	}
	r, err := k.receipt()
	if err != nil {
		return err
	}
	c.terminal, c.env, c.at, c.head, c.begun, c.from = r.Terminal, r.Env, k.place, k.Head, true, &k
	c.key = epochKey{suite: suite, verifier: verifier, public: k.PublicKey, epochs: int(k.Epochs)}
	return nil
}

// noteCheckpoint compares an entry of kind checkpoint with the file's row.
func (c *chain) noteCheckpoint(e pos.Entry) error {
	if c.from == nil || c.from.entry != placeOf(e) {
		return nil // an earlier one; its row was replaced
	}
	if !bytes.Equal(e.Body, c.from.raw) {
		return fmt.Errorf("the checkpoint's row differs from its entry: %w", dcep.ErrChain)
	}
	c.vouched = true
	return nil
}

// ended tells, after the last entry, whether the checkpoint that the chain began with is one.
func (c *chain) ended() error {
	if c.from != nil && !c.vouched {
		return fmt.Errorf("no entry vouches for the checkpoint: %w", dcep.ErrChain)
	}
	return nil
}
