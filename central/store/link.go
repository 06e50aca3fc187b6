package store

import (
	"context"
	"crypto/sha256"
	"fmt"
	"slices"

	"dcpos/central/fleet"
	"dcpos/central/link"
	"dcpos/pos"
	"dcpos/pos/dcep"
)

// Link is the journal's store.
func (s *Store) Link() link.Store { return linkStore{s} }

type linkStore struct{ *Store }

// Write implements link.Store.
func (s linkStore) Write(ctx context.Context, fn func(tx link.Tx) error) error {
	return s.tx(ctx, func(t *Tx) error {
		t.part = s.intake
		return fn(linkTx{t})
	})
}

// Read implements link.Store.
func (s linkStore) Read(ctx context.Context, fn func(r link.Reader) error) error {
	return s.view(ctx, func(t *Tx) error { return fn(linkTx{t}) })
}

type linkTx struct{ *Tx }

func (t linkTx) terminal(v fleet.Terminal) link.Terminal {
	return link.Terminal{
		ID: v.ID, Merchant: v.Merchant, Epoch: v.Epoch,
		Suspended: v.State == fleet.Suspended, Quarantined: v.State == fleet.Quarantined,
	}
}

// Terminal implements link.Registry.
func (t linkTx) Terminal(ctx context.Context, id string) (link.Terminal, bool, error) {
	v, found, err := fleetTx(t).Terminal(ctx, id)
	return t.terminal(v), found, err
}

// TerminalByNATSKey implements link.Registry.
func (t linkTx) TerminalByNATSKey(ctx context.Context, key string) (link.Terminal, bool, error) {
	v, found, err := fleetTx(t).TerminalByNATSKey(ctx, key)
	return t.terminal(v), found, err
}

// Key implements link.Registry.
func (t linkTx) Key(ctx context.Context, terminal string, epoch uint32) (link.Key, bool, error) {
	e, found, err := fleetTx(t).Epoch(ctx, terminal, epoch)
	return link.Key{Suite: e.Suite, PublicKey: e.PublicKey}, found, err
}

// Heads implements link.Reader.
func (t linkTx) Heads(ctx context.Context, terminal string, epoch uint32) ([]link.Head, error) {
	return t.branches(ctx, `parent >= 0`, terminal, epoch)
}

// Islands implements link.Tx.
func (t linkTx) Islands(ctx context.Context, terminal string, epoch uint32) ([]link.Head, error) {
	return t.branches(ctx, `parent < 0`, terminal, epoch)
}

func (t linkTx) branches(ctx context.Context, which, terminal string, epoch uint32) ([]link.Head, error) {
	rows, err := t.Query(ctx, `SELECT branch, seq, head, first_seq, parent FROM heads
		WHERE terminal = ? AND epoch = ? AND `+which+` ORDER BY branch`, terminal, epoch)
	if err != nil {
		return nil, err
	}
	defer rows.Close() //nolint:errcheck // rows.Err tells what matters
	var list []link.Head
	for rows.Next() {
		var h link.Head
		if err := rows.Scan(&h.Branch, &h.Seq, &h.Hash, &h.First, &h.Parent); err != nil {
			return nil, err
		}
		list = append(list, h)
	}
	return list, rows.Err()
}

// PutHead implements link.Tx.
func (t linkTx) PutHead(ctx context.Context, terminal string, epoch uint32, h link.Head) error {
	_, err := t.Exec(ctx, `INSERT INTO heads (terminal, epoch, branch, seq, head, first_seq, parent, moved_ms)
		VALUES (?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (terminal, epoch, branch) DO UPDATE SET
			seq = excluded.seq, head = excluded.head, moved_ms = excluded.moved_ms`,
		terminal, epoch, h.Branch, int64(h.Seq), h.Hash, int64(h.First), h.Parent, t.NowMS())
	return err
}

// Openings implements link.Reader.
func (t linkTx) Openings(ctx context.Context, terminal string) ([]link.Opening, error) {
	rows, err := t.Query(ctx, `SELECT epoch, reason, prev_epoch, prev_seq, prev_head FROM openings
		WHERE terminal = ? ORDER BY epoch`, terminal)
	if err != nil {
		return nil, err
	}
	defer rows.Close() //nolint:errcheck // rows.Err tells what matters
	var list []link.Opening
	for rows.Next() {
		var o link.Opening
		if err := rows.Scan(&o.Epoch, &o.Reason, &o.PrevEpoch, &o.PrevSeq, &o.PrevHead); err != nil {
			return nil, err
		}
		list = append(list, o)
	}
	return list, rows.Err()
}

// PutOpening implements link.Tx.
func (t linkTx) PutOpening(ctx context.Context, terminal string, o link.Opening) error {
	_, err := t.Exec(ctx, `INSERT INTO openings (terminal, epoch, reason, prev_epoch, prev_seq, prev_head)
		VALUES (?, ?, ?, ?, ?, ?)`,
		terminal, o.Epoch, word(string(o.Reason)), o.PrevEpoch, int64(o.PrevSeq), filled(o.PrevHead))
	return err
}

// filled makes an absent value an empty one, which NOT NULL takes.
func filled(b []byte) []byte {
	if b == nil {
		return []byte{}
	}
	return b
}

// Places implements link.Reader.
func (t linkTx) Places(ctx context.Context, terminal string, epoch uint32, from, to uint64) ([]link.Place, error) {
	rows, err := t.Query(ctx, `SELECT branch, seq, hash FROM entries
		WHERE terminal = ? AND epoch = ? AND seq BETWEEN ? AND ? ORDER BY seq, branch`,
		terminal, epoch, int64(from), int64(to))
	if err != nil {
		return nil, err
	}
	defer rows.Close() //nolint:errcheck // rows.Err tells what matters
	var list []link.Place
	for rows.Next() {
		var p link.Place
		if err := rows.Scan(&p.Branch, &p.Seq, &p.Hash); err != nil {
			return nil, err
		}
		list = append(list, p)
	}
	return list, rows.Err()
}

// rowsAtOnce are the sizes in which entries are inserted: few shapes of one statement,
// so that each is prepared once.
func rowsAtOnce(n int) int {
	switch {
	case n >= 32:
		return 32
	case n >= 8:
		return 8
	}
	return 1
}

// AppendEntries implements link.Tx.
func (t linkTx) AppendEntries(ctx context.Context, entries []link.Kept) error {
	const columns = 13
	now := t.NowMS()
	for len(entries) > 0 {
		n := rowsAtOnce(len(entries))
		args := make([]any, 0, columns*n)
		for _, k := range entries[:n] {
			e := k.Entry
			b, err := dcep.Marshal(e)
			if err != nil {
				return err
			}
			late := 0
			if k.Late {
				late = 1
			}
			args = append(args, e.Terminal, e.Epoch, int64(e.Seq), k.Branch, e.Hash, word(string(e.Kind)), paymentText(e.Payment),
				word(string(e.BusinessDate)), e.At.WallMS, now, late, validText(k.Fault), b)
		}
		if _, err := t.Exec(ctx, `INSERT INTO entries (terminal, epoch, seq, branch, hash, kind, payment,
			business_date, wall_ms, kept_ms, late, fault, entry) VALUES `+rowsOf(columns, n), args...); err != nil {
			return err
		}
		entries = entries[n:]
	}
	return nil
}

func paymentText(id pos.PaymentID) string {
	if id.IsZero() {
		return ""
	}
	return id.String()
}

// PaymentEntries implements link.Tx.
func (t linkTx) PaymentEntries(ctx context.Context, terminal string, id pos.PaymentID) ([]link.Kept, error) {
	return t.entries(ctx, `terminal = ? AND payment = ? ORDER BY epoch, seq, branch`, terminal, paymentText(id))
}

// entries lists kept entries by a condition of ours.
func (t *Tx) entries(ctx context.Context, where string, args ...any) ([]link.Kept, error) {
	rows, err := t.Query(ctx, `SELECT branch, late, fault, entry FROM entries WHERE `+where, args...)
	if err != nil {
		return nil, err
	}
	defer rows.Close() //nolint:errcheck // rows.Err tells what matters
	var list []link.Kept
	for rows.Next() {
		var k link.Kept
		var late int
		var b []byte
		if err := rows.Scan(&k.Branch, &late, &k.Fault, &b); err != nil {
			return nil, err
		}
		if err := dcep.Unmarshal(b, &k.Entry); err != nil {
			return nil, fmt.Errorf("kept entry: %w", err)
		}
		k.Late = late != 0
		list = append(list, k)
	}
	return list, rows.Err()
}

// Gap implements link.Reader.
func (t linkTx) Gap(ctx context.Context, terminal string, epoch uint32) (g link.Gap, found bool, err error) {
	found, err = one(t.QueryRow(ctx, `SELECT from_seq, seen_seq FROM gaps WHERE terminal = ? AND epoch = ?`, terminal, epoch),
		&g.From, &g.Seen)
	return g, found, err
}

// PutGap implements link.Tx.
func (t linkTx) PutGap(ctx context.Context, terminal string, epoch uint32, g link.Gap) error {
	_, err := t.Exec(ctx, `INSERT INTO gaps (terminal, epoch, from_seq, seen_seq, since_ms) VALUES (?, ?, ?, ?, ?)
		ON CONFLICT (terminal, epoch) DO UPDATE SET from_seq = excluded.from_seq, seen_seq = excluded.seen_seq`,
		terminal, epoch, int64(g.From), int64(g.Seen), t.NowMS())
	return err
}

// ClearGap implements link.Tx.
func (t linkTx) ClearGap(ctx context.Context, terminal string, epoch uint32) error {
	_, err := t.Exec(ctx, `DELETE FROM gaps WHERE terminal = ? AND epoch = ?`, terminal, epoch)
	return err
}

// AppendFork implements link.Tx.
func (t linkTx) AppendFork(ctx context.Context, f link.Fork) error {
	_, err := t.Exec(ctx, `INSERT INTO forks (terminal, epoch, branch, seq, first_hash, second_hash, noted_ms)
		VALUES (?, ?, ?, ?, ?, ?, ?)`,
		f.Terminal, f.Epoch, f.Branch, int64(f.Seq), filled(f.First), f.Second, t.NowMS())
	return err
}

// Payment implements link.Tx.
func (t linkTx) Payment(
	ctx context.Context, terminal string, id pos.PaymentID, branch string,
) (p pos.Payment, found bool, err error) {
	var b []byte
	if found, err = one(t.QueryRow(ctx, `SELECT payment FROM till_payments WHERE id = ? AND terminal = ? AND branch = ?`,
		id.String(), terminal, branch), &b); err != nil || !found {
		return p, found, err
	}
	return p, true, dcep.Unmarshal(b, &p)
}

// Payments implements link.Tx.
func (t linkTx) Payments(ctx context.Context, terminal string, ids []pos.PaymentID) ([]pos.Payment, error) {
	var list []pos.Payment
	for len(ids) > 0 {
		n := min(len(ids), maxList)
		names := make([]string, n)
		for i, id := range ids[:n] {
			names[i] = id.String()
		}
		found, err := t.payments(ctx, `branch = '' AND id IN `+listOf(n)+` AND terminal = ?`, append(padded(names), terminal)...)
		if err != nil {
			return nil, err
		}
		list, ids = append(list, found...), ids[n:]
	}
	return list, nil
}

// PutPayment implements link.Tx.
func (t linkTx) PutPayment(ctx context.Context, merchant, branch string, p pos.Payment) error {
	return t.PutPayments(ctx, []link.Folded{{Merchant: merchant, Branch: branch, Payment: p}})
}

// PutPayments implements link.Tx.
func (t linkTx) PutPayments(ctx context.Context, list []link.Folded) error {
	const columns = 11
	for len(list) > 0 {
		n := rowsAtOnce(len(list))
		args := make([]any, 0, columns*n)
		for _, f := range list[:n] {
			p := f.Payment
			b, err := dcep.Marshal(p)
			if err != nil {
				return err
			}
			args = append(args, p.Terminal, p.ID.String(), f.Branch, f.Merchant, string(p.State), int64(p.Amount),
				word(p.Institution), word(string(p.BusinessDate)), word(string(p.SettlementDate)), p.CreatedMS, b)
		}
		if _, err := t.Exec(ctx, `INSERT INTO till_payments (terminal, id, branch, merchant, state, amount, institution,
				business_date, settlement_date, created_ms, payment)
			VALUES `+rowsOf(columns, n)+` ON CONFLICT (id, terminal, branch) DO UPDATE SET
				state = excluded.state, institution = excluded.institution, settlement_date = excluded.settlement_date,
				payment = excluded.payment`, args...); err != nil {
			return err
		}
		list = list[n:]
	}
	return nil
}

// Contact implements link.Reader.
func (t linkTx) Contact(ctx context.Context, terminal string) (c link.Contact, found bool, err error) {
	c.Terminal = terminal
	found, err = one(t.QueryRow(ctx, `SELECT at_ms, epoch, seq, receipt, verdict, skew_ms, boot_id, version, policies, unsent
		FROM contacts WHERE terminal = ?`, terminal),
		&c.AtMS, &c.Epoch, &c.Seq, &c.Receipt, &c.Verdict, &c.SkewMS, &c.BootID, &c.Version, &c.Policies, &c.Unsent)
	return c, found, err
}

// PutContact implements link.Tx.
func (t linkTx) PutContact(ctx context.Context, c link.Contact) error {
	_, err := t.Exec(ctx, `INSERT INTO contacts
			(terminal, at_ms, epoch, seq, receipt, verdict, skew_ms, boot_id, version, policies, unsent)
		VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (terminal) DO UPDATE SET
			at_ms = excluded.at_ms, epoch = excluded.epoch, seq = excluded.seq, receipt = excluded.receipt,
			verdict = excluded.verdict, skew_ms = excluded.skew_ms, boot_id = excluded.boot_id,
			version = excluded.version, policies = excluded.policies, unsent = excluded.unsent`,
		c.Terminal, c.AtMS, c.Epoch, int64(c.Seq), int64(c.Receipt), int64(c.Verdict), c.SkewMS, word(c.BootID), word(c.Version),
		int64(c.Policies), int64(c.Unsent))
	return err
}

// Generation implements link.Reader.
func (t linkTx) Generation(ctx context.Context) (n uint64, err error) { return t.generation(ctx) }

// generation is one more than the restores of this database.
func (t *Tx) generation(ctx context.Context) (n uint64, err error) {
	err = t.QueryRow(ctx, `SELECT COALESCE(MAX(generation), 1) FROM restores`).Scan(&n)
	return n, err
}

// Quarantine implements link.Tx.
func (t linkTx) Quarantine(ctx context.Context, terminal, reason string) (bool, error) {
	return fleet.Quarantine(ctx, fleetTx(t), terminal, reason, pos.OperatorSystem)
}

// maxKeptPayload bounds what is kept of a rejected message.
const maxKeptPayload = 64 << 10

// PutReject implements link.Tx.
func (t linkTx) PutReject(ctx context.Context, r link.Reject) error {
	digest := sha256.Sum256(slices.Concat([]byte(r.Terminal), []byte{0}, r.Payload))
	_, err := t.Exec(ctx, `INSERT INTO rejects (digest, terminal, reason, detail, size, payload, first_ms, last_ms, times)
		VALUES (?, ?, ?, ?, ?, ?, ?, ?, 1)
		ON CONFLICT (digest) DO UPDATE SET last_ms = excluded.last_ms, times = rejects.times + 1`,
		digest[:], r.Terminal, r.Reason, validText(r.Detail), len(r.Payload), filled(r.Payload[:min(len(r.Payload), maxKeptPayload)]),
		t.NowMS(), t.NowMS())
	return err
}
