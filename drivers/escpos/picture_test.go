package escpos_test

import (
	"bytes"
	"image"
	"image/color"
	"image/png"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"dcpos/drivers"
	"dcpos/drivers/escpos"
	"dcpos/drivers/receipt"
	"dcpos/lab/device"
)

// pngOf is a picture of noise or of one colour.
func pngOf(tb testing.TB, width, height int, black func(x, y int) bool) []byte {
	tb.Helper()
	img := image.NewGray(image.Rect(0, 0, width, height))
	for y := range height {
		for x := range width {
			if !black(x, y) {
				img.SetGray(x, y, color.Gray{Y: 255})
			}
		}
	}
	var b bytes.Buffer
	if err := png.Encode(&b, img); err != nil {
		tb.Fatal(err)
	}
	return b.Bytes()
}

// A picture is on paper dot for dot, whatever command sends it.
func TestPictureOnPaper(t *testing.T) {
	logo := pngOf(t, 101, 53, func(x, y int) bool { return (x*x+y*7)%5 < 2 })
	for _, command := range []string{"raster", "graphics", "column"} {
		t.Run(command, func(t *testing.T) {
			p := profile(t, "epson-tm-t70ii-ch")
			p.Pictures = command
			got := paperOf(t, p, device.PrinterOptions{}, drivers.PrintConfirmed, receipt.New(receipt.Image(logo), receipt.Text("x"), receipt.Cut()))
			left, top := find(got.Image, 101, 53, func(x, y int) bool { return (x*x+y*7)%5 < 2 })
			if left < 0 || top < 0 {
				t.Fatal("the picture is not on the paper as it was sent")
			}
			if want := (640-576)/2 + (576-101)/2; left < want-4 || left > want+4 {
				t.Errorf("%d dots from the left, want %d", left, want)
			}
		})
	}
}

// find looks for a pattern in a picture of paper.
func find(img *image.Gray, width, height int, black func(x, y int) bool) (left, top int) {
	b := img.Bounds()
	for top := range b.Dy() - height {
		for left := range b.Dx() - width {
			if matches(img, left, top, width, height, black) {
				return left, top
			}
		}
	}
	return -1, -1
}

func matches(img *image.Gray, left, top, width, height int, black func(x, y int) bool) bool {
	for y := range height {
		for x := range width {
			if (img.GrayAt(left+x, top+y).Y < 128) != black(x, y) {
				return false
			}
		}
	}
	return true
}

// realTime finds commands that a printer acts on wherever they stand.
func realTime(b []byte) (found []string) {
	for i := range len(b) - 2 {
		switch {
		case b[i] == 0x10 && b[i+1] == 0x04 && b[i+2] >= 1 && b[i+2] <= 8,
			b[i] == 0x10 && b[i+1] == 0x05 && b[i+2] <= 3,
			b[i] == 0x10 && b[i+1] == 0x14 && (b[i+2] == 1 || b[i+2] == 2 || b[i+2] == 8):
			found = append(found, string(b[i:i+3]))
		}
	}
	return found
}

// A picture that has the drawer's real-time pulse in its dots opens no drawer.
func TestNoReceiptHoldsARealTimeCommand(t *testing.T) {
	pulse := []byte{0x10, 0x14, 0x01, 0x00, 0x01, 0x10, 0x05, 0x02, 0x10, 0x04, 0x01, 0x10}
	evil := pngOf(t, 8*len(pulse), 40, func(x, _ int) bool { return pulse[x/8]&(0x80>>(x%8)) != 0 })
	font := ourFont()
	rapid.Check(t, func(rt *rapid.T) {
		p := profile(t, rapid.SampledFrom([]string{"epson-tm-t70ii-ch", "pos-5890"}).Draw(rt, "profile"))
		p.Pictures = rapid.SampledFrom([]string{"raster", "graphics", "column"}).Draw(rt, "pictures")
		p.CJK.Encoding = rapid.SampledFrom([]string{"none", "gb2312", "gb18030"}).Draw(rt, "encoding")
		data := rapid.SliceOfN(rapid.SampledFrom([]byte{0x10, 0x14, 0x04, 0x05, 0x01, 0x02, 'x', 0xff}), 1, 60).Draw(rt, "qr")
		text := rapid.StringOfN(rapid.RuneFrom([]rune("abc 王府井\x10\x14\x01𠮷")), 0, 40, -1).Draw(rt, "text")
		doc, err := escpos.Encode(receipt.New(receipt.Image(evil), receipt.Text(text), receipt.QR(string(data)), receipt.Feed(16)), p, font)
		if err != nil {
			rt.Fatal(err)
		}
		if found := realTime(doc.Bytes); len(found) != 0 {
			rt.Errorf("the printer would act on % x", found)
		}
	})
	t.Run("on paper", func(t *testing.T) {
		inBubble(t, "epson-tm-t70ii-ch", device.PrinterOptions{}, func(t *testing.T, r *rig) {
			t.Helper()
			r.start(t)
			got, err := r.Print(t.Context(), drivers.PrintJob{Receipt: receipt.New(receipt.Image(evil), receipt.Cut())})
			wantState(t, got, err, drivers.PrintConfirmed, "")
			if n := r.model.Kicks(); n != 0 {
				t.Errorf("the drawer opened %d times", n)
			}
		})
	})
}

func TestPicturesThatAreNone(t *testing.T) {
	wide := pngOf(t, 1200, 10, func(int, int) bool { return true })
	doc := encode(t, profile(t, "pos-5890"), receipt.Image(wide))
	if heights := rasters(doc.Bytes); len(heights) != 1 || !bytes.Contains(doc.Bytes, []byte{0x1d, 'v', '0', 0, 48, 0}) {
		t.Errorf("a picture too wide is made to fit: %v", heights)
	}
	for name, data := range map[string][]byte{
		"empty": {}, "text": []byte("x"), "huge": pngOf(t, 2049, 1, func(int, int) bool { return false }),
		"big file": bytes.Repeat([]byte{0}, 256<<10+1), "cut off": wide[:60],
	} {
		if _, err := escpos.Encode(receipt.New(receipt.Image(data)), profile(t, "pos-5890"), nil); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

func TestCuts(t *testing.T) {
	for cutter, want := range map[string]string{
		"none": "\x1c&", "full": "\x1c&\x1dV\x00", "partial": "\x1c&\x1dV\x01", "full_feed": "\x1c&\x1dVA\x00", "partial_feed": "\x1c&\x1dVB\x00",
	} {
		p := profile(t, "epson-tm-t70ii-ch")
		p.Cutter, p.Quirks.CutFeedLines = cutter, 0
		if got := encode(t, p, receipt.Cut()).Bytes; string(got) != want {
			t.Errorf("%s: got % x", cutter, got)
		}
	}
}

func TestNativeCodesOnlyWhereTheyCanBe(t *testing.T) {
	p := profile(t, "epson-tm-t70ii-ch")
	for name, tc := range map[string]struct {
		data   string
		limit  int
		native bool
	}{
		"plain":               {"dcpos:pay:x", 16, true},
		"module too large":    {"dcpos:pay:x", 7, false},
		"real-time command":   {"a\x10\x14b", 16, false},
		"no room for another": {strings.Repeat("x", 900), 16, true},
	} {
		q := p
		q.QR.MaxModule = tc.limit
		doc := encode(t, q, receipt.QR(tc.data))
		if got := bytes.Contains(doc.Bytes, []byte("\x1d(k")); got != tc.native {
			t.Errorf("%s: native %v", name, got)
		}
	}
	p.QR.Native = false
	if doc := encode(t, p, receipt.QR("x")); bytes.Contains(doc.Bytes, []byte("\x1d(k")) {
		t.Error("a profile without native codes got one")
	}
}

// A code drawn by the printer and one drawn by us say the same and are as large.
func TestNativeAndDrawnCodesAgree(t *testing.T) {
	const payment = "dcpos:pay:0197f1b2-7c3d-7e11-9a2b-3c4d5e6f7a8b"
	var heights []int
	for _, native := range []bool{true, false} {
		p := profile(t, "epson-tm-t70ii-ch")
		if p.QR.Native = native; !native {
			p.QR.MaxModule = 0
		}
		got := paperOf(t, p, device.PrinterOptions{}, drivers.PrintConfirmed, receipt.New(receipt.Text("a"), receipt.QR(payment), receipt.Text("b"), receipt.Cut()))
		if text := scan(t, got.Image); text != payment {
			t.Errorf("native %v: got %q", native, text)
		}
		heights = append(heights, got.Image.Bounds().Dy())
	}
	if far(heights[0], heights[1]) {
		t.Errorf("dots of paper: %d printed, %d drawn", heights[0], heights[1])
	}
}
