package link_test

import (
	"testing"

	"dcpos/pos"
	"dcpos/pos/dcep"
	"dcpos/sync/wire"
)

// Tills stop trusting a list of revoked wallets that is too old, so a list that still
// holds must reach them without a change of the limits.
func TestANewerTrustComesWithoutNewLimits(t *testing.T) {
	c := newCentre(t, "sqlite:"+t.TempDir()+"/c.db")
	issued := int64(1000)
	c.cfg.Trust = func() dcep.Trust { return dcep.Trust{Env: pos.Lab, Revoked: []string{"ab"}, IssuedMS: issued} }
	c.start(t)
	till := c.enrol(t, dcep.Ed25519SHA256)
	nc := c.connect(t, till)
	for have, want := range map[int64]bool{0: true, 999: true, 1000: false, 2000: false} {
		m := askMark(t, c, nc, till, wire.MarkRequest{Epoch: 1, Policies: 1, TrustMS: have})
		if (m.Trust != nil) != want || m.Limits != nil {
			t.Errorf("a till with trust of %d got %+v", have, m.Trust)
		}
	}
}
