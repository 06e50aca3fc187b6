package offline

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"fmt"

	"dcpos/offline/file"
	"dcpos/pos"
	"dcpos/pos/dcep"
)

// maxSignatures bounds the signatures that Open verifies: the newest of those that the centre has not
// receipted. An SM2 verification takes about a quarter of a millisecond; Verify checks all.
const maxSignatures = 2048

// examine checks an open file before it is used.
func (s *Store) examine(ctx context.Context) error {
	mark, marked, err := readBookmark(s.cfg.Path) // before the snapshot, which is then not older
	if err != nil {
		return err
	}
	tx, err := s.reader.BeginTx(ctx, &sql.TxOptions{ReadOnly: true})
	if err != nil {
		return storage(err)
	}
	defer tx.Rollback()
	after, err := s.signaturesAfter(ctx, tx)
	if err != nil {
		return err
	}
	schema, err := file.Current()
	if err != nil {
		return err
	}
	_, schemaErr := schema.Check(ctx, tx)
	c, err := s.examineRows(ctx, tx, after)
	if err == nil {
		err = c.checkBookmark(ctx, tx, mark, marked)
	}
	if err := worst(err, schemaErr); err != nil {
		return err
	}
	version, _, err := meta(ctx, tx, metaProjection)
	if err != nil || version == projectionVersion {
		return err
	}
	tx.Rollback() // the writer need not wait for it
	s.cfg.log().InfoContext(ctx, "rebuilding projections of another version", "version", version, "entries", c.entries)
	return s.write(ctx, func(ctx context.Context, tx *sql.Tx) error { return c.rebuild(ctx, tx) })
}

// examineRows checks the journal and, if this program's version wrote them, the projections.
func (s *Store) examineRows(ctx context.Context, tx *sql.Tx, after place) (*chain, error) {
	c, err := walk(ctx, tx, after, func(pos.Entry) error { return nil })
	if err != nil {
		return c, err
	}
	if err := s.belongs(c); err != nil {
		return c, err
	}
	if c.from != nil {
		if err := c.from.licensed(c.env, c.terminal, s.cfg.Centre); err != nil {
			return c, err
		}
	}
	if err := checkCursor(ctx, tx, s.cfg.Centre); err != nil {
		return c, err
	}
	version, _, err := meta(ctx, tx, metaProjection)
	if err != nil {
		return c, err
	}
	if version == projectionVersion {
		if err := c.compare(ctx, tx); err != nil {
			return c, err
		}
	}
	return c, integrity(ctx, tx)
}

// worst chooses between what was found in the rows and in the schema: a bad place tells more than
// a dropped trigger, a dropped trigger more than a query that could not run.
func worst(rows, schema error) error {
	if _, ok := errors.AsType[*Broken](rows); ok || schema == nil {
		return rows
	}
	return storage(schema)
}

// signaturesAfter is where Open begins to verify signatures.
func (s *Store) signaturesAfter(ctx context.Context, tx *sql.Tx) (place, error) {
	c, err := cursor(ctx, tx)
	if err != nil {
		return place{}, err
	}
	var p place
	err = tx.QueryRowContext(ctx, `SELECT epoch, seq FROM journal WHERE epoch >= 1 AND seq >= 1
		ORDER BY epoch DESC, seq DESC LIMIT 1 OFFSET ?`, maxSignatures).Scan(&p.epoch, &p.seq)
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return place{}, nil // a column that cannot be read: the walk will name its place
	}
	if p.before(c.place) {
		p = c.place
	}
	var last place
	err = tx.QueryRowContext(ctx, `SELECT epoch, seq - 1 FROM journal ORDER BY epoch DESC, seq DESC LIMIT 1`).Scan(&last.epoch, &last.seq)
	if err == nil && last.before(p) {
		p = last // the head's signature is always verified: it vouches for the chain before it
	}
	return p, nil
}

// belongs compares the file with the configuration.
func (s *Store) belongs(c *chain) error {
	switch {
	case c.env != s.cfg.Env:
		return pos.NewError(pos.ErrEnvironment, fmt.Errorf("journal is %s, this till is %s", c.env, s.cfg.Env))
	case c.terminal != s.cfg.Terminal:
		return pos.FieldError(pos.ErrConfig, "terminal", fmt.Errorf("journal is of %q, this till is %q", c.terminal, s.cfg.Terminal))
	case s.signer != nil && !bytes.Equal(s.signer.Public(), c.key.public):
		return pos.FieldError(pos.ErrConfig, "key", fmt.Errorf("journal is signed by %s, this till's key is %s",
			dcep.Fingerprint(c.key.public), dcep.Fingerprint(s.signer.Public())))
	}
	return nil
}

// checkCursor verifies that the entry of the last receipt is in the file. A file whose end was cut
// off is found here; one that was put back whole from an older copy only by the centre.
func checkCursor(ctx context.Context, db file.Querier, centre dcep.Verifier) error {
	c, err := cursor(ctx, db)
	if err != nil {
		return err
	}
	if c.receipt == nil {
		if c.place != (place{}) || c.generation != 0 {
			return pos.NewError(pos.ErrChainBroken, fmt.Errorf("the cursor stands at epoch %d entry %d without a receipt", c.epoch, c.seq))
		}
		return nil
	}
	var r dcep.Receipt
	if err := dcep.UnmarshalExact(c.receipt, &r); err != nil {
		return pos.NewError(pos.ErrChainBroken, fmt.Errorf("stored receipt: %w", err))
	}
	if centre != nil {
		if err := r.Verify(centre); err != nil {
			return pos.NewError(pos.ErrChainBroken, fmt.Errorf("stored receipt: %w", err))
		}
	}
	// A centre that was restored and has nothing of the epoch names seq 0, and the cursor went
	// further back than the epoch it named.
	// Behind a checkpoint it went no further back than that.
	k, forgot, err := checkpoint(ctx, db)
	if err != nil {
		return err
	}
	stopped := forgot && c.place == k.place && r.Generation == c.generation && place{r.Epoch, r.Seq}.before(k.place)
	if !stopped && (r.Generation != c.generation || r.Seq != c.seq || r.Seq > 0 && r.Epoch != c.epoch) {
		return pos.NewError(pos.ErrChainBroken, fmt.Errorf("the cursor stands at epoch %d entry %d, its receipt is for epoch %d entry %d",
			c.epoch, c.seq, r.Epoch, r.Seq))
	}
	return holds(ctx, db, r)
}

// holds verifies that the journal has the entry that a receipt names.
func holds(ctx context.Context, db file.Querier, r dcep.Receipt) error {
	if r.Seq == 0 {
		return nil
	}
	at := place{r.Epoch, r.Seq}
	if k, ok, err := checkpoint(ctx, db); err != nil || (ok && at.before(k.place)) {
		return err // forgotten, behind the centre's own receipt for a later place
	} else if ok && at == k.place {
		return sameHead(at, k.Head, r.Head)
	}
	var hash []byte
	err := db.QueryRowContext(ctx, `SELECT hash FROM journal WHERE epoch = ? AND seq = ?`, at.epoch, int64(at.seq)).Scan(&hash)
	if errors.Is(err, sql.ErrNoRows) {
		return broken(at, errors.New("the centre has receipted this entry, the file does not have it"))
	}
	if err != nil {
		return storage(err)
	}
	return sameHead(at, hash, r.Head)
}

func sameHead(at place, ours, receipted []byte) error {
	if !bytes.Equal(ours, receipted) {
		return broken(at, errors.New("the centre has receipted another entry here"))
	}
	return nil
}

func broken(at place, cause error) error {
	return pos.NewError(pos.ErrChainBroken, &Broken{Epoch: at.epoch, Seq: at.seq, Err: cause})
}

// integrity lets SQLite compare its indexes with its tables: a key that an index has lost would
// be charged twice.
func integrity(ctx context.Context, db file.Querier) error {
	var result string
	if err := db.QueryRowContext(ctx, `PRAGMA integrity_check(1)`).Scan(&result); err != nil {
		return storage(err)
	}
	if result != "ok" {
		return pos.NewError(pos.ErrChainBroken, fmt.Errorf("integrity check: %s", result))
	}
	return nil
}
