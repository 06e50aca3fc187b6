package bench

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"path/filepath"
	"time"

	"dcpos/offline"
	"dcpos/pos"
)

// book is a till's journal without the till.
type book struct {
	*offline.Store
	path string
	n    uint64
}

// newBook makes a journal in a folder, with a key of the suite.
func newBook(ctx context.Context, folder, suite string) (*book, error) {
	signer, _, err := pair(suite)
	if err != nil {
		return nil, err
	}
	b := &book{path: filepath.Join(folder, "journal-"+suite+".db")}
	first := pos.EpochOpened{Reason: pos.EpochEnrolled, Suite: suite, PublicKey: signer.Public(), Merchant: merchant, Store: "B01"}
	b.Store, err = offline.Create(ctx, offline.Config{Path: b.path, Signer: signer, Env: pos.Lab, Terminal: "BENCH"},
		first, 1, now(), today())
	return b, err
}

const merchant = "M100"

func now() pos.Instant {
	t := time.Now().UnixMilli()
	return pos.Instant{WallMS: t, MonoMS: t, BootID: "bench"}
}

func today() pos.Date { return pos.DateOf(time.Now(), 0) }

// id names the book's next payment.
func (b *book) id() pos.PaymentID {
	b.n++
	var random [10]byte
	binary.BigEndian.PutUint64(random[2:], b.n)
	return pos.NewPaymentID(time.Now(), random)
}

func (b *book) draft(kind pos.Kind, id pos.PaymentID, body any) pos.Draft {
	return pos.Draft{Kind: kind, Payment: id, Operator: "1001", At: now(), BusinessDate: today(), Body: body}
}

func (b *book) created(id pos.PaymentID, amount pos.Money, mode pos.Mode) pos.Draft {
	key := "bench-" + id.String()
	return b.draft(pos.KindPaymentCreated, id, pos.PaymentCreated{
		OrderID: key, OrderAmount: amount, Amount: amount, Mode: mode, Caller: "bench", Key: key, BodyHash: key, Attempt: 1,
	})
}

// sale is a payment by code in three entries.
func (b *book) sale() []pos.Draft {
	id := b.id()
	moved := func(m pos.PaymentMoved) pos.Draft { return b.draft(pos.KindPaymentMoved, id, m) }
	return []pos.Draft{
		b.created(id, 1_00, pos.BScanC),
		moved(pos.PaymentMoved{From: pos.Created, To: pos.Asking, Source: "till"}),
		moved(pos.PaymentMoved{
			From: pos.Asking, To: pos.Paid, Source: "centre", Institution: "ICBC",
			InstitutionTxn: id.String(), SettlementDate: today(),
		}),
	}
}

func (b *book) write(ctx context.Context, drafts ...pos.Draft) error {
	_, err := b.Update(ctx, func(pos.JournalView) ([]pos.Draft, error) { return drafts, nil })
	return err
}

// fill adds payments until there are at least so many new entries, in large decisions.
func (b *book) fill(ctx context.Context, entries int, drafts func() ([]pos.Draft, error)) (written int, err error) {
	const decision = 768
	for written < entries {
		var all []pos.Draft
		for len(all) < min(decision, entries-written) {
			some, err := drafts()
			if err != nil {
				return written, err
			}
			all = append(all, some...)
		}
		if err := b.write(ctx, all...); err != nil {
			return written, err
		}
		written += len(all)
	}
	return written, nil
}

// journalAppend measures one writer who appends entry after entry, each on the disk
// before the next, and how fast a journal is verified.
func journalAppend(ctx context.Context, r *run) error {
	disk, err := newFloor(r.path("floor"))
	if err != nil {
		return err
	}
	defer func() { _ = disk.close() }() // the folder is removed anyway
	appends := map[string]*samples{}
	books := map[string]*book{}
	for _, name := range suites() {
		if books[name], err = newBook(ctx, r.root, name); err != nil {
			return err
		}
		appends[name] = &samples{}
	}
	for end := time.Now().Add(r.Repeat); len(disk.samples) < 3 || time.Now().Before(end); {
		if err := disk.sync(); err != nil {
			return err
		}
		for name, b := range books {
			d := b.created(b.id(), 1_00, pos.BScanC)
			if err := appends[name].time(func() error { return b.write(ctx, d) }); err != nil {
				return fmt.Errorf("append: %w", err)
			}
		}
	}
	for _, name := range suites() {
		s := *appends[name]
		r.report(Figure{
			Name: name + ".append", Value: s.rate(), Unit: "entries/s", Count: len(s),
			Means: pos.Text{
				ZH: "单一写者逐条追加,每条签名并落盘后才写下一条",
				EN: "one writer, each entry signed and on the disk before the next",
			},
			Peer: &Peer{Name: "write+fdatasync of 4 KiB", Value: disk.rate()},
		})
	}
	for _, name := range suites() {
		if err := r.verifyBook(ctx, books[name], name); err != nil {
			return err
		}
	}
	return nil
}

// verifyBook fills the book up and verifies it as posctl journal verify does.
func (r *run) verifyBook(ctx context.Context, b *book, suite string) error {
	_, err := b.fill(ctx, r.Sizes.Rows, func() ([]pos.Draft, error) { return b.sale(), nil })
	if err := errors.Join(err, b.Close()); err != nil {
		return err
	}
	began := time.Now()
	report, err := offline.Verify(ctx, b.path, offline.VerifyOptions{})
	took := time.Since(began)
	if err != nil {
		return fmt.Errorf("verify: %w", err)
	}
	if !report.OK || report.Entries < r.Sizes.Rows {
		return fmt.Errorf("verify: ok %v, %d entries of %d", report.OK, report.Entries, r.Sizes.Rows)
	}
	bare, err := verifyRate(ctx, suite, r.Repeat/10)
	if err != nil {
		return err
	}
	r.report(Figure{
		Name: suite + ".verify", Value: perSecond(report.Entries, took), Unit: "rows/s", Count: report.Entries,
		Means: pos.Text{
			ZH: "posctl journal verify:逐行校验链、签名与投影",
			EN: "posctl journal verify: chain, every signature, projections, SQLite's own check",
		},
		Peer: bare,
	})
	return nil
}
