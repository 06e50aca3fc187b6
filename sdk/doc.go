// Package sdk is the cashier SDK: the Go client of a till's local API. A vendor's
// point of sale drives every terminal class with it in the same way, over the Unix
// socket of the machine or over a loopback address with a token.
//
// A sale by the customer's payment code:
//
//	c, err := sdk.New(sdk.Options{Socket: "/run/dcpos/agent.sock"})
//	p, err := c.Start(ctx, sdk.StartRequest{OrderID: "A-17", Amount: 1250, Mode: pos.BScanC})
//	p, err = c.SubmitCode(ctx, p.ID, code)
//	if p.State == pos.Unknown { // never charge again: p, err = c.Wait(ctx, p.ID) }
//
// A paper of the vendor's own (see the example of Client.PrintReceipt):
//
//	job, err := c.PrintReceipt(ctx, "receipt-17", sdk.Receipt{Items: []sdk.ReceiptItem{
//		sdk.TitleItem("茶馆"), sdk.PairItem("合计 Total", "￥38.00"), sdk.CutItem(),
//	}})
//
// Errors of the till are *pos.Error, with a code to branch on and text and advice in
// Chinese and English. Every call that takes money is safe to repeat: calls that the
// network interrupts are sent again with the same idempotency key.
package sdk
