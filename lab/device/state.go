package device

import "slices"

// PrinterState is how a printer stands, as one sees it who stands before it.
type PrinterState struct {
	Connected   bool // a host holds the line
	CoverOpen   bool
	PaperOut    bool
	NearEnd     bool
	PaperLeft   int  // dots of paper, 8 are a millimetre; negative: plenty
	CutterStuck bool // in error; the host's DLE ENQ frees it
	Jam         bool // paper lies in the cutter
	Waiting     bool // an interrupted job waits for the host's DLE ENQ
	DrawerOpen  bool
	Silent      bool
	Stalled     bool
	Kicks       int // pulses to the drawer
	Beeps       int // of the buzzer
	Flashes     int // of the lamp
	Pending     int // bytes that wait for it to go on
	Receipts    int // finished
}

// State is how the printer stands now.
func (p *Printer) State() PrinterState {
	p.mu.Lock()
	defer p.mu.Unlock()
	s := PrinterState{
		Connected: p.out != nil, CoverOpen: p.cover, PaperOut: p.noPaper, NearEnd: p.nearEnd, PaperLeft: p.paperAt,
		CutterStuck: p.cutter, Jam: p.jam, Waiting: p.waiting, DrawerOpen: p.drawer, Silent: p.silent,
		Kicks: p.kicks, Beeps: p.beeps, Flashes: p.flashes, Pending: len(p.in), Receipts: len(p.done),
	}
	select {
	case <-p.stalled:
	default:
		s.Stalled = true
	}
	return s
}

// Paper is what has been printed since the last cut: the receipt that hangs out of the printer.
func (p *Printer) Paper() Receipt {
	p.mu.Lock()
	defer p.mu.Unlock()
	return Receipt{N: len(p.done) + 1, Lines: slices.Clone(p.paper.lines), Image: p.paper.picture(p.paperDots)}
}

// SetSpeed sets the speed of the line in bytes a second; 0: as fast as it comes.
func (p *Printer) SetSpeed(bytesPerSecond int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.opt.BytesPerSecond = max(0, bytesPerSecond)
}

func (p *Printer) speed() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.opt.BytesPerSecond
}
