package escpos

import (
	"context"
	"errors"
	"fmt"

	"dcpos/drivers"
	"dcpos/drivers/transport"
)

var _ drivers.Resetter = (*Printer)(nil)

// Reset implements drivers.Resetter: a printer on USB forgets everything, also a picture
// that it waits for the rest of.
func (p *Printer) Reset(ctx context.Context) error {
	if err := p.life.NeedOpen(); err != nil {
		return p.lifecycle("reset", err)
	}
	if err := p.disconnect(); err != nil { // first, so that a call under way ends
		return err
	}
	if err := p.take(ctx); err != nil {
		return p.trouble("reset", drivers.ErrBusy, err)
	}
	defer p.give()
	err := transport.Reset(ctx, p.dial)
	switch {
	case err == nil:
		return nil
	case errors.Is(err, errors.ErrUnsupported):
		return p.trouble("reset", drivers.ErrIllegal, err)
	case errors.Is(err, transport.ErrNotFound), errors.Is(err, transport.ErrInUse), errors.Is(err, transport.ErrAccess), ctx.Err() != nil:
		return p.trouble("reset", dialCode(err), err)
	}
	return p.trouble("reset", drivers.ErrFailure, fmt.Errorf("through its port: %w", err))
}
