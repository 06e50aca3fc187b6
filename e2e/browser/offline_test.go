package browser_test

import (
	"time"

	"github.com/chromedp/chromedp/kb"

	"dcpos/agent/checkout"
	"dcpos/agent/checkout/checkouttest"
	"dcpos/agent/screen"
	"dcpos/pos"
	"dcpos/pos/dcep"
)

func (j journey) offlineOnAHandheld() {
	t, ctx := j.T, j.ctx
	s := open(t, screen.Options{Layout: screen.LayoutHandheld})
	p := tab(ctx, t, s, "handheld", "/", 390, 844)
	p.see("#panel", "客户扫码")
	p.shot("online")
	s.Host.Connect(false)
	p.see("#offline-banner", "离线", "5000.00 / 500")
	p.see("#panel", "离线收款")
	p.press("501")
	p.see("#guide", "超过单笔离线限额")
	p.sizes("too-much", [2]int64{390, 844}, [2]int64{1024, 768})
	p.press(kb.Escape)
	p.press("45.60" + kb.Enter)
	p.see("#panel", "请客户用钱包扫此码", "45.60")
	p.sizes("challenge", [2]int64{390, 844}, [2]int64{1024, 768})
	// The wallet sees the challenge by its camera; the test reads what the QR holds.
	text := p.js(`fetch('/v1/payments/' + document.querySelector('img.qr').src.split('/')[5] + '/challenge', {method: 'POST',
		headers: {'X-Dcpos-Csrf': document.cookie.match(/dcpos_csrf=([^;]+)/)[1]}}).then(r => r.json()).then(c => window.challenge = c.text) && ''`)
	p.see("#panel", "请客户用钱包扫此码")
	for text == "" {
		text = p.js(`window.challenge ?? ''`)
	}
	answer, err := s.NewWallet(t).Sign(text)
	if err != nil {
		t.Fatal(err)
	}
	p.scan(answer)
	p.see("#state", "已受理,待入账")
	p.see("#offline-banner", "¥45.60", "4954.40 / 499")
	p.shot("accepted")
	if all := s.Journal.All(); len(all) != 1 || all[0].State != pos.AcceptedEvidence {
		t.Fatalf("%+v", all)
	}
	p.click(`[data-tab="list"]`)
	p.see("#payments", "已受理,待入账")
	p.shot("list")
	s.Host.Connect(true)
	p.see("#banners", "正在上传离线收款")
	p.click(`button[data-tab="pay"]`)
	p.click("#next")
	p.see("#panel", "客户扫码")
	p.shot("back-online")
}

// A code that is charged later: the room for it, the code, what it says, what is refused, and how it ended; then what
// the centre has decided about a wallet's promise.
func (j journey) storedAndDecided() {
	t, ctx := j.T, j.ctx
	s := open(t, screen.Options{Layout: screen.LayoutCashier}, func(c *checkout.Config) {
		limits := pos.DefaultLimits()
		limits.Forward = pos.Forward{PerPayment: 20_00, StoredTotal: 30_00, StoredCount: 3, OldestStop: 12 * time.Hour}
		c.Forward, c.Limits = true, func() pos.Limits { return limits }
		c.Catalogue = func() pos.Catalogue {
			return pos.Catalogue{IssuedMS: time.Now().UnixMilli(), Instruments: []pos.Instrument{
				{Institution: "ICBC", Name: "lab-pass", ValidMS: (24 * time.Hour).Milliseconds()},
			}}
		}
	})
	p := tab(ctx, t, s, "stored", "/", 1280, 800)
	p.see("#link", "已连接中心")
	s.Host.Connect(false)
	p.see("#forward", "已登记未扣款", "30.00 / 3")
	store := func(amount, code string) {
		p.see("#later", "商户承担风险")
		p.press(amount)
		p.see("#amount", amount)
		p.click("#later")
		p.see("#panel", "请扫客户付款码", amount)
		p.scan(code)
	}
	store("8.80", checkouttest.Code(1)) // of one minute
	p.see("#panel .problem", pos.ErrOfflineCode.Text().ZH)
	p.shot("one-minute-code")
	code := dcep.NewForward("ICBC", "lab-pass").String()
	p.scan(code)
	p.see("#state", "已登记,尚未扣款")
	p.see("#panel", "损失由商户承担")
	p.see("#forward", "21.20 / 2")
	p.sizes("stored", counters()[:2]...)
	p.click("#next")
	store("1.00", code) // the same code for another sale
	p.see("#panel .problem", pos.ErrCodeUsed.Text().ZH)
	p.press(kb.Escape)
	p.see("#later", "商户承担风险")
	p.see("#payments", "8.80", "已登记,尚未扣款")

	// The wallet's way beside it, with totals of its own.
	p.click(`[data-key="clear"]`)
	p.press("45.60")
	p.see("#amount", "45.60")
	p.press(kb.Enter)
	p.see("#panel", "请客户用钱包扫此码", "45.60")
	var promised pos.Payment
	for _, one := range s.Journal.All() {
		if one.Mode == pos.Evidence {
			promised = one
		}
	}
	prompt, err := s.till.Challenge(t.Context(), promised.ID)
	if err != nil {
		t.Fatal(err)
	}
	answer, err := s.NewWallet(t).Sign(prompt.Text)
	if err != nil {
		t.Fatal(err)
	}
	p.scan(answer)
	p.see("#state", "已受理,待入账")

	// Both are decided: one is the shop's loss, the other in conflict; both are told, and why.
	stored := s.Journal.All()[0].ID
	for n, v := range []pos.Verdict{
		{Payment: stored, Moved: &pos.PaymentMoved{From: pos.Stored, To: pos.Declined, Reason: pos.ErrInsufficient, Source: "centre", Institution: "ICBC"}},
		{Payment: promised.ID, Moved: &pos.PaymentMoved{From: pos.AcceptedEvidence, To: pos.Conflict, Reason: pos.ErrEvidenceSeen, Source: "centre", Institution: "ICBC"}},
	} {
		v.Number = uint64(n + 1) //nolint:gosec // two
		if err := s.till.ApplyVerdict(t.Context(), v); err != nil {
			t.Fatal(err)
		}
	}
	p.see("#state", "凭证冲突,待人工处理")
	p.see("#panel .result.bad", pos.ErrEvidenceSeen.Text().ZH)
	p.see("#banners", "扣款失败", "损失 8.80 元由商户承担", "凭证冲突,待人工处理")
	p.see("#payments", "凭证冲突", "未支付")
	p.see("#forward", "30.00 / 3")
	p.click("#language")
	p.see("#banners", "merchant's loss", "evidence in conflict")
	p.click("#language")
	for range 2 { // what was read makes room
		p.see("#banners", "知道了")
		p.click("#banners button")
	}
	p.sizes("decided", counters()[:2]...)
}
