package draw_test

import (
	"bytes"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"flag"
	"fmt"
	"math"
	"testing"
	"time"

	"golang.org/x/mod/sumdb/note"

	"dcpos/central/campaign/draw"
)

var fairDraws = flag.Int("fair", 20, "draws of TestFairness; 2000 is the long form")

// fixedKey is a party's key that is the same in every run: 32 bytes of n.
func fixedKey(n byte) ed25519.PrivateKey {
	return ed25519.NewKeyFromSeed(bytes.Repeat([]byte{n}, ed25519.SeedSize))
}

// fixed is a campaign with fixed keys: nothing in it is by chance but the rounds, and those of
// the practice beacon are always the same.
type fixed struct {
	*stage
	witnessKey  ed25519.PrivateKey
	witnessHash uint32
}

func newFixed(t *testing.T, change func(*draw.Terms)) *fixed {
	t.Helper()
	f := &fixed{stage: newStage(t, change), witnessKey: fixedKey(2)}
	key := fixedKey(1)
	const publisher, witness = "publisher.example", "witness.example"
	vkey := func(name string, alg byte, key ed25519.PrivateKey) (vkey string, hash uint32) {
		raw := append([]byte{alg}, key.Public().(ed25519.PublicKey)...)
		sum := sha256.Sum256(append([]byte(name+"\n"), raw...))
		hash = binary.BigEndian.Uint32(sum[:])
		return fmt.Sprintf("%s+%08x+%s", name, hash, base64.StdEncoding.EncodeToString(raw)), hash
	}
	var hash uint32
	f.terms.Publisher, hash = vkey(publisher, 1, key)
	f.terms.Witness, f.witnessHash = vkey(witness, 4, f.witnessKey)
	var err error
	f.publisher, err = note.NewSigner(fmt.Sprintf("PRIVATE+KEY+%s+%08x+%s", publisher, hash, base64.StdEncoding.EncodeToString(append([]byte{1}, key.Seed()...))))
	must(t, err)
	return f
}

// redraw does a draw by another round.
func (f *fixed) redraw(t *testing.T, list []draw.Entry, round uint64) draw.Outcome {
	t.Helper()
	f.terms.Beacon.Round = round
	terms, err := f.terms.Encode()
	must(t, err)
	read, err := draw.ReadList(bytes.NewReader(csv(list)), f.terms)
	must(t, err)
	f.write(t, draw.TermsFile, terms)
	f.log = &draw.Log{}
	f.seen(t, draw.Record{Kind: draw.RecordTerms, SHA256: sha(terms)}, f.terms.Register.From.Add(-time.Hour))
	f.seen(t, draw.Record{Kind: draw.RecordList, Root: fmt.Sprintf("%x", read.Root), Size: read.Size}, f.terms.Register.Until)
	o, err := draw.Draw(f.dir, f.round(t))
	must(t, err)
	return o
}

// seen logs a record that the witness saw at a moment.
func (f *fixed) seen(t *testing.T, r draw.Record, at time.Time) {
	t.Helper()
	tree, err := f.log.Append(r)
	must(t, err)
	b, err := draw.Checkpoint(f.terms.Campaign, tree, f.publisher)
	must(t, err)
	sig := binary.BigEndian.AppendUint32(nil, f.witnessHash)
	sig = binary.BigEndian.AppendUint64(sig, uint64(at.Unix())) //nolint:gosec // after 1970
	text := b[:bytes.LastIndex(b, []byte("\n\n"))+1]
	sig = append(sig, ed25519.Sign(f.witnessKey, fmt.Appendf(nil, "cosignature/v1\ntime %d\n%s", at.Unix(), text))...)
	f.write(t, draw.CheckpointFile(tree.N), append(b, "— witness.example "+base64.StdEncoding.EncodeToString(sig)+"\n"...))
	lines, err := f.log.Encode()
	must(t, err)
	f.write(t, draw.LogFile, lines)
}

// bins counts events that fall into bins with equal or unequal chance.
type bins struct {
	name      string
	got, want []float64
	spread    float64 // variance of a count, divided by what is expected
}

// chiSquare is the statistic with its degrees of freedom taken for as many as there are bins.
func (b bins) judge(t *testing.T) {
	t.Helper()
	sum := 0.0
	for i, g := range b.got {
		sum += (g - b.want[i]) * (g - b.want[i]) / (b.want[i] * b.spread)
	}
	n := float64(len(b.got))
	limit := n + 5*math.Sqrt(2*n) // five standard deviations of chi-square
	t.Logf("%s: chi-square %.1f of %d bins, limit %.1f", b.name, sum, len(b.got), limit)
	if sum > limit {
		t.Errorf("%s: chi-square %.1f, limit %.1f", b.name, sum, limit)
	}
}

// TestFairness draws many times by draw.Draw, each time by another round: an entrant wins as
// often as chance lets her, whatever her place in the list, her institution or her ticket's
// first digits, whether her neighbour wins, and who won in the draw before. Everything is
// fixed (keys, list, rounds), so the test cannot fail by bad luck.
func TestFairness(t *testing.T) {
	const entrants, envelopes, run = 4000, 400, 100 // run: entrants to a bin of neighbours
	f := newFixed(t, func(terms *draw.Terms) {
		terms.Tiers = []draw.Tier{{Face: 80000, Count: 80}, {Face: 20000, Count: envelopes - 80}}
	})
	list := entries(entrants, f.terms)
	f.write(t, draw.EntriesFile, csv(list))
	at := make(map[draw.Ticket]int, entrants)
	for i, e := range list {
		at[e.Ticket] = i
	}
	draws := float64(*fairDraws)
	p := float64(envelopes) / entrants
	both := p * (envelopes - 1) / (entrants - 1)
	flat := func(name string, n int, want, chance float64) bins {
		b := bins{name: name, got: make([]float64, n), want: make([]float64, n), spread: 1 - chance}
		for i := range b.want {
			b.want[i] = want
		}
		return b
	}
	wins := flat("wins of an entrant", entrants, draws*p, p)
	best := flat("envelopes of the first tier", entrants, draws*80/entrants, 80.0/entrants)
	pairs := flat("wins of neighbours", entrants/run, draws*run*both, both)
	again := flat("wins in two draws, one after the other", entrants/run, (draws-1)*run*p*p, p*p)
	banks := flat("institution", len(f.terms.Institutions), draws*envelopes/float64(len(f.terms.Institutions)), p)
	digits := bins{name: "first byte of the ticket", got: make([]float64, 256), want: make([]float64, 256), spread: 1 - p}
	for _, e := range list {
		digits.want[e.Ticket[0]] += draws * p
	}
	last := make([]bool, entrants)
	for d := range *fairDraws {
		o := f.redraw(t, list, f.terms.Beacon.Round+1)
		if len(o.Winners) != envelopes {
			t.Fatalf("draw %d: %d winners", d, len(o.Winners))
		}
		won := make([]bool, entrants)
		for _, w := range o.Winners {
			i := at[w.Ticket]
			won[i] = true
			wins.got[i]++
			digits.got[w.Ticket[0]]++
			for n, bank := range f.terms.Institutions {
				if bank.Code == w.Institution {
					banks.got[n]++
				}
			}
			if w.Face == 80000 {
				best.got[i]++
			}
		}
		for i := range entrants {
			if won[i] && won[(i+1)%entrants] {
				pairs.got[i/run]++
			}
			if won[i] && last[i] {
				again.got[i/run]++
			}
		}
		last = won
	}
	for _, b := range []bins{wins, best, pairs, again, banks, digits} {
		b.judge(t)
	}
}
