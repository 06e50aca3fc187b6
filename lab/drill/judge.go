package drill

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"dcpos/lab/institution"
	"dcpos/pos"
)

// judge compares what clients were told with the journals of the tills, the ledger of
// the centre and the books of the institutions.
type judge struct {
	site  *Site
	book  *Notebook
	since time.Time

	ledger       Ledger
	transactions map[string]Transaction
	paid         map[string][]Line // payment id → lines with status S
	refunded     map[string][]Line // refund id → lines with status R
	sums         map[string]pos.Money
	known        map[string]Said // payment id → what was said
}

// quietPatience is how long a drill waits until nothing is undecided any more. A
// question that never arrived is believed lost 30 s after its expiry.
const quietPatience = 2 * time.Minute

// Quiesce waits until every outbox is empty and nothing is undecided: no payment
// asking or unknown, no evidence in transit, no refund open, nothing in suspense.
func (s *Site) Quiesce(ctx context.Context, book *Notebook) {
	err := until(ctx, quietPatience, func() error {
		pause(ctx, 200*time.Millisecond)
		for _, t := range s.Tills {
			if err := t.quiet(ctx); err != nil {
				return fmt.Errorf("%s: %w", t.Name, err)
			}
		}
		for _, said := range book.All() {
			if err := reread(ctx, book, said); err != nil {
				return err
			}
		}
		return s.settled(ctx)
	})
	if err != nil {
		book.Find("not quiet: %v", err)
	}
}

// quiet tells why a till is not done yet.
func (t *Till) quiet(ctx context.Context) error {
	s, err := t.Status(ctx)
	switch {
	case err != nil:
		return err
	case !s.Connected:
		return fmt.Errorf("is not connected")
	case s.Outbox.Unsent > 0:
		return fmt.Errorf("%d entries are unsent", s.Outbox.Unsent)
	}
	return nil
}

// reread asks for a payment that is not final and tells why it is not done yet.
func reread(ctx context.Context, book *Notebook, said Said) error {
	if said.done() {
		return nil
	}
	p, err := said.Till.Payment(ctx, said.Payment.ID)
	if err != nil {
		return fmt.Errorf("payment %s: %w", said.Payment.ID, err)
	}
	book.Heard(said.Till, said, p)
	if said = book.Last(p.ID); !said.done() {
		return fmt.Errorf("payment %s (%s) is %s, refunds %+v", p.ID, p.Mode, p.State, p.Refunds)
	}
	return nil
}

// done reports that nothing can follow any more.
func (s Said) done() bool {
	for _, r := range s.Refunds {
		if !r.State.Final() {
			return false
		}
	}
	return s.Payment.State.Final()
}

// settled tells which account waits still, and whether an order of an abandoned QR does.
func (s *Site) settled(ctx context.Context) error {
	l, err := s.Ledger(ctx)
	if err != nil {
		return err
	}
	if l.Open.Payments+l.Open.Refunds > 0 {
		return fmt.Errorf("the centre is asking about %d payments and %d refunds", l.Open.Payments, l.Open.Refunds)
	}
	for _, a := range l.Accounts {
		if waits(a.Account) && a.Amount != 0 {
			return fmt.Errorf("%s holds %s", a.Account, a.Amount)
		}
	}
	for _, i := range institution.Institutions() {
		b, err := s.Books(ctx, i.Code)
		if err != nil {
			return err
		}
		if b.OpenOrders > 0 {
			return fmt.Errorf("%s has %d open orders", i.Code, b.OpenOrders)
		}
		if net := b.Paid - b.Refunded; l.Balance("receivable:"+i.Code) != net {
			return fmt.Errorf("receivable:%s is %s, its books say %s", i.Code, l.Balance("receivable:"+i.Code), net)
		}
	}
	return nil
}

// waits reports an account that is empty when all is done.
func waits(account string) bool {
	for _, prefix := range []string{"in_transit:", "pending:", "suspense:"} {
		if strings.HasPrefix(account, prefix) {
			return true
		}
	}
	return false
}

// Judge looks at everything from outside. Tills are stopped by it. What is wrong is
// noted in the book.
func (s *Site) Judge(ctx context.Context, book *Notebook, since time.Time) {
	j := &judge{site: s, book: book, since: since, known: map[string]Said{}}
	j.tills(ctx)
	for _, said := range book.All() {
		j.known[said.Payment.ID.String()] = said
	}
	if err := j.read(ctx); err != nil {
		book.Find("read the books: %v", err)
		return
	}
	for _, said := range j.known {
		j.payment(said)
	}
	j.strangers()
	j.totals(ctx)
	j.reconcile(ctx)
	for _, t := range s.Tills {
		j.journal(ctx, t)
	}
	j.logs()
}

// tills asks every till once more for everything that it ever said.
func (j *judge) tills(ctx context.Context) {
	for _, said := range j.book.All() {
		said.Till.Recall(ctx, j.book, []Said{said})
	}
}

func (j *judge) read(ctx context.Context) (err error) {
	if j.ledger, err = j.site.Ledger(ctx); err != nil {
		return err
	}
	var twice []string
	if j.transactions, twice = j.ledger.ByKey(); len(twice) > 0 {
		j.book.Find("transactions with one key: %v", twice)
	}
	lines, err := j.site.Statements(ctx, dates(j.since))
	if err != nil {
		return err
	}
	j.paid, j.refunded, j.sums = map[string][]Line{}, map[string][]Line{}, map[string]pos.Money{}
	for _, l := range lines {
		switch l.Status {
		case "S":
			j.paid[l.ID] = append(j.paid[l.ID], l)
			j.sums[l.Institution] += l.Amount
		case "R":
			j.refunded[l.ID] = append(j.refunded[l.ID], l)
			j.sums[l.Institution] -= l.Amount
		}
	}
	return nil
}

// payment holds one payment against the institution and the ledger.
func (j *judge) payment(said Said) {
	p := said.Payment
	id := p.ID.String()
	lines := j.paid[id]
	wants := money(p.State) || p.LatePaid
	switch {
	case p.State == pos.Refused || p.State == pos.Conflict:
		j.book.Find("evidence of payment %s was accepted and came to %s: %s", id, p.State, p.Reason)
	case wants && len(lines) != 1:
		j.book.Find("payment %s is %s and stands in the statements %d times", id, p.State, len(lines))
		return
	case !wants && len(lines) > 0:
		j.book.Find("payment %s is %s and stands in the statements: %+v", id, p.State, lines)
		return
	}
	key := entryKey(p)
	t, posted := j.transactions[key]
	switch {
	case wants && (lines[0].Amount != p.Amount || t.On("receivable:"+lines[0].Institution) != p.Amount):
		j.book.Find("payment %s of %d: the institution has %+v, the ledger %s %+v", id, p.Amount, lines[0], key, t.Postings)
	case !wants && posted:
		j.book.Find("payment %s is %s and the ledger has %s", id, p.State, key)
	}
	var back pos.Money
	for rid, r := range said.Refunds {
		back += j.refund(id, rid, r)
	}
	if p.LatePaid && back != p.Amount {
		j.book.Find("payment %s was paid late: %d of %d went back", id, back, p.Amount)
	}
	if back > p.Amount {
		j.book.Find("payment %s of %d: refunds of %d", id, p.Amount, back)
	}
}

// entryKey is the key under which the ledger has the payment's money.
func entryKey(p pos.Payment) string {
	switch {
	case p.LatePaid:
		return "late:" + p.ID.String()
	case p.State == pos.Credited || p.State == pos.AcceptedEvidence:
		return "credited:" + p.ID.String()
	}
	return "paid:" + p.ID.String()
}

// refund holds one refund against the institution and the ledger and gives what went back.
func (j *judge) refund(payment, id string, r pos.Refund) pos.Money {
	lines, t := j.refunded[id], j.transactions["refund:"+id]
	if r.State != pos.RefundRefunded {
		if len(lines) > 0 || len(t.Postings) > 0 {
			j.book.Find("refund %s is %s: the institution has %+v, the ledger %+v", id, r.State, lines, t.Postings)
		}
		return 0
	}
	if len(lines) != 1 || lines[0].Amount != r.Amount || lines[0].Orig != payment ||
		t.On("receivable:"+lines[0].Institution) != -r.Amount {
		j.book.Find("refund %s of %d: the institution has %+v, the ledger %+v", id, r.Amount, lines, t.Postings)
	}
	return r.Amount
}

// strangers looks for money that no client ever asked for.
func (j *judge) strangers() {
	refunds := map[string]bool{}
	for _, said := range j.known {
		for id := range said.Refunds {
			refunds[id] = true
		}
	}
	for id, lines := range j.paid {
		if _, ok := j.known[id]; !ok {
			j.book.Find("nobody knows of payment %s: %+v", id, lines)
		}
	}
	for id, lines := range j.refunded {
		if !refunds[id] {
			j.book.Find("nobody knows of refund %s: %+v", id, lines)
		}
	}
	for key := range j.transactions {
		kind, id, _ := strings.Cut(key, ":")
		_, known := j.known[id]
		switch kind {
		case "paid", "evidence", "credited", "refused", "late", "unpaid":
			if !known {
				j.book.Find("nobody knows of transaction %s", key)
			}
		case "refund":
			if !refunds[id] {
				j.book.Find("nobody knows of transaction %s", key)
			}
		default:
			j.book.Find("transaction %s has no place in this drill", key)
		}
	}
}

// totals compares sums: statements, books and ledger.
func (j *judge) totals(ctx context.Context) {
	if !j.ledger.Balanced || j.ledger.Sum != 0 {
		j.book.Find("the trial balance is %d, wrong accounts %v", j.ledger.Sum, j.ledger.Wrong)
	}
	for _, a := range j.ledger.Accounts {
		if waits(a.Account) && a.Amount != 0 {
			j.book.Find("%s holds %d at the end", a.Account, a.Amount)
		}
	}
	var all pos.Money
	for _, i := range institution.Institutions() {
		b, err := j.site.Books(ctx, i.Code)
		if err != nil {
			j.book.Find("books of %s: %v", i.Code, err)
			continue
		}
		all += j.sums[i.Code]
		ours := j.ledger.Balance("receivable:" + i.Code)
		if ours != j.sums[i.Code] || ours != b.Paid-b.Refunded || ours != b.Merchant[merchant] {
			j.book.Find("%s: ledger %d, statements %d, books %d, merchant %d", i.Code, ours, j.sums[i.Code],
				b.Paid-b.Refunded, b.Merchant[merchant])
		}
	}
	if m := j.ledger.Balance("merchant:" + merchant); m != -all {
		j.book.Find("the merchant is owed %d, the institutions hold %d", -m, all)
	}
	for _, t := range j.ledger.Terminals {
		if t.State != "active" {
			j.book.Find("terminal %s is %s: %s", t.ID, t.State, t.Reason)
		}
	}
}

func (j *judge) reconcile(ctx context.Context) {
	for _, date := range dates(j.since) {
		run, err := j.site.Reconcile(ctx, date)
		if err != nil {
			j.book.Find("reconcile %s: %v", date, err)
			continue
		}
		if !run.Closes || len(run.Waiting) > 0 {
			j.book.Find("reconcile %s: the proof does not close, or statements lack: %+v", date, run)
		}
		if run.Breaks > 0 {
			file := filepath.Join(j.site.Centre.Data, "reconcile", string(date), "breaks.csv")
			b, err := os.ReadFile(file)
			j.book.Find("reconcile %s: %d breaks (%v)\n%s", date, run.Breaks, err, b[:min(len(b), 2000)])
		}
	}
}

// journal stops the till and has its journal verified.
func (j *judge) journal(ctx context.Context, t *Till) {
	status, err := t.Status(ctx)
	if err != nil {
		j.book.Find("%s: status: %v", t.Name, err)
	}
	if err := t.Stop(); err != nil {
		j.book.Find("%v", err)
	}
	if _, err := os.Stat(t.Journal() + "-wal"); err == nil {
		j.book.Find("%s left its -wal after a clean stop", t.Name)
	}
	payments := 0
	for _, said := range j.known {
		if said.Till == t {
			payments++
		}
	}
	r, err := j.site.VerifyJournal(ctx, t.Journal(), status.Outbox.Seq)
	switch {
	case err != nil:
		j.book.Find("%s: journal: %v", t.Name, err)
	case !r.OK || r.Payments != payments || !r.Projections:
		j.book.Find("%s: journal holds %d payments, %d were named: %+v", t.Name, r.Payments, payments, r)
	}
	if _, kept := j.ledger.Kept(t.ID); kept < status.Outbox.Receipted {
		j.book.Find("%s: the centre keeps %d entries, it had receipted %d", t.Name, kept, status.Outbox.Receipted)
	}
}

// JournalReport is what the drill reads of "posctl journal verify --json".
type JournalReport struct {
	OK          bool   `json:"ok"`
	Epoch       uint32 `json:"epoch"`
	LastSeq     uint64 `json:"last_seq"`
	Payments    int    `json:"payments"`
	Projections bool   `json:"projections"`
	FirstBad    uint64 `json:"first_bad"`
	Problem     string `json:"problem"`
}

// VerifyJournal runs posctl journal verify; expect is the entry that must be there.
func (s *Site) VerifyJournal(ctx context.Context, file string, expect uint64) (r JournalReport, err error) {
	out, code, err := command(ctx, s.bin("posctl"), "journal", "verify", "--json", fmt.Sprintf("--expect-seq=%d", expect), file)
	if err != nil {
		return r, err
	}
	if err := json.Unmarshal(out, &r); err != nil {
		return r, fmt.Errorf("posctl journal verify: exit code %d: %w", code, err)
	}
	if code != 0 {
		err = fmt.Errorf("posctl journal verify: exit code %d: %s", code, r.Problem)
	}
	return r, err
}

// logs looks for data races and panics in what the programs wrote.
func (j *judge) logs() {
	programs := []*Program{&j.site.Centre.Program, j.site.lab}
	for _, t := range j.site.Tills {
		programs = append(programs, &t.Program)
	}
	for _, p := range programs {
		for _, c := range p.complaints() {
			j.book.Find("%s", c)
		}
	}
}
