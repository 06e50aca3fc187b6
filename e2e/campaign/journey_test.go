package campaign_test

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"

	"dcpos/central/campaign/portal"
	"dcpos/internal/testbrowser"
)

// at puts the phone somewhere: only its position sensor is replaced.
func (p *page) at(lat, lon, accuracy string) {
	p.Helper()
	value[bool](p, `navigator.geolocation.getCurrentPosition = (ok) => ok({ coords: { latitude: `+lat+`, longitude: `+lon+`, accuracy: `+accuracy+` } }), true`)
	p.Do("find my position", chromedp.Click(chromedp.CSS("[data-locate]")))
}

// fill types a form.
func (p *page) fill(fields map[string]string) {
	p.Helper()
	for id, v := range fields {
		b, err := json.Marshal(v)
		if err != nil {
			p.Fatal(err)
		}
		value[bool](p, `{ const e = document.getElementById("`+id+`"); e.value = `+string(b)+`; e.dispatchEvent(new Event("change")); } true`)
	}
}

// send submits a form and waits for the page that answers.
func (p *page) send(form string) {
	p.Helper()
	p.Do("mark the page", chromedp.Evaluate[chromedp.Void](`window.before = true, undefined`))
	p.Do("send", chromedp.Click(chromedp.CSS(form+" button:not([type=button])")))
	p.until(func() bool { // an error is the page that goes away
		there, err := chromedp.Run(p.Tab(), chromedp.Evaluate[bool](`!window.before && document.readyState === "complete"`))
		return err == nil && there
	})
}

func (p *page) open(url string) {
	p.Helper()
	p.Do("open "+url, chromedp.Navigate(url), chromedp.WaitVisible(chromedp.CSS("main")))
}

// TestACitizensWay walks the campaign through on a phone, from a day before registration
// to her own check of the draw.
func TestACitizensWay(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "")
	w.start()
	browser := testbrowser.Start(t)
	p := tab(browser, t)
	p.open(w.page() + "/c/" + name + "?lang=zh")
	p.Sees("the day before", "尚未开始报名", "2021-02-07 00:00:00", "¥200.00", "测试 TEST", "练习")
	p.Shot("1-before")

	w.set(at("2021-02-07 10:00:00"))
	p.open(w.page() + "/c/" + name)
	p.fill(map[string]string{"name": "张三", "number": idNumber(1)[:17] + "?", "phone": phoneNumber(1)})
	value[bool](p, `document.querySelector("input[value=ICBC]").checked = true`)
	p.at("39.9150", "116.4112", "12")
	p.Sees("the position", "已定位,精度约 12 米")
	p.send("form")
	p.Sees("a wrong number", "证件号码有误", "请核对证件号码后重新填写")
	if got := value[string](p, `document.getElementById("phone").value`); got != phoneNumber(1) {
		t.Errorf("what was typed is gone: %q", got)
	}
	p.Shot("2-wrong")

	p.fill(map[string]string{"number": idNumber(1)})
	p.at("31.2300", "121.4700", "12")
	p.send("form")
	p.Sees("in Shanghai", "当前位置不在活动区域内", "请在活动区域内报名")
	p.at("39.9150", "116.4112", "12")
	second := tab(browser, t) // the same person in another tab, at the same time
	second.open(w.page() + "/c/" + name + "?lang=zh")
	second.fill(map[string]string{"name": "张三", "number": idNumber(1), "phone": phoneNumber(1)})
	value[bool](second, `document.querySelector("input[value=ICBC]").checked = true`)
	second.at("39.9150", "116.4112", "12")
	p.send("form")
	second.send("form")
	p.Sees("the code's page", "输入确认码", "有效至", "2021-02-07 16:00")
	p.Shot("3-code")
	p.fill(map[string]string{"code": "000000"})
	p.send("form")
	p.Sees("a wrong code", "确认码错误或已失效", "请核对短信")

	code := strings.TrimPrefix(w.code(phoneNumber(1)), "码 ")
	p.fill(map[string]string{"code": code})
	value[bool](p, `document.querySelector("form").addEventListener("submit", () => setTimeout(() => document.querySelector("form button").click(), 0)), true`) // a double click
	p.send("form")
	p.Sees("the receipt", "报名成功", "查询码", "签名回执")
	p.Shot("4-receipt")
	entry := saved(t, p)
	second.fill(map[string]string{"code": code})
	second.send("form")
	if other := saved(t, second); other != entry {
		t.Errorf("two tabs have two entries:\n%+v\n%+v", entry, other)
	}
	for n := 2; n < 12; n++ {
		if _, ok := w.enter(n); !ok {
			t.FailNow()
		}
	}
	p.open(w.page() + "/c/" + name + "/result")
	p.fill(map[string]string{"query": strings.ToLower(entry.Query[:13]) + " " + entry.Query[13:]})
	p.send("form")
	p.Sees("before the draw", "尚未抽签", "报名有效", entry.Ticket)

	w.closed()
	w.drawable()
	w.central("campaign", "draw", name)
	w.until("the page knows of the draw", func() bool {
		r, err := w.client.Get(w.page() + "/c/" + name + "/draw/manifest.txt") //nolint:noctx // the client has a timeout
		return err == nil && r.Body.Close() == nil && r.StatusCode == http.StatusOK
	})
	w.verified(t)
	w.checks(t, p, entry)
}

// saved is the entry file that the page offers.
func saved(t *testing.T, p *page) (e portal.Entry) {
	t.Helper()
	link := value[string](p, `document.getElementById("save").href`)
	_, b64, _ := strings.Cut(link, "base64,")
	b, err := base64.StdEncoding.DecodeString(b64)
	if err == nil {
		err = json.Unmarshal(b, &e)
	}
	if err != nil || len(e.Query) != 26 || !strings.HasPrefix(e.Receipt, "dcpos.receipt-v1\n"+name) {
		t.Fatalf("the saved receipt: %+v, %v", e, err)
	}
	return e
}

// verified fetches the published files as anybody can, and has posctl judge them.
func (w *world) verified(t *testing.T) {
	t.Helper()
	dir := t.TempDir()
	get := func(file string) []byte {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, w.page()+"/c/"+name+"/draw/"+file, nil)
		if err != nil {
			t.Fatal(err)
		}
		a, err := w.client.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = a.Body.Close() }()
		b := make([]byte, 0, 1<<16)
		for part := make([]byte, 1<<16); ; {
			n, err := a.Body.Read(part)
			b = append(b, part[:n]...)
			if err != nil {
				break
			}
		}
		if a.StatusCode != http.StatusOK || int64(len(b)) != a.ContentLength {
			t.Fatalf("%s: %s, %d bytes of %d", file, a.Status, len(b), a.ContentLength)
		}
		if err := os.WriteFile(filepath.Join(dir, file), b, 0o600); err != nil {
			t.Fatal(err)
		}
		return b
	}
	var m struct {
		Files []struct{ Name string }
	}
	get("manifest.txt")
	if err := json.Unmarshal(get("manifest.json"), &m); err != nil {
		t.Fatal(err)
	}
	for _, f := range m.Files {
		get(f.Name)
	}
	out := w.run("posctl", "draw", "verify", dir, "--json")
	var v struct {
		Practice         bool
		Entries, Winners int64
	}
	if err := json.Unmarshal([]byte(out), &v); err != nil || !v.Practice || v.Entries != 11 || v.Winners != 11 {
		t.Errorf("posctl says %s, %v", out, err)
	}
}

// checks lets her look her result up and check the draw on her phone, and then spoils a
// file at the centre.
func (w *world) checks(t *testing.T, p *page, entry portal.Entry) {
	t.Helper()
	p.open(w.page() + "/c/" + name + "/result")
	p.fill(map[string]string{"query": entry.Query})
	p.until(func() bool { // the running centre reads the result within a second
		p.send("form")
		return strings.Contains(p.Text(), "恭喜,您已中签")
	})
	p.Sees("the result", "¥200.00", "名次", entry.Ticket)
	p.Shot("5-won")

	file := filepath.Join(t.TempDir(), "entry.json")
	b, err := json.Marshal(entry)
	if err == nil {
		err = os.WriteFile(file, b, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	check := func(want string, texts ...string) {
		t.Helper()
		p.Do("run", chromedp.Click(chromedp.CSS("#run")), chromedp.WaitVisible(chromedp.CSS(`#verdict[data-done="`+want+`"]`)))
		p.Sees("the verdict", texts...)
	}
	p.open(w.page() + "/c/" + name + "/draw")
	p.Do("her receipt", chromedp.SetUploadFiles(chromedp.CSS("#entry"), []string{file}))
	check("ok", "核验一致", "您的报名", "中签:名次", "¥200.00", "归入名单根", "重新抽签:中签 11", "posctl draw verify")
	p.Shot("6-checked")

	spoiled := entry
	spoiled.Salt = strings.Repeat("0", 64)
	if b, err = json.Marshal(spoiled); err == nil {
		err = os.WriteFile(file, b, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	p.open(w.page() + "/c/" + name + "/draw")
	p.Do("a receipt of somebody else", chromedp.SetUploadFiles(chromedp.CSS("#entry"), []string{file}))
	check("no", "核验不符", "receipt")
	path := filepath.Join(w.standing().Folder, "winners.csv")
	if b, err = os.ReadFile(path); err == nil {
		err = os.WriteFile(path, []byte(strings.Replace(string(b), ",20000,", ",90000,", 1)), 0o600) //nolint:gosec // the folder of this test
	}
	if err != nil {
		t.Fatal(err)
	}
	p.open(w.page() + "/c/" + name + "/draw?lang=en")
	check("no", "It does not fit", "winners.csv")
	p.Shot("7-forged-en")
	p.open(w.page() + "/c/" + name)
	p.Shot("8-drawn-en")
}

func (p *page) until(holds func() bool) {
	p.Helper()
	ctx, cancel := context.WithTimeout(p.Tab(), patience)
	defer cancel()
	for ; !holds(); time.Sleep(20 * time.Millisecond) {
		if ctx.Err() != nil {
			p.Shot("failed")
			p.Fatalf("not within %s:\n%s", patience, p.Text())
		}
	}
}
