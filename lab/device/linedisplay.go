package device

import (
	"context"
	"errors"
	"fmt"
	"image"
	"image/color"
	"image/png"
	"io"
	"os"
	"slices"
	"strings"
	"sync"
)

// LineDisplayOptions say what kind of customer display is modelled.
type LineDisplayOptions struct {
	// Language is epson-dm (default), cd5220 or led8.
	Language string
	// Columns and Rows; default 20 and 2, of a led8 8 and 1.
	Columns, Rows int
	// Chinese: the font has GBK, each character two columns wide. Without it bytes from 80h are PC437.
	Chinese bool
	// Labels is how a led8 is told which lamp to light: esc_s or stx_l.
	Labels string
	// Font draws the characters of Image; nil opens DefaultFont.
	Font *Font
	// Shown is called with what the display shows when a piece from the host has changed it;
	// it must not send to the display.
	Shown func(lines []string)
}

// LineDisplay is the model of a customer display.
type LineDisplay struct {
	opt     LineDisplayOptions
	serving chan struct{} // holds one token while a host is served

	mu       sync.Mutex
	in       []byte // received and not yet acted on
	cells    [][]glass
	x, y     int
	deselect bool // ESC = 1: what comes is the printer's
	cursor   bool
	lamps    [4]bool // 单价 总计 收款 找零
	received int
	unknown  []string
}

// glass is one place of a display: a character, the right half of a wide one (0), or a blank.
type glass struct {
	r     rune
	wide  bool
	point bool // of digit displays: the point beside the digit is lit
}

// NewLineDisplay makes a display that has just been switched on.
func NewLineDisplay(opt LineDisplayOptions) (*LineDisplay, error) {
	if opt.Language == "" {
		opt.Language = "epson-dm"
	}
	columns, rows := 20, 2
	switch opt.Language {
	case "epson-dm", "cd5220":
	case "led8":
		columns, rows = 8, 1
	default:
		return nil, fmt.Errorf("display that speaks %q: want epson-dm, cd5220 or led8", opt.Language)
	}
	if opt.Columns == 0 {
		opt.Columns = columns
	}
	if opt.Rows == 0 {
		opt.Rows = rows
	}
	d := &LineDisplay{opt: opt, serving: make(chan struct{}, 1)}
	d.reset()
	return d, nil
}

// Serve talks to one host until the context ends, the host hangs up or rw is closed; it
// closes rw. What is shown stays for the next host.
func (d *LineDisplay) Serve(ctx context.Context, rw io.ReadWriteCloser) error {
	select {
	case d.serving <- struct{}{}:
		defer func() { <-d.serving }()
	case <-ctx.Done():
		return rw.Close()
	}
	stop := context.AfterFunc(ctx, func() { _ = rw.Close() }) // ends the read below
	defer stop()
	defer func() { _ = rw.Close() }() // it may be closed already
	buf := make([]byte, 256)
	for {
		before := d.Lines()
		n, err := rw.Read(buf)
		d.take(buf[:n])
		if now := d.Lines(); d.opt.Shown != nil && !slices.Equal(before, now) {
			d.opt.Shown(now)
		}
		if err != nil {
			if ctx.Err() != nil || errors.Is(err, io.EOF) || errors.Is(err, io.ErrClosedPipe) || errors.Is(err, os.ErrClosed) {
				return nil // the ways in which it ends
			}
			return fmt.Errorf("%w: %w", errHungUp, err)
		}
	}
}

func (d *LineDisplay) take(b []byte) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.received += len(b)
	d.in = append(d.in, b...)
	for len(d.in) > 0 {
		n := d.step(d.in)
		if n == 0 {
			return
		}
		d.in = d.in[n:]
	}
	d.in = nil
}

// reset is the state after power-on and ESC @.
func (d *LineDisplay) reset() {
	d.lamps, d.cursor, d.deselect = [4]bool{}, true, false
	d.clear()
}

func (d *LineDisplay) clear() {
	d.cells = make([][]glass, d.opt.Rows)
	for y := range d.cells {
		d.cells[y] = slices.Repeat([]glass{{r: ' '}}, d.opt.Columns)
	}
	d.x, d.y = 0, 0
}

// Lines is what the display shows, a row each, without the blanks at its end; of digits,
// which stand at the right, without those before them.
func (d *LineDisplay) Lines() []string {
	d.mu.Lock()
	defer d.mu.Unlock()
	out := make([]string, len(d.cells))
	for y, row := range d.cells {
		var b strings.Builder
		for _, c := range row {
			if c.r != 0 {
				b.WriteRune(c.r)
			}
			if c.point {
				b.WriteByte('.')
			}
		}
		out[y] = strings.TrimRight(b.String(), " ")
		if d.opt.Language == "led8" {
			out[y] = strings.TrimLeft(out[y], " ")
		}
	}
	return out
}

// Label is the lamp that a led8 has on: 单价, 总计, 收款 or 找零; empty when none.
func (d *LineDisplay) Label() string {
	d.mu.Lock()
	defer d.mu.Unlock()
	for i, on := range d.lamps {
		if on {
			return labels()[i]
		}
	}
	return ""
}

func labels() []string { return []string{"单价", "总计", "收款", "找零"} }

// Cursor reports whether the display shows a cursor.
func (d *LineDisplay) Cursor() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.cursor
}

// Received is how many bytes came from hosts.
func (d *LineDisplay) Received() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.received
}

// Unknown names the commands that the model did not know, in hex; none is what a
// correct host causes.
func (d *LineDisplay) Unknown() []string {
	d.mu.Lock()
	defer d.mu.Unlock()
	return slices.Clone(d.unknown)
}

func (d *LineDisplay) strange(b []byte) int {
	if len(d.unknown) < 100 {
		d.unknown = append(d.unknown, fmt.Sprintf("% x", b))
	}
	return len(b)
}

// Colours of the glass: a vacuum fluorescent display's and a digit display's.
func glassColours() color.Palette {
	return color.Palette{
		color.RGBA{0x08, 0x14, 0x18, 0xff}, // off
		color.RGBA{0x66, 0xff, 0xe0, 0xff}, // vacuum fluorescent, on
		color.RGBA{0xff, 0x30, 0x20, 0xff}, // digit, on
		color.RGBA{0x30, 0x10, 0x10, 0xff}, // digit, off
	}
}

const glassMargin = 24

// Image is a picture of the display as a customer sees it.
func (d *LineDisplay) Image() (*image.Paletted, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.opt.Font == nil {
		font, err := OpenFont("")
		if err != nil {
			return nil, err
		}
		d.opt.Font = font
	}
	font := d.opt.Font
	if d.opt.Language == "led8" {
		return d.digitPicture(font), nil
	}
	const rowHeight = cellHeight + 12
	img := image.NewPaletted(image.Rect(0, 0, 2*glassMargin+d.opt.Columns*latinWidth, 2*glassMargin+d.opt.Rows*rowHeight-12), glassColours())
	for y, row := range d.cells {
		for x, c := range row {
			if c.r != 0 && c.r != ' ' {
				drawCell(img, font.cellOf(c.r, c.wide), glassMargin+x*latinWidth, glassMargin+y*rowHeight, 1, 1)
			}
		}
	}
	return img, nil
}

// Save writes Image as a PNG, whole or not at all.
func (d *LineDisplay) Save(path string) (err error) {
	img, err := d.Image()
	if err != nil {
		return err
	}
	f, err := os.Create(path + ".new") //nolint:gosec // the path is the caller's
	if err != nil {
		return fmt.Errorf("keep display: %w", err)
	}
	if err := errors.Join(png.Encode(f, img), f.Close()); err != nil {
		return fmt.Errorf("keep display: %w", err)
	}
	if err := os.Rename(path+".new", path); err != nil {
		return fmt.Errorf("keep display: %w", err)
	}
	return nil
}

func drawCell(img *image.Paletted, c *cell, left, top, times int, colour uint8) {
	for y := range cellHeight * times {
		for x := range c.width * times {
			if c.dots[y/times][x/times] {
				img.SetColorIndex(left+x, top+y, colour)
			}
		}
	}
}

// digitPicture draws the digits large and the labels below, lit or not.
func (d *LineDisplay) digitPicture(font *Font) *image.Paletted {
	const times = 3
	img := image.NewPaletted(image.Rect(0, 0, 2*glassMargin+(d.opt.Columns+1)*latinWidth*times, 2*glassMargin+cellHeight*times+cellHeight+12), glassColours())
	left := glassMargin
	for _, c := range d.cells[0] {
		if c.r != ' ' {
			drawCell(img, font.cellOf(c.r, false), left, glassMargin, times, 2)
		}
		left += latinWidth * times
		if c.point { // between this digit and the next
			drawCell(img, font.cellOf('.', false), left-latinWidth*times/2, glassMargin, times, 2)
		}
	}
	for i, label := range labels() {
		colour := uint8(3)
		if d.lamps[i] {
			colour = 2
		}
		for j, r := range []rune(label) {
			drawCell(img, font.cellOf(r, true), glassMargin+i*3*chineseWidth+j*chineseWidth, glassMargin+cellHeight*times+12, 1, colour)
		}
	}
	return img
}
