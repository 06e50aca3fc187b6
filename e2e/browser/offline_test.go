package browser_test

import (
	"github.com/chromedp/chromedp/kb"

	"dcpos/agent/screen"
	"dcpos/pos"
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
