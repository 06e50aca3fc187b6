// Package kernel is the plug-in point through which a till takes offline evidence
// from a wallet. The commands of real e-CNY wallets are not public: an acquirer's
// module implements Kernel; QR is the open reference kernel of docs/PROTOCOL.md.
//
// To add a kernel: a type that implements Kernel, with an environment of its own; a
// kernel of the lab never runs in a live till.
package kernel

import (
	"context"
	"time"

	"dcpos/pos"
)

// Request is what the wallet is to promise.
type Request struct {
	Env      pos.Environment
	Terminal string
	Merchant string
	Payment  pos.PaymentID
	Amount   pos.Money
	At       time.Time
	Expires  time.Time
}

// Prompt is what the customer's wallet is shown. Text is what a QR holds; Secret is
// the kernel's own, handed back with the answer and never shown.
type Prompt struct {
	Text    string
	Expires time.Time
	Secret  any
}

// Taken is a wallet's promise that the kernel has verified.
type Taken struct {
	Evidence    []byte // whole, canonical: what the journal keeps and the institution gets
	Wallet      string // names the wallet: the serial of its certificate
	Counter     uint64 // the wallet's own counter
	Institution string
}

// Kernel talks to wallets while the network is away. It decides whether a promise is
// genuine and fits the prompt; limits, double use and the order are the till's to judge.
type Kernel interface {
	// Env is the environment whose wallets the kernel accepts.
	Env() pos.Environment
	// Ready returns an error that says what to do when the kernel could not verify
	// anything now, such as a list of revoked wallets that is too old.
	Ready(ctx context.Context, now time.Time) error
	// Begin makes the prompt of one payment. A new prompt makes an earlier one void.
	Begin(ctx context.Context, r Request) (Prompt, error)
	// Verify checks the wallet's answer to the prompt. Every finding is a *pos.Error.
	Verify(ctx context.Context, p Prompt, answer string, now time.Time) (Taken, error)
}
