package offline_test

import (
	"bytes"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"dcpos/offline"
	"dcpos/pos"
	"dcpos/pos/dcep"
)

var (
	flips    = flag.Int("flips", 120, "places at which one bit is flipped; 10000 for the long form")
	flipSeed = flag.Uint64("seed", uint64(time.Now().UnixNano()), "seed of places and moments")
)

// image is a till's file as it lies on the medium, and what it holds.
type image struct {
	cfg   offline.Config
	parts map[string][]byte // suffix of the name → bytes
	holds holding
}

// holding is all that a journal says of money.
type holding struct {
	Payments []pos.Payment
	Hashes   []string
	Outbox   pos.Outbox
	Receipt  dcep.Receipt
}

func held(tb testing.TB, s *offline.Store) (h holding, err error) {
	tb.Helper()
	ctx := tb.Context()
	if h.Payments, err = s.Payments(ctx, offline.Query{}); err != nil {
		return h, err
	}
	entries, err := s.Unsent(ctx, 0, 0, 1<<20, 1<<30)
	for _, e := range entries {
		h.Hashes = append(h.Hashes, string(e.Hash))
	}
	if err != nil {
		return h, err
	}
	if h.Outbox, err = s.Outbox(ctx); err != nil {
		return h, err
	}
	h.Receipt, _, err = s.LastReceipt(ctx)
	return h, err
}

// shopping fills a journal with everything that it keeps.
func (tl *till) shopping(t *testing.T, name string, n int) {
	t.Helper()
	for i := range n {
		key := fmt.Sprintf("%s-%d", name, i)
		tl.sell(t, key, pos.Money(100+i))
		tl.accept(t, key+"-e", pos.Money(1000+i), "w", uint64(10_000*len(name)+i+1))
		tl.write(t, tl.draft(pos.KindDrawer, pos.PaymentID{}, pos.DrawerOpened{Reason: "sale"}))
	}
}

// images are a till that was stopped, and one that runs and has entries in its WAL alone.
func images(t *testing.T) []image {
	t.Helper()
	tl := newTill(t, dcep.Ed25519SHA256)
	tl.shopping(t, "a", 12)
	all := tl.all(t)
	c := newCentre(t)
	if err := tl.Acknowledge(t.Context(), c.receipt(t, all[len(all)/2], 1), c.verifier); err != nil {
		t.Fatal(err)
	}
	tl.cfg.Centre = c.verifier
	take := func(suffixes ...string) image {
		im := image{cfg: tl.cfg, parts: map[string][]byte{}}
		var err error
		if im.holds, err = held(t, tl.Store); err != nil {
			t.Fatal(err)
		}
		for _, suffix := range suffixes {
			b, err := os.ReadFile(tl.cfg.Path + suffix)
			if err != nil {
				t.Fatal(err)
			}
			im.parts[suffix] = b
		}
		return im
	}
	if err := tl.Close(); err != nil {
		t.Fatal(err)
	}
	tl.reopen(t)
	stopped := take("", "-bookmark")
	tl.shopping(t, "bb", 6)
	running := take("", "-wal", "-bookmark")
	if err := tl.Close(); err != nil {
		t.Fatal(err)
	}
	return []image{stopped, running}
}

// look writes the image with one bit changed and tells what a start, or the verification
// that needs no start, finds; nil when both take it for whole.
func (im image) look(t *testing.T, dir, suffix string, bit int) (h holding, err error) {
	t.Helper()
	cfg := im.cfg
	cfg.Path = filepath.Join(dir, "journal.db")
	for name, b := range im.parts {
		if name == suffix {
			b = bytes.Clone(b)
			b[bit/8] ^= 1 << (bit % 8)
		}
		if err := os.WriteFile(cfg.Path+name, b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	defer func() {
		left, _ := filepath.Glob(cfg.Path + "*")
		for _, name := range left {
			if err := os.Remove(name); err != nil {
				t.Fatal(err)
			}
		}
	}()
	s, err := offline.Open(t.Context(), cfg)
	if err != nil {
		im.kept(t, cfg.Path, suffix)
		return h, err
	}
	h, err = held(t, s)
	if e := s.Close(); err == nil {
		err = e
	}
	if err == nil {
		_, err = offline.Verify(t.Context(), cfg.Path, offline.VerifyOptions{})
	}
	return h, err
}

// kept verifies that a WAL with a flipped bit is still there for salvage when the till
// refuses to start.
func (im image) kept(t *testing.T, path, suffix string) {
	t.Helper()
	if suffix != "-wal" {
		return
	}
	if b, err := os.ReadFile(path + suffix); err != nil || len(b) != len(im.parts[suffix]) {
		t.Errorf("the WAL has %d of %d bytes left: %v", len(b), len(im.parts[suffix]), err)
	}
}

// One flipped bit anywhere in the file or its WAL is found when the till starts, or it is
// harmless: no amount, state or entry is ever another one, and none is missing unseen.
func TestAFlippedBitIsFoundOrHarmless(t *testing.T) {
	t.Logf("seed %d, %d places", *flipSeed, *flips)
	rng := rand.New(rand.NewPCG(*flipSeed, 0))
	type tally struct{ found, harmless, silent int }
	sums := map[string]*tally{}
	list := images(t)
	dir := t.TempDir()
	for n := range *flips {
		im := list[n%len(list)]
		what, suffix := "file of a stopped till", ""
		if _, running := im.parts["-wal"]; running {
			what = "file of a running till"
			if rng.IntN(3) > 0 {
				what, suffix = "WAL", "-wal"
			}
			if rng.IntN(50) == 0 {
				what, suffix = "bookmark", "-bookmark"
			}
		}
		bit := rng.IntN(len(im.parts[suffix]) * 8)
		sum := sums[what]
		if sum == nil {
			sum = &tally{}
			sums[what] = sum
		}
		h, err := im.look(t, dir, suffix, bit)
		diff := cmp.Diff(im.holds, h)
		switch {
		case err != nil:
			sum.found++
		case diff == "":
			sum.harmless++
		default:
			sum.silent++
			t.Errorf("%s, bit %d: nothing is found, and it holds something else:\n%.300s … %s", what, bit, diff, diff[max(0, len(diff)-900):])
		}
	}
	for what, sum := range sums {
		t.Logf("%s: %d found, %d harmless, %d silently wrong", what, sum.found, sum.harmless, sum.silent)
	}
}
