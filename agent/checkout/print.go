package checkout

import (
	"context"
	"errors"
	"fmt"
	"time"
	"unicode/utf8"

	"dcpos/drivers"
	"dcpos/drivers/receipt"
	"dcpos/pos"
)

// callerTill asks for the receipts that print by themselves.
const callerTill = "till"

// PrintRequest asks for one paper.
type PrintRequest struct {
	Caller string // who asks: "screen", or the name of an API client
	// Key is the caller's idempotency key for prints, unique per caller for ever. Empty: a
	// job of the same content that is not over is taken up again, else a new one is made.
	Key      string
	Kind     pos.PrintKind
	Payment  pos.PaymentID    // of PrintPayment
	Receipt  *receipt.Receipt // of PrintReceipt; it needs a Key, for two of the same content may both be meant
	Operator string           // as Request.Operator
}

func (r PrintRequest) check() error {
	switch {
	case r.Caller == "" || len(r.Caller) > maxName || len(r.Operator) > maxName:
		return pos.FieldError(pos.ErrBadRequest, "caller", fmt.Errorf("want 1 to %d bytes", maxName))
	case len(r.Key) > pos.MaxKey || !utf8.ValidString(r.Caller+r.Key+r.Operator):
		return pos.FieldError(pos.ErrBadRequest, "key", fmt.Errorf("want at most %d characters of UTF-8", pos.MaxKey))
	case !r.Kind.Valid():
		return pos.FieldError(pos.ErrBadRequest, "kind", fmt.Errorf("%q: want %s, %s or %s", r.Kind, pos.PrintPayment, pos.PrintReceipt, pos.PrintSelfTest))
	case (r.Kind == pos.PrintPayment) == r.Payment.IsZero():
		return pos.FieldError(pos.ErrBadRequest, "payment", errors.New("a payment's receipt has a payment, others none"))
	case (r.Kind == pos.PrintReceipt) == (r.Receipt == nil):
		return pos.FieldError(pos.ErrBadRequest, "receipt", errors.New("kind receipt has a receipt, others none"))
	case r.Kind == pos.PrintReceipt && r.Key == "":
		return pos.FieldError(pos.ErrBadRequest, "key", errors.New("kind receipt needs an idempotency key"))
	}
	return nil
}

// Print is a print job with its words.
type Print struct {
	pos.PrintJob
	Text pos.Text `json:"text"`
	Hint pos.Text `json:"hint,omitzero"`
}

// QueuePrint journals that a paper is owed and returns at once; the press prints it in
// its turn. The same key again gives the same job as it stands, and never a second
// paper; for other content it is ErrKeyConflict. A receipt that the caller laid out is kept
// with the job, durably. Without a key, a job of the same
// content that waits for a person's word has it now: it prints again. Errors:
// ErrBadRequest and ErrTooLarge (naming the field), ErrKeyConflict, ErrNotFound,
// ErrNoOperator, ErrPrinter (none is configured), ErrStorage.
func (t *Till) QueuePrint(ctx context.Context, r PrintRequest) (Print, error) {
	if err := r.check(); err != nil {
		return Print{}, err
	}
	if err := t.canPrint(r.Kind); err != nil {
		return Print{}, err
	}
	doc, content, err := encoded(r.Receipt)
	if err == nil && r.Receipt != nil {
		err = t.checkReceipt(*r.Receipt, doc)
	}
	if err != nil {
		return Print{}, err
	}
	fresh, err := t.newID()
	if err != nil {
		return Print{}, err
	}
	id := fresh.String()
	_, err = t.update(ctx, func(v pos.JournalView) ([]pos.Draft, error) {
		who, err := t.whoPrints(v, r)
		if err != nil {
			return nil, err
		}
		job, found, err := same(v, r, content)
		if err != nil {
			return nil, err
		}
		switch {
		case !found:
			d := t.owed(id, who, r, content)
			d.Attachment = doc
			return []pos.Draft{d}, nil
		case r.Key == "" && job.Ask:
			id = job.ID
			return []pos.Draft{t.printed(job, who, pos.PrintQueued, pos.Printed{Detail: "asked for again"})}, nil
		}
		id = job.ID
		return nil, nil
	})
	if err != nil {
		return Print{}, err
	}
	t.press.wake()
	return t.PrintJob(ctx, id)
}

// canPrint refuses what has no printer to print it now.
func (t *Till) canPrint(kind pos.PrintKind) error {
	if !t.hasPrinter() {
		return pos.NewError(pos.ErrPrinter, errors.New("there is no printer"))
	}
	return t.mayPrint(kind)
}

func (t *Till) hasPrinter() bool {
	return t.c.Printer != nil && (t.c.HasPrinter == nil || t.c.HasPrinter())
}

// mayPrint refuses what this till never prints.
func (t *Till) mayPrint(kind pos.PrintKind) error {
	switch {
	case t.c.Printer == nil:
		return pos.NewError(pos.ErrPrinter, errors.New("no printer is configured"))
	case kind == pos.PrintSelfTest && t.c.SelfTest == nil:
		return pos.FieldError(pos.ErrBadRequest, "kind", errors.New("this till has no self-test ticket"))
	}
	return nil
}

func (t *Till) whoPrints(v pos.JournalView, r PrintRequest) (string, error) {
	if r.Kind != pos.PrintPayment {
		return t.who(r.Caller, r.Operator)
	}
	p, err := find(v, r.Payment)
	if err != nil {
		return "", err
	}
	if r.Operator != "" {
		return t.who(r.Caller, r.Operator)
	}
	return t.whoFor(p)
}

// same finds the job that the request means.
func same(v pos.JournalView, r PrintRequest, content string) (pos.PrintJob, bool, error) {
	if r.Key != "" {
		j, ok, err := v.PrintJobByKey(r.Caller, r.Key)
		if err != nil {
			return j, false, fmt.Errorf("read key: %w", err)
		}
		if ok && (j.Kind != r.Kind || j.Payment != r.Payment || j.Content != content) {
			return j, false, pos.FieldError(pos.ErrKeyConflict, "key", fmt.Errorf("key names print job %s", j.ID))
		}
		return j, ok, nil
	}
	open, err := v.OpenPrintJobs()
	if err != nil {
		return pos.PrintJob{}, false, fmt.Errorf("read queue: %w", err)
	}
	for _, j := range open {
		if j.Kind == r.Kind && j.Payment == r.Payment {
			return j, true, nil
		}
	}
	return pos.PrintJob{}, false, nil
}

// owed is the first entry of a job.
func (t *Till) owed(id, who string, r PrintRequest, content string) pos.Draft {
	if r.Key == "" {
		r.Key = id
	}
	return t.draft(pos.KindPrint, r.Payment, who, pos.Printed{
		Job: id, Kind: r.Kind, Result: string(pos.PrintQueued), Caller: r.Caller, Key: r.Key, Content: content,
	})
}

// printed is a later entry of a job.
func (t *Till) printed(j pos.PrintJob, who string, to pos.PrintState, b pos.Printed) pos.Draft {
	b.Job, b.Kind, b.Result = j.ID, j.Kind, string(to)
	return t.draft(pos.KindPrint, j.Payment, who, b)
}

// owing adds the receipt that a payment prints by itself when it comes to a state: its
// job is journaled in the same transaction as the payment's own entry, so that it
// costs the sale no sync of the disk and no stop between the two can lose it. A job
// of the payment that has not printed yet will show the new state; then none is added.
func (t *Till) owing(v pos.JournalView, p pos.Payment, to pos.State, drafts []pos.Draft) ([]pos.Draft, error) {
	if t.c.Receipt != PrintAlways || !t.hasPrinter() || !printsByItself(to) || !t.atCounter(p.ID) || t.isFare(p.ID) {
		return drafts, nil
	}
	jobs, err := v.PrintJobsOf(p.ID)
	if err != nil {
		return nil, fmt.Errorf("read print jobs: %w", err)
	}
	for _, j := range jobs {
		if j.Open() && !j.OnPaper && j.State != pos.PrintSending {
			return drafts, nil
		}
	}
	id, err := t.newID()
	if err != nil {
		return nil, err
	}
	return append(drafts, t.owed(id.String(), p.Operator, PrintRequest{Caller: callerTill, Kind: pos.PrintPayment, Payment: p.ID}, "")), nil
}

// printsByItself reports the states in which the customer at the counter gets paper.
func printsByItself(s pos.State) bool {
	return s == pos.Paid || s == pos.AcceptedEvidence || s == pos.Unknown || s == pos.Stored
}

// atCounter reports that the customer may still be waiting for paper.
func (t *Till) atCounter(id pos.PaymentID) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	s := t.sales[id]
	return s != nil && t.clock.Now().Sub(s.started) < 10*time.Minute
}

// Print is QueuePrint that waits until the paper has come to something, or Timing.Print
// is over; the job goes on then. A failure undoes nothing: the error (ErrPrinter) is
// about paper alone, says what to do, and comes with the job.
func (t *Till) Print(ctx context.Context, r PrintRequest) (Print, error) {
	before := t.press.stops()
	p, err := t.QueuePrint(ctx, r)
	if err != nil {
		return p, err
	}
	c, cancel := context.WithTimeout(ctx, t.timing.Print)
	defer cancel()
	for {
		changed := t.press.changes()
		if p, err = t.PrintJob(context.WithoutCancel(ctx), p.ID); err != nil || p.State.Final() || p.State == pos.PrintUnknown {
			return p, printTrouble(p, err)
		}
		if trouble, stopped := t.press.stopped(before); p.Ask || (stopped && p.State != pos.PrintSending) {
			if p.Reason == "" { // it stands behind the one that does not print
				p.Text, p.Hint = trouble.Text, trouble.Hint
			}
			return p, &pos.Error{Code: pos.ErrPrinter, Text: p.Text, Hint: p.Hint, Err: fmt.Errorf("print job is %s %s", p.State, p.Reason)}
		}
		select {
		case <-changed:
		case <-c.Done():
			return p, nil
		}
	}
}

// printTrouble is the error of a job that is over without paper.
func printTrouble(p Print, err error) error {
	if err == nil && p.State == pos.PrintCancelled {
		return &pos.Error{Code: pos.ErrPrinter, Text: p.Text, Hint: p.Hint, Err: errors.New(p.Detail)}
	}
	return err
}

// PrintJob is one print job as it stands.
func (t *Till) PrintJob(ctx context.Context, id string) (Print, error) {
	var job pos.PrintJob
	err := t.c.Journal.View(ctx, func(v pos.JournalView) (err error) {
		job, err = findPrint(v, id)
		return err
	})
	return t.tell(job), err
}

func findPrint(v pos.JournalView, id string) (pos.PrintJob, error) {
	j, ok, err := v.PrintJob(id)
	if err != nil {
		return j, fmt.Errorf("read print job: %w", err)
	}
	if !ok || j.Kind == "" {
		return j, pos.FieldError(pos.ErrNotFound, "id", fmt.Errorf("no print job %.36q", id))
	}
	return j, nil
}

// PrintJobs lists jobs, the latest first: limit of them, or with open all that are not
// over, in the order in which they will print.
func (t *Till) PrintJobs(ctx context.Context, open bool, limit int) ([]Print, error) {
	list := []Print{}
	err := t.c.Journal.View(ctx, func(v pos.JournalView) error {
		var jobs []pos.PrintJob
		var err error
		if open {
			jobs, err = v.OpenPrintJobs()
		} else {
			jobs, err = v.PrintJobs(limit)
		}
		for _, j := range jobs {
			if j.Kind != "" {
				list = append(list, t.tell(j))
			}
		}
		return err
	})
	return list, err
}

// AnswerPrint is a person's word on a job of which nobody else can say whether it came
// out whole: yes ends it, no prints it again, marked 补打 DUPLICATE when something of
// it may be on paper. The answer is journaled; the same answer again changes nothing.
// Errors: ErrNotFound, ErrIllegalMove, ErrNoOperator, ErrStorage.
func (t *Till) AnswerPrint(ctx context.Context, caller, id string, cameOut bool) (Print, error) {
	return t.command(ctx, caller, id, func(j pos.PrintJob) (pos.PrintState, string, error) {
		switch {
		case cameOut && j.State == pos.PrintConfirmed, !cameOut && (j.State == pos.PrintQueued || j.State == pos.PrintSending):
			return "", "", nil
		case cameOut && j.OnPaper && (j.State == pos.PrintUnknown || j.Ask):
			return pos.PrintConfirmed, "a person says that it came out", nil
		case !cameOut && (j.State == pos.PrintUnknown || j.State == pos.PrintPaused):
			return pos.PrintQueued, "a person says that it did not come out", nil
		}
		return "", "", pos.NewError(pos.ErrIllegalMove, fmt.Errorf("print job is %s and has no such question", j.State))
	})
}

// CancelPrint gives a job up. What is being printed this moment cannot be
// (ErrIllegalMove); a repeat is a success. Errors as of AnswerPrint.
func (t *Till) CancelPrint(ctx context.Context, caller, id string) (Print, error) {
	return t.command(ctx, caller, id, func(j pos.PrintJob) (pos.PrintState, string, error) {
		if j.State == pos.PrintCancelled {
			return "", "", nil
		}
		if j.State == pos.PrintSending {
			return "", "", pos.NewError(pos.ErrIllegalMove, errors.New("it is being printed"))
		}
		return pos.PrintCancelled, "given up by a person", pos.CheckPrintMove(j.State, pos.PrintCancelled)
	})
}

// command journals what a person decided about a job; "" decides nothing.
func (t *Till) command(ctx context.Context, caller, id string, decide func(pos.PrintJob) (pos.PrintState, string, error)) (Print, error) {
	_, err := t.update(ctx, func(v pos.JournalView) ([]pos.Draft, error) {
		j, err := findPrint(v, id)
		if err != nil {
			return nil, err
		}
		to, why, err := decide(j)
		if err != nil || to == "" {
			return nil, err
		}
		who, err := t.who(caller, "")
		if err != nil {
			return nil, err
		}
		return []pos.Draft{t.printed(j, who, to, pos.Printed{Detail: why})}, nil
	})
	if err != nil {
		return Print{}, err
	}
	t.press.wake()
	return t.PrintJob(ctx, id)
}

// tell gives a job its words, also those of a wait at the printer.
func (t *Till) tell(j pos.PrintJob) Print {
	p := words(j)
	if why := t.press.held(); why != "" && j.State == pos.PrintSending {
		p.Text, p.Hint = pauseText(string(why))
		p.Hint = pos.Text{ZH: p.Hint.ZH + ",随后自动接着打印", EN: p.Hint.EN + "; the receipt then goes on by itself"}
	}
	return p
}

// words are what a job says by its state.
func words(j pos.PrintJob) Print {
	p := Print{PrintJob: j}
	switch j.State {
	case pos.PrintQueued:
		p.Text = pos.Text{ZH: "小票等待打印", EN: "the receipt waits for the printer"}
	case pos.PrintSending:
		p.Text = pos.Text{ZH: "正在打印小票", EN: "the receipt is being printed"}
	case pos.PrintConfirmed:
		p.Text = pos.Text{ZH: "小票已打印", EN: "receipt printed"}
	case pos.PrintUnknown:
		p.Text = pos.Text{ZH: "小票可能已打印,请查看", EN: "the receipt may be printed, have a look"}
	case pos.PrintPaused:
		p.Text, p.Hint = pauseText(j.Reason)
	case pos.PrintCancelled:
		p.Text = pos.Text{ZH: "小票未打印", EN: "the receipt was not printed"}
		p.Hint = pos.Text{ZH: "需要时请重新打印", EN: "print it again if it is wanted"}
	}
	switch {
	case j.Ask && j.OnPaper:
		look := pos.Text{
			ZH: "请看小票是否完整打出。没有则补打一张,并注明“补打”",
			EN: "see whether the whole receipt came out; if not, another one is printed, marked DUPLICATE",
		}
		p.Hint = pos.Text{ZH: join(p.Hint.ZH, ",", look.ZH), EN: join(p.Hint.EN, "; ", look.EN)}
	case j.State == pos.PrintPaused && !j.Ask:
		p.Hint = pos.Text{ZH: p.Hint.ZH + ",随后自动打印", EN: p.Hint.EN + "; printing then goes on by itself"}
	}
	return p
}

func join(a, between, b string) string {
	if a == "" {
		return b
	}
	return a + between + b
}

// pauseText says why a job does not print and what to do about it.
func pauseText(reason string) (text, hint pos.Text) {
	switch drivers.PauseReason(reason) {
	case drivers.PausedPaper:
		hint = pos.Text{ZH: "请更换打印纸", EN: "put in a new roll"}
	case drivers.PausedCover:
		hint = pos.Text{ZH: "请合上打印机盖子", EN: "close the printer's cover"}
	case drivers.PausedError:
		hint = pos.Text{ZH: "请清除卡纸,将打印机关机再开机", EN: "clear jammed paper and switch the printer off and on"}
	case drivers.PausedOffline:
		hint = pos.Text{ZH: "请检查打印机电源和连接线", EN: "check the printer's power and cable"}
	case pos.ReasonOld:
		return pos.Text{ZH: "小票等待过久,未自动打印", EN: "the receipt waited too long to print by itself"},
			pos.Text{ZH: "仍需要请打印,否则取消", EN: "print it if it is still wanted, else drop it"}
	}
	text = drivers.PauseReason(reason).Code().Text()
	if drivers.PauseReason(reason) == drivers.PausedOffline {
		text = pos.Text{ZH: "打印机没有响应", EN: "The printer does not answer"}
	}
	return text, hint
}
