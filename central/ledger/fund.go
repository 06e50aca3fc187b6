package ledger

import (
	"fmt"

	"dcpos/pos"
)

// Fund is what we hold for a fund provider and have not promised to a campaign.
func Fund(provider string) string { return fundPrefix + provider }

// Budget is what a campaign may still hand out.
func Budget(campaign string) string { return budgetPrefix + campaign }

// Deposited posts money that a fund provider has put into our account at an institution;
// reference is the institution's name for the transfer.
func Deposited(provider, code, reference string, amount pos.Money, date pos.Date) Transaction {
	return Transaction{"deposit:" + institution(code) + ":" + reference, date, []Posting{
		{Receivable(code), amount}, {Fund(provider), -amount},
	}}
}

// Rebudgeted posts what a campaign's later version has more of a budget than the one before,
// or less where more is below 0.
func Rebudgeted(campaign, provider string, version int, more pos.Money, date pos.Date) Transaction {
	return Transaction{fmt.Sprintf("rebudget:%s:%d", campaign, version), date, []Posting{
		{Fund(provider), more}, {Budget(campaign), -more},
	}}
}

// Reserved posts a campaign's budget: of its provider's fund, once, when it is published.
func Reserved(campaign, provider string, budget pos.Money, date pos.Date) Transaction {
	return Transaction{"reserve:" + campaign, date, []Posting{
		{Fund(provider), budget}, {Budget(campaign), -budget},
	}}
}
