package breaks

import (
	"context"
	"crypto/sha256"
	"fmt"
	"slices"

	"dcpos/central/ledger"
	"dcpos/pos"
)

// Fitting lists the remedies that make sense for a case.
func Fitting(c *pos.BreakCase) []pos.RemedyKind {
	return slices.DeleteFunc(pos.RemedyKinds(), func(k pos.RemedyKind) bool { return fits(k, c) != nil })
}

// fits says whether the remedy makes sense for the case, and what to do instead.
func fits(k pos.RemedyKind, c *pos.BreakCase) error {
	owed := c.Outstanding() < 0 // they have more than we
	switch {
	case !slices.Contains(pos.RemedyKinds(), k):
		return pos.FieldError(pos.ErrBadRequest, "kind", fmt.Errorf("%.32q is no remedy", k))
	case k == pos.RemedyComplete && (!owed || c.OursStatus == "S"):
		return unfit("a sale is completed where the institution took money that our books lack: adjust or claim instead",
			"仅当机构已收款而我方无账时才能补单:请改用调账或追索")
	case k == pos.RemedyRefund && (!owed || c.TheirStatus != "S" || c.Kind == pos.DuplicateTheirs || c.Kind == pos.CreditMismatch):
		return unfit("a refund gives back what the institution took beyond our books: claim doubled lines on the institution",
			"仅当机构多收顾客款项时才能退款:重复行请向机构追索")
	case (k == pos.RemedyComplete || k == pos.RemedyAdjust) && c.Merchant == "":
		return unfit("no merchant is named: claim on the institution or write off", "未指明商户:请向机构追索或核销")
	}
	return nil
}

func unfit(en, zh string) error { return no(pos.ErrIllegalMove, "kind", zh, en) }

// target is the account to which the money goes; a refund posts by itself.
func target(k pos.RemedyKind, c *pos.BreakCase) string {
	switch k {
	case pos.RemedyComplete, pos.RemedyAdjust:
		return ledger.Merchant(c.Merchant)
	case pos.RemedyClaim:
		return ledger.Claim(c.Bank)
	case pos.RemedyRefund, pos.RemedyWriteOff:
	}
	return ledger.WriteOff(c.Bank)
}

// ends is the state of a case that the remedy has closed.
func ends(k pos.RemedyKind) pos.BreakState {
	if k == pos.RemedyWriteOff {
		return pos.BreakWrittenOff
	}
	return pos.BreakAdjusted
}

// refundDomain separates this hash from every other; a change of the rule is a new domain.
const refundDomain = "dcpos-break-refund-1"

// RefundID is the id of a remedy's refund: the time of the payment's id, then bits of
// SHA-256(domain ‖ 0x00 ‖ remedy), with version 8 and variant as RFC 9562 §5.8 says. The same
// remedy has the same refund for ever.
func RefundID(remedy string, payment pos.PaymentID) pos.RefundID {
	sum := sha256.Sum256(append(append([]byte(refundDomain), 0), remedy...))
	var r pos.RefundID
	copy(r[:6], payment[:6])
	copy(r[6:], sum[:10])
	r[6] = r[6]&0x0f | 0x80
	r[8] = r[8]&0x3f | 0x80
	return r
}

// Sale is a payment that an institution's statement proves to be paid.
type Sale struct {
	Payment  pos.PaymentID
	Bank     string
	Merchant string
	Amount   pos.Money
	Date     pos.Date
	Remedy   string
}

// paidNow says what has become of a completed sale.
const paidNow = "支付已改为已支付 the payment is paid"

// completeSale changes the payment itself where the line is one of ours (补单). Then the books are as if we had
// known in time: the payment is posted as paid, and the difference, which was one in our books, is none any more.
func (t *turn) completeSale(c *pos.BreakCase, r *pos.Remedy, by string) (done bool, err error) {
	id, err := pos.ParsePaymentID(c.Txn)
	if err != nil || c.TheirStatus != "S" || c.Fees != 0 || c.Difference != -c.Theirs || c.Outstanding() != c.Difference {
		return false, nil //nolint:nilerr // an id of another form is no payment of ours
	}
	done, err = t.tx.CompleteSale(t.ctx, Sale{
		Payment: id, Bank: c.Bank, Merchant: c.Merchant, Amount: c.Theirs, Date: c.Date, Remedy: r.ID,
	})
	if err != nil || !done {
		return false, err
	}
	if _, err := ledger.Post(t.ctx, t.tx, ledger.Broken("remedy:"+r.ID, c.Bank, c.Date, -c.Difference, 0)); err != nil {
		return false, err
	}
	c.Difference = 0
	r.State, r.Detail = pos.RemedyDone, paidNow
	t.move(c, by, "remedied", ends(r.Kind), r.Kind.Text().Both()+": "+paidNow)
	return true, t.tx.PutRemedy(t.ctx, *r)
}

// RefundOrder asks the payment room to give money back, borne by Source.
type RefundOrder struct {
	ID       pos.RefundID
	Payment  pos.PaymentID
	Amount   pos.Money
	Taken    pos.Money
	Source   string
	Operator string
}

// RefundWord is the payment room's answer.
type RefundWord struct {
	State  pos.RefundState
	Reason pos.Code
	Detail string
}

// Payments is what a remedy needs of the payment room. The same order again is the same refund.
type Payments interface {
	RefundBreak(ctx context.Context, o RefundOrder) (RefundWord, error)
}
