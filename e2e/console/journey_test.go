package console_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"

	"dcpos/internal/testbrowser"
)

func TestAnOperatorsMorning(t *testing.T) {
	url := demo(t)
	p := testbrowser.Desk(testbrowser.Start(t), t)
	p.Do("first tab", chromedp.Navigate(url+"login?lang=zh"))

	p.Leaves("wrong password", chromedp.SendKeys(chromedp.CSS("#name"), "admin"),
		chromedp.SendKeys(chromedp.CSS("#password"), "not the password\n"))
	if strings.Contains(p.Text(), "WFJ01-001") {
		t.Fatal("a wrong password let someone in")
	}
	p.Do("sign in", chromedp.Navigate(url), chromedp.SendKeys(chromedp.CSS("#name"), "admin"),
		chromedp.SendKeys(chromedp.CSS("#password"), "wangfujing-2021\n"),
		chromedp.WaitVisible(chromedp.CSS("nav")))
	p.Sees("the overview", "WFJ01-001", "WFJ01-002", "WFJ01-003", "WFJ01-004", "测试 TEST")
	p.Shot("overview")

	p.Do("payments", chromedp.Navigate(url+"payments"), chromedp.WaitVisible(chromedp.CSS("table")))
	p.Sees("the payments", "已支付", "已入账", "¥58.80", "¥199.00")
	p.Shot("payments")
	p.Leaves("one payment", chromedp.Click(chromedp.CSS("tbody tr td a")))
	p.Sees("the payment", "WFJ01-00")
	p.Shot("payment")

	p.Do("ledger", chromedp.Navigate(url+"ledger"), chromedp.WaitVisible(chromedp.CSS("table")))
	p.Sees("the ledger", "receivable:ICBC", "merchant:M100", "0.00")
	p.Shot("ledger")

	p.Do("reconciliation", chromedp.Navigate(url+"reconcile"), chromedp.WaitVisible(chromedp.CSS("table")))
	p.Sees("the runs", time.Now().In(time.FixedZone("", 8*3600)).Format("2006-01"))
	p.Shot("runs")
	p.Leaves("ask for a run", chromedp.Submit(chromedp.CSS("#date")))
	p.Sees("the runs", "立即对账", "每半小时自动重试")
	p.Shot("runs-asked")
	p.Leaves("breaks", chromedp.Click(chromedp.CSS("tbody tr td a")))
	p.Sees("the breaks", "对方缺少", "CCB", "199.00")
	p.Shot("breaks")

	p.Do("work", chromedp.Navigate(url+"breaks?all=1"), chromedp.WaitVisible(chromedp.CSS("table")))
	p.Sees("the work on breaks", "对方缺少", "到账不符", "已调账", "standard/2 carry", "已结清", "CSV", "Excel")
	p.Shot("breaks-work")
	p.Do("a break that was claimed", chromedp.Navigate(url+"breaks?state=adjusted"), chromedp.WaitVisible(chromedp.CSS("td.mono a")),
		chromedp.Click(chromedp.CSS("td.mono a")), chromedp.WaitVisible(chromedp.CSS("h2")))
	p.Sees("its history", "向机构追索", "已完成", "zhao", "admin", "复核同意", "规则")
	p.Shot("break-done")
	p.Do("one that is open", chromedp.Navigate(url+"breaks?lang=en"), chromedp.WaitVisible(chromedp.CSS("td.mono a")),
		chromedp.Click(chromedp.CSS("td.mono a")), chromedp.WaitVisible(chromedp.CSS("#assignee")), chromedp.Submit(chromedp.CSS("#assignee")),
		chromedp.WaitVisible(chromedp.CSS("#note")), chromedp.SendKeys(chromedp.CSS("#note"), "credited, but not listed"),
		chromedp.Submit(chromedp.CSS("#note")), chromedp.WaitVisible(chromedp.CSS("#reason")),
		chromedp.SendKeys(chromedp.CSS("#reason"), "ticket 118"))
	p.Shot("break-explained")
	p.Do("a remedy above the limit", chromedp.Submit(chromedp.CSS("#reason")), chromedp.WaitVisible(chromedp.CSS("input[name=reason][required]")))
	p.Sees("the proposal", "waits for a second person", "the net credit differs")
	p.Shot("break-proposed")
	p.Do("Chinese again", chromedp.Navigate(url+"breaks?lang=zh"), chromedp.WaitVisible(chromedp.CSS("table")))

	p.Do("wallets", chromedp.Navigate(url+"wallets"), chromedp.WaitVisible(chromedp.CSS("h1")))
	p.Sees("the wallets", "重复支付的钱包", "没有发现双花", "本中心的吊销")
	p.Shot("wallets")
	file := filepath.Join(t.TempDir(), "till.sealed")
	if err := os.WriteFile(file, []byte("no journal"), 0o600); err != nil {
		t.Fatal(err)
	}
	p.Do("a file that is no till's", chromedp.Navigate(url+"take"), chromedp.WaitVisible(chromedp.CSS("#file")),
		chromedp.SetUploadFiles(chromedp.CSS("#file"), []string{file}), chromedp.Click(chromedp.CSS("button.primary")),
		chromedp.WaitVisible(chromedp.CSS("div.card.narrow h1")))
	p.Sees("the refusal", "file")
	p.Shot("take-refused")

	p.Do("enrolment", chromedp.Navigate(url+"enrol"), chromedp.WaitVisible(chromedp.CSS("form")))
	p.Shot("enrol")
	p.Do("audit", chromedp.Navigate(url+"audit"), chromedp.WaitVisible(chromedp.CSS("table")))
	p.Sees("the trail", "terminal_enrolled", "admin", "file_refused")
	p.Shot("audit")

	p.Do("English", chromedp.Navigate(url+"?lang=en"), chromedp.WaitVisible(chromedp.CSS("nav")))
	p.Sees("the overview in English", "Payments today", "Tills", "TEST")
	p.Shot("overview-en")
}
