package offline

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"unicode/utf8"

	"dcpos/offline/file"
	"dcpos/pos"
	"dcpos/pos/dcep"
)

// MaxBody bounds an entry's body in bytes: what a till could write but no message could
// carry would block the road for ever.
const MaxBody = 64 << 10

// Update is the only way to write entries. It runs decide inside the transaction of the
// single writer, appends and signs the drafts in order, folds them into the
// projections, commits with fsync and only then returns the entries as they stand in the
// journal. An error of decide is returned as it is and nothing is written; no drafts
// write nothing. decide must not call the store's own writing methods: they wait for the turn that it has.
// Once the turn has come, the caller's cancellation is not looked at any more.
//
// pos.ErrStorage means that the disk did not take it: nothing was acknowledged, and the
// store refuses every further write until Heal succeeds. pos.ErrKeyConflict and
// pos.ErrEvidenceSeen mean that a draft broke a promise of the projections that decide
// should have looked at.
func (s *Store) Update(ctx context.Context, decide func(pos.JournalView) ([]pos.Draft, error)) ([]pos.Entry, error) {
	var entries []pos.Entry
	err := s.write(ctx, func(ctx context.Context, tx *sql.Tx) error {
		if s.signer == nil {
			return pos.NewError(pos.ErrNotEnrolled, errors.New("append: no key"))
		}
		drafts, err := decide(&view{ctx: ctx, db: tx})
		if err != nil || len(drafts) == 0 {
			return err
		}
		if err := s.roomy(drafts); err != nil {
			return err
		}
		head, err := s.head(ctx, tx)
		if err != nil {
			return err
		}
		if slices.ContainsFunc(drafts, func(d pos.Draft) bool { return d.Kind == pos.KindEpochOpened }) {
			return pos.NewError(pos.ErrBadRequest, errors.New("append: an epoch is opened by OpenEpoch"))
		}
		for _, d := range drafts {
			e := pos.Entry{Position: pos.Position{Terminal: s.cfg.Terminal, Epoch: head.epoch, Seq: head.seq + 1}}
			if err := errors.Join(attach(ctx, tx, d), conceal(ctx, tx, d)); err != nil {
				return err
			}
			if e, err = s.appendEntry(ctx, tx, s.signer, head.hash, e, d); err != nil {
				return err
			}
			head.seq, head.hash = e.Seq, e.Hash
			entries = append(entries, e)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return entries, nil
}

// OpenEpoch appends the first entry of a new epoch, signed by its own key, and makes that
// key the store's. In a file with entries the body's previous epoch, number and head are
// filled from the last one; naming others is pos.ErrBadRequest. The epoch must be greater than the last.
func (s *Store) OpenEpoch(ctx context.Context, signer dcep.Signer, epoch uint32, body pos.EpochOpened,
	at pos.Instant, date pos.Date, operator string,
) error {
	return s.write(ctx, func(ctx context.Context, tx *sql.Tx) error {
		head, err := s.head(ctx, tx)
		if err != nil {
			return err
		}
		if epoch <= max(head.epoch, body.PrevEpoch) {
			return pos.NewError(pos.ErrBadRequest, fmt.Errorf("open epoch %d: the last one is %d", epoch, max(head.epoch, body.PrevEpoch)))
		}
		body.Suite, body.PublicKey = signer.Suite().Name(), signer.Public()
		if head.epoch > 0 {
			if body.PrevEpoch != 0 && (body.PrevEpoch != head.epoch || body.PrevSeq != head.seq || !bytes.Equal(body.PrevHead, head.hash)) {
				return pos.NewError(pos.ErrBadRequest, fmt.Errorf("open epoch %d: another previous head is named", epoch))
			}
			body.PrevEpoch, body.PrevSeq, body.PrevHead = head.epoch, head.seq, head.hash
		}
		e := pos.Entry{Position: pos.Position{Terminal: s.cfg.Terminal, Epoch: epoch, Seq: 1}}
		d := pos.Draft{Kind: pos.KindEpochOpened, Operator: operator, At: at, BusinessDate: date, Body: body}
		if _, err := s.appendEntry(ctx, tx, signer, nil, e, d); err != nil {
			return err
		}
		if head.epoch == 0 {
			if err := setMeta(ctx, tx, metaProjection, projectionVersion); err != nil {
				return err
			}
		}
		s.signer = signer // a failed commit stops all writing, so that the key cannot run ahead of the file
		return nil
	})
}

// write takes the turn, runs do in a transaction and commits it. Every other way to end
// is a rollback.
func (s *Store) write(ctx context.Context, do func(context.Context, *sql.Tx) error) error {
	if err := s.Failed(); err != nil { // not even a wait: Heal may hold the turn for long
		return err
	}
	select {
	case s.turn <- struct{}{}:
	case <-ctx.Done():
		return ctx.Err()
	}
	defer func() { <-s.turn }()
	if err := errors.Join(ctx.Err(), s.Failed()); err != nil {
		return err
	}
	// A statement that is interrupted in the middle would leave open whether the commit
	// happened; the work takes milliseconds.
	ctx = context.WithoutCancel(ctx)
	tx, err := s.writer.BeginTx(ctx, nil)
	if file.Busy(err) {
		return pos.NewError(pos.ErrStorage, fmt.Errorf("another process writes the journal: %w", err))
	}
	if err != nil {
		return s.fail(fmt.Errorf("begin: %w", err))
	}
	signer, last, done := s.signer, s.last, false
	defer func() {
		if !done {
			tx.Rollback()
			s.signer, s.last = signer, last
		}
	}()
	if err := do(ctx, tx); err != nil {
		if file.Broken(err) {
			return s.fail(err)
		}
		return err
	}
	if err := tx.Commit(); err != nil {
		return s.fail(fmt.Errorf("commit: %w", err))
	}
	done = true
	if s.last.place != last.place {
		s.keepBookmark(ctx)
	}
	s.publishKey()
	return nil
}

// headRow is the last entry.
type headRow struct {
	place
	hash []byte
}

// head reads the last entry's place and hash, all zero in an empty file. It is read anew in
// each transaction, so that a chain cannot branch even if two processes write.
func (s *Store) head(ctx context.Context, db file.Querier) (headRow, error) {
	var h headRow
	err := db.QueryRowContext(ctx, `SELECT epoch, seq, hash FROM journal ORDER BY epoch DESC, seq DESC LIMIT 1`).
		Scan(&h.epoch, &h.seq, &h.hash)
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return h, storage(err)
	}
	return h, nil
}

// appendEntry completes e from the draft, seals it behind prev, writes it and folds it.
func (s *Store) appendEntry(ctx context.Context, tx *sql.Tx, signer dcep.Signer, prev []byte, e pos.Entry, d pos.Draft,
) (pos.Entry, error) {
	body, err := dcep.Marshal(d.Body)
	if err != nil {
		return e, err
	}
	e.Env, e.Kind, e.Payment, e.Operator, e.At, e.BusinessDate, e.Body = s.cfg.Env, d.Kind, d.Payment, d.Operator, d.At, d.BusinessDate, body
	if err := checkDraft(e); err != nil {
		return e, fmt.Errorf("append entry %d: %w", e.Seq, err)
	}
	if err := dcep.Seal(signer, prev, &e); err != nil {
		return e, fmt.Errorf("append entry %d: %w", e.Seq, err)
	}
	if _, err := tx.ExecContext(ctx, insertEntry, entryValues(e)...); err != nil {
		return e, fmt.Errorf("append entry %d: %w", e.Seq, err)
	}
	if err := fold(ctx, tx, e); err != nil {
		return e, fmt.Errorf("append entry %d: %w", e.Seq, err)
	}
	s.last = headRow{place: placeOf(e), hash: e.Hash}
	return e, nil
}

// checkDraft refuses what the centre could not read or what the journal could not explain later.
func checkDraft(e pos.Entry) error {
	for _, text := range []string{e.Terminal, e.Operator, e.At.BootID, string(e.BusinessDate)} {
		if !utf8.ValidString(text) {
			return pos.NewError(pos.ErrBadRequest, fmt.Errorf("%q is not UTF-8", text))
		}
	}
	switch {
	case e.Operator == "":
		return pos.NewError(pos.ErrNoOperator, nil)
	case len(e.Body) > MaxBody:
		return pos.FieldError(pos.ErrTooLarge, "body", fmt.Errorf("%d bytes, at most %d", len(e.Body), MaxBody))
	}
	if _, err := pos.ParseDate(string(e.BusinessDate)); err != nil {
		return pos.FieldError(pos.ErrBadRequest, "business_date", err)
	}
	body, err := dcep.Body(e)
	if err != nil {
		return pos.FieldError(pos.ErrBadRequest, "body", err)
	}
	if body == nil {
		return pos.FieldError(pos.ErrBadRequest, "kind", fmt.Errorf("%q is not known", e.Kind))
	}
	return nil
}
