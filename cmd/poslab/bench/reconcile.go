package bench

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"syscall"
	"time"

	"dcpos/lab/statements"
	"dcpos/pos"
)

// rounds is how often everything but DuckDB is measured, by turns, so that a round in which the
// machine did something else decides nothing: medians count.
const rounds = 3

// longestReconcile bounds the measurement of one size: three rounds of 100 million lines a side.
const longestReconcile = 90 * time.Minute

// reconcileFiles measures posctl reconcile on two files in different orders, of which one
// merchant has 30 %, beside a bare scan of the same files and DuckDB at the same work.
func reconcileFiles(ctx context.Context, r *run) error {
	job := &reconciliation{run: r, ours: r.path("ours.csv"), theirs: r.path("theirs.csv")}
	if r.Compare {
		return job.compare(ctx)
	}
	if err := job.whole(ctx, r.Sizes.Lines); err != nil {
		return err
	}
	for _, lines := range r.Sizes.Also {
		if err := job.size(ctx, lines); err != nil {
			return err
		}
	}
	return nil
}

// way is one way to reconcile, and what it cost in every round.
type way struct {
	name  string
	run   func(context.Context) (cost, error)
	costs []cost
}

// byTurns measures all ways in every round and tells each round as it comes.
func (j *reconciliation) byTurns(ctx context.Context, ways ...*way) error {
	for round := range rounds {
		said := fmt.Sprintf("%d lines a side, round %d of %d:", j.pairs, round+1, rounds)
		for _, w := range ways {
			c, err := w.run(ctx)
			if err != nil {
				return fmt.Errorf("%s: %w", w.name, err)
			}
			w.costs = append(w.costs, c)
			said += fmt.Sprintf(" %s %.2f s (%.2f s of processor)", w.name, c.wall.Seconds(), c.cpu.Seconds())
		}
		j.tell(said)
	}
	return nil
}

func (j *reconciliation) tell(said string) {
	if j.Progress != nil {
		_, _ = fmt.Fprintln(j.Progress, said)
	}
}

// with is posctl reconcile with these flags.
func (j *reconciliation) with(name string, flags ...string) *way {
	return &way{name: name, run: func(ctx context.Context) (cost, error) { return j.posctl(ctx, flags...) }}
}

func (j *reconciliation) scanning() *way {
	return &way{name: "scan", run: func(context.Context) (cost, error) { return j.scan() }}
}

// whole measures everything at one size.
func (j *reconciliation) whole(ctx context.Context, lines int) error {
	ctx, stop := context.WithTimeout(ctx, longestReconcile)
	defer stop()
	if err := j.write(ctx, lines); err != nil {
		return fmt.Errorf("write the files: %w", err)
	}
	scan, plain := j.scanning(), j.with("4GiB", "--memory", "4GiB", "--workers", "2")
	small, alone := j.with("128MiB", "--memory", "128MiB", "--workers", "2"), j.with("one worker", "--memory", "4GiB", "--workers", "1")
	next := &way{name: "T+1", run: j.dayAfter}
	if err := j.byTurns(ctx, scan, plain, small, alone, next); err != nil {
		return err
	}
	j.report(scan, plain, small)
	j.reportParts(plain, alone, next)
	if len(j.Sizes.Also) > 0 {
		j.perRow(scan, plain)
	}
	if err := j.evenness(ctx); err != nil {
		return err
	}
	if !j.DuckDB {
		return nil
	}
	return j.duckdb(ctx, plain.median())
}

// size measures what a row costs at another size.
func (j *reconciliation) size(ctx context.Context, lines int) error {
	ctx, stop := context.WithTimeout(ctx, longestReconcile)
	defer stop()
	if err := j.write(ctx, lines); err != nil {
		return fmt.Errorf("write the files: %w", err)
	}
	scan, plain := j.scanning(), j.with("4GiB", "--memory", "4GiB", "--workers", "2")
	if err := j.byTurns(ctx, scan, plain); err != nil {
		return err
	}
	j.perRow(scan, plain)
	return nil
}

// perRow reports what a row cost at this size: flat is what it should be from one size to another.
func (j *reconciliation) perRow(scanning, reconciling *way) {
	scan, plain := scanning.median(), reconciling.median()
	each := func(d time.Duration) float64 { return float64(d.Nanoseconds()) / float64(j.lines()) }
	for _, f := range []struct {
		name, zh, en string
		value, floor time.Duration
	}{
		{"wall-per-row", "每行耗时", "wall time of a row", plain.wall, scan.wall},
		{"cpu-per-row", "每行处理器时间", "processor time of a row", plain.cpu, scan.cpu},
	} {
		j.run.report(Figure{
			Name: fmt.Sprintf("%s-%d", f.name, j.pairs), Value: each(f.value), Unit: "ns", Count: j.lines(),
			Means: pos.Text{
				ZH: fmt.Sprintf("%s,每侧 %d 行,内存 4 GiB", f.zh, j.pairs),
				EN: fmt.Sprintf("%s at %d lines a side, with 4 GiB of memory", f.en, j.pairs),
			},
			Peer: &Peer{Name: "bare scan: split, convert, totals", Value: each(f.floor)},
		})
	}
}

type reconciliation struct {
	*run
	ours, theirs string
	pairs        int
	truth        statements.Truth
}

// cost is what one run took.
type cost struct {
	wall, cpu time.Duration
	rss       int64 // peak, KiB
}

// median is the run with the median wall time, its other figures the medians of theirs.
func (w *way) median() cost {
	middle := func(of func(cost) int64) int64 {
		var values []int64
		for _, c := range w.costs {
			values = append(values, of(c))
		}
		slices.Sort(values)
		return values[len(values)/2]
	}
	return cost{
		wall: time.Duration(middle(func(c cost) int64 { return int64(c.wall) })),
		cpu:  time.Duration(middle(func(c cost) int64 { return int64(c.cpu) })),
		rss:  middle(func(c cost) int64 { return c.rss }),
	}
}

// seconds are the wall times of all rounds.
func (w *way) seconds() []float64 {
	var list []float64
	for _, c := range w.costs {
		list = append(list, c.wall.Seconds())
	}
	return list
}

// write puts the two files there, in place of those before.
func (j *reconciliation) write(ctx context.Context, lines int) (err error) {
	j.pairs = lines
	var files [2]*os.File
	for i, path := range []string{j.ours, j.theirs} {
		if files[i], err = os.Create(path); err != nil {
			return err
		}
		defer func() { err = errors.Join(err, files[i].Close()) }()
	}
	j.truth, err = statements.Plan{Pairs: int64(lines), Seed: 1, HotPercent: 30, BreakPercent: uint64(j.Sizes.Breaks)}.Write(ctx, files[0], files[1])
	return err
}

func (j *reconciliation) lines() int { return int(j.truth.Ours + j.truth.Theirs) }

func (j *reconciliation) scan() (cost, error) {
	var before, after syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &before); err != nil {
		return cost{}, err
	}
	began := time.Now()
	lines, fen, err := scan([]string{j.ours, j.theirs}, scanners)
	took := time.Since(began)
	if err != nil {
		return cost{}, err
	}
	if lines != int64(j.lines()) || fen != j.truth.OursFen+j.truth.TheirsFen {
		return cost{}, fmt.Errorf("the scan saw %d lines of %d fen, written were %+v", lines, fen, j.truth)
	}
	err = syscall.Getrusage(syscall.RUSAGE_SELF, &after)
	return cost{wall: took, cpu: cpuOf(&after) - cpuOf(&before)}, err
}

// scanners is how many goroutines scan: as many as posctl has workers on two cores.
const scanners = 2

func cpuOf(u *syscall.Rusage) time.Duration {
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// posctl runs posctl reconcile and compares its summary with the truth.
func (j *reconciliation) posctl(ctx context.Context, flags ...string) (cost, error) {
	out := j.path("out")
	args := append([]string{"reconcile", "--ours", j.ours, "--theirs", j.theirs, "--out", out}, flags...)
	cmd := exec.CommandContext(ctx, filepath.Join(j.Bin, "posctl"), args...)
	began := time.Now()
	text, err := cmd.CombinedOutput()
	took := time.Since(began)
	if exit, ok := errors.AsType[*exec.ExitError](err); !ok || exit.ExitCode() != 1 { // 1: breaks, as planted
		return cost{}, errors.Join(fmt.Errorf("posctl reconcile: %v: %s", cmd.ProcessState, text), err)
	}
	usage, ok := cmd.ProcessState.SysUsage().(*syscall.Rusage)
	if !ok {
		return cost{}, errors.New("no resource usage of posctl")
	}
	return cost{wall: took, cpu: cpuOf(usage), rss: usage.Maxrss}, checkTruth(j.truth, filepath.Join(out, "summary.json"))
}

// dayAfter prepares our side, which is not counted, and measures the run that then reads theirs.
func (j *reconciliation) dayAfter(ctx context.Context) (cost, error) {
	segments := j.path("segments")
	if err := os.RemoveAll(segments); err != nil {
		return cost{}, err
	}
	text, err := exec.CommandContext(ctx, filepath.Join(j.Bin, "posctl"), "reconcile", "prepare", "--ours", j.ours, "--segments", segments).CombinedOutput()
	if err != nil {
		return cost{}, fmt.Errorf("posctl reconcile prepare: %w: %s", err, text)
	}
	c, err := j.posctl(ctx, "--memory", "4GiB", "--workers", "2", "--segments", segments)
	return c, errors.Join(err, os.RemoveAll(segments)) // before anything else needs the disk
}

func (j *reconciliation) reportParts(reconciling, single, after *way) {
	plain, alone, next := reconciling.median(), single.median(), after.median()
	for _, f := range []struct {
		name, zh, en string
		value, peer  time.Duration
		rounds       []float64
	}{
		{"seconds-one-worker", "一个工作线程的总耗时", "wall time of one worker", alone.wall, plain.wall, single.seconds()},
		{"seconds-T+1", "我方明细已预先切分后的总耗时", "wall time after our side was prepared", next.wall, plain.wall, after.seconds()},
		{"cpu-T+1", "我方明细已预先切分后的处理器时间", "processor time after our side was prepared", next.cpu, plain.cpu, nil},
	} {
		j.run.report(Figure{
			Name: f.name, Value: f.value.Seconds(), Unit: "s", Count: j.lines(), Means: pos.Text{ZH: f.zh, EN: f.en},
			Peer: &Peer{Name: "posctl reconcile, two workers", Value: f.peer.Seconds()}, Rounds: f.rounds,
		})
	}
}

// checkTruth compares what was found with what was planted, so that a fast wrong answer is
// no figure.
func checkTruth(want statements.Truth, path string) error {
	b, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	var s struct {
		Ours, Theirs, Matched int64
		MissingTheirs         int64                 `json:"missing_theirs"`
		MissingOurs           int64                 `json:"missing_ours"`
		AmountMismatch        int64                 `json:"amount_mismatch"`
		StatusMismatch        int64                 `json:"status_mismatch"`
		FieldMismatch         int64                 `json:"field_mismatch"`
		DuplicateOurs         int64                 `json:"duplicate_ours"`
		DuplicateTheirs       int64                 `json:"duplicate_theirs"`
		Proof                 struct{ Closes bool } `json:"proof"`
	}
	if err := json.Unmarshal(b, &s); err != nil {
		return err
	}
	got := statements.Truth{
		Ours: s.Ours, Theirs: s.Theirs, Matched: s.Matched, MissingTheirs: s.MissingTheirs, MissingOurs: s.MissingOurs,
		AmountMismatch: s.AmountMismatch, StatusMismatch: s.StatusMismatch, FieldMismatch: s.FieldMismatch,
		DuplicateOurs: s.DuplicateOurs, DuplicateTheirs: s.DuplicateTheirs,
	}
	want.OursFen, want.TheirsFen, want.HotLines = 0, 0, 0
	if got != want || !s.Proof.Closes {
		return fmt.Errorf("reconcile found %+v, planted was %+v, proof closes: %v", got, want, s.Proof.Closes)
	}
	return nil
}

func (j *reconciliation) report(scanning, reconciling, bounded *way) {
	scan, plain, small, lines := scanning.median(), reconciling.median(), bounded.median(), j.lines()
	floor := func(v time.Duration) *Peer {
		return &Peer{Name: "bare scan: split, convert, totals", Value: v.Seconds()}
	}
	j.run.report(Figure{
		Name: "rows", Value: perSecond(lines, plain.wall), Unit: "rows/s", Count: lines,
		Means: pos.Text{ZH: "posctl reconcile:双方行数合计 / 总耗时,两个工作线程", EN: "posctl reconcile: lines of both sides over wall time, two workers"},
		Peer:  &Peer{Name: "bare scan: split, convert, totals", Value: perSecond(lines, scan.wall)},
	})
	for _, f := range []struct {
		name   string
		c      cost
		rounds []float64
		zh, en string
	}{
		{"", plain, reconciling.seconds(), "内存 4 GiB", "with 4 GiB of memory"},
		{"-128MiB", small, bounded.seconds(), "内存 128 MiB", "with 128 MiB of memory"},
	} {
		j.run.report(Figure{
			Name: "seconds" + f.name, Value: f.c.wall.Seconds(), Unit: "s", Count: lines, Peer: floor(scan.wall), Rounds: f.rounds,
			Means: pos.Text{ZH: "总耗时," + f.zh, EN: "wall time " + f.en},
		})
		j.run.report(Figure{
			Name: "cpu" + f.name, Value: f.c.cpu.Seconds(), Unit: "s", Count: lines, Peer: floor(scan.cpu),
			Means: pos.Text{ZH: "处理器时间," + f.zh, EN: "processor time " + f.en},
		})
		j.run.report(Figure{
			Name: "peak-rss" + f.name, Value: float64(f.c.rss) / 1024, Unit: "MiB",
			Means: pos.Text{ZH: "峰值常驻内存," + f.zh, EN: "peak resident memory " + f.en},
		})
	}
}

// evenness splits by bank and merchant and reports the largest shard over the mean.
func (j *reconciliation) evenness(ctx context.Context) error {
	rules := j.path("rules.yaml")
	text := "version: 1\nsplits:\n  - by: bank\n  - by: merchant_id\n    when_over_budget: true\n"
	if err := os.WriteFile(rules, []byte(text), 0o600); err != nil {
		return err
	}
	if _, err := j.posctl(ctx, "--memory", "4GiB", "--workers", "2", "--rules", rules); err != nil {
		return err
	}
	b, err := os.ReadFile(filepath.Join(j.path("out"), "summary.json"))
	if err != nil {
		return err
	}
	var s struct {
		Shards struct {
			Count, Largest int
			Mean           float64
		} `json:"shards"`
	}
	if err := json.Unmarshal(b, &s); err != nil {
		return err
	}
	j.run.report(Figure{
		Name: "largest-shard", Value: float64(s.Shards.Largest), Unit: "rows", Count: s.Shards.Count,
		Means: pos.Text{ZH: "规则树(机构、商户)最大分片的行数", EN: "rows of the largest shard of a rule tree by bank and merchant"},
		Peer:  &Peer{Name: "mean shard", Value: s.Shards.Mean},
	})
	return nil
}
