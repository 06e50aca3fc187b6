// Package breaks makes work of what the reconciler found: every break is a case with a life,
// money in suspense while it lives (挂账), and an end that moves or books that money (调账).
//
//	open → assigned → explained → adjusted | written_off | carried
//	  └─ carried (waits for the next day) ─┘     any → resolved (the partner came, or the break is gone)
//
// What a case keeps in suspense is its Difference and Fees less what was Booked out of it; a
// case ends only when that is zero, and is opened again by itself when it no longer is (a
// corrected statement). One remedy lives per case, it always takes the whole amount (so that
// nobody can stay below the limit of four eyes by halves), and its ledger key is its own id.
//
// To add a remedy: its constant, its row in fits and target, its line in
// docs/PROTOCOL.md.
package breaks

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"

	"dcpos/central/reconcile"
	"dcpos/central/reconcile/carry"
	"dcpos/central/reconcile/match"
	"dcpos/pos"
)

// line is the case as the matching rules know it; false when both sides have a line.
func lineOf(c *pos.BreakCase) (match.Line, bool) {
	l := match.Line{
		Item:  carry.Item{TxnID: c.Txn, Bank: c.Bank, Merchant: c.Merchant, Since: string(c.Date), Line: c.ID},
		Batch: c.Batch, Orig: c.Orig, Clock: c.Clock, Ref: c.ID,
	}
	switch c.Kind {
	case pos.MissingTheirs:
		l.Side, l.Amount, l.Status = carry.Ours, c.Ours, c.OursStatus
	case pos.MissingOurs:
		l.Side, l.Amount, l.Status = carry.Theirs, c.Theirs, c.TheirStatus
	case pos.AmountMismatch, pos.StatusMismatch, pos.FieldMismatch, pos.DuplicateOurs, pos.DuplicateTheirs, pos.Matched, pos.CreditMismatch:
		return l, false
	}
	return l, true
}

// identity names the trouble of one id on one date: the n-th doubled line of a side, or the
// pair ("" of side). It stays the same when a corrected statement changes the kind.
func identity(date pos.Date, txn, side string, n int) string {
	sum := sha256.Sum256([]byte(strings.Join([]string{"dcpos-break-1", string(date), txn, side, fmt.Sprint(n)}, "\x00")))
	return hex.EncodeToString(sum[:12])
}

// names gives breaks their ids, in the order of breaks.csv.
type names struct {
	date pos.Date
	seen map[[2]string]int
}

func (n *names) of(b *reconcile.Break) string {
	side := ""
	if b.Kind == pos.DuplicateOurs || b.Kind == pos.DuplicateTheirs {
		side = string(b.Kind)
	}
	key := [2]string{side, b.TxnID}
	if n.seen == nil {
		n.seen = map[[2]string]int{}
	}
	n.seen[key]++
	return identity(n.date, b.TxnID, side, n.seen[key])
}

func effective(amount pos.Money, status string) pos.Money {
	switch status {
	case "S":
		return amount
	case "R":
		return -amount
	}
	return 0
}

// describe writes a break into its case.
func describe(c *pos.BreakCase, b *reconcile.Break) {
	c.Kind, c.Txn, c.Bank, c.Merchant = b.Kind, b.TxnID, b.Bank, b.MerchantID
	c.Field, c.OursValue, c.TheirsValue = b.Field, b.Values[0], b.Values[1]
	c.Ours, c.OursStatus, c.Theirs, c.TheirStatus = 0, "", 0, ""
	if b.Ours != nil {
		c.Ours, c.OursStatus = b.Ours.Amount, b.Ours.Status
	}
	if b.Theirs != nil {
		c.Theirs, c.TheirStatus = b.Theirs.Amount, b.Theirs.Status
	}
	c.Difference = effective(c.Ours, c.OursStatus) - effective(c.Theirs, c.TheirStatus)
	c.Fees = b.FeeDifference()
}

// validCause reports whether c is one of Causes.
func validCause(c pos.BreakCause) bool { return slices.Contains(pos.BreakCauses(), c) }
