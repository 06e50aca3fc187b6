package draw

import (
	"bytes"
	"cmp"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"hash"
	"math"
	"slices"

	"dcpos/pos"
)

// Seed is the number that decides: SHA-256 of the algorithm's name, the terms, the list
// and the beacon's randomness. Nobody can know it before the round exists, and whoever
// changes an entry has another.
func Seed(terms, root [32]byte, size int64, randomness [32]byte) [32]byte {
	h := sha256.New()
	h.Write([]byte(Format))
	h.Write(terms[:])
	h.Write(root[:])
	var n [8]byte
	binary.BigEndian.PutUint64(n[:], uint64(size)) //nolint:gosec // not negative
	h.Write(n[:])
	h.Write(randomness[:])
	return [32]byte(h.Sum(nil))
}

// ranker computes the keys by which entries are ordered.
type ranker struct {
	mac    hash.Hash
	labels [][]byte // of each stratum; empty where there is none
	buf    []byte
}

func newRanker(t Terms, seed [32]byte) *ranker {
	r := &ranker{mac: hmac.New(sha256.New, seed[:]), labels: make([][]byte, max(1, len(t.Strata)))}
	for i, s := range t.Strata {
		r.labels[i] = append([]byte(s.Name), 0)
	}
	return r
}

// key is HMAC-SHA256 under the seed of the ticket; with strata, of the stratum's name, a
// zero byte and the ticket.
func (r *ranker) key(t Ticket, stratum uint8) [32]byte {
	r.mac.Reset()
	if label := r.labels[stratum]; label != nil {
		r.mac.Write(label)
	}
	r.mac.Write(t[:])
	r.buf = r.mac.Sum(r.buf[:0])
	return [32]byte(r.buf)
}

// candidate is an entry that may be among the best.
type candidate struct {
	head          uint64 // the key's first eight bytes: nearly always they decide
	key           [32]byte
	ticket        Ticket
	stratum, code uint8
}

func compareCandidates(a, b candidate) int {
	if a.head != b.head {
		return cmp.Compare(a.head, b.head)
	}
	return cmp.Or(bytes.Compare(a.key[:], b.key[:]), bytes.Compare(a.ticket[:], b.ticket[:]))
}

// selection keeps the best candidates of each group, no more than can matter.
type selection struct {
	terms  Terms
	quotas bool // institutions have quotas: they are groups of their own
	most   int  // of each group
	groups []group
}

// group keeps its best candidates and some more; what has a head beyond worst is out.
type group struct {
	kept  []candidate
	worst uint64
}

// newSelection keeps Envelopes + Waiting of each group: an entry behind so many of its
// own group can neither win nor wait, whatever the quotas do to those before it.
func newSelection(t Terms) *selection {
	s := &selection{terms: t, most: int(t.Envelopes() + t.Waiting)}
	for _, i := range t.Institutions {
		s.quotas = s.quotas || i.Quota > 0
	}
	n := max(1, len(t.Strata))
	if s.quotas {
		n *= len(t.Institutions)
	}
	s.groups = make([]group, n)
	for i := range s.groups {
		s.groups[i].worst = math.MaxUint64
	}
	return s
}

func (s *selection) offer(key [32]byte, t Ticket, stratum, code uint8) {
	i := int(stratum)
	if s.quotas {
		i = i*len(s.terms.Institutions) + int(code)
	}
	g, head := &s.groups[i], binary.BigEndian.Uint64(key[:8])
	if head > g.worst {
		return
	}
	g.kept = append(g.kept, candidate{head, key, t, stratum, code})
	if len(g.kept) >= 2*s.most {
		g.shrink(s.most)
	}
}

// shrink throws away what is behind most others. Candidates with the head of the last
// one all stay: their order is not known yet.
func (g *group) shrink(most int) {
	if len(g.kept) <= most {
		return
	}
	heads := make([]uint64, len(g.kept))
	for i, c := range g.kept {
		heads[i] = c.head
	}
	slices.Sort(heads)
	g.worst = heads[most-1]
	g.kept = slices.DeleteFunc(g.kept, func(c candidate) bool { return c.head > g.worst })
}

func (s *selection) merge(other *selection) {
	for _, g := range other.groups {
		for _, c := range g.kept {
			s.offer(c.key, c.ticket, c.stratum, c.code)
		}
	}
}

// Winner is an entry that gets an envelope.
type Winner struct {
	Rank        int64 // 1 is the best
	Ticket      Ticket
	Stratum     string
	Institution string
	Face        pos.Money
	Key         [32]byte
}

// Waiting is an entry that moves up when a winner of its stratum drops out.
type Waiting struct {
	Place       int64 // in its stratum, from 1
	Ticket      Ticket
	Stratum     string
	Institution string
	Key         [32]byte
}

// Outcome is who won and who waits, in order.
type Outcome struct {
	Winners []Winner
	Waiting []Waiting
}

// decide walks the candidates from the best down. First each stratum fills its quota,
// institutions theirs; what a stratum leaves over goes, where the terms say "share", to
// the best of those passed over. The winners together, in order, get the tiers.
func (s *selection) decide() Outcome {
	var all []candidate
	for i := range s.groups {
		s.groups[i].shrink(s.most)
		all = append(all, s.groups[i].kept...)
	}
	slices.SortFunc(all, compareCandidates)
	won := make([]bool, len(all))
	left := s.strataQuotas()
	banks := make([]int64, len(s.terms.Institutions))
	envelopes := s.terms.Envelopes()
	take := func(i int) bool {
		quota := s.terms.Institutions[all[i].code].Quota
		if envelopes == 0 || quota > 0 && banks[all[i].code] == quota {
			return false
		}
		won[i] = true
		banks[all[i].code]++
		envelopes--
		return true
	}
	for i, c := range all {
		if left[c.stratum] > 0 && take(i) {
			left[c.stratum]--
		}
	}
	if s.terms.Unfilled == "share" {
		for i := range all {
			if !won[i] {
				take(i)
			}
		}
	}
	return s.outcome(all, won)
}

func (s *selection) strataQuotas() []int64 {
	if len(s.terms.Strata) == 0 {
		return []int64{s.terms.Envelopes()}
	}
	left := make([]int64, len(s.terms.Strata))
	for i, q := range s.terms.Strata {
		left[i] = q.Count
	}
	return left
}

func (s *selection) outcome(all []candidate, won []bool) Outcome {
	var o Outcome
	places := make([]int64, max(1, len(s.terms.Strata)))
	tier, used := 0, int64(0)
	for i, c := range all {
		stratum, code := s.stratumName(c.stratum), s.terms.Institutions[c.code].Code
		if !won[i] {
			if places[c.stratum] < s.terms.Waiting {
				places[c.stratum]++
				o.Waiting = append(o.Waiting, Waiting{places[c.stratum], c.ticket, stratum, code, c.key})
			}
			continue
		}
		if used == s.terms.Tiers[tier].Count {
			tier, used = tier+1, 0
		}
		used++
		o.Winners = append(o.Winners, Winner{int64(len(o.Winners) + 1), c.ticket, stratum, code, s.terms.Tiers[tier].Face, c.key})
	}
	return o
}

func (s *selection) stratumName(i uint8) string {
	if len(s.terms.Strata) == 0 {
		return ""
	}
	return s.terms.Strata[i].Name
}
