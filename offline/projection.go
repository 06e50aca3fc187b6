package offline

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"maps"

	"dcpos/offline/file"
	"dcpos/pos"
	"dcpos/pos/dcep"
)

// projectionVersion is raised when the same journal gives other projection rows: a new
// field of pos.Payment or pos.PrintJob, a new column. Open then rebuilds them from the verified chain.
const projectionVersion = "3"

// metaProjection is the key under which the file says which version its rows have.
const metaProjection = "projection_version"

// folded is a payment with the places of its first and last entry.
type folded struct {
	pos.Payment
	first, last place
}

// folds are payments as the entries so far say.
type folds map[pos.PaymentID]folded

// apply folds one entry.
func (f folds) apply(e pos.Entry) (folded, bool, error) {
	was, known := f[e.Payment]
	next, changed, err := dcep.Apply(was.Payment, known, e)
	if err != nil || !changed {
		return was, false, err
	}
	now := folded{Payment: next, first: was.first, last: placeOf(e)}
	if !known {
		now.first = placeOf(e)
	}
	f[e.Payment] = now
	return now, true, nil
}

// paymentRow is one row of table payments. All its fields are comparable, so that a
// rebuild is compared by ==.
type paymentRow struct {
	id                                          pos.PaymentID
	first, last                                 place
	caller, key, order, date, state, code, text string
	wallet                                      sql.NullString
	amount, updated                             int64
	counter                                     sql.NullInt64
}

// refundRow is one row of table refunds.
type refundRow struct {
	caller, key     string
	payment, refund pos.PaymentID
}

// row derives the columns. The wallet's counter is claimed by evidence alone: a wallet
// that paid online has used no counter of this till.
func (p folded) row() (paymentRow, error) {
	text, err := json.Marshal(p.Payment)
	if err != nil {
		return paymentRow{}, fmt.Errorf("encode payment %s: %w", p.ID, err)
	}
	r := paymentRow{
		id: p.ID, first: p.first, last: p.last, caller: p.Caller, key: p.Key, order: p.OrderID, date: string(p.BusinessDate),
		state: string(p.State), code: string(p.CodeHash), text: string(text), amount: int64(p.Amount), updated: p.UpdatedMS,
	}
	switch p.State {
	case pos.AcceptedEvidence, pos.Credited, pos.Refused, pos.Conflict:
		r.wallet = sql.NullString{String: p.Wallet, Valid: true}
		r.counter = sql.NullInt64{Int64: int64(p.Counter), Valid: true} // two's complement: one to one
	case pos.Created, pos.Asking, pos.Paid, pos.Declined, pos.Unknown, pos.Abandoned, pos.Cancelled, pos.Stored:
	}
	return r, nil
}

// refunds derives the rows of the payment's refunds.
func (p folded) refunds() []refundRow {
	var rows []refundRow
	for _, r := range p.Refunds {
		if r.Key != "" {
			rows = append(rows, refundRow{caller: r.Caller, key: r.Key, payment: p.ID, refund: r.ID})
		}
	}
	return rows
}

const paymentColumns = `id, first_epoch, first_seq, last_epoch, last_seq, caller, key, order_id, business_date, state,
	amount, updated_ms, code_hash, wallet, counter, doc`

const upsertPayment = `INSERT INTO payments (` + paymentColumns + `) VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?)
	ON CONFLICT (id) DO UPDATE SET last_epoch = excluded.last_epoch, last_seq = excluded.last_seq, state = excluded.state,
	updated_ms = excluded.updated_ms, code_hash = excluded.code_hash, wallet = excluded.wallet,
	counter = excluded.counter, doc = excluded.doc`

// execer is what *sql.Tx and *sql.Conn have in common.
type execer interface {
	file.Querier
	ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error)
}

// fold applies one entry to the stored projections.
func fold(ctx context.Context, db execer, e pos.Entry) error {
	if e.Kind == pos.KindPrint {
		return foldPrint(ctx, db, e)
	}
	was, known, err := payment(ctx, db, "id = ?", e.Payment[:])
	if err != nil {
		return err
	}
	state := folds{}
	if known {
		state[e.Payment] = was
	}
	now, changed, err := state.apply(e)
	if err != nil || !changed {
		return err
	}
	if err := store(ctx, db, was, now); err != nil {
		return err
	}
	return erase(ctx, db, was, now)
}

// store writes one payment and the refunds that are new since was.
func store(ctx context.Context, db execer, was, now folded) error {
	r, err := now.row()
	if err != nil {
		return err
	}
	var code any
	if r.code != "" {
		code = []byte(r.code)
	}
	_, err = db.ExecContext(ctx, upsertPayment, r.id[:], r.first.epoch, int64(r.first.seq), r.last.epoch, int64(r.last.seq),
		r.caller, r.key, r.order, r.date, r.state, r.amount, r.updated, code, r.wallet, r.counter, r.text)
	if file.Constrained(err) && now.State == pos.AcceptedEvidence && was.State != pos.AcceptedEvidence {
		return pos.NewError(pos.ErrEvidenceSeen, fmt.Errorf("wallet %s, counter %d: %w", now.Wallet, now.Counter, err))
	}
	if file.Constrained(err) {
		return pos.FieldError(pos.ErrKeyConflict, "key", fmt.Errorf("payment %s: %w", now.ID, err))
	}
	if err != nil {
		return fmt.Errorf("store payment %s: %w", now.ID, err)
	}
	for _, row := range now.refunds()[len(was.refunds()):] {
		_, err := db.ExecContext(ctx, `INSERT INTO refunds (caller, key, payment, refund) VALUES (?,?,?,?)`,
			row.caller, row.key, row.payment[:], row.refund[:])
		if file.Constrained(err) {
			return pos.FieldError(pos.ErrKeyConflict, "key", fmt.Errorf("refund %s: %w", row.refund, err))
		}
		if err != nil {
			return fmt.Errorf("store refund %s: %w", row.refund, err)
		}
	}
	return nil
}

// payment reads the one payment that the condition names.
func payment(ctx context.Context, db file.Querier, where string, args ...any) (folded, bool, error) {
	var p folded
	var text string
	err := db.QueryRowContext(ctx, `SELECT first_epoch, first_seq, last_epoch, last_seq, doc FROM payments WHERE `+where, args...).
		Scan(&p.first.epoch, &p.first.seq, &p.last.epoch, &p.last.seq, &text)
	if errors.Is(err, sql.ErrNoRows) {
		return folded{}, false, nil
	}
	if err != nil {
		return folded{}, false, storage(err)
	}
	if err := json.Unmarshal([]byte(text), &p.Payment); err != nil {
		return folded{}, false, pos.NewError(pos.ErrChainBroken, fmt.Errorf("read payment: %w", err))
	}
	return p, true, nil
}

// compare finds the first stored projection row that differs from a rebuild, as the
// smallest place of an entry that it does not tell rightly.
func (f folds) compare(ctx context.Context, db file.Querier, head place, bad *finding) error {
	rest := maps.Clone(f)
	rows, err := db.QueryContext(ctx, `SELECT `+paymentColumns+` FROM payments`)
	if err != nil {
		return storage(err)
	}
	defer func() { _ = rows.Close() }()
	for rows.Next() {
		got, err := scanPayment(rows)
		if err != nil {
			bad.note(head, fmt.Errorf("payments: %w", err))
			continue
		}
		p, known := rest[got.id]
		delete(rest, got.id)
		want, err := p.row()
		switch {
		case err != nil:
			return err
		case !known && head.before(got.last):
			bad.note(place{head.epoch, head.seq + 1}, fmt.Errorf("payment %s tells of entry %d: the journal ends before it", got.id, got.last.seq))
		case !known:
			bad.note(got.first, fmt.Errorf("payment %s is in no entry", got.id))
		case got.last != want.last && head.before(got.last):
			bad.note(place{head.epoch, head.seq + 1}, fmt.Errorf("payment %s tells of entry %d: the journal ends before it", got.id, got.last.seq))
		case got != want:
			bad.note(want.last, fmt.Errorf("payment %s differs from its entries", got.id))
		}
	}
	if err := rows.Err(); err != nil {
		return storage(err)
	}
	for id, p := range rest {
		bad.note(p.first, fmt.Errorf("payment %s is missing in the projection", id))
	}
	return f.compareRefunds(ctx, db, head, bad)
}

func (f folds) compareRefunds(ctx context.Context, db file.Querier, head place, bad *finding) error {
	want := map[refundRow]place{}
	for _, p := range f {
		for _, r := range p.refunds() {
			want[r] = p.last
		}
	}
	rows, err := db.QueryContext(ctx, `SELECT caller, key, payment, refund FROM refunds`)
	if err != nil {
		return storage(err)
	}
	defer func() { _ = rows.Close() }()
	for rows.Next() {
		var r refundRow
		var payment, refund []byte
		if err := rows.Scan(&r.caller, &r.key, &payment, &refund); err != nil {
			bad.note(head, fmt.Errorf("refunds: %w", err))
			continue
		}
		copy(r.payment[:], payment)
		copy(r.refund[:], refund)
		if _, ok := want[r]; !ok || len(payment) != len(r.payment) || len(refund) != len(r.refund) {
			bad.note(head, fmt.Errorf("refund %s is in no entry", r.refund))
		}
		delete(want, r)
	}
	for r, at := range want {
		bad.note(at, fmt.Errorf("refund %s is missing in the projection", r.refund))
	}
	if err := rows.Err(); err != nil {
		return storage(err)
	}
	return nil
}

func scanPayment(row scanner) (paymentRow, error) {
	var r paymentRow
	var id, code []byte
	err := row.Scan(&id, &r.first.epoch, &r.first.seq, &r.last.epoch, &r.last.seq, &r.caller, &r.key, &r.order, &r.date, &r.state,
		&r.amount, &r.updated, &code, &r.wallet, &r.counter, &r.text)
	if err != nil {
		return r, err
	}
	if len(id) != len(r.id) || (code != nil && len(code) == 0) {
		return r, errors.New("id or code hash is not as written")
	}
	copy(r.id[:], id)
	r.code = string(code)
	return r, nil
}

// compare finds the first stored projection row that differs from a rebuild.
func (c *chain) compare(ctx context.Context, db file.Querier) error {
	var bad finding
	if err := c.folds.compare(ctx, db, c.at, &bad); err != nil {
		return err
	}
	if err := c.prints.compare(ctx, db, c.at, &bad); err != nil {
		return err
	}
	return bad.err()
}

// rebuild replaces the projections by what the entries say.
func (c *chain) rebuild(ctx context.Context, tx *sql.Tx) error {
	for _, q := range []string{`DELETE FROM refunds`, `DELETE FROM payments`, `DELETE FROM prints`} {
		if _, err := tx.ExecContext(ctx, q); err != nil {
			return fmt.Errorf("rebuild projections: %w", err)
		}
	}
	for _, p := range c.folds {
		if err := store(ctx, tx, folded{}, p); err != nil {
			return fmt.Errorf("rebuild projections: %w", err)
		}
	}
	for _, p := range c.prints {
		if err := storePrint(ctx, tx, p); err != nil {
			return fmt.Errorf("rebuild projections: %w", err)
		}
	}
	return setMeta(ctx, tx, metaProjection, projectionVersion)
}
