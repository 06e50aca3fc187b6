package sdk

import (
	"context"
	"net/http"

	"dcpos/pos"
)

// Receipt is a paper that the vendor's program lays out, top to bottom: at most 500 items,
// 192 KiB with its pictures, two metres of paper. The till fits it to its printer: 32
// columns of Latin letters on 58 mm paper, 48 on 80 mm; a Chinese character takes two.
type Receipt struct {
	Items []ReceiptItem `json:"items"`
}

// ReceiptItem is one part of a receipt. Use the functions below; Bold, Invert, Size and
// Align may be set on what they return.
type ReceiptItem struct {
	Kind   string        `json:"kind"`            // text, pair, columns, rule, qr, image, feed, cut, drawer
	Text   string        `json:"text,omitempty"`  // of text, qr, rule
	Cells  []ReceiptCell `json:"cells,omitempty"` // of pair and columns
	Bold   bool          `json:"bold,omitempty"`
	Invert bool          `json:"invert,omitempty"` // white on black
	Size   string        `json:"size,omitempty"`   // tall, wide, double; empty: normal
	Align  string        `json:"align,omitempty"`  // left, center, right
	PNG    []byte        `json:"png,omitempty"`    // of image
	Lines  int           `json:"lines,omitempty"`  // of feed
}

// ReceiptCell is one cell of a row.
type ReceiptCell struct {
	Text  string `json:"text"`
	Width int    `json:"width,omitempty"` // in columns; 0 shares what the others leave
	Align string `json:"align,omitempty"` // left, center, right
}

// TextItem is a paragraph; "\n" begins a new line, long lines are wrapped.
func TextItem(text string) ReceiptItem { return ReceiptItem{Kind: "text", Text: text} }

// TitleItem is bold, centred and of double size.
func TitleItem(text string) ReceiptItem {
	return ReceiptItem{Kind: "text", Text: text, Bold: true, Size: "double", Align: "center"}
}

// PairItem is a text at the left edge and one at the right.
func PairItem(left, right string) ReceiptItem {
	return ReceiptItem{Kind: "pair", Cells: []ReceiptCell{{Text: left}, {Text: right}}}
}

// ColumnsItem is a row of a table.
func ColumnsItem(cells ...ReceiptCell) ReceiptItem {
	return ReceiptItem{Kind: "columns", Cells: cells}
}

// RuleItem is a line across the paper.
func RuleItem() ReceiptItem { return ReceiptItem{Kind: "rule"} }

// QRItem is a QR code of at most 900 bytes.
func QRItem(text string) ReceiptItem { return ReceiptItem{Kind: "qr", Text: text} }

// ImageItem is a picture, such as a logo: a PNG in which one dot is one dot on paper (8 a
// millimetre) and what is darker than middle grey is black.
func ImageItem(png []byte) ReceiptItem { return ReceiptItem{Kind: "image", PNG: png} }

// FeedItem is n blank lines, 1 to 20.
func FeedItem(n int) ReceiptItem { return ReceiptItem{Kind: "feed", Lines: n} }

// CutItem ends a paper.
func CutItem() ReceiptItem { return ReceiptItem{Kind: "cut"} }

// DrawerItem opens the cash drawer when the receipt prints. A duplicate does not open it again.
func DrawerItem() ReceiptItem { return ReceiptItem{Kind: "drawer"} }

// PrintReceipt has the till owe a paper of the vendor's own, and returns at once; PrintJob
// and EventPrint tell what becomes of it. The till keeps the receipt with the job: it
// prints once, whatever restarts in between, and when a part of it may be on paper already a
// further print is marked 补打 DUPLICATE. The same key never prints a second paper; with
// another receipt it is refused (pos.ErrKeyConflict). A receipt that this till cannot print is
// refused with the field that is wrong, "receipt.items[3].text".
func (c *Client) PrintReceipt(ctx context.Context, key string, r Receipt) (PrintJob, error) {
	return c.QueuePrint(ctx, PrintRequest{Key: key, Kind: pos.PrintReceipt, Receipt: &r})
}

// Preview asks what a receipt looks like.
type Preview struct {
	Receipt Receipt `json:"receipt"`
	Format  string  `json:"format,omitempty"`  // png, svg or text; empty: png
	Columns int     `json:"columns,omitempty"` // 32 is 58 mm paper, 48 is 80 mm; 0: the till's printer
}

// PreviewReceipt draws a receipt as this till's printer would, without printing it.
func (c *Client) PreviewReceipt(ctx context.Context, p Preview) ([]byte, error) {
	var out []byte
	err := c.do(ctx, call{method: http.MethodPost, path: "/v1/receipts/preview", body: p}, &out)
	return out, err
}
