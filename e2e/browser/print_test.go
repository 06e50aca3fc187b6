package browser_test

import (
	"time"

	"github.com/chromedp/chromedp/kb"

	"dcpos/agent/checkout"
	"dcpos/agent/checkout/checkouttest"
	"dcpos/agent/screen"
	"dcpos/drivers"
	"dcpos/pos"
)

func (j journey) aPrinterInTrouble() {
	t, ctx := j.T, j.ctx
	ready := make(chan struct{}, 1)
	always := func(c *checkout.Config) { c.Receipt, c.PrinterReady = checkout.PrintAlways, ready }
	s := open(t, screen.Options{Layout: screen.LayoutTwin}, always)
	p := tab(ctx, t, s, "printer", "/", 1280, 800)
	pay := func(p *page, amount, code string) {
		p.see("#link", "已连接中心")
		p.fill("#amount", amount)
		p.see("#amount", amount)
		time.Sleep(200 * time.Millisecond) // slower than a scanner
		p.press(kb.Enter)
		p.see("#panel", "请扫客户付款码")
		p.scan(code)
		p.see("#state", "已支付")
		p.press(kb.Enter)
	}
	paper := drivers.Trouble(drivers.CategoryPOSPrinter, "print", drivers.ErrPaperEnd, nil)
	s.Printer.Jam(paper)
	pay(p, "12", checkouttest.Code(1))
	p.see("#print-held", "打印纸用完", "请更换打印纸", "自动打印", "待打印 1 张")
	pay(p, "34", checkouttest.Code(2))
	p.see("#print-held", "待打印 2 张")
	p.sizes("no-paper", counters()...)
	p.click("#print-drop") // the customer has gone
	p.see("#print-held", "待打印 1 张")
	s.Printer.Jam(nil)
	ready <- struct{}{}
	p.gone("#print-held")
	if jobs := s.Printer.Jobs(); len(jobs) != 1 || jobs[0].Duplicate {
		t.Fatalf("%d papers", len(jobs))
	}

	// The printer says nothing: somebody looks at the paper, once.
	s.Printer.Mute(true)
	p = tab(ctx, t, s, "silent-printer", "/", 1280, 800)
	p.see("#list", "12.00")
	pay(p, "56", checkouttest.Code(3))
	p.see("#print-ask", "小票完整打出来了吗?", "补打")
	p.sizes("came-out", counters()...)
	p.click("#came-not")
	for end := time.Now().Add(time.Minute); len(s.Printer.Jobs()) != 3; time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("%d papers", len(s.Printer.Jobs()))
		}
	}
	if jobs := s.Printer.Jobs(); jobs[1].Duplicate || !jobs[2].Duplicate {
		t.Fatal("the second paper is not marked")
	}
	p.see("#print-ask", "小票完整打出来了吗?")
	p.click("#language")
	p.see("#print-ask", "Did the whole receipt come out?", "Yes, it is here")
	p.click("#came-out")
	p.gone("#print-ask")
	time.Sleep(100 * time.Millisecond)
	if n := len(s.Printer.Jobs()); n != 3 {
		t.Fatalf("%d papers", n)
	}

	// A kiosk's customer can put in no paper.
	k := open(t, screen.Options{Layout: screen.LayoutKiosk}, always, func(c *checkout.Config) { c.Reprint = checkout.ReprintAuto })
	k.Printer.Jam(paper)
	ask := checkout.Request{Caller: "vendor", Key: "1", OrderID: "basket-7", OrderAmount: 700, Amount: 700, Mode: pos.BScanC}
	started, err := k.till.Start(t.Context(), ask)
	if err != nil {
		t.Fatal(err)
	}
	p = tab(ctx, t, k, "kiosk-printer", "/", 1080, 1920)
	p.see("#stage", "请将付款码对准扫码口")
	p.scan(checkouttest.Code(4))
	p.see("#state", "已支付")
	p.see("#receipt", "小票暂时无法打印,请记下编号")
	p.see("#short", started.ID.Short())
	p.sizes("no-paper", stands()...)
}
