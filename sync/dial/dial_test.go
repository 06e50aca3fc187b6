package dial_test

import (
	"log/slog"
	"testing"
	"time"

	"github.com/nats-io/nkeys"

	"dcpos/sync/dial"
)

func TestTheWaitGrowsToItsLimitWithJitter(t *testing.T) {
	seen := map[time.Duration]bool{}
	for n := range 40 {
		for range 20 {
			w := dial.Wait(n)
			if w < 125*time.Millisecond || w > 15*time.Second {
				t.Fatalf("attempt %d waits %s", n, w)
			}
			if n > 12 && w < 7500*time.Millisecond {
				t.Fatalf("attempt %d waits only %s", n, w)
			}
			seen[w] = true
		}
	}
	if len(seen) < 100 {
		t.Errorf("%d different waits: a thousand tills would come at once", len(seen))
	}
}

func TestATillBootsWithoutANetwork(t *testing.T) {
	pair, err := nkeys.CreateUser()
	if err != nil {
		t.Fatal(err)
	}
	seed, err := pair.Seed()
	if err != nil {
		t.Fatal(err)
	}
	c := dial.Config{URL: "nats://127.0.0.1:1", Terminal: "T1", Seed: seed, Log: slog.New(slog.DiscardHandler)}
	nc, err := dial.Connect(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	if nc.IsConnected() {
		t.Error("connected to nobody")
	}
	c.Seed = []byte("no seed")
	if _, err := dial.Connect(t.Context(), c); err == nil {
		t.Error("nonsense was taken for a seed")
	}
	c.Terminal = "a.b"
	if _, err := dial.Connect(t.Context(), c); err == nil {
		t.Error("a name that is no token was taken")
	}
}
