package campaign_test

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"

	"dcpos/internal/testbin"
	"dcpos/internal/testbrowser"
	"dcpos/lab/institution"
	"dcpos/lab/wallet"
	"dcpos/pos"
	"dcpos/pos/dcep"
)

// draftName is the campaign that a test publishes in the console.
const draftName = "beijing-2021-06"

// password is of every account here.
const password = "correct horse battery"

// account makes an account of the console.
func (w *world) account(who, role string) {
	w.Helper()
	cmd := exec.CommandContext(w.Context(), filepath.Join(testbin.Dir(w.T), "poscentral"), "--config", w.config, "account", "add", who, "--role", role)
	cmd.Stdin = strings.NewReader(password)
	if out, err := cmd.CombinedOutput(); err != nil {
		w.Fatalf("account: %v\n%s", err, out)
	}
}

// console is where the console is.
func (w *world) console() string {
	b, err := os.ReadFile(w.consoleAddress())
	if err != nil {
		w.Fatal(err)
	}
	return "http://" + strings.TrimSpace(string(b)) + "/console/"
}

// sign signs in; the next pages are the account's.
func (w *world) sign(p *testbrowser.Page, who string) {
	w.Helper()
	p.Do("sign in", chromedp.Navigate(w.console()+"login?lang=zh"), chromedp.SendKeys(chromedp.CSS("#name"), who),
		chromedp.SendKeys(chromedp.CSS("#password"), password+"\n"), chromedp.WaitVisible(chromedp.CSS("nav")))
}

// look opens a page of the console again and again until it says the words.
func (w *world) look(p *testbrowser.Page, path string, wants ...string) {
	w.Helper()
	var body string
	defer func() {
		if w.Failed() {
			w.Logf("%s shows:\n%s", path, body)
		}
	}()
	w.until(strings.Join(wants, " "), func() bool {
		p.Do(path, chromedp.Navigate(w.console()+path), chromedp.WaitVisible(chromedp.CSS("main")))
		body = p.Text()
		for _, want := range wants {
			if !strings.Contains(body, want) {
				return false
			}
		}
		return true
	})
}

// lab is the institutions' simulator and its keys.
func (w *world) lab() (url string, keys map[string]string) {
	w.Helper()
	dir := filepath.Join(w.dir, "lab")
	_, said := w.program(1, "poslab", "institutions", "--dir", dir, "--listen", "127.0.0.1:0", "--clock", w.clock)
	keys, err := institution.ReadKeys(filepath.Join(dir, institution.KeysFile))
	if err != nil {
		w.Fatal(err)
	}
	b, err := os.ReadFile(filepath.Join(dir, "address"))
	if err != nil {
		w.Fatalf("%v, it said %v", err, said)
	}
	return strings.TrimSpace(string(b)), keys
}

// TestACampaignInTheConsole publishes one campaign in the console, gives another's envelopes
// out, slows them down, stops them, and cancels them by two people.
func TestACampaignInTheConsole(t *testing.T) {
	t.Parallel()
	var url string
	var keys map[string]string
	w := newWorldWith(t, "", func(w *world) {
		url, keys = w.lab()
		w.banks = map[string]string{}
		for code, key := range keys {
			w.banks[code] = fmt.Sprintf("base_url: %q, api_key: %q", url+"/"+code+"/v1", key)
		}
	})
	w.account("ann", "approver")
	w.account("bob", "approver")
	w.central("campaign", "deposit", "beijing-city", "40000000.00", "--institution", "ICBC", "--reference", "T2")
	w.central("shop", "S-7f", "--merchant", "seven-fresh", "--name-zh", "七鲜", "--name-en", "7FRESH", "--district", "朝阳区")
	w.start()
	browser := testbrowser.Start(t)
	ann, bob := testbrowser.Desk(browser, t), testbrowser.Phone(browser, t)
	w.sign(ann, "ann")
	w.sign(bob, "bob")
	w.drafted(ann, bob)

	w.set(at("2021-02-07 10:00:00"))
	for n := 1; n < 13; n++ {
		if _, ok := w.enter(n); !ok {
			t.FailNow()
		}
	}
	path := "campaigns/" + name
	w.look(ann, path+"/plausibility", "报名可信度", "位置来自模拟定位", "12")
	ann.Shot("console-plausibility")
	w.closed()
	w.drawable()
	w.central("campaign", "draw", name)
	w.look(ann, path, "已抽签", "开始发放")
	ann.Shot("console-drawn")
	ann.Do("the grace", chromedp.SetValue(chromedp.CSS("#grace_hours"), "96"))
	ann.Leaves("begin", chromedp.Submit(chromedp.CSS("#grace_hours")))
	w.look(ann, path, "发放中", "12 / 12")
	for n := 1; n < 4; n++ {
		if _, err := wallet.Create(t.Context(), wallet.Client{Base: url + "/ICBC/v1", Key: keys["ICBC"]},
			wallet.Opening{Institution: "ICBC", Name: "w", Balance: 10_00, Suite: dcep.Ed25519SHA256, Phone: phoneNumber(n)}); err != nil {
			t.Fatal(err)
		}
	}
	w.look(ann, path, "¥600.00") // of three claims
	ann.Do("slower", chromedp.SetValue(chromedp.CSS("input[name=per_second]"), "7"))
	ann.Leaves("slower", chromedp.Submit(chromedp.CSS("input[name=per_second]")))
	w.look(ann, path, "发放中")
	if got := testbrowser.Value[string](ann, `document.querySelector("input[name=per_second]").value`); got != "7" {
		t.Errorf("the pace is %q", got)
	}
	ann.Shot("console-issuing")
	w.look(bob, path+"?lang=en", "being given out")
	bob.Shot("console-issuing-phone-en")
	w.cancelled(ann, bob, path)
}

// revised proposes a next version of it, with more envelopes; another person sees what differs
// and confirms it.
func (w *world) revised(p, other *testbrowser.Page) {
	w.Helper()
	p.Leaves("a next version", chromedp.Click(chromedp.CSS(`a[href$="revise=`+draftName+`"]`)))
	text := testbrowser.Value[string](p, `document.getElementById("definition").value`)
	changed := strings.NewReplacer("count: 200000", "count: 100000", "budget_fen: 4000000000", "budget_fen: 2000000000").Replace(text)
	b, err := json.Marshal(changed)
	if err != nil || changed == text {
		w.Fatalf("nothing to change in %s, %v", text, err)
	}
	testbrowser.Value[bool](p, `document.getElementById("definition").value = `+string(b)+`, true`)
	p.Leaves("check", chromedp.Click(chromedp.CSS("button[value=check]")))
	p.Sees("what differs", "与现行版本的差异", "tiers[0].count", "200000", "100000", "预算减少")
	p.Shot("console-version-differs")
	p.Do("why", chromedp.SendKeys(chromedp.CSS("input[name=reason]"), "资金减半"))
	p.Leaves("propose", chromedp.Click(chromedp.CSS("button[value=propose]")))
	p.Sees("it waits", "新版本待第二人确认", "须由另一位复核人裁定")
	w.look(other, "campaigns/"+draftName+"?lang=en", "What differs", "budget (fen)", "tiers of envelopes", "资金减半")
	other.Shot("console-version-to-confirm-phone-en")
	other.Leaves("confirm", chromedp.Click(chromedp.CSS(`form[action$="/version"] button[value=confirm]`)))
	w.look(other, "campaigns/"+draftName+"?lang=zh", "公布第 2 版", "100000 × ¥200.00")
	w.look(p, "campaigns/"+draftName, "第 1 版", "第 2 版")
	p.Shot("console-version-published")
}

// drafted checks and publishes a definition in the console, and its next version by two people.
func (w *world) drafted(p, other *testbrowser.Page) {
	w.Helper()
	w.look(p, "campaigns", "已公布,尚未开始报名")
	p.Do("a draft", chromedp.Navigate(w.console()+"draft?from="+draftName), chromedp.WaitVisible(chromedp.CSS("#definition")))
	text := testbrowser.Value[string](p, `document.getElementById("definition").value`)
	check := func(text string) {
		b, err := json.Marshal(text)
		if err != nil {
			w.Fatal(err)
		}
		testbrowser.Value[bool](p, `document.getElementById("definition").value = `+string(b)+`, true`)
		p.Leaves("check", chromedp.Click(chromedp.CSS("button[value=check]")))
	}
	check(strings.Replace(text, "face_fen: 20000,", "face_fen: 0,", 1))
	p.Sees("a face of nothing", "face_fen")
	p.Shot("console-draft-refused")
	check(text)
	p.Sees("a good draft", "可发布", "200000 × ¥200.00", "seven-fresh", "SHA-256")
	p.Shot("console-draft")
	p.Leaves("publish", chromedp.Click(chromedp.CSS("button[value=publish]")))
	p.Sees("its page", "京彩奋斗者", "规则已见证", "已公布的版本", "第 1 版")
	p.Shot("console-published")
	w.revised(p, other)
	w.look(p, "campaigns", "京彩奋斗者", "王府井")
	p.Shot("console-campaigns")
}

// cancelled suspends, resumes and cancels: who proposes it cannot confirm it.
func (w *world) cancelled(ann, bob *testbrowser.Page, path string) {
	w.Helper()
	ann.Leaves("suspend", chromedp.Submit(chromedp.CSS(`form[action$="/suspend"] button`)))
	w.look(ann, path, "已暂停发放")
	ann.Leaves("resume", chromedp.Submit(chromedp.CSS(`form[action$="/resume"] button`)))
	w.look(ann, path, "发放中")
	ann.Do("the reason", chromedp.SendKeys(chromedp.CSS("input[name=reason]"), "资金方要求"))
	ann.Leaves("propose", chromedp.Submit(chromedp.CSS("input[name=reason]")))
	w.look(ann, path, "待第二人裁定", "资金方要求", "须由另一位复核人裁定")
	ann.Shot("console-proposed")
	w.look(bob, path+"?lang=zh", "资金方要求")
	bob.Shot("console-to-confirm-phone")
	bob.Leaves("confirm", chromedp.Click(chromedp.CSS("button[value=confirm]")))
	w.look(bob, path, "已取消发放")
	w.look(ann, path, "已取消发放", "已收回")
	w.look(ann, path+"/statement?lang=en", "envelopes claimed", "winners told")
	ann.Shot("console-statement-empty-en")
}

// TestTheStatementInTheConsole shows a whole campaign that poslab has played: its page says
// what the generator's truth says, and its files are there.
func TestTheStatementInTheConsole(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "run")
	if out, err := poslab(t.Context(), t, "campaign", name, "--scale", "0.0006", "--dir", dir); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	truth := map[string]int64{}
	b, err := os.ReadFile(filepath.Join(dir, "truth.json"))
	if err == nil {
		err = json.Unmarshal(b, &truth)
	}
	if err != nil {
		t.Fatal(err)
	}
	w := newWorld(t, "")
	w.configure("sqlite:"+filepath.Join(dir, "central.db"), w.witnessKey)
	w.account("ann", "viewer")
	w.start()
	browser := testbrowser.Start(t)
	desk, phone := testbrowser.Desk(browser, t), testbrowser.Phone(browser, t)
	w.sign(desk, "ann")
	path := "campaigns/" + name
	w.look(desk, path, "已全部收回")
	desk.Shot("console-reclaimed")
	w.look(desk, path+"/statement", "按区域", "东城区", "线上")
	desk.Sees("the figures", "¥"+pos.Money(truth["spent_fen"]).String(), "¥"+pos.Money(truth["recalled_fen"]).String(),
		"¥"+pos.Money(truth["price_fen"]).String(), "¥"+pos.Money(truth["basket_fen"]).String())
	for k, v := range truth {
		if place, ok := strings.CutPrefix(k, "district."); ok && strings.HasSuffix(place, ".envelope_fen") {
			desk.Sees(place, "¥"+pos.Money(v).String())
		}
	}
	desk.Shot("console-statement")
	w.sign(phone, "ann")
	w.look(phone, path+"/statement?lang=en", "by district", "multiplier")
	phone.Shot("console-statement-phone-en")
	for _, format := range []string{"pdf", "xlsx", "csv", "json"} {
		size := testbrowser.Value[int64](desk, fmt.Sprintf(`fetch("/console/%s/statement/statement.%s").then((r) => r.ok ? r.arrayBuffer() : new ArrayBuffer(0)).then((b) => b.byteLength)`, path, format))
		if size < 1000 {
			t.Errorf("the %s has %d bytes", format, size)
		}
	}
}
