package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"dcpos/central/reconcile"
)

// TestSplitsByFieldsAreForThisProcess: such rules do not go the way of segments, which cannot keep them.
func TestSplitsByFieldsAreForThisProcess(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	rules, err := splitRules(write("rules.yaml", "version: 1\nsplits: [{by: bank}]\n"))
	if err != nil {
		t.Fatal(err)
	}
	const text = "txn_id,merchant_id,terminal_id,bank,amount_fen,fee_fen,status,ts\na,M,T,ICBC,1,0,S,20260302120000\n"
	file := []reconcile.Source{{Path: write("lines.csv", text)}}
	c := &centre{settings: settings{Reconcile: reconcileSettings{Segments: filepath.Join(dir, "segments")}}}
	job := reconcile.Job{Ours: file, Rules: rules}
	if err := c.partition(t.Context(), job); err != nil {
		t.Fatal(err)
	}
	job.Theirs, job.Out = file, filepath.Join(dir, "out")
	if s, err := c.engine(t.Context(), job); err != nil || s.Matched != 1 {
		t.Fatalf("%+v %v", s, err)
	}
	if _, err := os.Stat(filepath.Join(dir, "segments")); !os.IsNotExist(err) {
		t.Error("segments were made", err)
	}
	for text, want := range map[string]string{
		"version: 1\namount_tolerance_fen: 3\n": "the matching rules (reconcile.rules) say the tolerance",
		"version: 1\nsplits: [{by: colour}]\n":  `split by "colour" is not known`,
	} {
		if _, err := splitRules(write("wrong.yaml", text)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v", text, err)
		}
	}
}
