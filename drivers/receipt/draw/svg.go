package draw

import (
	"bytes"
	"encoding/xml"
	"fmt"
	"io"
	"strconv"
	"strings"
	"unicode/utf16"

	"dcpos/drivers/receipt"
)

// svgFonts are those of equal widths that a browser may have.
const svgFonts = "'WenQuanYi Micro Hei Mono','Noto Sans Mono CJK SC','Sarasa Mono SC',monospace"

// SVG writes the receipt as a drawing in which the text stays text; each letter has a
// place of its own, so that it stands where it stands on paper whatever font shows it.
// Errors are those of receipt.Layout and QR, and w's.
func (p Paper) SVG(w io.Writer, r receipt.Receipt) error {
	blocks, height, err := p.place(r)
	if err != nil {
		return err
	}
	wide, high := p.dots()+2*marginSide, height+marginTop+marginBottom
	var out bytes.Buffer
	fmt.Fprintf(&out, `<svg xmlns="http://www.w3.org/2000/svg" width="%d" height="%d" viewBox="0 0 %d %d">`+"\n", wide, high, wide, high)
	fmt.Fprintf(&out, `<rect width="%d" height="%d" fill="#fff"/>`+"\n", wide, high)
	fmt.Fprintf(&out, `<g transform="translate(%d %d)" font-family="%s" font-size="%d" fill="#101010">`+"\n",
		marginSide, marginTop, svgFonts, latinSize)
	for _, b := range blocks {
		switch b.Kind {
		case receipt.KindText:
			svgText(&out, b)
		case receipt.KindQR:
			dots := b.code.Bitmap()
			svgDots(&out, dots, (p.dots()-dots.Width)/2, b.top)
		case receipt.KindImage:
			svgDots(&out, b.Image, (p.dots()-b.Image.Width)/2, b.top)
		case receipt.KindFeed, receipt.KindCut, receipt.KindDrawer, receipt.KindColumns, receipt.KindRule:
		}
	}
	out.WriteString("</g>\n</svg>\n")
	if _, err := w.Write(out.Bytes()); err != nil {
		return fmt.Errorf("write drawing of receipt: %w", err)
	}
	return nil
}

// svgText writes a line; sizes are a transformation, as on paper, where dots double.
func svgText(out *bytes.Buffer, b block) {
	if b.Text == "" {
		return
	}
	sx, sy := scale(b.Style.Size)
	left := b.Indent * latinWidth
	fmt.Fprintf(out, `<g transform="translate(0 %d) scale(%d %d)">`, b.top, sx, sy)
	fill := ""
	if b.Style.Invert {
		fmt.Fprintf(out, `<rect x="%d" y="0" width="%d" height="%d"/>`, left, receipt.Width(b.Text)*latinWidth, cellHeight)
		fill = ` fill="#fff"`
	}
	weight := ""
	if b.Style.Bold {
		weight = ` font-weight="bold"`
	}
	x := left
	for _, word := range strings.SplitAfter(b.Text, " ") { // browsers and viewers disagree on spaces, so none is drawn
		if letters := strings.TrimRight(word, " "); letters != "" {
			fmt.Fprintf(out, `<text x="%s" y="%d"%s%s>`, places(letters, x), baseline, weight, fill)
			_ = xml.EscapeText(out, []byte(letters)) // a Buffer takes everything
			out.WriteString("</text>")
		}
		x += receipt.Width(word) * latinWidth
	}
	out.WriteString("</g>\n")
}

// places is where each letter begins. SVG counts in UTF-16: beyond the basic plane a
// letter has two places.
func places(letters string, x int) string {
	list := make([]string, 0, len(letters))
	for _, r := range letters {
		for range utf16.RuneLen(r) {
			list = append(list, strconv.Itoa(x))
		}
		x += receipt.RuneWidth(r) * latinWidth
	}
	return strings.Join(list, " ")
}

// svgDots writes a bitmap as the runs of its rows; runs that repeat below become one.
func svgDots(out *bytes.Buffer, b receipt.Bitmap, left, top int) {
	fmt.Fprintf(out, `<path transform="translate(%d %d)" d="`, left, top)
	for y := 0; y < b.Height(); {
		high := 1
		for y+high < b.Height() && bytes.Equal(b.Rows[y], b.Rows[y+high]) {
			high++
		}
		for x := 0; x < b.Width; x++ {
			from := x
			for b.At(x, y) {
				x++
			}
			if x > from {
				fmt.Fprintf(out, "M%d %dh%dv%dh-%dz", from, y, x-from, high, x-from)
			}
		}
		y += high
	}
	out.WriteString("\"/>\n")
}
