package kernel_test

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"dcpos/agent/kernel"
	"dcpos/drivers"
	"dcpos/drivers/nfc/apdu"
	"dcpos/lab/device"
	"dcpos/lab/wallet"
	"dcpos/pos"
	"dcpos/pos/dcep"
)

// bank is a root and an institution of one environment.
type bank struct {
	suite            dcep.Suite
	env              pos.Environment
	root, house      dcep.Signer
	rootDER, bankDER []byte
}

func must[T any](tb testing.TB, v T, err error) T {
	tb.Helper()
	if err != nil {
		tb.Fatal(err)
	}
	return v
}

func newBank(tb testing.TB, suiteName string, env pos.Environment) *bank {
	tb.Helper()
	s, err := dcep.SuiteByName(suiteName)
	b := &bank{suite: must(tb, s, err), env: env}
	b.root, b.house = b.key(tb), b.key(tb)
	year := 365 * 24 * time.Hour
	b.rootDER = b.issue(tb, dcep.Template{Name: "root", Authority: true}, b.root.Public(), b.root, nil, year)
	b.bankDER = b.issue(tb, dcep.Template{Name: "ICBC", Institution: "ICBC", Authority: true}, b.house.Public(), b.root, b.rootDER, year)
	return b
}

func (b *bank) key(tb testing.TB) dcep.Signer {
	tb.Helper()
	k, err := b.suite.Generate()
	return must(tb, k, err)
}

func (b *bank) issue(tb testing.TB, t dcep.Template, public []byte, by dcep.Signer, byDER []byte, life time.Duration) []byte {
	tb.Helper()
	t.Env, t.From, t.Until = b.env, time.Now().Add(-time.Hour), time.Now().Add(life)
	der, err := dcep.Certify(t, public, by, byDER)
	return must(tb, der, err)
}

// wallet issues a wallet whose certificate lives so long.
func (b *bank) wallet(tb testing.TB, life time.Duration) *wallet.Wallet {
	tb.Helper()
	key := b.key(tb)
	return wallet.Of(key, b.issue(tb, dcep.Template{Name: "wallet", Institution: "ICBC"}, key.Public(), b.house, b.bankDER, life))
}

func (b *bank) trust() dcep.Trust {
	return dcep.Trust{Env: b.env, Roots: [][]byte{b.rootDER}, Institutions: [][]byte{b.bankDER}, IssuedMS: time.Now().UnixMilli()}
}

// kernel makes a till's kernel that trusts the bank.
func (b *bank) kernel() *kernel.NFC {
	t := b.trust()
	return &kernel.NFC{QR: kernel.QR{Trust: func() dcep.Trust { return t }}}
}

func ask(tb testing.TB, k kernel.Kernel, seed byte, amount pos.Money) kernel.Prompt {
	tb.Helper()
	now := time.Now()
	p, err := k.Begin(tb.Context(), kernel.Request{
		Env: pos.Lab, Terminal: "T1", Merchant: "M1", Payment: pos.NewPaymentID(now, [10]byte{seed}), Amount: amount,
		At: now, Expires: now.Add(time.Minute),
	})
	return must(tb, p, err)
}

// held is a modelled card in the hand of a test: no reader, nothing waits.
type held struct {
	card     *device.Card
	extended bool

	mu   sync.Mutex
	gone bool
}

var _ drivers.Card = (*held)(nil)

func hold(c *device.Card) *held {
	c.Activate()
	return &held{card: c}
}

func (h *held) Info() drivers.CardInfo { return drivers.CardInfo{UID: h.card.UID()} }

func (h *held) Transmit(ctx context.Context, command []byte) ([]byte, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.gone {
		return nil, drivers.ErrTorn
	}
	response, err := apdu.Exchange(ctx, h.carry, command, h.extended)
	if err != nil {
		h.gone = true
		return nil, fmt.Errorf("%w: %w", drivers.ErrTorn, err)
	}
	return response, nil
}

func (h *held) carry(ctx context.Context, command []byte) ([]byte, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	response, torn := h.card.Transmit(command)
	if torn {
		return nil, drivers.ErrTorn
	}
	return response, ctx.Err()
}

func (h *held) WaitRemoved(context.Context) error { return nil }
func (h *held) Close() error                      { return nil }

func plastic(c device.Applet, opt device.CardOptions) *device.Card {
	opt.Applications = append(opt.Applications, device.Application{AID: []byte(wallet.AID), Label: "DCPOS", Priority: 1, Applet: c})
	return device.NewCard(opt)
}

// customer is a wallet and its card.
type customer struct {
	wallet *wallet.Wallet
	applet *wallet.Card
	card   *device.Card
}

func newCustomer(tb testing.TB, b *bank) customer {
	tb.Helper()
	return holder(b.wallet(tb, time.Hour))
}

func holder(w *wallet.Wallet) customer {
	a := w.Card(time.Now)
	return customer{w, a, plastic(a, device.CardOptions{})}
}

func (c customer) tap(tb testing.TB, k kernel.Tapper, p kernel.Prompt) (kernel.Taken, error) {
	tb.Helper()
	return k.Tap(tb.Context(), kernel.Tap{Card: hold(c.card), Prompt: p, Now: time.Now})
}
