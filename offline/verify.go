package offline

import (
	"bytes"
	"context"
	"database/sql"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"slices"

	"dcpos/offline/file"
	"dcpos/pos"
	"dcpos/pos/dcep"
)

// VerifyOptions say what else a journal must satisfy besides holding together.
type VerifyOptions struct {
	// Trust are fingerprints (dcep.Fingerprint); the last epoch's key must be one of them. That key
	// signs a head which covers everything before it. Empty: no key is pinned.
	Trust []string
	// ExpectSeq fails on a last epoch that ends before this number; 0 expects nothing.
	ExpectSeq uint64
	// ExpectHead fails unless an entry has this hash, so a chain that was cut or written anew.
	ExpectHead []byte
	// Receipt fails unless the file has the entry that the centre receipted.
	Receipt *dcep.Receipt
	// Centre verifies the receipt's signature; nil takes the receipt as given.
	Centre dcep.Verifier
}

// Report tells what Verify found. On a broken chain the numbers tell of the part before the bad place.
type Report struct {
	OK          bool             `json:"ok"`
	Schema      int              `json:"schema"`
	Terminal    string           `json:"terminal"`
	Env         pos.Environment  `json:"env"`
	Epoch       uint32           `json:"epoch"`
	Epochs      int              `json:"epochs"` // epochs in this file
	LastSeq     uint64           `json:"last_seq"`
	Head        string           `json:"head"` // hexadecimal
	Suite       string           `json:"suite"`
	Fingerprint string           `json:"fingerprint"`
	Pinned      bool             `json:"pinned"` // the key is one that the caller trusts
	Entries     int              `json:"entries"`
	Payments    int              `json:"payments"`
	Kinds       map[pos.Kind]int `json:"kinds"`
	Receipted   uint64           `json:"receipted"`             // of the last epoch
	Forgotten   uint64           `json:"forgotten,omitempty"`   // entries before the checkpoint with which the file begins
	Checkpoint  string           `json:"checkpoint,omitempty"`  // its place, "EPOCH/SEQ"
	Projections bool             `json:"projections"`           // compared and equal
	BadEpoch    uint32           `json:"bad_epoch,omitempty"`   // of the first bad place
	FirstBad    uint64           `json:"first_bad,omitempty"`   // first bad sequence number
	Problem     string           `json:"problem,omitempty"`     // in English, for logs
	NotADB      bool             `json:"not_a_db,omitempty"`    // the file is no database at all
	ReceiptOK   bool             `json:"receipt_ok,omitempty"`  // a receipt was given and its entry is there
	ReceiptAuth bool             `json:"receipt_auth,omitzero"` // and the centre's key signed it
}

// Verify reads a journal without writing to it, also beside a running agent (it reads FILE-wal), and
// checks every row: chain, gaps, bodies, all signatures, SQLite's own structure, and that the
// projections equal a rebuild. fs.ErrNotExist for no file; pos.ErrChainBroken with *Broken for the
// first bad place, or with ErrNotDatabase.
func Verify(ctx context.Context, path string, opts VerifyOptions) (Report, error) {
	before, err := stamp(path)
	if err != nil {
		return Report{}, fmt.Errorf("verify journal: %w", err)
	}
	access := file.Read
	if before.alone() {
		access = file.ReadAlone
	}
	report, err := verifyAs(ctx, path, access, opts)
	if access == file.ReadAlone {
		// An agent may have started meanwhile; what was read without locks proves nothing then.
		if after, e := stamp(path); e != nil || after != before {
			report, err = verifyAs(ctx, path, file.Read, opts)
		}
	}
	report.OK = err == nil
	if err != nil {
		report.Problem = err.Error()
		report.NotADB = errors.Is(err, ErrNotDatabase)
		if b, ok := errors.AsType[*Broken](err); ok {
			report.BadEpoch, report.FirstBad = b.Epoch, b.Seq
		}
		return report, fmt.Errorf("verify journal: %w", err)
	}
	return report, nil
}

// fileStamp tells whether a file changed between two looks.
type fileStamp struct {
	size, changed, wal int64
}

// alone reports that no WAL holds entries that are not in the file yet.
func (f fileStamp) alone() bool { return f.wal <= 0 }

func stamp(path string) (fileStamp, error) {
	info, err := os.Stat(path)
	if err != nil {
		return fileStamp{}, err
	}
	f := fileStamp{size: info.Size(), changed: info.ModTime().UnixNano(), wal: -1}
	if wal, err := os.Stat(path + "-wal"); err == nil {
		f.wal = wal.Size()
	}
	return f, nil
}

func verifyAs(ctx context.Context, path string, access file.Access, opts VerifyOptions) (r Report, err error) {
	mark, marked, err := readBookmark(path) // before the snapshot, which is then not older
	if err != nil {
		return r, err
	}
	db := file.Pool(path, access, 1)
	defer func() { err = errors.Join(err, db.Close()) }()
	tx, err := db.BeginTx(ctx, &sql.TxOptions{ReadOnly: true})
	if err != nil {
		return r, storage(err)
	}
	defer tx.Rollback()
	schema, err := file.Current()
	if err != nil {
		return r, err
	}
	version, schemaErr := schema.Check(ctx, tx)
	if r.Schema = version; pos.CodeOf(schemaErr) == pos.ErrSchema || file.Damaged(schemaErr) {
		return r, storage(schemaErr)
	}
	return r, worst(r.verify(ctx, tx, opts, func(c *chain) error { return c.checkBookmark(ctx, tx, mark, marked) }), schemaErr)
}

func (r *Report) verify(ctx context.Context, tx *sql.Tx, opts VerifyOptions, beside func(*chain) error) error {
	seen := len(opts.ExpectHead) == 0
	c, err := walk(ctx, tx, place{}, func(e pos.Entry) error {
		seen = seen || string(e.Hash) == string(opts.ExpectHead)
		return nil
	})
	r.tell(c, opts)
	if err != nil {
		return err
	}
	if c.from != nil {
		if err := c.from.licensed(c.env, c.terminal, opts.Centre); err != nil {
			return err
		}
		seen = seen || bytes.Equal(c.from.Head, opts.ExpectHead)
	}
	next := place{c.at.epoch, c.at.seq + 1}
	switch {
	case c.at.seq < opts.ExpectSeq:
		return broken(next, fmt.Errorf("the journal ends at %d, expected %d", c.at.seq, opts.ExpectSeq))
	case !seen:
		return broken(next, fmt.Errorf("no entry has the expected head %x", opts.ExpectHead))
	case len(opts.Trust) > 0 && !r.Pinned:
		return broken(place{c.at.epoch, 1}, fmt.Errorf("signed by %s: not a key that is trusted", r.Fingerprint))
	}
	if err := beside(c); err != nil {
		return err
	}
	if err := r.checkReceipts(ctx, tx, opts); err != nil {
		return err
	}
	version, _, err := meta(ctx, tx, metaProjection)
	if err != nil {
		return err
	}
	if version == projectionVersion { // Open rebuilds the rows of another one
		if err := c.compare(ctx, tx); err != nil {
			return err
		}
		r.Projections = true
	}
	return integrity(ctx, tx)
}

func (r *Report) checkReceipts(ctx context.Context, tx *sql.Tx, opts VerifyOptions) error {
	cur, err := cursor(ctx, tx)
	if err != nil {
		return err
	}
	if cur.epoch == r.Epoch {
		r.Receipted = cur.seq
	}
	if err := checkCursor(ctx, tx, opts.Centre); err != nil || opts.Receipt == nil {
		return err
	}
	if opts.Receipt.Terminal != r.Terminal || opts.Receipt.Env != r.Env {
		return pos.FieldError(pos.ErrBadRequest, "receipt", fmt.Errorf("it is for %q (%s), the journal is of %q (%s)",
			opts.Receipt.Terminal, opts.Receipt.Env, r.Terminal, r.Env))
	}
	if opts.Centre != nil {
		if err := opts.Receipt.Verify(opts.Centre); err != nil {
			return pos.FieldError(pos.ErrBadRequest, "receipt", err)
		}
		r.ReceiptAuth = true
	}
	if err := holds(ctx, tx, *opts.Receipt); err != nil {
		return err
	}
	r.ReceiptOK = true
	return nil
}

// tell fills what the chain says so far.
func (r *Report) tell(c *chain, opts VerifyOptions) {
	r.Terminal, r.Env, r.Epoch, r.Epochs = c.terminal, c.env, c.at.epoch, c.key.epochs
	r.LastSeq, r.Head = c.at.seq, hex.EncodeToString(c.head)
	r.Entries, r.Payments, r.Kinds = c.entries, len(c.folds), c.kinds
	if c.from != nil {
		r.Forgotten, r.Checkpoint = c.from.Entries, fmt.Sprintf("%d/%d", c.from.epoch, c.from.seq)
	}
	if c.key.suite != nil {
		r.Suite, r.Fingerprint = c.key.suite.Name(), dcep.Fingerprint(c.key.public)
		r.Pinned = slices.Contains(opts.Trust, r.Fingerprint)
	}
}
