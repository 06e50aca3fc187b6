package witness_test

import (
	"bytes"
	"crypto/rand"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"

	"dcpos/lab/witness"
)

// book is a log whose publisher may tell two stories.
type book struct {
	signer note.Signer
	vkey   string
	hashes []tlog.Hash
}

func newBook(t *testing.T) *book {
	t.Helper()
	secret, public, err := note.GenerateKey(rand.Reader, "publisher")
	if err != nil {
		t.Fatal(err)
	}
	signer, err := note.NewSigner(secret)
	if err != nil {
		t.Fatal(err)
	}
	return &book{signer: signer, vkey: public}
}

func (b *book) read(at []int64) ([]tlog.Hash, error) {
	out := make([]tlog.Hash, len(at))
	for i, x := range at {
		out[i] = b.hashes[x]
	}
	return out, nil
}

func (b *book) add(t *testing.T, n int64, record string) {
	t.Helper()
	more, err := tlog.StoredHashes(n, []byte(record), tlog.HashReaderFunc(b.read))
	if err != nil {
		t.Fatal(err)
	}
	b.hashes = append(b.hashes, more...)
}

func (b *book) checkpoint(t *testing.T, n int64) []byte {
	t.Helper()
	h, err := tlog.TreeHash(n, tlog.HashReaderFunc(b.read))
	if err != nil {
		t.Fatal(err)
	}
	signed, err := note.Sign(&note.Note{Text: fmt.Sprintf("log/x\n%d\n%s\n", n, h)}, b.signer)
	if err != nil {
		t.Fatal(err)
	}
	return signed
}

func (b *book) proof(t *testing.T, from, to int64) tlog.TreeProof {
	t.Helper()
	p, err := tlog.ProveTree(to, from, tlog.HashReaderFunc(b.read))
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestAWitnessSignsOneStory(t *testing.T) {
	path := filepath.Join(t.TempDir(), "witness.json")
	w, err := witness.Open(path, "w", time.Now)
	if err != nil {
		t.Fatal(err)
	}
	one, other := newBook(t), newBook(t)
	for i := range int64(5) {
		one.add(t, i, fmt.Sprint("record ", i))
	}
	forked := &book{signer: one.signer, vkey: one.vkey}
	for i := range int64(5) {
		forked.add(t, i, fmt.Sprint("another ", i))
	}
	want := func(what string, err, target error) {
		t.Helper()
		if !errors.Is(err, target) {
			t.Errorf("%s: got %v, want %v", what, err, target)
		}
	}
	_, _, err = w.Add(0, nil, one.checkpoint(t, 1))
	want("a log that nobody named", err, witness.ErrUnknownLog)
	if err := w.Watch("log/x", one.vkey); err != nil {
		t.Fatal(err)
	}
	if err := w.Watch("log/x", other.vkey); err == nil {
		t.Error("another key for a known log was taken")
	}
	_, _, err = w.Add(0, nil, other.checkpoint(t, 0))
	want("another publisher", err, witness.ErrUnknownLog)
	if _, _, err = w.Add(0, nil, one.checkpoint(t, 2)); err != nil {
		t.Fatal(err)
	}
	if w, err = witness.Open(path, "w", time.Now); err != nil { // she remembers
		t.Fatal(err)
	}
	_, size, err := w.Add(0, nil, one.checkpoint(t, 3))
	want("an old size", err, witness.ErrStale)
	if size != 2 {
		t.Errorf("size %d, want 2", size)
	}
	_, _, err = w.Add(2, forked.proof(t, 2, 4), forked.checkpoint(t, 4))
	want("a second story", err, witness.ErrForked)
	_, _, err = w.Add(2, nil, forked.checkpoint(t, 2))
	want("a second story of the same size", err, witness.ErrForked)
	_, _, err = w.Add(2, nil, one.checkpoint(t, 1))
	want("going back", err, witness.ErrForked)
	_, _, err = w.Add(2, nil, one.checkpoint(t, 4))
	want("no proof", err, witness.ErrForked)
	if _, _, err = w.Add(2, one.proof(t, 2, 5), one.checkpoint(t, 5)); err != nil {
		t.Errorf("the same story: %v", err)
	}
	if _, _, err = w.Add(5, nil, one.checkpoint(t, 5)); err != nil {
		t.Errorf("the same checkpoint again: %v", err)
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("her key lies open: %v, %v", info.Mode(), err)
	}
}

func TestHTTP(t *testing.T) {
	w, err := witness.Open(filepath.Join(t.TempDir(), "witness.json"), "w", time.Now)
	if err != nil {
		t.Fatal(err)
	}
	b := newBook(t)
	b.add(t, 0, "first")
	if err := w.Watch("log/x", b.vkey); err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(w.Handler())
	defer server.Close()
	checkpoint := string(b.checkpoint(t, 1))
	for _, c := range []struct {
		name, body string
		status     int
	}{
		{"garbage", "x", http.StatusBadRequest},
		{"negative", "old -1\n\n" + checkpoint, http.StatusBadRequest},
		{"a proof that is none", "old 0\nxyz\n\n" + checkpoint, http.StatusBadRequest},
		{"unknown log", "old 0\n\n" + strings.Replace(checkpoint, "log/x", "log/y", 1), http.StatusForbidden},
		{"not signed", "old 0\n\n" + strings.Replace(checkpoint, "\n1\n", "\n2\n", 1), http.StatusForbidden},
		{"too large", "old 0\n\n" + strings.Repeat("x", 70<<10), http.StatusBadRequest},
		{"stale", "old 3\n\n" + checkpoint, http.StatusConflict},
		{"good", "old 0\n\n" + checkpoint, http.StatusOK},
		{"again", "old 1\n\n" + checkpoint, http.StatusOK},
	} {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, server.URL+"/add-checkpoint", bytes.NewReader([]byte(c.body)))
		if err != nil {
			t.Fatal(err)
		}
		answer, err := server.Client().Do(r)
		if err != nil {
			t.Fatal(err)
		}
		if answer.StatusCode != c.status {
			t.Errorf("%s: got %s, want %d", c.name, answer.Status, c.status)
		}
		if err := answer.Body.Close(); err != nil {
			t.Error(err)
		}
	}
}
