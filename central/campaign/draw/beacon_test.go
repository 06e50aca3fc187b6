package draw_test

import (
	"errors"
	"testing"
	"time"

	"dcpos/central/campaign/draw"
)

// Two rounds of drand's quicknet as the network published them.
func quicknetRounds() []draw.Round {
	return []draw.Round{
		{
			1000, "fe290beca10872ef2fb164d2aa4442de4566183ec51c56ff3cd603d930e54fdd",
			"b44679b9a59af2ec876b1a6b1ad52ea9b1615fc3982b19576350f93447cb1125e342b73a8dd2bacbe47e4b6b63ed5e39",
		},
	}
}

func TestRoundsOfQuicknet(t *testing.T) {
	for _, r := range quicknetRounds() {
		if _, err := r.Verify(draw.Quicknet); err != nil {
			t.Errorf("round %d: %v", r.Round, err)
		}
		if _, err := r.Verify(draw.PracticeChain); !errors.Is(err, draw.ErrRound) {
			t.Errorf("round %d as practice: %v", r.Round, err)
		}
		other := r
		other.Round++
		if _, err := other.Verify(draw.Quicknet); !errors.Is(err, draw.ErrRound) {
			t.Errorf("round %d as %d: %v", r.Round, other.Round, err)
		}
	}
	at, err := draw.TimeOf(draw.Quicknet, 1000)
	if want := time.Date(2023, 8, 23, 15, 59, 24, 0, time.UTC); err != nil || !at.Equal(want) {
		t.Errorf("round 1000 at %s, want %s (%v)", at.UTC(), want, err)
	}
}

func TestRoundAfter(t *testing.T) {
	for _, chain := range []string{draw.Quicknet, draw.PracticeChain} {
		for _, when := range []time.Time{time.Unix(0, 0), time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC), time.Date(2026, 1, 1, 0, 0, 0, 1, time.UTC)} {
			r, err := draw.RoundAfter(chain, when)
			if err != nil {
				t.Fatal(err)
			}
			at, err := draw.TimeOf(chain, r)
			if err != nil || !at.After(when) {
				t.Errorf("%s: round %d is at %s, not after %s", chain, r, at, when)
			}
		}
	}
	if _, err := draw.TimeOf("00", 1); err == nil {
		t.Error("a chain that is not known")
	}
}

func FuzzDecode(f *testing.F) {
	s := newStage(f, nil)
	b, err := s.terms.Encode()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(b)
	f.Add([]byte(`{"kind":"terms","sha256":"00"}` + "\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		if terms, err := draw.DecodeTerms(b); err == nil {
			if again, err := terms.Encode(); err != nil || string(again) != string(b) {
				t.Errorf("two spellings: %q and %q", b, again)
			}
		}
		if l, err := draw.DecodeLog(b); err == nil {
			if again, err := l.Encode(); err != nil || string(again) != string(b) {
				t.Errorf("two spellings: %q and %q", b, again)
			}
		}
	})
}
