package reconcile

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"hash/maphash"
	"sync"

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
		shards = r.branches.most
	}
	r.leaves = make([]leaf, shards)
	var mu sync.Mutex
	err := r.workers(func(w int) error {
		p := r.newPartitioner(shards)
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
		r.addTally(&p.tally)
		mu.Lock()
		defer mu.Unlock()
		for i := range r.leaves {
			r.leaves[i].sides[ours].Join(lists[2*i])
			r.leaves[i].sides[theirs].Join(lists[2*i+1])
		}
		return nil
	})
	if err != nil {
		return err
	}
	r.number()
	if r.failure.err != nil {
		return r.placed(&r.failure)
	}
	for _, in := range r.inputs {
		if err := in.Unchanged(); err != nil {
			return err
		}
	}
	if b := r.branches; b != nil {
		r.leaves = r.leaves[:len(b.names)]
		for i := range r.leaves {
			r.leaves[i].branch = true
		}
		r.plan.root(0, r.leaves, b.names)
		return b.find(int(r.tuning.sort / 8))
	}
	for i := range r.leaves {
		r.leaves[i].prefix, r.leaves[i].depth = uint64(i), r.tuning.depth
	}
	r.plan.root(r.tuning.depth, r.leaves, nil)
	return nil
}

// number turns the blocks' counts into line numbers.
func (r *run) number() {
	for _, in := range r.inputs {
		before := make([]int64, len(in.blocks))
		var n int64
		for i, lines := range in.blocks {
			before[i] = n
			n += int64(lines)
		}
		in.blocks = nil
		r.lines.before[in.side] = append(r.lines.before[in.side], before)
		r.plan.Inputs = append(r.plan.Inputs, planInput{
			Side: sideName(in.side), File: in.Path, Bytes: in.Size, Expected: in.expected, Observed: n,
		})
	}
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
	return bad.fault.At(bad.file, r.lines.number(f.side, f.at))
}

// partitioner is one worker of the reading phase.
type partitioner struct {
	*run
	shift   uint
	pages   *spill.Appender
	totals  *ledgerTotals
	tally   tally
	row     statement.Row
	block   []byte
	key     []byte
	scratch []byte
}

func (r *run) newPartitioner(shards int) *partitioner {
	return &partitioner{
		run: r, shift: 64 - uint(r.tuning.depth), pages: r.store.NewAppender(2 * shards),
		totals:  newLedgerTotals(r.tuning.totals, r.totals),
		scratch: make([]byte, 0, maxRecord),
	}
}

// all reads every input, each worker starting at another one, so that compressed
// files, which only one worker can unpack at a time, are unpacked next to each other.
func (p *partitioner) all(ctx context.Context, w int) error {
	for i := range p.inputs {
		in := p.inputs[(i+w)%len(p.inputs)]
		parser := in.NewParser()
		for {
			if err := ctx.Err(); err != nil {
				return err
			}
			more, err := p.next(in, parser)
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

func (p *partitioner) next(in *input, parser statement.Parser) (bool, error) {
	seq, data, done, err := in.Next(&p.block)
	if done {
		return false, nil
	}
	start := placeOf(in.index, seq, 0)
	if !p.failure.before(in.side, start) {
		return false, nil
	}
	if err == nil && seq >= maxBlocks {
		err = &InputError{File: in.Path, Why: pos.Text{EN: "is too large", ZH: "过大"}}
	}
	if err != nil {
		p.failure.set(in.side, start, err)
		return false, nil
	}
	n, err := p.lines(in, parser, seq, data)
	in.counted(seq, n)
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

// lines takes the lines of a block apart and returns how many there were.
func (p *partitioner) lines(in *input, parser statement.Parser, seq int64, data []byte) (int, error) {
	n := 0
	for len(data) > 0 {
		text := data
		if i := bytes.IndexByte(data, '\n'); i >= 0 {
			text, data = data[:i], data[i+1:]
		} else {
			data = nil
		}
		at := placeOf(in.index, seq, int64(n))
		n++
		fault := parser.Parse(text, &p.row)
		var err error
		switch {
		case fault != nil && p.job.RejectFile == "":
			p.failure.set(in.side, at, &faulty{fault, in.Path})
			return n, nil
		case fault != nil:
			err = p.reject(in.side, at, fault, text)
		case p.day == 0 || p.row.Day == p.day:
			err = p.take(in.side, at)
		}
		if err != nil {
			return n, err
		}
	}
	return n, nil
}

// take counts a good line and puts it into its shard.
func (p *partitioner) take(side int, at place) error {
	row := &p.row
	effect := effective(row.Status, row.Amount)
	p.tally.lines[side]++
	p.tally.effect[side].add(effect)
	bank, merchant, err := p.totals.of(row.Bank, row.Merchant)
	if err != nil {
		return err
	}
	for _, t := range [2]*total{bank, merchant} {
		t.lines[side]++
		t.fen[side].add(row.Amount)
		t.fee[side].add(row.Fee)
		t.effect[side].add(effect)
	}
	hash := maphash.Bytes(p.seed, row.TxnID)
	b := encode(p.scratch, hash, at, row)
	list := int(hash >> p.shift)
	if p.branches != nil {
		p.key = p.branches.key(p.key[:0], row)
		list = p.branches.of(p.key)
		if err := p.branches.note(hash, list); err != nil {
			return err
		}
	}
	space, err := p.pages.Space(list*2+side, len(b))
	if err != nil {
		return err
	}
	copy(space, b)
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
