package offline_test

import (
	"bytes"
	"errors"
	"os"
	"strings"
	"testing"

	"dcpos/offline"
	"dcpos/pos"
	"dcpos/pos/dcep"
)

const bookmark = "-bookmark"

// An older copy of the file beside the till's own bookmark is shorter than what the till
// has acknowledged: that is said at the start, before anybody can sell on it.
func TestAnOlderCopyBesideItsBookmarkIsRefused(t *testing.T) {
	tl := newTill(t, dcep.Ed25519SHA256)
	tl.sell(t, "k1", 100)
	closeAndRead := func() []byte {
		t.Helper()
		if err := tl.Close(); err != nil {
			t.Fatal(err)
		}
		b, err := os.ReadFile(tl.cfg.Path)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	old := closeAndRead()
	tl.reopen(t)
	tl.sell(t, "k2", 100)
	closeAndRead()
	if err := os.WriteFile(tl.cfg.Path, old, 0o600); err != nil {
		t.Fatal(err)
	}
	for name, look := range map[string]func() error{
		"open":   func() error { _, err := offline.Open(t.Context(), tl.cfg); return err },
		"verify": func() error { _, err := offline.Verify(t.Context(), tl.cfg.Path, offline.VerifyOptions{}); return err },
	} {
		err := look()
		b, ok := errors.AsType[*offline.Broken](err)
		if pos.CodeOf(err) != pos.ErrChainBroken || !ok || b.Seq != 5 {
			t.Errorf("%s: %v, want entry 5 named", name, err)
		}
	}
}

// A bookmark that cannot be believed is none: it never keeps a till from selling.
func TestADamagedBookmarkCountsAsNone(t *testing.T) {
	tl := newTill(t, dcep.Ed25519SHA256)
	tl.sell(t, "k1", 100)
	if err := tl.Close(); err != nil {
		t.Fatal(err)
	}
	whole, err := os.ReadFile(tl.cfg.Path + bookmark)
	if err != nil || !strings.HasPrefix(string(whole), "dcpos-bookmark-1 ") {
		t.Fatalf("%q %v", whole, err)
	}
	for name, b := range map[string][]byte{
		"empty": {}, "cut": whole[:len(whole)/2], "longer": append(bytes.Clone(whole), whole...),
		"another number": bytes.Replace(whole, []byte("4 "), []byte("9 "), 1), "noise": bytes.Repeat([]byte{0xA5}, 1<<16),
	} {
		if err := os.WriteFile(tl.cfg.Path+bookmark, b, 0o600); err != nil {
			t.Fatal(err)
		}
		s, err := offline.Open(t.Context(), tl.cfg)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}
}

// The bookmark of a journal that was here before says nothing of a new one.
func TestANewJournalBeginsWithoutTheOldBookmark(t *testing.T) {
	tl := newTill(t, dcep.Ed25519SHA256)
	tl.sell(t, "k1", 100)
	if err := tl.Close(); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(tl.cfg.Path); err != nil {
		t.Fatal(err)
	}
	s, err := offline.Create(t.Context(), tl.cfg, pos.EpochOpened{Reason: pos.EpochDamaged, PrevEpoch: 1}, 2, tl.now(), today)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	tl.reopen(t)
}
