package reconcile

import (
	"context"
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"sync/atomic"
	"time"

	"dcpos/central/reconcile/segment"
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
	return s, roomless(job.Out, advised(err))
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
	return roomless(tmp, advised(err))
}

// advised says what to do when something that was kept does not hold what its hash promises.
func advised(err error) error {
	if !errors.Is(err, segment.ErrDamaged) {
		return err
	}
	return &InputError{Why: pos.Text{
		EN: "what was kept of earlier work is damaged: delete the object that is named, or the whole folder of segments, and run again (it is made again from the files)",
		ZH: "先前保存的分段数据已损坏:请删除所指对象或整个分段目录后重试(将由原文件重新生成)",
	}, Err: err}
}

// parts is one run in parts.
type parts struct {
	*run
	depot   Depot
	crew    Crew
	portion int64
	spec    spec
	key     segment.Key // of fingerprints
	looked  int         // portions that were partitioned to know their fingerprints
	pinned  bool        // the rules ask for more shards than there would be
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
	if job.Rules.ByFields() {
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

// steps lets the crew carry out so many steps and returns their outcomes.
func (p *parts) steps(ctx context.Context, do string, n int, key func(int) (string, error)) ([]*outcome, error) {
	name, err := p.spec.object(ctx, &p.depot)
	if err != nil {
		return nil, err
	}
	tasks, outcomes := make([]Task, n), make([]*outcome, n)
	err = p.each(n, func(i int) (err error) {
		tasks[i] = Task{Do: do, Spec: name, N: i}
		if tasks[i].Key, err = key(i); err == nil {
			outcomes[i], err = p.depot.load(ctx, tasks[i].Key)
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	var due []Task
	for i := range tasks {
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
	return outcomes, p.each(len(due), func(i int) (err error) {
		t := due[i]
		if outcomes[t.N], err = p.depot.load(ctx, t.Key); err == nil && outcomes[t.N] == nil {
			err = errUndone
		}
		return err
	})
}

// each does n things, as many at a time as there are workers.
func (p *parts) each(n int, do func(int) error) error {
	var next atomic.Int64
	return p.workers(func(int) (err error) {
		for i := int(next.Add(1) - 1); i < n && err == nil; i = int(next.Add(1) - 1) {
			err = do(i)
		}
		return err
	})
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
