package offline_test

import (
	"testing"

	"dcpos/pos"
	"dcpos/pos/dcep"
)

// What guards ask of the journal: a wallet's payments count as long as the window is, with
// or without a receipt; what is stored at the merchant's risk is a sum of its own.
func TestWhatGuardsAsk(t *testing.T) {
	tl, c := newTill(t, dcep.Ed25519SHA256), newCentre(t)
	tl.accept(t, "k1", 100, "w1", 1)
	tl.accept(t, "k2", 250, "w2", 1)
	stored, draft := tl.create("k3", 70)
	tl.write(t, draft)
	tl.write(t, tl.move(stored, pos.Created, pos.Stored, nil))
	entries := tl.all(t)
	last := entries[len(entries)-1]
	at := map[string]int64{}
	for _, e := range entries {
		if body, err := dcep.Body(e); err == nil {
			if m, ok := body.(*pos.PaymentMoved); ok {
				at[m.Wallet] = e.At.WallMS
			}
		}
	}
	look := func(forwarded pos.Money) {
		t.Helper()
		tl.view(t, func(v pos.JournalView) error {
			for since, want := range map[int64]pos.Money{0: 100, at["w1"]: 100, at["w1"] + 1: 0} {
				if got, err := v.WalletSince("w1", since); err != nil || got.Total != want {
					t.Errorf("since %d: %+v %v, want %s", since, got, err, want)
				}
			}
			if got, err := v.Forwarded(); err != nil || got.Total != forwarded {
				t.Errorf("forwarded %+v %v, want %s", got, err, forwarded)
			}
			return nil
		})
	}
	look(70)
	if o, err := tl.Outbox(t.Context()); err != nil || o.Money.Total != 350 || o.Forwarded.Total != 70 || o.Forwarded.Count != 1 {
		t.Errorf("%+v %v", o, err)
	}
	for _, e := range entries {
		if e.Sig == nil {
			continue
		}
		if err := tl.Acknowledge(t.Context(), c.receipt(t, e, 0), c.verifier); err != nil {
			t.Fatal(err)
		}
	}
	if o, err := tl.Outbox(t.Context()); err != nil || o.Receipted != last.Seq {
		t.Fatalf("%+v %v", o, err)
	}
	look(70) // a receipt charges nobody
	tl.write(t, tl.move(stored, pos.Stored, pos.Paid, nil))
	look(0)
}

// The journal names the highest version of a policy that was taken; another scope's or a
// file's is not it.
func TestConfigVersion(t *testing.T) {
	tl := newTill(t, dcep.Ed25519SHA256)
	for _, c := range []pos.ConfigChanged{
		{What: "policy fleet", Version: 7}, {What: "policy fleet", Version: 5}, {What: "policy store S1", Version: 9}, {What: "config"},
	} {
		tl.write(t, tl.draft(pos.KindConfig, pos.PaymentID{}, c))
	}
	for what, want := range map[string]uint64{"policy fleet": 7, "policy store S1": 9, "policy": 0, "config": 0} {
		if got, err := tl.ConfigVersion(t.Context(), what); err != nil || got != want {
			t.Errorf("%s: version %d %v, want %d", what, got, err, want)
		}
	}
}
