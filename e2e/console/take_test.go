package console_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/chromedp/chromedp"

	"dcpos/internal/testbin"
	"dcpos/internal/testbrowser"
	"dcpos/lab/drill"
	"dcpos/lab/wallet"
	"dcpos/pos"
)

// shop is two tills with their centre.
type shop struct {
	*testing.T
	*drill.Site
}

func (s shop) must(err error) {
	s.Helper()
	if err != nil {
		s.Fatal(err)
	}
}

func (s shop) until(what string, f func() error) {
	s.Helper()
	var err error
	for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline); time.Sleep(20 * time.Millisecond) {
		if err = f(); err == nil {
			return
		}
	}
	s.Fatalf("%s: %v", what, err)
}

// promise takes an offline payment at a till by what sign makes of its challenge.
func (s shop) promise(till *drill.Till, fen pos.Money, sign func(string, time.Time) (string, error)) pos.Payment {
	s.Helper()
	key := fmt.Sprintf("sale-%d", fen)
	p, err := till.Pay(s.Context(), drill.Start{Key: key, OrderID: key, Amount: fen, Mode: pos.Evidence})
	s.must(err)
	text, err := till.Challenge(s.Context(), p.ID)
	s.must(err)
	answer, err := sign(text, time.Now())
	s.must(err)
	p, err = till.Do(s.Context(), p.ID, "evidence", map[string]string{"evidence": answer})
	s.must(err)
	if p.State != pos.AcceptedEvidence {
		s.Fatalf("payment is %s", p.State)
	}
	return p
}

// disagree lets one wallet spend a counter at two tills without a network, and more than its class allows at both
// together. The first comes online again; of the second only the sealed file is left, which it gives.
func (s shop) disagree() (file string) {
	s.Helper()
	limits := filepath.Join(s.TempDir(), "limits.yaml")
	s.must(os.WriteFile(limits, []byte("tiers: [{class: 4, single_fen: 200000, day_fen: 2500}]\n"), 0o600))
	if out, code, err := s.Central(s.Context(), "policy", "publish", limits); err != nil || code != 0 {
		s.Fatalf("publish: %d %v\n%s", code, err, out)
	}
	for _, till := range s.Tills {
		s.until("policy", func() error {
			st, err := till.Status(s.Context())
			if err == nil && (st.Rules.Version != 2 || st.Outbox.Receipted == 0) {
				err = fmt.Errorf("%+v %+v", st.Rules, st.Outbox)
			}
			return err
		})
	}
	w, err := wallet.Create(s.Context(), s.WalletClient("ICBC"), wallet.Opening{Institution: "ICBC", Name: "w", Balance: 1000_00, Tier: 4})
	s.must(err)
	s.must(s.Link.Cut())
	for _, till := range s.Tills {
		s.until("no link", func() error {
			st, err := till.Status(s.Context())
			if err == nil && st.Connected {
				err = fmt.Errorf("connected")
			}
			return err
		})
	}
	first := s.promise(s.Tills[0], 10_00, w.Answer)
	s.promise(s.Tills[1], 20_00, w.DoubleSpend)
	s.must(s.Tills[1].Kill())
	file = filepath.Join(s.TempDir(), "till-2.sealed")
	out, err := exec.CommandContext(s.Context(), filepath.Join(s.Options.Bin, "posctl"), "journal", "export", s.Tills[1].Journal(), file).CombinedOutput()
	if err != nil {
		s.Fatalf("export: %v\n%s", err, out)
	}
	s.must(s.Link.Restore())
	s.until("the first is credited", func() error {
		p, err := s.Tills[0].Payment(s.Context(), first.ID)
		if err == nil && p.State != pos.Credited {
			err = fmt.Errorf("it is %s", p.State)
		}
		return err
	})
	return file
}

// A till that never came online again: its sealed file is taken in through the page, the receipt can be had, and
// what the file proves is seen on the pages of wallets and of suspense.
func TestASealedFileIsTakenInThroughThePage(t *testing.T) {
	site, err := drill.Open(t.Context(), drill.SiteOptions{Bin: testbin.Dir(t), Dir: t.TempDir(), Tills: 2})
	if err != nil {
		t.Fatal(err)
	}
	s := shop{t, site}
	t.Cleanup(func() { s.must(site.Close()) })
	file := s.disagree()
	const password = "seen by four eyes"
	s.must(s.AddAccount(t.Context(), "zhao", "operator", password))
	base, err := s.Centre.URL()
	s.must(err)
	url := base + "/console/"
	p := testbrowser.Desk(testbrowser.Start(t), t)
	p.Do("sign in", chromedp.Navigate(url+"login?lang=zh"), chromedp.SendKeys(chromedp.CSS("#name"), "zhao"),
		chromedp.SendKeys(chromedp.CSS("#password"), password+"\n"), chromedp.WaitVisible(chromedp.CSS("nav")))
	take := func(words ...string) {
		t.Helper()
		p.Do("take in", chromedp.Navigate(url+"take"), chromedp.WaitVisible(chromedp.CSS("#file")),
			chromedp.SetUploadFiles(chromedp.CSS("#file"), []string{file}), chromedp.Click(chromedp.CSS("button.primary")),
			chromedp.WaitVisible(chromedp.CSS(`section[role="status"] a[download]`)))
		p.Sees("what was taken in", append(words, "已全部导入", s.Tills[1].ID, "till-2.sealed", "密封文件", "下载回执")...)
	}
	take()
	p.Shot("taken")
	take("新增") // the same file again counts nothing twice
	p.Shot("taken-again")

	// Read by the payment room a moment later.
	s.until("the conflict is seen", func() error {
		l, err := s.Ledger(t.Context())
		if err == nil && l.Balance("suspense:conflict:"+s.Tills[1].ID) != -20_00 {
			err = fmt.Errorf("in suspense %s", l.Balance("suspense:conflict:"+s.Tills[1].ID))
		}
		return err
	})
	p.Do("wallets", chromedp.Navigate(url+"wallets"), chromedp.WaitVisible(chromedp.CSS("details summary")),
		chromedp.Click(chromedp.CSS("details summary")))
	p.Sees("the wallets", "重复支付的钱包", "计数 1", "¥10.00", "¥20.00", "已入账给商户", "挂账:待人工处理", "超出类别限额的钱包", "类别 4", "24 小时累计", "¥30.00", "¥25.00", "提议吊销该钱包")
	p.Shot("wallets-found")
	p.Do("propose", chromedp.SendKeys(chromedp.CSS("input[name=reason]"), "同一计数,两台终端"), chromedp.Submit(chromedp.CSS("input[name=reason]")),
		chromedp.WaitNotPresent(chromedp.CSS("input[name=reason]")))
	p.Sees("the proposal", "待第二人确认吊销", "同一计数,两台终端")
	p.Shot("wallets-proposed")
	p.Do("in English", chromedp.Navigate(url+"wallets?lang=en"), chromedp.WaitVisible(chromedp.CSS("details summary")))
	p.Sees("the wallets in English", "Wallets beyond their class", "class 4", "24 hours", "revocation waits for a second person")
	p.Shot("wallets-en")
	p.Do("suspense", chromedp.Navigate(url+"suspense"), chromedp.WaitVisible(chromedp.CSS("h1")))
	p.Sees("what is in suspense", "20.00", s.Tills[1].ID)
	p.Shot("suspense-en")
}
