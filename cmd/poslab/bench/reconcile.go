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

// rounds is how often everything but DuckDB is measured, by turns; medians count.
func (s Sizes) rounds() int {
	const large = 10_000_000
	if s.Lines > large {
		return 1
	}
	return 3
}

// reconcileFiles measures posctl reconcile on two files in different orders, of which one
// merchant has 30 %, beside a bare scan of the same files and DuckDB at the same work.
func reconcileFiles(ctx context.Context, r *run) error {
	ctx, stop := context.WithTimeout(ctx, time.Hour)
	defer stop()
	job := &reconciliation{run: r, ours: r.path("ours.csv"), theirs: r.path("theirs.csv")}
	if r.Compare {
		return job.compare(ctx)
	}
	if err := job.write(ctx); err != nil {
		return fmt.Errorf("write the files: %w", err)
	}
	var scans, plain, small, alone, next []cost
	for range r.Sizes.rounds() {
		c, err := job.scan()
		if err != nil {
			return err
		}
		scans = append(scans, c)
		for _, way := range []struct {
			memory, workers string
			costs           *[]cost
		}{{"4GiB", "2", &plain}, {"128MiB", "2", &small}, {"4GiB", "1", &alone}} {
			c, err := job.posctl(ctx, "--memory", way.memory, "--workers", way.workers)
			if err != nil {
				return err
			}
			*way.costs = append(*way.costs, c)
		}
		if c, err = job.dayAfter(ctx); err != nil {
			return err
		}
		next = append(next, c)
	}
	job.report(median(scans), median(plain), median(small))
	job.reportParts(median(plain), median(alone), median(next))
	if err := job.evenness(ctx); err != nil {
		return err
	}
	if !r.DuckDB {
		return nil
	}
	return job.duckdb(ctx, median(plain))
}

type reconciliation struct {
	*run
	ours, theirs string
	truth        statements.Truth
}

// cost is what one run took.
type cost struct {
	wall, cpu time.Duration
	rss       int64 // peak, KiB
}

// median is the run with the median wall time, its other figures the medians of theirs.
func median(all []cost) cost {
	middle := func(of func(cost) int64) int64 {
		var values []int64
		for _, c := range all {
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

func (j *reconciliation) write(ctx context.Context) (err error) {
	var files [2]*os.File
	for i, path := range []string{j.ours, j.theirs} {
		if files[i], err = os.Create(path); err != nil {
			return err
		}
		defer func() { err = errors.Join(err, files[i].Close()) }()
	}
	j.truth, err = statements.Plan{Pairs: int64(j.Sizes.Lines), Seed: 1, HotPercent: 30, BreakPercent: uint64(j.Sizes.Breaks)}.Write(ctx, files[0], files[1])
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
	return j.posctl(ctx, "--memory", "4GiB", "--workers", "2", "--segments", segments)
}

func (j *reconciliation) reportParts(plain, alone, next cost) {
	for _, f := range []struct {
		name, zh, en string
		value, peer  time.Duration
	}{
		{"seconds-one-worker", "一个工作线程的总耗时", "wall time of one worker", alone.wall, plain.wall},
		{"seconds-T+1", "我方明细已预先切分后的总耗时", "wall time after our side was prepared", next.wall, plain.wall},
		{"cpu-T+1", "我方明细已预先切分后的处理器时间", "processor time after our side was prepared", next.cpu, plain.cpu},
	} {
		j.run.report(Figure{
			Name: f.name, Value: f.value.Seconds(), Unit: "s", Count: j.lines(), Means: pos.Text{ZH: f.zh, EN: f.en},
			Peer: &Peer{Name: "posctl reconcile, two workers", Value: f.peer.Seconds()},
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

func (j *reconciliation) report(scan, plain, small cost) {
	lines := j.lines()
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
		zh, en string
	}{
		{"", plain, "内存 4 GiB", "with 4 GiB of memory"},
		{"-128MiB", small, "内存 128 MiB", "with 128 MiB of memory"},
	} {
		j.run.report(Figure{
			Name: "seconds" + f.name, Value: f.c.wall.Seconds(), Unit: "s", Count: lines, Peer: floor(scan.wall),
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
