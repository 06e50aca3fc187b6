package wallet_test

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"net/http"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"dcpos/lab/institution/api"
	"dcpos/lab/wallet"
	"dcpos/pos"
	"dcpos/pos/dcep"
)

// told sends the institution what a centre would.
func told(t *testing.T, c wallet.Client, path string, what any) {
	t.Helper()
	b, err := json.Marshal(what)
	if err != nil {
		t.Fatal(err)
	}
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, c.Base+path, bytes.NewReader(b))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("X-Dcpos-Key", c.Key)
	r.Header.Set("Content-Type", "application/json")
	a, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	if err := a.Body.Close(); err != nil || a.StatusCode != http.StatusOK {
		t.Fatalf("%s: %s, %v", path, a.Status, err)
	}
}

// campaigns tells the institution of campaigns that end one after the other, the last one first.
func campaigns(t *testing.T, c wallet.Client) (hash []byte) {
	t.Helper()
	hash = bytes.Repeat([]byte{7}, 32)
	for name, hours := range map[string]int{"ends-last": 72, "ends-first": 24, "a-coupon": 48, "not-yet": 96} {
		from := now.Add(-time.Hour)
		if name == "not-yet" {
			from = now.Add(time.Hour)
		}
		told(t, c, "/campaigns", api.EnvelopeRules{
			Campaign: name, Hash: hex.EncodeToString(hash), Title: pos.Text{ZH: "活动", EN: "campaign"}, Channels: []string{pos.ChannelInStore},
			FromMS: from.UnixMilli(), UntilMS: now.Add(time.Duration(hours) * time.Hour).UnixMilli(),
			Merchants: []string{"*"}, Stores: []string{"*"}, Categories: []string{"*"},
		})
		order := api.EnvelopeOrder{Envelope: "E-" + name, Campaign: name, Claimant: api.Claimant(name, "13900000001"), Amount: 20_00}
		if name == "a-coupon" {
			order.Threshold, order.Amount = 60_00, 5_00
		}
		told(t, c, "/envelopes", api.EnvelopeOrders{Orders: []api.EnvelopeOrder{order}})
	}
	return hash
}

// TestEnvelopesAreSpentWithoutANetwork: what a wallet has claimed pays first, the envelope that
// ends first before the others, a coupon whole or not at all, and nothing twice.
func TestEnvelopesAreSpentWithoutANetwork(t *testing.T) {
	_, client := outside(t)
	hash := campaigns(t, client)
	dir := filepath.Join(t.TempDir(), "w")
	w, err := wallet.Create(t.Context(), client, wallet.Opening{Dir: dir, Institution: "CCB", Name: "w", Balance: 100_00, Phone: "13900000001"})
	if err != nil {
		t.Fatal(err)
	}
	if b, err := w.Balance(t.Context()); err != nil || b.Envelope != 65_00 || len(b.Envelopes) != 4 {
		t.Fatalf("it holds %+v, %v", b, err)
	}
	use := func(name string, amount pos.Money) pos.EnvelopeUse {
		return pos.EnvelopeUse{Envelope: "E-" + name, Campaign: name, Hash: hash, Amount: amount}
	}
	for i, c := range []struct {
		price    pos.Money
		category string
		want     []pos.EnvelopeUse
	}{
		{price: 15_00, want: nil}, // the till offers none
		{15_00, "food", []pos.EnvelopeUse{use("ends-first", 15_00)}},
		{22_00, "food", []pos.EnvelopeUse{use("ends-first", 5_00), use("ends-last", 17_00)}}, // below the coupon's threshold
		{60_00, "food", []pos.EnvelopeUse{use("a-coupon", 5_00), use("ends-last", 3_00)}},
		{60_00, "food", nil}, // nothing is left
	} {
		w, err := wallet.Open(dir, wallet.Client{}) // as after a restart, without network
		if err != nil {
			t.Fatal(err)
		}
		text, err := w.Answer(challenge(func(x *dcep.Challenge) {
			x.Amount, x.Category, x.Nonce = c.price, c.category, bytes.Repeat([]byte{byte(i + 1)}, dcep.NonceSize)
		}), now)
		if err != nil {
			t.Fatal(err)
		}
		e, err := dcep.DecodeEvidence(text)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(c.want, e.Envelopes); diff != "" {
			t.Errorf("payment %d of %s: %s", i, c.price, diff)
		}
	}
}
