package main

import (
	"bytes"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"dcpos/internal/cli"
)

func TestAWorkersKeyIsMadeOnceAndPrinted(t *testing.T) {
	path := filepath.Join(t.TempDir(), "w.nk")
	var first string
	for range 2 {
		var out, errs bytes.Buffer
		if code := run([]string{"worker", "--key", path, "--new-key"}, &cli.Streams{Out: &out, Err: &errs}); code != cli.OK {
			t.Fatalf("exit %d: %s", code, errs.String())
		}
		if first == "" {
			first = out.String()
		}
		if out.String() != first || !strings.HasPrefix(first, "U") {
			t.Errorf("printed %q, then %q", first, out.String())
		}
	}
	info, err := os.Stat(path)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v %v", info.Mode(), err)
	}
	for _, args := range [][]string{
		{"worker", "--key", path},
		{"worker", "--key", path + ".none", "--url", "nats://127.0.0.1:1", "--segments", "x"},
		{"worker", "--key", path, "--url", "nats://127.0.0.1:1", "--segments", "s3+https://host/bucket"},
	} {
		var errs bytes.Buffer
		if code := run(args, &cli.Streams{Out: &errs, Err: &errs}); code != cli.Usage {
			t.Errorf("%v: exit %d: %s", args, code, errs.String())
		}
	}
}

func TestSegmentsAreServedOnlyWithAToken(t *testing.T) {
	dir := t.TempDir()
	token := filepath.Join(dir, "token")
	c := &centre{settings: settings{Reconcile: reconcileSettings{Segments: dir, Token: token}}}
	if _, err := c.segments(); err == nil {
		t.Error("without its token file")
	}
	if err := os.WriteFile(token, []byte("short\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := c.segments(); err == nil {
		t.Error("with a short token")
	}
	if err := os.WriteFile(token, []byte("a token that is long enough\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	h, err := c.segments()
	if err != nil {
		t.Fatal(err)
	}
	for auth, want := range map[string]int{"": http.StatusUnauthorized, "Bearer guess": http.StatusUnauthorized, "Bearer a token that is long enough": http.StatusNotFound} {
		w := httptest.NewRecorder()
		r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/x", nil)
		r.Header.Set("Authorization", auth)
		if h.ServeHTTP(w, r); w.Code != want {
			t.Errorf("%q: %d, want %d", auth, w.Code, want)
		}
	}
	c.settings.Reconcile.Token = ""
	if h, err := c.segments(); h != nil || err != nil {
		t.Errorf("without a token: %v %v", h, err)
	}
}
