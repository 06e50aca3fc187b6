package draw_test

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"testing"

	"golang.org/x/mod/sumdb/tlog"
	"pgregory.net/rapid"

	"dcpos/central/campaign/draw"
	"dcpos/pos"
)

func sha(b []byte) string { return fmt.Sprintf("%x", sha256.Sum256(b)) }

// reference draws as the text says and as slowly as it likes.
func reference(t draw.Terms, seed [32]byte, list []draw.Entry) (winners, waiting []string) {
	type ranked struct {
		e   draw.Entry
		key []byte
	}
	all := make([]ranked, len(list))
	for i, e := range list {
		m := hmac.New(sha256.New, seed[:])
		if len(t.Strata) > 0 {
			m.Write([]byte(e.Stratum + "\x00"))
		}
		m.Write(e.Ticket[:])
		all[i] = ranked{e, m.Sum(nil)}
	}
	slices.SortFunc(all, func(a, b ranked) int { return bytes.Compare(a.key, b.key) })
	strata, banks, quota := map[string]int64{"": t.Envelopes()}, map[string]int64{}, map[string]int64{}
	for _, s := range t.Strata {
		strata[s.Name] = s.Count
	}
	for _, i := range t.Institutions {
		quota[i.Code] = i.Quota
	}
	left := t.Envelopes()
	won := map[draw.Ticket]bool{}
	for walk := range 2 {
		for _, r := range all {
			full := quota[r.e.Institution] > 0 && banks[r.e.Institution] >= quota[r.e.Institution]
			if won[r.e.Ticket] || left == 0 || full || walk == 0 && strata[r.e.Stratum] == 0 || walk == 1 && t.Unfilled != "share" {
				continue
			}
			won[r.e.Ticket] = true
			left--
			banks[r.e.Institution]++
			strata[r.e.Stratum]--
		}
	}
	faces := []pos.Money{}
	for _, tier := range t.Tiers {
		for range tier.Count {
			faces = append(faces, tier.Face)
		}
	}
	places := map[string]int64{}
	for _, r := range all {
		switch {
		case won[r.e.Ticket]:
			winners = append(winners, fmt.Sprintf("%s %d", r.e.Line(), faces[len(winners)]))
		case places[r.e.Stratum] < t.Waiting:
			places[r.e.Stratum]++
			waiting = append(waiting, r.e.Line())
		}
	}
	return winners, waiting
}

func drawTerms() *rapid.Generator[draw.Terms] {
	return rapid.Custom(func(t *rapid.T) draw.Terms {
		count := rapid.Int64Range(1, 40)
		terms := draw.Terms{
			Unfilled: rapid.SampledFrom([]string{"return", "share"}).Draw(t, "unfilled"),
			Waiting:  rapid.Int64Range(0, 20).Draw(t, "waiting"), Strata: []draw.Stratum{},
		}
		for i := range rapid.IntRange(1, 3).Draw(t, "institutions") {
			code := []string{"ICBC", "ABC", "BOC"}[i]
			terms.Institutions = append(terms.Institutions, draw.Institution{Code: code, Quota: max(0, rapid.Int64Range(-20, 20).Draw(t, "quota"))})
		}
		for i := range rapid.IntRange(0, 3).Draw(t, "strata") {
			terms.Strata = append(terms.Strata, draw.Stratum{Name: fmt.Sprintf("s%d", i), Count: count.Draw(t, "count")})
		}
		var sum int64
		for _, s := range terms.Strata {
			sum += s.Count
		}
		if sum == 0 {
			sum = count.Draw(t, "count")
		}
		first := rapid.Int64Range(1, sum).Draw(t, "first tier")
		terms.Tiers = []draw.Tier{{Face: 80000, Count: first}}
		if sum > first {
			terms.Tiers = append(terms.Tiers, draw.Tier{Face: 20000, Count: sum - first})
		}
		return terms
	})
}

func TestTheDrawIsWhatTheTextSays(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		terms := drawTerms().Draw(rt, "terms")
		s := newStage(t, func(full *draw.Terms) {
			full.Tiers, full.Strata, full.Institutions, full.Unfilled, full.Waiting = terms.Tiers, terms.Strata, terms.Institutions, terms.Unfilled, terms.Waiting
		})
		list := entries(rapid.IntRange(0, 200).Draw(rt, "entries"), s.terms)
		s.publish(t, list)
		o := s.draw(t)
		winners, waiting := reference(s.terms, seedOf(t, s, list), list)
		got := []string{}
		for _, w := range o.Winners {
			got = append(got, fmt.Sprintf("%s %d", draw.Entry{Ticket: w.Ticket, Stratum: w.Stratum, Institution: w.Institution}.Line(), w.Face))
		}
		if !slices.Equal(got, winners) {
			rt.Errorf("winners: got %d, want %d", len(got), len(winners))
		}
		got = got[:0]
		for _, w := range o.Waiting {
			got = append(got, draw.Entry{Ticket: w.Ticket, Stratum: w.Stratum, Institution: w.Institution}.Line())
		}
		if !slices.Equal(got, waiting) {
			rt.Errorf("waiting: got %d, want %d", len(got), len(waiting))
		}
	})
}

// seedOf computes the seed by hand: its bytes are a contract.
func seedOf(tb testing.TB, s *stage, list []draw.Entry) [32]byte {
	tb.Helper()
	terms, err := s.terms.Encode()
	must(tb, err)
	termsHash := sha256.Sum256(terms)
	hashes := []tlog.Hash{}
	read := tlog.HashReaderFunc(func(at []int64) ([]tlog.Hash, error) {
		out := make([]tlog.Hash, len(at))
		for i, x := range at {
			out[i] = hashes[x]
		}
		return out, nil
	})
	for i, e := range list {
		more, err := tlog.StoredHashes(int64(i), []byte(e.Line()), read)
		must(tb, err)
		hashes = append(hashes, more...)
	}
	root, err := tlog.TreeHash(int64(len(list)), read)
	must(tb, err)
	round := s.round(tb)
	randomness, err := round.Verify(s.terms.Beacon.Chain)
	must(tb, err)
	b := append([]byte("draw-v1"), termsHash[:]...)
	b = append(b, root[:]...)
	b = binary.BigEndian.AppendUint64(b, uint64(len(list)))
	return sha256.Sum256(append(b, randomness[:]...))
}

// TestBlocksMakeTheSameTree has more entries than a block, and the library's tree as judge.
func TestBlocksMakeTheSameTree(t *testing.T) {
	s := newStage(t, nil)
	for _, n := range []int{0, 1, 2, 8191, 8192, 8193, 20_000, 32_768} {
		list := entries(n, s.terms)
		read, err := draw.ReadList(bytes.NewReader(csv(list)), s.terms)
		must(t, err)
		hashes := []tlog.Hash{}
		reader := tlog.HashReaderFunc(func(at []int64) ([]tlog.Hash, error) {
			out := make([]tlog.Hash, len(at))
			for i, x := range at {
				out[i] = hashes[x]
			}
			return out, nil
		})
		for i, e := range list {
			more, err := tlog.StoredHashes(int64(i), []byte(e.Line()), reader)
			must(t, err)
			hashes = append(hashes, more...)
		}
		want, err := tlog.TreeHash(int64(n), reader)
		must(t, err)
		if read.Size != int64(n) || tlog.Hash(read.Root) != want {
			t.Errorf("%d entries: size %d, root %x, want %x", n, read.Size, read.Root, want)
		}
	}
}

func TestThreadsDoNotMatter(t *testing.T) {
	s := newStage(t, func(terms *draw.Terms) { terms.Tiers = []draw.Tier{{Face: 20000, Count: 3000}} })
	s.publish(t, entries(30_000, s.terms))
	before := runtime.GOMAXPROCS(0)
	defer runtime.GOMAXPROCS(before)
	var first []byte
	for _, n := range []int{1, 2, 8} {
		runtime.GOMAXPROCS(n)
		if _, err := draw.Draw(s.dir, s.round(t)); err != nil {
			t.Fatal(err)
		}
		b, err := os.ReadFile(filepath.Join(s.dir, draw.WinnersFile))
		must(t, err)
		if first == nil {
			first = b
		} else if !bytes.Equal(first, b) {
			t.Errorf("%d threads: other winners", n)
		}
	}
}
