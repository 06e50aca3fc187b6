// Package slip lays out what the till prints: the receipt of a payment in each of
// its states, in Chinese and English.
package slip

import (
	"time"

	"dcpos/drivers/receipt"
	"dcpos/drivers/scanner/router"
	"dcpos/pos"
)

// Shop is whose receipt it is.
type Shop struct {
	Env       pos.Environment
	Merchant  string
	Store     string
	StoreName pos.Text
	Terminal  string
}

const timeForm = "2006-01-02 15:04:05"

// Payment is the receipt of a payment as it is now. It never calls money paid that
// is not: an offline payment says 已受理,待入账, an unknown one 结果查询中,请勿重复支付.
// Its QR ("dcpos:pay:" and the id) finds the payment again; with proof (dcep.Slip.Text) in the id's place it also
// proves to the customer what the till recorded. printed is now.
func Payment(shop Shop, p pos.Payment, proof string, printed time.Time) receipt.Receipt {
	r := receipt.New()
	test := shop.Env.Notice()
	if !test.IsZero() {
		r.Add(testMark(test))
	}
	name := shop.StoreName.ZH
	if name == "" {
		name = shop.Merchant
	}
	r.Add(receipt.Title(name))
	if en := shop.StoreName.EN; en != "" && en != name {
		r.Add(receipt.Centered(en))
	}
	r.Add(receipt.Centered("数字人民币 Digital yuan (e-CNY)"), receipt.Rule())
	r.Add(
		receipt.Pair("商户 Merchant", shop.Merchant), receipt.Pair("门店 Store", shop.Store),
		receipt.Pair("终端 Terminal", shop.Terminal), receipt.Pair("收银员 Operator", p.Operator),
		receipt.Pair("订单 Order", p.OrderID),
		receipt.Pair("时间 Time", time.UnixMilli(p.CreatedMS).In(pos.Shanghai()).Format(timeForm)),
		receipt.Pair("编号 No.", p.ID.Short()),
	)
	r.Add(receipt.DoubleRule(), receipt.Pair("金额 Amount", "￥"+p.Amount.String(), receipt.Style{Bold: true, Size: receipt.Tall}))
	addMoney(&r, p)
	r.Add(receipt.DoubleRule())
	addState(&r, p)
	if !p.ID.IsZero() {
		code := p.ID.String()
		if proof != "" {
			code = proof
		}
		r.Add(receipt.Feed(1), receipt.QR(router.PaymentPrefix+code))
	}
	r.Add(receipt.Centered("打印 Printed " + printed.In(pos.Shanghai()).Format(timeForm)))
	if !test.IsZero() {
		r.Add(receipt.Centered(pos.Text{ZH: "测试小票,无任何价值", EN: "TEST, without any value"}.Both()))
	}
	r.Add(receipt.Feed(1), receipt.Cut())
	return r
}

func addMoney(r *receipt.Receipt, p pos.Payment) {
	if p.OrderAmount != p.Amount {
		r.Add(receipt.Pair("订单金额 Order total", "￥"+p.OrderAmount.String()))
	}
	if p.EnvelopePart > 0 {
		r.Add(
			receipt.Pair("其中红包 Red envelope", "￥"+p.EnvelopePart.String()),
			receipt.Pair("钱包 Own money", "￥"+(p.Amount-p.EnvelopePart).String()),
		)
	}
	if p.Institution != "" {
		r.Add(receipt.Pair("运营机构 Institution", p.Institution))
	}
	if p.InstitutionTxn != "" {
		r.Add(receipt.Pair("机构流水 Txn", p.InstitutionTxn))
	}
}

func addState(r *receipt.Receipt, p pos.Payment) {
	bold := receipt.Style{Bold: true, Size: receipt.Tall, Align: receipt.Center}
	text := p.State.Text()
	r.Add(receipt.Text(text.ZH, bold), receipt.Text(text.EN, receipt.Style{Bold: true, Align: receipt.Center}))
	switch p.State {
	case pos.Declined, pos.Refused, pos.Conflict:
		if p.Reason != "" {
			r.Add(receipt.Centered(p.Reason.Text().Both()))
		}
	case pos.Stored:
		addStored(r, p)
	case pos.Created, pos.Asking, pos.Paid, pos.Unknown, pos.Abandoned, pos.Cancelled, pos.AcceptedEvidence, pos.Credited:
	}
	if p.LatePaid {
		r.Add(receipt.Centered(pos.Text{ZH: "事后到账,自动退款", EN: "paid late, refunded by itself"}.Both()))
	}
	for _, f := range p.Refunds {
		r.Add(receipt.Pair("退款 Refund "+f.ID.Short(), "￥"+f.Amount.String()), receipt.Text(f.State.Text().Both()))
		if p.EnvelopePart > 0 {
			addSplit(r, f)
		}
	}
}

// addSplit tells where a refund went of a payment that envelopes have borne a part of: own
// money first, then the envelopes, and what of theirs the fund takes back as they are over.
func addSplit(r *receipt.Receipt, f pos.Refund) {
	if f.State != pos.RefundRefunded {
		return
	}
	r.Add(receipt.Pair("退自有资金 To own money", "￥"+f.Own().String())) // 0.00 is told too
	if back := f.Envelope - f.Recalled; back > 0 {
		r.Add(receipt.Pair("退回红包 To red envelope", "￥"+back.String()))
	}
	if f.Recalled > 0 {
		r.Add(
			receipt.Pair("红包收回 Recalled", "￥"+f.Recalled.String()),
			receipt.Text(pos.Text{ZH: "红包已到期,此部分由资金方收回", EN: "the envelope is over: its fund takes this part back"}.Both()),
		)
	}
}

// addStored tells the customer what is still to come, and until when: she has left when it is charged.
func addStored(r *receipt.Receipt, p pos.Payment) {
	r.Add(
		receipt.Centered("网络恢复后将从您的凭证扣款"), receipt.Centered("请勿就此单再次支付"),
		receipt.Centered("Your code is charged when the network is back. Do not pay this order again."),
		receipt.Pair("凭证 Code of", p.Instrument),
		receipt.Pair("逾期不再扣款 Not after", time.UnixMilli(p.ExpiresMS).In(pos.Shanghai()).Format(timeForm)),
	)
}
