package escpos

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"time"

	"dcpos/drivers"
	"dcpos/drivers/escpos/answer"
	"dcpos/drivers/receipt"
)

// Waits of the print loop that are the same for all models (receiptio lib/receiptio.js).
const (
	flushAfter = 2 * time.Second // no answer: the printer may wait for the rest of a picture
	flushEvery = time.Second
	flushBytes = 8192 // more than any picture slice that was cut off still wants
)

// The process id of GS ( H has four characters of 20h to 7Eh.
const (
	markBase  = 95
	markCount = markBase * markBase * markBase * markBase
)

// Real-time commands (Epson's reference): DLE DC4 function 8, and DLE ENQ 2, which
// recovers and clears, and 1, which recovers and prints on from the line of the error.
var (
	clearBuffers = []byte{0x10, 0x14, 8, 1, 3, 20, 1, 6, 2, 8}
	recoverClear = []byte{0x10, 0x05, 2}
	recoverGoOn  = []byte{0x10, 0x05, 1}
)

// Print implements drivers.POSPrinter.
func (p *Printer) Print(ctx context.Context, job drivers.PrintJob) (drivers.PrintResult, error) {
	result := drivers.PrintResult{JobID: job.ID, State: drivers.PrintCancelled, ConfirmedBy: drivers.ConfirmedByNone}
	if err := p.life.NeedEnabled(); err != nil {
		return result, p.lifecycle("print on", err)
	}
	doc, err := Encode(marked(job), p.model(), p.font)
	if err != nil {
		return result, p.trouble("print on", drivers.ErrIllegal, err)
	}
	result.Notes, result.BytesTotal = doc.Notes, len(doc.Bytes)
	if err := p.take(ctx); err != nil {
		return result, p.trouble("print on", drivers.ErrBusy, err)
	}
	defer p.give()
	end := p.life.Begin()
	h := p.helper(job)
	o := p.loop(ctx, doc, h)
	result.Resumed = h.resumed
	result.State, result.Reason, result.ConfirmedBy = o.state, o.reason, o.by
	result.BytesSent, result.At = o.sent, p.now()
	end(o.state == drivers.PrintPaused)
	p.count(doc, o)
	if o.state == drivers.PrintPaused {
		return result, p.stopped("print on", o.reason, o.err)
	}
	if o.state == drivers.PrintCancelled {
		return result, p.trouble("print on", drivers.ErrTimeout, o.err)
	}
	return result, nil
}

// marked puts the mark of a duplicate above the receipt.
func marked(job drivers.PrintJob) receipt.Receipt {
	if !job.Duplicate {
		return job.Receipt
	}
	mark := receipt.Text("补打 DUPLICATE", receipt.Style{Bold: true, Size: receipt.Double, Align: receipt.Center})
	return receipt.Receipt{Items: append([]receipt.Item{mark}, job.Receipt.Items...)}
}

func (p *Printer) count(doc Document, o outcome) {
	if o.state == drivers.PrintConfirmed {
		p.counters.Add(drivers.ReceiptLinePrintedCount, int64(doc.Lines))
		p.counters.Add(drivers.ReceiptCharacterPrintedCount, int64(doc.Characters))
		p.counters.Add(drivers.ReceiptLineFeedCount, int64(doc.Lines+doc.Feeds))
		p.counters.Add(drivers.BarcodePrintedCount, int64(doc.QRCodes))
		p.counters.Add(drivers.PaperCutCount, int64(doc.Cuts))
	}
	if o.reason == drivers.PausedOffline {
		p.counters.Add(drivers.CommunicationErrorCount, 1)
	}
}

// outcome is where the loop ended.
type outcome struct {
	state  drivers.PrintState
	reason drivers.PauseReason
	by     drivers.Confirmation
	sent   int
	err    error
}

func paused(reason drivers.PauseReason, sent int, err error) outcome {
	return outcome{state: drivers.PrintPaused, reason: reason, by: drivers.ConfirmedByNone, sent: sent, err: err}
}

// loop is the print loop: ask, initialise, send, confirm.
func (p *Printer) loop(ctx context.Context, doc Document, h *help) outcome {
	reason, err := p.ready(ctx)
	if ctx.Err() != nil {
		return outcome{state: drivers.PrintCancelled, by: drivers.ConfirmedByNone, err: ctx.Err()}
	}
	if reason != "" {
		return paused(reason, 0, err)
	}
	l, err := p.connected()
	if err != nil {
		return paused(drivers.PausedOffline, 0, err)
	}
	if err := p.initialise(ctx, l); err != nil {
		if ctx.Err() != nil {
			return outcome{state: drivers.PrintCancelled, by: drivers.ConfirmedByNone, err: ctx.Err()}
		}
		return paused(p.orOffline(), 0, err)
	}
	sent, err := p.send(ctx, l, doc.Bytes, h)
	if err != nil {
		reason := p.orOffline()
		p.forget(l)
		return paused(reason, sent, err)
	}
	return p.confirm(ctx, l, sent, h)
}

// ready asks whether the printer would print, and gives a fault that can be recovered,
// or an earlier job that it waits to go on with, one chance. An empty reason means yes, or that the printer answers no questions.
func (p *Printer) ready(ctx context.Context) (drivers.PauseReason, error) {
	l, err := p.connected()
	if err != nil {
		return drivers.PausedOffline, err
	}
	if !p.profile.Status.DLEEOT {
		return "", nil
	}
	if err := p.hello(ctx, l); err != nil {
		return drivers.PausedOffline, err
	}
	if err := p.askAll(ctx, l); err != nil {
		return drivers.PausedOffline, err
	}
	reason := trouble(p.Snapshot())
	if reason != drivers.PausedError && reason != drivers.PausedOffline {
		return reason, nil
	}
	if err := l.write(ctx, recoverClear, p.profile.Timing.Write()); err != nil {
		return drivers.PausedOffline, err
	}
	if err := p.askAll(ctx, l); err != nil {
		return drivers.PausedOffline, err
	}
	return trouble(p.Snapshot()), nil
}

// hello makes sure that the printer answers at all; where it does not, it may be
// waiting for the rest of a picture, and gets zeros.
func (p *Printer) hello(ctx context.Context, l *link) error {
	if !p.profile.Status.DLEEOT {
		return nil
	}
	question := append([]byte{0x10, 0x04, askOffline}, escInit...)
	err := p.insist(ctx, l, question, func(wait time.Duration) error {
		_, err := l.await(ctx, wait, isKind(answer.RealTime))
		return err
	})
	if err != nil {
		p.unheard(l)
	}
	return err
}

// insist writes a question until it is answered or the profile's offline time is over.
func (p *Printer) insist(ctx context.Context, l *link, question []byte, answered func(time.Duration) error) error {
	deadline := p.profile.Timing.Offline()
	l.drain()
	data, wait := question, min(flushAfter, deadline)
	repeated := false
	for {
		err := l.write(ctx, data, wait)
		if err == nil {
			err = answered(wait)
		} else {
			err = l.why(ctx, err)
		}
		if !errors.Is(err, errSilent) {
			if repeated && err == nil {
				err = p.settle(ctx, l)
			}
			return err
		}
		repeated = true
		if deadline -= wait; deadline <= 0 {
			return err
		}
		data, wait = append(make([]byte, flushBytes), question...), min(flushEvery, deadline)
	}
}

// settle lets late answers to a repeated question pass. Answers do not say which question
// they belong to: left over, one would be taken for the answer to the next, in the worst
// case for the confirmation of a receipt that is not printed.
func (p *Printer) settle(ctx context.Context, l *link) error {
	if err := wait(ctx, p.profile.Timing.Answer()); err != nil {
		return err
	}
	l.drain()
	return nil
}

func (p *Printer) unheard(l *link) {
	if l.failure() != nil {
		p.update(gone)
		return
	}
	p.update(silent)
}

// askAll asks the four questions of DLE EOT, one after the other.
func (p *Printer) askAll(ctx context.Context, l *link) error {
	if !p.profile.Status.DLEEOT {
		return nil
	}
	for n := askOnline; n <= askPaper; n++ {
		a, err := l.ask(ctx, []byte{0x10, 0x04, byte(n)}, p.profile.Timing.Answer(), isKind(answer.RealTime))
		if err != nil {
			if ctx.Err() == nil {
				p.unheard(l)
			}
			return fmt.Errorf("ask DLE EOT %d: %w", n, err)
		}
		p.update(func(s *drivers.PrinterStatus, at time.Time) {
			applyRealTime(s, n, a.Data[0], p.profile.Drawer, at)
		})
	}
	return nil
}

// initialise resets the printer and makes sure that it takes commands again: the
// real-time answers of hello come even from within a picture that was cut off, these
// do not.
func (p *Printer) initialise(ctx context.Context, l *link) error {
	switch s := p.profile.Status; {
	case s.ASB:
		return p.insist(ctx, l, []byte(escInit+"\x1da\xff"), func(wait time.Duration) error {
			return l.awaitReport(ctx, wait)
		})
	case s.GSR:
		return p.insist(ctx, l, []byte(escInit+"\x1dr\x01"), func(wait time.Duration) error {
			_, err := l.await(ctx, wait, isKind(answer.Plain))
			return err
		})
	default:
		return l.write(ctx, []byte(escInit), p.profile.Timing.Write())
	}
}

// send writes the document in pieces and stops when the printer reports trouble that
// nobody removes. It returns how many bytes may have reached the printer.
func (p *Printer) send(ctx context.Context, l *link, data []byte, h *help) (int, error) {
	piece := min(p.profile.Quirks.ChunkBytes, maxPiece)
	pause := time.Duration(p.profile.Quirks.ChunkDelayMS) * time.Millisecond
	sent := 0
	for sent < len(data) {
		if reason := trouble(p.Snapshot()); reason != "" {
			if err := p.await(ctx, l, h); err != nil {
				return sent, fmt.Errorf("%w: %w", reason.Code(), err)
			}
		}
		n := min(piece, len(data)-sent)
		err := p.write(ctx, l, data[sent:sent+n], h)
		sent += n // a write that failed may have taken all of it
		if err != nil {
			return sent, l.why(ctx, err)
		}
		if pause > 0 && sent < len(data) {
			if err := wait(ctx, pause); err != nil {
				return sent, err
			}
		}
	}
	return sent, nil
}

func wait(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// confirm asks whether all of it has been printed.
func (p *Printer) confirm(ctx context.Context, l *link, sent int, h *help) outcome {
	question, fits, by := p.confirmation()
	unknown := outcome{state: drivers.PrintUnknown, by: drivers.ConfirmedByNone, sent: sent}
	if question == nil {
		return unknown
	}
	l.drain() // what has come so far answers something else
	if err := p.write(ctx, l, question, h); err != nil {
		return p.unconfirmed(ctx, l, sent)
	}
	timer := time.NewTimer(p.profile.Timing.Confirm())
	defer timer.Stop()
	for {
		select {
		case a := <-l.answers: // before all else: what has been confirmed is on paper
			if fits(a) {
				return outcome{state: drivers.PrintConfirmed, by: by, sent: sent}
			}
			continue
		default:
		}
		if reason := trouble(p.Snapshot()); reason != "" {
			if err := p.await(ctx, l, h); err != nil {
				reason = p.orReason(reason)
				p.forget(l)
				return paused(reason, sent, err)
			}
			timer.Reset(p.profile.Timing.Confirm())
			continue
		}
		select {
		case a := <-l.answers:
			if fits(a) {
				return outcome{state: drivers.PrintConfirmed, by: by, sent: sent}
			}
		case <-l.changed:
		case <-timer.C:
			return p.unconfirmed(ctx, l, sent)
		case <-l.lost:
			p.update(gone)
			return unknown
		case <-ctx.Done():
			return unknown
		}
	}
}

// confirmation is the question after the last byte, nil when the printer answers none.
func (p *Printer) confirmation() (question []byte, fits func(answer.Answer) bool, by drivers.Confirmation) {
	switch s := p.profile.Status; {
	case s.GSH:
		mark := p.nextMark()
		want := append([]byte{0x37, 0x22}, mark...)
		return append([]byte{0x1d, '(', 'H', 6, 0, 0x30, 0x30}, mark...), func(a answer.Answer) bool {
			return a.Kind == answer.Block && bytes.Equal(a.Data, want)
		}, drivers.ConfirmedByJobID
	case s.GSR:
		return []byte{0x1d, 'r', 1}, func(a answer.Answer) bool {
			return a.Kind == answer.Plain && a.Data[0]&0x0C == 0
		}, drivers.ConfirmedByStatus
	default:
		return nil, nil, drivers.ConfirmedByNone
	}
}

// nextMark is the next process id: the job counter in base 95.
func (p *Printer) nextMark() []byte {
	p.mu.Lock()
	defer p.mu.Unlock()
	n := p.mark % markCount
	p.mark++
	mark := make([]byte, 4)
	for i := range mark {
		mark[3-i] = byte(0x20 + n%markBase)
		n /= markBase
	}
	return mark
}

// unconfirmed looks once more for a reason why no confirmation came.
func (p *Printer) unconfirmed(ctx context.Context, l *link, sent int) outcome {
	if ctx.Err() == nil && p.askAll(ctx, l) == nil {
		if reason := trouble(p.Snapshot()); reason != "" {
			p.forget(l)
			return paused(reason, sent, nil)
		}
	}
	return outcome{state: drivers.PrintUnknown, by: drivers.ConfirmedByNone, sent: sent}
}

// forget clears the rest of a job from the printer's memory, so that it does not come
// out later by itself, above the next receipt.
func (p *Printer) forget(l *link) {
	if !p.profile.Status.Clear || l.failure() != nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), p.profile.Timing.Answer())
	defer cancel()
	// When even this does not get through, the duplicate mark of the next print tells.
	_ = l.write(ctx, clearBuffers, p.profile.Timing.Answer()) // see above
}

// orOffline is the known trouble, or offline when none is known.
func (p *Printer) orOffline() drivers.PauseReason { return p.orReason(drivers.PausedOffline) }

// orReason is the known trouble, or the one given when none is known.
func (p *Printer) orReason(reason drivers.PauseReason) drivers.PauseReason {
	if known := trouble(p.Snapshot()); known != "" {
		return known
	}
	return reason
}
