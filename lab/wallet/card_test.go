package wallet_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"dcpos/lab/device"
	"dcpos/lab/wallet"
	"dcpos/pos"
	"dcpos/pos/dcep"
)

func wire(t *testing.T, seed byte, change func(*dcep.Challenge)) []byte {
	t.Helper()
	c, err := dcep.DecodeChallenge(challenge(func(c *dcep.Challenge) { c.Nonce = bytes.Repeat([]byte{seed}, dcep.NonceSize); change(c) }))
	if err != nil && change == nil {
		t.Fatal(err)
	}
	b, err := dcep.Marshal(c)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func apdu(cla, ins, p1, p2 byte, data []byte, le ...byte) []byte {
	c := []byte{cla, ins, p1, p2}
	if len(data) > 0 {
		c = append(append(c, byte(len(data))), data...)
	}
	return append(c, le...)
}

func present(data []byte) []byte { return apdu(0x00, 0x2A, 0x9E, 0x9A, data, 0x00) }

func status(b []byte) uint16 {
	if len(b) < 2 {
		return 0
	}
	return binary.BigEndian.Uint16(b[len(b)-2:])
}

func TestCardKeepsItsPromises(t *testing.T) {
	sim, client := outside(t)
	dir := filepath.Join(t.TempDir(), "w")
	card := create(t, client, dir).Card(func() time.Time { return now })
	asked := wire(t, 7, same)
	one := card.Process(present(asked))
	if status(one) != 0x9000 {
		t.Fatalf("% x", one)
	}
	w, err := wallet.Open(dir, wallet.Client{}) // the power was lost before the answer was heard
	if err != nil {
		t.Fatal(err)
	}
	card = w.Card(func() time.Time { return now })
	for _, again := range [][]byte{present(asked), apdu(0x80, 0xCA, 0, 0, bytes.Repeat([]byte{7}, 16), 0)} {
		if two := card.Process(again); !bytes.Equal(one, two) {
			t.Errorf("another answer: % x", two)
		}
	}
	if w.Counter() != 1 {
		t.Errorf("counter %d", w.Counter())
	}
	e, err := dcep.ParseBare(one[:len(one)-2], w.Certificate())
	if err != nil {
		t.Fatal(err)
	}
	if c, err := dcep.VerifyEvidence(sim.Trust(), e, now); err != nil || c.Institution != "CCB" {
		t.Errorf("%+v %v", c, err)
	}
	if b := card.Process(apdu(0x80, 0xCA, 0, 0, bytes.Repeat([]byte{8}, 16), 0)); status(b) != 0x6A88 || w.Counter() != 1 {
		t.Errorf("a promise that was never asked for: % x", b)
	}
}

func TestCardPromisesNothingThatItCannotKeep(t *testing.T) {
	_, client := outside(t)
	dir := filepath.Join(t.TempDir(), "w")
	card := create(t, client, dir).Card(func() time.Time { return now })
	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
	if b := card.Process(present(wire(t, 1, same))); len(b) != 2 || status(b) != 0x6F00 {
		t.Errorf("% x", b)
	}
}

func TestCardStatusWords(t *testing.T) {
	_, client := outside(t)
	w := create(t, client, "")
	for name, c := range map[string]struct {
		command []byte
		want    uint16
	}{
		"too short":                {[]byte{0, 0x2A, 0x9E}, 0x6700},
		"a length that lies":       {[]byte{0, 0x2A, 0x9E, 0x9A, 9, 1}, 0x6700},
		"an extended length lies":  {[]byte{0, 0x2A, 0x9E, 0x9A, 0, 1, 0, 7}, 0x6700},
		"too long":                 {append([]byte{0, 0x2A, 0x9E, 0x9A, 0, 2, 1}, make([]byte, 513)...), 0x6700},
		"another signature":        {apdu(0, 0x2A, 0x9E, 0x9B, []byte{1}, 0), 0x6A86},
		"no challenge":             {present([]byte("hello")), 0x6A80},
		"a live till":              {present(wire(t, 1, func(c *dcep.Challenge) { c.Env = pos.Live })), 0x6A80},
		"an unknown command":       {apdu(0, 0xB0, 0, 0, nil, 0), 0x6D00},
		"an unknown class":         {apdu(0x40, 0xB0, 0, 0, nil, 0), 0x6E00},
		"nothing more to fetch":    {apdu(0, 0xC0, 0, 0, nil, 0), 0x6985},
		"other data":               {apdu(0, 0xCA, 0x9F, 0x7F, nil, 0), 0x6A88},
		"a nonce of another size":  {apdu(0x80, 0xCA, 0, 0, []byte{1, 2}, 0), 0x6A80},
		"get evidence with P1":     {apdu(0x80, 0xCA, 1, 0, make([]byte, 16), 0), 0x6A86},
		"a chain that goes on":     {apdu(0x10, 0x2A, 0x9E, 0x9A, []byte{1}), 0x9000},
		"then a whole command":     {present(nil), 0x6A80},
		"extended, all is wanted":  {[]byte{0, 0xCA, 0x7F, 0x21, 0, 0, 0}, 0x9000},
		"short, some of it wanted": {[]byte{0, 0xCA, 0x7F, 0x21, 0x10}, 0x6100},
	} {
		b := w.Card(func() time.Time { return now }).Process(c.command)
		got := status(b)
		if got>>8 == 0x61 {
			got = 0x6100
		}
		if got != c.want {
			t.Errorf("%s: % .20x, want %04X", name, b, c.want)
		}
	}
	card := w.Card(func() time.Time { return now })
	for n, want := range []uint16{0x9000, 0x6D00, 0x6A80} { // another command ends a chain, and what it had begun is gone
		if got := status(card.Process([][]byte{apdu(0x10, 0x2A, 0x9E, 0x9A, []byte{1}), apdu(0x00, 0xB0, 0, 0, nil), present(nil)}[n])); got != want {
			t.Errorf("command %d of an interrupted chain: %04X, want %04X", n, got, want)
		}
	}
	if w.Counter() != 0 {
		t.Errorf("counter %d", w.Counter())
	}
}

func FuzzCard(f *testing.F) {
	suite, err := dcep.SuiteByName(dcep.Ed25519SHA256)
	if err != nil {
		f.Fatal(err)
	}
	key, err := suite.Generate()
	if err != nil {
		f.Fatal(err)
	}
	w := wallet.Of(key, []byte("certificate"))
	card := device.NewCard(device.CardOptions{Applications: []device.Application{{AID: []byte(wallet.AID), Applet: w.Card(func() time.Time { return now })}}})
	card.Activate()
	card.Transmit(append([]byte{0, 0xA4, 4, 0, 7}, wallet.AID...))
	f.Add([]byte{0, 0xCA, 0x7F, 0x21, 0})
	f.Add([]byte{0, 0x2A, 0x9E, 0x9A, 0, 0, 1, 1, 0, 0})
	f.Fuzz(func(t *testing.T, command []byte) {
		before := w.Counter()
		response, torn := card.Transmit(command)
		if torn || len(response) < 2 {
			t.Fatalf("% x", response)
		}
		if w.Counter() != before && status(response) != 0x9000 && status(response)>>8 != 0x61 {
			t.Fatal(errors.New("signed and said no"))
		}
	})
}
