package localapi_test

import (
	"bytes"
	"encoding/base64"
	"image"
	"image/png"
	"net/http"
	"strings"
	"testing"

	"dcpos/agent/localapi"
	"dcpos/drivers"
	"dcpos/drivers/receipt"
	"dcpos/pos"
)

const tea = `{"items":[{"kind":"text","text":"茶馆 Teahouse","size":"double","align":"center","bold":true},{"kind":"rule"},
	{"kind":"columns","cells":[{"text":"品名 Item"},{"text":"数量","width":6,"align":"right"},{"text":"金额","width":10,"align":"right"}]},
	{"kind":"pair","cells":[{"text":"龙井 Longjing"},{"text":"￥38.00"}]},{"kind":"qr","text":"https://tea.example.cn/r/1"},{"kind":"feed"},{"kind":"cut"}]}`

func ownBody(doc string) string { return `{"kind":"receipt","receipt":` + doc + `}` }

func TestAVendorsOwnReceiptOverTheAPI(t *testing.T) {
	r := newRig(t)
	key := header("Idempotency-Key", "r1")
	r.Printer.Jam(drivers.Trouble(drivers.CategoryPOSPrinter, "print", drivers.ErrPaperEnd, nil))
	job := r.print(r.do("POST", "/v1/prints", ownBody(tea), key))
	if p := r.until(job.ID, pos.PrintPaused); p.Reason != "paper" || p.Kind != pos.PrintReceipt || len(p.Content) != 64 {
		t.Fatalf("%+v", p)
	}
	r.Printer.Jam(nil)
	if again := r.print(r.do("POST", "/v1/prints", ownBody(strings.ReplaceAll(tea, "\n", " ")), key)); again.ID != job.ID {
		t.Fatalf("the same receipt, spaced otherwise, is another one: %+v", again)
	}
	r.until(job.ID, pos.PrintConfirmed)
	r.want(r.do("POST", "/v1/prints", ownBody(strings.Replace(tea, "38", "83", 1)), key), http.StatusConflict, pos.ErrKeyConflict)
	jobs := r.Printer.Jobs()
	if len(jobs) != 1 {
		t.Fatalf("%d papers", len(jobs))
	}
	text, err := jobs[0].Receipt.Text(48)
	if err != nil || !strings.Contains(text, "￥38.00") || !strings.Contains(text, "[QR] https://tea.example.cn/r/1") {
		t.Fatalf("%v\n%s", err, text)
	}
	if n := len(jobs[0].Receipt.Items); jobs[0].Receipt.Items[n-1].Kind != receipt.KindCut {
		t.Error("no cut at the end")
	}
}

func TestReceiptsAreRefusedByTheirField(t *testing.T) {
	r := newRig(t)
	long := func(n int) string { return strings.Repeat("x", n) }
	var logo bytes.Buffer
	if err := png.Encode(&logo, image.NewGray(image.Rect(0, 0, 4096, 4))); err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct{ name, items, field string }{
		{"nothing", ``, "receipt.items"},
		{"an unknown kind", `{"kind":"text","text":"x"},{"kind":"hologram"}`, "receipt.items[1].kind"},
		{"a text that is too long", `{"kind":"text","text":"` + long(2001) + `"}`, "receipt.items[0].text"},
		{"a text of a number", `{"kind":"text","text":5}`, "receipt.items[0].text"},
		{"a field that is not known", `{"kind":"text","txt":"x"}`, "receipt.items[0].txt"},
		{"a size that is not known", `{"kind":"text","text":"x","size":"huge"}`, "receipt.items[0].size"},
		{"a pair of one", `{"kind":"pair","cells":[{"text":"x"}]}`, "receipt.items[0].cells"},
		{"columns without cells", `{"kind":"columns"}`, "receipt.items[0].cells"},
		{"cells wider than the paper", `{"kind":"columns","cells":[{"text":"x","width":90}]}`, "receipt.items[0]"},
		{"an empty QR code", `{"kind":"qr"}`, "receipt.items[0].text"},
		{"a QR code that is too long", `{"kind":"qr","text":"` + long(901) + `"}`, "receipt.items[0]"},
		{"no picture", `{"kind":"image"}`, "receipt.items[0].png"},
		{"a picture that is not base64", `{"kind":"image","png":"!"}`, "receipt.items[0].png"},
		{"a picture that is too wide to unpack", `{"kind":"image","png":"` + base64.StdEncoding.EncodeToString(logo.Bytes()) + `"}`, "receipt.items[0]"},
		{"too much feed", `{"kind":"feed","lines":21}`, "receipt.items[0].lines"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			a := r.do("POST", "/v1/prints", ownBody(`{"items":[`+tc.items+`]}`), header("Idempotency-Key", "k"))
			e := r.want(a, http.StatusUnprocessableEntity, pos.ErrBadRequest)
			if e.Field != tc.field || e.Hint.ZH == "" || e.Hint.EN == "" {
				t.Errorf("field %q, want %q: %s", e.Field, tc.field, a.body)
			}
		})
	}
	r.want(r.do("POST", "/v1/prints", `{"kind":"receipt"}`, header("Idempotency-Key", "k")), http.StatusUnprocessableEntity, pos.ErrBadRequest)
	r.want(r.do("POST", "/v1/prints", ownBody(tea)), http.StatusUnprocessableEntity, pos.ErrBadRequest) // no key
	r.want(r.do("POST", "/v1/prints", ownBody(`{"items":[{"kind":"text","text":"`+long(300<<10)+`"}]}`), header("Idempotency-Key", "k")),
		http.StatusRequestEntityTooLarge, pos.ErrTooLarge)
}

func TestPreviewOfAReceipt(t *testing.T) {
	r := newRig(t)
	read := func(req *http.Request) { req.Header.Set("Authorization", "Bearer "+r.secret[localapi.ScopeRead]) }
	for format, want := range map[string]struct{ kind, begins string }{
		"":     {"image/png", "\x89PNG"},
		"svg":  {"image/svg+xml", "<svg"},
		"text": {"text/plain; charset=utf-8", ""},
	} {
		a := r.do("POST", "/v1/receipts/preview", `{"format":"`+format+`","columns":32,"receipt":`+tea+`}`, read)
		if format == "" {
			a = r.do("POST", "/v1/receipts/preview", `{"receipt":`+tea+`}`, read)
		}
		if a.status != http.StatusOK || a.header.Get("Content-Type") != want.kind || !bytes.HasPrefix(a.body, []byte(want.begins)) {
			t.Errorf("%q: %d %s %.60q", format, a.status, a.header.Get("Content-Type"), a.body)
		}
	}
	if len(r.Printer.Jobs()) != 0 {
		t.Error("a preview was printed")
	}
	wide := `{"items":[{"kind":"columns","cells":[{"text":"x","width":40}]}]}`
	a := r.do("POST", "/v1/receipts/preview", `{"columns":32,"receipt":`+wide+`}`)
	if e := r.want(a, http.StatusUnprocessableEntity, pos.ErrBadRequest); e.Field != "columns" {
		t.Errorf("%s", a.body)
	}
	r.want(r.do("POST", "/v1/receipts/preview", `{"format":"gif","receipt":`+tea+`}`), http.StatusUnprocessableEntity, pos.ErrBadRequest)
}
