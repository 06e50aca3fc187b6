package device

import (
	"context"
	"errors"
	"fmt"
	"image"
	"image/png"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"
)

// PrinterOptions say what kind of printer is modelled.
type PrinterOptions struct {
	// WidthMM is 58 or 80 (default).
	WidthMM int
	// Font draws the characters; nil opens DefaultFont.
	Font *Font
	// Answers say which questions are answered; nil: all.
	Answers *Answers
	// NoCutter: a receipt ends when nothing has come for TearAfter, or at the next
	// initialisation, or by Tear.
	NoCutter  bool
	TearAfter time.Duration // default one second
	// Chinese is the font of two-byte characters. Default: GB18030.
	Chinese ChineseFont
	// FontAnswer is what GS I 69 tells; default: what belongs to Chinese. "-" tells nothing.
	FontAnswer string
	// ChineseSizeByFS: GS ! does not enlarge Chinese, FS ! does.
	ChineseSizeByFS bool
	// LosesChinese: a picture switches the Chinese font off.
	LosesChinese bool
	// StartsWithoutChinese: FS & is off after an initialisation, as Epson's are.
	StartsWithoutChinese bool
	// Buzzer: ESC B sounds it.
	Buzzer bool
	// Lamp: ESC C flashes it, and sounds the buzzer.
	Lamp bool
	// CoverIsError: the cover, opened in the middle of a job, is an error that closing it does
	// not end. The job goes on after DLE ENQ 1, or never after DLE ENQ 2: HPRT's TP80K command
	// manual, DLE ENQ ("an autocutter error, a BM detecting error or a platen-open error").
	CoverIsError bool
	// BytesPerSecond is the speed of the line; 0: as fast as it comes.
	BytesPerSecond int
	// Memory is how many bytes it holds that it has not acted on, before it takes no more.
	// Default: half a megabyte, as the large ones; small ones have 4 KiB.
	Memory int
	// Receipt is called for every receipt, in order; it must not call the printer.
	Receipt func(Receipt)
	// Directory, when set, gets <n>.png and <n>.txt of every receipt.
	Directory string
	// Display hangs on the printer and gets what is selected for it.
	Display *LineDisplay
	// Maker and Model are told by GS I.
	Maker, Model string
}

// ChineseFont is which two-byte characters a printer has.
type ChineseFont string

// The fonts.
const (
	GB18030   ChineseFont = ""       // two-byte characters only
	GB18030x4 ChineseFont = "x4"     // the four-byte ones as well
	GBK       ChineseFont = "gbk"    //
	GB2312    ChineseFont = "gb2312" //
	LatinOnly ChineseFont = "latin"  // none: every byte is a character of code page 437
)

// Answers are the questions that a printer answers.
type Answers struct{ DLEEOT, ASB, GSR, GSI, GSH bool }

// Receipt is one piece of paper.
type Receipt struct {
	N     int // 1, 2, …
	Lines []string
	Image *image.Gray
	Cut   bool // cut, not torn
}

// Text is the receipt as text, each line ended.
func (r Receipt) Text() string { return strings.Join(r.Lines, "\n") + "\n" }

// Printer is the model of an ESC/POS receipt printer.
type Printer struct {
	opt       PrinterOptions
	dots      int // printable
	paperDots int
	answers   Answers

	serving chan struct{} // holds one token while a host is served

	toDisplay bool // what comes is the display's; guarded by mu

	mu      sync.Mutex
	out     func([]byte) // sends to the host; nil while nobody is connected
	in      []byte       // received and not yet acted on
	seen    []byte       // the last bytes received, for real-time commands
	paper   *paper
	mode    mode
	asb     byte // what GS a switched on
	paperAt int  // dots of paper left; negative: plenty
	nearEnd bool
	noPaper bool
	cover   bool
	cutter  bool // in error
	jam     bool // paper lies in the cutter: it fails again and again
	waiting bool // in error until the host lets an interrupted job go on
	drawer  bool // open
	silent  bool
	stalled chan struct{} // closed when not stalled
	kicks   int
	beeps   int
	flashes int
	qr      qrCode
	stored  *picture // by GS ( L, not printed yet
	trip    *trip
	lagging bool // the head is behind: what comes stays in the memory
	done    []Receipt
	unknown []string
	failed  error
	last    time.Time // when something came
}

// NewPrinter makes a printer with paper in it.
func NewPrinter(opt PrinterOptions) (*Printer, error) {
	p := &Printer{opt: opt, dots: 576, paperDots: 640, paperAt: -1, serving: make(chan struct{}, 1)}
	switch opt.WidthMM {
	case 0, 80:
	case 58:
		p.dots, p.paperDots = 384, 464
	default:
		return nil, fmt.Errorf("paper of %d mm: want 58 or 80", opt.WidthMM)
	}
	if opt.Font == nil {
		font, err := OpenFont("")
		if err != nil {
			return nil, err
		}
		p.opt.Font = font
	}
	p.answers = Answers{true, true, true, true, true}
	if opt.Answers != nil {
		p.answers = *opt.Answers
	}
	if opt.TearAfter == 0 {
		p.opt.TearAfter = time.Second
	}
	if opt.Memory == 0 {
		p.opt.Memory = maxMemory
	}
	if opt.Maker == "" {
		p.opt.Maker = "DCPOS-LAB"
	}
	if opt.Model == "" {
		p.opt.Model = fmt.Sprintf("LAB-%d", p.paperDots/8)
	}
	if opt.Directory != "" {
		if err := os.MkdirAll(opt.Directory, 0o750); err != nil {
			return nil, fmt.Errorf("keep receipts: %w", err)
		}
	}
	p.stalled = make(chan struct{})
	close(p.stalled)
	p.paper = &paper{dots: p.dots}
	p.reset()
	return p, nil
}

// Serve talks to one host until the context ends, the host hangs up or rw is closed;
// it closes rw. The paper and its state stay for the next host, who waits until the
// last one has gone: a printer has one socket.
func (p *Printer) Serve(ctx context.Context, rw io.ReadWriteCloser) error {
	select {
	case p.serving <- struct{}{}:
		defer func() { <-p.serving }()
	case <-ctx.Done():
		return rw.Close()
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stop := context.AfterFunc(ctx, func() { _ = rw.Close() }) // ends the read below
	defer stop()

	answers := make(chan []byte, 256)
	p.mu.Lock()
	p.out = func(b []byte) {
		select {
		case answers <- b:
		default: // a host that reads nothing loses answers, as with a real printer
		}
	}
	p.mu.Unlock()
	var working sync.WaitGroup
	working.Go(func() { write(ctx, rw, answers) })
	working.Go(func() { p.tearing(ctx) })
	err := p.receive(ctx, rw)
	cancel()
	_ = rw.Close() // it may be closed already
	working.Wait()
	p.mu.Lock()
	defer p.mu.Unlock()
	p.out = nil
	if ctx.Err() != nil && p.failed == nil && errors.Is(err, errHungUp) {
		return nil
	}
	return errors.Join(err, p.failed)
}

var errHungUp = errors.New("host hung up")

func (p *Printer) receive(ctx context.Context, r io.Reader) error {
	buf := make([]byte, mostRead)
	for {
		select {
		case <-p.stall():
		case <-ctx.Done():
			return nil
		}
		if err := p.room(ctx); err != nil {
			return nil //nolint:nilerr // the context has ended
		}
		n, err := r.Read(buf[:p.readSize()])
		gone := p.arrive(buf[:n])
		if gone {
			return nil
		}
		p.pace(ctx, n)
		if err != nil {
			if errors.Is(err, io.EOF) || errors.Is(err, io.ErrClosedPipe) || errors.Is(err, os.ErrClosed) {
				return nil
			}
			return fmt.Errorf("%w: %w", errHungUp, err)
		}
	}
}

// mostRead is how much is read at once where the line has no speed.
const mostRead = 4096

// readSize is how much is read at once: a tenth of a second's worth on a slow line.
func (p *Printer) readSize() int {
	if speed := p.speed(); speed > 0 {
		return max(1, min(mostRead, speed/10))
	}
	return mostRead
}

// pace takes the time that so many bytes need on the line.
func (p *Printer) pace(ctx context.Context, n int) {
	speed := p.speed()
	if speed <= 0 || n == 0 {
		return
	}
	timer := time.NewTimer(time.Duration(n) * time.Second / time.Duration(speed))
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}

// trip is what happens after so many more bytes: the cable is pulled, or power fails too.
type trip struct {
	bytes int
	power bool
}

// lag is how many bytes may be in the memory and not on paper yet when the power fails.
const lag = 64

// arrive takes bytes; true when the line broke within them.
func (p *Printer) arrive(b []byte) bool {
	p.mu.Lock()
	t := p.trip
	tripped := t != nil && len(b) >= t.bytes
	if tripped {
		b = b[:t.bytes]
	}
	if t != nil {
		t.bytes -= len(b)
		p.lagging = t.power && t.bytes < lag
	}
	p.mu.Unlock()
	p.take(b)
	if !tripped {
		return false
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.trip, p.lagging = nil, false
	if t.power {
		p.forgetAll()
	}
	return true
}

// forgetAll is what a power cut does: memory and settings are gone, the paper stays.
func (p *Printer) forgetAll() {
	p.in, p.seen, p.asb, p.stored, p.qr = nil, nil, 0, nil, qrCode{}
	p.cutter, p.waiting = false, false
	p.reset()
}

// room waits while the memory is full, as an off-line printer's becomes.
func (p *Printer) room(ctx context.Context) error {
	if p.Pending() < p.opt.Memory {
		return nil
	}
	ticker := time.NewTicker(20 * time.Millisecond)
	defer ticker.Stop()
	for p.Pending() >= p.opt.Memory {
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}

func write(ctx context.Context, w io.Writer, answers <-chan []byte) {
	for {
		select {
		case b := <-answers:
			if _, err := w.Write(b); err != nil {
				return
			}
		case <-ctx.Done():
			return
		}
	}
}

func (p *Printer) stall() <-chan struct{} {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.stalled
}

// tearing ends a receipt by itself on printers without a cutter.
func (p *Printer) tearing(ctx context.Context) {
	if !p.opt.NoCutter {
		return
	}
	ticker := time.NewTicker(p.opt.TearAfter / 4)
	defer ticker.Stop()
	for {
		select {
		case now := <-ticker.C:
			p.mu.Lock()
			if !p.paper.blank() && now.Sub(p.last) >= p.opt.TearAfter && !p.offline() {
				p.finish(false)
			}
			p.mu.Unlock()
		case <-ctx.Done():
			return
		}
	}
}

// take is what a printer does with bytes when they arrive: real-time commands at
// once, all others in their order.
func (p *Printer) take(b []byte) {
	if len(b) == 0 {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.last = time.Now()
	for _, c := range b {
		p.in = append(p.in, c)
		p.realTime(c)
	}
	p.work()
}

func (p *Printer) work() {
	before := p.report()
	for !p.offline() && !p.lagging && len(p.in) > 0 {
		n := p.step(p.in)
		if n == 0 {
			break
		}
		p.in = p.in[n:]
	}
	p.changed(before)
}

func (p *Printer) send(b ...byte) {
	if p.silent || p.out == nil {
		return
	}
	p.out(slices.Clone(b))
}

// finish ends a receipt: what is on the paper so far.
func (p *Printer) finish(cut bool) {
	lines := p.paper.lines
	for len(lines) > 0 && lines[len(lines)-1] == "" {
		lines = lines[:len(lines)-1]
	}
	if len(lines) == 0 {
		p.paper = &paper{dots: p.dots}
		return
	}
	r := Receipt{N: len(p.done) + 1, Lines: lines, Image: p.paper.picture(p.paperDots), Cut: cut}
	p.paper = &paper{dots: p.dots}
	p.done = append(p.done, r)
	if p.opt.Directory != "" {
		p.failed = errors.Join(p.failed, r.Save(p.opt.Directory))
	}
	if p.opt.Receipt != nil {
		p.opt.Receipt(r)
	}
}

// Save writes <n>.png and <n>.txt into a folder.
func (r Receipt) Save(folder string) (err error) {
	base := filepath.Join(folder, fmt.Sprint(r.N))
	if err := os.WriteFile(base+".txt", []byte(r.Text()), 0o600); err != nil {
		return fmt.Errorf("keep receipt %d: %w", r.N, err)
	}
	f, err := os.Create(base + ".png") //nolint:gosec // the folder is the caller's
	if err != nil {
		return fmt.Errorf("keep receipt %d: %w", r.N, err)
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	if err := png.Encode(f, r.Image); err != nil {
		return fmt.Errorf("keep receipt %d: %w", r.N, err)
	}
	return nil
}

// Receipts are all receipts so far.
func (p *Printer) Receipts() []Receipt {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.done)
}

// Unknown names the commands that the model did not know, in hex; none is what a
// correct host causes.
func (p *Printer) Unknown() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.unknown)
}

// Kicks is how often the drawer was opened by a pulse.
func (p *Printer) Kicks() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.kicks
}

// Pending is how many bytes wait for the printer to go on.
func (p *Printer) Pending() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.in)
}

// Tear ends the receipt as a hand would.
func (p *Printer) Tear() { p.change(func() { p.finish(false) }) }

// SetCover opens or closes the cover.
func (p *Printer) SetCover(open bool) { p.change(func() { p.cover = open }) }

// SetPaper puts a full roll in, or takes the paper out.
func (p *Printer) SetPaper(in bool) {
	p.change(func() { p.noPaper, p.nearEnd, p.paperAt = !in, false, -1 })
}

// SetPaperLeft leaves so many dots of paper (8 are a millimetre); the end comes by printing.
func (p *Printer) SetPaperLeft(dots int) {
	p.change(func() { p.paperAt, p.nearEnd, p.noPaper = dots, true, dots <= 0 })
}

// SetNearEnd sets the sensor that sees the roll getting thin.
func (p *Printer) SetNearEnd(near bool) { p.change(func() { p.nearEnd = near }) }

// SetCutterStuck puts the cutter in error or takes it out; the host's DLE ENQ frees it.
func (p *Printer) SetCutterStuck(stuck bool) { p.change(func() { p.cutter = stuck }) }

// SetJam puts paper into the cutter, so that the next cut fails and so does every
// recovery, or takes it out, after which a recovery succeeds.
func (p *Printer) SetJam(jam bool) { p.change(func() { p.jam = jam }) }

// PullCableAfter lets the line break when so many more bytes have come. What came is
// printed; with power, the last of it was not yet, and the memory is lost.
func (p *Printer) PullCableAfter(bytes int, power bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.trip = &trip{bytes, power}
}

// Flashes is how often the lamp flashed.
func (p *Printer) Flashes() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.flashes
}

// Beeps is how often the buzzer sounded.
func (p *Printer) Beeps() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.beeps
}

// Waiting reports whether an interrupted job waits for the host's DLE ENQ.
func (p *Printer) Waiting() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.waiting
}

// SetDrawer opens or closes the drawer by hand.
func (p *Printer) SetDrawer(open bool) { p.change(func() { p.drawer = open }) }

// SetSilent makes the printer print but answer nothing.
func (p *Printer) SetSilent(silent bool) { p.change(func() { p.silent = silent }) }

// SetStalled makes the printer take no more bytes and answer nothing, as one that hangs.
func (p *Printer) SetStalled(stalled bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	select {
	case <-p.stalled:
		if stalled {
			p.stalled = make(chan struct{})
		}
	default:
		if !stalled {
			close(p.stalled)
		}
	}
}

func (p *Printer) change(f func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	before := p.report()
	f()
	p.waiting = p.waiting || p.opt.CoverIsError && p.cover && len(p.in) > 0
	p.changed(before)
	p.work()
}
