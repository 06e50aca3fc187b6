package link_test

import (
	"testing"
	"time"

	"dcpos/central/campaign"
	"dcpos/pos"
	"dcpos/pos/dcep"
	"dcpos/sync/wire"
)

// Tills stop trusting a list of revoked wallets that is too old, so a list that still
// holds must reach them without a change of the policies.
func TestANewerTrustComesWithoutNewPolicies(t *testing.T) {
	c := newCentre(t, "sqlite:"+t.TempDir()+"/c.db")
	issued := int64(1000)
	c.cfg.Trust = func() dcep.Trust { return dcep.Trust{Env: pos.Lab, Revoked: []string{"ab"}, IssuedMS: issued} }
	c.start(t)
	till := c.enrol(t, dcep.Ed25519SHA256)
	nc := c.connect(t, till)
	for have, want := range map[int64]bool{0: true, 999: true, 1000: false, 2000: false} {
		m := askMark(t, c, nc, till, wire.MarkRequest{Epoch: 1, Policies: 1, TrustMS: have})
		if (m.Trust != nil) != want || m.Policies != nil {
			t.Errorf("a till with trust of %d got %+v", have, m.Trust)
		}
	}
}

// The catalogue comes with the campaigns that were published, sealed for the terminal, and
// again when one is published or six hours have gone; not with every mark.
func TestTheCatalogueComesWithItsCampaigns(t *testing.T) {
	c := newCentre(t, "sqlite:"+t.TempDir()+"/c.db")
	c.start(t)
	till := c.enrol(t, dcep.Ed25519SHA256)
	nc := c.connect(t, till)
	centre := must(c.signer.Suite().Verifier(c.signer.Public()))(t)
	take := func(have int64, nonce string) (pos.Catalogue, bool) {
		t.Helper()
		m := askMark(t, c, nc, till, wire.MarkRequest{Epoch: 1, Policies: 1, CatalogueMS: have, Nonce: []byte(nonce)})
		if string(m.Nonce) != nonce {
			t.Fatalf("the mark answers %q, asked %q", m.Nonce, nonce)
		}
		if m.Catalogue == nil {
			return pos.Catalogue{}, false
		}
		return must(dcep.OpenCatalogue(centre, *m.Catalogue))(t), true
	}
	empty, came := take(0, "12345678")
	if !came || empty.Terminal != till.id || empty.Env != pos.Lab || empty.IssuedMS == 0 || len(empty.Campaigns) != 0 {
		t.Fatalf("%+v %v", empty, came)
	}
	if _, again := take(empty.IssuedMS, "23456789"); again {
		t.Fatal("nothing is new, and it comes again")
	}
	d := must(campaign.Shipped())(t)[0]
	d.Env, d.Fence, d.Presence = pos.Lab, "", campaign.Anywhere
	d.Scope = campaign.Scope{Channels: []campaign.Channel{campaign.InStore}, Merchants: []string{"m1"}, Stores: []string{"other"}, Categories: []string{"*"}}
	shift := time.Since(d.Spend.Until) + 24*time.Hour
	for _, w := range []*campaign.Window{&d.Register, &d.Spend} {
		w.From, w.Until = w.From.Add(shift).Truncate(time.Second), w.Until.Add(shift).Truncate(time.Second)
	}
	p := must(campaign.Publish(d, 1, nil))(t)
	if err := c.store.PutCampaign(t.Context(), p); err != nil {
		t.Fatal(err)
	}
	full, came := take(empty.IssuedMS, "34567890")
	if !came || len(full.Campaigns) != 1 || full.IssuedMS <= empty.IssuedMS {
		t.Fatalf("%+v %v", full, came)
	}
	if s := full.Campaigns[0]; s.Campaign != d.Name || !s.Merchant || s.Store || len(s.Hash) != 32 || s.UntilMS != d.Spend.Until.UnixMilli() {
		t.Fatalf("%+v", s)
	}
	if _, again := take(full.IssuedMS, ""); again {
		t.Fatal("it comes again")
	}
}

// TestPolicyReachesTillsThatAreOnline: a policy that is published, by whatever process on the
// database, comes by itself; the till has not asked again.
func TestPolicyReachesTillsThatAreOnline(t *testing.T) {
	c := newCentre(t, "sqlite:"+t.TempDir()+"/c.db").start(t)
	till := c.enrol(t, dcep.Ed25519SHA256)
	nc := c.connect(t, till)
	marks := downs(t, c, nc, till)
	first := askMark(t, c, nc, till, wire.MarkRequest{Epoch: 1})
	if len(first.Policies) != 1 {
		t.Fatalf("%d policies at first", len(first.Policies))
	}
	centre := must(c.signer.Suite().Verifier(c.signer.Public()))(t)
	have := must(dcep.OpenPolicy(centre, first.Policies[0]))(t).Version
	askMark(t, c, nc, till, wire.MarkRequest{Epoch: 1, Policies: have})
	limits := pos.DefaultLimits()
	limits.PerPayment = 1_00
	version := must(c.fleet.Publish(t.Context(), pos.Policy{Limits: limits}, "op"))(t)
	for timeout := time.After(time.Minute); ; {
		select {
		case m := <-marks:
			for _, s := range m.Policies {
				if must(dcep.OpenPolicy(centre, s))(t).Version == version {
					return
				}
			}
		case <-timeout:
			t.Fatal("it does not come")
		}
	}
}
