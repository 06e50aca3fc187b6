package sdk_test

import (
	"context"
	"fmt"
	"net/http/httptest"
	"os"
	"testing"
	"time"

	"dcpos/agent/checkout/checkouttest"
	"dcpos/agent/localapi"
	"dcpos/pos"
	"dcpos/sdk"
)

// bystander lets an example, which has no test of its own, use what tests use.
type bystander struct {
	testing.TB
	end []func()
}

func (*bystander) Helper()            {}
func (b *bystander) Cleanup(f func()) { b.end = append(b.end, f) }
func (*bystander) Fatal(v ...any) {
	fmt.Println(v...)
	os.Exit(1)
}
func (*bystander) Errorf(format string, v ...any) { fmt.Printf(format+"\n", v...) }

func (b *bystander) close() {
	for i := len(b.end) - 1; i >= 0; i-- {
		b.end[i]()
	}
}

// practiceTill is a till of the lab, in this process: the real checkout and API on a printer
// in memory.
func practiceTill() (c *sdk.Client, end func()) {
	b := &bystander{}
	till, _ := checkouttest.NewShop(b).Start(b)
	api, err := localapi.New(localapi.Options{Till: till})
	if err != nil {
		b.Fatal(err)
	}
	server := httptest.NewServer(api.Unix())
	b.Cleanup(server.Close)
	if c, err = sdk.New(sdk.Options{URL: server.URL}); err != nil {
		b.Fatal(err)
	}
	return c, b.close
}

// A vendor's own receipt: looked at first, then printed once, whatever happens between.
func ExampleClient_PrintReceipt() {
	c, end := practiceTill() // a vendor: sdk.New(sdk.Options{Socket: "/run/posagent/api.sock"})
	defer end()
	ctx := context.Background()
	r := sdk.Receipt{Items: []sdk.ReceiptItem{
		sdk.TitleItem("茶馆"),
		sdk.RuleItem(),
		sdk.PairItem("龙井 Longjing", "￥38.00"),
		sdk.PairItem("合计 Total", "￥38.00"),
		sdk.QRItem("https://tea.example.cn/r/17"),
		sdk.CutItem(),
	}}
	picture, err := c.PreviewReceipt(ctx, sdk.Preview{Receipt: r, Format: "text", Columns: 32})
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Printf("%s", picture)

	job, err := c.PrintReceipt(ctx, "receipt-17", r)
	for err == nil && !job.State.Final() && !job.Ask { // or wait for sdk.EventPrint
		time.Sleep(10 * time.Millisecond)
		job, err = c.PrintJob(ctx, job.ID)
	}
	fmt.Println(job.State, err)

	r.Items[2] = sdk.PairItem("龙井 Longjing", "￥83.00")
	_, err = c.PrintReceipt(ctx, "receipt-17", r)
	fmt.Println(pos.CodeOf(err))
	// Output:
	// 测试  TEST
	//             茶馆
	// --------------------------------
	// 龙井 Longjing            ￥38.00
	// 合计 Total               ￥38.00
	// [QR] https://tea.example.cn/r/17
	//    测试小票,无任何价值 TEST,
	//        without any value
	// CONFIRMED <nil>
	// key_conflict
}

func TestAReceiptThatTheTillRefuses(t *testing.T) {
	c, end := practiceTill()
	defer end()
	_, err := c.PrintReceipt(t.Context(), "k", sdk.Receipt{Items: []sdk.ReceiptItem{
		sdk.TextItem("x"), sdk.ImageItem([]byte("no PNG")), sdk.FeedItem(1), sdk.ColumnsItem(sdk.ReceiptCell{Text: "x"}), sdk.DrawerItem(),
	}})
	if e := pos.AsError(err); e.Code != pos.ErrBadRequest || e.Field != "receipt.items[1]" || e.Hint.ZH == "" {
		t.Errorf("%v", err)
	}
	png, err := c.PreviewReceipt(t.Context(), sdk.Preview{Receipt: sdk.Receipt{Items: []sdk.ReceiptItem{sdk.TitleItem("茶馆")}}})
	if err != nil || len(png) < 100 || string(png[1:4]) != "PNG" {
		t.Errorf("%.40q %v", png, err)
	}
}
