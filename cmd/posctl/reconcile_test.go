package main

import (
	"bytes"
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/creack/pty"
	"github.com/google/go-cmp/cmp"

	"dcpos/internal/cli"
)

const reconcileData = "testdata/reconcile/"

func reconcileCLI(t *testing.T, lang string, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	t.Setenv("DCPOS_LANG", lang)
	var grammar struct {
		Reconcile ReconcileGroup `cmd:""`
	}
	var out, errs bytes.Buffer
	code = cli.Main("posctl", "", &grammar, append([]string{"reconcile"}, args...),
		&cli.Streams{In: strings.NewReader(""), Out: &out, Err: &errs})
	return code, out.String(), errs.String()
}

func slurp(t *testing.T, path string) string {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func TestReconcileWritesTheContractsFiles(t *testing.T) {
	out := filepath.Join(t.TempDir(), "result")
	code, stdout, stderr := reconcileCLI(t, "en", "--ours", reconcileData+"ours.csv",
		"--theirs", reconcileData+"theirs.csv@dcpos", "--out", out, "--json", "--workers", "2", "--memory", "64MiB")
	if code != 1 || stderr != "" {
		t.Fatalf("code %d, stderr %s", code, stderr)
	}
	for _, name := range []string{"breaks.csv", "totals.csv"} {
		if diff := cmp.Diff(slurp(t, reconcileData+name), slurp(t, filepath.Join(out, name))); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
	if stdout != slurp(t, filepath.Join(out, "summary.json")) {
		t.Error("--json does not print summary.json")
	}
	var got, want map[string]any
	for text, into := range map[string]*map[string]any{
		stdout: &got, slurp(t, reconcileData+"summary.json"): &want,
	} {
		if err := json.Unmarshal([]byte(text), into); err != nil {
			t.Fatal(err)
		}
		delete(*into, "seconds")
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error("summary.json (-want +got):\n" + diff)
	}
	names, err := filepath.Glob(filepath.Join(out, "*"))
	if err != nil || len(names) != 4 {
		t.Errorf("results: %v %v", names, err)
	}
	if left, _ := filepath.Glob(filepath.Join(filepath.Dir(out), ".*")); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}

func TestReconcileSpeaksTheUsersLanguage(t *testing.T) {
	for lang, want := range map[string][]string{
		"en": {"lines of ours", "missing in our ledger (missing_ours): ours ¥0.00, theirs ¥42.00", "money proof closes: ours ¥483.50"},
		"zh": {"我方明细", "我方缺少(missing_ours):我方 ¥0.00,对方 ¥42.00", "资金证明成立:我方 ¥483.50"},
	} {
		code, stdout, _ := reconcileCLI(t, lang, "--ours", reconcileData+"ours.csv",
			"--theirs", reconcileData+"theirs.csv", "--out", t.TempDir())
		for _, part := range want {
			if code != 1 || !strings.Contains(stdout, part) {
				t.Errorf("%s: code %d, no %q in\n%s", lang, code, part, stdout)
			}
		}
	}
}

func TestReconcileExitCodes(t *testing.T) {
	ours := reconcileData + "ours.csv"
	bad := filepath.Join(t.TempDir(), "bad.csv")
	body := strings.Replace(slurp(t, ours), "1250", "12.50", 1)
	if err := os.WriteFile(bad, []byte(body), 0o600); err != nil {
		t.Fatal(err)
	}
	rules := filepath.Join(t.TempDir(), "rules.yaml")
	if err := os.WriteFile(rules, []byte("version: 1\ntolerance: 3\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	rejects := filepath.Join(t.TempDir(), "rejects.jsonl")
	for _, c := range []struct {
		name string
		args []string
		code int
		err  string
	}{
		{"same files, two on a side", []string{"--ours", ours, "--theirs", ours, "--memory", "16MiB"}, 1, ""},
		{"a day without lines has no breaks", []string{"--ours", ours, "--theirs", ours, "--settlement-date", "2020-01-01"}, 0, ""},
		{
			"several files after one flag",
			[]string{"--ours", ours, ours, "--theirs", ours, ours, "--settlement-date=2020-01-01"},
			0, "",
		},
		{
			"bad line",
			[]string{"--ours", bad, "--theirs", ours},
			2,
			bad + `: line 3, column 5 (amount_fen): "12.50" is not a whole number of fen from 0 to 9223372036854775807`,
		},
		{"bad line set aside", []string{"--ours", bad, "--theirs", ours, "--reject-file", rejects}, 1, ""},
		{"missing file", []string{"--ours", "absent.csv", "--theirs", ours}, 2, "absent.csv: cannot be read: no such file or directory"},
		{"unknown format", []string{"--ours", ours, "--theirs", ours + "@mt940"}, 2, `unknown statement format "mt940"; known: dcpos`},
		{"unknown rule", []string{"--ours", ours, "--theirs", ours, "--rules", rules}, 2, `rules.yaml: line 2: unknown key "tolerance"`},
		{"bad date", []string{"--ours", ours, "--theirs", ours, "--settlement-date", "2021-02-30"}, 2, `"2021-02-30" is not a date`},
		{"bad size", []string{"--ours", ours, "--theirs", ours, "--memory", "much"}, 2, `"much" is not a size`},
		{"too little memory", []string{"--ours", ours, "--theirs", ours, "--memory", "1MiB"}, 2, "want at least 8388608 (8MiB)"},
		{"no input", []string{"--ours", ours}, 2, "--theirs"},
	} {
		out := filepath.Join(t.TempDir(), "out")
		code, _, stderr := reconcileCLI(t, "en", append(c.args, "--out", out)...)
		if code != c.code || !strings.Contains(stderr, c.err) {
			t.Errorf("%s: code %d, want %d; stderr %s", c.name, code, c.code, stderr)
		}
		if _, err := os.Stat(out); (err == nil) != (c.code < 2) {
			t.Errorf("%s: results exist: %v", c.name, err == nil)
		}
	}
	var reject map[string]any
	if err := json.Unmarshal([]byte(slurp(t, rejects)), &reject); err != nil || reject["line"] != 3.0 || reject["name"] != "amount_fen" {
		t.Errorf("reject %v %v", reject, err)
	}
}

func TestReconcileDrawsABarOnlyOnATerminal(t *testing.T) {
	if report, _ := progressOn(&bytes.Buffer{}, "en"); report != nil {
		t.Error("a bar for a buffer")
	}
	file, err := os.Create(filepath.Join(t.TempDir(), "log"))
	if err != nil {
		t.Fatal(err)
	}
	if report, _ := progressOn(file, "en"); report != nil {
		t.Error("a bar for a file")
	}
	screen, tty, err := pty.Open()
	if err != nil {
		t.Fatal(err)
	}
	report, finish := progressOn(tty, "zh")
	report(0, 0) // sizes of pipes are not known
	report(5, 10)
	finish()
	if err := tty.Close(); err != nil {
		t.Fatal(err)
	}
	drawn := make([]byte, 4096)
	n, _ := screen.Read(drawn)
	if !strings.Contains(string(drawn[:n]), "对账") {
		t.Errorf("drawn: %q", drawn[:n])
	}
}

func TestReconcileInterruptedLeavesNothing(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	dir := t.TempDir()
	c := ReconcileCmd{
		Ours: fileList{reconcileData + "ours.csv"}, Theirs: fileList{reconcileData + "theirs.csv"},
		Out: filepath.Join(dir, "out"), Memory: 64 << 20,
	}
	err := c.Run(ctx, &cli.Streams{Out: &bytes.Buffer{}, Err: &bytes.Buffer{}})
	left, _ := os.ReadDir(dir)
	if cli.Code(err) != cli.Usage || len(left) > 0 {
		t.Errorf("%v, left %v", err, left)
	}
}
