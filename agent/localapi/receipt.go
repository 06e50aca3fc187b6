package localapi

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"

	"dcpos/drivers/receipt"
	"dcpos/drivers/receipt/draw"
	"dcpos/pos"
)

// maxReceiptBody bounds a request with a receipt: its pictures come in base64.
const maxReceiptBody = 256 << 10

// Receipt is a paper that the client lays out, top to bottom.
type Receipt struct {
	Items []ReceiptItem `json:"items" minItems:"1" maxItems:"500"`
}

// ReceiptItem is one part of a receipt. Which fields count depends on its kind.
type ReceiptItem struct {
	Kind   string        `json:"kind" enum:"text,pair,columns,rule,qr,image,feed,cut,drawer" doc:"text: a paragraph, wrapped; pair: two cells at both edges; columns: a row of a table; rule: a line across; qr: a QR code of text; image: a PNG, such as a logo; feed: blank lines; cut: the end of a paper; drawer: opens the cash drawer"`
	Text   string        `json:"text,omitempty" maxLength:"2000" doc:"Of text; of qr: what it says, at most 900 bytes; of rule: the character it is made of"`
	Cells  []ReceiptCell `json:"cells,omitempty" maxItems:"8" doc:"Of pair (two) and columns"`
	Bold   bool          `json:"bold,omitempty"`
	Invert bool          `json:"invert,omitempty" doc:"White on black"`
	Size   string        `json:"size,omitempty" enum:"tall,wide,double" doc:"Empty: normal. wide and double halve the columns"`
	Align  string        `json:"align,omitempty" enum:"left,center,right"`
	PNG    []byte        `json:"png,omitempty" doc:"Of image, base64: one dot is one dot on paper (8 a millimetre), darker than middle grey is black; at most 2048 by 2048. A wider one is made to fit"`
	Lines  int           `json:"lines,omitempty" minimum:"1" maximum:"20" doc:"Of feed; 0: one"`
}

// ReceiptCell is one cell of a row.
type ReceiptCell struct {
	Text  string `json:"text" maxLength:"500"`
	Width int    `json:"width,omitempty" minimum:"0" maximum:"96" doc:"In columns of a Latin letter, a Chinese character takes two; 0 shares what the others leave"`
	Align string `json:"align,omitempty" enum:"left,center,right"`
}

func align(s string) receipt.Align {
	if s == "left" {
		return receipt.Left
	}
	return receipt.Align(s)
}

// receipt is the client's receipt in the words of the drivers. An error names the field.
func (r Receipt) receipt() (receipt.Receipt, error) {
	out := receipt.New()
	for i, item := range r.Items {
		made, field, err := item.item()
		if err != nil {
			return out, pos.FieldError(pos.ErrBadRequest, fmt.Sprintf("receipt.items[%d].%s", i, field), err)
		}
		out.Add(made)
	}
	return out, nil
}

// item makes one item; the field is the one that the error is about.
func (i ReceiptItem) item() (made receipt.Item, field string, err error) {
	style := receipt.Style{Bold: i.Bold, Invert: i.Invert, Size: receipt.Size(i.Size), Align: align(i.Align)}
	switch i.Kind {
	case "text":
		return receipt.Text(i.Text, style), "", nil
	case "pair":
		if len(i.Cells) != 2 {
			return made, "cells", fmt.Errorf("a pair has 2 cells, not %d", len(i.Cells))
		}
		return receipt.Pair(i.Cells[0].Text, i.Cells[1].Text, style), "", nil
	case "columns":
		if len(i.Cells) == 0 {
			return made, "cells", errors.New("columns have at least one cell")
		}
		cells := make([]receipt.Cell, len(i.Cells))
		for n, c := range i.Cells {
			cells[n] = receipt.Cell{Text: c.Text, Width: c.Width, Align: align(c.Align)}
		}
		made = receipt.Row(cells...)
		made.Style = style
		return made, "", nil
	case "rule":
		made = receipt.Rule()
		if i.Text != "" {
			made.Text = i.Text
		}
		return made, "", nil
	case "qr":
		if i.Text == "" {
			return made, "text", errors.New("a QR code says something")
		}
		return receipt.QR(i.Text), "", nil
	case "image":
		if len(i.PNG) == 0 {
			return made, "png", errors.New("an image has a PNG")
		}
		return receipt.Image(i.PNG), "", nil
	case "feed":
		return receipt.Feed(max(i.Lines, 1)), "", nil
	case "cut":
		return receipt.Cut(), "", nil
	case "drawer":
		return receipt.KickDrawer(), "", nil
	}
	return made, "kind", fmt.Errorf("%q is not known", i.Kind)
}

// PreviewRequest asks what a receipt looks like on this till's paper.
type PreviewRequest struct {
	Receipt Receipt `json:"receipt"`
	Format  string  `json:"format,omitempty" enum:"png,svg,text" doc:"Empty: png"`
	Columns int     `json:"columns,omitempty" minimum:"0" maximum:"96" doc:"32 is 58 mm paper, 48 is 80 mm; 0: the till's printer"`
}

type previewInput struct{ Body PreviewRequest }

type previewOutput struct {
	ContentType string `header:"Content-Type"`
	Body        []byte
}

// previewReceipt draws a receipt without printing it.
func (a *API) previewReceipt(_ context.Context, in *previewInput) (*previewOutput, error) {
	r, err := in.Body.Receipt.receipt()
	if err != nil {
		return nil, err
	}
	paper, columns, err := a.till.Preview(r)
	if err != nil {
		return nil, err
	}
	if in.Body.Columns > 0 {
		columns = in.Body.Columns
	}
	a.drawing.Lock() // one at a time: a picture takes memory
	defer a.drawing.Unlock()
	var out bytes.Buffer
	kind, err := drawPaper(&out, paper, columns, in.Body.Format, a.fontFile)
	if item, ok := errors.AsType[*receipt.ItemError](err); ok {
		return nil, pos.FieldError(pos.ErrBadRequest, "columns", item)
	}
	return &previewOutput{ContentType: kind, Body: out.Bytes()}, err
}

// drawPaper draws a receipt in a format and returns its content type.
func drawPaper(out *bytes.Buffer, r receipt.Receipt, columns int, format, fontFile string) (string, error) {
	switch format {
	case "svg":
		return "image/svg+xml", draw.Paper{Columns: columns}.SVG(out, r)
	case "text":
		text, err := r.Text(columns)
		out.WriteString(text)
		return "text/plain; charset=utf-8", err
	}
	font := draw.NewFont(fontFile)
	err := draw.Paper{Columns: columns}.PNG(out, r, font)
	if err = errors.Join(err, font.Close()); errors.Is(err, draw.ErrNoFont) {
		e := pos.FieldError(pos.ErrBadRequest, "format", err)
		e.Hint = pos.Text{
			ZH: "请安装字体:apt-get install fonts-wqy-microhei,或改用 svg",
			EN: "install a font: apt-get install fonts-wqy-microhei, or ask for svg",
		}
		return "", e
	}
	return "image/png", err
}

func (a *API) registerReceipts() {
	operationUpTo(a, maxReceiptBody, "previewReceipt", http.MethodPost, "/v1/receipts/preview", ScopeRead,
		"What a receipt looks like on this till's paper, as PNG, SVG or text; nothing is printed", a.previewReceipt)
}
