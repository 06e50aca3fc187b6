package statement

import (
	"bytes"
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
	barWidth   = 300
)

// paper draws pages. Its one font is a CJK font that PDF readers bring along (ISO 32000-1,
// 9.7.5.2: STSong-Light of Adobe-GB1, by UCS-2), so that nothing is embedded.
type paper struct {
	pages []*bytes.Buffer
	y     float64
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
	var hex strings.Builder
	for _, u := range utf16.Encode([]rune(s)) {
		fmt.Fprintf(&hex, "%04X", u)
	}
	p.out("BT /F1 %.1f Tf %.1f %.1f Td <%s> Tj ET\n", size, x, p.y, hex.String())
}

// bar is a stacked bar: envelopes' money dark, own money light.
func (p *paper) bar(x, envelope, own float64) {
	p.out("0.75 0.10 0.12 rg %.1f %.1f %.2f 9 re f\n", x, p.y, envelope)
	p.out("0.95 0.72 0.60 rg %.1f %.1f %.2f 9 re f\n0 g\n", x+envelope, p.y, own)
}

// pdf is for the file: the figures, then for each group a chart of bars.
func (s Statement) pdf(w io.Writer, lang string) error {
	p := &paper{}
	p.turn()
	p.text(margin, 16, s.Title.In(lang))
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
		p.text(margin, 12, g.Title.In(lang)+pos.Text{ZH: "(深色:红包;浅色:自有资金)", EN: " (dark: envelopes, light: own money)"}.In(lang))
		var most pos.Money
		for _, r := range g.Rows {
			most = max(most, r.Price)
		}
		for _, r := range g.Rows {
			p.line()
			p.text(margin, 9, clip(g.Label(r.Name).In(lang)))
			if most > 0 {
				scale := float64(barWidth) / float64(most)
				p.bar(margin+110, float64(r.Envelope)*scale, float64(r.Own())*scale)
			}
			p.text(margin+110+barWidth+8, 9, "¥"+r.Price.String()+" / "+strconv.FormatInt(r.Payments, 10))
		}
	}
	return p.write(w)
}

// maxName is how many characters of a name fit beside its bar.
const maxName = 20

func clip(s string) string {
	if r := []rune(s); len(r) > maxName {
		return string(r[:maxName]) + "…"
	}
	return s
}

// write puts the pages into a file (ISO 32000-1, 7.5): objects, their table, the trailer.
func (p *paper) write(w io.Writer) error {
	var b bytes.Buffer
	var at []int
	object := func(format string, args ...any) {
		at = append(at, b.Len())
		fmt.Fprintf(&b, "%d 0 obj\n", len(at))
		fmt.Fprintf(&b, format, args...)
		b.WriteString("\nendobj\n")
	}
	const firstPage = 6
	b.WriteString("%PDF-1.4\n")
	object("<< /Type /Catalog /Pages 2 0 R >>")
	var kids []string
	for i := range p.pages {
		kids = append(kids, fmt.Sprintf("%d 0 R", firstPage+2*i))
	}
	object("<< /Type /Pages /Kids [%s] /Count %d >>", strings.Join(kids, " "), len(kids))
	object("<< /Type /Font /Subtype /Type0 /BaseFont /STSong-Light /Encoding /UniGB-UCS2-H /DescendantFonts [4 0 R] >>")
	object("<< /Type /Font /Subtype /CIDFontType0 /BaseFont /STSong-Light /FontDescriptor 5 0 R " +
		"/CIDSystemInfo << /Registry (Adobe) /Ordering (GB1) /Supplement 2 >> /DW 1000 /W [1 95 500] >>")
	object("<< /Type /FontDescriptor /FontName /STSong-Light /Flags 6 /FontBBox [-25 -254 1000 880] /ItalicAngle 0 " +
		"/Ascent 880 /Descent -120 /CapHeight 880 /StemV 93 >>")
	for i, page := range p.pages {
		object("<< /Type /Page /Parent 2 0 R /MediaBox [0 0 %d %d] /Resources << /Font << /F1 3 0 R >> >> /Contents %d 0 R >>",
			pageWidth, pageHeight, firstPage+2*i+1)
		object("<< /Length %d >>\nstream\n%s\nendstream", page.Len(), page.String())
	}
	table := b.Len()
	fmt.Fprintf(&b, "xref\n0 %d\n0000000000 65535 f \n", len(at)+1)
	for _, offset := range at {
		fmt.Fprintf(&b, "%010d 00000 n \n", offset)
	}
	fmt.Fprintf(&b, "trailer\n<< /Size %d /Root 1 0 R >>\nstartxref\n%d\n%%%%EOF\n", len(at)+1, table)
	_, err := w.Write(b.Bytes())
	return err
}
