package main

import (
	"context"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"dcpos/central/institution"
	"dcpos/central/payment"
	"dcpos/central/store"
	"dcpos/pos"
)

// A wallet that two people have revoked is in the list that tills are given, with those of the file, and tills are
// told; after a restart, too.
func TestAWalletRevokedHereIsTold(t *testing.T) {
	dir := t.TempDir()
	s, err := store.Open(t.Context(), store.Config{URL: "sqlite:" + filepath.Join(dir, "centre.db"), Env: pos.Lab})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	banks, err := institution.Join(pos.Lab)
	if err != nil {
		t.Fatal(err)
	}
	c := &centre{settings: settings{Env: pos.Lab, Trust: filepath.Join(dir, "trust.json")}, store: s, log: slog.New(slog.DiscardHandler)}
	if c.desk, err = payment.New(payment.Config{Env: pos.Lab, Store: s.Payments(), Institutions: banks, Key: make([]byte, 16)}); err != nil {
		t.Fatal(err)
	}
	write := func(revoked string) {
		part := c.settings.Trust + ".part"
		if err := os.WriteFile(part, []byte(`{"env":"lab","revoked":[`+revoked+`]}`), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(part, c.settings.Trust); err != nil {
			t.Fatal(err)
		}
	}
	write(`"aa"`)
	if c.file, err = c.settings.trustOf(); err != nil {
		t.Fatal(err)
	}
	c.believe()
	ctx, stop := context.WithCancel(t.Context())
	told := make(chan struct{}, 16)
	done := make(chan error, 1)
	go func() { done <- c.watchTrust(ctx, func() { told <- struct{}{} }) }()
	expect := func(want ...string) {
		t.Helper()
		select {
		case <-told:
		case <-time.After(time.Minute):
			t.Fatal("tills were not told")
		}
		if got := c.vouched().Revoked; !slices.Equal(got, want) {
			t.Fatalf("revoked are %v, want %v", got, want)
		}
	}
	before := c.vouched().IssuedMS
	if err := c.desk.ProposeRevocation(ctx, "ICBC", "bb", "spent twice", "wang"); err != nil {
		t.Fatal(err)
	}
	if err := c.desk.DecideRevocation(ctx, "ICBC", "bb", true, "li"); err != nil {
		t.Fatal(err)
	}
	expect("aa", "bb")
	if c.vouched().IssuedMS < before {
		t.Error("the new list is older than the one before: no till takes it")
	}
	write(`"aa","cc"`)
	expect("aa", "cc", "bb")
	if err := c.desk.LiftRevocation(ctx, "ICBC", "bb", "wang"); err != nil {
		t.Fatal(err)
	}
	expect("aa", "cc")
	stop()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
}
