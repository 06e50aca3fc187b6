package browser_test

import (
	"sync/atomic"
	"time"

	"dcpos/agent/checkout"
	"dcpos/agent/checkout/checkouttest"
	"dcpos/agent/screen"
	"dcpos/pos"
)

func (j journey) aCustomerAtAKiosk() {
	t, ctx := j.T, j.ctx
	s := open(t, screen.Options{Layout: screen.LayoutKiosk, IdleReset: 3 * time.Second})
	p := tab(ctx, t, s, "kiosk", "/", 1080, 1920)
	p.see("#stage", "欢迎", "Welcome")
	p.shot("welcome")

	// The vendor's program asks, the kiosk's own scanner reads.
	ask := checkout.Request{Caller: "vendor", Key: "1", OrderID: "basket-7", OrderAmount: 700, Amount: 700, Mode: pos.BScanC}
	if _, err := s.till.Start(t.Context(), ask); err != nil {
		t.Fatal(err)
	}
	p.see("#stage", "请将付款码对准扫码口", "7.00")
	if _, err := s.till.Scan(t.Context(), "130000000000000000", ""); err == nil {
		t.Fatal("a code of another scheme is taken")
	}
	p.see("#stage .problem", "微信")
	if _, err := s.till.Scan(t.Context(), checkouttest.Code(5), ""); err != nil {
		t.Fatal(err)
	}
	p.see("#state", "已支付")
	p.click("#print")
	p.see("#stage", "小票已打印")

	// A payment by the customer's code, which appears nowhere.
	p = tab(ctx, t, s, "kiosk", "/?amount=25.80", 1080, 1920)
	p.see("#stage", "请选择付款方式", "25.80")
	p.shot("choose")
	p.click("#way-code")
	p.see("#stage", "请将付款码对准扫码口", "25.80")
	p.sizes("hold", stands()...)
	p.scan(checkouttest.Code(1))
	p.see("#state", "已支付")
	if html := p.js(`document.documentElement.outerHTML`); contains(html, checkouttest.Code(1)) {
		t.Fatal("the page holds the payment code")
	}
	p.shot("paid")
	p.see("#stage", "欢迎") // by itself

	// By QR, in English, on a wide screen.
	p = tab(ctx, t, s, "kiosk-wide", "/kiosk?amount=9", 1280, 800)
	p.click("#language")
	p.see("#stage", "How would you like to pay?")
	p.click("#way-qr")
	p.see("#stage", "Scan with your phone", "valid for")
	p.sizes("qr", stands()...)
	s.Host.Settle(s.Journal.All()[2].ID, pos.Paid)
	p.see("#state", "paid")
	p.shot("paid")
	p.click("#done")
	p.see("#stage", "欢迎")
}

func (j journey) aKioskInTrouble() {
	t, ctx := j.T, j.ctx
	s := open(t, screen.Options{Layout: screen.LayoutKiosk})
	var fate atomic.Int64
	fate.Store(int64(checkouttest.LostAfter))
	s.Host.SetFates(func(verb string) checkouttest.Fate {
		if verb != "pay" {
			return checkouttest.LostBefore
		}
		return checkouttest.Fate(fate.Load())
	})
	p := tab(ctx, t, s, "kiosk-trouble", "/?amount=30", 1080, 1920)
	p.click("#way-code")
	p.see("#stage", "请将付款码对准扫码口")
	p.scan(checkouttest.Code(1))
	p.see("#state", "请勿重复支付")
	p.see("#short", s.Journal.All()[0].ID.Short())
	p.sizes("unknown", stands()...)
	p.click("#call-staff")
	p.see("#stage", "需要店员协助", "Staff needed", s.Journal.All()[0].ID.Short())
	p.sizes("staff", stands()...)
	p.click("#staff-here")
	p.click("#done")
	p.see("#stage", "欢迎")

	fate.Store(int64(checkouttest.Denied))
	p = tab(ctx, t, s, "kiosk-trouble-wide", "/?amount=31", 1024, 768)
	p.click("#way-code")
	p.see("#stage", "请将付款码对准扫码口")
	p.scan(checkouttest.Code(2))
	p.see("#state", "未支付")
	p.sizes("declined", stands()...)
	p.click("#done")

	s.Host.Connect(false)
	p.see("#stage", "网络中断")
	p.sizes("offline", stands()...)
	p = tab(ctx, t, s, "kiosk-offline", "/?amount=32", 1080, 1920)
	p.click("#way-offline")
	p.see("#stage", "第一步", "第二步", "32.00")
	p.sizes("challenge", stands()...)
}
