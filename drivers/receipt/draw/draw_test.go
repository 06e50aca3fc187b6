package draw_test

import (
	"bytes"
	"encoding/xml"
	"errors"
	"flag"
	"image"
	"image/color"
	"image/png"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"unicode/utf16"

	"github.com/makiuchi-d/gozxing"
	"github.com/makiuchi-d/gozxing/qrcode"

	"dcpos/drivers/receipt"
	"dcpos/drivers/receipt/draw"
)

var update = flag.Bool("update", false, "write the golden files anew")

const payment = "dcpos:pay:0197f1b2-7c3d-7e11-9a2b-3c4d5e6f7a8b"

// logo is a ring with a bar, as a PNG of so many dots.
func logo(tb testing.TB, size int) []byte {
	tb.Helper()
	img := image.NewNRGBA(image.Rect(0, 0, size, size))
	for y := range size {
		for x := range size {
			dx, dy := 2*x-size, 2*y-size
			d := (dx*dx + dy*dy) * 100 / (size * size)
			if d < 95 && d > 60 || (y > 45*size/100 && y < 55*size/100 && d < 95) {
				img.Set(x, y, color.NRGBA{R: 0xC0, A: 0xff})
			}
		}
	}
	var b bytes.Buffer
	if err := png.Encode(&b, img); err != nil {
		tb.Fatal(err)
	}
	return b.Bytes()
}

// slip has everything that a receipt may have.
func slip(tb testing.TB) receipt.Receipt {
	tb.Helper()
	return receipt.New(
		receipt.Image(logo(tb, 120)),
		receipt.Text("测试 TEST", receipt.Style{Bold: true, Size: receipt.Tall, Align: receipt.Center, Invert: true}),
		receipt.Title("王府井冰雪超市"),
		receipt.Centered("Wangfujing Ice & Snow <Market>"),
		receipt.Pair("单号 Order", "A-20210212-0042"),
		receipt.DoubleRule(),
		receipt.Pair("老酸奶 “王府井” 特供 𠮷", "35.20"),
		receipt.Text("宽字 wide", receipt.Style{Size: receipt.Wide}),
		receipt.Pair("合计 Total", "¥200.70", receipt.Style{Bold: true, Size: receipt.Double}),
		receipt.Rule(),
		receipt.QR(payment),
		receipt.Centered("谢谢惠顾,欢迎再来"),
		receipt.KickDrawer(),
		receipt.Cut(),
	)
}

func papers() map[string]draw.Paper {
	return map[string]draw.Paper{"58": {Columns: 32}, "80": {Columns: 48}, "80-180dpi": {Columns: 42, Dots: 512}}
}

func golden(t *testing.T, file string, got []byte) {
	t.Helper()
	file = filepath.Join("testdata", file)
	if *update {
		if err := os.WriteFile(file, got, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("%s differs; look at what `make golden` makes of it", file)
	}
}

// The pictures compare by their dots: a compressor may change.
func dotsOf(t *testing.T, data []byte) image.Image {
	t.Helper()
	img, err := png.Decode(bytes.NewReader(data))
	if err != nil {
		t.Fatal(err)
	}
	return img
}

func TestGoldenPictures(t *testing.T) {
	font := draw.NewFont("")
	for name, paper := range papers() {
		t.Run(name, func(t *testing.T) {
			var got, drawing bytes.Buffer
			if err := errors.Join(paper.PNG(&got, slip(t), font), paper.SVG(&drawing, slip(t))); err != nil {
				t.Fatal(err)
			}
			golden(t, name+".svg", drawing.Bytes())
			file := filepath.Join("testdata", name+".png")
			if *update {
				if err := os.WriteFile(file, got.Bytes(), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			if !same(dotsOf(t, want), dotsOf(t, got.Bytes())) {
				t.Errorf("%s differs; look at what `make golden` makes of it", file)
			}
			if text := scan(t, dotsOf(t, got.Bytes())); text != payment {
				t.Errorf("the code on the picture says %q", text)
			}
		})
	}
}

func same(a, b image.Image) bool {
	if a.Bounds() != b.Bounds() {
		return false
	}
	for y := a.Bounds().Min.Y; y < a.Bounds().Max.Y; y++ {
		for x := a.Bounds().Min.X; x < a.Bounds().Max.X; x++ {
			if black(a, x, y) != black(b, x, y) {
				return false
			}
		}
	}
	return true
}

func black(img image.Image, x, y int) bool {
	r, _, _, _ := img.At(x, y).RGBA()
	return r < 0x8000
}

func scan(t *testing.T, img image.Image) string {
	t.Helper()
	bitmap, err := gozxing.NewBinaryBitmapFromImage(img)
	if err != nil {
		t.Fatal(err)
	}
	found, err := qrcode.NewQRCodeReader().Decode(bitmap, map[gozxing.DecodeHintType]any{gozxing.DecodeHintType_TRY_HARDER: true})
	if err != nil {
		t.Fatalf("no qr code in the picture: %v", err)
	}
	return found.GetText()
}

// The text of a drawing stays text, and a letter has a place of its own.
func TestDrawingHoldsTheText(t *testing.T) {
	var out bytes.Buffer
	if err := (draw.Paper{Columns: 48}).SVG(&out, slip(t)); err != nil {
		t.Fatal(err)
	}
	var text strings.Builder
	places := 0
	d := xml.NewDecoder(&out)
	inside := false
	for {
		token, err := d.Token()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		switch e := token.(type) {
		case xml.StartElement:
			if inside = e.Name.Local == "text"; inside {
				for _, a := range e.Attr {
					if a.Name.Local == "x" {
						places = len(strings.Fields(a.Value))
					}
				}
			}
		case xml.CharData:
			if inside {
				if n := len(utf16.Encode([]rune(string(e)))); n != places {
					t.Errorf("%q: %d letters, %d places", e, n, places)
				}
				text.Write(e)
				text.WriteByte('\n')
			}
		case xml.EndElement:
			inside = false
		}
	}
	for _, want := range []string{"王府井冰雪超市", "Wangfujing\nIce\n&\nSnow\n<Market>", "￥200.70", "𠮷", "谢谢惠顾"} {
		if !strings.Contains(text.String(), want) {
			t.Errorf("%q is not in the drawing:\n%s", want, text.String())
		}
	}
}

func TestFontThatIsMissingOrBroken(t *testing.T) {
	broken := filepath.Join(t.TempDir(), "broken.ttc")
	for what, data := range map[string]string{
		"empty": "", "text": strings.Repeat("not a font ", 50), "collection without fonts": "ttcf\x00\x01\x00\x00\x00\x00\x00\x00",
		"collection that points outside": "ttcf\x00\x01\x00\x00\x00\x00\x00\x01\xff\xff\xff\x00",
		"tables outside":                 "\x00\x01\x00\x00\x00\x01\x00\x00\x00\x00\x00\x00head\x00\x00\x00\x00\xff\xff\xff\x00\xff\xff\xff\xff",
	} {
		if err := os.WriteFile(broken, []byte(data), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := draw.NewFont(broken).Ready(); !errors.Is(err, draw.ErrNoFont) {
			t.Errorf("%s: got %v", what, err)
		}
	}
	none := draw.NewFont(filepath.Join(t.TempDir(), "none.ttc"))
	if err := none.Ready(); !errors.Is(err, draw.ErrNoFont) || !strings.Contains(err.Error(), "fonts-wqy-microhei") {
		t.Errorf("got %v", err)
	}
	if none.Has('元') {
		t.Error("it has a letter")
	}
	if err := (draw.Paper{Columns: 32}).PNG(io.Discard, slip(t), none); !errors.Is(err, draw.ErrNoFont) {
		t.Errorf("picture: got %v", err)
	}
	if err := (draw.Paper{Columns: 32}).SVG(io.Discard, slip(t)); err != nil {
		t.Errorf("a drawing needs no font: %v", err)
	}
}

// A closed font holds no file, and opens it again when it is used.
func TestClosedFontHoldsNoFile(t *testing.T) {
	count := func() int {
		entries, err := os.ReadDir("/proc/self/fd")
		if err != nil {
			t.Fatal(err)
		}
		return len(entries)
	}
	f := draw.NewFont("")
	before := count()
	for range 3 {
		if !f.Has('𠮷') {
			t.Fatal("no font")
		}
		if n := count(); n != before+2 {
			t.Errorf("%d files open, want two more than %d", n, before)
		}
		if err := f.Close(); err != nil {
			t.Fatal(err)
		}
		if n := count(); n != before {
			t.Errorf("%d files open, want %d", n, before)
		}
	}
}

// Both of Debian's fonts are read; Noto's has PostScript outlines in a collection.
func TestBothFonts(t *testing.T) {
	if f := draw.NewFont(""); !f.Has('元') || !f.Has('𠮷') || f.Has('\U000F0000') {
		t.Error("what one font lacks the next has")
	}
	for _, r := range "℃ⅤⅩǎ㙍𠮷元" { // some of them are empty in WenQuanYi's
		b, missing, err := draw.NewFont("").Line(receipt.Line{Text: string(r)})
		if err != nil || len(missing) != 0 || !inked(b, image.Rect(0, 0, 24, 24)) {
			t.Errorf("%c: missing %q, %v, or white", r, string(missing), err)
		}
	}
	for _, path := range []string{"/usr/share/fonts/truetype/wqy/wqy-microhei.ttc", "/usr/share/fonts/opentype/noto/NotoSansCJK-Regular.ttc"} {
		f := draw.NewFont(path)
		if err := f.Ready(); err != nil {
			t.Fatal(err)
		}
		for _, r := range "元￥€A龘" {
			if !f.Has(r) {
				t.Errorf("%s lacks %c", path, r)
			}
		}
		b, missing, err := f.Line(receipt.Line{Kind: receipt.KindText, Indent: 1, Text: "元A\U000F0000", Style: receipt.Style{Size: receipt.Double}})
		if err != nil || b.Width != (1+2+1+2)*24 || b.Height() != 60 || string(missing) != "\U000F0000" {
			t.Errorf("%s: %d by %d, missing %q, %v", path, b.Width, b.Height(), string(missing), err)
		}
		for i, where := range []image.Rectangle{image.Rect(24, 0, 72, 48), image.Rect(72, 0, 96, 48), image.Rect(96, 0, 144, 48)} {
			if !inked(b, where) {
				t.Errorf("%s: letter %d is white", path, i)
			}
		}
		if inked(b, image.Rect(0, 0, 24, 60)) || inked(b, image.Rect(0, 48, 144, 60)) {
			t.Errorf("%s: ink in the margin", path)
		}
	}
}

func inked(b receipt.Bitmap, where image.Rectangle) bool {
	for y := where.Min.Y; y < where.Max.Y; y++ {
		for x := where.Min.X; x < where.Max.X; x++ {
			if b.At(x, y) {
				return true
			}
		}
	}
	return false
}

func TestCodesFitThePaper(t *testing.T) {
	for _, dots := range []int{384, 576} {
		for n := 1; n <= 900; n += 89 {
			c, err := draw.QR(bytes.Repeat([]byte{'x'}, n), dots)
			if err != nil {
				t.Fatal(err)
			}
			b := c.Bitmap()
			if c.Module < 3 || c.Module > 8 || b.Width > dots || b.Width != c.Modules()*c.Module || b.Height() != b.Width+8*c.Module {
				t.Errorf("%d bytes on %d dots: module %d, %d by %d", n, dots, c.Module, b.Width, b.Height())
			}
		}
	}
	if _, err := draw.QR(bytes.Repeat([]byte{'x'}, 900), 300); err == nil {
		t.Error("a code wider than the paper was made")
	}
}

func BenchmarkLine(b *testing.B) {
	font := draw.NewFont("")
	l := receipt.Line{Kind: receipt.KindText, Text: "北京烤鸭真空礼盒装 1kg 老字号 128.00"}
	for b.Loop() {
		if _, _, err := font.Line(l); err != nil {
			b.Fatal(err)
		}
	}
}
