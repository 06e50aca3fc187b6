package phone_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"dcpos/lab/phone"
)

func TestMessages(t *testing.T) {
	p := phone.New()
	ask := func(method, path, body string) (int, string) {
		w := httptest.NewRecorder()
		p.Handler().ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), method, path, strings.NewReader(body)))
		return w.Code, w.Body.String()
	}
	for i := range 3 {
		if code, body := ask(http.MethodPost, "/messages", fmt.Sprintf(`{"phone":"%d","text":{"zh":"码 %d <b>","en":"code"}}`, i%2, i)); code != http.StatusNoContent {
			t.Fatal(code, body)
		}
	}
	if m, ok := p.Last("0"); !ok || m.ZH != "码 2 <b>" {
		t.Errorf("last message %+v", m)
	}
	if code, body := ask(http.MethodGet, "/messages?phone=1", ""); code != http.StatusOK || !strings.Contains(body, "码 1") {
		t.Error(code, body)
	}
	if code, body := ask(http.MethodGet, "/", ""); code != http.StatusOK || strings.Contains(body, "<b>\"") || !strings.Contains(body, "码 2 &lt;b&gt;") {
		t.Error(code, body)
	}
	for _, bad := range []string{"", "[]", `{"phone":""}`, `{"phone":"1","text":"` + strings.Repeat("x", 20<<10) + `"}`} {
		if code, _ := ask(http.MethodPost, "/messages", bad); code != http.StatusBadRequest {
			t.Errorf("%.20q: %d", bad, code)
		}
	}
	if code, _ := ask(http.MethodGet, "/messages?phone=9", ""); code != http.StatusNotFound {
		t.Error(code)
	}
	for i := range 1_200 { // what is old goes
		ask(http.MethodPost, "/messages", fmt.Sprintf(`{"phone":"n%d","text":{}}`, i))
	}
	if _, ok := p.Last("0"); ok {
		t.Error("nothing is ever forgotten")
	}
	if _, ok := p.Last("n1199"); !ok {
		t.Error("the newest was forgotten")
	}
}
