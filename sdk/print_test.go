package sdk_test

import (
	"net/http/httptest"
	"testing"
	"time"

	"dcpos/agent/checkout"
	"dcpos/agent/checkout/checkouttest"
	"dcpos/agent/localapi"
	"dcpos/pos"
	"dcpos/sdk"
)

func TestPrintJobs(t *testing.T) {
	shop := checkouttest.NewShop(t)
	till, _ := shop.Start(t, func(c *checkout.Config) { c.Receipt = checkout.PrintAsk })
	api, err := localapi.New(localapi.Options{Till: till})
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(api.Unix())
	defer server.Close()
	c, err := sdk.New(sdk.Options{URL: server.URL, Wait: time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	ctx := t.Context()
	p, err := c.Start(ctx, sdk.StartRequest{OrderID: "o1", Amount: 1000, Mode: pos.BScanC})
	if err != nil {
		t.Fatal(err)
	}
	shop.Printer.Mute(true)
	j, err := c.QueuePrint(ctx, sdk.PrintRequest{Key: "p1", Kind: pos.PrintPayment, Payment: &p.ID})
	if err != nil || j.ID == "" || j.Key != "p1" || j.Text.EN == "" {
		t.Fatalf("%+v %v", j, err)
	}
	for end := time.Now().Add(time.Minute); !j.Ask && time.Now().Before(end); time.Sleep(time.Millisecond) {
		if j, err = c.PrintJob(ctx, j.ID); err != nil {
			t.Fatal(err)
		}
	}
	s, err := c.Status(ctx)
	if err != nil || len(s.Prints) != 1 || s.Prints[0].ID != j.ID || !s.Prints[0].Ask {
		t.Fatalf("%+v %v", s.Prints, err)
	}
	if j, err = c.AnswerPrint(ctx, j.ID, true); err != nil || j.State != pos.PrintConfirmed {
		t.Fatalf("%+v %v", j, err)
	}
	if _, err := c.CancelPrint(ctx, j.ID); pos.CodeOf(err) != pos.ErrIllegalMove {
		t.Fatal(err)
	}
	if again, err := c.QueuePrint(ctx, sdk.PrintRequest{Key: "p1", Kind: pos.PrintPayment, Payment: &p.ID}); err != nil || again.ID != j.ID {
		t.Fatalf("%+v %v", again, err)
	}
	open, err := c.PrintJobs(ctx, true, 0)
	all, err2 := c.PrintJobs(ctx, false, 5)
	if err != nil || err2 != nil || len(open) != 0 || len(all) != 1 {
		t.Fatalf("%d open of %d: %v %v", len(open), len(all), err, err2)
	}
}
