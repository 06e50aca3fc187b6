package books_test

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"dcpos/lab/institution/api"
	"dcpos/lab/institution/books"
	"dcpos/pos"
)

var start = time.Date(2026, 3, 2, 22, 30, 0, 0, pos.Shanghai())

// machine drives books by random requests and keeps what it was told beside them.
type machine struct {
	path    string
	books   *books.Books
	ms      int64
	seq     uint16
	wallets []string
	codes   []string
	paid    []string
	qrs     []string
	issued  pos.Money
	told    map[string]api.Result
	sent    map[string]api.Payment
}

func (m *machine) open(t *rapid.T) {
	b, err := books.Open(m.path, books.Config{
		Institution: "ICBC", Route: "001", CutOver: 23 * time.Hour, FeeBasisPoints: 38,
		Now: func() time.Time { return time.UnixMilli(m.ms) },
	})
	if err != nil {
		t.Fatal(err)
	}
	m.books = b
}

func (m *machine) id() string {
	m.seq++
	return pos.NewPaymentID(start, [10]byte{9: byte(m.seq), 8: byte(m.seq >> 8)}).String()
}

func pick(t *rapid.T, from []string, name string) string {
	if len(from) == 0 {
		t.Skip("none yet")
	}
	return rapid.SampledFrom(from).Draw(t, name)
}

func amount(t *rapid.T) pos.Money { return pos.Money(rapid.Int64Range(1, 3_000).Draw(t, "amount")) }

func (m *machine) openWallet(t *rapid.T) {
	w := books.Wallet{
		ID: fmt.Sprintf("w-%06d", len(m.wallets)), Serial: fmt.Sprintf("s%d", len(m.wallets)),
		Own: pos.Money(rapid.Int64Range(0, 5_000).Draw(t, "own")), Envelope: pos.Money(rapid.Int64Range(0, 5_000).Draw(t, "envelope")),
	}
	must(t, m.books.OpenWallet(w))
	m.wallets, m.issued = append(m.wallets, w.ID), m.issued+w.Own+w.Envelope
}

func (m *machine) pay(t *rapid.T) {
	p := api.Payment{
		RequestID: m.id(), Merchant: rapid.SampledFrom([]string{"M1", "M2"}).Draw(t, "merchant"), Terminal: "T",
		Amount: amount(t), Code: pick(t, m.codes, "code"), ExpiresMS: m.ms + rapid.Int64Range(-1, 1).Draw(t, "life"),
	}
	r, repeat, err := m.books.Pay(p, books.Twist{Twice: rapid.Bool().Draw(t, "twice")})
	must(t, err)
	if repeat {
		t.Fatalf("a new payment is called a repeat")
	}
	m.told[p.RequestID], m.sent[p.RequestID] = r, p
	if r.Status == api.Success {
		m.paid = append(m.paid, p.RequestID)
	}
}

func (m *machine) payAgain(t *rapid.T) {
	id := pick(t, slices.Sorted(maps.Keys(m.sent)), "again")
	r, repeat, err := m.books.Pay(m.sent[id], books.Twist{Decline: "no"})
	must(t, err)
	if d := cmp.Diff(m.told[id], r); d != "" || !repeat {
		t.Fatalf("repeat %v:\n%s", repeat, d)
	}
	other := m.sent[id]
	other.Amount++
	if _, _, err := m.books.Pay(other, books.Twist{}); pos.CodeOf(err) != pos.ErrKeyConflict {
		t.Fatalf("same id, other amount: %v", err)
	}
}

func (m *machine) order(t *rapid.T) {
	o := api.Order{RequestID: m.id(), Merchant: "M1", Terminal: "T", Amount: amount(t), ValidUntilMS: m.ms + 60_000}
	r, _, err := m.books.Order(o, books.Twist{})
	must(t, err)
	m.qrs, m.paid = append(m.qrs, r.QR), append(m.paid, o.RequestID)
}

func (m *machine) refund(t *rapid.T) {
	_, _, err := m.books.Refund(api.Refund{RequestID: m.id(), OrigRequestID: pick(t, m.paid, "paid"), Amount: amount(t)}, books.Twist{})
	must(t, err)
}

// check states what holds after every step.
func (m *machine) check(t *rapid.T) {
	b := m.books.Totals()
	if got := b.WalletsOwn + b.WalletsEnvelope + b.Merchants + b.Fees; got != m.issued || b.Issued != m.issued {
		t.Fatalf("books hold %s, issued %s of %s", got, b.Issued, m.issued)
	}
	if b.Refunded > b.Paid {
		t.Fatalf("refunded %s of %s", b.Refunded, b.Paid)
	}
	for _, id := range m.wallets {
		if w, ok := m.books.Wallet(id); !ok || w.Own < 0 || w.Envelope < 0 {
			t.Fatalf("wallet %+v", w)
		}
	}
	for id, told := range m.told {
		got, err := m.books.Query(id)
		must(t, err)
		if d := cmp.Diff(told, got); d != "" {
			t.Fatalf("query of %s:\n%s", id, d)
		}
	}
	m.checkStatements(t, b)
}

// checkStatements sums all days, each id once: they say what the books say.
func (m *machine) checkStatements(t *rapid.T, b api.Totals) {
	var paid, refunded pos.Money
	seen := map[string]bool{}
	for d := start; d.UnixMilli() < m.ms+72*3_600_000; d = d.Add(24 * time.Hour) {
		lines, err := m.books.Statement(pos.DateOf(d, 23*time.Hour))
		must(t, err)
		for _, l := range lines {
			if seen[l.TxnID] {
				continue
			}
			seen[l.TxnID] = true
			switch l.Status {
			case "S":
				paid += l.Amount
			case "R":
				refunded += l.Amount
			}
		}
	}
	if paid != b.Paid || refunded != b.Refunded {
		t.Fatalf("statements say %s paid, %s refunded; the books %s and %s", paid, refunded, b.Paid, b.Refunded)
	}
}

func must(t *rapid.T, err error) {
	if err != nil {
		t.Fatal(err)
	}
}

func TestMoneyIsNeitherMadeNorLost(t *testing.T) {
	dir := t.TempDir()
	run := 0
	rapid.Check(t, func(t *rapid.T) {
		run++
		m := &machine{
			path: filepath.Join(dir, fmt.Sprint(run)), ms: start.UnixMilli(),
			told: map[string]api.Result{}, sent: map[string]api.Payment{},
		}
		m.open(t)
		defer func() { _ = m.books.Close() }()
		t.Repeat(map[string]func(*rapid.T){
			"":       m.check,
			"wallet": m.openWallet,
			"code": func(t *rapid.T) {
				c, err := m.books.Code(pick(t, m.wallets, "wallet"))
				must(t, err)
				m.codes = append(m.codes, c)
			},
			"pay":       m.pay,
			"pay again": m.payAgain,
			"order":     m.order,
			"scan": func(t *rapid.T) {
				_, err := m.books.Scan(pick(t, m.wallets, "wallet"), pick(t, m.qrs, "qr"))
				must(t, err)
			},
			"refund": m.refund,
			"time":   func(t *rapid.T) { m.ms += rapid.Int64Range(1, 40*60_000).Draw(t, "ms") },
			"restart": func(t *rapid.T) {
				before := m.books.Totals()
				must(t, m.books.Close())
				m.open(t)
				if d := cmp.Diff(before, m.books.Totals(), cmp.Comparer(func(a, b map[string]pos.Money) bool { return maps.Equal(a, b) })); d != "" {
					t.Fatalf("restart changed the books:\n%s", d)
				}
			},
		})
	})
}

func config() books.Config {
	return books.Config{Institution: "ICBC", Route: "001", CutOver: 23 * time.Hour, Now: func() time.Time { return start }}
}

// written is a journal with one wallet and one payment.
func written(tb testing.TB) []byte {
	tb.Helper()
	path := filepath.Join(tb.TempDir(), "b")
	b, err := books.Open(path, config())
	if err != nil {
		tb.Fatal(err)
	}
	if err := b.OpenWallet(books.Wallet{ID: "w-000001", Serial: "s", Own: 500, Envelope: 100}); err != nil {
		tb.Fatal(err)
	}
	code, err := b.Code("w-000001")
	if err != nil {
		tb.Fatal(err)
	}
	id := pos.NewPaymentID(start, [10]byte{}).String()
	_, _, err = b.Pay(api.Payment{RequestID: id, Merchant: "M", Terminal: "T", Amount: 200, Code: code, ExpiresMS: start.UnixMilli()}, books.Twist{})
	if err != nil {
		tb.Fatal(err)
	}
	if err := b.Close(); err != nil {
		tb.Fatal(err)
	}
	file, err := os.ReadFile(path)
	if err != nil {
		tb.Fatal(err)
	}
	return file
}

func TestHalfALastLineIsCutOff(t *testing.T) {
	whole := written(t)
	lastLine := whole[strings.LastIndexByte(strings.TrimSuffix(string(whole), "\n"), '\n')+1:]
	kept := len(whole) - len(lastLine)
	for cut := kept; cut < len(whole); cut++ {
		path := filepath.Join(t.TempDir(), "b")
		if err := os.WriteFile(path, whole[:cut], 0o600); err != nil {
			t.Fatal(err)
		}
		b, err := books.Open(path, config())
		if err != nil {
			t.Fatalf("cut at %d: %v", cut, err)
		}
		if got := b.Totals(); got.Issued != 600 || got.Paid != 0 {
			t.Errorf("cut at %d: %+v", cut, got)
		}
		if err := b.Close(); err != nil {
			t.Error(err)
		}
		if left, err := os.ReadFile(path); err != nil || len(left) != kept {
			t.Errorf("cut at %d: %d bytes left, want %d: %v", cut, len(left), kept, err)
		}
	}
}

func TestDamagedBooksAreNotOpened(t *testing.T) {
	whole := string(written(t))
	for name, c := range map[string]struct{ old, put, says string }{
		"no JSON":                     {`{"wallet"`, `x"wallet"`, "line 1"},
		"money that the wallet lacks": {`"own_fen":500`, `"own_fen":5`, "cannot bear"},
		"a payment of no wallet":      {`"wallet":"w-000001","envelope_fen":100,"code"`, `"wallet":"w-x","envelope_fen":100,"code"`, "cannot bear"},
	} {
		t.Run(name, func(t *testing.T) {
			changed := strings.Replace(whole, c.old, c.put, 1)
			if changed == whole {
				t.Fatalf("%q is not in %s", c.old, whole)
			}
			path := filepath.Join(t.TempDir(), "b")
			if err := os.WriteFile(path, []byte(changed), 0o600); err != nil {
				t.Fatal(err)
			}
			if _, err := books.Open(path, config()); err == nil || !strings.Contains(err.Error(), c.says) {
				t.Errorf("error %v, want one that says %q", err, c.says)
			}
			if left, err := os.ReadFile(path); err != nil || string(left) != changed {
				t.Error("damaged books were changed")
			}
		})
	}
}

// FuzzOpen looks for files that crash the reader, or that it opens without balance.
func FuzzOpen(f *testing.F) {
	whole := written(f)
	f.Add(whole)
	f.Add(whole[:len(whole)/2])
	f.Add([]byte("{}\n\n"))
	f.Add([]byte(`{"record":{"id":"a","op":"refunds","status":"S","orig":"a","wallet":"w"}}` + "\n"))
	f.Add([]byte(`{"scanned":{"id":"a"}}` + "\n" + `{"revoked":"w"}` + "\n"))
	dir := f.TempDir()
	f.Fuzz(func(t *testing.T, file []byte) {
		path := filepath.Join(dir, "b")
		if err := os.WriteFile(path, file, 0o600); err != nil {
			t.Fatal(err)
		}
		b, err := books.Open(path, config())
		if err != nil {
			return
		}
		if s := b.Totals(); s.WalletsOwn+s.WalletsEnvelope+s.Merchants+s.Fees != s.Issued {
			t.Errorf("opened without balance: %+v", s)
		}
		if _, err := b.Statement("2026-03-02"); err != nil {
			t.Error(err)
		}
		b.Recent(5)
		if err := b.Close(); err != nil {
			t.Error(err)
		}
	})
}
