package kills_test

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"dcpos/lab/drill"
	"dcpos/pos"
)

// holds waits until the till says which policy is in force and which comes next.
func (s *shop) holds(version, next uint64, perPayment pos.Money) {
	s.t.Helper()
	s.eventually("policy", func() error {
		st, err := s.till().Status(s.t.Context())
		if err != nil {
			return err
		}
		if st.Rules.Version != version || st.Rules.NextVersion != next || st.Room.PerPayment != perPayment {
			return fmt.Errorf("version %d at most %s, then %d", st.Rules.Version, st.Room.PerPayment, st.Rules.NextVersion)
		}
		return nil
	})
}

// publish signs a policy at the command line, beside the running centre.
func (s *shop) publish(perPayment pos.Money, args ...string) {
	s.t.Helper()
	file := filepath.Join(s.t.TempDir(), "limits.yaml")
	s.must(os.WriteFile(file, fmt.Appendf(nil, "per_payment_fen: %d\n", perPayment), 0o600))
	if out, code, err := s.Central(s.t.Context(), append([]string{"policy", "publish", file}, args...)...); err != nil || code != 0 {
		s.t.Fatalf("publish: %d %v\n%s", code, err, out)
	}
}

// A policy that is published while everything runs reaches the till, which keeps it and the
// next one without a network and across a kill, and takes by it to the fen.
func TestAPublishedPolicyReachesTheTillAndStays(t *testing.T) {
	s := open(t)
	s.holds(1, 0, 500_00)
	s.publish(7_00, "--terminal", s.till().ID)
	s.publish(9_00, "--from", time.Now().Add(time.Hour).Format(time.RFC3339))
	s.publish(8_00, "--terminal", s.till().ID, "--from", time.Now().Add(time.Hour).Format(time.RFC3339))
	s.sell(100) // a till that has something to send asks every two seconds
	s.holds(2, 4, 7_00)
	s.receipted()
	s.must(s.Link.Cut())
	s.must(s.till().Kill())
	s.must(s.till().Restart(t.Context()))
	s.holds(2, 4, 7_00)
	p, err := s.till().Pay(t.Context(), drill.Start{Key: "over", OrderID: "over", Amount: 7_01, Mode: pos.Evidence})
	if err == nil {
		_, err = s.till().Challenge(t.Context(), p.ID)
	}
	if err == nil {
		t.Error("a fen over the policy is taken")
	}
	s.sellOffline(7_00)
}
