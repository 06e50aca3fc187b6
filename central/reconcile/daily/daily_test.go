package daily_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"dcpos/central/institution"
	"dcpos/central/payment"
	"dcpos/central/reconcile"
	"dcpos/central/reconcile/breaks"
	"dcpos/central/reconcile/daily"
	"dcpos/central/store"
	lab "dcpos/lab/institution"
	"dcpos/lab/institution/api"
	"dcpos/lab/statements"
	"dcpos/lab/wallet"
	"dcpos/pos"
)

const today = pos.Date("2026-03-02")

// day is a centre's reconciliation with the lab's six institutions, on the evening of today.
type day struct {
	*testing.T
	sim    *lab.Simulator
	http   *httptest.Server
	clock  atomic.Int64
	store  *store.Store
	fails  *failing
	desk   *daily.Desk
	breaks *breaks.Desk
	config daily.Config
	folder string
	files  map[string][]byte // statements that are sent instead, by "/CODE/v1/statements/DATE"
	seq    byte
}

// failing is the store, whose SaveRun may be killed.
type failing struct {
	daily.Store
	killed bool
}

func (f *failing) SaveRun(ctx context.Context, r daily.Run) error {
	if f.killed {
		return errors.New("killed")
	}
	return f.Store.SaveRun(ctx, r)
}

func newDay(t *testing.T, fee int64) *day {
	t.Helper()
	d := &day{T: t, folder: t.TempDir()}
	d.clock.Store(time.Date(2026, 3, 2, 12, 0, 0, 0, pos.Shanghai()).UnixMilli())
	now := func() time.Time { return time.UnixMilli(d.clock.Load()) }
	var err error
	if d.sim, err = lab.Open(lab.Options{Dir: t.TempDir(), Now: now, FeeBasisPoints: fee}); err != nil {
		t.Fatal(err)
	}
	d.files = map[string][]byte{}
	d.http = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if file, ok := d.files[r.URL.Path]; ok {
			_, _ = w.Write(file) // the reader tells
			return
		}
		d.sim.Handler().ServeHTTP(w, r)
	}))
	t.Cleanup(func() {
		d.http.Close()
		if err := d.sim.Close(); err != nil {
			t.Error(err)
		}
	})
	if d.store, err = store.Open(t.Context(), store.Config{URL: "sqlite:" + filepath.Join(t.TempDir(), "centre.db"), Env: pos.Lab}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := d.store.Close(); err != nil {
			t.Error(err)
		}
	})
	all, err := institution.Shipped()
	if err != nil {
		t.Fatal(err)
	}
	access := map[string]institution.Access{}
	for _, i := range lab.Institutions() {
		access[i.Code] = institution.Access{BaseURL: d.http.URL + "/" + i.Code + "/v1", APIKey: d.sim.Key(i.Code)}
	}
	banks, err := institution.Connect(pos.Lab, all, access, os.LookupEnv, now)
	if err != nil {
		t.Fatal(err)
	}
	d.breaks = breaks.New(breaks.Config{Store: d.store.Breaks(), FourEyes: 100_00, Now: now})
	d.fails = &failing{Store: d.store.Reconciliations()}
	d.config = daily.Config{Store: d.fails, Breaks: d.breaks, Institutions: banks, Folder: d.folder, Memory: 8 << 20, Now: now}
	if d.desk, err = daily.New(d.config); err != nil {
		t.Fatal(err)
	}
	for _, i := range lab.Institutions() {
		d.pay(i.Code, 10_00)
		d.pay(i.Code, 1234_56)
	}
	return d
}

func (d *day) post(code, path string, in, out any) {
	d.Helper()
	b, err := json.Marshal(in)
	if err != nil {
		d.Fatal(err)
	}
	r, err := http.NewRequestWithContext(d.Context(), http.MethodPost, d.http.URL+"/"+code+"/v1"+path, bytes.NewReader(b))
	if err != nil {
		d.Fatal(err)
	}
	r.Header.Set(lab.KeyHeader, d.sim.Key(code))
	res, err := d.http.Client().Do(r)
	if err != nil {
		d.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	if err := json.NewDecoder(res.Body).Decode(out); err != nil || res.StatusCode != http.StatusOK {
		d.Fatal(path, res.Status, err)
	}
}

// pay books one payment at the institution and in our books.
func (d *day) pay(code string, fen pos.Money) {
	d.Helper()
	d.seq++
	now := time.UnixMilli(d.clock.Load())
	w, err := wallet.Create(d.Context(), wallet.Client{Base: d.http.URL + "/" + code + "/v1", Key: d.sim.Key(code)},
		wallet.Opening{Institution: code, Name: "test", Balance: 100_000_00})
	if err != nil {
		d.Fatal(err)
	}
	text, err := w.Code(d.Context())
	if err != nil {
		d.Fatal(err)
	}
	id := pos.NewPaymentID(now, [10]byte{d.seq})
	var said api.Result
	d.post(code, "/payments", api.Payment{
		RequestID: id.String(), Merchant: "M1", Terminal: "SHOP01-001", Amount: fen, Code: text, ExpiresMS: now.UnixMilli() + 60_000,
	}, &said)
	if err := d.store.Payments().PaymentTx(d.Context(), func(tx payment.Tx) error {
		return tx.PutPayment(d.Context(), payment.Record{
			ID: id, Terminal: "SHOP01-001", Merchant: "M1", Mode: pos.BScanC, Amount: fen, Institution: code, State: pos.Paid,
			Txn: said.TxnID, SettlementDate: said.SettlementDate, Fee: said.Fee, CreatedMS: now.UnixMilli(), UpdatedMS: now.UnixMilli(),
		})
	}); err != nil {
		d.Fatal(err)
	}
	d.clock.Add(1000)
}

func (d *day) fault(code string, f api.Fault) {
	d.Helper()
	d.post(code, "/faults", f, new(api.Fault))
}

func (d *day) heal(code string) {
	d.Helper()
	r, err := http.NewRequestWithContext(d.Context(), http.MethodDelete, d.http.URL+"/"+code+"/v1/faults", nil)
	if err != nil {
		d.Fatal(err)
	}
	r.Header.Set(lab.KeyHeader, d.sim.Key(code))
	res, err := d.http.Client().Do(r)
	if err != nil {
		d.Fatal(err)
	}
	_ = res.Body.Close()
}

func (d *day) run(on pos.Date) daily.Run {
	d.Helper()
	r, err := d.desk.Reconcile(d.Context(), on)
	if err != nil {
		d.Fatal(err)
	}
	trial, err := d.store.Ledger().Trial(d.Context(), "")
	if err != nil || !trial.Balanced() {
		d.Fatal("the ledger does not balance", err)
	}
	return r
}

func verdict(r daily.Run, code string, account bool) daily.Verdict {
	at := slices.IndexFunc(r.Verdicts, func(v daily.Verdict) bool { return v.Institution == code && v.Account == account })
	return r.Verdicts[at]
}

func (d *day) cases() []pos.BreakCase {
	d.Helper()
	all, err := d.store.Breaks().Cases(d.Context(), pos.BreakFilter{Limit: 100})
	if err != nil {
		d.Fatal(err)
	}
	return all
}

func TestSixFormsAndTheirCredits(t *testing.T) {
	d := newDay(t, 38)
	r := d.run(today)
	if r.Breaks != 0 || r.Matched != 12 || !r.Closes || len(r.Waiting) != 0 || r.Rules != "standard/2" {
		t.Fatalf("%+v", r)
	}
	for _, s := range r.Settlements {
		credit, apart := pos.Money(1239_83), pos.Money(0)
		if s.Bank == "BOC" { // it sends an invoice of its fees
			credit, apart = 1244_56, 473
		}
		if s.State != pos.SettlementSettled || s.Gross != 1244_56 || s.Fees != 473 || s.Apart != apart || s.Credit != credit || s.Matched != s.Gross {
			t.Errorf("%+v", s)
		}
	}
	for _, code := range []string{"ICBC", "ABC", "BOC", "CCB", "BOCOM", "PSBC"} {
		if v := verdict(r, code, false); v.Kind != daily.Accepted || v.Format != strings.ToLower(code) || v.Lines != 2 {
			t.Errorf("%+v", v)
		}
	}
	again := d.run(today)
	if !again.Same || again.Inputs != r.Inputs || again.StartedMS != r.StartedMS {
		t.Errorf("the same inputs again: %+v", again)
	}
}

// TestWhatWasPreparedIsNotDoneAgain: our lines are partitioned as they come, a line that comes
// later does its own institution's again, the run does the statements, and its results are
// those of a run that had nothing.
func TestWhatWasPreparedIsNotDoneAgain(t *testing.T) {
	d := newDay(t, 38)
	segments, c := t.TempDir(), d.config
	c.Folder = t.TempDir()
	c.Engine = func(ctx context.Context, job reconcile.Job) (reconcile.Summary, error) {
		return reconcile.RunIn(ctx, segments, job)
	}
	c.Partition = func(ctx context.Context, job reconcile.Job) error { return reconcile.PrepareIn(ctx, segments, job) }
	desk, err := daily.New(c)
	if err != nil {
		t.Fatal(err)
	}
	prepare := func() {
		t.Helper()
		if err := desk.Prepare(t.Context(), today); err != nil {
			t.Fatal(err)
		}
	}
	prepare()
	d.pay("ABC", 77_00)
	prepare()
	plain := d.run(today)
	run, err := desk.Reconcile(t.Context(), today)
	if err != nil || run.Same || run.Matched != 13 {
		t.Fatalf("%+v %v", run, err)
	}
	sameFiles(t, plain.Folder, run.Folder)
	b, err := os.ReadFile(filepath.Join(run.Folder, "plan.json"))
	if err != nil {
		t.Fatal(err)
	}
	var plan struct {
		Steps []struct {
			Do        string
			All, Done int
		}
	}
	if err := json.Unmarshal(b, &plan); err != nil {
		t.Fatal(err)
	}
	if len(plan.Steps) == 0 || plan.Steps[0].All != 12 || plan.Steps[0].Done != 6 {
		t.Errorf("six statements were to be partitioned: %+v", plan.Steps)
	}
	ours, err := filepath.Glob(filepath.Join(run.Folder, "ours-*.csv"))
	if err != nil || len(ours) != 6 {
		t.Errorf("our lines beside the results: %v %v", ours, err)
	}
	if err := desk.Sweep("2026-03-03"); err != nil {
		t.Fatal(err)
	}
	if again, err := desk.Reconcile(t.Context(), today); err != nil || !again.Same {
		t.Errorf("after our lines were swept: %+v %v", again, err)
	}
}

func TestEveryRefusalIsAVerdictAndNothingIsCommitted(t *testing.T) {
	for how, why := range map[string]string{
		api.DamageCut: "no trailer", api.DamageTotal: "come to", api.DamageNUL: "NUL", api.DamageLong: "longer than",
		api.DamageEmpty: "is empty", api.DamageStale: "not of 2026-03-02",
	} {
		t.Run(how, func(t *testing.T) {
			d := newDay(t, 0)
			d.fault("ICBC", api.Fault{Op: api.OpStatements, Kind: api.Damaged, Reason: how})
			r := d.run(today)
			v := verdict(r, "ICBC", false)
			if v.Kind != daily.Refused || v.InUse || !strings.Contains(v.Reason.EN, why) || v.Reason.ZH == "" {
				t.Fatalf("%+v", v)
			}
			if r.Matched != 10 || r.Breaks != 0 || !slices.Equal(r.Waiting, []string{"ICBC"}) || len(d.cases()) != 0 {
				t.Fatalf("%+v", r)
			}
			if r = d.run(today); r.Matched != 12 || verdict(r, "ICBC", false).Kind != daily.Accepted {
				t.Fatalf("the right file then: %+v", r)
			}
			d.fault("ICBC", api.Fault{Op: api.OpStatements, Kind: api.Damaged, Reason: how})
			if r = d.run(today); !r.Same || verdict(r, "ICBC", false).Kind != daily.Refused || !verdict(r, "ICBC", false).InUse {
				t.Fatalf("a bad file behind a good one: %+v", r)
			}
			left, err := filepath.Glob(filepath.Join(d.folder, "statements", ".incoming-*"))
			if err != nil || len(left) != 0 {
				t.Error(left, err)
			}
		})
	}
}

func TestYesterdaysFileAgainIsADuplicate(t *testing.T) {
	d := newDay(t, 0)
	d.run(today)
	d.clock.Add((24 * time.Hour).Milliseconds())
	d.pay("CCB", 5_00)
	d.fault("CCB", api.Fault{Op: api.OpStatements, Kind: api.Damaged, Reason: api.DamageStale})
	v := verdict(d.run("2026-03-03"), "CCB", false)
	if v.Kind != daily.Refused || !strings.Contains(v.Reason.EN, "accepted as that of CCB 2026-03-02") {
		t.Errorf("%+v", v)
	}
	r := d.run("2026-03-03")
	if v := verdict(r, "ICBC", false); v.Kind != daily.Unchanged && v.Kind != daily.Accepted || r.Matched != 1 {
		t.Errorf("an empty day is no missing one: %+v", v)
	}
}

func TestMissingLateAndCorrected(t *testing.T) {
	d := newDay(t, 0)
	d.fault("ABC", api.Fault{Op: api.OpStatements, Kind: api.Late})
	d.fault("BOC", api.Fault{Op: api.OpStatements, Kind: api.Planted, Reason: api.ChangeDrop, Amount: 1234_56})
	d.fault("PSBC", api.Fault{Op: api.OpAccount, Kind: api.ShortCredit, Amount: 7})
	r := d.run(today)
	if v := verdict(r, "ABC", false); v.Kind != daily.Missing || v.InUse || v.Reason.ZH == "" {
		t.Errorf("%+v", v)
	}
	all := d.cases()
	if r.Breaks != 1 || len(all) != 3 {
		t.Fatalf("%+v\n%+v", r, all)
	}
	b := all[slices.IndexFunc(all, func(c pos.BreakCase) bool { return c.Kind == pos.MissingTheirs })]
	// The line that BOC's statement lacks is in its credit: the money is there, the statement is wrong.
	if b.Bank != "BOC" || b.Outstanding() != 0 || b.State != pos.BreakResolved || b.Rule != "standard/2 net-credit" || b.Clock == "" {
		t.Errorf("%+v", b)
	}
	explained, err := os.ReadFile(filepath.Join(r.Folder, "explained.csv"))
	if want := fmt.Sprintf("missing_theirs,%s,BOC,%%s,,standard/2 net-credit,matched,", b.Txn); err != nil || !strings.Contains(string(explained), strings.Split(want, "%s")[0]) {
		t.Errorf("%s %v", explained, err)
	}
	for _, s := range r.Settlements {
		want := map[string]pos.SettlementState{"PSBC": pos.SettlementDiffers}[s.Bank]
		if want == "" {
			want = pos.SettlementSettled
		}
		if s.State != want {
			t.Errorf("%+v, want %s", s, want)
		}
	}
	d.heal("BOC")
	r = d.run(today)
	if v := verdict(r, "BOC", false); v.Kind != daily.Corrected || r.Breaks != 0 || r.Matched != 12 {
		t.Fatalf("%+v\n%+v", v, r)
	}
	for _, c := range d.cases() {
		if !c.State.Final() || c.Outstanding() != 0 {
			t.Errorf("%+v", c)
		}
	}
	if old, err := filepath.Glob(filepath.Join(d.folder, "statements", "replaced", "BOC-*")); err != nil || len(old) != 1 {
		t.Error(old, err)
	}
}

// sameFiles holds the results of two runs against one another, byte for byte.
func sameFiles(t *testing.T, before, after string) {
	t.Helper()
	for _, name := range []string{"breaks.csv", "totals.csv", "explained.csv"} {
		want, err := os.ReadFile(filepath.Join(before, name))
		got, err2 := os.ReadFile(filepath.Join(after, name))
		if err := errors.Join(err, err2); err != nil || !bytes.Equal(want, got) {
			t.Errorf("%s: %v\n%s", name, err, cmp.Diff(string(want), string(got)))
		}
	}
}

// TestPinnedSplitsChangeThePlanAlone: an operator who pins a shard for every institution finds them in plan.json, and
// the same results.
func TestPinnedSplitsChangeThePlanAlone(t *testing.T) {
	d := newDay(t, 38)
	d.fault("ICBC", api.Fault{Op: api.OpStatements, Kind: api.Planted, Reason: api.ChangeAmount, Amount: 10_00})
	plain, c := d.run(today), d.config
	c.Folder, c.Splits = t.TempDir(), &reconcile.Rules{Version: 1, Splits: []reconcile.Split{{By: reconcile.SplitByBank}}}
	desk, err := daily.New(c)
	if err != nil {
		t.Fatal(err)
	}
	d.fault("ICBC", api.Fault{Op: api.OpStatements, Kind: api.Planted, Reason: api.ChangeAmount, Amount: 10_00})
	run, err := desk.Reconcile(t.Context(), today)
	if err != nil || run.Same || run.Breaks != 1 {
		t.Fatalf("%+v %v", run, err)
	}
	sameFiles(t, plain.Folder, run.Folder)
	drawn, err := reconcile.DrawPlan(run.Folder, "en", true)
	if err != nil || strings.Count(drawn, "bank = ") < 6 || !strings.Contains(drawn, "pinned by the rules") {
		t.Errorf("%v\n%s", err, drawn)
	}
}

// holiday is one file of BOCOM for three days: what it has booked on the first, and a line of its own on the last.
func (d *day) holiday(change func(lines []statements.BankLine) []statements.BankLine) []byte {
	d.Helper()
	line := func(id string, day int, fen int64) statements.BankLine {
		return statements.BankLine{
			TxnID: id, Merchant: "M1", Name: "M", Terminal: "P01-001", Amount: fen, Status: 'S', Day: day, Date: day, Clock: 120000,
		}
	}
	var lines []statements.BankLine
	if err := d.store.Reconciliations().Lines(d.Context(), "BOCOM", today, func(l daily.Line) error {
		lines = append(lines, line(l.TxnID, 20260302, int64(l.Amount)))
		return nil
	}); err != nil {
		d.Fatal(err)
	}
	at := time.Date(2026, 3, 4, 12, 0, 0, 0, pos.Shanghai())
	lines = append(lines, line(pos.NewPaymentID(at, [10]byte{77}).String(), 20260304, 5_00))
	file, err := statements.WriteBank("BOCOM", 20260302, 20260304, change(lines))
	if err != nil {
		d.Fatal(err)
	}
	return file
}

// due are the dates that are asked for, with who asked.
func (d *day) due() map[pos.Date]string {
	d.Helper()
	all, err := d.store.Reconciliations().DueAsks(d.Context(), d.clock.Load())
	if err != nil {
		d.Fatal(err)
	}
	due := map[pos.Date]string{}
	for _, a := range all {
		due[a.Date] = a.By
		a.DueMS = 0
		if err := d.store.Reconciliations().AnswerAsk(d.Context(), a); err != nil {
			d.Fatal(err)
		}
	}
	return due
}

// TestOneFileAfterTheHolidays: nothing comes for two dates, until the third one's statement holds them too. Its
// corrections are for the dates that they change, and for no other.
func TestOneFileAfterTheHolidays(t *testing.T) {
	const second, third = pos.Date("2026-03-03"), pos.Date("2026-03-04")
	d := newDay(t, 0)
	as := func(lines []statements.BankLine) []statements.BankLine { return lines }
	d.clock.Add((48 * time.Hour).Milliseconds())
	d.fault("BOCOM", api.Fault{Op: api.OpStatements, Kind: api.Late, Count: 100})
	for _, date := range []pos.Date{today, second} {
		if r := d.run(date); !slices.Equal(r.Waiting, []string{"BOCOM"}) {
			t.Fatalf("%+v", r)
		}
	}
	const sent = "/BOCOM/v1/statements/" + string(third)
	d.files[sent] = d.holiday(as)
	if r := d.run(third); len(r.Waiting) != 0 || r.Breaks != 1 {
		t.Fatalf("%+v", r)
	}
	both := map[pos.Date]string{today: daily.Correction, second: daily.Correction}
	if diff := cmp.Diff(both, d.due()); diff != "" {
		t.Error("when the file comes", diff)
	}
	r := d.run(today)
	v := verdict(r, "BOCOM", false)
	if len(r.Waiting) != 0 || r.Matched != 12 || r.Breaks != 0 || v.Kind != daily.Accepted || v.Lines != 2 || v.Reason.EN != "is part of the statement of 2026-03-04" {
		t.Fatalf("%+v\n%+v", v, r)
	}
	if again := d.run(today); !again.Same {
		t.Errorf("%+v", again)
	}
	if r := d.run(second); len(r.Waiting) != 0 || r.Breaks != 0 || !verdict(r, "BOCOM", false).Empty {
		t.Errorf("%+v", r)
	}
	for _, c := range []struct {
		name   string
		change func(lines []statements.BankLine) []statements.BankLine
		due    map[pos.Date]string
		breaks int64 // of the first day
	}{
		{
			"another amount of the first day", func(l []statements.BankLine) []statements.BankLine { l[0].Amount++; return l },
			map[pos.Date]string{today: daily.Correction},
			1,
		},
		{
			"it as it was, its lines in another order", func(l []statements.BankLine) []statements.BankLine { l[0], l[1] = l[1], l[0]; return l },
			map[pos.Date]string{today: daily.Correction},
			0,
		},
		{
			"another amount of its own day", func(l []statements.BankLine) []statements.BankLine { l[2].Amount++; return l },
			map[pos.Date]string{},
			0,
		},
		{
			"a line of the second day", func(l []statements.BankLine) []statements.BankLine {
				l[2].Day, l[2].Date = 20260303, 20260303
				return l
			},
			map[pos.Date]string{second: daily.Correction},
			0,
		},
	} {
		d.files[sent] = d.holiday(c.change)
		if r := d.run(third); verdict(r, "BOCOM", false).Kind != daily.Corrected {
			t.Errorf("%s: %+v", c.name, r.Verdicts)
		}
		if diff := cmp.Diff(c.due, d.due()); diff != "" {
			t.Errorf("%s: asked for %s", c.name, diff)
		}
		if r := d.run(today); r.Breaks != c.breaks || r.Matched != 12-c.breaks || len(r.Waiting) != 0 {
			t.Errorf("%s: %+v", c.name, r)
		}
	}
	if r := d.run(third); !r.Same || len(d.due()) != 0 {
		t.Errorf("the same file again: %+v", r)
	}
	// A statement of its own takes the place of the later one, and is not touched by that one any longer.
	d.files["/BOCOM/v1/statements/"+string(today)] = d.holiday(as)
	if r := d.run(today); verdict(r, "BOCOM", false).Reason != (pos.Text{}) || r.Breaks != 0 {
		t.Errorf("%+v", r)
	}
	d.due()
	d.files[sent] = d.holiday(func(l []statements.BankLine) []statements.BankLine { l[0].Amount++; return l })
	d.run(third)
	if diff := cmp.Diff(map[pos.Date]string{second: daily.Correction}, d.due()); diff != "" {
		t.Error("a date that has a statement of its own, and one that has not:", diff)
	}
}

// TestAKillBeforeTheRunIsRecorded is done again and posts nothing twice.
func TestAKillBeforeTheRunIsRecorded(t *testing.T) {
	d := newDay(t, 0)
	d.fault("ICBC", api.Fault{Op: api.OpStatements, Kind: api.Planted, Reason: api.ChangeAmount, Amount: 10_00})
	d.fails.killed = true
	if _, err := d.desk.Reconcile(t.Context(), today); err == nil {
		t.Fatal("it was not killed")
	}
	before := d.cases()
	trial, err := d.store.Ledger().Trial(t.Context(), "")
	if err != nil {
		t.Fatal(err)
	}
	d.fails.killed = false
	if r := d.run(today); r.Same || r.Breaks != 1 {
		t.Fatalf("%+v", r)
	}
	after, err := d.store.Ledger().Trial(t.Context(), "")
	if diff := cmp.Diff(trial, after); err != nil || diff != "" {
		t.Error(err, diff)
	}
	if diff := cmp.Diff(before, d.cases()); diff != "" {
		t.Error(diff)
	}
}
