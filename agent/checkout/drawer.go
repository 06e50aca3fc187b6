package checkout

import (
	"context"
	"errors"
	"fmt"
	"time"

	"dcpos/pos"
)

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
	err = t.c.Drawer.OpenDrawer(c)
	if _, ok := errors.AsType[*pos.Error](err); err == nil || ok {
		return err
	}
	return pos.NewError(pos.ErrPrinter, err)
}
