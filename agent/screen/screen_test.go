package screen_test

import (
	"encoding/json"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"
	"unicode"

	"dcpos/agent/screen"
	"dcpos/pos"
)

func get(t *testing.T, h http.Handler, path string, edit ...func(*http.Request)) *httptest.ResponseRecorder {
	t.Helper()
	r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, path, nil)
	for _, f := range edit {
		f(r)
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

// config reads what the page gives its script.
func config(t *testing.T, body string) (c struct {
	Env    pos.Environment     `json:"env"`
	Lang   string              `json:"lang"`
	First  string              `json:"first"`
	IdleS  int                 `json:"idle_s"`
	Texts  map[string]pos.Text `json:"texts"`
	States map[pos.State]struct {
		Text pos.Text `json:"text"`
	} `json:"states"`
	Refunds map[pos.RefundState]pos.Text `json:"refunds"`
},
) {
	t.Helper()
	_, rest, ok := strings.Cut(body, `id="config">`)
	block, _, ok2 := strings.Cut(rest, "</script>")
	if err := json.Unmarshal([]byte(block), &c); err != nil || !ok || !ok2 {
		t.Fatalf("config: %v in %.300s", err, block)
	}
	return c
}

func TestPagesAreServedUnderAStrictPolicy(t *testing.T) {
	h := screen.New(screen.Options{Layout: screen.LayoutCashier, Env: pos.Lab})
	for path, part := range map[string]string{
		"/": "/screen/cashier.js", "/cashier": "/screen/cashier.js", "/kiosk": "/screen/kiosk.js",
		"/screen/till.js": "export", "/screen/cashier.css": "--", "/screen/kiosk.css": "--",
		"/assets/style.css": "--brand", "/assets/events.js": "export", "/assets/dom.js": "export",
	} {
		w := get(t, h, path)
		csp := w.Header().Get("Content-Security-Policy")
		if w.Code != http.StatusOK || !strings.Contains(w.Body.String(), part) {
			t.Errorf("%s: %d", path, w.Code)
		}
		if !strings.Contains(csp, "script-src 'self'") || strings.Contains(csp, "unsafe") {
			t.Errorf("%s: policy %q", path, csp)
		}
	}
	for _, path := range []string{"/nothing", "/screen/", "/screen/../text.go", "/pages/kiosk.html"} {
		if w := get(t, h, path); w.Code == http.StatusOK {
			t.Errorf("%s is served", path)
		}
	}
	w := httptest.NewRecorder()
	if h.ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/", nil)); w.Code != http.StatusMethodNotAllowed {
		t.Errorf("POST /: %d", w.Code)
	}
}

func TestAKioskHasItsPageFirst(t *testing.T) {
	kiosk := screen.New(screen.Options{Layout: screen.LayoutKiosk, Language: "en", Env: pos.Live})
	body := get(t, kiosk, "/").Body.String()
	if !strings.Contains(body, "/screen/kiosk.js") || strings.Contains(body, "测试") {
		t.Errorf("kiosk: %.600s", body)
	}
	c := config(t, body)
	if c.IdleS != int(screen.DefaultIdle.Seconds()) || c.First != "en" || c.Env != pos.Live {
		t.Errorf("%+v", c)
	}
	for _, layout := range []string{screen.LayoutCashier, screen.LayoutHandheld, screen.LayoutTwin} {
		body := get(t, screen.New(screen.Options{Layout: layout, Env: pos.Lab, IdleReset: 2 * time.Minute}), "/").Body.String()
		if !strings.Contains(body, "/screen/cashier.js") || !strings.Contains(body, "测试 TEST") || config(t, body).IdleS != 120 {
			t.Errorf("%s: %.600s", layout, body)
		}
	}
}

func TestTheChosenLanguageIsRememberedByTheCashierOnly(t *testing.T) {
	h := screen.New(screen.Options{Layout: screen.LayoutTwin, Language: "zh", Env: pos.Lab})
	english := func(r *http.Request) { r.AddCookie(&http.Cookie{Name: "dcpos_lang", Value: "en"}) }
	browser := func(r *http.Request) { r.Header.Set("Accept-Language", "en") }
	for name, c := range map[string]struct {
		path string
		edit func(*http.Request)
		want string
	}{
		"the till's first":              {"/", browser, "zh"},
		"what the cashier chose":        {"/", english, "en"},
		"a kiosk starts with its first": {"/kiosk", english, "zh"},
	} {
		if got := config(t, get(t, h, c.path, c.edit).Body.String()).Lang; got != c.want {
			t.Errorf("%s: got %s, want %s", name, got, c.want)
		}
	}
}

func TestEverySentenceIsThereInBothLanguages(t *testing.T) {
	c := config(t, get(t, screen.New(screen.Options{Env: pos.Lab}), "/").Body.String())
	all := map[string]pos.Text{}
	for k, v := range c.Texts {
		all[k] = v
	}
	for _, s := range pos.States() {
		all["state "+string(s)] = c.States[s].Text
	}
	for _, s := range pos.RefundStates() {
		all["refund "+string(s)] = c.Refunds[s]
	}
	han := func(s string) bool {
		return strings.ContainsFunc(s, func(r rune) bool { return unicode.Is(unicode.Han, r) })
	}
	values := regexp.MustCompile(`\{\w+\}`)
	for k, v := range all {
		if !han(v.ZH) && values.ReplaceAllString(v.ZH, "") != ":" {
			t.Errorf("%s: Chinese is %q", k, v.ZH)
		}
		if v.EN == "" || (han(v.EN) && k != "language") {
			t.Errorf("%s: English is %q", k, v.EN)
		}
		zh, en := values.FindAllString(v.ZH, -1), values.FindAllString(v.EN, -1)
		if len(zh) != len(en) {
			t.Errorf("%s: values %v and %v", k, zh, en)
		}
	}
	if len(all) < 100 {
		t.Errorf("only %d sentences", len(all))
	}
}

func TestPagesUseTheSentencesThatThereAre(t *testing.T) {
	c := config(t, get(t, screen.New(screen.Options{Env: pos.Lab}), "/").Body.String())
	var code strings.Builder
	for _, pattern := range []string{"assets/*.js", "pages/*.html"} {
		files, err := fs.Glob(os.DirFS("."), pattern)
		if err != nil || len(files) == 0 {
			t.Fatal(pattern, err)
		}
		for _, f := range files {
			b, err := os.ReadFile(f)
			if err != nil {
				t.Fatal(err)
			}
			code.Write(b)
		}
	}
	source := code.String()
	used := regexp.MustCompile(`(?:\b(?:t|both|fact|refusal)\('|data-t="|data-label="|config\.texts\.|\b(?:title|text|yes): ')([a-z]\w*)`)
	for _, m := range used.FindAllStringSubmatch(source, -1) {
		if _, ok := c.Texts[m[1]]; !ok && !strings.HasSuffix(m[1], "_") { // a name that is made in parts
			t.Errorf("%s is used and not there", m[1])
		}
	}
	for k := range c.Texts {
		base := strings.TrimSuffix(k, "_hint")
		if strings.HasPrefix(k, "device_") || regexp.MustCompile(`['".]`+base+`\b`).MatchString(source) {
			continue
		}
		t.Errorf("%s is there and not used", k)
	}
	for _, foreign := range []string{"http://", "https://", "innerHTML", "eval(", "style="} {
		for _, line := range strings.Split(source, "\n") {
			if strings.Contains(line, foreign) && !strings.Contains(line, "http://www.w3.org/2000/svg") {
				t.Errorf("%s in %s", foreign, line)
			}
		}
	}
}
