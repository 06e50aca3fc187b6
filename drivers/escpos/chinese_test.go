package escpos_test

import (
	"bytes"
	"image"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/makiuchi-d/gozxing"
	"github.com/makiuchi-d/gozxing/qrcode"

	"dcpos/drivers"
	"dcpos/drivers/escpos"
	"dcpos/drivers/receipt"
	"dcpos/drivers/receipt/draw"
	profiles "dcpos/firmware-profiles"
	"dcpos/lab/device"
)

func scan(t *testing.T, img image.Image) string {
	t.Helper()
	bitmap, err := gozxing.NewBinaryBitmapFromImage(img)
	if err != nil {
		t.Fatal(err)
	}
	found, err := qrcode.NewQRCodeReader().Decode(bitmap, map[gozxing.DecodeHintType]any{gozxing.DecodeHintType_TRY_HARDER: true})
	if err != nil {
		t.Fatalf("no qr code on the paper: %v", err)
	}
	return found.GetText()
}

// paperOf prints a receipt in virtual time and returns what is on paper.
func paperOf(t *testing.T, p profiles.Printer, o device.PrinterOptions, state drivers.PrintState, r receipt.Receipt) device.Receipt {
	t.Helper()
	if _, err := labFont(); err != nil {
		t.Fatal(err)
	}
	var out device.Receipt
	synctest.Test(t, func(t *testing.T) {
		rig := newRig(t, p, o).start(t)
		got, err := rig.Print(t.Context(), drivers.PrintJob{ID: "1", Receipt: r})
		wantState(t, got, err, state, "")
		rig.model.Tear()
		papers := rig.model.Receipts()
		if len(papers) != 1 {
			t.Fatalf("%d receipts", len(papers))
		}
		if u := rig.model.Unknown(); len(u) != 0 {
			t.Errorf("commands that the printer does not know: %q", u)
		}
		out = papers[0]
	})
	return out
}

// What GS I 69 tells decides, then GS I 2, then the profile.
func TestThePrinterIsAskedForItsFont(t *testing.T) {
	for _, tc := range []struct {
		name  string
		model device.PrinterOptions
		want  string // the encoding that holds
		drawn bool   // a line of simple Chinese
	}{
		{"GB18030", device.PrinterOptions{}, "gb18030", false},
		{"GB2312", device.PrinterOptions{Chinese: device.GB2312}, "gb2312", false},
		{"Japanese", device.PrinterOptions{FontAnswer: "KANJI JAPANESE", Chinese: device.LatinOnly}, "none", true},
		{"Thai", device.PrinterOptions{FontAnswer: "THAI 3 PASS", Chinese: device.LatinOnly}, "none", true},
		{"Taiwan", device.PrinterOptions{FontAnswer: "TAIWAN BIG-5", Chinese: device.LatinOnly}, "none", true},
		{"Korea", device.PrinterOptions{FontAnswer: "KOREA C-5601C", Chinese: device.LatinOnly}, "none", true},
		{"a font nobody knows", device.PrinterOptions{FontAnswer: "KLINGON", Chinese: device.LatinOnly}, "none", true},
		{"no answer, and no two-byte characters", device.PrinterOptions{Chinese: device.LatinOnly}, "none", true},
		{"no answer, but two-byte characters: the profile holds", device.PrinterOptions{FontAnswer: "-"}, "gb18030", false},
		{"no answer at all: the profile holds", device.PrinterOptions{Answers: &device.Answers{DLEEOT: true, ASB: true, GSR: true, GSH: true}}, "gb18030", false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			inBubble(t, "epson-tm-t70ii-ch", tc.model, func(t *testing.T, r *rig) {
				t.Helper()
				r.start(t)
				if got := r.Info().Chinese; got != tc.want {
					t.Errorf("font %q, want %q", got, tc.want)
				}
				got, err := r.Print(t.Context(), drivers.PrintJob{Receipt: receipt.New(receipt.Text("王府井"), receipt.Text("plain"), receipt.Cut())})
				wantState(t, got, err, drivers.PrintConfirmed, "")
				if len(got.Notes) != 0 {
					t.Errorf("notes %q", got.Notes)
				}
				lines := r.model.Receipts()[0].Lines
				if drawn := lines[0] == "[picture 72x30]"; drawn != tc.drawn || !drawn && lines[0] != "王府井" || lines[1] != "plain" {
					t.Errorf("on paper %q", lines)
				}
			})
		})
	}
}

// The traps: what each font has, and what is drawn on it instead of printed wrong.
func TestEachFontPrintsWhatItHasAndDrawsTheRest(t *testing.T) {
	for _, tc := range []struct {
		encoding string
		fourByte bool
		model    device.ChineseFont
		text     string
		want     string // on paper; empty: drawn
	}{
		{"gb18030", false, device.GB18030, "¥1", "￥1"},
		{"gb18030", false, device.GB18030, "€1", "€1"},
		{"gb18030", false, device.GB18030, "𠮷", ""},
		{"gb18030", true, device.GB18030x4, "𠮷1", "𠮷1"},
		{"gbk", false, device.GBK, "€1", "EUR1"},
		{"gbk", false, device.GBK, "龘", "龘"},
		{"gbk", false, device.GBK, "𠮷", ""},
		{"gb2312", false, device.GB2312, "龘", ""},
		{"gb2312", false, device.GB2312, "元￥℃№√“”·—", "元￥℃№√“”·—"},
		{"gb2312", false, device.GB2312, "ⅰ", ""},  // GBK's, in a row of GB 2312
		{"gb2312", false, device.GB2312, "齄", "齄"}, // its last character
		{"gb2312", false, device.GB2312, "座", "座"}, // its last before D7FA, where it has none
		{"none", false, device.LatinOnly, "plain 12.00", "plain 12.00"},
		{"none", false, device.LatinOnly, "¥12.00", ""},
		{"none", false, device.LatinOnly, "é", ""},
	} {
		t.Run(tc.encoding+" "+tc.text, func(t *testing.T) {
			p := profile(t, "epson-tm-t70ii-ch")
			p.CJK.Encoding, p.CJK.FourByte, p.CJK.Ask = tc.encoding, tc.fourByte, false
			got := paperOf(t, p, device.PrinterOptions{Chinese: tc.model}, drivers.PrintConfirmed, receipt.New(receipt.Text(tc.text), receipt.Cut()))
			if drawn := strings.HasPrefix(got.Lines[0], "[picture"); drawn != (tc.want == "") || !drawn && got.Lines[0] != tc.want {
				t.Errorf("on paper %q", got.Lines)
			}
		})
	}
}

// Sent to a printer of another font the bytes would be other signs: the model shows it.
func TestLatinOnlyPrinterWouldPrintNonsense(t *testing.T) {
	p := profile(t, "epson-tm-t70ii-ch")
	p.CJK.Ask = false
	got := paperOf(t, p, device.PrinterOptions{Chinese: device.LatinOnly}, drivers.PrintConfirmed, receipt.New(receipt.Text("元"), receipt.Cut()))
	if got.Lines[0] != "╘¬" {
		t.Errorf("on paper %q", got.Lines)
	}
}

// A drawn line stands where a printed one would: same place, same size, same pitch.
func TestDrawnAndPrintedLinesAgree(t *testing.T) {
	r := receipt.New(
		receipt.Pair("合计 Total", "12.00"), receipt.Title("王府井"),
		receipt.Text("测试 TEST", receipt.Style{Bold: true, Size: receipt.Tall, Align: receipt.Center, Invert: true}),
		receipt.Text("宽 wide", receipt.Style{Size: receipt.Wide, Align: receipt.Right}), receipt.Text("末行"), receipt.Cut())
	p := profile(t, "epson-tm-t70ii-ch")
	printed := paperOf(t, p, device.PrinterOptions{}, drivers.PrintConfirmed, r)
	drawn := paperOf(t, p, device.PrinterOptions{Chinese: device.LatinOnly}, drivers.PrintConfirmed, r)
	if printed.Image.Bounds() != drawn.Image.Bounds() {
		t.Fatalf("paper of %v and %v", printed.Image.Bounds(), drawn.Image.Bounds())
	}
	for y := 0; y+30 <= printed.Image.Bounds().Dy(); y += 30 {
		a, b := inkIn(printed.Image, 40+y, 30), inkIn(drawn.Image, 40+y, 30)
		if far(a.Min.X, b.Min.X) || far(a.Max.X, b.Max.X) || far(a.Min.Y, b.Min.Y) || far(a.Max.Y, b.Max.Y) {
			t.Errorf("dots %d to %d: ink in %v printed, in %v drawn", y, y+30, a, b)
		}
	}
}

func far(a, b int) bool { return a-b > 6 || b-a > 6 }

// inkIn is where the ink is within some rows.
func inkIn(img *image.Gray, top, height int) image.Rectangle {
	out := image.Rectangle{}
	for y := top; y < min(top+height, img.Bounds().Dy()); y++ {
		for x := range img.Bounds().Dx() {
			if img.GrayAt(x, y).Y < 128 {
				out = out.Union(image.Rect(x, y, x+1, y+1))
			}
		}
	}
	return out
}

// The picture for a screen and the paper have the same lines at the same places.
func TestScreenAndPaperAgree(t *testing.T) {
	r := slip()
	printed := paperOf(t, profile(t, "escpos-80mm-gb18030"), device.PrinterOptions{LosesChinese: true}, drivers.PrintConfirmed, r).Image
	var b bytes.Buffer
	if err := (draw.Paper{Columns: 48, Dots: 576}).PNG(&b, r, ourFont()); err != nil {
		t.Fatal(err)
	}
	decoded, _, err := image.Decode(&b)
	if err != nil {
		t.Fatal(err)
	}
	screen := image.NewGray(decoded.Bounds())
	for y := range screen.Bounds().Dy() {
		for x := range screen.Bounds().Dx() {
			screen.Set(x, y, decoded.At(x, y))
		}
	}
	for y := 0; y < screen.Bounds().Dy()-48; y += 30 {
		a, s := inkIn(printed, 40+y, 30).Sub(image.Pt(32, 40)), inkIn(screen, 24+y, 30).Sub(image.Pt(24, 24))
		if a.Empty() && s.Empty() {
			continue
		}
		if far(a.Min.X, s.Min.X) || far(a.Max.X, s.Max.X) || far(a.Min.Y, s.Min.Y) || far(a.Max.Y, s.Max.Y) {
			t.Errorf("dots %d to %d: ink in %v on paper, in %v on the screen", y, y+30, a, s)
		}
	}
}

// No font on the device is no reason not to print.
func TestWithoutAFontThereAreBoxes(t *testing.T) {
	none := draw.NewFont(filepath.Join(t.TempDir(), "none.ttc"))
	p := profile(t, "epson-tm-t70ii-ch")
	doc, err := escpos.Encode(receipt.New(receipt.Text("𠮷野家"), receipt.Text("𠮷")), p, none)
	if err != nil || len(doc.Notes) != 2 || !strings.Contains(doc.Notes[0], "fonts-wqy-microhei") || !strings.Contains(doc.Notes[1], "U+20BB7") {
		t.Errorf("notes %q, %v", doc.Notes, err)
	}
	if !bytes.Contains(doc.Bytes, []byte{0xA1, 0xF5, 0xD2, 0xB0, 0xBC, 0xD2}) {
		t.Errorf("no box: % x", doc.Bytes)
	}
	p.CJK.Encoding = "none"
	doc, err = escpos.Encode(receipt.New(receipt.Pair("元", "1")), p, nil)
	if err != nil || string(doc.Bytes) != "??"+strings.Repeat(" ", 45)+"1\n" {
		t.Errorf("got %q, %v", doc.Bytes, err)
	}
}
