package reconcile

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"dcpos/lab/statements"
)

// planted writes two files whose outcome is known.
func planted(tb testing.TB, pairs int64) (job Job, truth statements.Truth) {
	tb.Helper()
	dir := tb.TempDir()
	var files [2]*os.File
	for i := range files {
		f, err := os.Create(filepath.Join(dir, []string{"ours.csv", "theirs.csv"}[i]))
		if err != nil {
			tb.Fatal(err)
		}
		files[i] = f
	}
	truth, err := statements.Plan{Pairs: pairs, Seed: 5, HotPercent: 30}.Write(tb.Context(), files[0], files[1])
	if err != nil {
		tb.Fatal(err)
	}
	for _, f := range files {
		if err := f.Close(); err != nil {
			tb.Fatal(err)
		}
	}
	return Job{
		Ours: []Source{{Path: files[0].Name()}}, Theirs: []Source{{Path: files[1].Name()}}, Out: filepath.Join(dir, "out"),
	}, truth
}

func truthOf(s *Summary) statements.Truth {
	return statements.Truth{
		Ours: s.Ours, Theirs: s.Theirs, Matched: s.Matched, MissingTheirs: s.MissingTheirs, MissingOurs: s.MissingOurs,
		AmountMismatch: s.AmountMismatch, StatusMismatch: s.StatusMismatch, FieldMismatch: s.FieldMismatch,
		DuplicateOurs: s.DuplicateOurs, DuplicateTheirs: s.DuplicateTheirs,
	}
}

// TestTheRuleTreeIsEven: one merchant has 30 % of the lines; 64 shards or more, none larger
// than 1.10 of the mean; the breaks are those of a run without rules, byte for byte.
func TestTheRuleTreeIsEven(t *testing.T) {
	job, want := planted(t, 400_000)
	want.OursFen, want.TheirsFen, want.HotLines = 0, 0, 0
	plain, err := Run(t.Context(), job)
	if err != nil || truthOf(&plain) != want {
		t.Fatalf("%+v %v, want %+v", truthOf(&plain), err, want)
	}
	before := read(t, job.Out, breaksFile) + read(t, job.Out, totalsFile)
	job.Rules = &Rules{Version: 1, Splits: []Split{{By: SplitByBank}, {By: SplitByMerchant, WhenOverBudget: true}}}
	s, err := Run(t.Context(), job)
	if err != nil || truthOf(&s) != want {
		t.Fatalf("%+v %v, want %+v", truthOf(&s), err, want)
	}
	if before != read(t, job.Out, breaksFile)+read(t, job.Out, totalsFile) {
		t.Error("the rules change the results")
	}
	t.Logf("%d shards, largest ÷ mean %.3f", s.Shards.Count, float64(s.Shards.Largest)/s.Shards.Mean)
	if even := float64(s.Shards.Largest) / s.Shards.Mean; s.Shards.Count < 64 || even > 1.10 {
		t.Errorf("%d shards, largest ÷ mean %.3f", s.Shards.Count, even)
	}
	for _, lang := range []string{"en", "zh"} {
		text, err := DrawPlan(job.Out, lang, false)
		all, err2 := DrawPlan(filepath.Join(job.Out, planFile), lang, true)
		if err != nil || err2 != nil || len(all) < len(text) ||
			!strings.Contains(text, "bank = ICBC, merchant_id = 886000000000") || !strings.Contains(text, "└─") {
			t.Errorf("%v %v\n%s", err, err2, text)
		}
		for _, english := range []string{"all lines", "any other", "bin ", "part ", "first ", "residual", "ours "} {
			if lang == "zh" && strings.Contains(all, english) {
				t.Errorf("%q in Chinese:\n%.2000s", english, all)
			}
		}
		for _, chinese := range []string{"全部明细", "其他 merchant_id,第 ", "流水号散列:第 ", "跨分支"} {
			if lang == "zh" && !strings.Contains(all, chinese) {
				t.Errorf("no %s:\n%.2000s", chinese, all)
			}
		}
	}
}

func TestAPinnedNumberOfShardsSaysSo(t *testing.T) {
	job, _ := planted(t, 3000)
	job.Rules = &Rules{Version: 1, Splits: []Split{{By: SplitByIDHash, Bits: 3}}}
	if _, err := Run(t.Context(), job); err != nil {
		t.Fatal(err)
	}
	for lang, want := range map[string]string{"en": "split (the rules pin 8 shards)", "zh": "(规则指定 8 个分片)"} {
		if text, err := DrawPlan(job.Out, lang, false); err != nil || !strings.Contains(text, want) {
			t.Errorf("%v\n%s", err, text)
		}
	}
}

func TestLateSplitsPartWhatTheSampleDidNotShow(t *testing.T) {
	job, want := planted(t, 30_000)
	want.OursFen, want.TheirsFen, want.HotLines = 0, 0, 0
	job.Rules = &Rules{Version: 1, ShardRows: 20_000, Splits: []Split{{By: SplitByTime, Hours: 12}, {By: SplitByBank, WhenOverBudget: true}}}
	job.Memory = 64 << 20
	tuned := tune(job.Memory, 2)
	tuned.leaf = 5000 * costPerRow
	s, err := runTuned(t.Context(), job, tuned)
	if err != nil || truthOf(&s) != want {
		t.Fatalf("%+v %v, want %+v", truthOf(&s), err, want)
	}
	text, err := DrawPlan(job.Out, "en", true)
	if err != nil || !strings.Contains(text, "time_window = 12:00-23:59, bank = ABC") || !strings.Contains(text, "id_hash: part 2 of 2") {
		t.Errorf("%v\n%s", err, text)
	}
	if s.Shards.Largest > 5500 {
		t.Errorf("largest shard has %d lines", s.Shards.Largest)
	}
}
