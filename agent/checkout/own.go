package checkout

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"dcpos/agent/slip"
	"dcpos/drivers/receipt"
	"dcpos/pos"
)

// Limits of a receipt that a caller lays out, so that a mistake cannot run a roll of paper
// through or fill the disk.
const (
	MaxReceiptItems = 500
	MaxReceiptBytes = 192 << 10 // as it is kept: JSON with its pictures
	maxReceiptDots  = 16_000    // two metres at 203 dpi
	maxReceiptCuts  = 10
	usualColumns    = 48 // while no printer is open: 80 mm
)

// Heights on paper in dots, as receipt printers feed (1/6 inch a line).
const (
	dotsOfLine = 30
	dotsOfQR   = 300 // about; the module is the printer's
)

// encoded is a receipt as it is kept, with the name of that. The same receipt has the same.
func encoded(r *receipt.Receipt) (doc []byte, hash string, err error) {
	if r == nil {
		return nil, "", nil
	}
	if doc, err = json.Marshal(r); err != nil {
		return nil, "", pos.NewError(pos.ErrInternal, fmt.Errorf("encode receipt: %w", err))
	}
	sum := sha256.Sum256(doc)
	return doc, hex.EncodeToString(sum[:]), nil
}

// checkReceipt refuses a receipt that could not be printed, or should not, naming the item.
func (t *Till) checkReceipt(r receipt.Receipt, doc []byte) error {
	bad := func(code pos.Code, item int, what string, err error) error {
		return pos.FieldError(code, fmt.Sprintf("receipt.items[%d]%s", item, what), err)
	}
	switch {
	case len(r.Items) == 0:
		return pos.FieldError(pos.ErrBadRequest, "receipt.items", errors.New("nothing to print"))
	case len(r.Items) > MaxReceiptItems:
		return pos.FieldError(pos.ErrTooLarge, "receipt.items", fmt.Errorf("%d items, at most %d", len(r.Items), MaxReceiptItems))
	case len(doc) > MaxReceiptBytes:
		return pos.FieldError(pos.ErrTooLarge, "receipt", fmt.Errorf("%d bytes, at most %d: make its pictures smaller", len(doc), MaxReceiptBytes))
	}
	cuts, kicks := 0, 0
	for i, item := range r.Items {
		switch item.Kind { //nolint:exhaustive // the others are only bounded by their number
		case receipt.KindCut:
			cuts++
		case receipt.KindDrawer:
			kicks++
		}
		switch {
		case cuts > maxReceiptCuts:
			return bad(pos.ErrTooLarge, i, ".kind", fmt.Errorf("more than %d cuts", maxReceiptCuts))
		case kicks > 1:
			return bad(pos.ErrTooLarge, i, ".kind", errors.New("the drawer opens once"))
		case kicks == 1 && t.c.Drawer == nil:
			return bad(pos.ErrBadRequest, i, ".kind", errors.New("no drawer is configured at this till"))
		}
	}
	lines, err := receipt.Layout(r, receipt.Options{Columns: t.columns()})
	if item, ok := errors.AsType[*receipt.ItemError](err); ok {
		return bad(pos.ErrBadRequest, item.Item, "", err)
	}
	if err != nil {
		return pos.FieldError(pos.ErrBadRequest, "receipt", err)
	}
	if high := height(lines); high > maxReceiptDots {
		return pos.FieldError(pos.ErrTooLarge, "receipt", fmt.Errorf("%d mm of paper, at most %d", high/8, maxReceiptDots/8))
	}
	return nil
}

// columns are the open printer's.
func (t *Till) columns() int {
	if t.c.Columns != nil {
		if n := t.c.Columns(); n > 0 {
			return n
		}
	}
	return usualColumns
}

// height is about how much paper a layout takes, in dots.
func height(lines []receipt.Line) int {
	dots := 0
	for _, l := range lines {
		switch l.Kind {
		case receipt.KindText:
			if dots += dotsOfLine; l.Style.Size.Tall() {
				dots += dotsOfLine
			}
		case receipt.KindFeed:
			dots += l.Lines * dotsOfLine
		case receipt.KindQR:
			dots += dotsOfQR
		case receipt.KindImage:
			dots += l.Image.Height()
		case receipt.KindCut, receipt.KindDrawer, receipt.KindColumns, receipt.KindRule:
		}
	}
	return dots
}

// ownPaper is the paper of a job whose caller laid it out; false when what was kept of it
// is lost or damaged.
func (t *Till) ownPaper(v pos.JournalView, j pos.PrintJob) (r receipt.Receipt, ok bool, err error) {
	doc, ok, err := v.Attachment(j.Content)
	if err != nil {
		return r, false, fmt.Errorf("read receipt: %w", err)
	}
	ok = ok && json.Unmarshal(doc, &r) == nil
	return r, ok, nil
}

// Preview is the receipt as this till would print it, and its printer's columns: with the
// mark of a test where the till is one. Errors as of QueuePrint.
func (t *Till) Preview(r receipt.Receipt) (receipt.Receipt, int, error) {
	doc, _, err := encoded(&r)
	if err == nil {
		err = t.checkReceipt(r, doc)
	}
	return slip.Own(t.shop(), r, false), t.columns(), err
}

func (t *Till) shop() slip.Shop {
	return slip.Shop{
		Env: t.c.Env, Merchant: t.c.Merchant, Store: t.c.Store, StoreName: t.c.StoreName, Terminal: t.c.Terminal,
	}
}

// lost ends a job whose paper is not kept any more.
func (t *Till) lost(j pos.PrintJob) pos.Draft {
	return t.printed(j, pos.OperatorSystem, pos.PrintCancelled, pos.Printed{
		OnPaper: j.OnPaper, Detail: "what was to be printed is not kept any more",
	})
}

// kick journals the drawer that a caller's paper opens, under who asked for it.
func (t *Till) kick(j pos.PrintJob, paper receipt.Receipt) []pos.Draft {
	if j.Kind != pos.PrintReceipt || !slices.ContainsFunc(paper.Items, func(i receipt.Item) bool { return i.Kind == receipt.KindDrawer }) {
		return nil
	}
	return []pos.Draft{t.draft(pos.KindDrawer, pos.PaymentID{}, j.Operator, pos.DrawerOpened{Reason: "print " + j.ID})}
}
