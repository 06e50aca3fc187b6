package devices

import (
	"context"
	"errors"

	"dcpos/drivers"
	profiles "dcpos/firmware-profiles"
	"dcpos/pos"
)

// behind reports whether the device hangs on the till's printer instead of a port of its own.
func (st *station) behind() bool {
	return st.kind == profiles.KindDisplay && st.configured().Transport.Kind == drivers.TransportPrinter
}

// openPrinter is the till's printer, if it is open.
func (s *Set) openPrinter() (drivers.POSPrinter, bool) {
	st := s.of(profiles.KindPrinter)
	if st == nil {
		return nil, false
	}
	st.mu.Lock()
	defer st.mu.Unlock()
	return st.printer(st.device)
}

// openBehind opens a display that hangs on the till's printer.
func (s *Set) openBehind(ctx context.Context, c drivers.DeviceConfig) (drivers.Device, error) {
	p, ok := s.openPrinter()
	if !ok {
		return nil, noPrinterBefore(c.Name)
	}
	return s.open.DisplayBehind(ctx, p, c)
}

// noPrinterBefore is why a display behind a printer cannot be reached.
func noPrinterBefore(name string) error {
	return drivers.Trouble(drivers.CategoryLineDisplay, "use "+name, drivers.ErrNoHardware, &drivers.Advice{
		Text: pos.Text{ZH: "客显接在打印机上,打印机未就绪", EN: "the display hangs on the printer, which is not open"},
		Hint: pos.Text{ZH: "请先恢复打印机,客显随后自动恢复", EN: "see to the printer first; the display follows by itself"},
		Err:  errors.New("no open printer"),
	})
}

// follow has what hangs on the printer open anew when it opened, and close when it went:
// why is nil for the former.
func (s *Set) follow(why error) {
	for _, st := range s.all() {
		if !st.behind() {
			continue
		}
		st.mu.Lock()
		d := st.device
		st.fresh = st.fresh || why == nil
		st.mu.Unlock()
		if d != nil && why != nil {
			st.fail(d, noPrinterBefore(st.name))
		}
		st.poke()
	}
}
