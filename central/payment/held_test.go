package payment_test

import (
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"dcpos/central/issuance"
	"dcpos/central/payment"
	"dcpos/internal/testpg"
	"dcpos/pos"
	"dcpos/pos/dcep"
)

// recalled is an envelope whose money went back to its fund.
func (h *house) recalled() pos.EnvelopeUse {
	h.t.Helper()
	e := issuance.Issued{Envelope: issuance.Envelope{
		ID: "e1", Campaign: "C1", State: issuance.Recalled, Face: 1000, Recalled: 1000, From: time.UnixMilli(0), Until: time.UnixMilli(1 << 50),
	}, Institution: "ICBC"}
	all := []string{"*"}
	err := h.store.Issuances().Write(h.t.Context(), func(tx issuance.Tx) error {
		if err := tx.PutIssuance(h.t.Context(), issuance.Issuance{Plan: issuance.Plan{
			Campaign: "C1", Provider: "P", UntilMS: 1 << 50, Channels: []string{pos.ChannelInStore}, Merchants: all, Stores: all, Categories: all,
		}, Standing: issuance.Reclaimed}); err != nil {
			return err
		}
		return tx.PutEnvelopes(h.t.Context(), []issuance.Issued{e})
	})
	if err != nil {
		h.t.Fatal(err)
	}
	return pos.EnvelopeUse{Envelope: e.ID, Campaign: e.Campaign, Hash: make([]byte, 32), Amount: 1000}
}

// undecided counts what waits for two people.
func (h *house) undecided() (n int) {
	h.t.Helper()
	err := h.store.Issuances().Read(h.t.Context(), func(tx issuance.Tx) error {
		lates, err := tx.Lates(h.t.Context())
		n = len(lates)
		return err
	})
	if err != nil {
		h.t.Fatal(err)
	}
	return n
}

// people decide about a held payment.
func (h *house) people(p promise, honour bool) {
	h.t.Helper()
	if err := h.store.Issuances().Write(h.t.Context(), func(tx issuance.Tx) error { return tx.Resume(h.t.Context(), p.id, honour) }); err != nil {
		h.t.Fatal(err)
	}
}

// death is a process that is killed at one of its commits, and does nothing after it until it is started anew.
type death struct {
	mu             sync.Mutex
	commits, at    int // dies at the commit of this number, 0: never
	before, killed bool
}

func (d *death) kill() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.commits++
	switch {
	case d.killed || d.commits == d.at && d.before:
		d.killed = true
		return 1
	case d.commits == d.at:
		d.killed = true
		return 2
	}
	return 0
}

// rounds lets a minute pass again and again; a centre that died is started anew.
func (h *house) rounds(d *death) {
	h.t.Helper()
	for range 4 {
		h.clock.Add(61_000)
		if err := h.desk.Round(h.t.Context()); err != nil && !errors.Is(err, errKilled) {
			h.t.Fatal(err)
		}
		d.mu.Lock()
		dead := d.killed
		d.killed = false
		d.mu.Unlock()
		if dead {
			h.desk = h.newDesk(h.store)
			if err := h.desk.Round(h.t.Context()); err != nil {
				h.t.Fatal(err)
			}
		}
	}
}

// quarrel is a story of payments under one counter of one wallet: h names a recalled envelope, r and w do not.
type quarrel struct {
	*house
	*death
	h, r, w promise
}

// arrive brings payments in this order, and lets the centre do what it does.
func (q *quarrel) arrive(all ...promise) {
	q.t.Helper()
	for _, p := range all {
		q.clock.Add(1000) // journals are read in the order in which they came
		q.house.arrive(p, 0)
	}
	q.rounds(q.death)
}

func (q *quarrel) states(all ...promise) (states []pos.State) {
	q.t.Helper()
	for _, p := range all {
		r, found, err := q.store.Payments().FindPayment(q.t.Context(), p.id)
		if err != nil || !found {
			q.t.Fatal(found, err)
		}
		states = append(states, r.State)
	}
	return states
}

func (q *quarrel) are(want ...pos.State) {
	q.t.Helper()
	if diff := cmp.Diff(want, q.states([]promise{q.h, q.r, q.w}[:len(want)]...)); diff != "" {
		q.t.Errorf("h, r, w: %s", diff)
	}
}

// silent lets the institution say nothing to the next questions.
func (q *quarrel) silent(n int) {
	for range n {
		q.bank.fail("evidence", "unavailable")
	}
}

func (q *quarrel) speaks() {
	q.bank.mu.Lock()
	defer q.bank.mu.Unlock()
	delete(q.bank.fault, "evidence")
}

// What is held for its envelopes stays held, whatever becomes of its rivals, and when people have decided it is asked
// about only when no rival is. One is credited at most, wherever the centre is killed.
func TestAHeldPaymentStaysHeld(t *testing.T) {
	const open = pos.AcceptedEvidence
	for engine, url := range map[string]string{"sqlite": "", "postgres": testpg.Start(t)} {
		h := newHouse(t)
		if url != "" {
			h = newHouseAt(t, url)
		}
		use := h.recalled()
		for name, story := range map[string]func(q *quarrel){
			"its rival is refused, people honour it": func(q *quarrel) {
				q.bank.fail("evidence", "decline")
				q.arrive(q.r, q.h)
				q.are(open, pos.Refused)
				q.people(q.h, true)
				q.rounds(q.death)
				q.are(pos.Credited, pos.Refused)
			},
			"its rival is refused, people refuse it": func(q *quarrel) {
				q.bank.fail("evidence", "decline")
				q.arrive(q.r, q.h)
				q.people(q.h, false)
				q.rounds(q.death)
				q.are(pos.Conflict, pos.Refused)
			},
			"its rival is credited": func(q *quarrel) {
				q.arrive(q.h, q.r)
				q.are(pos.Conflict, pos.Credited)
			},
			"the next one goes on, and not it": func(q *quarrel) {
				q.bank.fail("evidence", "decline")
				q.arrive(q.r, q.h, q.w)
				q.are(pos.Conflict, pos.Refused, pos.Credited)
			},
			"honoured while its rival is with the institution, which refuses that": func(q *quarrel) {
				q.silent(99)
				q.arrive(q.r, q.h)
				q.people(q.h, true)
				q.rounds(q.death)
				q.are(open, open)
				q.speaks()
				q.bank.fail("evidence", "decline")
				q.rounds(q.death)
				q.are(pos.Credited, pos.Refused)
			},
			"honoured while its rival is with the institution, which honours that": func(q *quarrel) {
				q.silent(99)
				q.arrive(q.r, q.h)
				q.people(q.h, true)
				q.rounds(q.death)
				q.speaks()
				q.rounds(q.death)
				q.are(pos.Conflict, pos.Credited)
			},
			"refused while one is with the institution and one waits": func(q *quarrel) {
				q.silent(99)
				q.arrive(q.r, q.h, q.w)
				q.people(q.h, false)
				q.rounds(q.death)
				q.are(pos.Conflict, open, open)
				q.speaks()
				q.rounds(q.death)
				q.are(pos.Conflict, pos.Credited, pos.Conflict)
			},
			"refused, and one came that waits behind it": func(q *quarrel) {
				q.arrive(q.h)
				q.people(q.h, false)
				q.arrive(q.w)
				q.are(pos.Conflict)
				if got := q.states(q.w); got[0] != pos.Credited {
					q.t.Errorf("what waited is %s", got)
				}
			},
		} {
			t.Run(engine+"/"+name, func(t *testing.T) {
				deadly := engine == "sqlite" || *counterSeeds > 8 // the long form kills on both
				for at, more := 0, true; more && (at == 0 || deadly); at++ {
					for _, before := range []bool{true, false} {
						d := &death{at: at, before: before}
						h.quarrel(t, d, use, story)
						if t.Failed() {
							t.Fatalf("killed at commit %d, before it: %t", at, before)
						}
						more = at <= d.commits
					}
				}
			})
		}
	}
}

func (h *house) quarrel(t *testing.T, d *death, use pos.EnvelopeUse, story func(q *quarrel)) {
	t.Helper()
	was := h.t
	h.t = t
	defer func() { h.t = was }()
	trust, wallets := newWallets(t, time.UnixMilli(h.clock.Load()), 1)
	q := &quarrel{house: h, death: d, r: h.sign(wallets[0], till, 1, 1000), w: h.sign(wallets[0], "S1-002", 1, 1000)}
	q.h = h.sign(wallets[0], "S1-002", 1, 1000, use)
	h.change = func(c *payment.Config) {
		c.Trust, c.Store = func() dcep.Trust { return trust }, mortal{c.Store, d.kill}
	}
	h.desk = h.newDesk(h.store)
	told := map[string]int{till: len(h.verdictsOf(till)), "S1-002": len(h.verdictsOf("S1-002"))}
	before := h.books()
	story(q)
	q.speaks()
	if n := h.undecided(); n > 0 {
		t.Errorf("%d wait for people at the end", n)
	}
	ends, verdicts := map[pos.PaymentID]pos.State{}, map[pos.PaymentID]int{}
	for terminal, from := range told {
		for _, v := range h.verdictsOf(terminal)[from:] {
			ends[v.Payment] = v.Moved.To
			verdicts[v.Payment]++
		}
	}
	grown := grown(before, h.books())
	credited := pos.Money(0)
	for id, to := range ends {
		if verdicts[id] != 1 {
			t.Errorf("%d verdicts on %s", verdicts[id], id)
		}
		if to == pos.Credited {
			credited += 1000
		}
	}
	if credited > 1000 || grown["merchant"] != -credited || grown["receivable"] != credited || grown["in_transit"] != 0 || grown["pending"] != 0 {
		t.Errorf("%v is credited, the books say %v", credited, grown)
	}
}
