package browser_test

import (
	"time"

	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"

	"dcpos/agent/checkout"
	"dcpos/agent/checkout/checkouttest"
	"dcpos/agent/devices"
	"dcpos/agent/operator"
	"dcpos/agent/screen"
	"dcpos/pos"
)

func (j journey) aCashiersDay() {
	t, ctx := j.T, j.ctx
	s := open(t, screen.Options{Layout: screen.LayoutCashier, Language: "zh"}, func(c *checkout.Config) { c.SignIn = true })
	s.Staff.Hire(t, "11", operator.Supervisor, "1234")
	p := tab(ctx, t, s, "cashier", "/", 1280, 800)

	p.see("#panel", "收银员登录")
	p.fill("#number", "11")
	p.fill("#pin", "9999")
	p.click("#sign-in")
	p.see(".signin .problem", "PIN")
	p.sizes("sign-in-wrong", counters()...)
	p.fill("#pin", "1234"+kb.Enter)
	p.see("#who", "N11")
	p.see("#link", "已连接中心")
	p.shot("empty")

	// A scanner that is a keyboard, too early: no amount is made of its code.
	p.press("5")
	p.see("#amount", "5")
	time.Sleep(200 * time.Millisecond)
	p.scan(checkouttest.Code(9))
	p.see("#toast", "没有等待此码的收款")
	if v := p.js(`document.getElementById("amount").value`); v != "5" || len(s.Journal.All()) != 0 {
		t.Fatalf("the code became an amount: %q, %d payments", v, len(s.Journal.All()))
	}
	p.press(kb.Escape)

	// More than an amount can hold is looked at once more, however slowly it came.
	p.press("12345678")
	time.Sleep(200 * time.Millisecond)
	p.press(kb.Enter)
	p.see("#panel .problem", "请输入金额")
	p.press(kb.Escape)

	// The customer's code, by keyboard alone.
	p.press("12.34")
	p.see("#amount", "12.34")
	p.shot("amount")
	p.press(kb.Enter)
	p.see("#panel", "请扫客户付款码", "12.34")
	p.shot("scan")
	p.fill("#code", "130000000000000000")
	p.click("#submit")
	p.see("#panel .problem", "微信")
	p.sizes("wrong-code", counters()...)
	p.fill("#code", checkouttest.Code(1))
	p.click("#submit")
	p.see("#state", "已支付")
	p.see("#live", "已支付")
	p.see("#payments", "12.34", "已支付")
	p.shot("paid")
	if all := s.Journal.All(); len(all) != 1 || all[0].State != pos.Paid || all[0].Amount != 1234 || all[0].Operator != "11" {
		t.Fatalf("%+v", all)
	}
	p.press(kb.Enter)

	// A QR, by the keys on the screen.
	for _, k := range []string{"8", "8", ".", "5"} {
		p.click(`[data-key="` + k + `"]`)
	}
	p.see("#amount", "88.5")
	p.click("#qr")
	p.see("#panel", "请客户扫码支付", "剩余", "88.50")
	p.do(chromedp.WaitVisible(chromedp.CSS("img.qr")))
	p.sizes("qr", counters()...)
	p.press(kb.Escape)
	p.see("#dialog", "放弃这笔收款", "自动退回")
	p.shot("give-up")
	p.click("#no")
	s.Host.Settle(s.Journal.All()[1].ID, pos.Paid)
	p.see("#state", "已支付")

	// Some of it goes back.
	p.click(`#payments li[data-state="paid"]:nth-of-type(2) [data-do="refund"]`)
	p.see("#dialog", "最多可退", "88.50")
	p.fill("#refund-amount", kb.Delete+"90")
	p.click("#yes")
	p.see("#dialog .problem", "0.01")
	p.do(chromedp.SetValue(chromedp.CSS("#refund-amount"), "8.50"))
	p.shot("refund")
	p.click("#yes")
	p.see("#payments", "已退款 ¥8.50")
	p.see("#toast", "已退款")
	p.shot("refunded")
	if n := s.Host.Refunds(s.Journal.All()[1].ID); n != 1 {
		t.Fatalf("%d refunds", n)
	}
	p.click(`#payments li:nth-of-type(2) [data-do="print"]`)
	p.see("#dialog", "补打小票")
	p.click("#yes")
	p.see("#toast", "小票已打印")

	// English, remembered.
	p.click("#language")
	p.see("#panel", "paid", "Next sale")
	p.do(chromedp.Reload())
	p.see("#panel", "Take payment", "Show QR")
	p.see("#payments", "refunded ¥8.50")
	p.shot("english")
	p.click("#sign-out")
	p.see("#dialog", "Sign out?")
	p.click("#yes")
	p.see("#panel", "Sign in to sell")
}

func (j journey) unknownAndDeclined() {
	t, ctx := j.T, j.ctx
	s := open(t, screen.Options{Layout: screen.LayoutCashier})
	fate := make(chan checkouttest.Fate, 10)
	s.Host.SetFates(func(verb string) checkouttest.Fate {
		if verb != "pay" {
			return checkouttest.LostBefore
		}
		return <-fate
	})
	p := tab(ctx, t, s, "trouble", "/", 1024, 768)
	p.see("#link", "已连接中心")
	sell := func(amount, code string, f checkouttest.Fate) {
		fate <- f
		p.press(amount + kb.Enter)
		p.see("#panel", "请扫客户付款码")
		p.fill("#code", code)
		p.click("#submit")
	}
	// The answer to a press is lost: pressed again it is the same payment.
	s.lose.Store(true)
	p.press("10" + kb.Enter)
	p.see("#panel .problem", "收银程序无响应", "不会重复收款")
	p.press(kb.Enter)
	p.see("#panel", "请扫客户付款码", "10.00")
	if all := s.Journal.All(); len(all) != 1 {
		t.Fatalf("%d payments by one press", len(all))
	}
	p.press(kb.Escape)
	p.see("#take", "收款")
	sell("20", checkouttest.Code(1), checkouttest.Denied)
	p.see(".result.bad", "未支付", "20.00")
	p.sizes("declined", counters()...)
	p.press(kb.Enter)
	sell("30", checkouttest.Code(2), checkouttest.LostAfter)
	p.see(".result.warn", "结果查询中,请勿重复支付", "30.00")
	p.sizes("unknown", counters()...)

	// Another attempt beside it needs a yes, and a no starts nothing.
	p.click("#again")
	p.see("#dialog", "可能已经扣款")
	p.shot("confirm")
	p.click("#no")
	p.gone("#dialog")
	p.see("#state", "结果查询中")
	if n := len(s.Journal.All()); n != 3 {
		t.Fatalf("%d payments after a no", n)
	}
	p.click("#again")
	p.see("#dialog", "可能已经扣款")
	p.click("#yes")
	p.see("#panel", "请扫客户付款码", "30.00")
	p.press(kb.Escape)
	p.see("#take", "收款")
	confirmed := 0
	for _, e := range s.Journal.Entries() {
		if e.Kind == pos.KindOrderConfirmed {
			confirmed++
		}
	}
	if confirmed != 1 {
		t.Fatalf("%d confirmations are journaled", confirmed)
	}
}

func (j journey) whatACashierMustKnow() {
	t, ctx := j.T, j.ctx
	s := open(t, screen.Options{Layout: screen.LayoutTwin})
	p := tab(ctx, t, s, "notices", "/", 1280, 800)
	p.see("#link", "已连接中心")
	p.press("66")
	p.click("#qr")
	p.see("#panel", "请客户扫码支付")
	p.press(kb.Escape)
	p.see("#dialog", "放弃这笔收款")
	p.click("#yes")
	p.see("#state", "已放弃,如已扣款将自动退回")
	p.shot("abandoned")
	id := s.Journal.All()[0].ID
	err := s.till.ApplyVerdict(t.Context(), pos.Verdict{Number: 1, Payment: id, Late: &pos.LatePaid{
		Institution: "ICBC", InstitutionTxn: "77", SettlementDate: "2026-01-02",
	}})
	if err != nil {
		t.Fatal(err)
	}
	p.see("#banners", "事后扣款 66.00 元")
	text, hint := pos.Text{ZH: "打印机缺纸", EN: "the printer is out of paper"}, pos.Text{ZH: "请装纸后继续", EN: "load paper"}
	s.set([]devices.Status{{Category: "POSPrinter", Name: "printer", State: "ERROR", Text: &text, Hint: &hint}})
	p.see("#banners", "打印机:打印机缺纸", "请装纸后继续")
	s.Host.Connect(false)
	p.see("#offline-banner", "剩余额度")
	p.click("#next")
	p.see("#panel", "离线收款")
	p.shot("banners")
	p.click("#banners button")
	p.see("#panel", "离线收款")
	if text := p.js(`document.getElementById("banners").innerText`); contains(text, "事后扣款") {
		t.Fatal("a notice that was read is still there")
	}
	p.sizes("banners", counters()[:2]...)

	// What the till's own scanner reads is shown, too.
	if _, err := s.till.Scan(t.Context(), "dcpos:pay:"+id.String(), ""); err != nil {
		t.Fatal(err)
	}
	p.see("#state", "已放弃")
	if _, err := s.till.Scan(t.Context(), "130000000000000000", ""); err == nil {
		t.Fatal("a code of another scheme is taken")
	}
	p.see("#toast", "微信")

	// The customer's side of the same till.
	p = tab(ctx, t, s, "twin", "/kiosk", 1280, 800)
	p.see("#stage", "网络中断")
	p.shot("customer")

	// A page that was not opened with its key says so and does nothing.
	stranger, end := chromedp.NewContext(ctx, chromedp.WithNewBrowserContext())
	defer end()
	q := &page{T: t, ctx: stranger, dir: t.ArtifactDir(), name: "stranger"}
	q.do(chromedp.EmulateViewport(1280, 800), chromedp.Navigate(s.url))
	q.see("#banners", "此页面已失效")
	q.shot("locked")
}
