package escpos_test

import (
	"bytes"
	"encoding/hex"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"dcpos/drivers/escpos"
	"dcpos/drivers/receipt"
	profiles "dcpos/firmware-profiles"
)

func profile(t *testing.T, name string) profiles.Printer {
	t.Helper()
	p, err := profiles.FindPrinter(name)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func encode(t *testing.T, p profiles.Printer, items ...receipt.Item) escpos.Document {
	t.Helper()
	doc, err := escpos.Encode(receipt.New(items...), p, nil)
	if err != nil {
		t.Fatal(err)
	}
	return doc
}

func TestBytesOfEachItem(t *testing.T) {
	epson, clone := profile(t, "epson-tm-t70ii-ch"), profile(t, "pos-5890")
	mixed := epson
	mixed.CJK.Around = "run"
	for _, tc := range []struct {
		name string
		p    profiles.Printer
		item receipt.Item
		want string
	}{
		{"chinese", epson, receipt.Text("元 1"), "1c26 d4aa 20 31 0a"},
		{"chinese around runs only", mixed, receipt.Text("a元b"), "61 1c26 d4aa 1c2e 62 0a"},
		{"half yen sign is the full one", epson, receipt.Text("\u00a51"), "1c26 a3a4 31 0a"},
		{"euro in GB 18030", epson, receipt.Text("€"), "1c26 a2e3 0a"},
		{"euro in GBK is a word, never the byte 80", clone, receipt.Text("€"), "1c26 455552 0a"},
		{"check mark is the root sign", epson, receipt.Text("✓"), "1c26 a1cc 0a"},
		{"what only GBK has", clone, receipt.Text("龘"), "1c26 fd93 0a"},
		{"four bytes are a box", epson, receipt.Text("𠮷"), "1c26 a1f5 0a"},
		{"commands in a text are not sent", epson, receipt.Text("a\x1b@\x1dVb"), "1c26 61 40 56 62 0a"},
		{"bold", epson, receipt.Text("a", receipt.Style{Bold: true}), "1c26 1b4501 61 0a 1b4500"},
		{"double", epson, receipt.Text("元", receipt.Style{Size: receipt.Double}), "1c26 1d2111 d4aa 1b333c 0a 1b32 1d2100"},
		{"double on a clone", clone, receipt.Text("元", receipt.Style{Size: receipt.Double}), "1c26 1d2111 1c210c d4aa 1b333c 0a 1b32 1d2100 1c2100"},
		{"tall", clone, receipt.Text("a", receipt.Style{Size: receipt.Tall}), "1c26 1d2101 1c2108 61 1b333c 0a 1b32 1d2100 1c2100"},
		{
			"inversion leaves the margin white", clone,
			receipt.Text("TEST", receipt.Style{Invert: true, Align: receipt.Center}),
			"1c26" + strings.Repeat("20", 13) + "1d4201 205445535420 1d4200 0a",
		},
		{"feed", epson, receipt.Feed(3), "1c26 1b6403"},
		{"cut", epson, receipt.Cut(), "1c26 1b6403 1d5601"},
		{"no cutter", clone, receipt.Cut(), "1c26 1b6404"},
		{"drawer", epson, receipt.KickDrawer(), "1c26 1b70001919"},
		{"slow drawer", clone, receipt.KickDrawer(), "1c26 1b70003232"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			want, err := hex.DecodeString(strings.ReplaceAll(tc.want, " ", ""))
			if err != nil {
				t.Fatal(err)
			}
			if got := encode(t, tc.p, tc.item).Bytes; !bytes.Equal(got, want) {
				t.Errorf("\ngot  % x\nwant % x", got, want)
			}
		})
	}
}

func TestReplacedCharactersAreNoted(t *testing.T) {
	doc := encode(t, profile(t, "epson-tm-t70ii-ch"), receipt.Text("𠮷野家 𠮷"), receipt.Text("\ue000"))
	want := []string{
		"U+E000 is in no font: printed as a box (1 times)",
		"U+20BB7 is in no font: printed as a box (2 times)",
	}
	if diff := cmp.Diff(want, doc.Notes); diff != "" {
		t.Error(diff)
	}
}

// rasters takes the heights of all pictures out of a document.
func rasters(b []byte) (heights []int) {
	for {
		i := bytes.Index(b, []byte("\x1dv0"))
		if i < 0 {
			return heights
		}
		b = b[i:]
		width, height := int(b[4])+int(b[5])<<8, int(b[6])+int(b[7])<<8
		heights = append(heights, height)
		b = b[8+width*height:]
	}
}

func TestPicturesAvoidTheHeightsThatFail(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		p := profile(t, "pos-5890")
		p.Quirks.MaxRasterRows = rapid.IntRange(24, 960).Draw(rt, "max rows")
		p.Quirks.AvoidRowMultiple = rapid.SampledFrom([]int{0, 24, 48}).Draw(rt, "avoid")
		data := rapid.StringMatching(`[ -~]{1,120}`).Draw(rt, "data")
		doc, err := escpos.Encode(receipt.New(receipt.QR(data)), p, nil)
		if err != nil {
			rt.Fatal(err)
		}
		heights := rasters(doc.Bytes)
		if len(heights) == 0 {
			rt.Fatal("no picture")
		}
		for _, h := range heights {
			if h > p.Quirks.MaxRasterRows || p.Quirks.AvoidRowMultiple > 0 && h%p.Quirks.AvoidRowMultiple == 0 {
				rt.Errorf("heights %v, at most %d, no multiple of %d", heights, p.Quirks.MaxRasterRows, p.Quirks.AvoidRowMultiple)
			}
		}
	})
}

func TestChineseIsSwitchedOnAgainAfterAPicture(t *testing.T) {
	for name, want := range map[string]int{"pos-5890": 2, "epson-tm-t88": 1} {
		doc := encode(t, profile(t, name), receipt.QR("x"), receipt.Text("元"))
		if got := bytes.Count(doc.Bytes, []byte("\x1c&")); got != want {
			t.Errorf("%s: FS & %d times, want %d", name, got, want)
		}
	}
}

func TestTooBigIsRefusedBeforeAnythingIsSent(t *testing.T) {
	for name, r := range map[string]receipt.Receipt{
		"qr":   receipt.New(receipt.QR(strings.Repeat("x", 901))),
		"feed": receipt.New(receipt.Feed(256)),
		"row":  receipt.New(receipt.Row(receipt.Cell{Text: "a", Width: 200})),
		"kind": receipt.New(receipt.Item{Kind: "poem"}),
	} {
		if _, err := escpos.Encode(r, profile(t, "pos-5890"), nil); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}
