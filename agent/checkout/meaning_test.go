package checkout

import (
	"testing"

	"dcpos/pos"
)

// A centre that is busy, has lost its database for a moment, or has put the till in
// quarantine refuses questions. Only of the question that would have started something
// does that mean that nothing was started.
func TestARefusedQuerySaysNothingOfTheMoney(t *testing.T) {
	refused := pos.Answer{Outcome: pos.OutcomeRejected, Reason: pos.ErrInternal}
	for _, mode := range []pos.Mode{pos.BScanC, pos.CScanB} {
		for _, state := range []pos.State{pos.Asking, pos.Unknown} {
			p := pos.Payment{Mode: mode, State: state}
			if m, ok := meaning(p, refused, nil, false); ok {
				t.Errorf("a refused query made a %s payment %s of %s", mode, m.To, state)
			}
			if m, ok := meaning(p, refused, nil, true); !ok || m.To != pos.Declined || m.Reason != pos.ErrInternal {
				t.Errorf("a question that was not started: %s payment %+v %t", mode, m, ok)
			}
		}
	}
	for _, state := range []pos.RefundState{pos.RefundAsking, pos.RefundUnknown} {
		if to := refundMeaning(state, refused, nil, false); to != "" {
			t.Errorf("a refused query made a refund %s of %s", to, state)
		}
		if to := refundMeaning(state, refused, nil, true); to != pos.RefundDeclined {
			t.Errorf("a refund that was not started is %q", to)
		}
	}
}
