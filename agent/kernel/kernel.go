// Package kernel is the plug-in point through which a till takes offline evidence
// from a wallet. The commands of real e-CNY wallets are not public: an acquirer's
// module implements Kernel, and Tapper where it talks to cards and phones by radio. QR and
// NFC are the open reference kernels of docs/PROTOCOL.md; DESIGN.md says why they are so.
//
// To add a kernel: a type that implements Kernel, with an environment of its own; a
// kernel of the lab never runs in a live till.
package kernel

import (
	"context"
	"time"

	"dcpos/drivers"
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
	// Category is that of the goods, where envelopes may pay a part; "" where none may.
	Category string
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
	Tier        int // the wallet's class, 1 to 4; 0: it tells none
	// Envelopes pay a part, as the wallet says; whether they may is the till's to judge.
	Envelopes []pos.EnvelopeUse
}

// Wallet is a wallet that has shown itself to be genuine, before it is asked to sign.
type Wallet struct {
	Serial      string
	Institution string
	Tier        int
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

// Tapper is a Kernel that also takes promises from a card or phone in a reader's field.
// One prompt serves both ways: the first answer that the till keeps wins.
type Tapper interface {
	Kernel
	// Tap talks to one card until it has promised. It neither waits for a card nor signals:
	// only the till knows when a promise is kept and may be called done.
	//
	// After an ErrTapTorn the wallet may have signed. Another Tap with the same prompt gets
	// the same promise, also for a while after the prompt has expired; when it has expired
	// and this card holds no promise for it, ErrEvidenceLate. Every finding is a *pos.Error
	// with a code of its own; the end of ctx is returned as it is.
	Tap(ctx context.Context, t Tap) (Taken, error)
}

// Tap is one card in the field and what is wanted of it.
type Tap struct {
	Card   drivers.Card
	Prompt Prompt
	Now    func() time.Time
	// Admit refuses a genuine wallet for reasons of the till, such as its limits, before it
	// is asked to sign. Nil admits all.
	Admit func(ctx context.Context, w Wallet) error
	// Choose gives the prompt where the till decides what a wallet pays only when it knows
	// which one it is; Prompt is not looked at then. Its error ends the tap like Admit's.
	Choose func(ctx context.Context, w Wallet) (Prompt, error)
}
