package receipt_test

import (
	"bytes"
	"encoding/json"
	"image"
	"image/color"
	"image/png"
	"math/rand/v2"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"dcpos/drivers/receipt"
)

func text(t *testing.T, columns int, items ...receipt.Item) string {
	t.Helper()
	s, err := receipt.New(items...).Text(columns)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestText(t *testing.T) {
	right := receipt.Right
	for _, tc := range []struct {
		name string
		item receipt.Item
		want string
	}{
		{"left", receipt.Text("王府井 ok"), "王府井 ok\n"},
		{"centre", receipt.Centered("王府井"), "       王府井\n"},
		{"right", receipt.Text("12.00", receipt.Style{Align: right}), "               12.00\n"},
		{"title", receipt.Title("王府井"), "    王府井\n"},
		{"wide text doubles its spaces", receipt.Text("a b", receipt.Style{Size: receipt.Wide}), "a  b\n"},
		{"pair", receipt.Pair("合计", "¥12.00"), "合计         ￥12.00\n"},
		{"pair that just fits", receipt.Pair("合计 Total 12", "123456"), "合计 Total 12 123456\n"},
		{"pair that does not fit", receipt.Pair("合计 Total 12", "1234567"), "合计 Total 12\n             1234567\n"},
		{"pair with hardly room for an empty left", receipt.Pair("", "1234567890123456789"), " 1234567890123456789\n"},
		{"pair without a left", receipt.Pair("", "1.00"), "                1.00\n"},
		{
			"row", receipt.Row(receipt.Cell{Text: "可乐"}, receipt.Cell{Text: "2", Width: 3, Align: right}, receipt.Cell{Text: "9.00", Width: 6, Align: right}),
			"可乐         2  9.00\n",
		},
		{
			"row with no room for the name", receipt.Row(receipt.Cell{Text: "北京烤鸭真空装"}, receipt.Cell{Text: "2", Width: 3, Align: right}, receipt.Cell{Text: "9.00", Width: 6, Align: right}),
			"北京烤鸭真空装\n             2  9.00\n",
		},
		{"cells share what is left", receipt.Row(receipt.Cell{Text: "a"}, receipt.Cell{Text: "b"}, receipt.Cell{Text: "c"}), "a      b      c\n"},
		{"wrap between characters", receipt.Text("一二三四五六七八九十十一"), "一二三四五六七八九十\n十一\n"},
		{"wrap an odd width without cutting", receipt.Text("a一二三四五六七八九十"), "a一二三四五六七八九\n十\n"},
		{"wrap at spaces", receipt.Text("Wangfujing Snow Market"), "Wangfujing Snow\nMarket\n"},
		{"punctuation does not begin a line", receipt.Text("一二三四五六七八九十。"), "一二三四五六七八九\n十。\n"},
		{"a bracket does not end a line", receipt.Text("一二三四五六七八九（十）"), "一二三四五六七八九\n（十）\n"},
		{"a long number breaks after a hyphen", receipt.Text("0197f1b2-7c3d-7e11-9a2b-3c4d"), "0197f1b2-7c3d-7e11-\n9a2b-3c4d\n"},
		{"a word longer than a line", receipt.Text(strings.Repeat("x", 25)), strings.Repeat("x", 20) + "\nxxxxx\n"},
		{"line breaks", receipt.Text("a\n\nb"), "a\n\nb\n"},
		{"rules", receipt.Rule(), "--------------------\n"},
		{"feed", receipt.Feed(2), "\n\n"},
		{"qr", receipt.QR("x"), "[QR] x\n"},
		{"invisible characters are left out", receipt.Text("a\x1b\x00b\u200bc\u00a0d\te"), "abc d e\n"},
		{"inverted text has room on both sides", receipt.Text("测试", receipt.Style{Invert: true}), " 测试\n"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if diff := cmp.Diff(tc.want, text(t, 20, tc.item)); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func TestNonsenseIsRefused(t *testing.T) {
	many := make([]receipt.Item, 2001)
	for i := range many {
		many[i] = receipt.Rule()
	}
	for name, items := range map[string][]receipt.Item{
		"kind":        {{Kind: "poem"}},
		"no cells":    {receipt.Row()},
		"too wide":    {receipt.Row(receipt.Cell{Width: 15}, receipt.Cell{Width: 6})},
		"no room":     {receipt.Row(receipt.Cell{Width: 19}, receipt.Cell{Text: "x"})},
		"empty qr":    {receipt.QR("")},
		"huge qr":     {receipt.QR(strings.Repeat("x", 901))},
		"feed":        {receipt.Feed(256)},
		"feed back":   {receipt.Feed(-1)},
		"many items":  many,
		"a long roll": {receipt.Text(strings.Repeat("\n", 3001))},
	} {
		if _, err := receipt.New(items...).Text(20); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
	for _, columns := range []int{-1, 0, 15, 97} {
		if _, err := receipt.New(receipt.Rule()).Text(columns); err == nil {
			t.Errorf("%d columns: no error", columns)
		}
	}
}

// mixed is a text of what receipts mix.
func mixed(dice *rand.Rand) string {
	alphabet := []rune("abcXYZ 019.-/%王府井大街元，。（）“”￥¥✓€·—𠮷龘\u200b\n\t")
	runes := make([]rune, dice.IntN(121))
	for i := range runes {
		runes[i] = alphabet[dice.IntN(len(alphabet))]
	}
	return string(runes)
}

func item(dice *rand.Rand) receipt.Item {
	style := receipt.Style{
		Bold: dice.IntN(2) == 0, Invert: dice.IntN(2) == 0,
		Size:  []receipt.Size{receipt.Normal, receipt.Tall, receipt.Wide, receipt.Double}[dice.IntN(4)],
		Align: []receipt.Align{receipt.Left, receipt.Center, receipt.Right}[dice.IntN(3)],
	}
	switch dice.IntN(3) {
	case 0:
		return receipt.Text(mixed(dice), style)
	case 1:
		style.Align = receipt.Left
		return receipt.Pair(mixed(dice), mixed(dice), style)
	default:
		return receipt.Row(receipt.Cell{Text: mixed(dice)},
			receipt.Cell{Text: mixed(dice), Width: 5, Align: receipt.Right},
			receipt.Cell{Text: mixed(dice), Width: 9, Align: receipt.Center})
	}
}

func FuzzNoLineIsWiderThanThePaperAndNoCharacterIsLost(f *testing.F) {
	for seed := range uint64(300) {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, seed uint64) {
		dice := rand.New(rand.NewPCG(seed, 0)) //nolint:gosec // a test's choices
		columns := []int{32, 42, 48}[dice.IntN(3)]
		it := item(dice)
		lines, err := receipt.Layout(receipt.New(it), receipt.Options{Columns: columns})
		if err != nil {
			t.Fatal(err)
		}
		var got strings.Builder
		for _, l := range lines {
			room := columns
			if l.Style.Size.Wide() {
				room /= 2
			}
			if w := l.Indent + receipt.Width(l.Text); w > room || l.Indent < 0 {
				t.Errorf("%q is %d columns wide, paper %d", l.Text, w, room)
			}
			if !utf8.ValidString(l.Text) {
				t.Errorf("%q has half a character", l.Text)
			}
			got.WriteString(l.Text)
		}
		if it.Kind == receipt.KindText {
			if want := solid(it.Text); solid(got.String()) != want {
				t.Errorf("got %q, want %q", solid(got.String()), want)
			}
		}
	})
}

// solid is a text without what a layout may add or take: blanks.
func solid(s string) string {
	var b strings.Builder
	for _, r := range s {
		b.WriteString(receipt.Plain(r))
	}
	return strings.Join(strings.Fields(b.String()), "")
}

func TestWidthCountsTwoForAllButASCII(t *testing.T) {
	for s, want := range map[string]int{"": 0, "abc": 3, "王府": 4, "“·—√￥℃": 12, "a王\n": 3, "é": 2} {
		if got := receipt.Width(s); got != want {
			t.Errorf("%q: got %d, want %d", s, got, want)
		}
	}
}

// A receipt is journaled as JSON and printed again from it.
func TestReceiptSurvivesJSON(t *testing.T) {
	want := receipt.New(receipt.Title("王府井"), receipt.Pair("a", "b", receipt.Style{Bold: true}), receipt.Rule(),
		receipt.QR("x\x00y"), receipt.Feed(1), receipt.KickDrawer(), receipt.Cut())
	data, err := json.Marshal(want)
	if err != nil {
		t.Fatal(err)
	}
	var got receipt.Receipt
	if err := json.Unmarshal(data, &got); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func pictureOf(tb testing.TB, width, height int) []byte {
	tb.Helper()
	img := image.NewNRGBA(image.Rect(0, 0, width, height))
	for i := range width * height / 2 {
		img.SetNRGBA(i%width, i/width, color.NRGBA{A: 0xff}) // the upper half is black, the rest transparent
	}
	var b bytes.Buffer
	if err := png.Encode(&b, img); err != nil {
		tb.Fatal(err)
	}
	return b.Bytes()
}

func TestPictureFitsThePaper(t *testing.T) {
	for _, tc := range []struct{ width, height, dots, wantWidth, wantHeight int }{
		{100, 40, 0, 100, 40},
		{384, 10, 0, 384, 10},
		{768, 100, 0, 384, 50},
		{2048, 2, 0, 384, 1},
		{600, 60, 576, 576, 57},
	} {
		lines, err := receipt.Layout(receipt.New(receipt.Image(pictureOf(t, tc.width, tc.height))), receipt.Options{Columns: 32, Dots: tc.dots})
		if err != nil || len(lines) != 1 || lines[0].Kind != receipt.KindImage {
			t.Fatal(lines, err)
		}
		b := lines[0].Image
		if b.Width != tc.wantWidth || b.Height() != tc.wantHeight {
			t.Errorf("%d by %d became %d by %d", tc.width, tc.height, b.Width, b.Height())
		}
		if !b.At(0, 0) || !b.At(b.Width-1, 0) || tc.height > 2 && b.At(0, b.Height()-1) || b.At(-1, 0) || b.At(0, -1) || b.At(b.Width, 0) {
			t.Errorf("%d by %d: black and white are not where they were", tc.width, tc.height)
		}
	}
}

// FuzzLayout takes receipts as they come from a journal: nothing may panic, and no line is
// wider than the paper.
func FuzzLayout(f *testing.F) {
	for _, r := range []receipt.Receipt{
		receipt.New(receipt.Title("王府井"), receipt.Pair("a", "b"), receipt.Rule(), receipt.QR("x"), receipt.Feed(1), receipt.Cut()),
		receipt.New(receipt.Image(pictureOf(f, 9, 9)), receipt.Row(receipt.Cell{Text: "商品"}, receipt.Cell{Text: "9", Width: 4, Align: receipt.Right})),
	} {
		data, err := json.Marshal(r)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data, 32)
	}
	f.Add([]byte(`{"items":[{"kind":"columns","cells":[{"width":-7,"text":"x"},{"width":9223372036854775807}]}]}`), 48)
	f.Add([]byte(`{"items":[{"kind":"columns","cells":[{"width":9223372036854775807},{"width":9223372036854775807},{"text":"x"}]}]}`), 48)
	f.Fuzz(func(t *testing.T, data []byte, columns int) {
		if len(data) > 400 {
			return // longer ones only take longer
		}
		var r receipt.Receipt
		if json.Unmarshal(data, &r) != nil {
			return
		}
		lines, err := receipt.Layout(r, receipt.Options{Columns: columns})
		if err != nil {
			return
		}
		for _, l := range lines {
			room := columns
			if l.Style.Size.Wide() {
				room /= 2
			}
			if w := l.Indent + receipt.Width(l.Text); w > room || l.Image.Width > columns*12 {
				t.Fatalf("%q takes %d of %d columns, a picture %d dots", l.Text, w, room, l.Image.Width)
			}
		}
	})
}
