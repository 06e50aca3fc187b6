package outside_test

import (
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"dcpos/central/campaign"
	"dcpos/central/campaign/outside"
	"dcpos/central/campaign/register"
	"dcpos/pos"
)

// provider answers with status and body, and remembers the request.
func provider(t *testing.T, status int, body string) (w *outside.Webhook, got *http.Request, sent *string) {
	t.Helper()
	got, sent = new(http.Request), new(string)
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		b := make([]byte, 4096)
		n, _ := r.Body.Read(b)
		*got, *sent = *r.Clone(r.Context()), string(b[:n])
		if status == http.StatusFound {
			w.Header().Set("Location", "http://198.51.100.1/")
		}
		w.WriteHeader(status)
		_, _ = w.Write([]byte(body))
	}))
	t.Cleanup(s.Close)
	w, err := outside.NewWebhook(s.URL, "the token")
	if err != nil {
		t.Fatal(err)
	}
	return w, got, sent
}

func TestMessagesByWebhook(t *testing.T) {
	w, got, sent := provider(t, http.StatusAccepted, "")
	if err := w.Send(t.Context(), "13800138000", pos.Text{ZH: "确认码 123456", EN: "code 123456"}); err != nil {
		t.Fatal(err)
	}
	if want := `{"phone":"13800138000","text":{"zh":"确认码 123456","en":"code 123456"}}`; *sent != want {
		t.Errorf("sent %s, want %s", *sent, want)
	}
	if got.Method != http.MethodPost || got.Header.Get("Authorization") != "Bearer the token" {
		t.Errorf("asked %s, %v", got.Method, got.Header)
	}
	for _, status := range []int{http.StatusFound, http.StatusBadRequest, http.StatusInternalServerError} {
		w, _, _ := provider(t, status, "13800138000")
		err := w.Send(t.Context(), "13800138000", pos.Text{ZH: "123456"})
		if err == nil || strings.Contains(err.Error(), "13800138000") || strings.Contains(err.Error(), "123456") {
			t.Errorf("status %d: %v", status, err)
		}
	}
}

func TestWhereNamesMayGo(t *testing.T) {
	for _, bad := range []string{"", "x", "http://example.com/sms", "ftp://127.0.0.1/", "https://", "http://localhost.example.com/"} {
		if _, err := outside.NewWebhook(bad, ""); pos.CodeOf(err) != pos.ErrConfig {
			t.Errorf("%q: %v", bad, err)
		}
	}
	for _, good := range []string{"https://sms.example.com/v1", "http://127.0.0.1:80/", "http://localhost:8091/"} {
		if _, err := outside.NewWebhook(good, ""); err != nil {
			t.Errorf("%q: %v", good, err)
		}
	}
}

func TestTheAuthoritysAnswers(t *testing.T) {
	p := register.Personal{Name: "张三", Identity: register.Identity{Document: campaign.ResidentID, Number: "1"}, Phone: "2"}
	for body, want := range map[string]*register.Known{
		`{"real":true,"resident":false}`: {Real: true}, `{"real":true,"resident":true}`: {Real: true, Resident: true}, `{"real":false,"resident":false}`: {},
		``: nil, `{}`: nil, `{"real":true}`: nil, `{"resident":true}`: nil, `{"real":"yes","resident":true}`: nil, `[]`: nil,
	} {
		w, _, sent := provider(t, http.StatusOK, body)
		got, err := outside.Authority{Webhook: w}.Look(t.Context(), p)
		if (err == nil) != (want != nil) || (want != nil && got != *want) {
			t.Errorf("%s: %+v, %v", body, got, err)
		}
		if wantSent := `{"name":"张三","document":"resident_id","number":"1","phone":"2"}`; *sent != wantSent {
			t.Errorf("sent %s", *sent)
		}
	}
}

func TestMessagesInAFile(t *testing.T) {
	f := &outside.File{Path: filepath.Join(t.TempDir(), "messages.jsonl")}
	for range 2 {
		if err := f.Send(t.Context(), "1", pos.Text{ZH: "一", EN: "one"}); err != nil {
			t.Fatal(err)
		}
	}
	b, err := os.ReadFile(f.Path)
	if err != nil || strings.Count(string(b), "\n") != 2 {
		t.Errorf("%q, %v", b, err)
	}
	if info, err := os.Stat(f.Path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", info.Mode(), err)
	}
	if err := (&outside.File{Path: t.TempDir()}).Send(t.Context(), "1", pos.Text{}); err == nil {
		t.Error("a folder took a message")
	}
}
