package campaign_test

import (
	"context"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"dcpos/central/campaign/draw"
	"dcpos/central/campaign/portal"
	"dcpos/central/campaign/register"
	"dcpos/internal/testbin"
	"dcpos/internal/testpg"
)

// TestKilledCampaign kills the centre in the rush of registrations, closing and drawing
// at random moments, and the centre again and again while it gives envelopes out and takes
// them back. Every receipt that was given out is kept, nobody is in the list twice, the draw
// verifies and stays what it was, and each winner has one envelope.
func TestKilledCampaign(t *testing.T) {
	t.Parallel()
	for _, engine := range []string{"sqlite", "postgres"} {
		t.Run(engine, func(t *testing.T) {
			t.Parallel()
			t.Logf("-seed %d", *seed)
			rng := rand.New(rand.NewPCG(*seed, 2)) //nolint:gosec // moments, not secrets
			url := ""
			if engine == "postgres" {
				url = testpg.Start(t)
			}
			f := &fates{rng: rng}
			w := newWorldWith(t, url, f.prepare)
			w.start()
			w.set(at("2021-02-07 10:00:00"))
			entries := w.rush(rng)
			for n := 1; len(entries) < f.people(); n++ {
				if _, in := entries[n]; !in {
					entries[n], _ = w.enter(n)
				}
			}
			w.kill() // nobody closes by itself now
			w.set(at("2021-02-09 00:00:00"))
			w.repeat(rng, "close")
			w.drawable()
			w.repeat(rng, "draw")
			w.judge(entries)
			f.issue(entries)
		})
	}
}

// rush registers people from several sides and kills the centre three times meanwhile. The
// n-th person has the n-th entry.
func (w *world) rush(rng *rand.Rand) map[int]portal.Entry {
	w.Helper()
	var next, stop atomic.Int64
	var mu sync.Mutex
	all := map[int]portal.Entry{}
	var group sync.WaitGroup
	for range 4 {
		group.Go(func() {
			for stop.Load() == 0 {
				n := int(next.Add(1))
				e, ok := w.enter(n)
				if !ok {
					return
				}
				mu.Lock()
				all[n] = e
				mu.Unlock()
			}
		})
	}
	for range 3 {
		before := next.Load()
		w.until("people register", func() bool { return w.Failed() || next.Load() > before+5+rng.Int64N(10) })
		w.kill()
		w.start()
	}
	stop.Store(1)
	group.Wait()
	return all
}

// repeat runs a command that is killed at random moments, later and later, until it ends
// by itself: so a kill meets each of its steps.
func (w *world) repeat(rng *rand.Rand, command string) {
	w.Helper()
	begun := time.Now()
	before := w.standing() // opens the centre and does nothing else
	opening := time.Since(begun)
	killed, steps := 0, 0
	for try := range *kills {
		ctx, cancel := context.WithTimeout(w.Context(), time.Duration(int64(opening)*(4 + 24*try / *kills)/12+rng.Int64N(int64(opening)/12+1)))
		cmd := exec.CommandContext(ctx, filepath.Join(testbin.Dir(w.T), "poscentral"), "--config", w.config, "campaign", command, name)
		err := cmd.Run() // ends by SIGKILL
		cancel()
		if err == nil {
			break
		}
		killed++
		if now := w.standing(); now != before {
			before = now
			steps++
		}
	}
	w.central("campaign", command, name)
	w.Logf("%s: killed %d times, %d of them after a step that stood", command, killed, steps)
}

// judge holds what was published against what people were given.
func (w *world) judge(entries map[int]portal.Entry) {
	w.Helper()
	s := w.standing()
	if s.State != "drawn" || s.Entries != int64(len(entries)) {
		w.Errorf("it is %s with %d entries, %d receipts were given", s.State, s.Entries, len(entries))
	}
	w.run("posctl", "draw", "verify", s.Folder)
	text, err := os.ReadFile(filepath.Join(s.Folder, draw.TermsFile))
	if err != nil {
		w.Fatal(err)
	}
	terms, err := draw.DecodeTerms(text)
	if err != nil {
		w.Fatal(err)
	}
	list, err := os.ReadFile(filepath.Join(s.Folder, draw.EntriesFile))
	if err != nil {
		w.Fatal(err)
	}
	tickets := map[string]bool{}
	for _, e := range entries {
		r, err := register.OpenReceipt([]byte(e.Receipt), terms)
		if err != nil {
			w.Fatal(err)
		}
		if kept, err := r.Kept(strings.NewReader(string(list))); !kept || err != nil {
			w.Errorf("ticket %s was promised and is not in the list, %v", e.Ticket, err)
		}
		if tickets[e.Ticket] {
			w.Errorf("two people have ticket %s", e.Ticket)
		}
		tickets[e.Ticket] = true
	}
	w.Logf("%d receipts kept", len(entries))
}
