package kernel_test

import (
	"bytes"
	"context"
	"encoding/hex"
	"encoding/json"
	"flag"
	"os"
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

var update = flag.Bool("update", false, "write testdata anew")

// hexBytes are bytes in hexadecimal.
type hexBytes []byte

func (h hexBytes) MarshalText() ([]byte, error) { return []byte(hex.EncodeToString(h)), nil }

func (h *hexBytes) UnmarshalText(b []byte) (err error) {
	*h, err = hex.DecodeString(string(b))
	return err
}

// step is one command and its answer.
type step struct {
	What     string   `json:"what"`
	Command  hexBytes `json:"command"`
	Response hexBytes `json:"response"`
}

// vector is testdata/tap-*.json; testdata/README.md explains it.
type vector struct {
	Suite       string         `json:"suite"`
	NowMS       int64          `json:"now_ms"`
	Root        hexBytes       `json:"root"`
	Institution hexBytes       `json:"institution"`
	WalletKey   string         `json:"wallet_key"`
	Wallet      string         `json:"wallet_serial"`
	Challenge   dcep.Challenge `json:"challenge_fields"`
	ChallengeB  hexBytes       `json:"challenge"`
	Evidence    hexBytes       `json:"evidence"`
	Counter     uint64         `json:"counter"`
	Steps       []step         `json:"steps"`
	AfterTear   []step         `json:"after_a_tear"`
}

// taped records what a card is asked, or plays it back.
type taped struct {
	card  *device.Card // nil: play
	steps []step
	t     *testing.T
}

var _ drivers.Card = (*taped)(nil)

func (c *taped) Info() drivers.CardInfo            { return drivers.CardInfo{} }
func (c *taped) WaitRemoved(context.Context) error { return nil }
func (c *taped) Close() error                      { return nil }
func (c *taped) Transmit(ctx context.Context, command []byte) ([]byte, error) {
	return apdu.Exchange(ctx, c.carry, command, false)
}

func (c *taped) carry(_ context.Context, command []byte) ([]byte, error) {
	if c.card != nil {
		response, _ := c.card.Transmit(command)
		c.steps = append(c.steps, step{said(command), command, response})
		return response, nil
	}
	if len(c.steps) == 0 {
		c.t.Fatalf("asked % x, and nothing more is expected", command)
	}
	s := c.steps[0]
	c.steps = c.steps[1:]
	if !bytes.Equal(s.Command, command) {
		c.t.Fatalf("%s: asked\n%x, want\n%x", s.What, command, s.Command)
	}
	return s.Response, nil
}

func said(command []byte) string {
	switch {
	case command[1] == 0xA4 && bytes.Contains(command, []byte("2PAY")):
		return "SELECT the directory"
	case command[1] == 0xA4:
		return "SELECT the application"
	case command[1] == 0xC0:
		return "GET RESPONSE"
	case command[1] == 0x2A:
		return "PRESENT"
	case command[0] == 0x80:
		return "GET EVIDENCE"
	}
	return "GET CERTIFICATE"
}

func TestTapVectors(t *testing.T) {
	for _, name := range suites() {
		t.Run(name, func(t *testing.T) {
			path := "testdata/tap-" + name + ".json"
			if *update {
				record(t, name, path)
			}
			b, err := os.ReadFile(path)
			var v vector
			if err := json.Unmarshal(must(t, b, err), &v); err != nil {
				t.Fatal(err)
			}
			if v.Suite != name {
				t.Fatalf("suite %q", v.Suite)
			}
			replay(t, v)
		})
	}
}

func replay(t *testing.T, v vector) {
	t.Helper()
	c, err := dcep.Marshal(v.Challenge)
	if err != nil || !bytes.Equal(c, v.ChallengeB) {
		t.Fatalf("challenge %x, %v", c, err)
	}
	trust := dcep.Trust{Env: pos.Lab, Roots: [][]byte{v.Root}, Institutions: [][]byte{v.Institution}, IssuedMS: v.NowMS}
	k := &kernel.NFC{QR: kernel.QR{Trust: func() dcep.Trust { return trust }}}
	p := kernel.PromptOf(v.Challenge)
	for _, steps := range [][]step{v.Steps, v.AfterTear} {
		card := &taped{steps: steps, t: t}
		taken, err := k.Tap(t.Context(), kernel.Tap{Card: card, Prompt: p, Now: func() time.Time { return time.UnixMilli(v.NowMS) }})
		if err != nil || !bytes.Equal(taken.Evidence, v.Evidence) || taken.Wallet != v.Wallet || taken.Counter != v.Counter || len(card.steps) != 0 {
			t.Fatalf("%+v %v", taken, err)
		}
	}
	key, err := dcep.ParseKey([]byte(v.WalletKey))
	e, err2 := dcep.ParseEvidence(v.Evidence)
	if err != nil || err2 != nil || key.Suite().Name() != v.Suite || e.Counter != v.Counter {
		t.Fatalf("%+v %v %v", e, err, err2)
	}
}

// record makes a vector anew; SM2 signs with a random number, so no two are the same.
func record(t *testing.T, name, path string) {
	t.Helper()
	b := newBank(t, name, pos.Lab)
	key := b.key(t)
	der := b.issue(t, dcep.Template{Name: "wallet", Institution: "ICBC"}, key.Public(), b.house, b.bankDER, time.Hour)
	now := time.Now().Truncate(time.Second)
	c := dcep.Challenge{
		Env: pos.Lab, Terminal: "T1", Merchant: "M1", Payment: pos.NewPaymentID(now, [10]byte{1, 2, 3, 4, 5, 6, 7, 8, 9, 10}), Amount: 12_34,
		Nonce: []byte("0123456789abcdef"), AtMS: now.UnixMilli(), ExpiresMS: now.Add(2 * time.Minute).UnixMilli(),
	}
	pem, err := dcep.MarshalKey(key)
	must(t, pem, err)
	w := holder(wallet.Of(key, der))
	k, p := b.kernel(), kernel.PromptOf(c)
	v := vector{Suite: name, NowMS: now.UnixMilli(), Root: b.rootDER, Institution: b.bankDER, WalletKey: string(pem), Challenge: c}
	v.ChallengeB, err = dcep.Marshal(c)
	must(t, v.ChallengeB, err)
	for _, steps := range []*[]step{&v.Steps, &v.AfterTear} {
		w.card.Activate()
		card := &taped{card: w.card}
		taken, err := k.Tap(t.Context(), kernel.Tap{Card: card, Prompt: p, Now: func() time.Time { return now }})
		must(t, taken, err)
		*steps, v.Evidence, v.Wallet, v.Counter = card.steps, taken.Evidence, taken.Wallet, taken.Counter
	}
	out, err := json.MarshalIndent(v, "", "  ")
	if err := os.WriteFile(path, append(must(t, out, err), '\n'), 0o600); err != nil {
		t.Fatal(err)
	}
}
