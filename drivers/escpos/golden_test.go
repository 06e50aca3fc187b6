package escpos_test

import (
	"bytes"
	"encoding/hex"
	"flag"
	"image"
	"image/color"
	"image/draw"
	"image/png"
	"os"
	"path/filepath"
	"testing"
	"testing/synctest"

	"github.com/google/go-cmp/cmp"

	"dcpos/drivers"
	"dcpos/drivers/escpos"
	"dcpos/drivers/receipt"
	ours "dcpos/drivers/receipt/draw"
	profiles "dcpos/firmware-profiles"
	"dcpos/lab/device"
)

var update = flag.Bool("update", false, "write the golden files anew")

const payment = "dcpos:pay:0197f1b2-7c3d-7e11-9a2b-3c4d5e6f7a8b"

// everything is a receipt with all that one may have: logo, sizes, a line that no
// two-byte font has, a QR code, the drawer and the cut.
func everything(tb testing.TB) receipt.Receipt {
	tb.Helper()
	ring := func(x, y int) bool {
		d := (x-48)*(x-48) + (y-48)*(y-48)
		return d < 46*46 && d > 36*36 || d < 40*40 && (y > 42 && y < 54 || x > 42 && x < 54)
	}
	return receipt.New(
		receipt.Image(pngOf(tb, 96, 96, ring)),
		receipt.Text("测试 TEST", receipt.Style{Bold: true, Size: receipt.Tall, Align: receipt.Center, Invert: true}),
		receipt.Title("王府井冰雪超市"),
		receipt.Centered("Wangfujing Ice & Snow Market"),
		receipt.Pair("单号 Order", "A-20210212-0042"), receipt.DoubleRule(),
		receipt.Pair("𠮷野家 牛肉饭 Beef bowl", "35.20"),
		receipt.Pair("老酸奶 “王府井” 特供", "165.50"), receipt.Rule(),
		receipt.Pair("合计 Total", "¥200.70", receipt.Style{Bold: true, Size: receipt.Double}),
		receipt.Pair("数字人民币 e-CNY", "¥200.70"),
		receipt.QR(payment), receipt.Centered("扫码查询本笔支付"),
		receipt.Feed(1), receipt.Centered("谢谢惠顾,欢迎再来"), receipt.KickDrawer(), receipt.Cut())
}

// bench is a profile and the model that it fits.
type bench struct {
	name    string
	profile profiles.Printer
	model   device.PrinterOptions
}

func benches(tb testing.TB) []bench {
	tb.Helper()
	find := func(name string) profiles.Printer {
		p, err := profiles.FindPrinter(name)
		if err != nil {
			tb.Fatal(err)
		}
		return p
	}
	latin := find("escpos-80mm-gb18030")
	latin.CJK = profiles.CJK{Encoding: "none", Around: "job"}
	column := find("pos-5890")
	column.Pictures = "column"
	small := device.PrinterOptions{
		WidthMM: 58, Chinese: device.GBK, ChineseSizeByFS: true, LosesChinese: true, StartsWithoutChinese: true,
		NoCutter: true, Answers: &device.Answers{DLEEOT: true, GSR: true},
	}
	return []bench{
		{"epson-tm-t70ii-ch", find("epson-tm-t70ii-ch"), device.PrinterOptions{StartsWithoutChinese: true}},
		{"escpos-80mm-gb18030", find("escpos-80mm-gb18030"), device.PrinterOptions{LosesChinese: true}},
		{"pos-5890", find("pos-5890"), small},
		{"58mm-columns", column, small},
		{"80mm-latin-only", latin, device.PrinterOptions{Chinese: device.LatinOnly}},
	}
}

// Whole receipts: as hex dumps that a person can read against the command reference, and
// as the pictures that the model of the printer draws of those bytes.
func TestGoldenReceipts(t *testing.T) {
	for _, b := range benches(t) {
		t.Run(b.name, func(t *testing.T) {
			doc, err := escpos.Encode(everything(t), b.profile, ourFont())
			if err != nil || len(doc.Notes) != 0 {
				t.Fatal(err, doc.Notes)
			}
			goldenText(t, b.name+".hex", hex.Dump(doc.Bytes))
			for i, p := range twice(t, b) {
				if code := scan(t, p.Image); code != payment {
					t.Errorf("paper %d: the code says %q", i, code)
				}
				goldenPicture(t, b.name+map[int]string{0: ".png", 1: "-duplicate.png"}[i], p.Image)
			}
		})
	}
}

// twice prints the receipt and its duplicate.
func twice(t *testing.T, b bench) (papers []device.Receipt) {
	t.Helper()
	if _, err := labFont(); err != nil {
		t.Fatal(err)
	}
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, b.profile, b.model).start(t)
		for _, duplicate := range []bool{false, true} {
			got, err := r.Print(t.Context(), drivers.PrintJob{Receipt: everything(t), Duplicate: duplicate})
			wantState(t, got, err, drivers.PrintConfirmed, "")
			r.model.Tear()
		}
		if u := r.model.Unknown(); len(u) != 0 {
			t.Errorf("commands that the printer does not know: %q", u)
		}
		papers = r.model.Receipts()
	})
	if len(papers) != 2 {
		t.Fatalf("%d receipts", len(papers))
	}
	return papers
}

func goldenText(t *testing.T, name, got string) {
	t.Helper()
	file := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(file, []byte(got), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("%s (-want +got):\n%s", file, diff)
	}
}

// goldenPicture compares dots: how they are compressed may change.
func goldenPicture(t *testing.T, name string, got *image.Gray) {
	t.Helper()
	file := filepath.Join("testdata", name)
	if *update {
		small := image.NewPaletted(got.Bounds(), []color.Color{color.Gray{Y: 0xff}, color.Gray{Y: 0x10}})
		draw.Draw(small, small.Bounds(), got, image.Point{}, draw.Src)
		var out bytes.Buffer
		if err := png.Encode(&out, small); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, out.Bytes(), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	want, err := png.Decode(bytes.NewReader(data))
	if err != nil {
		t.Fatal(err)
	}
	if want.Bounds() != got.Bounds() {
		t.Fatalf("%s: paper of %v, want %v", file, got.Bounds(), want.Bounds())
	}
	for y := range got.Bounds().Dy() {
		for x := range got.Bounds().Dx() {
			if r, _, _, _ := want.At(x, y).RGBA(); (r < 0x8000) != (got.GrayAt(x, y).Y < 0x80) {
				t.Fatalf("%s: first other dot at %d,%d; look at what `make golden` makes of it", file, x, y)
			}
		}
	}
}

// FuzzEncode sends any text and data to every kind of printer: it never fails for what a
// cashier can type, never sends a command that stands in it, and ends in a known state.
func FuzzEncode(f *testing.F) {
	f.Add("王府井 𠮷 ¥1 €", uint8(0))
	f.Add("a\x1b@\x10\x14\x01\x00\x01", uint8(4))
	f.Add("\xff\xfe\u200b\u0301é", uint8(3))
	all := benches(f)
	font := ourFont()
	f.Fuzz(func(t *testing.T, text string, which uint8) {
		if len(text) > 64 {
			return // longer ones only take longer
		}
		style := receipt.Style{Bold: which&8 != 0, Invert: which&16 != 0, Size: []receipt.Size{receipt.Normal, receipt.Tall, receipt.Wide, receipt.Double}[which>>5&3]}
		harmless(t, receipt.New(receipt.Text(text, style), receipt.Pair(text, "1.00")), all[int(which)%len(all)].profile, font)
	})
}

// FuzzEncodeQR is apart from texts: most of its time goes into the code itself, which is
// tried with eight masks.
func FuzzEncodeQR(f *testing.F) {
	f.Add([]byte("dcpos:pay:x"), uint8(0))
	f.Add([]byte{0x10, 0x14, 0x01}, uint8(4))
	f.Add([]byte{0}, uint8(3))
	all := benches(f)
	f.Fuzz(func(t *testing.T, data []byte, which uint8) {
		if len(data) == 0 || len(data) > 64 {
			return // longer ones only take longer
		}
		harmless(t, receipt.New(receipt.QR(string(data))), all[int(which)%len(all)].profile, nil)
	})
}

// harmless encodes a receipt and looks for bytes that would make the printer do more
// than print it.
func harmless(t *testing.T, r receipt.Receipt, p profiles.Printer, font *ours.Font) {
	t.Helper()
	doc, err := escpos.Encode(r, p, font)
	if err != nil {
		t.Fatal(err)
	}
	if found := realTime(doc.Bytes); len(found) != 0 {
		t.Fatalf("real-time commands % x", found)
	}
	if n := bytes.Count(doc.Bytes, []byte("\x1b@")); n > bytes.Count(doc.Bytes, []byte("\x1dv0"))+bytes.Count(doc.Bytes, []byte("\x1b*"))+bytes.Count(doc.Bytes, []byte("\x1d(k")) {
		t.Fatalf("%d initialisations", n)
	}
}
