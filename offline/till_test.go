package offline_test

import (
	"fmt"
	"path/filepath"
	"testing"
	"time"

	"dcpos/offline"
	"dcpos/pos"
	"dcpos/pos/dcep"
)

const (
	today    = pos.Date("2026-11-21")
	terminal = "T-0001"
)

// till is a journal with its key and a clock that goes by itself.
type till struct {
	*offline.Store
	cfg offline.Config
	at  int64
	n   int
}

func generate(tb testing.TB, suite string) dcep.Signer {
	tb.Helper()
	s, err := dcep.SuiteByName(suite)
	if err != nil {
		tb.Fatal(err)
	}
	k, err := s.Generate()
	if err != nil {
		tb.Fatal(err)
	}
	return k
}

func newTill(tb testing.TB, suite string) *till {
	tb.Helper()
	tl := &till{
		cfg: offline.Config{Path: filepath.Join(tb.TempDir(), "journal.db"), Signer: generate(tb, suite), Env: pos.Lab, Terminal: terminal},
		at:  time.Date(2026, 11, 21, 10, 0, 0, 0, pos.Shanghai()).UnixMilli(),
	}
	s, err := offline.Create(tb.Context(), tl.cfg, pos.EpochOpened{Reason: pos.EpochEnrolled, Merchant: "M1", Store: "S1"}, 1, tl.now(), today)
	if err != nil {
		tb.Fatal(err)
	}
	tl.Store = s
	tb.Cleanup(func() { _ = tl.Close() })
	return tl
}

func (tl *till) now() pos.Instant {
	tl.at += 1000
	return pos.Instant{WallMS: tl.at, MonoMS: tl.at % 1_000_000, BootID: "b0"}
}

func (tl *till) reopen(tb testing.TB) {
	tb.Helper()
	s, err := offline.Open(tb.Context(), tl.cfg)
	if err != nil {
		tb.Fatal(err)
	}
	tl.Store = s
}

func (tl *till) draft(kind pos.Kind, id pos.PaymentID, body any) pos.Draft {
	return pos.Draft{Kind: kind, Payment: id, Operator: "1001", At: tl.now(), BusinessDate: today, Body: body}
}

func (tl *till) id() pos.PaymentID {
	tl.n++
	return pos.NewPaymentID(time.UnixMilli(tl.at), [10]byte{byte(tl.n >> 16), byte(tl.n >> 8), byte(tl.n)})
}

func (tl *till) create(key string, amount pos.Money) (pos.PaymentID, pos.Draft) {
	id := tl.id()
	return id, tl.draft(pos.KindPaymentCreated, id, pos.PaymentCreated{
		OrderID: "order-" + key, OrderAmount: amount, Amount: amount, Mode: pos.BScanC,
		Caller: "screen", Key: key, BodyHash: "h-" + key, Attempt: 1,
	})
}

func (tl *till) move(id pos.PaymentID, from, to pos.State, change func(*pos.PaymentMoved)) pos.Draft {
	m := pos.PaymentMoved{From: from, To: to, Source: "till"}
	if change != nil {
		change(&m)
	}
	d := tl.draft(pos.KindPaymentMoved, id, m)
	if to == pos.Stored {
		d.Secret = []byte("sealed code of " + id.String())
	}
	return d
}

func (tl *till) write(tb testing.TB, drafts ...pos.Draft) []pos.Entry {
	tb.Helper()
	entries, err := tl.Update(tb.Context(), func(pos.JournalView) ([]pos.Draft, error) { return drafts, nil })
	if err != nil {
		tb.Fatal(err)
	}
	return entries
}

// sell writes a whole payment, three entries, one commit each.
func (tl *till) sell(tb testing.TB, key string, amount pos.Money) pos.PaymentID {
	tb.Helper()
	id, d := tl.create(key, amount)
	tl.write(tb, d)
	tl.write(tb, tl.move(id, pos.Created, pos.Asking, func(m *pos.PaymentMoved) { m.CodeHash = []byte("code-" + key) }))
	tl.write(tb, tl.move(id, pos.Asking, pos.Paid, func(m *pos.PaymentMoved) {
		m.Institution, m.InstitutionTxn, m.SettlementDate = "ICBC", "txn-"+key, today
	}))
	return id
}

// accept writes an offline payment in one commit.
func (tl *till) accept(tb testing.TB, key string, amount pos.Money, wallet string, counter uint64) pos.PaymentID {
	tb.Helper()
	id, d := tl.create(key, amount)
	tl.write(tb, d, tl.evidence(id, wallet, counter))
	return id
}

func (tl *till) evidence(id pos.PaymentID, wallet string, counter uint64) pos.Draft {
	return tl.move(id, pos.Created, pos.AcceptedEvidence, func(m *pos.PaymentMoved) {
		m.Wallet, m.Counter, m.Evidence = wallet, counter, []byte(fmt.Sprintf("evidence %s %d", wallet, counter))
	})
}

// view runs one look at the journal.
func (tl *till) view(tb testing.TB, look func(pos.JournalView) error) {
	tb.Helper()
	if err := tl.View(tb.Context(), look); err != nil {
		tb.Fatal(err)
	}
}

func wantCode(tb testing.TB, err error, code pos.Code) {
	tb.Helper()
	if pos.CodeOf(err) != code {
		tb.Fatalf("error %v: want code %s", err, code)
	}
}
