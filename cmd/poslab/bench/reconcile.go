package bench

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/bits"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"syscall"
	"time"

	"dcpos/pos"
)

// reconcileFiles measures posctl reconcile on two files in different orders, beside sort
// and join of coreutils, which only find the lines' partners.
func reconcileFiles(ctx context.Context, r *run) error {
	ours, theirs, want, err := r.statements(ctx)
	if err != nil {
		return fmt.Errorf("write the files: %w", err)
	}
	out := r.path("out")
	ctx, stop := context.WithTimeout(ctx, 10*time.Minute)
	defer stop()
	cmd := exec.CommandContext(ctx, filepath.Join(r.Bin, "posctl"), "reconcile", "--ours", ours, "--theirs", theirs, "--out", out)
	began := time.Now()
	text, err := cmd.CombinedOutput()
	took := time.Since(began)
	if exit, ok := errors.AsType[*exec.ExitError](err); !ok || exit.ExitCode() != 1 { // 1: breaks, as planted
		return errors.Join(fmt.Errorf("posctl reconcile: %v: %s", cmd.ProcessState, text), err)
	}
	if err := want.check(filepath.Join(out, "summary.json")); err != nil {
		return err
	}
	script := `sort -t, -k1,1 "$1" >"$1.sorted" && sort -t, -k1,1 "$2" >"$2.sorted" && join -t, "$1.sorted" "$2.sorted" >"$1.joined"`
	tools := exec.CommandContext(ctx, "/bin/sh", "-c", script, "sh", ours, theirs)
	tools.Env = append(os.Environ(), "LC_ALL=C", "TMPDIR="+r.root)
	began = time.Now()
	if text, err := tools.CombinedOutput(); err != nil {
		return fmt.Errorf("sort and join: %w: %s", err, text)
	}
	peer := time.Since(began)
	lines := want.ours + want.theirs
	r.report(Figure{
		Name: "rows", Value: perSecond(lines, took), Unit: "rows/s", Count: lines,
		Means: pos.Text{
			ZH: "posctl reconcile:双方行数合计 / 总耗时,默认内存 1 GiB",
			EN: "posctl reconcile: lines of both sides over wall time, default memory of 1 GiB",
		},
		Peer: &Peer{Name: "sort | join of coreutils, LC_ALL=C", Value: perSecond(lines, peer)},
	})
	r.report(Figure{
		Name: "seconds", Value: took.Seconds(), Unit: "s", Count: lines,
		Means: pos.Text{ZH: "总耗时", EN: "wall time"},
		Peer:  &Peer{Name: "sort | join of coreutils, LC_ALL=C", Value: peer.Seconds()},
	})
	usage, ok := cmd.ProcessState.SysUsage().(*syscall.Rusage)
	if !ok {
		return errors.New("no resource usage of posctl")
	}
	r.report(Figure{
		Name: "peak-rss", Value: float64(usage.Maxrss) / 1024, Unit: "MiB",
		Means: pos.Text{ZH: "峰值常驻内存", EN: "peak resident memory"},
	})
	return nil
}

// truth is what was planted, so that a fast wrong answer is no figure.
type truth struct{ ours, theirs, matched, missingTheirs, missingOurs, amount int }

func (t truth) check(path string) error {
	b, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	var sums struct {
		Ours, Theirs, Matched int
		MissingTheirs         int                   `json:"missing_theirs"`
		MissingOurs           int                   `json:"missing_ours"`
		Mismatch              int                   `json:"amount_mismatch"`
		Proof                 struct{ Closes bool } `json:"proof"`
	}
	if err := json.Unmarshal(b, &sums); err != nil {
		return err
	}
	got := truth{sums.Ours, sums.Theirs, sums.Matched, sums.MissingTheirs, sums.MissingOurs, sums.Mismatch}
	if got != t || !sums.Proof.Closes {
		return fmt.Errorf("reconcile found %+v, planted was %+v, proof closes: %v", got, t, sums.Proof.Closes)
	}
	return nil
}

// statements writes both sides; of a thousand lines one is missing on each side and one
// has another amount.
func (r *run) statements(ctx context.Context) (ours, theirs string, t truth, err error) {
	n := uint64(r.Sizes.Lines) //nolint:gosec // checked to be positive
	ours, theirs = r.path("ours.csv"), r.path("theirs.csv")
	if t.ours, err = writeLines(ctx, ours, n, func(i uint64) (uint64, bool) { return i, i%1000 != 1 }); err != nil {
		return "", "", t, err
	}
	// A multiplication by an odd number, and a walk through the next power of two, is
	// another order of the same lines.
	size := uint64(1) << bits.Len64(n)
	t.theirs, err = writeLines(ctx, theirs, size, func(i uint64) (uint64, bool) {
		k := i * 0x9E3779B1 % size
		return k | changed(k), k < n && k%1000 != 2
	})
	for k := range n {
		switch k % 1000 {
		case 1:
			t.missingOurs++
		case 2:
			t.missingTheirs++
		case 3:
			t.amount++
		default:
			t.matched++
		}
	}
	return ours, theirs, t, err
}

// otherAmount marks the number of a line whose amount is to differ.
const otherAmount = 1 << 63

func changed(k uint64) uint64 {
	if k%1000 == 3 {
		return otherAmount
	}
	return 0
}

// writeLines writes the lines that pick chooses of so many turns.
func writeLines(ctx context.Context, path string, turns uint64, pick func(i uint64) (uint64, bool)) (lines int, err error) {
	f, err := os.Create(path)
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	w := bufio.NewWriterSize(f, 1<<20)
	if _, err := w.WriteString("txn_id,merchant_id,terminal_id,bank,amount_fen,fee_fen,status,ts\n"); err != nil {
		return 0, err
	}
	var line []byte
	for i := range turns {
		k, ok := pick(i)
		if !ok {
			continue
		}
		line = appendLine(line[:0], k)
		if _, err := w.Write(line); err != nil {
			return lines, err
		}
		if lines++; lines%(1<<16) == 0 && ctx.Err() != nil {
			return lines, ctx.Err()
		}
	}
	return lines, w.Flush()
}

// appendLine is the k-th line: everything in it follows from k.
func appendLine(b []byte, k uint64) []byte {
	other := k&otherAmount != 0
	k &^= otherAmount
	banks := [...]string{"ICBC", "ABC", "BOC", "CCB", "BOCOM", "PSBC"}
	x := mix(k)
	amount := x % 200_000
	if other {
		amount++
	}
	b = fmt.Appendf(b, "%016x%016x,8860%05d,T%d,", x, mix(x), x>>20%20_000, x>>40%9)
	b = append(b, banks[x>>44%6]...)
	b = append(b, ',')
	b = strconv.AppendUint(b, amount, 10)
	return append(b, ",0,S,2026-11-21T13:00:00Z\n"...)
}

// mix is splitmix64's finisher: different numbers stay different.
func mix(x uint64) uint64 {
	x += 0x9E3779B97F4A7C15
	x = (x ^ x>>30) * 0xBF58476D1CE4E5B9
	x = (x ^ x>>27) * 0x94D049BB133111EB
	return x ^ x>>31
}
