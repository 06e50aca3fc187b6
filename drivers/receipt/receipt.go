package receipt

// Kind says what an Item is.
type Kind string

// The kinds of items.
const (
	KindText    Kind = "text"    // one paragraph, wrapped
	KindColumns Kind = "columns" // cells beside one another
	KindRule    Kind = "rule"    // a line across the paper
	KindQR      Kind = "qr"      // a QR code, centred
	KindImage   Kind = "image"   // a black and white picture, such as a logo, centred
	KindFeed    Kind = "feed"    // blank lines
	KindCut     Kind = "cut"     // the end of the paper
	KindDrawer  Kind = "drawer"  // a pulse to the cash drawer
)

// Align is where text stands in its line or cell.
type Align string

// The alignments. The zero value is left.
const (
	Left   Align = ""
	Center Align = "center"
	Right  Align = "right"
)

// Size is how big characters are. Doubling the width halves the columns.
type Size string

// The sizes. The zero value is normal.
const (
	Normal Size = ""
	Tall   Size = "tall"   // double height
	Wide   Size = "wide"   // double width
	Double Size = "double" // double height and width
)

// Wide reports whether characters of the size take twice their columns.
func (s Size) Wide() bool { return s == Wide || s == Double }

// Tall reports whether characters of the size take two lines of height.
func (s Size) Tall() bool { return s == Tall || s == Double }

// Style is how a whole item looks.
type Style struct {
	Bold   bool  `json:"bold,omitempty"`
	Size   Size  `json:"size,omitempty"`
	Align  Align `json:"align,omitempty"`
	Invert bool  `json:"invert,omitempty"` // white on black, for 测试 TEST
}

// Cell is one column of a row.
type Cell struct {
	Text string `json:"text"`
	// Width in columns of normal size; 0 shares what the others leave.
	Width int   `json:"width,omitempty"`
	Align Align `json:"align,omitempty"`
}

// Item is one part of a receipt. Use the constructors; the fields are exported so
// that a receipt can be kept as JSON and printed again.
type Item struct {
	Kind  Kind   `json:"kind"`
	Text  string `json:"text,omitempty"`  // of text; of rule: the character it is made of
	Cells []Cell `json:"cells,omitempty"` // of columns
	Style Style  `json:"style,omitzero"`
	Data  []byte `json:"data,omitempty"` // of qr: what it says; of image: a PNG
	Lines int    `json:"lines,omitempty"`
}

// Receipt is one receipt, top to bottom.
type Receipt struct {
	Items []Item `json:"items"`
}

// New makes a receipt of items.
func New(items ...Item) Receipt { return Receipt{Items: items} }

// Add appends items.
func (r *Receipt) Add(items ...Item) { r.Items = append(r.Items, items...) }

// Text is one paragraph; "\n" begins a new line, long lines are wrapped.
func Text(text string, style ...Style) Item {
	return Item{Kind: KindText, Text: text, Style: first(style)}
}

// Title is bold, centred text of double size.
func Title(text string) Item {
	return Text(text, Style{Bold: true, Size: Double, Align: Center})
}

// Centered is centred text of normal size.
func Centered(text string) Item { return Text(text, Style{Align: Center}) }

// Pair is a text on the left and one on the right of the same line. When both do not
// fit, the right one goes to a line of its own.
func Pair(left, right string, style ...Style) Item {
	return Item{Kind: KindColumns, Style: first(style), Cells: []Cell{{Text: left}, {Text: right, Align: Right, Width: fitWidth}}}
}

// Row is a row of a table; a cell's text is wrapped inside its cell. On paper so
// narrow that the one cell without a width has no room, its text goes above the row.
func Row(cells ...Cell) Item { return Item{Kind: KindColumns, Cells: cells} }

// Rule is a line across the paper.
func Rule() Item { return Item{Kind: KindRule, Text: "-"} }

// DoubleRule is a heavier one.
func DoubleRule() Item { return Item{Kind: KindRule, Text: "="} }

// QR is a QR code of the data, level M, as large as fits well.
func QR(data string) Item { return Item{Kind: KindQR, Data: []byte(data)} }

// Image is a picture as a PNG: one dot of it is a dot on paper, what is darker than
// middle grey is black. One that is wider than the paper is made to fit.
func Image(png []byte) Item { return Item{Kind: KindImage, Data: png} }

// Feed is n blank lines.
func Feed(n int) Item { return Item{Kind: KindFeed, Lines: n} }

// Cut cuts the paper (or only feeds it, on printers without a cutter).
func Cut() Item { return Item{Kind: KindCut} }

// KickDrawer gives the pulse that opens the cash drawer.
func KickDrawer() Item { return Item{Kind: KindDrawer} }

// fitWidth makes a cell as wide as its own text.
const fitWidth = -1

func first(styles []Style) Style {
	if len(styles) == 0 {
		return Style{}
	}
	return styles[0]
}
