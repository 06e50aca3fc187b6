package ledger

import "dcpos/pos"

// SuspenseBreaks holds what an institution and we do not agree on of a settlement date
// (挂账), until each break is remedied: positive is money that we miss, negative money that is
// too much.
func SuspenseBreaks(code string, date pos.Date) string {
	return "suspense:break:" + institution(code) + ":" + string(date)
}

// Claim is what we have asked an institution to make good.
func Claim(code string) string { return "claim:" + institution(code) }

// WriteOff is what was given up, or kept, of breaks.
func WriteOff(code string) string { return "write_off:" + institution(code) }

// Rounding is what a rule's tolerance let pass.
func Rounding(code string) string { return "rounding:" + institution(code) }

// Settlement is our account at an institution to which a day's net is credited.
func Settlement(code string) string { return "settlement:" + institution(code) }

// Broken moves a difference between our books and a statement into suspense: difference is
// ours less theirs of the sales, fees what the statement keeps beyond ours.
func Broken(key, code string, date pos.Date, difference, fees pos.Money) Transaction {
	return Transaction{key, date, []Posting{
		{Receivable(code), -difference}, {Fees(code), -fees}, {SuspenseBreaks(code, date), difference + fees},
	}}
}

// Adjusted takes an amount out of suspense to where it belongs (调账).
func Adjusted(key, code string, of pos.Date, to string, fen pos.Money, today pos.Date) Transaction {
	return Transaction{key, today, []Posting{{SuspenseBreaks(code, of), -fen}, {to, fen}}}
}

// Apart is what an institution settles by itself, not in the day's net credit: refunds that it debits
// elsewhere are ours to pay there, as are fees that it bills. Whoever pays them posts it here.
func Apart(code string) string { return "apart:" + institution(code) }

// NetCredit is what a day's net credit is made of, or how that has changed.
type NetCredit struct {
	Gross  pos.Money // what the statement's lines are worth
	Fees   pos.Money
	Apart  pos.Money // of both: not in the credit, but settled by itself
	Credit pos.Money // what has arrived
}

// Settled posts a day's net credit; what is not there goes into suspense.
func Settled(key, code string, date pos.Date, n NetCredit) Transaction {
	return Transaction{key, date, []Posting{
		{Receivable(code), -n.Gross},
		{Fees(code), n.Fees},
		{Apart(code), -n.Apart},
		{Settlement(code), n.Credit},
		{SuspenseBreaks(code, date), n.Gross - n.Fees + n.Apart - n.Credit},
	}}
}

// RefundedFrom posts a refund that suspense bears, not the merchant: of money that an
// institution took and we never booked.
func RefundedFrom(source, code string, refund pos.RefundID, amount pos.Money, date pos.Date) Transaction {
	return Transaction{"refund:" + refund.String(), date, []Posting{{Receivable(code), -amount}, {source, amount}}}
}
