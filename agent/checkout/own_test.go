package checkout_test

import (
	"bytes"
	"encoding/hex"
	"image"
	"image/png"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"dcpos/agent/checkout"
	"dcpos/agent/checkout/checkouttest"
	"dcpos/drivers/receipt"
	"dcpos/pos"
	"dcpos/pos/dcep"
)

func own(items ...receipt.Item) *receipt.Receipt {
	r := receipt.New(items...)
	return &r
}

func (b *bench) queueOwn(key string, r *receipt.Receipt) (checkout.Print, error) {
	return b.till.QueuePrint(b.Context(), checkout.PrintRequest{Caller: "sdk", Key: key, Kind: pos.PrintReceipt, Receipt: r})
}

func text(r receipt.Receipt) string {
	s, err := r.Text(48)
	if err != nil {
		return err.Error()
	}
	return s
}

// drawers counts the entries that say that the drawer was opened.
func (b *bench) drawers() (n int) {
	for _, e := range b.Journal.Entries() {
		if e.Kind == pos.KindDrawer {
			n++
		}
	}
	return n
}

func TestAVendorsOwnReceipt(t *testing.T) {
	tea := own(receipt.Title("茶馆 Teahouse"), receipt.Pair("龙井 Longjing", "￥38.00"), receipt.QR("https://tea.example.cn/r/1"), receipt.Cut())
	run(t, "it prints once by its key, marked as a test in the lab", func(b *bench) {
		first, err := b.queueOwn("k", tea)
		if err != nil || first.Content == "" || first.Kind != pos.PrintReceipt {
			b.Fatalf("%+v %v", first, err)
		}
		time.Sleep(time.Second)
		for range 3 {
			if again, err := b.queueOwn("k", tea); err != nil || again.ID != first.ID || again.State != pos.PrintConfirmed {
				b.Fatalf("%+v %v", again, err)
			}
		}
		jobs := b.Printer.Jobs()
		if len(jobs) != 1 || jobs[0].Duplicate {
			b.Fatalf("%+v", jobs)
		}
		for _, want := range []string{"测试  TEST", "茶馆  Teahouse", "龙井 Longjing", "https://tea.example.cn/r/1", "without any value"} {
			if !strings.Contains(text(jobs[0].Receipt), want) {
				b.Errorf("%q is not on\n%s", want, text(jobs[0].Receipt))
			}
		}
		if last := jobs[0].Receipt.Items; last[len(last)-1].Kind != receipt.KindCut {
			b.Error("something comes after the cut")
		}
		_, err = b.queueOwn("k", own(receipt.Text("another")))
		code(b.T, err, pos.ErrKeyConflict)
		_, err = b.queue("k", pos.PrintSelfTest, pos.PaymentID{})
		code(b.T, err, pos.ErrKeyConflict)
		if other, err := b.queueOwn("k2", tea); err != nil || other.ID == first.ID || other.Content != first.Content {
			b.Fatalf("the same receipt under another key is another paper: %+v %v", other, err)
		}
	}, selfTest)
	run(t, "out of paper in the middle: it goes on, and the drawer opens once", func(b *bench) {
		b.Printer.Jam(noPaper())
		j, err := b.queueOwn("k", own(receipt.Text("20.00"), receipt.KickDrawer(), receipt.Cut()))
		if err != nil {
			b.Fatal(err)
		}
		time.Sleep(time.Second)
		if j := b.job(j.ID); j.State != pos.PrintPaused || j.Reason != "paper" || j.Hint.ZH == "" {
			b.Fatalf("%+v", j)
		}
		b.Printer.Jam(nil)
		b.Printer.Mute(true) // it left, and nothing said whether it came out
		time.Sleep(2 * time.Minute)
		if j := b.job(j.ID); j.State != pos.PrintUnknown || !j.Ask {
			b.Fatalf("%+v", j)
		}
		b.Printer.Mute(false)
		if _, err := b.till.AnswerPrint(b.Context(), "sdk", j.ID, false); err != nil {
			b.Fatal(err)
		}
		time.Sleep(time.Second)
		jobs := b.Printer.Jobs()
		kicks := func(r receipt.Receipt) (n int) {
			for _, i := range r.Items {
				if i.Kind == receipt.KindDrawer {
					n++
				}
			}
			return n
		}
		if len(jobs) != 2 || jobs[0].Duplicate || !jobs[1].Duplicate || kicks(jobs[0].Receipt) != 1 || kicks(jobs[1].Receipt) != 0 {
			b.Fatalf("%+v", jobs)
		}
	})
	run(t, "every opening of the drawer is journaled before it can happen", func(b *bench) {
		before := b.drawers()
		if _, err := b.queueOwn("k", own(receipt.KickDrawer())); err != nil {
			b.Fatal(err)
		}
		time.Sleep(time.Second)
		if n := b.drawers() - before; n != 1 {
			b.Fatalf("%d entries", n)
		}
	})
	run(t, "what is lost is given up and holds nobody up", func(b *bench) {
		b.Printer.Jam(noPaper())
		lost, err := b.queueOwn("lost", tea)
		if err != nil {
			b.Fatal(err)
		}
		time.Sleep(time.Second)
		b.Journal.LoseAttachments()
		next, err := b.queueOwn("next", own(receipt.Text("next"), receipt.Cut()))
		if err != nil {
			b.Fatal(err)
		}
		b.Printer.Jam(nil)
		time.Sleep(2 * time.Minute)
		if j := b.job(lost.ID); j.State != pos.PrintCancelled || !strings.Contains(j.Detail, "not kept") {
			b.Errorf("%+v", j)
		}
		if j := b.job(next.ID); j.State != pos.PrintConfirmed {
			b.Errorf("%+v", j)
		}
	})
	t.Run("a restart before it printed: it prints, unmarked", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			b := &bench{T: t, Shop: checkouttest.NewShop(t)}
			var stop func()
			b.till, stop = b.Start(t)
			b.Printer.Jam(noPaper())
			j, err := b.queueOwn("k", tea)
			if err != nil {
				t.Fatal(err)
			}
			time.Sleep(time.Second)
			stop()
			b.Printer.Jam(nil)
			b.till, stop = b.Start(t)
			time.Sleep(time.Second)
			if again, err := b.queueOwn("k", tea); err != nil || again.ID != j.ID || again.State != pos.PrintConfirmed || again.Duplicate {
				t.Fatalf("%+v %v", again, err)
			}
			if n := len(b.Printer.Jobs()); n != 1 {
				t.Fatalf("%d papers", n)
			}
			stop()
		})
	})
}

// picture is a white PNG.
func picture(t *testing.T, width, height int) []byte {
	t.Helper()
	var out bytes.Buffer
	if err := png.Encode(&out, image.NewGray(image.Rect(0, 0, width, height))); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func TestAReceiptThatCannotBePrintedIsRefusedByItsField(t *testing.T) {
	many := func(n int, i receipt.Item) *receipt.Receipt {
		r := receipt.New()
		for range n {
			r.Add(i)
		}
		return &r
	}
	for _, tc := range []struct {
		name  string
		r     *receipt.Receipt
		code  pos.Code
		field string
	}{
		{"nothing", own(), pos.ErrBadRequest, "receipt.items"},
		{"no receipt", nil, pos.ErrBadRequest, "receipt"},
		{"too many items", many(501, receipt.Text("x")), pos.ErrTooLarge, "receipt.items"},
		{"too much paper", many(300, receipt.Text("1\n2\n3")), pos.ErrTooLarge, "receipt"},
		{"too much paper by pictures", many(20, receipt.Image(picture(t, 8, 2048))), pos.ErrTooLarge, "receipt"},
		{"too many bytes", many(400, receipt.Text(strings.Repeat("x", 500))), pos.ErrTooLarge, "receipt"},
		{"a QR code that is too long", own(receipt.Text("x"), receipt.QR(strings.Repeat("q", 901))), pos.ErrBadRequest, "receipt.items[1]"},
		{"a picture that is none", own(receipt.Image([]byte("GIF89a"))), pos.ErrBadRequest, "receipt.items[0]"},
		{"a picture that unpacks to gigabytes", own(receipt.Image(picture(t, 4096, 4096))), pos.ErrBadRequest, "receipt.items[0]"},
		{"cells wider than the paper", own(receipt.Row(receipt.Cell{Text: "x", Width: 40}, receipt.Cell{Text: "y", Width: 40})), pos.ErrBadRequest, "receipt.items[0]"},
		{"two kicks", own(receipt.KickDrawer(), receipt.KickDrawer()), pos.ErrTooLarge, "receipt.items[1].kind"},
		{"eleven cuts", many(11, receipt.Cut()), pos.ErrTooLarge, "receipt.items[10].kind"},
		{"an unknown kind", own(receipt.Item{Kind: "hologram"}), pos.ErrBadRequest, "receipt.items[0]"},
	} {
		run(t, tc.name, func(b *bench) {
			entries := len(b.Journal.Entries())
			_, err := b.queueOwn("k", tc.r)
			e := pos.AsError(err)
			if e.Code != tc.code || e.Field != tc.field || e.Text.ZH == "" || e.Hint.EN == "" {
				b.Errorf("%s %q: %v", e.Code, e.Field, err)
			}
			if len(b.Journal.Entries()) != entries {
				b.Error("something was journaled")
			}
		})
	}
	run(t, "no drawer", func(b *bench) {
		_, err := b.queueOwn("k", own(receipt.Text("x"), receipt.KickDrawer()))
		if e := pos.AsError(err); e.Code != pos.ErrBadRequest || e.Field != "receipt.items[1].kind" {
			b.Error(err)
		}
		_, err = b.queueOwn("", own(receipt.Text("x")))
		if e := pos.AsError(err); e.Code != pos.ErrBadRequest || e.Field != "key" {
			b.Error(err)
		}
		_, err = b.till.QueuePrint(b.Context(), checkout.PrintRequest{Caller: "sdk", Key: "k", Kind: pos.PrintSelfTest, Receipt: own(receipt.Text("x"))})
		if e := pos.AsError(err); e.Code != pos.ErrBadRequest || e.Field != "receipt" {
			b.Error(err)
		}
	}, selfTest, func(c *checkout.Config) { c.Drawer = nil })
	run(t, "the paper's width is the printer's", func(b *bench) {
		_, err := b.queueOwn("k", own(receipt.Row(receipt.Cell{Text: "x", Width: 40})))
		if e := pos.AsError(err); e.Field != "receipt.items[0]" {
			b.Error(err)
		}
	}, func(c *checkout.Config) { c.Columns = func() int { return 32 } })
}

// A journal from outside may say anything of a print's content.
func TestContentOfAPrintEntry(t *testing.T) {
	hash := hex.EncodeToString(make([]byte, 32))
	for _, tc := range []struct {
		kind    pos.PrintKind
		content string
		ok      bool
	}{
		{pos.PrintReceipt, hash, true},
		{pos.PrintReceipt, "", false},
		{pos.PrintReceipt, hash[1:], false},
		{pos.PrintReceipt, "z" + hash[1:], false},
		{pos.PrintSelfTest, hash, false},
		{pos.PrintSelfTest, "x", false},
		{pos.PrintSelfTest, "", true},
	} {
		body, err := dcep.Marshal(pos.Printed{Job: "j", Kind: tc.kind, Result: string(pos.PrintQueued), Caller: "c", Key: "k", Content: tc.content})
		if err != nil {
			t.Fatal(err)
		}
		e := pos.Entry{Kind: pos.KindPrint, Operator: "1", Body: body}
		_, _, err = dcep.ApplyPrint(e, func(string) (pos.PrintJob, error) { return pos.PrintJob{}, nil })
		if (err == nil) != tc.ok {
			t.Errorf("%s %q: %v", tc.kind, tc.content, err)
		}
	}
}
