package checkout

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"dcpos/agent/slip"
	"dcpos/drivers"
	"dcpos/pos"
)

// Print tells what became of a receipt.
type Print struct {
	Payment   pos.PaymentID      `json:"payment"`
	Result    drivers.PrintState `json:"result"`
	Duplicate bool               `json:"duplicate,omitempty"`
	Text      pos.Text           `json:"text"`
	Hint      pos.Text           `json:"hint,omitzero"`
}

// Print prints the payment's receipt as it is now and journals what became of it. A
// second print of the same state is marked 补打 DUPLICATE, and so is one after a
// restart, when nobody knows. A failure undoes nothing: the error (ErrPrinter) is
// about paper alone.
func (t *Till) Print(ctx context.Context, id pos.PaymentID) (Print, error) {
	p, err := t.Payment(ctx, id)
	if err != nil {
		return Print{}, err
	}
	who, err := t.whoFor(p)
	if err != nil {
		return Print{}, err
	}
	if t.c.Printer == nil {
		return Print{}, pos.NewError(pos.ErrPrinter, errors.New("no printer is configured"))
	}
	duplicate := true
	t.mu.Lock()
	if s := t.sales[id]; s != nil {
		duplicate, s.fresh = !s.fresh, false
	}
	t.mu.Unlock()
	job := drivers.PrintJob{
		ID:        fmt.Sprintf("%s-%d", id.Short(), t.clock.Now().UnixMilli()),
		Duplicate: duplicate,
		Receipt: slip.Payment(slip.Shop{
			Env: t.c.Env, Merchant: t.c.Merchant, Store: t.c.Store, StoreName: t.c.StoreName, Terminal: t.c.Terminal,
		}, p, t.clock.Now()),
	}
	c, cancel := context.WithTimeout(ctx, t.timing.Print)
	defer cancel()
	result, printErr := t.c.Printer.Print(c, job)
	if !duplicate && !result.MayBeOnPaper() {
		t.with(id, func(s *sale) { s.fresh = true })
	}
	body := pos.Printed{Job: job.ID, Result: string(result.State), Duplicate: duplicate, Detail: strings.Join(result.Notes, "; ")}
	save, done := saving(ctx)
	defer done()
	_, err = t.update(save, func(pos.JournalView) ([]pos.Draft, error) {
		return []pos.Draft{t.draft(pos.KindPrint, id, who, body)}, nil
	})
	told := Print{Payment: id, Result: result.State, Duplicate: duplicate, Text: pos.Text{ZH: "小票已打印", EN: "receipt printed"}}
	if result.State == drivers.PrintUnknown {
		told.Text = pos.Text{ZH: "小票可能已打印,请查看", EN: "the receipt may be printed, have a look"}
	}
	if printErr != nil {
		e := printTrouble(printErr)
		told.Text, told.Hint = e.Text, e.Hint
		t.publish(Event{Kind: EventPrint, Print: &told})
		return told, e
	}
	t.publish(Event{Kind: EventPrint, Print: &told})
	return told, err
}

func printTrouble(err error) *pos.Error {
	if e, ok := errors.AsType[*pos.Error](err); ok {
		return e
	}
	return pos.NewError(pos.ErrPrinter, err)
}

const maxReason = 64

// OpenDrawer journals why and opens the cash drawer, in this order. Errors:
// ErrNoOperator, ErrBadRequest, ErrPrinter, ErrStorage.
func (t *Till) OpenDrawer(ctx context.Context, caller, reason string) error {
	if reason == "" || len(reason) > maxReason {
		return pos.FieldError(pos.ErrBadRequest, "reason", fmt.Errorf("want 1 to %d bytes", maxReason))
	}
	if t.c.Drawer == nil {
		return pos.NewError(pos.ErrPrinter, errors.New("no drawer is configured"))
	}
	_, err := t.update(ctx, func(pos.JournalView) ([]pos.Draft, error) {
		who, err := t.who(caller, "")
		if err != nil {
			return nil, err
		}
		return []pos.Draft{t.draft(pos.KindDrawer, pos.PaymentID{}, who, pos.DrawerOpened{Reason: reason})}, nil
	})
	if err != nil {
		return err
	}
	c, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	if err := t.c.Drawer.OpenDrawer(c); err != nil {
		return printTrouble(err)
	}
	return nil
}
