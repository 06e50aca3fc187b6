package console_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"mime/multipart"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"dcpos/central/console"
	"dcpos/pos"
)

// upload posts a form as a browser does: its token, then the file.
func (b *browser) upload(token, name, content string, cut int) *httptest.ResponseRecorder {
	b.d.t.Helper()
	var body bytes.Buffer
	form := multipart.NewWriter(&body)
	if token != "" {
		if err := form.WriteField("csrf", token); err != nil {
			b.d.t.Fatal(err)
		}
	}
	if name != "" {
		file, err := form.CreateFormFile("file", name)
		if err != nil {
			b.d.t.Fatal(err)
		}
		_, _ = io.WriteString(file, content)
	}
	if err := form.Close(); err != nil {
		b.d.t.Fatal(err)
	}
	all := body.Bytes()[:body.Len()-cut]
	r := httptest.NewRequestWithContext(b.d.t.Context(), http.MethodPost, "/console/take?lang=en", bytes.NewReader(all))
	r.RemoteAddr = b.addr
	r.Header.Set("Content-Type", form.FormDataContentType())
	r.AddCookie(b.cookie)
	w := httptest.NewRecorder()
	b.d.http.ServeHTTP(w, r)
	return w
}

func TestAnUploadedFileIsTakenIn(t *testing.T) {
	temporary := t.TempDir()
	t.Setenv("TMPDIR", temporary)
	var taken []string
	d := newDesk(t, func(c *console.Config) {
		c.MaxExport = 1 << 20
		c.Actions.Take = func(_ context.Context, in io.ReadSeeker, by string) (console.Taken, error) {
			b, err := io.ReadAll(in)
			if err != nil || strings.HasPrefix(string(b), "bad") {
				return console.Taken{}, pos.FieldError(pos.ErrBadRequest, "file", errors.Join(err, errors.New("no journal")))
			}
			taken = append(taken, by+" "+string(b))
			return console.Taken{
				Terminal: "S1-001", Sealed: true, Entries: 9, New: 4, Known: 2, Apart: 3, Gaps: []console.TakenGap{{Epoch: 1, From: 5, To: 7}},
				Reasons: []string{"kept apart <b>"}, Epoch: 1, Seq: 4, Receipt: []byte("receipt"),
			}, nil
		}
	})
	operator, viewer := d.sign("operator"), d.sign("viewer")
	if w := viewer.get("/console/take"); w.Code != http.StatusForbidden {
		t.Errorf("a viewer sees the page: %d", w.Code)
	}
	for lang, word := range map[string]string{"zh": "导入终端记录", "en": "Take in a till"} {
		if w := operator.get("/console/take?lang=" + lang); w.Code != http.StatusOK || !strings.Contains(w.Body.String(), word) {
			t.Errorf("%s: %d %s", lang, w.Code, w.Body)
		}
	}
	token := operator.token()
	for name, c := range map[string]struct {
		who     *browser
		token   string
		file    string
		content string
		cut     int
		want    int
	}{
		"no token":       {operator, "", "till.sealed", "x", 0, http.StatusForbidden},
		"wrong token":    {operator, "guessed", "till.sealed", "x", 0, http.StatusForbidden},
		"a viewer":       {viewer, viewer.token(), "till.sealed", "x", 0, http.StatusForbidden},
		"no file":        {operator, token, "", "", 0, http.StatusBadRequest},
		"no journal":     {operator, token, "bad.txt", "bad", 0, http.StatusBadRequest},
		"broken off":     {operator, token, "till.sealed", strings.Repeat("x", 5000), 300, http.StatusBadRequest},
		"larger by one":  {operator, token, "till.sealed", strings.Repeat("x", 1<<20+1), 0, http.StatusBadRequest},
		"much too large": {operator, token, "till.sealed", strings.Repeat("x", 3<<20), 0, http.StatusBadRequest},
	} {
		w := c.who.upload(c.token, c.file, c.content, c.cut)
		if w.Code != c.want || len(taken) > 0 {
			t.Errorf("%s: %d, want %d, taken %v\n%s", name, w.Code, c.want, taken, w.Body)
		}
		if strings.Contains(name, "large") && !strings.Contains(w.Body.String(), "too large") {
			t.Errorf("%s: %s", name, w.Body)
		}
	}
	w := operator.upload(token, `C:\fakepath\till.sealed`, "journal", 0)
	body := w.Body.String()
	for _, word := range []string{"S1-001", "something waits", "epoch 1, 5 – 7", "kept apart &lt;b&gt;", "cmVjZWlwdA", "in suspense"} {
		if !strings.Contains(body, word) {
			t.Errorf("the verdict lacks %q:\n%s", word, body)
		}
	}
	if w.Code != http.StatusOK || !slices.Equal(taken, []string{"operator journal"}) {
		t.Errorf("%d, taken %v", w.Code, taken)
	}
	if left, err := filepath.Glob(filepath.Join(temporary, "dcpos-take-*")); err != nil || len(left) > 0 {
		t.Error("uploads are left:", left, err)
	}
	if !slices.Contains(d.trail(), "operator file_refused") || !slices.Contains(d.trail(), "operator refused") {
		t.Errorf("the trail is %v", d.trail())
	}
	if _, err := os.Stat(temporary); err != nil {
		t.Error(err)
	}
}
