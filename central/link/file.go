package link

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"time"

	"dcpos/pos"
	"dcpos/pos/dcep"
	"dcpos/pos/dcep/salvage"
	"dcpos/sync/wire"
)

// Desk is a Link that carries nothing: it takes in files, beside a running centre too.
func Desk(cfg Config) *Link {
	l := &Link{cfg: cfg, store: cfg.Store, log: cfg.Log, now: cfg.Now, keys: newKeyring()}
	if l.log == nil {
		l.log = slog.New(slog.DiscardHandler)
	}
	if l.now == nil {
		l.now = time.Now
	}
	return l
}

// FileReport tells what a file of entries led to.
type FileReport struct {
	Terminal string        `json:"terminal"`
	Sealed   bool          `json:"sealed"`
	Entries  int           `json:"entries"` // in the file
	New      int           `json:"new"`     // kept now
	Known    int           `json:"known"`   // kept before
	Apart    int           `json:"apart"`   // of the new ones: what is before them is missing, their money is in suspense
	Refused  int           `json:"refused"` // not kept: see rejects
	Gaps     []salvage.Gap `json:"gaps,omitempty"`
	Problem  string        `json:"problem,omitempty"` // what the till's Verify said
	Reasons  []string      `json:"reasons,omitempty"` // of what was refused or kept apart
	Fenced   bool          `json:"fenced,omitempty"`  // the terminal is in quarantine
	// Receipt is the centre's, as over the road; absent while nothing of the terminal is kept whole.
	Receipt *dcep.Receipt `json:"receipt,omitempty"`
}

// maxReasons bounds a report.
const maxReasons = 20

// TakeFile takes in what posctl journal export wrote. A sealed file must be signed by the terminal and sealed to
// this centre; a file that was cut, changed or is another's is pos.ErrBadRequest and leaves nothing. Then each run
// of entries is verified and kept as one from the road would be; what follows a gap is kept apart, its money in
// suspense; what does not verify goes to the rejects. It may be repeated, before and after the till was heard
// again: nothing counts twice. by is who brought it, for the audit trail.
func (l *Link) TakeFile(ctx context.Context, in io.ReadSeeker, by string) (FileReport, error) {
	r, plain, err := l.openFile(ctx, in)
	if err != nil {
		return r, err
	}
	t := fileTaking{link: l, report: &r}
	end, err := salvage.Read(plain, func(e pos.Entry) error { return t.add(ctx, e) })
	if err = errors.Join(err, t.flush(ctx)); err != nil {
		return r, fmt.Errorf("take file of %s: %w", r.Terminal, err)
	}
	r.Gaps, r.Problem = end.Gaps, end.Problem
	if r.Terminal == "" {
		return r, nil
	}
	err = l.store.Write(ctx, func(tx Tx) error {
		return tx.Audit(ctx, by, "file_taken", r.Terminal, fmt.Sprintf("sealed %t entries %d new %d known %d apart %d refused %d gaps %d",
			r.Sealed, r.Entries, r.New, r.Known, r.Apart, r.Refused, len(r.Gaps)))
	})
	if err != nil {
		return r, err
	}
	return r, l.store.Read(ctx, func(reader Reader) (err error) {
		r.Receipt, err = l.fileReceipt(ctx, reader, r.Terminal)
		return err
	})
}

// openFile checks the file as a whole and gives its plain bytes.
func (l *Link) openFile(ctx context.Context, in io.ReadSeeker) (r FileReport, plain io.Reader, err error) {
	bad := func(err error) (FileReport, io.Reader, error) {
		return r, nil, pos.FieldError(pos.ErrBadRequest, "file", err)
	}
	rewind := func() error {
		_, err := in.Seek(0, io.SeekStart)
		return err
	}
	h, err := salvage.ReadHeader(in)
	if e := rewind(); e != nil {
		return r, nil, e
	}
	if err != nil { // not sealed, perhaps plain
		if _, err := salvage.Read(in, func(pos.Entry) error { return nil }); err != nil {
			return bad(err)
		}
		return r, in, rewind()
	}
	r.Sealed, r.Terminal = true, h.Terminal
	if h.Env != l.cfg.Env {
		return r, nil, pos.FieldError(pos.ErrEnvironment, "file", fmt.Errorf("it is %.8q, this centre is %s", h.Env, l.cfg.Env))
	}
	if err := wire.CheckTerminal(h.Terminal); err != nil {
		return bad(err)
	}
	key, err := l.keys.find(ctx, l.store, h.Terminal, h.Epoch)
	if err != nil {
		return r, nil, err
	}
	if key == nil || key.suite.Name() != h.Suite {
		return bad(fmt.Errorf("no key of %s epoch %d with suite %.32q", h.Terminal, h.Epoch, h.Suite))
	}
	if _, err := salvage.CheckSealed(in, key.suite, key.verifier); err != nil {
		return bad(err)
	}
	if err := rewind(); err != nil {
		return r, nil, err
	}
	if plain, err = salvage.Unseal(in, l.cfg.Signer); err != nil {
		return bad(err)
	}
	return r, plain, nil
}

// fileTaking gathers entries to runs and keeps several runs in one transaction.
type fileTaking struct {
	link   *Link
	report *FileReport
	run    []pos.Entry
	pieces []examined
}

// piecesAtOnce bounds a transaction: 16 runs of at most wire.BatchEntries.
const piecesAtOnce = 16

func (t *fileTaking) add(ctx context.Context, e pos.Entry) error {
	t.report.Entries++
	if t.report.Terminal == "" {
		t.report.Terminal = e.Terminal
	}
	if n := len(t.run); n > 0 {
		last := t.run[n-1]
		if n < wire.BatchEntries && e.Epoch == last.Epoch && e.Seq == last.Seq+1 && string(e.Prev) == string(last.Hash) {
			t.run = append(t.run, e)
			return nil
		}
	}
	if err := t.close(ctx); err != nil {
		return err
	}
	t.run = []pos.Entry{e}
	return nil
}

// close ends the run.
func (t *fileTaking) close(ctx context.Context) error {
	if len(t.run) == 0 {
		return nil
	}
	x := t.link.examinePiece(ctx, t.report.Terminal, t.run)
	if x.reason == "" && x.err != nil {
		return x.err // the database
	}
	if x.reason != "" && len(t.run) > 1 { // one by one: a bad entry takes no other along
		for _, e := range t.run {
			one := t.link.examinePiece(ctx, t.report.Terminal, []pos.Entry{e})
			if one.reason == "" && one.err != nil {
				return one.err
			}
			t.pieces = append(t.pieces, one)
		}
	} else {
		t.pieces = append(t.pieces, x)
	}
	t.run = nil
	if len(t.pieces) < piecesAtOnce {
		return nil
	}
	return t.keep(ctx)
}

func (t *fileTaking) flush(ctx context.Context) error {
	return errors.Join(t.close(ctx), t.keep(ctx))
}

// examinePiece verifies a run of entries by the terminal's registered key.
func (l *Link) examinePiece(ctx context.Context, terminal string, run []pos.Entry) examined {
	first, last := run[0], run[len(run)-1]
	x := examined{terminal: terminal, batch: wire.Batch{
		Env: first.Env, Terminal: first.Terminal, Epoch: first.Epoch, First: first.Seq, Last: last.Seq,
		Prev: first.Prev, Head: last.Hash, Entries: run,
	}}
	x.payload, _ = dcep.Marshal(first) // only kept for a person to see
	switch {
	case first.Env != l.cfg.Env:
		return x.refused(reasonEnvironment, fmt.Errorf("entry %d is %.8q, centre is %s", first.Seq, first.Env, l.cfg.Env))
	case first.Terminal != terminal || wire.CheckTerminal(terminal) != nil:
		return x.refused(reasonOtherTerminal, fmt.Errorf("entry %d is of %.32q, the file of %.32q", first.Seq, first.Terminal, terminal))
	case first.Seq == 0 || last.Seq > clamp(last.Seq):
		return x.refused(reasonChain, fmt.Errorf("entry %d is of no journal", last.Seq))
	}
	key, err := l.keys.find(ctx, l.store, terminal, first.Epoch)
	if err != nil {
		x.err = err
		return x
	}
	if key == nil {
		return x.refused(reasonUnknown, fmt.Errorf("no key for epoch %d", first.Epoch))
	}
	if err := x.batch.CheckChain(key.suite, key.verifier); err != nil {
		return x.refused(reasonChain, err)
	}
	return x
}

// keep writes the pieces in one transaction and counts what came of them.
func (t *fileTaking) keep(ctx context.Context) error {
	if len(t.pieces) == 0 {
		return nil
	}
	var outcomes []outcome
	err := t.link.store.Write(ctx, func(tx Tx) error {
		k := newKeeping(tx)
		outcomes = nil
		for _, x := range t.pieces {
			var o outcome
			var err error
			if x.reason != "" {
				o.reject, err = x.reason, k.reject(ctx, x)
			} else {
				o, err = k.keepPiece(ctx, x)
			}
			if err != nil {
				return err
			}
			outcomes = append(outcomes, o)
		}
		return k.finish(ctx)
	})
	if err != nil {
		return err
	}
	for i, o := range outcomes {
		t.count(t.pieces[i], o)
		if len(o.fresh) > 0 && t.link.cfg.Observer != nil {
			t.link.cfg.Observer.Ingested(o.terminal, o.fresh)
		}
	}
	t.pieces = nil
	return nil
}

func (t *fileTaking) count(x examined, o outcome) {
	r := t.report
	r.Fenced = r.Fenced || o.fenced
	why := ""
	switch {
	case o.reject != "":
		r.Refused += len(x.batch.Entries)
		why = fmt.Sprintf("%s: %v", o.reject, x.err)
	case o.head.Branch >= islandBranch && o.kept > 0:
		r.Apart += o.kept
		why = fmt.Sprintf("epoch %d entries %d to %d are kept apart: what is before them is missing", o.epoch, x.batch.First, x.batch.Last)
	case o.head.Branch > 0 && o.kept > 0:
		why = fmt.Sprintf("epoch %d entries from %d are another branch: fork", o.epoch, x.batch.First)
	}
	if o.reject == "" {
		r.New += o.kept
		r.Known += len(x.batch.Entries) - o.kept
	}
	if why != "" && len(r.Reasons) < maxReasons {
		r.Reasons = append(r.Reasons, cutTo(why, 200))
	}
}

// fileReceipt is the receipt for the last epoch before which nothing is missing.
func (l *Link) fileReceipt(ctx context.Context, r Reader, terminal string) (*dcep.Receipt, error) {
	openings, err := r.Openings(ctx, terminal)
	if err != nil || len(openings) == 0 {
		return nil, err
	}
	epoch, err := climb(ctx, r, terminal, openings, openings[len(openings)-1].Epoch)
	if err != nil {
		return nil, err
	}
	heads, err := r.Heads(ctx, terminal, epoch)
	if err != nil || len(heads) == 0 {
		return nil, err
	}
	kept, err := common(ctx, r, terminal, epoch, heads, heads[0])
	if err != nil || kept.Seq == 0 {
		return nil, err
	}
	return l.receipt(ctx, r, terminal, epoch, kept)
}
