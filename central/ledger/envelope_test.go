package ledger_test

import (
	"errors"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"dcpos/central/ledger"
	"dcpos/pos"
)

// everyRule is each way in which the house posts, once.
func everyRule() []ledger.Transaction {
	p := payment(pos.Paid)
	late := payment(pos.Abandoned)
	late.LatePaid = true
	refund := pos.RefundID{9}
	e := ledger.EnvelopePart{Envelope: "e", Campaign: "c", Tier: 1, Amount: 1250}
	fork := ledger.Forked("t1", "M", ledger.Paid("M", p))
	return []ledger.Transaction{
		ledger.Paid("M", p), ledger.Accepted("M", p), ledger.Credited("M", "ICBC", p), ledger.Refused("M", "ICBC", p),
		ledger.Refunded("M", p, refund, 250, ""), ledger.Refunded("M", late, refund, 250, ""), ledger.Late(late),
		fork, ledger.Credit(fork, "t1", ledger.Merchant("M"), "2021-02-12"), ledger.WrittenOff(fork, "2021-02-12"), ledger.Rejoined(fork),
		ledger.Deposited("P", "ICBC", "r", 1250, "2021-02-01"), ledger.Reserved("c", "P", 1250, "2021-02-01"),
		ledger.Rebudgeted("c", "P", 2, 250, "2021-02-01"), ledger.Rebudgeted("c", "P", 3, -250, "2021-02-01"),
		ledger.Claimed(e, "2021-02-11"), ledger.EnvelopesSpent(p.ID, "ICBC", []ledger.EnvelopePart{e}, "2021-02-11"),
		ledger.EnvelopesReturned(refund, "ICBC", []ledger.EnvelopePart{e}, "2021-02-11"), ledger.Recalled(e, "P", "", "2021-02-18"),
		ledger.Restored(e, "P", p.ID, "2021-02-19"), ledger.Released("c", "P", 1250, "2021-02-18"),
		ledger.Conflicted("M", "ICBC", p), ledger.CreditConflict(ledger.Conflicted("M", "ICBC", p), "t1", "M", "2021-02-12"),
		ledger.WriteOffConflict(ledger.Conflicted("M", "ICBC", p), "t1", "2021-02-12"), ledger.PaidOutLate(ledger.Late(late), "M", "2021-02-12"),
		ledger.Broken("b1", "ICBC", "2021-02-10", 1250, 3), ledger.Adjusted("b1", "ICBC", "2021-02-10", ledger.Merchant("M"), 1250, "2021-02-12"),
		ledger.Settled("b1", "ICBC", "2021-02-10", ledger.NetCredit{Gross: 1250, Fees: 3, Apart: 3, Credit: 1249}), ledger.RefundedFrom(ledger.Merchant("M"), "ICBC", refund, 250, "2021-02-11"),
	}
}

// TestEveryRuleIsLookedAt: a rule that is new in the package must be in the list above, or the
// test of what can be reached says nothing about it.
func TestEveryRuleIsLookedAt(t *testing.T) {
	here, err := os.ReadFile("envelope_test.go")
	if err != nil {
		t.Fatal(err)
	}
	files, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	rule := regexp.MustCompile(`(?m)^func ([A-Z][A-Za-z]*)\([^\n]*\) \(?(?:t )?Transaction\b`)
	found := 0
	for _, f := range files {
		if strings.HasSuffix(f, "_test.go") {
			continue
		}
		text, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range rule.FindAllSubmatch(text, -1) {
			found++
			if name := string(m[1]); name != "Moved" && !strings.Contains(string(here), "ledger."+name+"(") { // Moved chooses among the others
				t.Errorf("%s is not among the rules that are looked at", name)
			}
		}
	}
	if found < 20 {
		t.Errorf("only %d rules were found", found)
	}
}

func kind(account string) string { return account[:strings.IndexByte(account, ':')] }

// From an envelope money reaches an institution that has paid for it, its fund and its
// budget, and nothing else: no cash, no merchant, no other person.
func TestNothingElseIsReachedFromAnEnvelope(t *testing.T) {
	leads := map[string]map[string]bool{} // an account that gives up money leads to one that gets it
	for _, tr := range everyRule() {
		if err := tr.Check(); err != nil {
			t.Fatal(err)
		}
		for _, from := range tr.Postings {
			for _, to := range tr.Postings {
				if from.Amount > 0 && to.Amount < 0 { // a debt that shrinks, a debt that grows
					if leads[kind(from.Account)] == nil {
						leads[kind(from.Account)] = map[string]bool{}
					}
					leads[kind(from.Account)][kind(to.Account)] = true
				}
			}
		}
	}
	reached := map[string]bool{}
	for next := []string{"envelopes"}; len(next) > 0; next = next[1:] {
		for to := range leads[next[0]] {
			if !reached[to] {
				reached[to] = true
				next = append(next, to)
			}
		}
	}
	got := slices.Sorted(maps.Keys(reached))
	if want := []string{"budget", "envelopes", "fund", "owed"}; !slices.Equal(got, want) {
		t.Errorf("from an envelope money reaches %v, want %v", got, want)
	}
	if !leads["envelopes"]["owed"] || !leads["envelopes"]["fund"] {
		t.Error("envelopes lead nowhere: this test looks at nothing")
	}
}

// No transaction at all, whoever makes it, takes envelopes' money elsewhere.
func TestTheLedgerRefusesEveryOtherWay(t *testing.T) {
	accounts := []string{
		"envelopes:c:0", "envelopes:c:1", "envelopes:d:0", "budget:c", "budget:d", "owed:ICBC", "fund:P",
		"merchant:M", "pending:M", "receivable:ICBC", "in_transit:ICBC", "fees:ICBC", "suspense:fork:t1", "suspense:late:x", "envelopesx:c",
	}
	rapid.Check(t, func(t *rapid.T) {
		tr := ledger.Transaction{Key: "k", Date: "2021-02-10"}
		var sum pos.Money
		for range rapid.IntRange(1, 4).Draw(t, "postings") {
			p := ledger.Posting{
				Account: rapid.SampledFrom(accounts).Draw(t, "account"), Amount: pos.Money(rapid.Int64Range(-3, 3).Draw(t, "amount")),
			}
			tr.Postings = append(tr.Postings, p)
			sum += p.Amount
		}
		tr.Postings = append(tr.Postings, ledger.Posting{Account: rapid.SampledFrom(accounts).Draw(t, "last"), Amount: -sum})
		touches, up, down, strange := false, false, false, false
		campaigns, budgets := map[string]bool{}, map[string]bool{}
		for _, p := range tr.Postings {
			switch part := strings.Split(p.Account, ":"); part[0] {
			case "envelopes":
				campaigns[part[1]] = true
				touches, up, down = touches || p.Amount != 0, up || p.Amount > 0, down || p.Amount < 0
			case "budget":
				budgets[part[1]] = true
			case "owed", "fund":
			default:
				strange = true
			}
		}
		foreign := false
		for b := range budgets {
			for c := range campaigns {
				foreign = foreign || b != c
			}
		}
		want := touches && (strange || foreign || (up && down))
		if err := tr.Check(); errors.Is(err, ledger.ErrEarmarked) != want {
			t.Fatalf("%v: %v, want it refused: %v", tr, err, want)
		}
	})
}
