package reconcile

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"dcpos/central/reconcile/segment"
	"dcpos/central/reconcile/spill"
	"dcpos/central/reconcile/statement"
	"dcpos/pos"
)

// RunInParts is Run by a crew: the same results, byte for byte, but for plan.json and the
// summary's seconds and shards. What earlier runs with this depot have done already, be it
// that they were killed, that a side was prepared or that only one file has changed, is not
// done again; where job.Out holds the results of just this run, nothing is.
//
// Rules that split by fields are for one process: shards are ranges of the id's hash here.
func RunInParts(ctx context.Context, job Job, depot Depot, crew Crew) (Summary, error) {
	p, err := newParts(job, depot, crew)
	if err != nil {
		return Summary{}, err
	}
	s, err := p.all(ctx)
	return s, roomless(job.Out, err)
}

// Prepare partitions our side before the institutions' statements are there, so that the run
// that follows reads only those. It may be called for every file as it comes.
func Prepare(ctx context.Context, job Job, depot Depot, crew Crew) error {
	job.Theirs = nil
	p, err := newParts(job, depot, crew)
	if err != nil {
		return err
	}
	defer p.close()
	tmp, err := os.MkdirTemp("", "reconcile-*")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(tmp) }()
	if err := p.layOut(ctx, tmp); err != nil {
		return err
	}
	if _, err = p.partition(ctx); err == nil {
		err = p.keepTotals(ctx, tmp)
	}
	return roomless(tmp, err)
}

// parts is one run in parts.
type parts struct {
	*run
	depot   Depot
	crew    Crew
	portion int64
	spec    spec
	key     segment.Key   // of fingerprints
	sums    *ledgerTotals // of all parts
	looked  int           // portions that were partitioned to know their fingerprints
}

func newParts(job Job, depot Depot, crew Crew) (*parts, error) {
	if job.Memory == 0 {
		job.Memory = defaultMemory
	}
	if job.Workers <= 0 {
		job.Workers = runtime.GOMAXPROCS(0)
	}
	p := &parts{run: &run{job: job, tuning: tune(job.Memory, job.Workers)}, depot: depot, crew: crew, portion: portionSize}
	if depot.portion > 0 {
		p.portion = depot.portion
	}
	if job.Rules != nil && len(job.Rules.fieldSplits()) > 0 {
		return nil, badJob("rules that split by fields are for one process: a run in parts splits by the hash of the id",
			"按字段拆分的规则仅适用于单进程;分段对账按流水号散列拆分")
	}
	if job.RejectFile != "" {
		return nil, badJob("a run in parts sets no bad lines aside: correct them, or reconcile in one process",
			"分段对账不支持另存坏行:请更正,或使用单进程对账")
	}
	return p, nil
}

func (p *parts) all(ctx context.Context) (Summary, error) {
	started := time.Now()
	r := p.run
	if err := r.check(); err != nil {
		return Summary{}, err
	}
	defer r.close()
	out, err := stage(r.job.Out, "")
	if err != nil {
		return Summary{}, err
	}
	defer out.abandon()
	r.sortDir = out.dir
	if err := p.layOut(ctx, out.dir); err != nil {
		return Summary{}, err
	}
	id, err := p.partition(ctx)
	if err != nil {
		return Summary{}, err
	}
	if s, ok := finished(r.job.Out, id); ok {
		return s, nil
	}
	r.plan.Run = id
	if err := p.merge(ctx); err != nil {
		return Summary{}, err
	}
	if err := p.unchanged(); err != nil {
		return Summary{}, err
	}
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

// finished reads the results of a run that was done before.
func finished(out, id string) (s Summary, ok bool) {
	var p plan
	for name, into := range map[string]any{planFile: &p, summaryFile: &s} {
		b, err := os.ReadFile(filepath.Join(out, name))
		if err != nil || json.Unmarshal(b, into) != nil {
			return Summary{}, false
		}
	}
	for _, name := range []string{breaksFile, totalsFile} {
		if _, err := os.Stat(filepath.Join(out, name)); errors.Is(err, fs.ErrNotExist) {
			return Summary{}, false
		}
	}
	return s, p.Run == id
}

// layOut cuts the inputs into portions.
func (p *parts) layOut(ctx context.Context, tmp string) error {
	secret, err := p.depot.secret(ctx)
	if err != nil {
		return err
	}
	p.secret = secretOf(secret)
	if p.key, err = printKey(secret); err != nil {
		return err
	}
	p.spec = spec{Version: partsVersion, Secret: secret, Day: p.job.SettlementDate}
	if p.job.Rules != nil {
		p.spec.Tolerance = p.job.Rules.AmountToleranceFen
	}
	l := layout{
		Depot: &p.depot, portion: p.portion, secret: secret, key: p.key, tmp: tmp, workers: p.tuning.workers,
		opts: statement.Options{Block: p.tuning.block, Memory: p.tuning.windowSize},
	}
	local, _ := p.crew.(Local)
	l.look = local.Worker != nil && p.depot.InPlace
	var expected int64
	for side, sources := range [][]Source{p.job.Ours, p.job.Theirs} {
		for i, src := range sources {
			size, err := p.layOutText(ctx, &l, side, i, src)
			if err != nil {
				return err
			}
			if side == ours {
				expected += 2 * size / bytesPerLine
			}
		}
	}
	// Ours alone decides, so that what was prepared still fits when theirs comes.
	if p.spec.Depth, p.spec.Shards = plannedShards(expected); p.depot.depth > 0 {
		p.spec.Depth, p.spec.Shards = p.depot.depth, p.depot.shards
	}
	if err := givePlacesTo(p.spec.Portions, p.spec.Texts, p.portion); err != nil || len(l.fresh) == 0 {
		return err
	}
	return p.look(ctx, local, &l)
}

// layOutText lays one input out and gives its size as text.
func (p *parts) layOutText(ctx context.Context, l *layout, side, index int, src Source) (int64, error) {
	t, list, in, err := l.text(ctx, side, index, src)
	if in != nil {
		p.inputs, p.sides[side] = append(p.inputs, in), append(p.sides[side], in)
	}
	if err != nil {
		return 0, err
	}
	for k := range list {
		list[k].Text = len(p.spec.Texts)
	}
	if n := len(l.fresh); n > 0 && l.fresh[n-1].in == in {
		l.fresh[n-1].text = len(p.spec.Texts)
	}
	p.spec.Texts, p.spec.Portions = append(p.spec.Texts, t), append(p.spec.Portions, list...)
	in.expected = t.Size / bytesPerLine
	return t.Size, nil
}

// look partitions the portions of new texts, which gives their fingerprints as well: a text
// that nothing is known of is read once.
func (p *parts) look(ctx context.Context, crew Local, l *layout) error {
	name, err := p.spec.object(ctx, &p.depot)
	if err != nil {
		return err
	}
	s := &p.spec
	var due []int
	for i := range s.Portions {
		if s.Portions[i].Print == "" {
			due = append(due, i)
		}
	}
	p.looked = len(due)
	err = crew.each(ctx, len(due), func(ctx context.Context, i int) (err error) {
		s.Portions[due[i]].Print, err = crew.Worker.look(ctx, name, due[i])
		return err
	})
	if err != nil {
		return err
	}
	for _, f := range l.fresh {
		if err := f.in.Unchanged(); err != nil {
			return err
		}
		var of []portion
		for _, part := range s.Portions {
			if part.Text == f.text {
				of = append(of, portion{Begin: part.Begin, End: part.End, Print: part.Print})
			}
		}
		if err := l.keep(ctx, f.note, of); err != nil {
			return err
		}
	}
	return nil
}

// steps lets the crew carry out so many steps and returns their outcomes.
func (p *parts) steps(ctx context.Context, do string, n int, key func(int) (string, error)) ([]*outcome, error) {
	name, err := p.spec.object(ctx, &p.depot)
	if err != nil {
		return nil, err
	}
	tasks, outcomes := make([]Task, n), make([]*outcome, n)
	var due []Task
	for i := range tasks {
		tasks[i] = Task{Do: do, Spec: name, N: i}
		if tasks[i].Key, err = key(i); err != nil {
			return nil, err
		}
		if outcomes[i], err = p.depot.load(ctx, tasks[i].Key); err != nil {
			return nil, err
		}
		if outcomes[i] == nil {
			due = append(due, tasks[i])
		}
	}
	if len(due) > 0 {
		if err := p.crew.Do(ctx, due); err != nil {
			return nil, err
		}
	}
	done := planSteps{do, n, len(due)}
	if do == doPartition {
		done.Done += p.looked
	}
	p.plan.Steps = append(p.plan.Steps, done)
	for _, t := range due {
		if outcomes[t.N], err = p.depot.load(ctx, t.Key); err == nil && outcomes[t.N] == nil {
			err = errUndone
		}
		if err != nil {
			return nil, err
		}
	}
	return outcomes, nil
}

// partition has all portions partitioned, adds up what they say, and names the run.
func (p *parts) partition(ctx context.Context) (id string, err error) {
	s := &p.spec
	p.plan = newPlan(p.job.Memory, p.tuning, int64(s.Tolerance))
	p.plan.Sharding = partsReason
	outcomes, err := p.steps(ctx, doPartition, len(s.Portions), func(i int) (string, error) { return s.partitionKey(i, s.Portions[i].Print) })
	if err != nil {
		return "", err
	}
	for _, line := range []bool{true, false} { // bad lines before files that are not whole
		for i, o := range outcomes {
			if o.Fault != nil && (o.Fault.Line > 0) == line {
				return "", p.fault(ctx, i, o.Fault, outcomes[:i])
			}
		}
	}
	s.Segments = nil
	for _, o := range outcomes {
		s.Segments = append(s.Segments, *o.Segment)
	}
	id, err = nameOf("run", s.Segments, s.Tolerance, s.Day, len(p.job.Ours), len(p.job.Theirs), placesOf(s.Portions))
	return id, err
}

func placesOf(parts []portion) []place {
	out := make([]place, len(parts))
	for i := range parts {
		out[i] = parts[i].First
	}
	return out
}

// fault is what is wrong with the inputs: of the portions before the first bad line all are good.
func (p *parts) fault(ctx context.Context, n int, f *inputFault, before []*outcome) error {
	text := p.spec.Portions[n].Text
	bad := &InputError{File: p.spec.Texts[text].Name, Number: f.Number, Column: f.Column, Why: pos.Text{EN: f.EN, ZH: f.ZH}}
	if f.Line == 0 {
		return bad
	}
	bad.Line = f.Line + 1
	for i, o := range before {
		if p.spec.Portions[i].Text != text {
			continue
		}
		var x segmentIndex
		if err := segment.ReadIndex(ctx, p.depot.Store, *o.Segment, &x); err != nil {
			return err
		}
		bad.Line += x.Lines
	}
	return bad
}

// merge has all shards joined and puts everything together.
func (p *parts) merge(ctx context.Context) error {
	r, s := p.run, &p.spec
	r.breaks, r.rejects = spill.NewSorter(r.sortDir, r.tuning.sort), spill.NewSorter(r.sortDir, r.tuning.sort)
	r.totals = spill.NewSorter(r.sortDir, r.tuning.sort)
	r.store = spill.NewStore(r.sortDir, spill.MinPage, 0)
	p.sums = newLedgerTotals(r.tuning.totals*int64(r.tuning.workers), r.totals)
	indexes, err := p.read(ctx)
	if err != nil {
		return err
	}
	added := make(chan error, 1)
	go func() { added <- p.addTotals(ctx, indexes) }() // while others join
	outcomes, err := p.steps(ctx, doJoin, 1<<s.Shards, func(i int) (string, error) {
		of := []any{doJoin, secretID(s.Secret), s.Tolerance, s.Depth, s.Shards, i}
		for n := range s.Portions {
			if lines := indexes[n].Shards[i]; lines.Size > 0 {
				of = append(of, s.Texts[s.Portions[n].Text].Side, s.Portions[n].First, lines.Hash)
			}
		}
		return nameOf(kindStep, of...)
	})
	if err = errors.Join(err, <-added); err != nil {
		return err
	}
	before := p.linesBefore(indexes)
	root := p.plan.add(planNode{Parent: -1, Rule: "all lines", Expected: p.plan.Expected, Observed: p.plan.Observed, Outcome: outcomeSplit})
	why := whyf("expected rows need %d shards", "按预计行数需要 %d 个分片", 1<<s.Shards)
	p.plan.settle(root, outcomeSplit, why)
	for i, o := range outcomes {
		if err := ctx.Err(); err != nil {
			return err
		}
		if o.Result == nil {
			return fmt.Errorf("shard %d has no result: %w", i, segment.ErrDamaged)
		}
		if err := p.take(ctx, i, *o.Result, before); err != nil {
			return err
		}
	}
	return p.sums.flush()
}

// read takes what the segments say about the inputs as a whole.
func (p *parts) read(ctx context.Context) ([]*segmentIndex, error) {
	s := &p.spec
	indexes := make([]*segmentIndex, len(s.Segments))
	for n, ref := range s.Segments {
		x := new(segmentIndex)
		if err := segment.ReadIndex(ctx, p.depot.Store, ref, x); err != nil {
			return nil, err
		}
		var t tally
		if len(x.Counts) != 4<<s.Depth || len(x.Shards) != 1<<s.Shards || !t.fromNumbers(x.Tally) {
			return nil, fmt.Errorf("read index of %s: %w", ref.Object, segment.ErrDamaged)
		}
		p.tally.add(&t)
		p.plan.Observed += x.Rows
		indexes[n] = x
	}
	lines, rows := make([]int64, len(s.Texts)), int64(0)
	for n, x := range indexes {
		lines[s.Portions[n].Text] += x.Lines
	}
	for i := range s.Texts {
		in := p.inputs[i]
		rows += in.expected
		p.plan.Inputs = append(p.plan.Inputs, planInput{
			Side: sideName(in.side), File: in.Path, Bytes: s.Texts[i].Size, Expected: in.expected, Observed: lines[i],
		})
	}
	p.plan.Expected = rows
	return indexes, p.once(indexes)
}

// addTotals adds up the control totals of ours.
func (p *parts) addTotals(ctx context.Context, indexes []*segmentIndex) error {
	key, err := p.totalsKey()
	if err != nil {
		return err
	}
	if kept, err := p.depot.load(ctx, key); err != nil {
		return err
	} else if kept != nil && kept.Result != nil {
		var x resultIndex
		if err := segment.ReadIndex(ctx, p.depot.Store, *kept.Result, &x); err != nil {
			return err
		}
		return p.pairs(ctx, *kept.Result, x.Totals, p.sums.take)
	}
	for n, x := range indexes {
		if err := p.pairs(ctx, p.spec.Segments[n], x.Totals, p.sums.take); err != nil {
			return err
		}
	}
	return nil
}

// totalsKey names the control totals of these segments of ours together.
func (p *parts) totalsKey() (string, error) {
	of := []any{doTotals, secretID(p.spec.Secret)}
	for n, ref := range p.spec.Segments {
		if p.spec.Texts[p.spec.Portions[n].Text].Side == ours {
			of = append(of, ref.Object)
		}
	}
	return nameOf(kindStep, of...)
}

// keepTotals adds up the control totals of what was prepared, so that the run need not.
func (p *parts) keepTotals(ctx context.Context, tmp string) error {
	key, err := p.totalsKey()
	if err != nil {
		return err
	}
	if kept, err := p.depot.load(ctx, key); kept != nil || err != nil {
		return err
	}
	sorter := spill.NewSorter(tmp, p.tuning.sort)
	defer sorter.Close()
	sums := newLedgerTotals(p.tuning.totals*int64(p.tuning.workers), sorter)
	for _, ref := range p.spec.Segments {
		x := new(segmentIndex)
		if err := segment.ReadIndex(ctx, p.depot.Store, ref, x); err != nil {
			return err
		}
		if err := p.pairs(ctx, ref, x.Totals, sums.take); err != nil {
			return err
		}
	}
	if err := sums.flush(); err != nil {
		return err
	}
	out := segment.NewWriter(p.depot.Store, tmp, p.key)
	defer out.Close()
	var x resultIndex
	if x.Totals, err = writePairs(out, sorter); err != nil {
		return err
	}
	ref, err := out.Finish(ctx, kindResult, &x, 0)
	if err != nil {
		return err
	}
	note, err := json.Marshal(outcome{Result: &ref})
	if err == nil {
		_, err = p.depot.Notes.Keep(ctx, key, note)
	}
	return err
}

// once refuses a statement that repeats another one.
func (p *parts) once(indexes []*segmentIndex) error {
	type known struct {
		side      int
		rows, sum uint64
	}
	seen := map[known]string{}
	for n, x := range indexes {
		t := &p.spec.Texts[p.spec.Portions[n].Text]
		if !t.Whole || x.Rows == 0 {
			continue
		}
		is := known{t.Side, uint64(x.Rows), x.Sum}
		if other, ok := seen[is]; ok {
			return repeated(t.Name, other)
		}
		seen[is] = t.Name
	}
	return nil
}

func (p *parts) pairs(ctx context.Context, ref segment.Ref, sections []segment.Section, each func(key, value []byte) error) error {
	for _, s := range sections {
		b, err := s.Read(ctx, p.depot.Store, ref, p.key)
		if err != nil {
			return err
		}
		if err := segment.Pairs(b, each); err != nil {
			return fmt.Errorf("read %s: %w", ref.Object, err)
		}
	}
	return nil
}

// linesBefore counts the lines of a portion's text before the portion, its header among them.
func (p *parts) linesBefore(indexes []*segmentIndex) []int64 {
	before := make([]int64, len(indexes))
	of := make([]int64, len(p.spec.Texts))
	for n, x := range indexes {
		text := p.spec.Portions[n].Text
		before[n] = 1 + of[text]
		of[text] += x.Lines
	}
	return before
}

// take adds a shard's result, with the numbers of its lines.
func (p *parts) take(ctx context.Context, shard int, ref segment.Ref, before []int64) error {
	var x resultIndex
	if err := segment.ReadIndex(ctx, p.depot.Store, ref, &x); err != nil {
		return err
	}
	var t tally
	if !t.fromNumbers(x.Tally) {
		return fmt.Errorf("read index of %s: %w", ref.Object, segment.ErrDamaged)
	}
	p.tally.add(&t)
	node := planNode{Parent: 0, Rule: hashRule(uint64(shard), p.spec.Shards), Expected: p.plan.Expected >> p.spec.Shards}
	node.Observed, node.Outcome = x.Rows[ours]+x.Rows[theirs], outcomeJoined
	if node.Observed == 0 {
		node.Outcome = outcomeEmpty
	}
	p.plan.add(node)
	var value []byte
	err := p.pairs(ctx, ref, x.Breaks, func(key, v []byte) error {
		const tail = 2 * 8
		if len(key) < tail+2 || int(key[0]) >= len(kindRanks()) {
			return segment.ErrDamaged
		}
		value = value[:0]
		for side, at := range [2]place{
			place(binary.BigEndian.Uint64(key[len(key)-tail:])), place(binary.BigEndian.Uint64(key[len(key)-tail/2:])),
		} {
			if at == 0 {
				continue
			}
			i := bytes.IndexByte(v, unnumbered[0])
			if i < 0 {
				return segment.ErrDamaged
			}
			n := p.spec.portionOf(side, at)
			number := before[n] + int64(at-p.spec.Portions[n].First)
			value = append(append(value, v[:i]...), lineNumber(p.spec.Texts[p.spec.Portions[n].Text].Index, number, len(p.sides[side]))...)
			v = v[i+1:]
		}
		return p.breaks.Add(key, append(value, v...))
	})
	if err != nil {
		return err
	}
	return p.pairs(ctx, ref, x.Totals, p.sums.take)
}

// Local is a crew of goroutines of this process.
type Local struct {
	Worker *Worker
	AtOnce int
	// Progress is told how much is done, never by two goroutines at once.
	Progress func(done, total int64)
}

// Do implements Crew.
func (l Local) Do(ctx context.Context, tasks []Task) error {
	return l.each(ctx, len(tasks), func(ctx context.Context, i int) error { return l.Worker.Do(ctx, tasks[i]) })
}

// each does n things, AtOnce at a time, until one fails.
func (l Local) each(ctx context.Context, n int, do func(context.Context, int) error) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	progress := progress{report: l.Progress, total: int64(n)}
	var next, done atomic.Int64
	var group sync.WaitGroup
	for range max(l.AtOnce, 1) {
		group.Go(func() {
			for i := next.Add(1) - 1; i < int64(n) && ctx.Err() == nil; i = next.Add(1) - 1 {
				if err := do(ctx, int(i)); err != nil {
					cancel(err)
					return
				}
				progress.set(done.Add(1))
			}
		})
	}
	group.Wait()
	return context.Cause(ctx)
}

// Queue hands tasks, by the keys of their notes, to workers elsewhere. When Offer returns nil
// each has its note; done is told how many have.
type Queue interface {
	Offer(ctx context.Context, tasks map[string][]byte, done func(n int)) error
}

// Elsewhere is a crew that a queue reaches.
type Elsewhere struct {
	Queue    Queue
	Progress func(done, total int64)
}

// Do implements Crew.
func (e Elsewhere) Do(ctx context.Context, tasks []Task) error {
	bodies := make(map[string][]byte, len(tasks))
	for _, t := range tasks {
		b, err := json.Marshal(t)
		if err != nil {
			return err
		}
		bodies[t.Key] = b
	}
	progress := progress{report: e.Progress, total: int64(len(bodies))}
	return e.Queue.Offer(ctx, bodies, func(n int) { progress.set(int64(n)) })
}

// DoQueued carries out a task as Elsewhere has queued it.
func (w *Worker) DoQueued(ctx context.Context, body []byte) error {
	var t Task
	if err := json.Unmarshal(body, &t); err != nil {
		return fmt.Errorf("read task: %w", err)
	}
	return w.Do(ctx, t)
}

// RunIn is RunInParts with a depot in a folder of this machine and workers in this process.
func RunIn(ctx context.Context, folder string, job Job) (Summary, error) {
	var s Summary
	err := inFolder(folder, job, func(d Depot, crew Crew) (err error) {
		s, err = RunInParts(ctx, job, d, crew)
		return err
	})
	return s, err
}

// PrepareIn is Prepare with a depot in a folder.
func PrepareIn(ctx context.Context, folder string, job Job) error {
	return inFolder(folder, job, func(d Depot, crew Crew) error { return Prepare(ctx, job, d, crew) })
}

func inFolder(folder string, job Job, do func(Depot, Crew) error) error {
	if err := os.MkdirAll(folder, 0o700); err != nil {
		return fmt.Errorf("make the folder of segments: %w", err)
	}
	tmp, err := os.MkdirTemp(folder, ".tmp-*")
	if err != nil {
		return fmt.Errorf("make the folder of segments: %w", err)
	}
	defer func() { _ = os.RemoveAll(tmp) }()
	depot := Depot{Store: segment.Folder(filepath.Join(folder, "data")), Notes: segment.Notes(filepath.Join(folder, "notes")), InPlace: true}
	if job.Memory == 0 {
		job.Memory = defaultMemory
	}
	if job.Workers <= 0 {
		job.Workers = runtime.GOMAXPROCS(0)
	}
	workers := tune(job.Memory, job.Workers).workers
	w := NewWorker(depot, tmp, job.Memory, workers)
	return errors.Join(do(depot, Local{w, workers, job.Progress}), w.Close())
}
