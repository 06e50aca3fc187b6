package reconcile

import (
	"context"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"

	"dcpos/central/reconcile/segment"
	"dcpos/central/reconcile/spill"
	"dcpos/central/reconcile/statement"
	"dcpos/pos"
)

// Worker carries out the tasks of runs in parts: a function from immutable data to an
// outcome, so that a task may be done twice, or half and then again, anywhere. It is safe
// for concurrent use.
type Worker struct {
	depot  Depot
	held   io.Closer // what is open of the depot
	tmp    string
	memory int64 // of one task

	mu    sync.Mutex
	job   string // the spec that is worked on
	open  *opened
	files map[string]*os.File // texts in place, until Close

	sheaves sync.Pool // of *sheaf: memory of the portions that are partitioned
	joins   sync.Pool // of *joinMemory: of the shards that are joined
}

// NewWorker makes a worker that does up to atOnce tasks within memory bytes (at least 8 MiB),
// with temporary files without names in tmp.
func NewWorker(depot Depot, tmp string, memory int64, atOnce int) *Worker {
	w := &Worker{
		depot: depot, tmp: tmp, memory: max(memory/int64(max(atOnce, 1)), memoryPerWorker), files: map[string]*os.File{},
	}
	w.depot.Store, w.held = segment.Hold(depot.Store)
	return w
}

// Do carries out a task and notes its outcome, unless there is one already. An error says
// that it could not be done here and now; bad input is an outcome.
func (w *Worker) Do(ctx context.Context, t Task) error {
	if done, err := w.depot.load(ctx, t.Key); err != nil || done != nil {
		return err
	}
	o, err := w.opened(ctx, t.Spec)
	if err != nil {
		return fmt.Errorf("task %s %d: %w", t.Do, t.N, err)
	}
	var out outcome
	switch {
	case t.Do == doPartition && t.N >= 0 && t.N < len(o.Portions):
		out, err = w.partition(ctx, o, &o.Portions[t.N])
	case t.Do == doJoin && t.N >= 0 && t.N < 1<<o.Shards && len(o.Segments) == len(o.Portions):
		out, err = w.join(ctx, o, t.N)
	default:
		err = errors.New("no such task: run the same version everywhere")
	}
	if err != nil {
		return fmt.Errorf("task %s %d: %w", t.Do, t.N, err)
	}
	return w.note(ctx, t.Key, &out)
}

func (w *Worker) note(ctx context.Context, key string, out *outcome) error {
	note, err := json.Marshal(out)
	if err == nil {
		_, err = w.depot.Notes.Keep(ctx, key, note)
	}
	return err
}

// look partitions a portion whose fingerprint is not known, notes the outcome under the name
// that the fingerprint gives it, and returns that.
func (w *Worker) look(ctx context.Context, spec string, n int) (string, error) {
	o, err := w.opened(ctx, spec)
	if err != nil {
		return "", err
	}
	part := o.Portions[n]
	out, err := w.partition(ctx, o, &part)
	if err != nil {
		return "", fmt.Errorf("%s %d: %w", doPartition, n, err)
	}
	key, err := o.partitionKey(n, part.Print)
	if err != nil {
		return "", err
	}
	return part.Print, w.note(ctx, key, &out)
}

// opened is a spec and what was read for it; tasks that run at once share it.
type opened struct {
	*spec
	worker *Worker
	secret *secret
	key    segment.Key // of fingerprints
	inputs []*input    // by text: what parses their lines

	mu      sync.Mutex
	indexes []*segmentIndex // by portion
	marks   []*marks        // by portion
}

// opened gives what belongs to a spec. Only the newest one is kept.
func (w *Worker) opened(ctx context.Context, name string) (*opened, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.job == name {
		return w.open, nil
	}
	s, err := readSpec(ctx, &w.depot, name)
	if err != nil {
		return nil, err
	}
	o := &opened{
		spec: s, worker: w, secret: secretOf(s.Secret),
		indexes: make([]*segmentIndex, len(s.Portions)), marks: make([]*marks, len(s.Portions)),
	}
	if o.key, err = printKey(s.Secret); err != nil {
		return nil, err
	}
	for i := range s.Texts {
		in, err := o.file(i, nil, 0)
		if err != nil {
			return nil, err
		}
		o.inputs = append(o.inputs, in)
	}
	w.job, w.open = name, o
	return o, nil
}

// Close closes what is open of the depot and of texts that lie in place; no task may run any longer.
func (w *Worker) Close() error {
	errs := []error{w.held.Close()}
	for _, f := range w.files {
		errs = append(errs, f.Close())
	}
	clear(w.files)
	return errors.Join(errs...)
}

// objectText is the text of an object.
type objectText struct {
	ctx   context.Context //nolint:containedctx // of the task that reads
	store segment.Store
	name  string
	size  int64
}

// ReadAt implements io.ReaderAt.
func (o objectText) ReadAt(b []byte, at int64) (int, error) {
	n := min(int64(len(b)), o.size-at)
	if n <= 0 {
		return 0, io.EOF
	}
	if err := o.store.ReadAt(o.ctx, o.name, b[:n], at); err != nil {
		return 0, err
	}
	if n < int64(len(b)) {
		return int(n), io.EOF
	}
	return int(n), nil
}

// reader is where a text is read.
func (o *opened) reader(ctx context.Context, text int) (io.ReaderAt, error) {
	t, w := &o.Texts[text], o.worker
	if t.Path == "" {
		return objectText{ctx, w.depot.Store, t.Object, t.Size}, nil
	}
	if !w.depot.InPlace {
		return nil, fmt.Errorf("%s lies in place, and this worker does not read there", t.Name)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if f := w.files[t.Path]; f != nil {
		return f, nil
	}
	f, err := os.Open(t.Path)
	if err == nil {
		w.files[t.Path] = f
	}
	return f, err
}

// file opens a text as a statement.
func (o *opened) file(text int, reader io.ReaderAt, block int) (*input, error) {
	t := &o.Texts[text]
	file, err := statement.OpenText(Source{Path: t.Name, Format: t.Format}, string(t.Head), reader, t.Size, statement.Options{Block: block})
	return &input{File: file, side: t.Side, index: t.Index}, err
}

// segmentIndex is the index of a segment: a portion's records in sheaves; where its lines begin; control totals.
type segmentIndex struct {
	Lines   int64             `json:"lines"` // of the portion,
	Aside   int64             `json:"aside"` // titles and trailers among them
	Rows    int64             `json:"rows"`  // that take part
	Sheaves []sheafIndex      `json:"sheaves"`
	Marks   segment.Section   `json:"marks"`  // where every 32nd line begins, from Begin on
	Wide    bool              `json:"wide"`   // marks of 64 bits
	Totals  []segment.Section `json:"totals"` // of ours; pairs: level and key, total
	Tally   []int64           `json:"tally"`
	Sum     uint64            `json:"sum"` // what all lines weigh, in any order
}

// readSegment reads a segment's index.
func (s *spec) readSegment(ctx context.Context, d *Depot, key segment.Key, n int) (*segmentIndex, error) {
	x := new(segmentIndex)
	if err := segment.ReadIndex(ctx, d.Store, s.Segments[n], x); err != nil {
		return nil, err
	}
	for i := range x.Sheaves {
		if err := x.Sheaves[i].read(ctx, d.Store, s.Segments[n], key, 1<<s.Depth, 1<<s.Shards); err != nil {
			return nil, err
		}
	}
	return x, nil
}

// partRun is the part of a run that one task needs.
func (w *Worker) partRun(o *opened) (*run, error) {
	t := tune(w.memory, 1)
	t.depth, t.pinned, t.page = o.Depth, true, 4<<10
	r := &run{
		job:    Job{Memory: w.memory, Rules: &Rules{Version: rulesVersion, AmountToleranceFen: o.Tolerance}, SettlementDate: o.Day},
		tuning: t, secret: o.secret, sortDir: w.tmp,
		breaks: spill.NewSorter(w.tmp, t.sort), rejects: spill.NewSorter(w.tmp, t.sort), totals: spill.NewSorter(w.tmp, t.sort),
	}
	r.plan = newPlan(w.memory, t, 0)
	if o.Day != "" {
		var ok bool
		if r.day, ok = statement.ParseDay([]byte(o.Day)); !ok {
			return nil, fmt.Errorf("settlement date %q: %w", o.Day, segment.ErrDamaged)
		}
	}
	r.store = spill.NewStore(w.tmp, t.page, t.ram)
	return r, nil
}

// partition makes a portion's segment. A fingerprint that is not known is filled in.
func (w *Worker) partition(ctx context.Context, o *opened, part *portion) (outcome, error) {
	r, err := w.partRun(o)
	if err != nil {
		return outcome{}, err
	}
	defer r.close()
	reader, err := o.reader(ctx, part.Text)
	if err != nil {
		return outcome{}, err
	}
	in, err := o.file(part.Text, reader, r.tuning.block)
	if err != nil {
		return outcome{}, err
	}
	in.Part(part.Begin, part.End)
	in.last = placesPerSide
	p := r.newPartitioner()
	if p.sheaf, _ = w.sheaves.Get().(*sheaf); p.sheaf == nil {
		p.sheaf = new(sheaf)
	}
	defer w.sheaves.Put(p.sheaf)
	p.sheaf.reset(o.Depth, bodyMask(o.Body), (part.End-part.Begin)/bytesPerLine, r.tuning.ram/bytesPerSheafed)
	p.segment = &segmentWriter{out: segment.NewWriter(w.depot.Store, w.tmp, o.key), shards: o.Shards}
	defer p.segment.out.Close()
	p.print = o.key.Print()
	lines := in.NewLines()
	lines.Mark()
	for more := true; more; {
		if err := ctx.Err(); err != nil {
			return outcome{}, err
		}
		if more, err = p.next(in, lines); err != nil {
			return outcome{}, err
		}
	}
	fault, err := r.faultOf(in)
	if fault != nil && part.Print == "" && err == nil { // it was not read to its end
		part.Print, err = printOf(o.key, reader, part.Begin, part.End)
	}
	if fault != nil || err != nil {
		return outcome{Fault: fault}, err
	}
	if got := hex.EncodeToString(p.print.Sum()); part.Print == "" {
		part.Print = got
	} else if got != part.Print {
		return outcome{}, &InputError{File: in.Path, Why: pos.Text{EN: "changed while it was read", ZH: "读取期间被改动"}}
	}
	ref, err := p.finish(ctx, part, lines)
	return outcome{Segment: &ref}, err
}

// faultOf is the first thing that is wrong with a portion.
func (r *run) faultOf(in *input) (*inputFault, error) {
	if bad, ok := r.failure.err.(*faulty); ok { //nolint:errorlint // made here and never wrapped
		f := bad.fault
		return &inputFault{int64(r.failure.at), f.Number, f.Column, f.Why.EN, f.Why.ZH}, nil
	}
	if r.failure.err != nil {
		return nil, r.failure.err
	}
	err := in.Verify()
	if bad, ok := errors.AsType[*InputError](err); ok {
		return &inputFault{0, bad.Number, bad.Column, bad.Why.EN, bad.Why.ZH}, nil
	}
	return nil, err
}

// finish writes what is left of a segment.
func (p *partitioner) finish(ctx context.Context, part *portion, lines *statement.Lines) (ref segment.Ref, err error) {
	out, x := p.segment.out, &p.segment.index
	if err := p.bind(); err != nil {
		return segment.Ref{}, err
	}
	x.Lines, x.Aside = lines.Ordinal(), lines.Aside()
	x.Wide, x.Tally = part.End-part.Begin > 1<<32-1, p.tally.numbers()
	if x.Marks, err = out.Section(func(to io.Writer) error { return writeMarks(to, lines.Marks(), part.Begin, x.Wide) }); err != nil {
		return segment.Ref{}, err
	}
	totals := pairs{out: out}
	p.totals.ledger.sorter = &totals // what is left needs no sorting: it is added up again
	if err := errors.Join(p.totals.flush(), p.run.totals.Sorted(totals.Add), totals.flush()); err != nil {
		return segment.Ref{}, err
	}
	x.Totals = totals.sections
	return out.Finish(ctx, kindSegment, x, 0)
}

func writeMarks(to io.Writer, marks []int64, begin int64, wide bool) error {
	var b []byte
	for i, at := range marks {
		if wide {
			b = binary.LittleEndian.AppendUint64(b, uint64(at-begin))
		} else {
			b = binary.LittleEndian.AppendUint32(b, uint32(at-begin))
		}
		const most = 64 << 10
		if len(b) >= most || i == len(marks)-1 {
			if _, err := to.Write(b); err != nil {
				return err
			}
			b = b[:0]
		}
	}
	return nil
}

// pairsSection is how much one section of pairs holds, so that they can be read bit by bit.
const pairsSection = 1 << 20

// pairs writes pairs in sections.
type pairs struct {
	out      *segment.Writer
	b        []byte
	sections []segment.Section
}

// Add writes a pair.
func (p *pairs) Add(key, value []byte) error {
	if p.b = segment.AppendPair(p.b, key, value); len(p.b) < pairsSection {
		return nil
	}
	return p.flush()
}

func (p *pairs) flush() error {
	if len(p.b) == 0 {
		return nil
	}
	s, err := p.out.Section(func(to io.Writer) error {
		_, err := to.Write(p.b)
		return err
	})
	p.sections, p.b = append(p.sections, s), p.b[:0]
	return err
}

// writePairs writes what a sorter holds, in its order.
func writePairs(out *segment.Writer, sorter *spill.Sorter) ([]segment.Section, error) {
	p := pairs{out: out}
	err := sorter.Sorted(p.Add)
	return p.sections, errors.Join(err, p.flush())
}

// marks are where every 32nd line of a portion begins.
type marks struct {
	at   []byte
	wide bool
}

func (m marks) len() int {
	if m.wide {
		return len(m.at) / 8
	}
	return len(m.at) / 4
}

func (m marks) get(i int) int64 {
	if m.wide {
		return int64(binary.LittleEndian.Uint64(m.at[8*i:]))
	}
	return int64(binary.LittleEndian.Uint32(m.at[4*i:]))
}
