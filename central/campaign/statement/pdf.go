package statement

import (
	"bytes"
	"compress/zlib"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"unicode/utf16"

	"dcpos/pos"
)

// The page is A4 in points (ISO 216: 210 × 297 mm).
const (
	pageWidth  = 595
	pageHeight = 842
	margin     = 48
	lineHeight = 18
	barWidth   = 250
)

// perFont is how many letters one font of the file has: a code is a byte.
const perFont = 256

// paper draws pages. Its letters are outlines of a font of this machine, embedded as the
// file's own fonts (ISO 32000-1, 9.6.5, Type 3), so that every reader shows the same; the
// text can be searched and copied. Where no font is installed it names one that readers
// may bring along (9.7.5.2: STSong-Light of Adobe-GB1, by UCS-2).
type paper struct {
	pages   []*bytes.Buffer
	y       float64
	letters *letters // nil: none is installed
	err     error
}

func (p *paper) turn() {
	p.pages = append(p.pages, new(bytes.Buffer))
	p.y = pageHeight - margin
}

// line moves down, onto another page where this one is full.
func (p *paper) line() {
	if len(p.pages) == 0 || p.y < margin+2*lineHeight {
		p.turn()
		return
	}
	p.y -= lineHeight
}

func (p *paper) out(format string, args ...any) {
	fmt.Fprintf(p.pages[len(p.pages)-1], format, args...)
}

func (p *paper) text(x, size float64, s string) {
	p.out("BT %.1f %.1f Td ", x, p.y)
	if p.letters == nil {
		p.out("/F0 %.1f Tf <", size)
		for _, u := range utf16.Encode([]rune(s)) {
			p.out("%04X", u)
		}
		p.out("> Tj ET\n")
		return
	}
	now := -1
	for _, r := range s {
		i, err := p.letters.place(r)
		if err != nil {
			p.err = errors.Join(p.err, err)
			continue
		}
		if i/perFont != now {
			if now >= 0 {
				p.out("> Tj ")
			}
			now = i / perFont
			p.out("/F%d %.1f Tf <", now, size)
		}
		p.out("%02X", i%perFont)
	}
	if now >= 0 {
		p.out("> Tj ")
	}
	p.out("ET\n")
}

// bar is a stacked bar: envelopes' money dark, own money light.
func (p *paper) bar(x, envelope, own float64) {
	p.out("0.75 0.10 0.12 rg %.1f %.1f %.2f 9 re f\n", x, p.y-1, envelope)
	p.out("0.95 0.72 0.60 rg %.1f %.1f %.2f 9 re f\n0 g\n", x+envelope, p.y-1, own)
}

// pdf is for the file: the figures, then for each group a chart of bars.
func (s Statement) pdf(w io.Writer, lang string) error {
	p := &paper{letters: openLetters(usualFonts)}
	s.print(p, lang)
	err := p.err
	if err == nil {
		err = p.write(w)
	}
	if p.letters != nil {
		err = errors.Join(err, p.letters.close())
	}
	return err
}

func (s Statement) print(p *paper, lang string) {
	p.turn()
	p.text(margin, 16, s.title(lang))
	p.line()
	p.text(margin, 10, pos.Text{ZH: "红包活动结算表", EN: "statement of a red-envelope campaign"}.In(lang)+"  "+s.Campaign)
	p.line()
	for _, f := range s.Figures() {
		p.line()
		p.text(margin, 10, f.Text.In(lang))
		p.text(margin+200, 10, f.String())
	}
	for _, g := range s.Groups {
		p.line()
		p.line()
		p.text(margin, 12, g.Title.In(lang)+pos.Text{
			ZH: "(深色:红包;浅色:自有资金;消费总额 / 笔数)", EN: " (dark: envelopes, light: own money; spent in all / payments)",
		}.In(lang))
		var most pos.Money
		for _, r := range g.Rows {
			most = max(most, r.Price)
		}
		for _, r := range g.Rows {
			p.line()
			p.text(margin, 9, clip(g.Label(r.Name).In(lang)))
			if most > 0 {
				scale := float64(barWidth) / float64(most)
				p.bar(margin+120, float64(r.Envelope)*scale, float64(r.Own())*scale)
			}
			p.text(margin+120+barWidth+8, 9, "¥"+r.Price.String()+" / "+strconv.FormatInt(r.Payments, 10))
		}
	}
}

// maxName is how wide a name may be beside its bar, in half letters.
const maxName = 24

// clip cuts a name; a Chinese letter is as wide as two others.
func clip(s string) string {
	width := 0
	for i, r := range s {
		if width++; r > 0x2e80 {
			width++
		}
		if width > maxName {
			return s[:i] + "…"
		}
	}
	return s
}

// objects are those of the file, with where each begins.
type objects struct {
	file bytes.Buffer
	at   []int
}

// begin numbers the next object.
func (o *objects) begin() int {
	o.at = append(o.at, o.file.Len())
	fmt.Fprintf(&o.file, "%d 0 obj\n", len(o.at))
	return len(o.at)
}

// put writes an object and gives its number.
func (o *objects) put(format string, args ...any) int {
	n := o.begin()
	fmt.Fprintf(&o.file, format, args...)
	o.file.WriteString("\nendobj\n")
	return n
}

// stream writes a packed one.
func (o *objects) stream(content []byte) int {
	var packed bytes.Buffer
	z := zlib.NewWriter(&packed)
	_, _ = z.Write(content) // into memory
	_ = z.Close()
	n := o.begin()
	fmt.Fprintf(&o.file, "<< /Length %d /Filter /FlateDecode >>\nstream\n", packed.Len())
	o.file.Write(packed.Bytes())
	o.file.WriteString("\nendstream\nendobj\n")
	return n
}

// write puts the pages into a file (ISO 32000-1, 7.5): objects, their table, the trailer.
// The first two are the catalogue and the list of pages, whose numbers are known before.
func (p *paper) write(w io.Writer) error {
	o := &objects{}
	o.file.WriteString("%PDF-1.4\n%\xe2\xe3\xcf\xd3\n")
	const pages = 2
	o.put("<< /Type /Catalog /Pages %d 0 R >>", pages)
	first := pages + 1 + len(p.pages)*2
	var kids strings.Builder
	for i := range p.pages {
		fmt.Fprintf(&kids, "%d 0 R ", pages+1+2*i)
	}
	o.put("<< /Type /Pages /Kids [%s] /Count %d >>", kids.String(), len(p.pages))
	for _, page := range p.pages {
		n := len(o.at) + 2
		o.put("<< /Type /Page /Parent %d 0 R /MediaBox [0 0 %d %d] /Resources << /Font %d 0 R >> /Contents %d 0 R >>",
			pages, pageWidth, pageHeight, first, n)
		o.stream(page.Bytes())
	}
	if p.letters == nil {
		o.put("<< /F0 %d 0 R >>", first+1)
		brought(o)
	} else {
		p.letters.embed(o)
	}
	table := o.file.Len()
	fmt.Fprintf(&o.file, "xref\n0 %d\n0000000000 65535 f \n", len(o.at)+1)
	for _, offset := range o.at {
		fmt.Fprintf(&o.file, "%010d 00000 n \n", offset)
	}
	fmt.Fprintf(&o.file, "trailer\n<< /Size %d /Root 1 0 R >>\nstartxref\n%d\n%%%%EOF\n", len(o.at)+1, table)
	_, err := w.Write(o.file.Bytes())
	return err
}

// brought is the font that readers may bring along.
func brought(o *objects) {
	n := len(o.at) + 1
	o.put("<< /Type /Font /Subtype /Type0 /BaseFont /STSong-Light /Encoding /UniGB-UCS2-H /DescendantFonts [%d 0 R] >>", n+1)
	o.put("<< /Type /Font /Subtype /CIDFontType0 /BaseFont /STSong-Light /FontDescriptor %d 0 R "+
		"/CIDSystemInfo << /Registry (Adobe) /Ordering (GB1) /Supplement 2 >> /DW 1000 /W [1 95 500] >>", n+2)
	o.put("<< /Type /FontDescriptor /FontName /STSong-Light /Flags 6 /FontBBox [-25 -254 1000 880] /ItalicAngle 0 " +
		"/Ascent 880 /Descent -120 /CapHeight 880 /StemV 93 >>")
}

// embed writes the list of fonts, which is the next object, and then the fonts.
func (l *letters) embed(o *objects) {
	list := &objects{at: make([]int, len(o.at)+1)} // numbers go on after the list's
	var names strings.Builder
	for n := 0; n*perFont < len(l.list); n++ {
		fmt.Fprintf(&names, "/F%d %d 0 R ", n, l.embedFont(list, l.list[n*perFont:min(len(l.list), (n+1)*perFont)]))
	}
	o.put("<< %s>>", names.String())
	base := o.file.Len()
	for _, at := range list.at[len(o.at):] {
		o.at = append(o.at, base+at)
	}
	o.file.Write(list.file.Bytes())
}

// embedFont writes up to 256 letters as one font and gives its number.
func (l *letters) embedFont(o *objects, some []letter) int {
	var names, procs, widths strings.Builder
	var text bytes.Buffer
	text.WriteString("/CIDInit /ProcSet findresource begin 12 dict begin begincmap /CMapName /letters def /CMapType 2 def\n" +
		"1 begincodespacerange <00> <FF> endcodespacerange\n")
	const atOnce = 100 // what a reader must take (Adobe Technical Note 5014)
	for i, x := range some {
		proc := o.stream(fmt.Appendf(nil, "%d 0 d0 %s", x.width, x.path)) // in the text's own colour
		if i%atOnce == 0 {
			fmt.Fprintf(&text, "%d beginbfchar\n", min(atOnce, len(some)-i))
		}
		fmt.Fprintf(&text, "<%02X> <", i)
		for _, u := range utf16.Encode([]rune{x.char}) {
			fmt.Fprintf(&text, "%04X", u)
		}
		text.WriteString(">\n")
		if i%atOnce == atOnce-1 || i == len(some)-1 {
			text.WriteString("endbfchar\n")
		}
		fmt.Fprintf(&names, "/c%d ", i)
		fmt.Fprintf(&procs, "/c%d %d 0 R ", i, proc)
		fmt.Fprintf(&widths, "%d ", x.width)
	}
	text.WriteString("endcmap CMapName currentdict /CMap defineresource pop end end\n")
	unicode := o.stream(text.Bytes())
	em := float64(l.font.UnitsPerEm())
	return o.put("<< /Type /Font /Subtype /Type3 /FontBBox [0 %.0f %.0f %.0f] /FontMatrix [%.8f 0 0 %.8f 0 0] /FirstChar 0 /LastChar %d "+
		"/Encoding << /Type /Encoding /Differences [0 %s] >> /CharProcs << %s>> /Widths [%s] /Resources << >> /ToUnicode %d 0 R >>",
		-em/4, em, em, 1/em, 1/em, len(some)-1, names.String(), procs.String(), widths.String(), unicode)
}
