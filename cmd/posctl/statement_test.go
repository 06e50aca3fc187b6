package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"dcpos/internal/cli"
)

const examples = "../../central/reconcile/statement/formats/examples/"

func statementCLI(t *testing.T, lang string, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	t.Setenv("DCPOS_LANG", lang)
	var grammar struct {
		Statement StatementCmd `cmd:""`
	}
	var out, errs bytes.Buffer
	code = cli.Main("posctl", "", &grammar, append([]string{"statement"}, args...),
		&cli.Streams{In: strings.NewReader(""), Out: &out, Err: &errs})
	return code, out.String(), errs.String()
}

func TestStatementCheckShowsWhatItUnderstood(t *testing.T) {
	for lang, want := range map[string][]string{
		"en": {"format icbc", "invention of the lab", "8  lines", "settlement date 20261121", "agrees: the trailer says count 8", "the trailer says success amount ¥1275116.41", "line 2: 00000000-"},
		"zh": {"格式 icbc", "实验室虚构", "8  笔明细", "清算日期 20261121", "相符:尾行的笔数 8", "尾行的成功金额 ¥1275116.41", "第 2 行:00000000-"},
	} {
		code, stdout, stderr := statementCLI(t, lang, "check", examples+"icbc.txt", "--format", "icbc")
		if code != 0 || stderr != "" {
			t.Errorf("%d %s", code, stderr)
		}
		for _, part := range want {
			if !strings.Contains(stdout, part) {
				t.Errorf("%s: no %q in\n%s", lang, part, stdout)
			}
		}
	}
	code, stdout, _ := statementCLI(t, "en", "check", examples+"bocom.txt", "--format", "bocom", "--json")
	if code != 0 || !strings.Contains(stdout, `"date": 20261119`) {
		t.Error(code, stdout)
	}
	code, stdout, _ = statementCLI(t, "en", "formats")
	if code != 0 || strings.Count(stdout, "\n") != 7 {
		t.Error(code, stdout)
	}
}

func TestStatementCheckRefusesWhatIsNotWhole(t *testing.T) {
	b, err := os.ReadFile(examples + "psbc.txt")
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "cut.txt")
	if err := os.WriteFile(path, b[:len(b)/2], 0o600); err != nil {
		t.Fatal(err)
	}
	code, stdout, stderr := statementCLI(t, "zh", "check", path, "--format", "psbc")
	if code != 2 || stdout != "" || !strings.Contains(stderr, "cut.txt") {
		t.Error(code, stdout, stderr)
	}
	if code, _, _ := statementCLI(t, "en", "check", path, "--format", "mt940"); code != 2 {
		t.Error(code)
	}
}

func TestReconcilePlanDrawsTheTree(t *testing.T) {
	out := filepath.Join(t.TempDir(), "result")
	if code, _, stderr := reconcileCLI(t, "en", "--ours", reconcileData+"ours.csv", "--theirs", reconcileData+"theirs.csv", "--out", out); code != 1 {
		t.Fatal(code, stderr)
	}
	for lang, want := range map[string]string{"en": "all lines: expected", "zh": "规则版本 1"} {
		code, stdout, stderr := reconcileCLI(t, lang, "plan", out)
		if code != 0 || !strings.Contains(stdout, want) {
			t.Errorf("%d %s\n%s", code, stderr, stdout)
		}
	}
	if code, _, stderr := reconcileCLI(t, "en", "plan", filepath.Dir(out)); code != 2 || stderr == "" {
		t.Error(code, stderr)
	}
}

func TestReconcileCarryOverTwoDays(t *testing.T) {
	dir := t.TempDir()
	const head = "txn_id,merchant_id,terminal_id,bank,amount_fen,fee_fen,status,ts\n"
	run := func(day, ours, theirs string, carry ...string) (int, string) {
		for name, body := range map[string]string{"ours.csv": ours, "theirs.csv": theirs} {
			if err := os.WriteFile(filepath.Join(dir, day+name), []byte(head+body), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		out := filepath.Join(dir, day)
		if code, _, stderr := reconcileCLI(t, "en", "--ours", out+"ours.csv", "--theirs", out+"theirs.csv", "--out", out); code > 1 {
			t.Fatal(code, stderr)
		}
		code, stdout, stderr := reconcileCLI(t, "en", append([]string{"carry", out, "--date", day, "--out", out}, carry...)...)
		return code, stdout + stderr
	}
	if code, text := run("2026-11-20", "a,M,T,CCB,100,0,S,1\nb,M,T,CCB,200,0,S,1\n", ""); code != 0 || !strings.Contains(text, "2  carried") {
		t.Error(code, text)
	}
	open := filepath.Join(dir, "2026-11-20", "open.csv")
	code, text := run("2026-11-22", "", "a,M,T,CCB,100,0,S,1\n", "--open", open)
	if code != 1 || !strings.Contains(text, "1  resolved") || !strings.Contains(text, "1  overdue") {
		t.Error(code, text)
	}
	if code, text := run("2026-11-23", "", "", "--open", filepath.Join(dir, "absent.csv")); code != 2 || !strings.Contains(text, "leave --open out") {
		t.Error(code, text)
	}
}

// TestReconcileMatchTellsWhatIsForAPerson: the rules over two days, in both languages; what differs is for a person
// even where nothing is missing.
func TestReconcileMatchTellsWhatIsForAPerson(t *testing.T) {
	dir := t.TempDir()
	const head = "txn_id,merchant_id,terminal_id,bank,amount_fen,fee_fen,status,ts,orig_txn_id,batch_no,settlement_date\n"
	day := func(lang, day, ours, theirs string, open ...string) (int, string) {
		t.Helper()
		out := filepath.Join(dir, day)
		for name, body := range map[string]string{"ours.csv": ours, "theirs.csv": theirs} {
			if err := os.WriteFile(out+name, []byte(head+strings.ReplaceAll(body, "@", ",0,S,2026-11-20T10:00:00+08:00,,,"+day)), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		files := []string{"--ours", out + "ours.csv", "--theirs", out + "theirs.csv"}
		if code, _, stderr := reconcileCLI(t, "en", append(files, "--out", out)...); code > 1 {
			t.Fatal(code, stderr)
		}
		code, stdout, stderr := reconcileCLI(t, lang, append(append([]string{"match", out, "--date", day}, files...), open...)...)
		return code, stdout + stderr
	}
	code, text := day("en", "2026-11-20", "a,M,T,CCB,100@\nlost,M2,T,CCB,9@\nx,M,T,CCB,7,0,S,1,,B1,2026-11-20\ny,M,T,CCB,8,0,S,1,,B1,2026-11-20\n",
		"B1,M,T,CCB,15@\n")
	if code != 0 || !strings.Contains(text, "its partner was found (theirs B1, ours x, ours y), difference ¥0.00") ||
		!strings.Contains(text, "1 groups, 2 lines carried, 0 lines for a person") {
		t.Error(code, text)
	}
	open := filepath.Join(dir, "2026-11-20", "open.csv")
	if got := slurp(t, open); strings.Count(got, "\n") != 3 || !strings.Contains(got, "2026-11-20,ours,lost,CCB,M2,9,S,3\n") {
		t.Error(got)
	}
	code, text = day("zh", "2026-11-22", "m,M,T,CCB,5@\n", "a,M,T,CCB,100@\nm,M,T,CCB,6@\n", "--open", open)
	if code != 1 || !strings.Contains(text, "已找到对应(我方 a,对方 a),差额 ¥0.00") || !strings.Contains(text, "standard/2 carry:逾期未到(我方 lost,自 2026-11-20)") ||
		!strings.Contains(text, "归组 1 组,继续挂账 0 笔,需人工 2 笔") {
		t.Error(code, text)
	}
	if got := slurp(t, filepath.Join(dir, "2026-11-22", "open.csv")); strings.Count(got, "\n") != 2 || !strings.Contains(got, ",lost,") {
		t.Error(got)
	}
}
