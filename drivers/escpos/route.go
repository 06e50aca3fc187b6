package escpos

import (
	"context"

	"dcpos/drivers"
)

// Route sends the bytes of a device that hangs on the printer, such as a customer display
// behind it (ESC = n), and waits until the line has taken them. It never comes between
// the bytes of a receipt: it waits for its turn, as long as ctx lets it. A printer without
// paper still passes them on. Errors: ErrBusy, ErrOffline, ErrNoHardware.
func (p *Printer) Route(ctx context.Context, data []byte) error {
	if err := p.life.NeedEnabled(); err != nil {
		return p.lifecycle("route through", err)
	}
	if err := p.take(ctx); err != nil {
		return p.trouble("route through", drivers.ErrBusy, err)
	}
	defer p.give()
	l, err := p.connected()
	if err == nil {
		err = l.write(ctx, data, p.profile.Timing.Write())
	}
	if err != nil {
		return p.lost("route through", err)
	}
	return nil
}
