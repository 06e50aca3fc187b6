package receipt

import (
	"fmt"
	"strings"
)

// Limits of one receipt, so that a broken caller cannot run a roll of paper through.
const (
	maxItems   = 2000
	maxLines   = 3000
	maxFeed    = 255
	minColumns = 16
	maxColumns = 96
	maxQRBytes = 900 // at level M and 3 dots a module this still fits 58 mm paper
	columnDots = 12  // of font A
)

// Line is one line of a layout: text that fits, or one of the other kinds.
type Line struct {
	Kind   Kind
	Indent int    // of text: columns of its own size that stay free on the left
	Text   string // of text: with Indent never wider than the paper
	Style  Style  // of text; Align is always Left, it has become Indent
	Data   []byte // of qr
	Image  Bitmap // of image; never wider than the paper
	Lines  int    // of feed
}

// Options say what the layout is for.
type Options struct {
	// Columns of normal size on the paper: 32 on 58 mm, 48 on 80 mm (203 dpi).
	Columns int
	// Dots of the printing width, for pictures. Default: twelve for each column.
	Dots int
	// Replace returns what the printer shows for a character, before widths are
	// counted. Default: Plain.
	Replace func(r rune) string
}

// ItemError is why a receipt cannot be laid out, and which of its items is to blame.
type ItemError struct {
	Item int // from 0
	Err  error
}

// Error implements error.
func (e *ItemError) Error() string { return fmt.Sprintf("lay out item %d: %v", e.Item, e.Err) }

// Unwrap gives the cause.
func (e *ItemError) Unwrap() error { return e.Err }

// Layout fits a receipt to a width. It never cuts a two-column character in half and
// never makes a line wider than the paper. It fails only on nonsense: a width outside
// 16–96 columns, an unknown kind, more lines than a receipt can have, an empty or
// oversized QR code, a picture that is no PNG.
func Layout(r Receipt, o Options) ([]Line, error) {
	if o.Columns < minColumns || o.Columns > maxColumns {
		return nil, fmt.Errorf("lay out receipt: %d columns, want %d to %d", o.Columns, minColumns, maxColumns)
	}
	if len(r.Items) > maxItems {
		return nil, fmt.Errorf("lay out receipt: %d items, at most %d", len(r.Items), maxItems)
	}
	if o.Dots == 0 {
		o.Dots = o.Columns * columnDots
	}
	if o.Replace == nil {
		o.Replace = Plain
	}
	var lines []Line
	for i, item := range r.Items {
		more, err := o.item(item)
		if err != nil {
			return nil, &ItemError{Item: i, Err: err}
		}
		if lines = append(lines, more...); len(lines) > maxLines {
			return nil, &ItemError{Item: i, Err: fmt.Errorf("more than %d lines", maxLines)}
		}
	}
	return lines, nil
}

func (o Options) item(item Item) ([]Line, error) {
	switch item.Kind {
	case KindText:
		return o.text(item), nil
	case KindColumns:
		return o.columns(item)
	case KindRule:
		return []Line{o.rule(item)}, nil
	case KindQR:
		if len(item.Data) == 0 || len(item.Data) > maxQRBytes {
			return nil, fmt.Errorf("qr of %d bytes, want 1 to %d", len(item.Data), maxQRBytes)
		}
		return []Line{{Kind: KindQR, Data: item.Data}}, nil
	case KindImage:
		b, err := decodePicture(item.Data)
		if err != nil {
			return nil, err
		}
		return []Line{{Kind: KindImage, Image: b.fitted(o.Dots)}}, nil
	case KindFeed:
		if item.Lines < 0 || item.Lines > maxFeed {
			return nil, fmt.Errorf("feed %d lines, want 0 to %d", item.Lines, maxFeed)
		}
		return []Line{{Kind: KindFeed, Lines: item.Lines}}, nil
	case KindCut, KindDrawer:
		return []Line{{Kind: item.Kind}}, nil
	}
	return nil, fmt.Errorf("unknown kind %q", item.Kind)
}

// room is how many columns of the style's own size there are.
func (o Options) room(s Style) int {
	if s.Size.Wide() {
		return o.Columns / 2
	}
	return o.Columns
}

func (o Options) text(item Item) []Line {
	room := o.room(item.Style)
	var lines []Line
	for _, s := range Wrap(o.clean(item.Text), room) {
		if item.Style.Invert && s != "" && Width(s)+2 <= room {
			s = " " + s + " " // the black reaches over the text on both sides
		}
		lines = append(lines, textLine(s, room, item.Style.Align, item.Style))
	}
	return lines
}

func (o Options) rule(item Item) Line {
	s := o.clean(item.Text)
	w := Width(s)
	if w == 0 || w > o.Columns {
		s, w = "-", 1
	}
	item.Style.Size = Normal
	return textLine(strings.Repeat(s, o.Columns/w), o.Columns, Left, item.Style)
}

func (o Options) columns(item Item) ([]Line, error) {
	if len(item.Cells) == 0 {
		return nil, fmt.Errorf("columns without a cell")
	}
	room := o.room(item.Style)
	cells := make([]Cell, len(item.Cells))
	for i, c := range item.Cells {
		c.Text = o.clean(c.Text)
		cells[i] = c
	}
	if isPair(cells) && max(Width(cells[0].Text)+1, 2)+Width(cells[1].Text) > room { // 2: the least that share gives
		return stackPair(cells, room, item.Style), nil
	}
	widths, err := share(cells, room)
	if err != nil {
		return nil, err
	}
	var above []Line
	if i := tooNarrow(cells, widths); i >= 0 {
		for _, s := range Wrap(cells[i].Text, room) {
			above = append(above, textLine(s, room, cells[i].Align, item.Style))
		}
		cells[i].Text = ""
	}
	return append(above, beside(cells, widths, item.Style)...), nil
}

// narrow is the width below which a name is not wrapped inside its cell.
const narrow = 16

// tooNarrow finds the one cell without a width of its own whose text does not fit the
// little that the others leave, as the names of goods on narrow paper: it goes above
// the others. -1: there is none.
func tooNarrow(cells []Cell, widths []int) int {
	open := -1
	for i, c := range cells {
		if c.Width != 0 {
			continue
		}
		if open >= 0 {
			return -1
		}
		open = i
	}
	if open >= 0 && widths[open] < narrow && Width(cells[open].Text) > widths[open] {
		return open
	}
	return -1
}

func isPair(cells []Cell) bool { return len(cells) == 2 && cells[1].Width == fitWidth }

// stackPair puts the right text of a pair below the left one.
func stackPair(cells []Cell, room int, style Style) []Line {
	var lines []Line
	for i, align := range []Align{Left, Right} {
		for _, s := range Wrap(cells[i].Text, room) {
			if s != "" {
				lines = append(lines, textLine(s, room, align, style))
			}
		}
	}
	return lines
}

// share gives every cell its width; cells of width 0 share the rest equally, the
// first of them taking what does not divide.
func share(cells []Cell, room int) ([]int, error) {
	widths := make([]int, len(cells))
	left, open := room, 0
	for i, c := range cells {
		switch {
		case c.Width == 0:
			open++
		case c.Width < 0:
			widths[i] = Width(c.Text)
		default:
			widths[i] = c.Width
		}
		if widths[i] > room { // before it is summed up: numbers from a journal may be huge
			return nil, fmt.Errorf("cell %d is %d columns wide, the paper %d", i, widths[i], room)
		}
		left -= widths[i]
	}
	if left < 2*open || left < 0 {
		return nil, fmt.Errorf("cells are %d columns wider than the paper", 2*open-left)
	}
	for i, c := range cells {
		if c.Width == 0 {
			widths[i] = (left + open - 1) / open
			left -= widths[i]
			open--
		}
	}
	return widths, nil
}

// beside sets the cells next to one another, each wrapped inside its width.
func beside(cells []Cell, widths []int, style Style) []Line {
	columns := make([][]string, len(cells))
	rows := 0
	for i, c := range cells {
		if widths[i] > 0 {
			columns[i] = Wrap(c.Text, widths[i])
		}
		rows = max(rows, len(columns[i]))
	}
	lines := make([]Line, 0, rows)
	for row := range rows {
		var b strings.Builder
		for i := range cells {
			s := ""
			if row < len(columns[i]) {
				s = columns[i][row]
			}
			left := indent(s, widths[i], cells[i].Align)
			b.WriteString(strings.Repeat(" ", left))
			b.WriteString(s)
			b.WriteString(strings.Repeat(" ", max(0, widths[i]-left-Width(s))))
		}
		lines = append(lines, textLine(strings.TrimRight(b.String(), " "), 0, Left, style))
	}
	return lines
}

func textLine(s string, room int, align Align, style Style) Line {
	style.Align = Left
	return Line{Kind: KindText, Indent: indent(s, room, align), Text: s, Style: style}
}

// indent is how many columns stay free before a text that stands where align says.
func indent(s string, room int, align Align) int {
	gap := max(0, room-Width(s))
	switch align {
	case Left:
		return 0
	case Center:
		return gap / 2
	case Right:
		return gap
	}
	return 0
}

func (o Options) clean(s string) string {
	var b strings.Builder
	for _, r := range s {
		switch r {
		case '\n':
			b.WriteByte('\n')
		default:
			b.WriteString(o.Replace(r))
		}
	}
	return b.String()
}

// Text shows the receipt as plain text of that many columns, one line of paper per
// line; a line of double width has its spaces doubled so that it stands where the
// printer puts it; a QR code is shown as "[QR] data", a picture as its size. It returns the layout's error.
func (r Receipt) Text(columns int) (string, error) {
	lines, err := Layout(r, Options{Columns: columns})
	if err != nil {
		return "", err
	}
	var b strings.Builder
	for _, l := range lines {
		switch l.Kind {
		case KindText:
			b.WriteString(l.Plain() + "\n")
		case KindFeed:
			b.WriteString(strings.Repeat("\n", l.Lines))
		case KindQR:
			b.WriteString("[QR] " + string(l.Data) + "\n")
		case KindImage:
			fmt.Fprintf(&b, "[picture %dx%d]\n", l.Image.Width, l.Image.Height())
		case KindCut, KindDrawer, KindColumns, KindRule:
		}
	}
	return b.String(), nil
}

// Plain is the line as plain text without trailing spaces.
func (l Line) Plain() string {
	s := strings.TrimRight(strings.Repeat(" ", l.Indent)+l.Text, " ")
	if l.Style.Size.Wide() {
		s = strings.ReplaceAll(s, " ", "  ")
	}
	return s
}
