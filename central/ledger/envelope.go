package ledger

import (
	"errors"
	"fmt"
	"strings"

	"dcpos/pos"
)

// The accounts of envelopes' money begin with these.
const (
	fundPrefix      = "fund:"
	budgetPrefix    = "budget:"
	envelopesPrefix = "envelopes:"
	owedPrefix      = "owed:"
)

// ErrEarmarked is returned for a transaction that would let envelopes' money go elsewhere
// than to an institution that has paid a merchant, or back where it came from.
var ErrEarmarked = errors.New("money of envelopes may not go there")

// Envelopes is what holders of a campaign's envelopes of a tier may still spend.
func Envelopes(campaign string, tier int) string {
	return fmt.Sprintf("%s%s:%d", envelopesPrefix, campaign, tier)
}

// Owed is what we owe an institution for envelopes that its wallets have spent.
func Owed(code string) string { return owedPrefix + institution(code) }

// EnvelopePart is an amount of one envelope.
type EnvelopePart struct {
	Envelope string
	Campaign string
	Tier     int
	Amount   pos.Money
}

// Claimed posts an envelope that came into a wallet.
func Claimed(e EnvelopePart, date pos.Date) Transaction {
	return Transaction{"claimed:" + e.Envelope, date, []Posting{
		{Budget(e.Campaign), e.Amount}, {Envelopes(e.Campaign, e.Tier), -e.Amount},
	}}
}

// EnvelopesSpent posts the envelopes' part of a payment, which the institution has paid.
func EnvelopesSpent(id pos.PaymentID, code string, parts []EnvelopePart, date pos.Date) Transaction {
	return Transaction{"envelopes:" + id.String(), date, owes(code, parts, 1)}
}

// EnvelopesReturned posts the envelopes' part of a refund.
func EnvelopesReturned(id pos.RefundID, code string, parts []EnvelopePart, date pos.Date) Transaction {
	return Transaction{"envelopes_back:" + id.String(), date, owes(code, parts, -1)}
}

func owes(code string, parts []EnvelopePart, sign pos.Money) []Posting {
	var all []Posting
	for _, p := range parts {
		all = append(all, Posting{Envelopes(p.Campaign, p.Tier), sign * p.Amount}, Posting{Owed(code), -sign * p.Amount})
	}
	return all
}

// Recalled posts what an envelope gives back to its fund provider; cause is empty for the
// recall after the window, and names the refund that came after it.
func Recalled(e EnvelopePart, provider, cause string, date pos.Date) Transaction {
	return Transaction{"recalled:" + e.Envelope + suffix(cause), date, []Posting{
		{Envelopes(e.Campaign, e.Tier), e.Amount}, {Fund(provider), -e.Amount},
	}}
}

// Restored posts money that goes from the fund into an envelope again, for a payment that
// was made in its window and came after the recall.
func Restored(e EnvelopePart, provider string, id pos.PaymentID, date pos.Date) Transaction {
	return Transaction{"restored:" + e.Envelope + ":" + id.String(), date, []Posting{
		{Fund(provider), e.Amount}, {Envelopes(e.Campaign, e.Tier), -e.Amount},
	}}
}

// Released posts what is left of a campaign's budget when all its envelopes are back.
func Released(campaign, provider string, rest pos.Money, date pos.Date) Transaction {
	return Transaction{"released:" + campaign, date, []Posting{
		{Budget(campaign), rest}, {Fund(provider), -rest},
	}}
}

func suffix(cause string) string {
	if cause == "" {
		return ""
	}
	return ":" + cause
}

// earmarked refuses a transaction that lets money of envelopes out of its circle.
func (t Transaction) earmarked() error {
	var sign pos.Money
	for _, p := range t.Postings {
		if !strings.HasPrefix(p.Account, envelopesPrefix) || p.Amount == 0 {
			continue
		}
		if sign != 0 && (p.Amount > 0) != (sign > 0) {
			return fmt.Errorf("transaction %s: from one envelope to another: %w", t.Key, ErrEarmarked)
		}
		sign = p.Amount
	}
	for _, p := range t.Postings {
		if !strings.HasPrefix(p.Account, envelopesPrefix) && sign != 0 && !t.beside(p.Account) {
			return fmt.Errorf("transaction %s: account %.64q beside envelopes: %w", t.Key, p.Account, ErrEarmarked)
		}
	}
	return nil
}

// beside reports that an account may stand in a transaction with envelopes.
func (t Transaction) beside(account string) bool {
	if campaign, ok := strings.CutPrefix(account, budgetPrefix); ok {
		for _, p := range t.Postings {
			if strings.HasPrefix(p.Account, envelopesPrefix) && !strings.HasPrefix(p.Account, envelopesPrefix+campaign+":") {
				return false
			}
		}
		return true
	}
	return strings.HasPrefix(account, owedPrefix) || strings.HasPrefix(account, fundPrefix)
}
