package escpos

import (
	"bytes"
	"fmt"
	"strings"
	"unicode/utf8"

	"dcpos/drivers/receipt"
	"dcpos/drivers/receipt/draw"
	profiles "dcpos/firmware-profiles"
)

// Commands of ESC/POS (Epson's command reference); n and m are appended.
const (
	escInit      = "\x1b@"
	escBold      = "\x1bE"     // n: 0 off, 1 on
	escAlign     = "\x1ba"     // n: 0 left, 1 centre
	escFeed      = "\x1bd"     // n lines
	escPulse     = "\x1bp"     // m pin, t1, t2 in 2 ms
	gsSize       = "\x1d!"     // (width-1)<<4 | (height-1)
	escSpacing   = "\x1b3"     // n
	escSpacing0  = "\x1b2"     // the printer's own
	gsInvert     = "\x1dB"     // n: 0 off, 1 on
	gsCutFull    = "\x1dV\x00" // where the paper stands
	gsCutPartial = "\x1dV\x01"
	gsFeedCut    = "\x1dV" // 65 full, 66 partial; n more dots than the way to the cutter
	fsSize       = "\x1c!" // 04h double width, 08h double height, for Chinese alone
)

// tallSpacing keeps lines of double height (48 dots) apart from the next. Its unit is a
// dot on most models and smaller on some, where it has no effect.
const tallSpacing = 60

// Document is a receipt as one printer model takes it, without the initialisation,
// which belongs to the print loop.
type Document struct {
	Bytes []byte
	// Notes name what could not be printed as written.
	Notes []string
	// The rest is for the statistics.
	Lines, Feeds, Characters, QRCodes, Cuts int
}

// Encode lays the receipt out on the profile's paper and turns it into bytes. A line
// with a character that the printer's font lacks is drawn with ours; ours may be nil,
// or find no file, and then the character is a box and a note says so. It fails when the
// layout does (see receipt.Layout) or a QR code does not fit the paper.
func Encode(r receipt.Receipt, p profiles.Printer, ours *draw.Font) (Document, error) {
	e := &encoder{profile: p, charset: newCharset(p.CJK.Encoding, p.CJK.FourByte), ours: ours, boxes: boxes{}}
	lines, err := receipt.Layout(r, receipt.Options{Columns: p.Paper.Columns, Dots: p.Paper.Dots, Replace: e.charset.replace})
	if err != nil {
		return Document{}, err
	}
	e.chineseOn()
	for i, l := range lines {
		if err := e.line(l); err != nil {
			return Document{}, fmt.Errorf("encode line %d: %w", i, err)
		}
	}
	e.doc.Bytes = e.buf.Bytes()
	e.doc.Notes = append(e.doc.Notes, e.boxes.notes()...)
	return e.doc, nil
}

type encoder struct {
	profile profiles.Printer
	charset *charset
	ours    *draw.Font
	boxes   boxes
	noted   bool // that there is no font
	buf     bytes.Buffer
	doc     Document
}

func (e *encoder) chineseOn() {
	if e.profile.CJK.Encoding != noFont && e.profile.CJK.Around == "job" {
		e.buf.WriteString(e.profile.CJK.On)
	}
}

func (e *encoder) command(name string, args ...byte) {
	e.buf.WriteString(name)
	e.buf.Write(args)
}

func (e *encoder) line(l receipt.Line) error {
	switch l.Kind {
	case receipt.KindText:
		e.text(l)
	case receipt.KindImage:
		e.picture(l.Image, true)
	case receipt.KindFeed:
		if l.Lines > 0 {
			e.command(escFeed, byte(l.Lines))
			e.doc.Feeds += l.Lines
		}
	case receipt.KindQR:
		return e.qr(l.Data)
	case receipt.KindCut:
		e.cut()
	case receipt.KindDrawer:
		e.buf.Write(pulse(e.profile.Drawer))
	case receipt.KindColumns, receipt.KindRule:
		return fmt.Errorf("%s is not a kind of laid out line", l.Kind)
	}
	return nil
}

// text prints a line: as letters where the printer has them all, else drawn.
func (e *encoder) text(l receipt.Line) {
	e.doc.Lines++
	e.doc.Characters += utf8.RuneCountInString(l.Text)
	lacking := e.charset.lacking(l.Text)
	if len(lacking) > 0 {
		if e.drawn(l) {
			return
		}
		e.boxes.add(lacking)
		l.Text = e.charset.boxed(l.Text)
	}
	e.letters(l)
}

// drawn prints a line as a picture; false when there is no font to draw with.
func (e *encoder) drawn(l receipt.Line) bool {
	if e.ours == nil {
		return false
	}
	b, missing, err := e.ours.Line(l)
	if err != nil {
		if !e.noted {
			e.doc.Notes, e.noted = append(e.doc.Notes, err.Error()), true
		}
		return false
	}
	e.boxes.add(missing)
	e.picture(b, false)
	return true
}

func (e *encoder) letters(l receipt.Line) {
	body := l.Text
	if !l.Style.Invert {
		body = strings.TrimRight(body, " ")
	}
	size := sizeByte(l.Style.Size)
	if l.Style.Bold {
		e.command(escBold, 1)
	}
	if size != 0 {
		e.command(gsSize, size)
		if e.profile.CJK.FSSize {
			e.command(fsSize, fsSizeByte(l.Style.Size))
		}
	}
	if body != "" {
		e.buf.WriteString(strings.Repeat(" ", l.Indent)) // outside of the inversion: the margin stays white
	}
	if l.Style.Invert {
		e.command(gsInvert, 1)
	}
	e.run(body)
	if l.Style.Invert {
		e.command(gsInvert, 0)
	}
	if l.Style.Size.Tall() {
		e.command(escSpacing, tallSpacing)
	}
	e.buf.WriteByte('\n')
	if l.Style.Size.Tall() {
		e.command(escSpacing0)
	}
	if size != 0 {
		e.command(gsSize, 0)
		if e.profile.CJK.FSSize {
			e.command(fsSize, 0)
		}
	}
	if l.Style.Bold {
		e.command(escBold, 0)
	}
}

// run writes text; on mixed profiles with the Chinese font on around Chinese only.
func (e *encoder) run(text string) {
	around := e.profile.CJK.Around == "run"
	chinese := false
	for _, r := range text {
		if around && chinese != (r >= 0x80) {
			chinese = !chinese
			e.buf.WriteString(map[bool]string{true: e.profile.CJK.On, false: e.profile.CJK.Off}[chinese])
		}
		e.buf.Write(e.charset.bytes(r))
	}
	if chinese {
		e.buf.WriteString(e.profile.CJK.Off)
	}
}

func (e *encoder) cut() {
	if n := e.profile.Quirks.CutFeedLines; n > 0 {
		e.command(escFeed, byte(n))
	}
	switch e.profile.Cutter {
	case "full":
		e.command(gsCutFull)
	case "partial":
		e.command(gsCutPartial)
	case "full_feed":
		e.command(gsFeedCut, 65, 0)
	case "partial_feed":
		e.command(gsFeedCut, 66, 0)
	default:
		return
	}
	e.doc.Cuts++
}

// pulse opens the drawer; empty when the profile has no connector.
func pulse(d profiles.Drawer) []byte {
	if !d.Connector {
		return nil
	}
	pin := byte(0)
	if d.Pin == 5 {
		pin = 1
	}
	return append([]byte(escPulse), pin, byte(d.OnMS/2), byte(d.OffMS/2))
}

func sizeByte(s receipt.Size) byte {
	var b byte
	if s.Wide() {
		b |= 0x10
	}
	if s.Tall() {
		b |= 0x01
	}
	return b
}

func fsSizeByte(s receipt.Size) byte {
	var b byte
	if s.Wide() {
		b |= 0x04
	}
	if s.Tall() {
		b |= 0x08
	}
	return b
}
