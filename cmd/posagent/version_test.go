package main

import (
	"errors"
	"path/filepath"
	"strings"
	"testing"

	"dcpos/internal/cli"
	"dcpos/offline"
	"dcpos/pos"
	"dcpos/pos/dcep"
)

func TestAnOlderProgramIsRefusedWhileMoneyIsUnsent(t *testing.T) {
	suite, err := dcep.SuiteByName(dcep.Ed25519SHA256)
	if err != nil {
		t.Fatal(err)
	}
	signer, err := suite.Generate()
	if err != nil {
		t.Fatal(err)
	}
	cfg := offline.Config{Path: filepath.Join(t.TempDir(), "journal.db"), Signer: signer, Env: pos.Lab, Terminal: "T-1"}
	s, err := offline.Create(t.Context(), cfg, pos.EpochOpened{Reason: pos.EpochEnrolled}, 1, pos.Instant{}, "2026-11-21")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = s.Close() }()
	for _, v := range []string{"v1.9.0", "v1.10.0", "dev", "v1.10.0", "v1.10.1"} {
		if err := guardVersion(t.Context(), s, v); err != nil {
			t.Fatalf("%s: %v", v, err)
		}
	}
	err = guardVersion(t.Context(), s, "v1.9.9")
	e, ok := errors.AsType[*pos.Error](err)
	if !ok || e.Code != pos.ErrUnsentMoney || !strings.Contains(e.Hint.EN, "v1.10.1") {
		t.Fatalf("downgrade: %v", err)
	}
	centre, err := suite.Generate()
	if err != nil {
		t.Fatal(err)
	}
	box, err := s.Outbox(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	r := dcep.Receipt{Env: pos.Lab, Terminal: "T-1", Epoch: 1, Seq: box.Seq, Head: box.Head, CentreMS: 1, Generation: 1}
	if err := r.Sign(centre); err != nil {
		t.Fatal(err)
	}
	v, err := suite.Verifier(centre.Public())
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Acknowledge(t.Context(), r, v); err != nil {
		t.Fatal(err)
	}
	if err := guardVersion(t.Context(), s, "v1.9.9"); err != nil {
		t.Fatalf("downgrade with nothing unsent: %v", err)
	}
}

func TestOlder(t *testing.T) {
	for _, c := range []struct {
		a, b string
		want bool
	}{
		{"v1.9.0", "v1.10.0", true},
		{"v1.10.0", "v1.9.0", false},
		{"v1.2.3", "v1.2.3", false},
		{"1.2.3", "v2.0.0", true},
		{"dev", "v9.9.9", false},
		{"v1.0.0", "", false},
		{"v1.0", "v2.0.0", false},
		{"v1.0.-1", "v2.0.0", false},
	} {
		if got := cli.Older(c.a, c.b); got != c.want {
			t.Errorf("Older(%q, %q) = %v", c.a, c.b, got)
		}
	}
}
