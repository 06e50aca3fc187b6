package link_test

import (
	"bytes"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"dcpos/central/fleet"
	"dcpos/central/link"
	"dcpos/pos"
	"dcpos/pos/dcep"
	"dcpos/sync/wire"
)

func TestJournalBecomesLedger(t *testing.T) {
	engines(t, func(t *testing.T, url string) {
		t.Helper()
		c := newCentre(t, url)
		till := c.enrol(t, dcep.SM2SM3)
		till.open(t, pos.EpochEnrolled, nil)
		till.payment(t, 1000, pos.Asking, pos.Paid)
		till.payment(t, 300, pos.Asking, pos.Declined)
		till.payment(t, 70, pos.AcceptedEvidence)
		till.payment(t, 20, pos.AcceptedEvidence, pos.Credited)
		till.payment(t, 9, pos.AcceptedEvidence, pos.Refused)
		late := till.payment(t, 5, pos.Asking, pos.Abandoned)
		till.write(t, pos.KindLatePaid, late, pos.LatePaid{Institution: "ICBC", SettlementDate: "2021-02-12", RefundID: pos.RefundID{1}})
		c.take(t, till.id, till.batches(t, 7)...)
		want := map[string]pos.Money{
			"receivable:ICBC": 1025, "merchant:m1": -1020, "in_transit:ICBC": 70, "pending:m1": -70,
			"suspense:late:" + late.String(): -5,
		}
		if diff := cmp.Diff(want, c.balances(t)); diff != "" {
			t.Fatal(diff)
		}
		if got := len(c.kept(t, till.id, 1)); got != len(till.entries) {
			t.Fatalf("kept %d entries, want %d", got, len(till.entries))
		}
	})
}

// TestHostileDeliveries: every batch five times, shuffled, some truncated, some with a
// flipped bit, some signed by another device: exactly the originals are kept, the
// ledger is as after one delivery, and each reject has a reason.
func TestHostileDeliveries(t *testing.T) {
	engines(t, func(t *testing.T, url string) {
		t.Helper()
		c := newCentre(t, url)
		a, b := c.enrol(t, dcep.Ed25519SHA256), c.enrol(t, dcep.Ed25519SHA256)
		var messages []delivery
		for _, till := range []*till{a, b} {
			till.open(t, pos.EpochEnrolled, nil)
			for range 40 {
				till.payment(t, 100, pos.Asking, pos.Paid)
			}
			for _, batch := range till.batches(t, 5) {
				for range 5 {
					messages = append(messages, delivery{till.id, batch})
				}
			}
		}
		random := rand.New(rand.NewPCG(1, 2)) //nolint:gosec // a test's shuffle
		for i := range 40 {
			original := messages[random.IntN(len(messages))]
			messages = append(messages, damage(t, random, i, original, a, b))
		}
		random.Shuffle(len(messages), func(i, j int) { messages[i], messages[j] = messages[j], messages[i] })
		deliver(t, c, messages)
		// What lay beyond a gap is sent again, as tills do when they are asked.
		for _, till := range []*till{a, b} {
			c.take(t, till.id, till.batches(t, 5)...)
		}
		for _, till := range []*till{a, b} {
			places := c.kept(t, till.id, 1)
			if len(places) != len(till.entries) {
				t.Fatalf("%s: kept %d entries, want %d", till.id, len(places), len(till.entries))
			}
			for i, p := range places {
				if p.Seq != uint64(i)+1 || p.Branch != 0 || !bytes.Equal(p.Hash, till.entries[i].Hash) {
					t.Fatalf("%s: entry %d is not the till's", till.id, i+1)
				}
			}
		}
		want := map[string]pos.Money{"receivable:ICBC": 8000, "merchant:m1": -8000}
		if diff := cmp.Diff(want, c.balances(t)); diff != "" {
			t.Fatal(diff)
		}
		for _, id := range []string{a.id, b.id} {
			if term := must(c.fleet.Terminal(t.Context(), id))(t); term.State != fleet.Active {
				t.Errorf("%s is %s because of %s", id, term.State, term.Reason)
			}
		}
		rejects := must(c.store.Rejects(t.Context(), "", 1000))(t)
		if len(rejects) < 30 {
			t.Errorf("%d rejects are noted", len(rejects))
		}
		for _, r := range rejects {
			if r.Reason == "" || r.Detail == "" {
				t.Errorf("reject without a reason: %+v", r)
			}
		}
	})
}

type delivery struct {
	terminal string
	data     []byte
}

func deliver(t *testing.T, c *centre, messages []delivery) {
	t.Helper()
	l := link.Desk(c.cfg)
	for len(messages) > 0 {
		n := min(16, len(messages))
		subjects, data := make([]string, n), make([][]byte, n)
		for i, m := range messages[:n] {
			subjects[i], data[i] = wire.JournalSubject(m.terminal), m.data
		}
		if err := l.Take(t.Context(), subjects, data); err != nil {
			t.Fatal(err)
		}
		messages = messages[n:]
	}
}

func damage(t *testing.T, random *rand.Rand, i int, d delivery, a, b *till) delivery {
	t.Helper()
	data := bytes.Clone(d.data)
	switch i % 4 {
	case 0: // cut
		return delivery{d.terminal, data[:random.IntN(len(data))]}
	case 1: // one bit
		data[random.IntN(len(data))] ^= 1 << random.IntN(8)
		return delivery{d.terminal, data}
	case 2: // under another till's subject
		other := a.id
		if d.terminal == a.id {
			other = b.id
		}
		return delivery{other, data}
	}
	var batch wire.Batch // signed anew by another device
	if err := dcep.Unmarshal(data, &batch); err != nil {
		t.Fatal(err)
	}
	signer := a.signer
	if d.terminal == a.id {
		signer = b.signer
	}
	forged := must(wire.NewBatch(signer, batch.Entries, 1))(t)
	return delivery{d.terminal, must(dcep.Marshal(forged))(t)}
}

func TestGapIsNotStoredBeyond(t *testing.T) {
	engines(t, func(t *testing.T, url string) {
		t.Helper()
		c := newCentre(t, url)
		till := c.enrol(t, dcep.Ed25519SHA256)
		till.open(t, pos.EpochEnrolled, nil)
		for range 10 {
			till.payment(t, 1, pos.Asking, pos.Paid)
		}
		batches := till.batches(t, 4)
		c.take(t, till.id, batches[0], batches[2], batches[3])
		if got := len(c.kept(t, till.id, 1)); got != 4 {
			t.Fatalf("kept %d entries, want 4", got)
		}
		list := must(c.fleet.List(t.Context(), "", 10))(t)
		if list[0].GapFrom != 5 || list[0].Kept != 4 {
			t.Fatalf("%+v", list[0])
		}
		c.take(t, till.id, batches[1:]...)
		list = must(c.fleet.List(t.Context(), "", 10))(t)
		if list[0].GapFrom != 0 || list[0].Kept != uint64(len(till.entries)) {
			t.Fatalf("%+v", list[0])
		}
	})
}

// TestForkKeepsBothBranches: a till restored from an image goes on another way. Both
// branches are kept, the second's money is in suspense, the terminal is fenced.
func TestForkKeepsBothBranches(t *testing.T) {
	engines(t, func(t *testing.T, url string) {
		t.Helper()
		c := newCentre(t, url)
		first := c.enrol(t, dcep.SM2SM3)
		first.open(t, pos.EpochEnrolled, nil)
		first.payment(t, 1000, pos.Asking, pos.Paid)
		shared := first.payment(t, 50, pos.AcceptedEvidence)
		second := *first
		second.entries = append([]pos.Entry(nil), first.entries...)
		first.payment(t, 200, pos.Asking, pos.Paid)
		first.move(t, shared, pos.AcceptedEvidence, pos.Credited)
		second.n += 50
		second.payment(t, 7, pos.Asking, pos.Paid)
		second.payment(t, 3, pos.AcceptedEvidence)
		second.move(t, shared, pos.AcceptedEvidence, pos.Refused)

		c.take(t, first.id, first.batches(t, 4)...)
		for range 2 { // the second delivery is a repeat on its own branch
			c.take(t, second.id, second.batches(t, 4)...)
			want := map[string]pos.Money{
				"receivable:ICBC": 1257, "merchant:m1": -1250,
				"in_transit:ICBC": 3 - 50, "suspense:fork:" + first.id: -7 - 3 + 50,
			}
			if diff := cmp.Diff(want, c.balances(t)); diff != "" {
				t.Fatal(diff)
			}
		}
		if got, want := len(c.kept(t, first.id, 1)), len(first.entries)+len(second.entries)-6; got != want {
			t.Fatalf("kept %d entries, want %d", got, want)
		}
		term := must(c.fleet.Terminal(t.Context(), first.id))(t)
		if term.State != fleet.Quarantined {
			t.Fatalf("terminal is %s", term.State)
		}
		// The first branch goes on: nothing is dropped, whoever is right.
		first.payment(t, 1, pos.Asking, pos.Paid)
		c.take(t, first.id, first.batches(t, 4)...)
		if got := c.balances(t)["merchant:m1"]; got != -1251 {
			t.Fatalf("merchant has %d", got)
		}
	})
}

// TestOrphanIsFenced: a batch whose beginning parted long ago cannot be placed; the
// terminal is fenced at once, and the batches before it bring the branch.
func TestOrphanIsFenced(t *testing.T) {
	engines(t, func(t *testing.T, url string) {
		t.Helper()
		c := newCentre(t, url)
		first := c.enrol(t, dcep.Ed25519SHA256)
		first.open(t, pos.EpochEnrolled, nil)
		second := *first
		second.entries = append([]pos.Entry(nil), first.entries...)
		for range 5 {
			first.payment(t, 1, pos.Asking, pos.Paid)
		}
		second.n = 100
		for range 5 {
			second.payment(t, 2, pos.Asking, pos.Paid)
		}
		c.take(t, first.id, first.batches(t, 4)...)
		batches := second.batches(t, 4)
		c.take(t, first.id, batches[2])
		if term := must(c.fleet.Terminal(t.Context(), first.id))(t); term.State != fleet.Quarantined {
			t.Fatalf("terminal is %s", term.State)
		}
		if got := len(c.kept(t, first.id, 1)); got != len(first.entries) {
			t.Fatalf("kept %d", got)
		}
		c.take(t, first.id, batches...)
		if got := len(c.kept(t, first.id, 1)); got != len(first.entries)+len(second.entries)-1 {
			t.Fatalf("kept %d", got)
		}
		if got := c.balances(t)["suspense:fork:"+first.id]; got != -10 {
			t.Fatalf("suspense has %d", got)
		}
	})
}

// TestClosedEpochIsStillTakenIn: entries that come after their epoch was closed are kept
// and flagged, and a payment goes on across epochs.
func TestClosedEpochIsStillTakenIn(t *testing.T) {
	engines(t, func(t *testing.T, url string) {
		t.Helper()
		c := newCentre(t, url)
		till := c.enrol(t, dcep.SM2SM3)
		till.open(t, pos.EpochEnrolled, nil)
		id := till.payment(t, 100, pos.Asking, pos.Unknown)
		old, oldSigner := till.batches(t, 100), till.entries[len(till.entries)-1]
		till.signer = generate(t, dcep.Ed25519SHA256)
		c.enrolAs(t, till, fleet.CodeRequest{Terminal: till.id, Reason: pos.EpochKey, By: "op"})
		n := len(till.entries)
		till.open(t, pos.EpochKey, &oldSigner)
		till.move(t, id, pos.Unknown, pos.Paid)
		c.take(t, till.id, old...)
		c.take(t, till.id, till.batchesOf(t, till.entries[n:], 100)...)
		if diff := cmp.Diff(map[string]pos.Money{"receivable:ICBC": 100, "merchant:m1": -100}, c.balances(t)); diff != "" {
			t.Fatal(diff)
		}
		if got := must(c.store.LateEntries(t.Context(), till.id))(t); got != n {
			t.Fatalf("%d entries are flagged late, want %d", got, n)
		}
	})
}

// TestNonsenseOfATillStopsNothing: signed entries that say impossible things are kept
// with a fault; the next batch of another till is taken in all the same.
func TestNonsenseOfATillStopsNothing(t *testing.T) {
	engines(t, func(t *testing.T, url string) {
		t.Helper()
		c := newCentre(t, url)
		bad, good := c.enrol(t, dcep.Ed25519SHA256), c.enrol(t, dcep.Ed25519SHA256)
		bad.open(t, pos.EpochEnrolled, nil)
		id := bad.payment(t, 5, pos.Asking)
		bad.move(t, id, pos.Created, pos.Declined)          // not where it stands
		bad.move(t, pos.PaymentID{9}, pos.Asking, pos.Paid) // never created
		long := strings.Repeat("x\x00", 5000)
		bad.write(t, pos.KindPaymentMoved, id, pos.PaymentMoved{
			From: pos.Asking, To: pos.Paid, Institution: long, SettlementDate: pos.Date(long), Reason: pos.Code(long),
		})
		bad.write(t, pos.Kind(long), pos.PaymentID{}, pos.Shift{})
		bad.write(t, pos.KindPaymentCreated, bad.newPayment(), "no body")
		bad.write(t, pos.KindPaymentCreated, pos.PaymentID{}, created(1, pos.BScanC, "k"))
		bad.payment(t, -5, pos.Asking, pos.Paid)
		bad.payment(t, pos.MaxAmount+1, pos.Asking, pos.Paid)
		bad.entries[len(bad.entries)-1].BusinessDate = "2021-02-10"
		good.open(t, pos.EpochEnrolled, nil)
		good.payment(t, 11, pos.Asking, pos.Paid)
		deliver(t, c, []delivery{{bad.id, bad.batches(t, 100)[0]}, {good.id, good.batches(t, 100)[0]}})
		if got := len(c.kept(t, bad.id, 1)); got != len(bad.entries) {
			t.Fatalf("kept %d entries, want %d", got, len(bad.entries))
		}
		want := map[string]pos.Money{"receivable:UNKNOWN": 5, "receivable:ICBC": 11, "merchant:m1": -16}
		if diff := cmp.Diff(want, c.balances(t)); diff != "" {
			t.Fatal(diff)
		}
	})
}

// TestAnothersPaymentIsNotPostedAgain: a till that names another's payment posts nothing.
func TestAnothersPaymentIsNotPostedAgain(t *testing.T) {
	engines(t, func(t *testing.T, url string) {
		t.Helper()
		c := newCentre(t, url)
		a, b := c.enrol(t, dcep.Ed25519SHA256), c.enrol(t, dcep.Ed25519SHA256)
		a.open(t, pos.EpochEnrolled, nil)
		id := a.payment(t, 100, pos.Asking, pos.Paid)
		b.open(t, pos.EpochEnrolled, nil)
		b.write(t, pos.KindPaymentCreated, id, created(900, pos.BScanC, "k"))
		b.move(t, id, pos.Created, pos.Asking, pos.Paid)
		c.take(t, a.id, a.batches(t, 100)...)
		c.take(t, b.id, b.batches(t, 100)...)
		if diff := cmp.Diff(map[string]pos.Money{"receivable:ICBC": 100, "merchant:m1": -100}, c.balances(t)); diff != "" {
			t.Fatal(diff)
		}
		audit := must(c.store.AuditOf(t.Context(), b.id, 10))(t)
		if len(audit) == 0 || audit[0].What != "posting_conflict" {
			t.Fatalf("%+v", audit)
		}
	})
}
