package kills_test

import (
	"testing"

	"dcpos/lab/drill"
)

// TestKillsLoseNothing is the short form of poslab kill without the power cuts.
func TestKillsLoseNothing(t *testing.T) {
	t.Parallel()
	t.Logf("seed %d", *seed)
	r, err := drill.Run(t.Context(), drill.Options{
		Bin: programs, Dir: t.TempDir(), Seed: *seed,
		Strikes: map[drill.Strike]int{drill.AgentKill: 18, drill.CentreKill: 5},
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range r.Findings {
		t.Error(f)
	}
	t.Logf("%+v", r)
	if r.Acked < 40 || r.Strikes[drill.AgentKill] != 18 || r.Strikes[drill.CentreKill] != 5 {
		t.Errorf("too little happened to prove anything: %+v", r)
	}
}
