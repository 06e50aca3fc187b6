package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"runtime/debug"
	"strconv"
	"strings"
	"time"

	"github.com/alecthomas/kong"
	"github.com/schollz/progressbar/v3"
	"golang.org/x/term"

	"dcpos/central/reconcile"
	"dcpos/internal/cli"
	"dcpos/pos"
)

// ReconcileGroup is reconcile itself, and what is done with its results.
type ReconcileGroup struct {
	Run     ReconcileCmd        `cmd:"" default:"withargs" help:"Reconcile (the default). 对账(默认)。"`
	Prepare ReconcilePrepareCmd `cmd:"" help:"Partition our lines before the statements come, so that the run reads only those. 预先切分我方明细。"`
	Plan    ReconcilePlanCmd    `cmd:"" help:"Draw the plan of a reconciliation: how it was split and why. 画出拆分计划。"`
	Match   ReconcileMatchCmd   `cmd:"" help:"Try the matching rules on what is missing; name every break's rule. 匹配规则。"`
	Carry   ReconcileCarryCmd   `cmd:"" help:"Follow open lines over the cut-over, from day to day. 跨日切挂账。"`
}

// ReconcileCmd compares our lines with the institutions' statements, without a server.
type ReconcileCmd struct {
	Ours   fileList `required:"" placeholder:"FILE …" help:"Our lines: dcpos CSV (plain, .gz, .zst) or .parquet; several files count in this order. 我方明细。"`
	Theirs fileList `required:"" placeholder:"FILE[@FORMAT] …" help:"The institutions' statements; FORMAT is dcpos unless named. 机构对账单。"`
	Out    string   `required:"" placeholder:"DIR" help:"Where summary.json, breaks.csv, totals.csv and plan.json go. 结果目录。"`

	Memory         byteSize `default:"1GiB" placeholder:"SIZE" help:"Memory to stay within, 1GiB unless given, at least 8MiB; more input than that goes through temporary files beside DIR. 内存上限。"`
	Workers        int      `placeholder:"N" help:"Workers; one per core by default. 并行数。"`
	Rules          string   `placeholder:"FILE" help:"Versioned rules (YAML): amount_tolerance_fen, shard_rows, splits; docs/PROTOCOL.md §7 shows one. 对账规则。"`
	SettlementDate string   `placeholder:"D" help:"Only lines of this settlement date (yyyy-MM-dd); the date of ts in Shanghai where there is no settlement_date. 清算日期。"`
	RejectFile     string   `placeholder:"F" help:"Set bad lines aside in F (one JSON object a line) and go on, instead of stopping at the first one. 坏行文件。"`
	Segments       string   `type:"path" placeholder:"DIR" help:"Keep in DIR what is done, in parts: what prepare or an earlier run has done with these inputs is not done again, a changed file redoes what it touches, a killed run goes on. 增量对账目录。"`
	JSON           bool     `name:"json" help:"Print summary.json instead of a summary for people. 输出 JSON。"`
}

// Help is the long help text.
func (c *ReconcileCmd) Help() string {
	return `Every line gets one class: matched, missing_theirs, missing_ours, amount_mismatch, status_mismatch,
field_mismatch, duplicate_ours or duplicate_theirs. The breaks prove the whole difference of money.

Columns: txn_id,merchant_id,terminal_id,bank,amount_fen,fee_fen,status,ts[,orig_txn_id,batch_no,settlement_date]

Example: posctl reconcile --ours ours.csv --theirs icbc.csv.gz abc.csv.zst --out result

Exit codes: 0 no breaks, 1 breaks or rejected lines, 2 bad input (nothing is written).`
}

// fileList is a flag that takes one or more files: --ours A B, or --ours A --ours B.
type fileList []string

// Decode takes every value up to the next flag.
func (l *fileList) Decode(ctx *kong.DecodeContext) error {
	for first := true; first || ctx.Scan.Peek().IsValue(); first = false {
		var file string
		if err := ctx.Scan.PopValueInto("file", &file); err != nil {
			return err
		}
		*l = append(*l, file)
	}
	return nil
}

// byteSize is a number of bytes: 512MiB, 1GiB, 2GB, 1048576.
type byteSize int64

// UnmarshalText reads a size.
func (b *byteSize) UnmarshalText(text []byte) error {
	s := string(text)
	unit := int64(1)
	for _, u := range []struct {
		name  string
		bytes int64
	}{
		{"KiB", 1 << 10},
		{"MiB", 1 << 20},
		{"GiB", 1 << 30},
		{"TiB", 1 << 40},
		{"KB", 1e3},
		{"MB", 1e6},
		{"GB", 1e9},
		{"TB", 1e12},
		{"B", 1},
	} {
		if rest, ok := strings.CutSuffix(s, u.name); ok {
			s, unit = rest, u.bytes
			break
		}
	}
	n, err := strconv.ParseInt(strings.TrimSpace(s), 10, 64)
	if err != nil || n <= 0 || n > math.MaxInt64/unit {
		return fmt.Errorf("%q is not a size such as 512MiB or 1GiB", text)
	}
	*b = byteSize(n * unit)
	return nil
}

// Run reconciles and prints a summary.
func (c *ReconcileCmd) Run(ctx context.Context, out *cli.Streams) error {
	job, err := c.job()
	if err != nil {
		return cli.Exit(cli.Usage, err)
	}
	if limit := c.heapLimit(); limit < debug.SetMemoryLimit(-1) {
		defer debug.SetMemoryLimit(debug.SetMemoryLimit(limit))
	}
	lang := cli.Language()
	progress, finish := progressOn(out.Err, lang)
	job.Progress = progress
	run := reconcile.Run
	if c.Segments != "" {
		run = func(ctx context.Context, job reconcile.Job) (reconcile.Summary, error) {
			return reconcile.RunIn(ctx, c.Segments, job)
		}
	}
	summary, err := run(ctx, job)
	finish()
	switch {
	case errors.Is(err, context.Canceled):
		return cli.Exit(cli.Usage, errors.New(pos.Text{ZH: "已中断,没有写出任何结果", EN: "interrupted; nothing was written"}.In(lang)))
	case err != nil:
		return cli.Exit(cli.Usage, err)
	}
	if err := c.print(out.Out, &summary, lang); err != nil {
		return cli.Exit(cli.Usage, err)
	}
	if summary.Breaks() > 0 || summary.Rejected() > 0 {
		return cli.Exit(cli.Negative, nil)
	}
	return nil
}

// heapLimit is where the collector begins to keep garbage down, so that the process stays within
// the memory that was asked for: half of that is pages of the engine's own, outside of the heap, unless the run is in
// parts, and the program itself is in memory too. Below 64 MiB the program and its garbage come on top.
func (c *ReconcileCmd) heapLimit() int64 {
	const program, least = 20 << 20, 16 << 20
	if c.Segments != "" {
		return max(int64(c.Memory)-program, least)
	}
	return max(int64(c.Memory)/2-program, least)
}

func (c *ReconcileCmd) job() (reconcile.Job, error) {
	job := reconcile.Job{
		Out: c.Out, Memory: int64(c.Memory), Workers: c.Workers,
		SettlementDate: c.SettlementDate, RejectFile: c.RejectFile,
	}
	for _, path := range c.Ours {
		job.Ours = append(job.Ours, reconcile.Source{Path: path})
	}
	for _, arg := range c.Theirs {
		src, err := reconcile.ParseSource(arg)
		if err != nil {
			return job, err
		}
		job.Theirs = append(job.Theirs, src)
	}
	if c.Rules == "" {
		return job, nil
	}
	var err error
	job.Rules, err = reconcile.ReadRules(c.Rules)
	return job, err
}

func (c *ReconcileCmd) print(w io.Writer, s *reconcile.Summary, lang string) error {
	if c.JSON {
		b, err := os.ReadFile(filepath.Join(c.Out, "summary.json"))
		if err != nil {
			return fmt.Errorf("print summary: %w", err)
		}
		_, err = w.Write(b)
		return err
	}
	_, err := io.WriteString(w, summaryText(s, c.Out, lang))
	return err
}

func summaryText(s *reconcile.Summary, dir, lang string) string {
	in := func(zh, en string) string { return pos.Text{ZH: zh, EN: en}.In(lang) }
	var b strings.Builder
	row := func(label string, n int64, note string) {
		b.WriteString(strings.TrimRight(fmt.Sprintf("%12d  %s%s", n, label, note), " ") + "\n")
	}
	row(in("我方明细", "lines of ours"), s.Ours, "")
	row(in("对方明细", "lines of theirs"), s.Theirs, "")
	row(pos.Matched.Text().In(lang), s.Matched, "")
	for _, kind := range pos.BreakKinds() {
		if n := s.Class(kind); n > 0 {
			a := s.Amount[kind]
			row(kind.Text().In(lang), n, fmt.Sprintf(in("(%s):我方 ¥%s,对方 ¥%s", " (%s): ours ¥%s, theirs ¥%s"),
				kind, a.Ours, a.Theirs))
		}
	}
	if s.Rejected() > 0 {
		row(in("被拒绝的行", "rejected lines"), s.Rejected(), "")
	}
	fmt.Fprintf(&b, in("资金证明成立:我方 ¥%s − 对方 ¥%s = 差异 ¥%s\n", "money proof closes: ours ¥%s − theirs ¥%s = breaks ¥%s\n"),
		s.Proof.Ours, s.Proof.Theirs, s.Proof.Breaks+s.Proof.Tolerated)
	seconds := strconv.FormatFloat(s.Seconds, 'f', 2, 64)
	fmt.Fprintf(&b, in("用时 %s 秒,%d 个分片;结果在 %s\n", "%s s, %d shards; results in %s\n"), seconds, s.Shards.Count, dir)
	return b.String()
}

// progressOn draws a bar when the stream is a terminal.
func progressOn(w io.Writer, lang string) (report func(done, total int64), finish func()) {
	file, ok := w.(*os.File)
	if !ok || !term.IsTerminal(int(file.Fd())) {
		return nil, func() {}
	}
	bar := progressbar.NewOptions64(-1,
		progressbar.OptionSetWriter(w), progressbar.OptionThrottle(100*time.Millisecond),
		progressbar.OptionSetDescription(pos.Text{ZH: "对账", EN: "reconciling"}.In(lang)),
		progressbar.OptionClearOnFinish(), progressbar.OptionSetWidth(30),
	)
	report = func(done, total int64) {
		if total > 0 {
			bar.ChangeMax64(total)
			_ = bar.Set64(min(done, total-1)) // the last step belongs to finish
		}
	}
	return report, func() { _ = bar.Finish() }
}
