package link_test

import (
	"bytes"
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"dcpos/central/fleet"
	"dcpos/central/ledger"
	"dcpos/central/link"
	"dcpos/pos"
	"dcpos/pos/dcep"
	"dcpos/pos/dcep/salvage"
	"dcpos/sync/wire"
)

// plainFile is what posctl journal export --salvage writes of these entries.
func plainFile(t *testing.T, entries ...pos.Entry) []byte {
	t.Helper()
	var b bytes.Buffer
	w := must(salvage.NewWriter(&b))(t)
	for _, e := range entries {
		if err := w.Add(e); err != nil {
			t.Fatal(err)
		}
	}
	must(w.Close("damaged"))(t)
	return b.Bytes()
}

// sealedFile is what posctl journal export writes.
func (c *centre) sealedFile(t *testing.T, till *till, change func(*salvage.Header), entries ...pos.Entry) []byte {
	t.Helper()
	h := salvage.Header{Env: pos.Lab, Terminal: till.id, Epoch: till.epoch, FromSeq: entries[0].Seq, MadeMS: 1}
	if change != nil {
		change(&h)
	}
	var b bytes.Buffer
	s := must(salvage.NewSealer(&b, h, till.signer, c.signer.Suite(), c.signer.Public()))(t)
	w := must(salvage.NewWriter(s))(t)
	w.After(entries[0].Epoch, entries[0].Seq-1)
	for _, e := range entries {
		if err := w.Add(e); err != nil {
			t.Fatal(err)
		}
	}
	must(w.Close(""))(t)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func (c *centre) file(t *testing.T, data []byte) link.FileReport {
	t.Helper()
	return must(link.Desk(c.cfg).TakeFile(t.Context(), bytes.NewReader(data), "op"))(t)
}

func (c *centre) wantBalances(t *testing.T, want map[string]pos.Money) {
	t.Helper()
	got := c.balances(t)
	for account, amount := range got {
		if amount == 0 {
			delete(got, account)
		}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Fatal(diff)
	}
}

func (c *centre) wantReceipt(t *testing.T, r link.FileReport, e pos.Entry) {
	t.Helper()
	v := must(c.signer.Suite().Verifier(c.signer.Public()))(t)
	if r.Receipt == nil || r.Receipt.Seq != e.Seq || r.Receipt.Epoch != e.Epoch || !bytes.Equal(r.Receipt.Head, e.Hash) || r.Receipt.Verify(v) != nil {
		t.Fatalf("receipt %+v: want a signed one for %d/%d", r.Receipt, e.Epoch, e.Seq)
	}
}

// fileCentre has a till with three paid payments, 10 entries.
func fileCentre(t *testing.T, url, suite string) (*centre, *till) {
	t.Helper()
	c := newCentre(t, url)
	till := c.enrol(t, suite)
	till.open(t, pos.EpochEnrolled, nil)
	for _, amount := range []pos.Money{100, 20, 3} {
		till.payment(t, amount, pos.Asking, pos.Paid)
	}
	return c, till
}

func TestASealedFileCountsOnceBeforeAndAfterTheTillIsHeard(t *testing.T) {
	engines(t, func(t *testing.T, url string) {
		t.Helper()
		c, till := fileCentre(t, url, dcep.SM2SM3)
		c.take(t, till.id, till.batchesOf(t, till.entries[:4], 100)...)
		whole := map[string]pos.Money{"receivable:ICBC": 123, "merchant:m1": -123}
		for i, want := range []link.FileReport{{New: 6}, {Known: 6}} {
			r := c.file(t, c.sealedFile(t, till, nil, till.entries[4:]...))
			if r.New != want.New || r.Known != want.Known || r.Refused+r.Apart > 0 || !r.Sealed {
				t.Fatalf("time %d: %+v", i, r)
			}
			c.wantReceipt(t, r, till.entries[9])
			c.wantBalances(t, whole)
		}
		c.take(t, till.id, till.batches(t, 3)...) // it came online after all
		c.wantBalances(t, whole)
		till.payment(t, 1000, pos.Asking, pos.Paid)
		r := c.file(t, c.sealedFile(t, till, nil, till.entries[2:]...)) // overlaps
		if r.New != 3 || r.Known != 8 {
			t.Fatalf("%+v", r)
		}
		c.wantBalances(t, map[string]pos.Money{"receivable:ICBC": 1123, "merchant:m1": -1123})
	})
}

func TestAFileThatIsNotTheTillsLeavesNothing(t *testing.T) {
	for _, suite := range []string{dcep.SM2SM3, dcep.Ed25519SHA256} {
		t.Run(suite, func(t *testing.T) {
			c, till := fileCentre(t, "sqlite:"+t.TempDir()+"/centre.db", suite)
			other := c.enrol(t, suite)
			other.open(t, pos.EpochEnrolled, nil)
			other.payment(t, 5, pos.Asking, pos.Paid)
			good := c.sealedFile(t, till, nil, till.entries...)
			stranger := *c
			stranger.signer = generate(t, dcep.SM2SM3)
			files := map[string][]byte{
				"empty":                 {},
				"cut":                   good[:len(good)/2],
				"cut by its signature":  good[:len(good)-68],
				"longer":                append(bytes.Clone(good), 0),
				"of another's key":      c.sealedFile(t, other, func(h *salvage.Header) { h.Terminal = till.id }, till.entries...),
				"of no terminal":        c.sealedFile(t, till, func(h *salvage.Header) { h.Terminal = "nobody" }, till.entries...),
				"of no epoch":           c.sealedFile(t, till, func(h *salvage.Header) { h.Epoch = 7 }, till.entries...),
				"of a live till":        c.sealedFile(t, till, func(h *salvage.Header) { h.Env = pos.Live }, till.entries...),
				"sealed to another":     stranger.sealedFile(t, till, nil, till.entries...),
				"plain, cut":            plainFile(t, till.entries...)[:100],
				"plain, its hash wrong": append(plainFile(t, till.entries...)[:200], plainFile(t, till.entries...)[201:]...),
			}
			for i := 0; i < len(good); i += 37 {
				b := bytes.Clone(good)
				b[i] ^= 1
				files["bit "+string(rune('a'+i%26))+strings.Repeat("x", i/26)] = b
			}
			for name, data := range files {
				if r, err := link.Desk(c.cfg).TakeFile(t.Context(), bytes.NewReader(data), "op"); err == nil {
					t.Errorf("%s: taken: %+v", name, r)
				} else if code := pos.CodeOf(err); code != pos.ErrBadRequest && code != pos.ErrEnvironment {
					t.Errorf("%s: %v", name, err)
				}
			}
			c.wantBalances(t, map[string]pos.Money{})
			if n := len(c.kept(t, till.id, 1)); n != 0 {
				t.Fatalf("%d entries kept", n)
			}
			// Another till's entries in a file that this till signed are refused one by one.
			r := c.file(t, c.sealedFile(t, till, nil, other.entries...))
			if r.Refused != len(other.entries) || r.New != 0 || len(r.Reasons) == 0 {
				t.Fatalf("another till's entries: %+v", r)
			}
			if rejects := must(c.store.Rejects(t.Context(), till.id, 100))(t); len(rejects) != len(other.entries) {
				t.Fatalf("%d rejects to see", len(rejects))
			}
		})
	}
}

func TestWhatFollowsAGapWaitsInSuspenseUntilTheTillIsHeard(t *testing.T) {
	engines(t, func(t *testing.T, url string) {
		t.Helper()
		c, till := fileCentre(t, url, dcep.Ed25519SHA256)
		damaged := append(append([]pos.Entry(nil), till.entries[:4]...), till.entries[7:]...) // the second payment is lost
		bad := till.entries[9]
		bad.Body = append(bytes.Clone(bad.Body), 0)
		for i := range 2 {
			r := c.file(t, plainFile(t, append(damaged[:6:6], bad)...))
			if r.Refused != 1 || len(r.Gaps) != 1 || r.Known != i*6 || r.New != 6-i*6 || r.Apart != 2-i*2 {
				t.Fatalf("time %d: %+v", i, r)
			}
			c.wantReceipt(t, r, till.entries[3])
			r = c.file(t, plainFile(t, damaged...))
			if r.Refused != 0 || r.Apart != 1-i || r.Known != 6+i {
				t.Fatalf("time %d, whole: %+v", i, r)
			}
			c.wantBalances(t, map[string]pos.Money{"receivable:ICBC": 103, "merchant:m1": -100, ledger.SuspenseFork(till.id): -3})
		}
		held := must(c.store.Suspense().Waiting(t.Context(), 10))(t)
		if len(held) != 1 || held[0].Amount != 3 || held[0].Terminal != till.id || held[0].Merchant != "m1" {
			t.Fatalf("%+v", held)
		}
		if term := must(c.fleet.Terminal(t.Context(), till.id))(t); term.State != fleet.Active {
			t.Fatalf("a gap is no fork: %s", term.State)
		}
		for range 2 {
			c.take(t, till.id, till.batches(t, 3)...)
			c.wantBalances(t, map[string]pos.Money{"receivable:ICBC": 123, "merchant:m1": -123})
			c.file(t, plainFile(t, damaged...))
		}
		c.wantBalances(t, map[string]pos.Money{"receivable:ICBC": 123, "merchant:m1": -123})
		if held := must(c.store.Suspense().Waiting(t.Context(), 10))(t); len(held) != 0 {
			t.Fatalf("still waits: %+v", held)
		}
	})
}

func TestMoneyInSuspenseIsDecidedByTwo(t *testing.T) {
	engines(t, func(t *testing.T, url string) {
		t.Helper()
		c, till := fileCentre(t, url, dcep.Ed25519SHA256)
		c.file(t, plainFile(t, append(append([]pos.Entry(nil), till.entries[:1]...), till.entries[4:]...)...))
		s := c.store.Suspense()
		held := must(s.Waiting(t.Context(), 10))(t)
		if len(held) != 2 {
			t.Fatalf("%+v", held)
		}
		genuine, never := held[0].Key, held[1].Key
		ctx := t.Context()
		refused := func(err error, code pos.Code) {
			t.Helper()
			if pos.CodeOf(err) != code {
				t.Fatalf("got %v, want %s", err, code)
			}
		}
		refused(ledger.Confirm(ctx, s, genuine, "bob", "2021-03-01"), pos.ErrNotFound)
		refused(ledger.Propose(ctx, s, genuine, "burn", "x", "ann"), pos.ErrBadRequest)
		refused(ledger.Propose(ctx, s, genuine, ledger.DecideCredit, " ", "ann"), pos.ErrBadRequest)
		refused(ledger.Propose(ctx, s, "fork:paid:nothing", ledger.DecideCredit, "x", "ann"), pos.ErrNotFound)
		for key, d := range map[string]ledger.Decision{genuine: ledger.DecideCredit, never: ledger.DecideWriteOff} {
			if err := ledger.Propose(ctx, s, key, d, "seen on the statement", "ann"); err != nil {
				t.Fatal(err)
			}
			refused(ledger.Propose(ctx, s, key, d, "again", "bob"), pos.ErrKeyConflict)
			refused(ledger.Confirm(ctx, s, key, "ann", "2021-03-01"), pos.ErrForbidden)
		}
		if err := ledger.Reject(ctx, s, genuine, "bob"); err != nil {
			t.Fatal(err)
		}
		refused(ledger.Confirm(ctx, s, genuine, "bob", "2021-03-01"), pos.ErrNotFound)
		if err := ledger.Propose(ctx, s, genuine, ledger.DecideCredit, "the statement has it", "bob"); err != nil {
			t.Fatal(err)
		}
		c.wantBalances(t, map[string]pos.Money{"receivable:ICBC": 23, ledger.SuspenseFork(till.id): -23})
		if err := errors.Join(ledger.Confirm(ctx, s, genuine, "ann", "2021-03-01"), ledger.Confirm(ctx, s, never, "bob", "2021-03-01")); err != nil {
			t.Fatal(err)
		}
		refused(ledger.Confirm(ctx, s, genuine, "carl", "2021-03-01"), pos.ErrNotFound)
		c.wantBalances(t, map[string]pos.Money{"receivable:ICBC": 20, "merchant:m1": -20})
		// The till is heard after all: what was credited is not counted again, what was written off was real.
		c.take(t, till.id, till.batches(t, 100)...)
		c.wantBalances(t, map[string]pos.Money{"receivable:ICBC": 123, "merchant:m1": -123})
	})
}

// TestAClosedEpochComesUnderTheNextKey: the key of the closed one was lost with its TPM.
func TestAClosedEpochComesUnderTheNextKey(t *testing.T) {
	c, till := fileCentre(t, "sqlite:"+t.TempDir()+"/centre.db", dcep.SM2SM3)
	c.take(t, till.id, till.batchesOf(t, till.entries[:2], 100)...)
	last := till.entries[len(till.entries)-1]
	rest := append([]pos.Entry(nil), till.entries[2:]...)
	till.signer = generate(t, dcep.Ed25519SHA256)
	c.enrolAs(t, till, fleet.CodeRequest{Terminal: till.id, Reason: pos.EpochKey, By: "op"})
	till.open(t, pos.EpochKey, &last)
	stranger := *till
	stranger.signer = generate(t, dcep.Ed25519SHA256)
	c.take(t, till.id, stranger.batchesOf(t, rest, 100)...)
	if n := len(c.kept(t, till.id, 1)); n != 2 {
		t.Fatalf("%d entries kept of a batch that a stranger signed", n)
	}
	forged := append([]pos.Entry(nil), rest...)
	for i := range forged { // sealed anew by the new key: entries of the old epoch need the old one
		if err := dcep.Seal(till.signer, forged[i].Prev, &forged[i]); err != nil {
			t.Fatal(err)
		}
	}
	c.take(t, till.id, must(dcep.Marshal(must(wire.NewBatch(till.signer, forged, 1))(t)))(t))
	if n := len(c.kept(t, till.id, 1)); n != 2 {
		t.Fatalf("%d entries kept that the new key forged", n)
	}
	c.take(t, till.id, till.batchesOf(t, rest, 100)...)
	c.take(t, till.id, till.batchesOf(t, till.entries[len(till.entries)-1:], 100)...)
	c.wantBalances(t, map[string]pos.Money{"receivable:ICBC": 123, "merchant:m1": -123})
}
