package checkout

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"

	"dcpos/drivers/scanner/router"
	"dcpos/pos"
)

// MaxScan bounds what Scan reads; a wallet's answer is the longest code.
const MaxScan = 4096

// Scan is what a scanned code was, and what was done with it.
type Scan struct {
	Kind router.Kind `json:"kind"`
	// Code is the code itself for goods, campaigns and links, masked for everything else.
	Code string `json:"code"`
	// Payment is the payment that the code found or paid.
	Payment *pos.Payment `json:"payment,omitempty"`
	Text    pos.Text     `json:"text"`
}

// Scan is the one scan box: a payment code goes to the payment that waits for one, a
// wallet's answer to the payment that shows a challenge, our receipt's QR finds its
// payment; of everything else it says what it is. symbology is the AIM identifier
// where the scanner tells it. The result is filled in as far as it is known also
// when there is an error, which has the code and the advice of what went wrong.
func (t *Till) Scan(ctx context.Context, code, symbology string) (Scan, error) {
	code = strings.TrimSpace(code)
	if code == "" || len(code) > MaxScan || !utf8.ValidString(code) {
		return Scan{Kind: router.KindUnknown, Text: pos.ErrBadCode.Text()}, pos.FieldError(pos.ErrBadCode, "code", fmt.Errorf("%d bytes", len(code)))
	}
	s := Scan{Kind: router.ClassifyScan(code, symbology), Code: router.Mask(code)}
	if s.Kind == router.KindLink && router.CampaignLink(code, t.c.CampaignHost) {
		s.Kind = router.KindCampaign
	}
	err := t.route(ctx, code, &s)
	if err != nil {
		s.Text = pos.AsError(err).Text
	}
	told := s
	t.publish(Event{Kind: EventScan, Scan: &told})
	return s, err
}

func (t *Till) route(ctx context.Context, code string, s *Scan) error {
	switch s.Kind {
	case router.KindPayment:
		return t.scanReceipt(ctx, code, s)
	case router.KindECNY, router.KindForward:
		return t.scanPaying(ctx, s, pos.BScanC, func(id pos.PaymentID) (pos.Payment, error) { return t.SubmitCode(ctx, id, code) })
	case router.KindEvidence:
		return t.scanPaying(ctx, s, pos.Evidence, func(id pos.PaymentID) (pos.Payment, error) { return t.SubmitEvidence(ctx, id, code) })
	case router.KindWeChat, router.KindAlipay, router.KindUnionPay:
		return otherScheme(s.Kind)
	case router.KindCampaign:
		s.Code, s.Text = code, pos.Text{ZH: "活动二维码,请顾客用手机扫码报名", EN: "a campaign's code: the customer registers with a phone"}
		return nil
	case router.KindGoods, router.KindGS1:
		s.Code, s.Text = code, pos.Text{ZH: "商品条码", EN: "goods code"}
		return nil
	case router.KindLink:
		s.Code, s.Text = code, pos.Text{ZH: "网址二维码,不是付款码", EN: "a web address, not a payment code"}
		return nil
	case router.KindUnknown:
	}
	return pos.FieldError(pos.ErrBadCode, "code", errors.New("unknown kind of code"))
}

func (t *Till) scanReceipt(ctx context.Context, code string, s *Scan) error {
	text, _, _ := strings.Cut(strings.TrimPrefix(code, router.PaymentPrefix), ".") // the proof after it is for others
	id, err := pos.ParsePaymentID(text)
	if err != nil {
		return pos.FieldError(pos.ErrBadCode, "code", err)
	}
	p, err := t.Payment(ctx, id)
	if err != nil {
		return err
	}
	s.Code, s.Payment, s.Text = code, &p, p.State.Text()
	return nil
}

// scanPaying hands a code to the payment that waits for one of its kind.
func (t *Till) scanPaying(ctx context.Context, s *Scan, mode pos.Mode, pay func(pos.PaymentID) (pos.Payment, error)) error {
	if s.Kind == router.KindECNY && !t.c.Host.Connected() {
		return pos.NewError(pos.ErrOfflineCode, errors.New("not connected"))
	}
	t.mu.Lock()
	id := t.current
	t.mu.Unlock()
	if id.IsZero() {
		return nobodyWaits(errors.New("no payment is open"))
	}
	p, err := t.Payment(ctx, id)
	if err != nil {
		return err
	}
	s.Payment = &p
	if p.Mode != mode || !p.State.Open() {
		return nobodyWaits(fmt.Errorf("payment %s is a %s and %s", p.ID, p.Mode, p.State))
	}
	if p, err = pay(id); err != nil {
		return err
	}
	s.Payment, s.Text = &p, p.State.Text()
	return nil
}

func nobodyWaits(err error) error {
	return &pos.Error{
		Code: pos.ErrIllegalMove, Field: "code",
		Text: pos.Text{ZH: "没有等待此码的收款", EN: "no payment waits for this code"},
		Hint: pos.Text{ZH: "请先输入金额并选择收款方式", EN: "enter the amount and choose the way to pay first"},
		Err:  err,
	}
}

// Current is the payment that a scanned code would go to.
func (t *Till) Current(ctx context.Context) (pos.Payment, bool) {
	t.mu.Lock()
	id := t.current
	t.mu.Unlock()
	if id.IsZero() {
		return pos.Payment{}, false
	}
	p, err := t.Payment(ctx, id)
	return p, err == nil
}
