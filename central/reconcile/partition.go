package reconcile

import (
	"context"
	"encoding/binary"
	"fmt"
	"slices"
	"sort"
	"sync"
	"sync/atomic"

	"dcpos/central/reconcile/segment"
	"dcpos/central/reconcile/spill"
	"dcpos/central/reconcile/statement"
	"dcpos/pos"
)

// failure keeps the first bad place in the order of the inputs, whichever worker met
// it first. Blocks before it are still read, because they may hold an earlier one.
type failure struct {
	mu   sync.Mutex
	err  error
	side int
	at   place
}

func (f *failure) set(side int, at place, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.err == nil || side < f.side || side == f.side && at < f.at {
		f.side, f.at, f.err = side, at, err
	}
}

// before reports whether a block may still hold an earlier failure.
func (f *failure) before(side int, at place) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.err == nil || side < f.side || side == f.side && at < f.at
}

// partition reads all inputs and puts every line into the shard of its id.
func (r *run) partition(ctx context.Context) error {
	shards := 1 << r.tuning.depth
	if r.branches != nil {
		shards = r.branches.tree.shards
	}
	r.leaves = make([]leaf, shards)
	if err := r.workers(func(w int) error { return r.readPart(ctx, w, shards) }); err != nil {
		return err
	}
	for _, in := range r.inputs {
		r.plan.Inputs = append(r.plan.Inputs, planInput{
			Side: sideName(in.side), File: in.Path, Bytes: in.Size, Expected: in.expected, Observed: in.Rows(),
		})
	}
	if r.failure.err != nil {
		return r.placed(&r.failure)
	}
	if err := r.unchanged(); err != nil {
		return err
	}
	if err := r.whole(); err != nil {
		return err
	}
	if r.branches != nil {
		for i := range r.leaves {
			r.leaves[i].branch = true
		}
		r.branches.tree.describe(r.plan, r.leaves)
		return r.findWanderers()
	}
	for i := range r.leaves {
		r.leaves[i].prefix, r.leaves[i].depth = uint64(i), r.tuning.depth
	}
	r.plan.root(r.tuning.depth, r.leaves)
	return nil
}

// readPart is what one worker reads.
func (r *run) readPart(ctx context.Context, w, shards int) error {
	p := r.newPartitioner()
	p.pages = r.store.NewAppender(2 * shards)
	if err := p.all(ctx, w); err != nil {
		return err
	}
	lists, err := p.pages.Finish()
	if err != nil {
		return err
	}
	if err := p.totals.flush(); err != nil {
		return err
	}
	if p.fields != nil {
		if err := p.fields.finish(); err != nil {
			return err
		}
	}
	r.addTally(&p.tally)
	r.mu.Lock()
	defer r.mu.Unlock()
	for i := range r.leaves {
		r.leaves[i].sides[ours].Join(lists[2*i])
		r.leaves[i].sides[theirs].Join(lists[2*i+1])
	}
	return nil
}

// findWanderers looks through the directory.
func (r *run) findWanderers() error {
	b := r.branches
	var next atomic.Int64
	err := r.workers(func(int) error {
		for i := int(next.Add(1) - 1); i < len(b.directory); i = int(next.Add(1) - 1) {
			if err := b.find(r.store, i, r.tuning.leaf, int(r.tuning.sort/8)); err != nil {
				return err
			}
		}
		return nil
	})
	slices.Sort(b.wanderers)
	return err
}

// faulty is a line's fault before its line number is known.
type faulty struct {
	fault *statement.Fault
	file  string
}

func (f *faulty) Error() string { return f.file + ": " + f.fault.Why.EN }

func (r *run) placed(f *failure) error {
	bad, ok := f.err.(*faulty) //nolint:errorlint // made here and never wrapped
	if !ok {
		return f.err
	}
	_, number, _, err := r.lineAt(f.side, f.at, newView())
	if err != nil {
		return err
	}
	return bad.fault.At(bad.file, number)
}

// where finds the file of a place and the position in its text.
func (r *run) where(side int, p place) (*input, int64) {
	inputs := r.sides[side]
	i := 0
	if len(inputs) > 1 {
		i = sort.Search(len(inputs)-1, func(i int) bool { return p < inputs[i].last })
	}
	return inputs[i], int64(p - inputs[i].first)
}

// partitioner is one worker of the reading phase.
type partitioner struct {
	*run
	shift   uint
	pages   *spill.Appender // where records go,
	sheaf   *sheaf          // or those of a part,
	segment *segmentWriter  // of which this is made
	totals  *sideTotals
	tally   tally
	row     statement.Row
	batch   statement.Batch
	hashed  hashed
	side    sideLines
	block   []byte
	fields  *branchesOf    // nil unless the rules split by fields
	print   *segment.Print // of the text that is read; nil unless it is a part's
}

func (r *run) newPartitioner() *partitioner {
	p := &partitioner{
		run: r, shift: 64 - uint(r.tuning.depth), totals: newSideTotals(r.tuning.totals, r.totals),
	}
	if r.branches != nil {
		p.fields = r.branches.worker(r.store)
	}
	return p
}

// all reads every input in their order. If some are packed, each worker starts at another
// one: only one worker can unpack a file at a time, and so they unpack next to each other.
func (p *partitioner) all(ctx context.Context, w int) error {
	if !slices.ContainsFunc(p.inputs, func(in *input) bool { return !in.Plain }) {
		w = 0
	}
	for i := range p.inputs {
		in := p.inputs[(i+w)%len(p.inputs)]
		lines := in.NewLines()
		for {
			if err := ctx.Err(); err != nil {
				return err
			}
			more, err := p.next(in, lines)
			if err != nil {
				return err
			}
			if !more {
				break
			}
		}
	}
	return nil
}

func (p *partitioner) next(in *input, lines *statement.Lines) (bool, error) {
	block, done, err := in.Next(&p.block)
	if done {
		return false, nil
	}
	start := in.first + place(block.At)
	if !p.failure.before(in.side, start) {
		return false, nil
	}
	if err == nil && start+place(len(block.Data)) > in.last {
		err = &InputError{File: in.Path, Why: pos.Text{EN: "is too large", ZH: "过大"}}
	}
	if err != nil {
		p.failure.set(in.side, start, err)
		return false, nil
	}
	if p.print != nil {
		_, _ = p.print.Write(block.Raw) // never fails
	}
	lines.Reset(block)
	err = p.lines(in, lines)
	lines.Done()
	p.progress.set(p.consumed())
	return true, err
}

func (r *run) consumed() int64 {
	var n int64
	for _, in := range r.inputs {
		n += in.Read()
	}
	return n
}

// lines takes the lines of a block.
func (p *partitioner) lines(in *input, lines *statement.Lines) error {
	for {
		if lines.Batch(&p.batch) {
			if err := p.takeBatch(in, lines); err != nil {
				return err
			}
			continue
		}
		position, text, fault, ok := lines.Next(&p.row)
		if !ok {
			return nil
		}
		at := in.first + place(position)
		if p.print != nil {
			at = place(lines.Ordinal())
		}
		var err error
		switch {
		case fault != nil && p.job.RejectFile == "":
			p.failure.set(in.side, at, &faulty{fault, in.Path})
			return nil
		case fault != nil:
			err = p.reject(in.side, at, fault, text)
		case p.day == 0 || p.row.Day == p.day:
			err = p.take(in.side, at)
		}
		if err != nil {
			return err
		}
	}
}

// take counts a good line and puts it into its shard.
func (p *partitioner) take(side int, at place) error {
	row := &p.row
	p.tally.read[side].add(row.Status, row.Amount)
	merchant, bank := p.secret.name(row.Merchant), p.secret.name(row.Bank)
	if side == ours {
		p.side.one(p.secret.nameHash(bank), p.secret.nameHash(merchant), row)
		if err := p.totals.count(1, &p.side, rowNames{row}); err != nil {
			return err
		}
	}
	id := p.secret.text(row.TxnID)
	body := p.secret.body(id, merchant, bank, row.Amount, row.Fee, row.Status)
	if p.sheaf != nil {
		return p.gather([]uint64{id}, []uint64{body}, []uint64{uint64(at)})
	}
	r := recordOf(id, body, at)
	list := int(id >> p.shift)
	if p.fields != nil {
		var err error
		if list, err = p.fields.shard(id, r, row); err != nil {
			return err
		}
	}
	return p.pages.Add(list*2+side, r.first, r.second)
}

// rowNames are the names of one row.
type rowNames struct{ row *statement.Row }

func (r rowNames) Bank(int) []byte     { return r.row.Bank }
func (r rowNames) Merchant(int) []byte { return r.row.Merchant }

// takeBatch is take for all lines of the batch, one thing after the other.
func (p *partitioner) takeBatch(in *input, lines *statement.Lines) error {
	b, places := &p.batch, p.hashed.places[:p.batch.N]
	before := uint64(lines.Ordinal()) - uint64(b.N) + 1
	for i := range places {
		if places[i] = before + uint64(i); p.print == nil {
			places[i] = uint64(in.first) + uint64(b.At(i))
		}
	}
	if p.day != 0 {
		b.Keep(p.day, places)
	}
	if p.fields != nil {
		return p.takeRows(in.side)
	}
	p.tally.read[in.side].addAll(b)
	p.hashed.of(b, p.secret)
	if in.side == ours {
		p.hashed.names(b.N, p.secret, &p.side.hashes)
		p.side.set(b)
		if err := p.totals.count(b.N, &p.side, b); err != nil {
			return err
		}
	}
	if p.sheaf != nil {
		return p.gather(p.hashed.ids[:b.N], p.hashed.bodies[:b.N], places)
	}
	p.hashed.records(b.N, p.shift, in.side)
	return p.pages.Scatter(p.hashed.lists[:b.N], p.hashed.first[:b.N], p.hashed.second[:b.N])
}

// takeRows takes the lines of the batch one by one.
func (p *partitioner) takeRows(side int) error {
	for i := range p.batch.N {
		p.batch.Row(i, &p.row)
		if err := p.take(side, place(p.hashed.places[i])); err != nil {
			return err
		}
	}
	return nil
}

// maxRejectText is how much of a bad line the reject file keeps.
const maxRejectText = 4 << 10

func (p *partitioner) reject(side int, at place, fault *statement.Fault, text []byte) error {
	p.tally.rejected[side]++
	key := binary.BigEndian.AppendUint64([]byte{byte(side)}, uint64(at))
	value := fmt.Appendf(nil, "%d\x00%s\x00%s\x00%s\x00", fault.Number, fault.Column, fault.Why.EN, fault.Why.ZH)
	return p.rejects.Add(key, append(value, text[:min(len(text), maxRejectText)]...))
}
