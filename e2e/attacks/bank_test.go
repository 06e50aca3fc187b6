package attacks_test

import (
	"testing"
	"time"

	"dcpos/lab/device"
	"dcpos/lab/wallet"
	"dcpos/pos"
	"dcpos/pos/dcep"
)

// bank is a root, an institution and what they issue.
type bank struct {
	t       *testing.T
	suite   dcep.Suite
	env     pos.Environment
	root    dcep.Signer
	house   dcep.Signer
	rootDER []byte
	bankDER []byte
}

func must[T any](t *testing.T) func(v T, err error) T {
	t.Helper()
	return func(v T, err error) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

func ok(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func newBank(t *testing.T, suite string, env pos.Environment) *bank {
	t.Helper()
	b := &bank{t: t, suite: must[dcep.Suite](t)(dcep.SuiteByName(suite)), env: env}
	b.root, b.house = b.key(), b.key()
	b.rootDER = b.issue(dcep.Template{Name: "root", Authority: true}, b.root, b.root, nil)
	b.bankDER = b.issue(dcep.Template{Name: "ICBC", Institution: "ICBC", Authority: true}, b.house, b.root, b.rootDER)
	return b
}

func (b *bank) key() dcep.Signer {
	b.t.Helper()
	return must[dcep.Signer](b.t)(b.suite.Generate())
}

// issue certifies a key; a template without times is valid for an hour around now.
func (b *bank) issue(c dcep.Template, key, by dcep.Signer, byDER []byte) []byte {
	b.t.Helper()
	if c.Env == "" {
		c.Env = b.env
	}
	if c.From.IsZero() {
		c.From, c.Until = time.Now().Add(-time.Hour), time.Now().Add(time.Hour)
	}
	return must[[]byte](b.t)(dcep.Certify(c, key.Public(), by, byDER))
}

func (b *bank) trust() dcep.Trust {
	return dcep.Trust{Env: b.env, Roots: [][]byte{b.rootDER}, Institutions: [][]byte{b.bankDER}, IssuedMS: time.Now().UnixMilli()}
}

// wallet issues a genuine wallet, changed by whoever wants another.
func (b *bank) wallet(change ...func(*dcep.Template)) *wallet.Wallet {
	b.t.Helper()
	c := dcep.Template{Name: "wallet", Institution: "ICBC"}
	for _, f := range change {
		f(&c)
	}
	key := b.key()
	return wallet.Of(key, b.issue(c, key, b.house, b.bankDER))
}

// plastic is the wallet as a card in a customer's hand.
type plastic struct {
	wallet *wallet.Wallet
	applet *wallet.Card
	card   *device.Card
}

func carry(w *wallet.Wallet) plastic {
	a := w.Card(time.Now)
	return plastic{w, a, device.NewCard(device.CardOptions{
		Applications: []device.Application{{AID: []byte(wallet.AID), Label: "DCPOS", Priority: 1, Applet: a}},
	})}
}
