// Package reconcile compares our ledger's lines with the institutions' statements:
// every line gets exactly one class, every difference is a break of one kind, and
// the breaks prove the whole difference of money. The files it writes are a contract
// (docs/PROTOCOL.md, "reconcile"); DESIGN.md says why it is built this way.
//
// To add a statement format see package statement; to add a class of break start at
// pos.BreakKind, then (*shardJoin).pair.
package reconcile

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"dcpos/central/reconcile/spill"
	"dcpos/central/reconcile/statement"
	"dcpos/pos"
)

// Source is one input file and its format.
type Source = statement.Source

// InputError is bad input: file, line, column and why, in two languages.
type InputError = statement.InputError

// ParseSource reads FILE or FILE@FORMAT as the command line gives it.
func ParseSource(arg string) (Source, error) { return statement.ParseSource(arg) }

// Job is one reconciliation.
type Job struct {
	Ours, Theirs []Source
	Out          string // directory of the results, made if absent
	Memory       int64  // bytes to stay within, 0 for 1 GiB, at least 8 MiB
	Workers      int    // 0 for one per core
	Rules        *Rules // nil for exact 1:1
	// SettlementDate (yyyy-MM-dd or yyyyMMdd) lets only that day's lines take part; "" lets all.
	SettlementDate string
	// RejectFile, if set, takes bad lines with their reasons (one JSON object a line)
	// instead of ending the run at the first one.
	RejectFile string
	// Progress is told how much is done, never by two goroutines at once.
	Progress func(done, total int64)
}

// Run reconciles and writes breaks.csv, totals.csv, plan.json and summary.json (last)
// into job.Out. The same files in the same order give the same bytes, except for
// plan.json and the summary's seconds and shards. On any error nothing is written and
// what job.Out held stays; bad input is an *InputError and names the first bad line.
func Run(ctx context.Context, job Job) (Summary, error) {
	s, err := runJob(ctx, job)
	return s, roomless(job.Out, err)
}

// roomless explains a disk that is full.
func roomless(out string, err error) error {
	causes := []error{syscall.ENOSPC, syscall.EDQUOT, syscall.EFBIG}
	at := slices.IndexFunc(causes, func(cause error) bool { return errors.Is(err, cause) })
	if at < 0 {
		return err
	}
	place := out
	if e, ok := errors.AsType[*fs.PathError](err); ok && !strings.HasPrefix(e.Path, filepath.Dir(out)) {
		place = filepath.Dir(e.Path) // segments may lie on another disk
	}
	return &InputError{File: place, Why: pos.Text{
		EN: "no room on this disk for temporary files, segments or results: free some, or allow more memory",
		ZH: "所在磁盘没有空间存放临时文件、分段或结果:请清理磁盘或提高内存上限",
	}, Err: causes[at]}
}

func runJob(ctx context.Context, job Job) (Summary, error) {
	if job.Memory == 0 {
		job.Memory = defaultMemory
	}
	if job.Workers <= 0 {
		job.Workers = runtime.GOMAXPROCS(0)
	}
	return runTuned(ctx, job, tune(job.Memory, job.Workers))
}

func runTuned(ctx context.Context, job Job, t tuning) (Summary, error) {
	started := time.Now()
	r := &run{job: job, tuning: t, secret: newSecret()}
	r.texts = r
	if err := r.check(); err != nil {
		return Summary{}, err
	}
	defer r.close()
	if err := r.open(); err != nil {
		return Summary{}, err
	}
	if err := r.dated(); err != nil {
		return Summary{}, err
	}
	out, err := stage(job.Out, job.RejectFile)
	if err != nil {
		return Summary{}, err
	}
	defer out.abandon()
	if err := r.prepare(out.dir); err != nil {
		return Summary{}, err
	}
	if err := r.partition(ctx); err != nil {
		return Summary{}, err
	}
	if err := r.join(ctx); err != nil {
		return Summary{}, err
	}
	if err := r.unchanged(); err != nil { // breaks were read again
		return Summary{}, err
	}
	var group sync.WaitGroup
	group.Go(func() { _ = r.store.Close() }) // to give gigabytes back takes as long as to write the results
	defer group.Wait()
	summary, err := r.write(out)
	if err != nil {
		return Summary{}, err
	}
	summary.Seconds = time.Since(started).Seconds()
	if err := out.writeSummary(&summary); err != nil {
		return Summary{}, err
	}
	if err := ctx.Err(); err != nil {
		return Summary{}, err
	}
	return summary, out.commit()
}

// run is the state of one reconciliation.
type run struct {
	job    Job
	tuning tuning
	secret *secret
	day    int32 // settlement date as yyyymmdd, 0 for all

	inputs    []*input    // ours, then theirs, as given
	sides     [2][]*input // the same by side
	size      int64       // bytes of all inputs
	sortDir   string
	store     *spill.Store
	breaks    *spill.Sorter
	rejects   *spill.Sorter
	totals    *spill.Sorter
	plan      *plan
	leaves    []leaf
	texts     texts          // where lines are read again
	branches  *branches      // nil unless the rules split by fields
	residuals [][]spill.List // per worker

	failure failure

	mu    sync.Mutex
	tally tally

	progress progress
}

// texts are where lines are read again.
type texts interface {
	// lineAt reads the line at a place: its file, its number there (the header being 1; 0 where
	// that is not known yet), and its bytes, which are good until the next one is read by the same view.
	lineAt(side int, at place, v *view) (in *input, number int64, text []byte, err error)
}

// view is one worker's view of the texts.
type view struct {
	windows map[*input]*statement.Window
	buf     []byte
}

func newView() *view { return &view{windows: map[*input]*statement.Window{}} }

func (r *run) lineAt(side int, at place, v *view) (*input, int64, []byte, error) {
	in, position := r.where(side, at)
	w := v.windows[in]
	if w == nil {
		w = in.Window()
		v.windows[in] = w
	}
	number, text, err := in.Line(w, position, &v.buf)
	return in, number, text, err
}

// input is one open file and its place in the order of the arguments.
type input struct {
	*statement.File
	side, index int
	expected    int64
	first, last place // of the places that are this file's
}

const maxFiles = 1 << 16

func (r *run) check() error {
	if r.job.Rules == nil {
		r.job.Rules = &Rules{Version: rulesVersion}
	}
	if r.job.Memory < minMemory {
		return badJob("memory is %d bytes, want at least %d (8MiB)", "内存为 %d 字节,至少需要 %d(8MiB)",
			r.job.Memory, int64(minMemory))
	}
	for side, sources := range [][]Source{r.job.Ours, r.job.Theirs} {
		if n := len(sources); n == 0 || n >= maxFiles {
			return badJob("%d files on the side %s, want 1 to %d", "%[2]s 一侧有 %[1]d 个文件,应为 1 到 %[3]d",
				n, sideName(side), maxFiles-1)
		}
	}
	if r.job.Out == "" {
		return badJob("no directory for the results", "未指定结果目录")
	}
	if d := r.job.SettlementDate; d != "" {
		var ok bool
		if r.day, ok = statement.ParseDay([]byte(d)); !ok {
			return badJob("settlement date %q is not a date (yyyy-MM-dd)", "清算日期 %q 不是日期(yyyy-MM-dd)", d)
		}
	}
	return r.job.Rules.check()
}

func badJob(en, zh string, args ...any) error {
	return &InputError{Why: pos.Text{EN: fmt.Sprintf(en, args...), ZH: fmt.Sprintf(zh, args...)}}
}

// open opens all inputs, so that a missing file or a wrong header costs no work.
func (r *run) open() error {
	opts := statement.Options{Block: r.tuning.block, Memory: r.tuning.windowSize}
	for side, sources := range [][]Source{r.job.Ours, r.job.Theirs} {
		for i, src := range sources {
			file, err := statement.Open(src, opts)
			if err != nil {
				return err
			}
			in := &input{File: file, side: side, index: i, expected: file.TextSize() / bytesPerLine}
			r.inputs, r.sides[side] = append(r.inputs, in), append(r.sides[side], in)
			r.size += file.Size
		}
	}
	return nil
}

// dated refuses a settlement date of which no statement of a side is: all its lines would be passed over,
// and nothing against nothing always closes.
func (r *run) dated() error {
	for _, inputs := range r.sides {
		var other *input
		held := false
		for _, in := range inputs {
			from, to := in.Days()
			if held = held || from == 0 || from <= r.day && r.day <= to; !held && other == nil {
				other = in
			}
		}
		if r.day != 0 && !held && other != nil {
			from, to := other.Days()
			return &InputError{File: other.Path, Why: pos.Text{
				EN: fmt.Sprintf("is the statement of %d to %d, not of %s", from, to, r.job.SettlementDate),
				ZH: fmt.Sprintf("是 %d 至 %d 的对账单,而不是 %s 的", from, to, r.job.SettlementDate),
			}}
		}
	}
	return nil
}

// givePlaces gives every file its range of places: a plain one as many as it has bytes,
// the others equal shares of what is left.
func (r *run) givePlaces() error {
	for side, inputs := range r.sides {
		left, packed := int64(placesPerSide), int64(0)
		for _, in := range inputs {
			if left -= in.Size; !in.Plain {
				left += in.Size
				packed++
			}
		}
		if left < 0 {
			return badJob("the files of the side %[1]s hold more than %[2]d bytes", "%[1]s 一侧的文件超过 %[2]d 字节",
				sideName(side), int64(placesPerSide))
		}
		var next place
		for _, in := range inputs {
			size := in.Size
			if !in.Plain {
				size = left / packed
			}
			in.first, in.last = next, next+place(size)
			next = in.last
		}
	}
	return nil
}

// whole asks every statement whether it is whole, and whether another one repeats it: banks
// send a file again under another name. (Lines of the house's own CSV that are repeated are
// duplicates, whatever file they come from.)
func (r *run) whole() error {
	for _, inputs := range r.sides {
		seen := map[statement.Digest]*input{}
		for _, in := range inputs {
			if err := in.Verify(); err != nil {
				return err
			}
			digest := in.Digest()
			if other := seen[digest]; other != nil && digest.Lines > 0 {
				return repeated(in.Path, other.Path)
			}
			seen[digest] = in
		}
	}
	return nil
}

func repeated(path, other string) error {
	return &InputError{File: path, Why: pos.Text{
		EN: "holds the same lines as " + other + ": give each statement once",
		ZH: "与 " + other + " 的明细相同:每个对账单只应给出一次",
	}}
}

func (r *run) unchanged() error {
	for _, in := range r.inputs {
		if err := in.Unchanged(); err != nil {
			return err
		}
	}
	return nil
}

func (r *run) prepare(dir string) error {
	if err := r.givePlaces(); err != nil {
		return err
	}
	var expected int64
	for _, in := range r.inputs {
		expected += in.expected
		in.BoundIndex(r.tuning.index / int64(len(r.inputs)))
		if err := in.Keep(func() (*os.File, error) { return spill.Unlinked(dir) }); err != nil {
			return err
		}
	}
	r.tuning.size(r.job.Memory, expected, r.job.Rules)
	r.plan = newPlan(r.job.Memory, r.tuning, int64(r.job.Rules.AmountToleranceFen))
	r.plan.Expected = expected
	r.plan.pinned = r.job.Rules.bits() > 0 && r.job.Rules.bits() == r.tuning.depth
	r.progress.report, r.progress.total = r.job.Progress, 2*r.size
	r.sortDir = dir
	r.breaks = spill.NewSorter(dir, r.tuning.sort)
	r.rejects = spill.NewSorter(dir, r.tuning.sort)
	r.totals = spill.NewSorter(dir, r.tuning.sort)
	if splits := r.job.Rules.fieldSplits(); len(splits) > 0 {
		if err := r.planBranches(splits); err != nil {
			return err
		}
	}
	r.store = spill.NewStore(dir, r.tuning.page, r.pageMemory())
	return nil
}

// pageMemory is what finished pages may take. Ours come first and are within it; the page that is open of every
// list of theirs is not.
func (r *run) pageMemory() int64 {
	lists := int64(1) << r.tuning.depth
	if r.branches != nil {
		lists = int64(r.branches.tree.shards)
	}
	return max(r.tuning.ram-lists*int64(r.tuning.workers*r.tuning.page), 0)
}

// planBranches builds the rule tree from a sample of the inputs.
func (r *run) planBranches(splits []Split) error {
	lines, err := r.sample(splits)
	if err != nil {
		return err
	}
	var expected int64
	for _, in := range r.inputs {
		expected += in.expected
	}
	r.plan.Expected = expected
	// The more shards, the less it matters that a node needs a whole number of them.
	const mostShards, fairShard = 2048, 8000 // below that many lines, chance makes shards uneven
	leastShards := min(max(expected/fairShard, 64), 256)
	budget := r.job.Rules.ShardRows
	if budget == 0 {
		budget = min(r.tuning.leaf/costPerRow, expected/leastShards+1)
		if expected < fewLines {
			budget = fewLines
		}
	}
	most := int(min(r.tuning.openBytes(r.job.Memory)/int64(r.tuning.page), mostShards))
	tree := buildTree(splits, lines, expected, budget, max(most, 1))
	parts := 1
	for parts < most && expected*recordSize/int64(parts) > r.tuning.leaf/4 {
		parts *= 2
	}
	r.branches = &branches{tree: tree, parts: parts}
	r.plan.Budget.ShardRows = budget
	return nil
}

func (r *run) close() {
	for _, in := range r.inputs {
		_ = in.Close()
	}
	if r.store != nil {
		_ = r.store.Close()
	}
	for _, s := range []*spill.Sorter{r.breaks, r.rejects, r.totals} {
		if s != nil {
			s.Close()
		}
	}
}

// workers runs work on every worker and returns all their errors.
func (r *run) workers(work func(w int) error) error {
	errs := make([]error, r.tuning.workers)
	var group sync.WaitGroup
	for w := range errs {
		group.Go(func() { errs[w] = work(w) })
	}
	group.Wait()
	return errors.Join(errs...)
}

func (r *run) addTally(t *tally) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.tally.add(t)
}

// progress passes on what is done, dropping reports that come while one is passed on.
type progress struct {
	report func(done, total int64)
	total  int64
	mu     sync.Mutex
	last   int64
}

func (p *progress) set(done int64) {
	if p.report == nil || !p.mu.TryLock() {
		return
	}
	defer p.mu.Unlock()
	if done > p.last {
		p.last = done
		p.report(min(done, p.total), p.total)
	}
}
