package web_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"dcpos/pos"
	"dcpos/web"
)

func TestLanguage(t *testing.T) {
	for name, c := range map[string]struct{ query, cookie, accept, want string }{
		"query wins":        {"?lang=en", "zh", "zh-CN", "en"},
		"then the cookie":   {"", "en", "zh-CN", "en"},
		"then the browser":  {"", "", "fr, en-GB;q=0.8, zh;q=0.5", "en"},
		"else Chinese":      {"", "", "fr", "zh"},
		"nonsense is wiped": {"?lang=xx", "yy", "", "zh"},
	} {
		r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/"+c.query, nil)
		r.Header.Set("Accept-Language", c.accept)
		if c.cookie != "" {
			r.AddCookie(&http.Cookie{Name: "dcpos_lang", Value: c.cookie})
		}
		if got := web.Language(httptest.NewRecorder(), r); got != c.want {
			t.Errorf("%s: got %s, want %s", name, got, c.want)
		}
	}
}

func TestSharedFilesAreServedAndPagesKeepToThemselves(t *testing.T) {
	h := web.Secure(http.StripPrefix("/assets/", web.Handler()))
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/assets/style.css", nil))
	if w.Code != http.StatusOK || !strings.Contains(w.Body.String(), "--brand") {
		t.Errorf("style: %d", w.Code)
	}
	tag := w.Header().Get("ETag")
	again := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/assets/style.css", nil)
	again.Header.Set("If-None-Match", tag)
	second := httptest.NewRecorder()
	if h.ServeHTTP(second, again); tag == "" || second.Code != http.StatusNotModified {
		t.Errorf("asked again with %q: %d", tag, second.Code)
	}
	for _, p := range []string{"/assets/", "/assets/../web.go", "/assets/nothing.js"} {
		r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, p, nil)
		none := httptest.NewRecorder()
		if http.StripPrefix("/assets/", web.Handler()).ServeHTTP(none, r); none.Code != http.StatusNotFound {
			t.Errorf("%s: %d", p, none.Code)
		}
	}
	if csp := w.Header().Get("Content-Security-Policy"); !strings.Contains(csp, "frame-ancestors 'none'") {
		t.Errorf("policy %q", csp)
	}
}

func TestEveryStateHasATone(t *testing.T) {
	for _, s := range []pos.State{pos.Refused, pos.Conflict} {
		if web.Tone(s) != "bad" {
			t.Errorf("%s is not shown as bad", s)
		}
	}
	if web.Tone(pos.Paid) != "ok" || web.Tone(pos.Unknown) != "warn" {
		t.Error("paid and unknown must differ at a glance")
	}
}
