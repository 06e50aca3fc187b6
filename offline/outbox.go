package offline

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"dcpos/offline/file"
	"dcpos/pos"
	"dcpos/pos/dcep"
)

// cursorRow is the one row of table cursor.
type cursorRow struct {
	place
	generation uint64
	receipt    []byte // canonical bytes of the dcep.Receipt that moved it last; nil before the first
}

func cursor(ctx context.Context, db file.Querier) (cursorRow, error) {
	var c cursorRow
	var generation int64
	err := db.QueryRowContext(ctx, `SELECT epoch, seq, generation, receipt FROM cursor`).
		Scan(&c.epoch, &c.seq, &generation, &c.receipt)
	if err != nil {
		return c, storage(err)
	}
	c.generation = uint64(generation)
	return c, nil
}

// Outbox tells how far the centre is behind.
func (s *Store) Outbox(ctx context.Context) (pos.Outbox, error) {
	var o pos.Outbox
	err := s.snapshot(ctx, func(tx *sql.Tx) error {
		head, err := s.head(ctx, tx)
		if err != nil {
			return err
		}
		c, err := cursor(ctx, tx)
		if err != nil {
			return err
		}
		o = pos.Outbox{Epoch: head.epoch, Seq: head.seq, Head: head.hash}
		if c.epoch == head.epoch {
			o.Receipted = c.seq
		}
		if o.Unsent, err = unsent(ctx, tx, c.place); err != nil {
			return err
		}
		if o.Money, err = storedMoney(ctx, tx, ""); err != nil {
			return err
		}
		o.Forwarded, err = forwarded(ctx, tx)
		return err
	})
	return o, err
}

// unsent counts the entries after a place. Sequence numbers have no gaps, so it adds the
// last numbers of the epochs instead of counting rows.
func unsent(ctx context.Context, db file.Querier, after place) (uint64, error) {
	var n uint64
	at := after
	for {
		var epoch, last sql.NullInt64
		err := db.QueryRowContext(ctx, `SELECT epoch, seq FROM journal WHERE epoch =
			(SELECT min(epoch) FROM journal WHERE epoch >= ?) ORDER BY seq DESC LIMIT 1`, int64(at.epoch)).Scan(&epoch, &last)
		if errors.Is(err, sql.ErrNoRows) {
			return n, nil
		}
		if err != nil {
			return 0, storage(err)
		}
		if n += uint64(last.Int64); uint32(epoch.Int64) == after.epoch {
			n -= after.seq
		}
		at.epoch = uint32(epoch.Int64) + 1
	}
}

// Unsent gives the entries after (afterEpoch, afterSeq) in order of (epoch, seq): at most
// limit of them, and at most maxBytes by Size but always at least one if there is one.
// (0, 0) starts at the beginning; Cursor tells where the centre's receipts end.
func (s *Store) Unsent(ctx context.Context, afterEpoch uint32, afterSeq uint64, limit, maxBytes int) (entries []pos.Entry, err error) {
	defer s.reword(&err)
	return entriesAfter(ctx, s.reader, place{afterEpoch, afterSeq}, limit, maxBytes)
}

// Cursor tells the last receipted place, (0, 0) before the first receipt, and the restore
// generation of the centre that said so.
func (s *Store) Cursor(ctx context.Context) (epoch uint32, seq, generation uint64, err error) {
	defer s.reword(&err)
	c, err := cursor(ctx, s.reader)
	return c.epoch, c.seq, c.generation, err
}

// LastReceipt gives the receipt that moved the cursor last.
func (s *Store) LastReceipt(ctx context.Context) (r dcep.Receipt, ok bool, err error) {
	defer s.reword(&err)
	c, err := cursor(ctx, s.reader)
	if err != nil || c.receipt == nil {
		return r, false, err
	}
	err = dcep.UnmarshalExact(c.receipt, &r)
	return r, err == nil, err
}

// Acknowledge takes the centre's receipt. Environment, terminal, the centre's signature and
// the hash of our entry at that place must agree: another hash, or a place beyond our last
// entry, is pos.ErrFork. The cursor moves forward only; an older receipt, or one of an
// earlier restore generation, is no error and changes nothing. A receipt of a greater
// generation says that the centre was restored from a backup: the cursor goes to its place, even back.
// Seq 0 with an empty head is such a centre's word that it has nothing of the epoch.
func (s *Store) Acknowledge(ctx context.Context, r dcep.Receipt, centre dcep.Verifier) error {
	switch {
	case r.Env != s.cfg.Env:
		return pos.NewError(pos.ErrEnvironment, fmt.Errorf("receipt of %q, this till is %q", r.Env, s.cfg.Env))
	case r.Terminal != s.cfg.Terminal:
		return pos.FieldError(pos.ErrBadRequest, "terminal", fmt.Errorf("receipt for %q, this is %q", r.Terminal, s.cfg.Terminal))
	}
	if err := r.Verify(centre); err != nil {
		return pos.FieldError(pos.ErrBadRequest, "sig", err)
	}
	raw, err := dcep.Marshal(r)
	if err != nil {
		return err
	}
	return s.write(ctx, func(ctx context.Context, tx *sql.Tx) error {
		c, err := cursor(ctx, tx)
		if err != nil {
			return err
		}
		if err := s.checkReceipt(ctx, tx, r); err != nil {
			return err
		}
		to := place{r.Epoch, r.Seq}
		if r.Generation == c.generation {
			err = forward(ctx, tx, c.place, to)
		} else if r.Generation > c.generation {
			to, err = restored(ctx, tx, to)
		}
		if err != nil || r.Generation < c.generation || (r.Generation == c.generation && !c.before(to)) {
			return err
		}
		_, err = tx.ExecContext(ctx, `UPDATE cursor SET epoch = ?, seq = ?, generation = ?, receipt = ?`,
			to.epoch, int64(to.seq), int64(r.Generation), raw)
		if err != nil {
			return fmt.Errorf("move cursor: %w", err)
		}
		return noteReceipt(ctx, tx, to, r, raw, r.Generation > c.generation)
	})
}

// receiptPace is how far apart the receipts are that are kept as places to forget up to.
const receiptPace = 24 * time.Hour

// noteReceipt keeps a receipt now and then. After a restore of the centre those beyond its place hold no longer.
func noteReceipt(ctx context.Context, tx *sql.Tx, to place, r dcep.Receipt, raw []byte, restored bool) error {
	if restored {
		if _, err := tx.ExecContext(ctx, `DELETE FROM receipts WHERE (epoch, seq) > (?, ?)`, to.epoch, int64(to.seq)); err != nil {
			return fmt.Errorf("forget receipts: %w", err)
		}
	}
	if to != (place{r.Epoch, r.Seq}) || r.Seq == 0 {
		return nil
	}
	_, err := tx.ExecContext(ctx, `INSERT INTO receipts (epoch, seq, centre_ms, receipt) SELECT ?, ?, ?, ?
		WHERE NOT EXISTS (SELECT 1 FROM receipts WHERE centre_ms > ?) ON CONFLICT DO NOTHING`,
		to.epoch, int64(to.seq), r.CentreMS, raw, r.CentreMS-receiptPace.Milliseconds())
	if err != nil {
		return fmt.Errorf("keep receipt: %w", err)
	}
	return nil
}

// checkReceipt compares the receipt's head with our entry at its place.
func (s *Store) checkReceipt(ctx context.Context, tx *sql.Tx, r dcep.Receipt) error {
	if r.Seq == 0 {
		if len(r.Head) != 0 {
			return pos.FieldError(pos.ErrBadRequest, "head", errors.New("receipt for nothing names a head"))
		}
		return nil
	}
	hash, err := forgottenHead(ctx, tx, place{r.Epoch, r.Seq}, r.Head)
	if err == nil && hash == nil {
		err = tx.QueryRowContext(ctx, `SELECT hash FROM journal WHERE epoch = ? AND seq = ?`, r.Epoch, int64(r.Seq)).Scan(&hash)
	}
	if errors.Is(err, sql.ErrNoRows) {
		return pos.NewError(pos.ErrFork, fmt.Errorf("the centre keeps epoch %d entry %d, this file does not", r.Epoch, r.Seq))
	}
	if err != nil {
		return storage(err)
	}
	if !bytes.Equal(hash, r.Head) {
		return pos.NewError(pos.ErrFork, fmt.Errorf("the centre keeps another epoch %d entry %d", r.Epoch, r.Seq))
	}
	return nil
}

// forgottenHead is the head at a place that was forgotten: the checkpoint's own, and before it what the receipt
// says, because the centre's later receipt in the checkpoint covers it. Nil for a place that is not forgotten.
func forgottenHead(ctx context.Context, tx *sql.Tx, at place, says []byte) ([]byte, error) {
	k, ok, err := checkpoint(ctx, tx)
	switch {
	case err != nil || !ok || k.before(at):
		return nil, err
	case k.place == at:
		return k.Head, nil
	}
	return says, nil
}

// forward refuses a receipt of a later epoch while an earlier one has entries that no
// receipt covers: a receipt speaks for its own epoch only.
func forward(ctx context.Context, tx *sql.Tx, from, to place) error {
	if to.epoch <= from.epoch || to.seq == 0 {
		return nil
	}
	var left bool
	err := tx.QueryRowContext(ctx, `SELECT EXISTS (SELECT 1 FROM journal WHERE (epoch, seq) > (?, ?) AND epoch < ?)`,
		from.epoch, int64(from.seq), to.epoch).Scan(&left)
	if err != nil {
		return storage(err)
	}
	if left {
		return pos.FieldError(pos.ErrBadRequest, "epoch",
			fmt.Errorf("receipt for epoch %d while epoch %d has entries beyond %d without one", to.epoch, from.epoch, from.seq))
	}
	return nil
}

// restored gives the place to send from after a restore of the centre. The centre takes epochs in
// order, so entries of an epoch imply the epochs before it; nothing of it implies nothing.
func restored(ctx context.Context, tx *sql.Tx, to place) (place, error) {
	k, forgot, err := checkpoint(ctx, tx)
	if err != nil {
		return to, err
	}
	if forgot && to.before(k.place) { // what came before cannot be sent any more
		return k.place, nil
	}
	if to.seq > 0 {
		return to, nil
	}
	err = tx.QueryRowContext(ctx, `SELECT min(epoch) FROM journal`).Scan(&to.epoch)
	if err != nil {
		return to, storage(err)
	}
	return to, nil
}

// snapshot runs read in one read transaction.
func (s *Store) snapshot(ctx context.Context, read func(*sql.Tx) error) (err error) {
	defer s.reword(&err)
	tx, err := s.reader.BeginTx(ctx, &sql.TxOptions{ReadOnly: true})
	if err != nil {
		return storage(err)
	}
	defer tx.Rollback()
	return read(tx)
}
