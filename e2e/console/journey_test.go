package console_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
)

func TestAnOperatorsMorning(t *testing.T) {
	url := demo(t)
	p := open(t)
	p.do("first tab", chromedp.Navigate(url+"login?lang=zh"))

	p.do("wrong password", chromedp.SendKeys(chromedp.CSS("#name"), "admin"),
		chromedp.SendKeys(chromedp.CSS("#password"), "not the password\n"), chromedp.Sleep(time.Second))
	if strings.Contains(p.text(), "WFJ01-001") {
		t.Fatal("a wrong password let someone in")
	}
	p.do("sign in", chromedp.Navigate(url), chromedp.SendKeys(chromedp.CSS("#name"), "admin"),
		chromedp.SendKeys(chromedp.CSS("#password"), "wangfujing-2021\n"),
		chromedp.WaitVisible(chromedp.CSS("nav")), chromedp.Sleep(500*time.Millisecond))
	p.sees("the overview", "WFJ01-001", "WFJ01-002", "WFJ01-003", "WFJ01-004", "测试 TEST")
	p.shot("overview")

	p.do("payments", chromedp.Navigate(url+"payments"), chromedp.WaitVisible(chromedp.CSS("table")))
	p.sees("the payments", "已支付", "已入账", "¥58.80", "¥199.00")
	p.shot("payments")
	p.do("one payment", chromedp.Click(chromedp.CSS("tbody tr td a")), chromedp.Sleep(500*time.Millisecond))
	p.sees("the payment", "WFJ01-00")
	p.shot("payment")

	p.do("ledger", chromedp.Navigate(url+"ledger"), chromedp.WaitVisible(chromedp.CSS("table")))
	p.sees("the ledger", "receivable:ICBC", "merchant:M100", "0.00")
	p.shot("ledger")

	p.do("reconciliation", chromedp.Navigate(url+"reconcile"), chromedp.WaitVisible(chromedp.CSS("table")))
	p.sees("the runs", time.Now().In(time.FixedZone("", 8*3600)).Format("2006-01"))
	p.shot("runs")
	p.do("ask for a run", chromedp.Submit(chromedp.CSS("#date")), chromedp.Sleep(500*time.Millisecond), chromedp.WaitVisible(chromedp.CSS("table")))
	p.sees("the runs", "立即对账", "每半小时自动重试")
	p.shot("runs-asked")
	p.do("breaks", chromedp.Click(chromedp.CSS("tbody tr td a")), chromedp.Sleep(500*time.Millisecond))
	p.sees("the breaks", "对方缺少", "CCB", "199.00")
	p.shot("breaks")

	p.do("work", chromedp.Navigate(url+"breaks?all=1"), chromedp.WaitVisible(chromedp.CSS("table")))
	p.sees("the work on breaks", "对方缺少", "到账不符", "已调账", "standard/2 carry", "已结清", "CSV", "Excel")
	p.shot("breaks-work")
	p.do("a break that was claimed", chromedp.Navigate(url+"breaks?state=adjusted"), chromedp.WaitVisible(chromedp.CSS("td.mono a")),
		chromedp.Click(chromedp.CSS("td.mono a")), chromedp.WaitVisible(chromedp.CSS("h2")))
	p.sees("its history", "向机构追索", "已完成", "zhao", "admin", "复核同意", "规则")
	p.shot("break-done")
	p.do("one that is open", chromedp.Navigate(url+"breaks?lang=en"), chromedp.WaitVisible(chromedp.CSS("td.mono a")),
		chromedp.Click(chromedp.CSS("td.mono a")), chromedp.WaitVisible(chromedp.CSS("#assignee")), chromedp.Submit(chromedp.CSS("#assignee")),
		chromedp.WaitVisible(chromedp.CSS("#note")), chromedp.SendKeys(chromedp.CSS("#note"), "credited, but not listed"),
		chromedp.Submit(chromedp.CSS("#note")), chromedp.WaitVisible(chromedp.CSS("#reason")),
		chromedp.SendKeys(chromedp.CSS("#reason"), "ticket 118"))
	p.shot("break-explained")
	p.do("a remedy above the limit", chromedp.Submit(chromedp.CSS("#reason")), chromedp.WaitVisible(chromedp.CSS("input[name=reason][required]")))
	p.sees("the proposal", "waits for a second person", "the net credit differs")
	p.shot("break-proposed")
	p.do("Chinese again", chromedp.Navigate(url+"breaks?lang=zh"), chromedp.WaitVisible(chromedp.CSS("table")))

	p.do("wallets", chromedp.Navigate(url+"wallets"), chromedp.WaitVisible(chromedp.CSS("h1")))
	p.sees("the wallets", "重复支付的钱包", "没有发现双花", "本中心的吊销")
	p.shot("wallets")
	file := filepath.Join(t.TempDir(), "till.sealed")
	if err := os.WriteFile(file, []byte("no journal"), 0o600); err != nil {
		t.Fatal(err)
	}
	p.do("a file that is no till's", chromedp.Navigate(url+"take"), chromedp.WaitVisible(chromedp.CSS("#file")),
		chromedp.SetUploadFiles(chromedp.CSS("#file"), []string{file}), chromedp.Click(chromedp.CSS("button.primary")),
		chromedp.WaitVisible(chromedp.CSS("div.card.narrow h1")))
	p.sees("the refusal", "file")
	p.shot("take-refused")

	p.do("enrolment", chromedp.Navigate(url+"enrol"), chromedp.WaitVisible(chromedp.CSS("form")))
	p.shot("enrol")
	p.do("audit", chromedp.Navigate(url+"audit"), chromedp.WaitVisible(chromedp.CSS("table")))
	p.sees("the trail", "terminal_enrolled", "admin", "file_refused")
	p.shot("audit")

	p.do("English", chromedp.Navigate(url+"?lang=en"), chromedp.WaitVisible(chromedp.CSS("nav")))
	p.sees("the overview in English", "Payments today", "Tills", "TEST")
	p.shot("overview-en")
}
