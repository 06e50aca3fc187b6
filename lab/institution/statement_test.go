package institution_test

import (
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"dcpos/lab/institution"
	"dcpos/lab/institution/api"
	"dcpos/pos"
)

// columns of a statement line
const (
	colID = iota
	colMerchant
	colTerminal
	colBank
	colAmount
	colFee
	colStatus
	colTime
	colOrig
	colBatch
	colDate
)

// day books a payment that is paid, one that fails, an order, evidence and a refund.
func day(t *testing.T, l *lab) (paid api.Payment, refund api.Refund) {
	t.Helper()
	w := l.wallet(t, 100_00, 0)
	paid = l.payment(t, w, 10_00)
	post[api.Result](t, l, "/payments", paid)
	l.advance(time.Second)
	post[api.Result](t, l, "/payments", l.payment(t, w, 1_000_00))
	l.advance(time.Second)
	qr := post[api.OrderResult](t, l, "/orders", l.order(20_00)).QR
	if _, err := w.Scan(t.Context(), qr); err != nil {
		t.Fatal(err)
	}
	l.advance(time.Second)
	post[api.Result](t, l, "/evidence", l.signed(t, w.Answer, 30_00))
	l.advance(time.Second)
	refund = api.Refund{RequestID: l.id(), OrigRequestID: paid.RequestID, Amount: 4_00}
	post[api.RefundResult](t, l, "/refunds", refund)
	post[api.OrderResult](t, l, "/orders", l.order(99)) // open: not in the statement
	post[api.RefundResult](t, l, "/refunds", api.Refund{RequestID: l.id(), OrigRequestID: paid.RequestID, Amount: 7_00})
	return paid, refund
}

func TestStatementEqualsTheBooks(t *testing.T) {
	l := newLab(t)
	paid, refund := day(t, l)
	lines := l.statement(t, today)
	sums, counts := map[string]int64{}, map[string]int{}
	for _, c := range lines {
		n, err := strconv.ParseInt(c[colAmount], 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		sums[c[colStatus]] += n
		counts[c[colStatus]]++
		if _, err := time.Parse(time.RFC3339, c[colTime]); err != nil {
			t.Error(err)
		}
	}
	b := l.books(t)
	if d := cmp.Diff(map[string]int64{"S": int64(b.Paid), "R": int64(b.Refunded), "F": 1_000_00}, sums); d != "" {
		t.Errorf("sums:\n%s", d)
	}
	if d := cmp.Diff(map[string]int{"S": b.PaidCount, "R": b.RefundedCount, "F": 1}, counts); d != "" {
		t.Errorf("counts:\n%s", d)
	}
	want := []string{paid.RequestID, "M1", "T1", "ICBC", "1000", "0", "S", "2026-03-02T12:00:00.000+08:00", "", "ICBC2026030201", "2026-03-02"}
	if d := cmp.Diff(want, lines[0]); d != "" {
		t.Errorf("payment:\n%s", d)
	}
	want = []string{refund.RequestID, "M1", "T1", "ICBC", "400", "0", "R", "2026-03-02T12:00:04.000+08:00", paid.RequestID, "ICBC2026030201", "2026-03-02"}
	if d := cmp.Diff(want, lines[len(lines)-1]); d != "" {
		t.Errorf("refund:\n%s", d)
	}
	if info, err := os.Stat(filepath.Join(l.dir, "statements", "ICBC-2026-03-02.csv")); err != nil || info.Size() == 0 {
		t.Errorf("the file: %v", err)
	}
}

func TestSettlementDayEndsAt23(t *testing.T) {
	l := newLab(t)
	w := l.wallet(t, 100_00, 0)
	l.advance(11*time.Hour - time.Millisecond)
	last := l.payment(t, w, 1_00)
	if got := post[api.Result](t, l, "/payments", last); got.SettlementDate != today {
		t.Errorf("22:59:59.999 is of %s", got.SettlementDate)
	}
	l.advance(time.Millisecond)
	if got := post[api.Result](t, l, "/payments", l.payment(t, w, 2_00)); got.SettlementDate != "2026-03-03" {
		t.Errorf("23:00 is of %s", got.SettlementDate)
	}
	if got := l.statement(t, today); len(got) != 1 || got[0][colID] != last.RequestID {
		t.Errorf("statement %v", got)
	}
	if got := l.statement(t, "2026-03-03"); len(got) != 1 || got[0][colAmount] != "200" {
		t.Errorf("next statement %v", got)
	}
}

func TestDuplicateBooksTwoLinesAndOneDebit(t *testing.T) {
	l := newLab(t)
	w := l.wallet(t, 100_00, 0)
	l.fault(t, api.Fault{Op: api.OpPayments, Kind: api.Duplicate})
	p := l.payment(t, w, 10_00)
	post[api.Result](t, l, "/payments", p)
	post[api.Result](t, l, "/payments", l.payment(t, w, 5_00))
	got := l.statement(t, today)
	if len(got) != 3 || cmp.Diff(got[0], got[1]) != "" || got[0][colID] != p.RequestID {
		t.Errorf("statement %v", got)
	}
	wantBalance(t, w, 85_00, 0)
}

func TestPlantedDifferenceStaysUntilTheFaultsAreDeleted(t *testing.T) {
	for change, spoil := range map[string]func([][]string) [][]string{
		"":       func(x [][]string) [][]string { return x[1:] },
		"drop":   func(x [][]string) [][]string { return x[1:] },
		"amount": func(x [][]string) [][]string { x[0][colAmount] = "1001"; return x },
		"status": func(x [][]string) [][]string { x[0][colStatus] = "F"; return x },
		"fee":    func(x [][]string) [][]string { x[0][colFee] = "1"; return x },
	} {
		t.Run("change "+change, func(t *testing.T) {
			l := newLab(t)
			paid, _ := day(t, l)
			want := spoil(l.statement(t, today))
			right := l.books(t)
			l.fault(t, api.Fault{Op: api.OpStatements, Kind: api.Planted, Reason: change, Amount: 10_00})
			for range 2 {
				if d := cmp.Diff(want, l.statement(t, today)); d != "" {
					t.Errorf("statement:\n%s", d)
				}
			}
			l.restart(t)
			if d := cmp.Diff(want, l.statement(t, today)); d != "" {
				t.Errorf("after a restart:\n%s", d)
			}
			named := get[api.Faults](t, l, "/faults").Planted
			if len(named) != 1 || named[0].TxnID != paid.RequestID || named[0].Date != today {
				t.Errorf("named %+v", named)
			}
			if d := cmp.Diff(right, l.books(t)); d != "" {
				t.Errorf("the books must not change:\n%s", d)
			}
			do[struct{}](t, l, http.StatusOK, http.MethodDelete, "/faults", nil)
			if got := l.statement(t, today); len(got) != 5 || got[0][colStatus] != "S" || got[0][colAmount] != "1000" {
				t.Errorf("corrected statement %v", got)
			}
		})
	}
}

func TestPlantedDifferenceWaitsForALine(t *testing.T) {
	l := newLab(t)
	l.fault(t, api.Fault{Op: api.OpStatements, Kind: api.Planted, Count: 2})
	l.statement(t, today)
	day(t, l) // three successful lines, one failed, one refund
	if got := l.statement(t, today); len(got) != 3 {
		t.Errorf("two of five lines were to be dropped: %v", got)
	}
}

func TestRestartKeepsBooksKeysAndTrust(t *testing.T) {
	l := newLab(t)
	paid, refund := day(t, l)
	w := l.wallet(t, 50_00, 0)
	open := l.order(5_00)
	qr := post[api.OrderResult](t, l, "/orders", open).QR
	code := l.payment(t, w, 1_00)
	e := l.signed(t, w.Answer, 1_00)
	post[api.Result](t, l, "/evidence", e)
	books, lines, key, trust := l.books(t), l.statement(t, today), l.sim.Key("ICBC"), l.sim.Trust()
	l.restart(t)
	if d := cmp.Diff(books, l.books(t)); d != "" {
		t.Errorf("books:\n%s", d)
	}
	if d := cmp.Diff(lines, l.statement(t, today)); d != "" {
		t.Errorf("statement:\n%s", d)
	}
	if d := cmp.Diff(trust, l.sim.Trust()); d != "" || l.sim.Key("ICBC") != key {
		t.Errorf("trust or key changed:\n%s", d)
	}
	for name, got := range map[string]string{
		"payment again":    string(post[api.Result](t, l, "/payments", paid).Status),
		"refund again":     string(post[api.RefundResult](t, l, "/refunds", refund).Status),
		"code from before": string(post[api.Result](t, l, "/payments", code).Status),
		"evidence again":   string(post[api.Result](t, l, "/evidence", e).Status),
	} {
		if got != "S" {
			t.Errorf("%s: %s", name, got)
		}
	}
	if got := post[api.Result](t, l, "/evidence", l.signed(t, w.DoubleSpend, 2_00)); got.Reason != "double_spend" {
		t.Errorf("counter from before: %+v", got)
	}
	if got := do[api.ScanResult](t, l, http.StatusOK, http.MethodPost, "/wallets/"+w.ID()+"/scan", api.Scan{QR: qr}); got.Status != api.Success {
		t.Errorf("order from before: %+v", got)
	}
	if b := l.books(t); b.Paid != books.Paid+1_00+5_00 {
		t.Errorf("paid %s, before %s", b.Paid, books.Paid)
	}
}

func TestFolderKeepsSecretsAndOneSimulator(t *testing.T) {
	l := newLab(t)
	for _, name := range []string{"keys.json", "authority/root.key.pem", "authority/PSBC.key.pem", "books/ICBC.jsonl"} {
		if info, err := os.Stat(filepath.Join(l.dir, name)); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v %v", name, info, err)
		}
	}
	_, err := institution.Open(institution.Options{Dir: l.dir, Now: l.now})
	if pos.CodeOf(err) != pos.ErrConfig {
		t.Errorf("a second simulator in one folder: %v", err)
	}
}

func TestKeysFromOutsideReplaceOnlyForOneRun(t *testing.T) {
	dir := t.TempDir()
	open := func(keys map[string]string) (icbc, abc string) {
		s, err := institution.Open(institution.Options{Dir: dir, Keys: keys})
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = s.Close() }()
		return s.Key("ICBC"), s.Key("ABC")
	}
	icbc, abc := open(nil)
	if got, same := open(map[string]string{"ICBC": "secret"}); got != "secret" || same != abc {
		t.Errorf("keys %s %s", got, same)
	}
	if got, _ := open(map[string]string{"ICBC": ""}); got != icbc {
		t.Error("the drawn key is gone")
	}
}
