package kills_test

import (
	"fmt"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	"dcpos/lab/institution/api"
	"dcpos/pos"
)

var caseLink = regexp.MustCompile(`href="/console/breaks/([0-9a-f]+)"`)

// breakOf finds the case of a payment and gives its id and a form's token.
func (c *clerk) breakOf(id pos.PaymentID) (of, token string) {
	c.t.Helper()
	page, err := c.Page(c.t.Context(), "breaks?lang=en&txn="+url.QueryEscape(id.String()))
	c.must(err)
	links, form := caseLink.FindStringSubmatch(page), field.FindStringSubmatch(page)
	if links == nil || form == nil {
		c.t.Fatalf("no case of %s:\n%s", id, page)
	}
	return links[1], form[2]
}

// TestASaleThatOnlyTheStatementProvesIsCompleted: the institution took the money, and neither answers nor can be asked.
// Its statement shows the sale, a person completes it (补单), and the till that showed "unknown" says paid, also after it
// was killed meanwhile; the date reconciled again has no break.
func TestASaleThatOnlyTheStatementProvesIsCompleted(t *testing.T) {
	s := open(t)
	s.must(s.Fault(t.Context(), "ICBC", api.Fault{Op: api.OpPayments, Kind: api.LostAnswer}))
	s.must(s.Fault(t.Context(), "ICBC", api.Fault{Op: api.OpQuery, Kind: api.Unavailable, Count: api.MaxCount}))
	p := s.named(pos.BScanC, 12_34)
	body, date := s.code(), pos.DateOf(time.Now(), 0)
	s.heard(s.till().Do(t.Context(), p.ID, "code", body))
	s.eventually("unknown", func() error {
		now, err := s.till().Payment(t.Context(), p.ID)
		if err == nil && now.State != pos.Unknown {
			err = fmt.Errorf("payment is %s", now.State)
		}
		return err
	})
	run, err := s.Reconcile(t.Context(), date)
	if err != nil || run.Breaks != 1 {
		t.Fatalf("%+v, %v", run, err)
	}
	c := s.clerk("operator")
	id, token := c.breakOf(p.ID)
	s.must(s.till().Kill())
	s.must(c.Post(t.Context(), "breaks/"+id+"/assign", url.Values{"csrf": {token}}))
	s.must(c.Post(t.Context(), "breaks/"+id+"/explain", url.Values{"csrf": {token}, "cause": {string(pos.CauseLostAnswer)}, "note": {"asked by telephone"}}))
	proposal := url.Values{"csrf": {token}, "kind": {string(pos.RemedyComplete)}, "reason": {"the statement proves it"}}
	s.must(c.Post(t.Context(), "breaks/"+id+"/remedy", proposal))
	s.must(s.till().Restart(t.Context()))
	s.eventually("paid", func() error {
		now, err := s.till().Payment(t.Context(), p.ID)
		if err == nil && now.State != pos.Paid {
			err = fmt.Errorf("payment is %s", now.State)
		}
		return err
	})
	s.must(c.Post(t.Context(), "breaks/"+id+"/remedy", proposal)) // asked again it is the same one
	page, err := c.Page(t.Context(), "breaks/"+id+"?lang=en")
	if err != nil || strings.Count(page, "the payment is paid") != 2 { // the remedy, and the history
		t.Errorf("%v:\n%s", err, page)
	}
	if run, err = s.Reconcile(t.Context(), date); err != nil || run.Breaks != 0 || run.Matched != 1 || !run.Closes {
		t.Errorf("again: %+v, %v", run, err)
	}
	l := s.ledger()
	_, twice := l.ByKey()
	for account, want := range map[string]pos.Money{"merchant:M100": -12_34, "settlement:ICBC": 12_34, "receivable:ICBC": 0, "suspense:break:ICBC:" + string(date): 0} {
		if got := l.Balance(account); got != want {
			t.Errorf("%s holds %s, want %s", account, got, want)
		}
	}
	if len(twice) > 0 {
		t.Errorf("booked twice: %q", twice)
	}
}
