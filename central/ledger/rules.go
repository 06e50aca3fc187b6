package ledger

import (
	"fmt"
	"regexp"
	"strings"

	"dcpos/pos"
)

// NoInstitution stands for an institution that the journal does not name, or names in
// a form that is none.
const NoInstitution = "UNKNOWN"

var institutionForm = regexp.MustCompile(`^[A-Z0-9]{2,12}$`)

func institution(code string) string {
	if !institutionForm.MatchString(code) {
		return NoInstitution
	}
	return code
}

// Receivable is our claim on an institution.
func Receivable(code string) string { return "receivable:" + institution(code) }

// InTransit is evidence that an institution has not honoured yet.
func InTransit(code string) string { return "in_transit:" + institution(code) }

// Merchant is what we owe a merchant.
func Merchant(merchant string) string { return "merchant:" + merchant }

// Pending is what we shall owe a merchant when evidence is honoured.
func Pending(merchant string) string { return "pending:" + merchant }

// Fees is what an institution keeps for itself.
func Fees(code string) string { return "fees:" + institution(code) }

// SuspenseLate holds money that came for an abandoned payment until it is refunded.
func SuspenseLate(id pos.PaymentID) string { return "suspense:late:" + id.String() }

// SuspenseFork holds the money of a fork's second branch until a person decides.
func SuspenseFork(terminal string) string { return "suspense:fork:" + terminal }

// SuspenseConflict holds what a merchant would get for evidence in conflict, until a person decides.
func SuspenseConflict(terminal string) string { return "suspense:conflict:" + terminal }

// Disputed is evidence in conflict: promises of wallets that their institution owes us for, or never will.
func Disputed(code string) string { return disputed + institution(code) }

const disputed = "disputed:"

// Paid posts a payment that an institution has taken.
func Paid(merchant string, p pos.Payment) Transaction {
	return Transaction{"paid:" + p.ID.String(), day(p), []Posting{
		{Receivable(p.Institution), p.Amount}, {Merchant(merchant), -p.Amount},
	}}
}

// Accepted posts evidence that a till has taken: in transit until it is credited.
func Accepted(merchant string, p pos.Payment) Transaction {
	return Transaction{"evidence:" + p.ID.String(), p.BusinessDate, []Posting{
		{InTransit(p.Institution), p.Amount}, {Pending(merchant), -p.Amount},
	}}
}

// Credited posts evidence that the institution has honoured. transit is the
// institution under which it was accepted.
func Credited(merchant, transit string, p pos.Payment) Transaction {
	return Transaction{"credited:" + p.ID.String(), day(p), []Posting{
		{InTransit(transit), -p.Amount},
		{Pending(merchant), p.Amount},
		{Receivable(p.Institution), p.Amount},
		{Merchant(merchant), -p.Amount},
	}}
}

// RefusedKey is the key of evidence that ended without credit.
func RefusedKey(id pos.PaymentID) string { return "refused:" + id.String() }

// Refused takes evidence back that was refused.
func Refused(merchant, transit string, p pos.Payment) Transaction {
	return Transaction{RefusedKey(p.ID), p.BusinessDate, []Posting{
		{InTransit(transit), -p.Amount}, {Pending(merchant), p.Amount},
	}}
}

// Conflicted takes evidence that is in conflict out of transit: what is claimed for it is disputed, and what the
// merchant would get waits for a person. The key is that of Refused: evidence that is not credited ends once.
func Conflicted(merchant, transit string, p pos.Payment) Transaction {
	t := Refused(merchant, transit, p)
	t.Postings = append(t.Postings, Posting{Disputed(transit), p.Amount}, Posting{SuspenseConflict(p.Terminal), -p.Amount})
	return t
}

// Refunded posts a refund that is done; date is the institution's.
func Refunded(merchant string, p pos.Payment, refund pos.RefundID, amount pos.Money, date pos.Date) Transaction {
	from := Merchant(merchant)
	if p.LatePaid { // it never reached the merchant
		from = SuspenseLate(p.ID)
	}
	if date == "" {
		date = day(p)
	}
	return Transaction{"refund:" + refund.String(), date, []Posting{
		{Receivable(p.Institution), -amount}, {from, amount},
	}}
}

const lateKey = "late:"

// PaidOut is what customers got back otherwise than through their institution, in a merchant's name.
func PaidOut(merchant string) string { return "paid_out:" + merchant }

// PaidOutLate ends late money that a customer got back otherwise.
func PaidOutLate(late Transaction, merchant string, date pos.Date) Transaction {
	out := Transaction{Key: "late_out:" + strings.TrimPrefix(late.Key, lateKey), Date: date}
	for _, p := range late.Postings {
		if strings.HasPrefix(p.Account, "suspense:late:") {
			out.Postings = append(out.Postings, Posting{p.Account, -p.Amount}, Posting{PaidOut(merchant), p.Amount})
		}
	}
	return out
}

// Late posts money that came for an abandoned payment.
func Late(p pos.Payment) Transaction {
	return Transaction{lateKey + p.ID.String(), day(p), []Posting{
		{Receivable(p.Institution), p.Amount}, {SuspenseLate(p.ID), -p.Amount},
	}}
}

// day is the settlement date where one is known, else the shop's.
func day(p pos.Payment) pos.Date {
	if _, err := pos.ParseDate(string(p.SettlementDate)); err == nil {
		return p.SettlementDate
	}
	return p.BusinessDate
}

// Moved says what to post for an entry's body (as dcep.Body gives it) that took the
// payment from before to after; ok is false when it moves no money.
func Moved(merchant string, before, after pos.Payment, body any) (t Transaction, ok bool) {
	switch b := body.(type) {
	case *pos.PaymentMoved:
		return state(merchant, before.Institution, after)
	case *pos.LatePaid:
		return Late(after), true
	case *pos.RefundMoved:
		if b.To != pos.RefundRefunded {
			return Transaction{}, false
		}
		r, found := after.Refund(b.RefundID)
		if !found {
			return Transaction{}, false
		}
		return Refunded(merchant, after, r.ID, r.Amount, r.Date), true
	}
	return Transaction{}, false
}

func state(merchant, transit string, p pos.Payment) (Transaction, bool) {
	switch p.State {
	case pos.Paid:
		return Paid(merchant, p), true
	case pos.AcceptedEvidence:
		return Accepted(merchant, p), true
	case pos.Credited:
		return Credited(merchant, transit, p), true
	case pos.Refused:
		return Refused(merchant, transit, p), true
	case pos.Conflict:
		return Conflicted(merchant, transit, p), true
	case pos.Created, pos.Asking, pos.Declined, pos.Unknown, pos.Abandoned, pos.Cancelled, pos.Stored:
		return Transaction{}, false
	}
	return Transaction{}, false
}

// Forked turns what an entry of a fork's second branch would post into suspense:
// the institution's side stays, the merchant's waits until a person decides. A conflict there is
// no second thing to decide on.
func Forked(terminal, merchant string, t Transaction) Transaction {
	out := Transaction{Key: ForkKey(t.Key), Date: t.Date}
	for _, p := range t.Postings {
		if p.Account == SuspenseConflict(terminal) || strings.HasPrefix(p.Account, disputed) {
			continue
		}
		if p.Account == Merchant(merchant) || p.Account == Pending(merchant) {
			p.Account = SuspenseFork(terminal)
		}
		out.Postings = append(out.Postings, p)
	}
	return out
}

// ForkKey is the key under which Forked posts what would have the given key.
func ForkKey(key string) string { return "fork:" + key }

// CreditKey is the key under which a transaction in suspense is credited.
func CreditKey(held string) string { return kindOf(held) + "_credit:" + held }

// WriteOffKey is the key under which a transaction in suspense is written off.
func WriteOffKey(held string) string { return kindOf(held) + "_off:" + held }

// kindOf tells why a transaction is in suspense: its journal forked, or its evidence is in conflict.
func kindOf(key string) string {
	if strings.HasPrefix(key, ForkKey("")) {
		return "fork"
	}
	return "conflict"
}

// negated is a transaction that undoes t under another key.
func (t Transaction) negated(key string, date pos.Date) Transaction {
	out := Transaction{Key: key, Date: date}
	for _, p := range t.Postings {
		out.Postings = append(out.Postings, Posting{p.Account, -p.Amount})
	}
	return out
}

// Rejoined takes out of suspense what the journal proper posts itself after all.
func Rejoined(fork Transaction) Transaction { return fork.negated("rejoined:"+fork.Key, fork.Date) }

// Credit gives the merchant what a transaction of Forked put into suspense: a person has
// found it to be real. into is Merchant, or Pending for evidence that is not credited yet.
func Credit(fork Transaction, terminal, into string, date pos.Date) Transaction {
	out := Transaction{Key: CreditKey(fork.Key), Date: date}
	for _, p := range fork.Postings {
		if p.Account == SuspenseFork(terminal) {
			out.Postings = append(out.Postings, Posting{p.Account, -p.Amount}, Posting{into, p.Amount})
		}
	}
	return out
}

// WrittenOff undoes a transaction of Forked: a person has found that it never was.
func WrittenOff(fork Transaction, date pos.Date) Transaction {
	return fork.negated(WriteOffKey(fork.Key), date)
}

// CreditConflict gives the merchant what Conflicted put into suspense; the institution is claimed on for it.
func CreditConflict(held Transaction, terminal, merchant string, date pos.Date) Transaction {
	out := Transaction{Key: CreditKey(held.Key), Date: date}
	for _, p := range held.Postings {
		if p.Account == SuspenseConflict(terminal) {
			out.Postings = append(out.Postings, Posting{p.Account, -p.Amount}, Posting{Merchant(merchant), p.Amount})
		}
		if code, ok := strings.CutPrefix(p.Account, disputed); ok {
			out.Postings = append(out.Postings, Posting{p.Account, -p.Amount}, Posting{Claim(code), p.Amount})
		}
	}
	return out
}

// WriteOffConflict gives up what Conflicted put into suspense: the merchant bears it.
func WriteOffConflict(held Transaction, terminal string, date pos.Date) Transaction {
	out := Transaction{Key: WriteOffKey(held.Key), Date: date}
	for _, p := range held.Postings {
		if p.Account == SuspenseConflict(terminal) || strings.HasPrefix(p.Account, disputed) {
			out.Postings = append(out.Postings, Posting{p.Account, -p.Amount})
		}
	}
	return out
}

// String names the transaction for logs.
func (t Transaction) String() string { return fmt.Sprintf("%s %s %v", t.Key, t.Date, t.Postings) }
