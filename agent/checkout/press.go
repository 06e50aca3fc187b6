package checkout

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"dcpos/agent/slip"
	"dcpos/drivers"
	"dcpos/drivers/receipt"
	"dcpos/pos"
)

// press is the one that prints: one job after the other, so that papers never mix. The
// queue itself is in the journal; here is only what a wait needs.
type press struct {
	awake chan struct{} // holds one token while there is something to look at

	mu      sync.Mutex
	waits   drivers.PauseReason // why the job that is on the printer waits for a person; empty: it does not
	changed chan struct{}       // closed and replaced whenever a job or the press has changed
	count   int                 // how often the press has stopped at a job that does not print
	trouble pos.Error           // why it stopped last
}

func newPress() *press {
	return &press{awake: make(chan struct{}, 1), changed: make(chan struct{})}
}

// wake has the press look at the queue.
func (p *press) wake() {
	select {
	case p.awake <- struct{}{}:
	default:
	}
}

func (p *press) tell() {
	p.mu.Lock()
	defer p.mu.Unlock()
	close(p.changed)
	p.changed = make(chan struct{})
}

func (p *press) changes() <-chan struct{} {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.changed
}

// hold says that the job on the printer waits for a person, or (empty) goes on.
func (p *press) hold(why drivers.PauseReason) {
	p.mu.Lock()
	p.waits = why
	p.mu.Unlock()
	p.tell()
}

func (p *press) held() drivers.PauseReason {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.waits
}

func (p *press) stop(why Print) {
	p.mu.Lock()
	p.count++
	p.trouble = pos.Error{Code: pos.ErrPrinter, Text: why.Text, Hint: why.Hint}
	p.mu.Unlock()
	p.tell()
}

func (p *press) stops() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.count
}

// stopped tells whether the press has stopped since it had stopped that often, and why.
func (p *press) stopped(since int) (pos.Error, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.trouble, p.count > since
}

// The waits between two tries where nothing tells that the printer is ready again.
const (
	againFirst = 5 * time.Second
	againLast  = time.Minute
	// settle lets a roll that was just put in be fed, and bounds how often a printer that
	// comes and goes is tried.
	settle = 500 * time.Millisecond
)

// runPress prints what is owed until ctx ends. A job that does not print holds up the
// jobs behind it, never a sale. It is tried again when the printer says that it is
// ready (Config.PrinterReady), when somebody asks for a print or answers a question,
// and, where no printer says anything, after a while.
func (t *Till) runPress(ctx context.Context) {
	wait := againFirst
	for {
		pause := time.Duration(1<<63 - 1)
		if t.printAll(ctx) {
			wait = againFirst
		} else if t.c.PrinterReady == nil {
			pause, wait = wait, min(2*wait, againLast)
		}
		again := time.NewTimer(pause)
		select {
		case <-ctx.Done():
		case <-t.press.awake:
		case <-again.C:
		case <-t.c.PrinterReady:
			again.Reset(settle)
			select {
			case <-ctx.Done():
			case <-again.C:
			}
		}
		again.Stop()
		if ctx.Err() != nil {
			return
		}
	}
}

// printAll prints until nothing is owed (true) or a job does not print (false).
func (t *Till) printAll(ctx context.Context) bool {
	for ctx.Err() == nil {
		job, paper, ok, err := t.claim(ctx)
		if err != nil {
			if ctx.Err() == nil {
				t.log.ErrorContext(ctx, "print is not journaled, nothing is printed", "err", err)
			}
			return false
		}
		if !ok {
			return true
		}
		after, err := t.put(ctx, job, paper)
		if err != nil {
			t.log.ErrorContext(ctx, "outcome of print is not journaled, will be asked for", "job", job.ID, "err", err)
			return false
		}
		if after.State == pos.PrintPaused {
			t.press.stop(t.tell(after))
			return false
		}
	}
	return false
}

// claim takes the first job that may print and journals SENDING, durably, before a byte
// can leave. Whether the paper is a second one of what it shows is decided here, from
// the journal.
func (t *Till) claim(ctx context.Context) (job pos.PrintJob, paper receipt.Receipt, ok bool, err error) {
	_, err = t.update(ctx, func(v pos.JournalView) ([]pos.Draft, error) {
		open, err := v.OpenPrintJobs()
		if err != nil {
			return nil, fmt.Errorf("read queue: %w", err)
		}
		var drafts []pos.Draft
		var shows pos.State
		for _, job = range open {
			if job.Ask || job.State == pos.PrintSending {
				continue
			}
			if t.tooOld(job) {
				drafts = append(drafts, t.shelved(job))
				continue
			}
			if paper, shows, ok, err = t.paper(ctx, v, job); ok || err != nil {
				break
			}
			drafts = append(drafts, t.lost(job))
		}
		if !ok || err != nil {
			return drafts, err
		}
		if job.Duplicate, err = duplicate(v, job, shows); err != nil {
			return nil, err
		}
		drafts = append(drafts, t.printed(job, pos.OperatorSystem, pos.PrintSending, pos.Printed{Shows: shows, Duplicate: job.Duplicate}))
		return append(drafts, t.kick(job, paper)...), nil
	})
	return job, paper, ok, err
}

// paper lays out what the job prints, as things are now; false when what its caller laid
// out is lost.
func (t *Till) paper(ctx context.Context, v pos.JournalView, j pos.PrintJob) (r receipt.Receipt, shows pos.State, ok bool, err error) {
	switch j.Kind {
	case pos.PrintSelfTest:
		return t.c.SelfTest(), "", true, nil
	case pos.PrintReceipt:
		r, ok, err = t.ownPaper(v, j)
		return slip.Own(t.shop(), r, j.OnPaper), "", ok, err
	case pos.PrintPayment:
	}
	p, err := find(v, j.Payment)
	if err != nil {
		return r, "", false, err
	}
	return slip.Payment(t.shop(), p, t.proof(ctx, p.ID), t.clock.Now()), p.State, true, nil
}

// proof is what the receipt's QR says beside the payment's id; a receipt without it is a receipt all the same.
func (t *Till) proof(ctx context.Context, id pos.PaymentID) string {
	if t.c.Proof == nil {
		return ""
	}
	text, err := t.c.Proof(ctx, id)
	if err != nil {
		t.c.Log.WarnContext(ctx, "receipt without proof", "payment", id, "err", err)
	}
	return text
}

// duplicate reports that what the job shows may be on paper already: of this job, or of
// another one of the payment that showed the same state.
func duplicate(v pos.JournalView, job pos.PrintJob, shows pos.State) (bool, error) {
	if job.OnPaper || job.Kind != pos.PrintPayment {
		return job.OnPaper, nil
	}
	jobs, err := v.PrintJobsOf(job.Payment)
	if err != nil {
		return false, fmt.Errorf("read print jobs: %w", err)
	}
	for _, j := range jobs {
		if j.OnPaper && (j.Shows == shows || j.Shows == "") {
			return true, nil
		}
	}
	return false, nil
}

// tooOld reports a job that nobody waits for any more.
func (t *Till) tooOld(j pos.PrintJob) bool {
	return t.clock.Now().Sub(time.UnixMilli(j.QueuedMS)) > t.timing.PrintAge
}

// shelved is the entry of a job that from now on waits for a person.
func (t *Till) shelved(j pos.PrintJob) pos.Draft {
	return t.printed(j, pos.OperatorSystem, pos.PrintPaused, pos.Printed{Reason: pos.ReasonOld, Ask: true})
}

// put prints a claimed job and journals what became of it.
func (t *Till) put(ctx context.Context, job pos.PrintJob, paper receipt.Receipt) (pos.PrintJob, error) {
	c, cancel := context.WithTimeout(ctx, t.timing.Print)
	defer cancel()
	result, printErr := t.c.Printer.Print(c, drivers.PrintJob{
		ID: job.ID, Receipt: paper, Duplicate: job.Duplicate,
		// A printer that keeps the rest of a job goes on when somebody has put paper in.
		Patience: t.timing.Print * 3 / 4, Stopped: func(why drivers.PauseReason) { t.held(job, why) },
	})
	t.press.hold("")
	to, body := t.outcome(ctx, job, result, printErr)
	save, done := saving(ctx)
	defer done()
	_, err := t.update(save, func(pos.JournalView) ([]pos.Draft, error) {
		return []pos.Draft{t.printed(job, pos.OperatorSystem, to, body)}, nil
	})
	if err != nil {
		return job, err
	}
	after, err := t.PrintJob(save, job.ID)
	return after.PrintJob, err
}

// held tells that a job waits on the printer for a person, or goes on. Nothing is
// journaled: what the job comes to is.
func (t *Till) held(job pos.PrintJob, why drivers.PauseReason) {
	t.press.hold(why)
	job.State = pos.PrintSending
	told := t.tell(job)
	t.publish(Event{Kind: EventPrint, Print: &told})
}

// outcome is what a try of the printer means for the job.
func (t *Till) outcome(ctx context.Context, job pos.PrintJob, r drivers.PrintResult, err error) (pos.PrintState, pos.Printed) {
	b := pos.Printed{OnPaper: r.MayBeOnPaper(), Duplicate: job.Duplicate, Detail: detail(r, err)}
	switch {
	case r.State == drivers.PrintConfirmed:
		return pos.PrintConfirmed, b
	case r.State == drivers.PrintUnknown && t.c.Reprint == ReprintAuto && !job.Duplicate && !t.unconfirmed():
		return pos.PrintQueued, b // once: a printer that never says yes must not print for ever
	case r.State == drivers.PrintUnknown:
		whole := r.BytesSent >= r.BytesTotal
		b.Ask = t.c.Reprint == ReprintAsk && (!whole || !t.unconfirmed())
		return pos.PrintUnknown, b
	case never(err) && !b.OnPaper:
		return pos.PrintCancelled, b
	case ctx.Err() != nil && !b.OnPaper:
		return pos.PrintQueued, b // the till stops: it prints after the start
	}
	b.Reason = string(r.Reason)
	if b.Reason == "" {
		b.Reason = string(drivers.PausedOffline)
	}
	b.Ask = b.OnPaper && t.c.Reprint == ReprintAsk
	return pos.PrintPaused, b
}

func (t *Till) unconfirmed() bool { return t.c.Unconfirmed != nil && t.c.Unconfirmed() }

// never reports a receipt that this printer can never print.
func never(err error) bool {
	return errors.Is(err, drivers.ErrIllegal) || errors.Is(err, drivers.ErrTooBig) || errors.Is(err, drivers.ErrBadFormat)
}

// maxDetail bounds what an entry tells of a print, in bytes.
const maxDetail = 200

func detail(r drivers.PrintResult, err error) string {
	notes := r.Notes
	if err != nil {
		notes = append([]string{err.Error()}, notes...)
	}
	return strings.ToValidUTF8(clip(strings.Join(notes, "; "), maxDetail), "")
}

func clip(s string, limit int) string { return s[:min(len(s), limit)] }

// resumePrints takes up what a stop has left: a job that was being printed may be on
// paper. At a counter a person is asked once; a kiosk prints again, marked.
func (t *Till) resumePrints(ctx context.Context) error {
	_, err := t.update(ctx, func(v pos.JournalView) ([]pos.Draft, error) {
		open, err := v.OpenPrintJobs()
		if err != nil {
			return nil, fmt.Errorf("read queue: %w", err)
		}
		var drafts []pos.Draft
		for _, j := range open {
			if err := t.mayPrint(j.Kind); err != nil {
				drafts = append(drafts, t.printed(j, pos.OperatorSystem, pos.PrintCancelled, pos.Printed{
					Detail: err.Error(), OnPaper: j.State == pos.PrintSending,
				}))
				continue
			}
			if j.State != pos.PrintSending {
				continue
			}
			b := pos.Printed{OnPaper: true, Duplicate: j.Duplicate, Detail: "the till stopped while it was printing"}
			to := pos.PrintQueued
			if t.c.Reprint == ReprintAsk {
				to, b.Ask = pos.PrintUnknown, true
			}
			drafts = append(drafts, t.printed(j, pos.OperatorSystem, to, b))
		}
		return drafts, nil
	})
	return err
}

// agePrints hands jobs that nobody waits for any more to a person.
func (t *Till) agePrints(ctx context.Context) error {
	old := func(v pos.JournalView) ([]pos.Draft, error) {
		open, err := v.OpenPrintJobs()
		if err != nil {
			return nil, fmt.Errorf("read queue: %w", err)
		}
		var drafts []pos.Draft
		for _, j := range open {
			if !j.Ask && j.State != pos.PrintSending && t.tooOld(j) {
				drafts = append(drafts, t.shelved(j))
			}
		}
		return drafts, nil
	}
	due := false
	err := t.c.Journal.View(ctx, func(v pos.JournalView) error {
		drafts, err := old(v)
		due = len(drafts) > 0
		return err
	})
	if err != nil || !due {
		return err
	}
	_, err = t.update(ctx, old)
	return err
}
