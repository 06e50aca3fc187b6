package checkout_test

import (
	"dcpos/agent/checkout"
	"dcpos/pos"
)

// print asks for a payment's receipt as the cashier's button does.
func (b *bench) print(id pos.PaymentID) (checkout.Print, error) {
	return b.till.Print(b.Context(), checkout.PrintRequest{Caller: "screen", Kind: pos.PrintPayment, Payment: id})
}
