package offline_test

import (
	"database/sql"
	"fmt"
	"strings"
	"testing"

	"dcpos/offline"
	"dcpos/pos"
	"dcpos/pos/dcep"
)

// day is a moment of the centre's clock, in days.
func day(n int) int64 { return int64(n) * 24 * 3600 * 1000 }

// acknowledge gives the till a receipt up to e at a day of the centre's clock.
func (c centre) acknowledge(t *testing.T, tl *till, e pos.Entry, atMS int64) dcep.Receipt {
	t.Helper()
	r := dcep.Receipt{Env: e.Env, Terminal: e.Terminal, Epoch: e.Epoch, Seq: e.Seq, Head: e.Hash, CentreMS: atMS, Generation: 1}
	c.sign(t, &r)
	if err := tl.Acknowledge(t.Context(), r, c.verifier); err != nil {
		t.Fatal(err)
	}
	return r
}

func last(t *testing.T, tl *till) pos.Entry {
	t.Helper()
	all := tl.all(t)
	return all[len(all)-1]
}

func (tl *till) forget(t *testing.T) offline.Forgotten {
	t.Helper()
	f, err := tl.Forget(t.Context(), 0, tl.now(), today)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// agedTill has sold on days 0, 50 and 100 and was receipted on each.
func agedTill(t *testing.T) (*till, centre, pos.PaymentID) {
	t.Helper()
	tl, c := newTill(t, dcep.SM2SM3), newCentre(t)
	tl.cfg.Centre = c.verifier
	first := tl.sell(t, "old", 100)
	c.acknowledge(t, tl, last(t, tl), day(0))
	tl.sell(t, "mid", 200)
	c.acknowledge(t, tl, last(t, tl), day(50))
	tl.sell(t, "new", 300)
	c.acknowledge(t, tl, last(t, tl), day(100))
	return tl, c, first
}

func TestEntriesGoNinetyDaysAfterTheirReceiptAndTheRestVerifies(t *testing.T) {
	tl, c, old := agedTill(t)
	before := last(t, tl)
	if f := tl.forget(t); f.Entries != 4 || f.Seq != 4 {
		t.Fatalf("forgot %+v: want the epoch's opening and the first sale", f)
	}
	if f := tl.forget(t); f.Entries != 0 {
		t.Fatalf("forgot again: %+v", f)
	}
	tl.view(t, func(v pos.JournalView) error {
		if p, ok, err := v.PaymentByKey("screen", "old"); err != nil || !ok || p.ID != old {
			t.Errorf("the key is kept for ever: %v %v %v", p.ID, ok, err)
		}
		return nil
	})
	if err := tl.Close(); err != nil {
		t.Fatal(err)
	}
	r, err := offline.Verify(t.Context(), tl.cfg.Path, offline.VerifyOptions{Centre: c.verifier, ExpectHead: before.Hash})
	if err != nil || r.Forgotten != 4 || r.Checkpoint != "1/4" || r.Payments != 3 || !r.Projections {
		t.Fatalf("%+v %v", r, err)
	}
	tl.reopen(t)
	id := tl.id()
	tl.write(t, tl.draft(pos.KindRefundMoved, old, pos.RefundMoved{
		RefundID: id, To: pos.RefundIntent, Amount: 40, Caller: "screen", Key: "r1", BodyHash: "h",
	}))
	if f := tl.forget(t); f.Entries != 0 {
		t.Fatalf("forgot while a refund of what was forgotten is open: %+v", f)
	}
	if err := tl.Close(); err != nil {
		t.Fatal(err)
	}
	if r, err := offline.Verify(t.Context(), tl.cfg.Path, offline.VerifyOptions{}); err != nil {
		t.Fatalf("after a refund of a forgotten payment: %+v %v", r, err)
	}
}

func TestNothingGoesThatIsNotReceiptedOldOrSettled(t *testing.T) {
	t.Run("no receipt", func(t *testing.T) {
		tl := newTill(t, dcep.Ed25519SHA256)
		tl.sell(t, "a", 100)
		if f := tl.forget(t); f.Entries != 0 {
			t.Errorf("%+v", f)
		}
	})
	t.Run("89 days", func(t *testing.T) {
		tl, c := newTill(t, dcep.Ed25519SHA256), newCentre(t)
		tl.sell(t, "a", 100)
		c.acknowledge(t, tl, last(t, tl), day(0))
		tl.sell(t, "b", 100)
		c.acknowledge(t, tl, last(t, tl), day(89))
		if f := tl.forget(t); f.Entries != 0 {
			t.Errorf("%+v", f)
		}
	})
	t.Run("the till's clock runs ahead", func(t *testing.T) {
		tl, c := newTill(t, dcep.Ed25519SHA256), newCentre(t)
		tl.sell(t, "a", 100)
		c.acknowledge(t, tl, last(t, tl), day(0))
		tl.at += day(10_000)
		tl.sell(t, "b", 100)
		if f := tl.forget(t); f.Entries != 0 {
			t.Errorf("%+v", f)
		}
	})
	t.Run("an open payment", func(t *testing.T) {
		tl, c := newTill(t, dcep.Ed25519SHA256), newCentre(t)
		tl.accept(t, "evidence", 100, "w", 1)
		c.acknowledge(t, tl, last(t, tl), day(0))
		tl.sell(t, "a", 100)
		c.acknowledge(t, tl, last(t, tl), day(200))
		if f := tl.forget(t); f.Entries != 0 {
			t.Errorf("evidence that was never credited went: %+v", f)
		}
	})
	t.Run("the last entry", func(t *testing.T) {
		tl, c := newTill(t, dcep.Ed25519SHA256), newCentre(t)
		tl.sell(t, "a", 100)
		e := last(t, tl)
		c.acknowledge(t, tl, e, day(0))
		r := dcep.Receipt{Env: e.Env, Terminal: e.Terminal, Epoch: e.Epoch, Seq: e.Seq, Head: e.Hash, CentreMS: day(400), Generation: 2}
		c.sign(t, &r)
		if err := tl.Acknowledge(t.Context(), r, c.verifier); err != nil {
			t.Fatal(err)
		}
		if f := tl.forget(t); f.Entries != 0 {
			t.Errorf("%+v", f)
		}
	})
}

func TestForgettingGoesOnOverEpochs(t *testing.T) {
	tl, c, _ := agedTill(t)
	next := generate(t, dcep.Ed25519SHA256)
	if err := tl.OpenEpoch(t.Context(), next, 2, pos.EpochOpened{Reason: pos.EpochKey, Merchant: "M1", Store: "S1"}, tl.now(), today, "1001"); err != nil {
		t.Fatal(err)
	}
	tl.cfg.Signer = next
	c.acknowledge(t, tl, last(t, tl), day(200))
	for d := 300; d <= 600; d += 100 {
		tl.sell(t, fmt.Sprintf("d%d", d), 100)
		c.acknowledge(t, tl, last(t, tl), day(d))
		for tl.forget(t).Entries > 0 {
		}
	}
	if err := tl.Close(); err != nil {
		t.Fatal(err)
	}
	r, err := offline.Verify(t.Context(), tl.cfg.Path, offline.VerifyOptions{Centre: c.verifier})
	if err != nil || r.Epochs != 2 || r.Payments != 7 || !strings.HasPrefix(r.Checkpoint, "2/") {
		t.Fatalf("%+v %v", r, err)
	}
	tl.reopen(t)
}

// TestForgedCheckpoints attacks a file that has forgotten, with SQLite in hand.
func TestForgedCheckpoints(t *testing.T) {
	for name, attack := range map[string]string{
		"the row is gone":                    `DELETE FROM checkpoint`,
		"the row names an older place":       `UPDATE checkpoint SET seq = 1`,
		"a later place, with its row":        `UPDATE checkpoint SET seq = 7; DELETE FROM journal WHERE seq <= 7`,
		"the body is another's":              `UPDATE checkpoint SET body = (SELECT body FROM journal WHERE kind = 'payment_created' LIMIT 1)`,
		"its entry is another":               `UPDATE checkpoint SET entry_seq = entry_seq - 1`,
		"its entry is changed":               `UPDATE journal SET body = zeroblob(length(body)) WHERE kind = 'checkpoint'`,
		"more was dropped than it says":      `DELETE FROM journal WHERE seq = 5`,
		"a carried amount":                   `UPDATE carried SET doc = json_set(doc, '$.amount', 1) WHERE kind = 'payment'`,
		"a carried amount and its payment":   `UPDATE carried SET doc = json_set(doc, '$.amount', 1); UPDATE payments SET doc = json_set(doc, '$.amount', 1), amount = 1 WHERE key = 'old'`,
		"a carried payment is gone":          `DELETE FROM carried; DELETE FROM payments WHERE key = 'old'`,
		"a payment that nobody made":         `INSERT INTO carried SELECT kind, zeroblob(16), first_epoch, first_seq, last_epoch, last_seq, doc FROM carried LIMIT 1`,
		"the chain's end, checkpoint in it":  `DELETE FROM journal WHERE seq >= (SELECT entry_seq FROM checkpoint)`,
		"everything, the projections stay":   `DELETE FROM journal`,
		"the receipt's table tells of later": `UPDATE receipts SET seq = seq + 1, centre_ms = 0`,
	} {
		t.Run(name, func(t *testing.T) {
			tl, c, _ := agedTill(t)
			if f := tl.forget(t); f.Entries == 0 {
				t.Fatal("nothing forgotten")
			}
			if err := tl.Close(); err != nil {
				t.Fatal(err)
			}
			db, err := sql.Open("sqlite3", "file:"+tl.cfg.Path)
			if err != nil {
				t.Fatal(err)
			}
			db.SetMaxOpenConns(1)
			var triggers []string
			rows, err := db.QueryContext(t.Context(), `SELECT name, sql FROM sqlite_schema WHERE type = 'trigger'`)
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = rows.Close() }()
			var names []string
			for rows.Next() {
				var n, q string
				if err := rows.Scan(&n, &q); err != nil {
					t.Fatal(err)
				}
				names, triggers = append(names, n), append(triggers, q)
			}
			if err := rows.Err(); err != nil {
				t.Fatal(err)
			}
			for _, n := range names {
				change(t, db, "DROP TRIGGER "+n)
			}
			change(t, db, attack)
			for _, q := range triggers {
				change(t, db, q)
			}
			if err := db.Close(); err != nil {
				t.Fatal(err)
			}
			r, err := offline.Verify(t.Context(), tl.cfg.Path, offline.VerifyOptions{Centre: c.verifier})
			if name == "the receipt's table tells of later" {
				// Table receipts only chooses where to stop; what it says is checked against the licence when it is used.
				s, err := offline.Open(t.Context(), tl.cfg)
				if err != nil {
					return
				}
				defer func() { _ = s.Close() }()
				if f, err := s.Forget(t.Context(), 0, tl.now(), today); err == nil && f.Entries > 0 {
					t.Fatalf("forgot %+v", f)
				}
				return
			}
			if err == nil {
				t.Fatalf("verified: %+v", r)
			}
			if s, err := offline.Open(t.Context(), tl.cfg); err == nil {
				_ = s.Close()
				t.Fatal("opened")
			}
		})
	}
}

func change(t *testing.T, db *sql.DB, q string) {
	t.Helper()
	if _, err := db.ExecContext(t.Context(), q); err != nil {
		t.Fatalf("%s: %v", q, err)
	}
}

// TestAKeyHolderCannotForgetWhatTheCentreLacks signs a checkpoint with a receipt that is not the centre's.
func TestAKeyHolderCannotForgetWhatTheCentreLacks(t *testing.T) {
	tl, c := newTill(t, dcep.SM2SM3), newCentre(t)
	stranger := newCentre(t)
	tl.sell(t, "a", 100)
	stranger.acknowledge(t, tl, last(t, tl), day(0)) // a till whose centre key was exchanged
	tl.sell(t, "b", 100)
	stranger.acknowledge(t, tl, last(t, tl), day(100))
	if f := tl.forget(t); f.Entries == 0 {
		t.Fatal("nothing forgotten")
	}
	if err := tl.Close(); err != nil {
		t.Fatal(err)
	}
	if r, err := offline.Verify(t.Context(), tl.cfg.Path, offline.VerifyOptions{Centre: c.verifier}); err == nil {
		t.Fatalf("verified: %+v", r)
	}
	tl.cfg.Centre = c.verifier
	if s, err := offline.Open(t.Context(), tl.cfg); err == nil {
		_ = s.Close()
		t.Fatal("opened")
	}
}

func TestTheTriggerKeepsWhatTheCentreLacks(t *testing.T) {
	tl, _, _ := agedTill(t)
	tl.sell(t, "unsent", 500)
	tl.forget(t)
	if err := tl.Close(); err != nil {
		t.Fatal(err)
	}
	db, err := sql.Open("sqlite3", "file:"+tl.cfg.Path)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = db.Close() }()
	if _, err := db.ExecContext(t.Context(), `DELETE FROM journal WHERE seq = (SELECT max(seq) FROM journal)`); err == nil {
		t.Fatal("a row that the centre lacks was removed")
	}
	if _, err := db.ExecContext(t.Context(), `UPDATE checkpoint SET seq = 1000; DELETE FROM journal WHERE seq = (SELECT max(seq) FROM journal)`); err == nil {
		t.Fatal("behind a forged checkpoint a row that the centre lacks was removed")
	}
}

// TestACentreThatWasRestoredGetsWhatIsLeft: it asks for entries that are forgotten, and gets those after them.
func TestACentreThatWasRestoredGetsWhatIsLeft(t *testing.T) {
	tl, c, _ := agedTill(t)
	f := tl.forget(t)
	r := dcep.Receipt{Env: pos.Lab, Terminal: terminal, Epoch: 1, CentreMS: day(101), Generation: 2}
	c.sign(t, &r)
	if err := tl.Acknowledge(t.Context(), r, c.verifier); err != nil {
		t.Fatal(err)
	}
	epoch, seq, _, err := tl.Cursor(t.Context())
	if err != nil || epoch != f.Epoch || seq != f.Seq {
		t.Fatalf("cursor %d/%d %v: want the checkpoint %d/%d", epoch, seq, err, f.Epoch, f.Seq)
	}
	if o, err := tl.Outbox(t.Context()); err != nil || o.Unsent != o.Seq-f.Seq {
		t.Fatalf("%+v %v", o, err)
	}
	if err := tl.Close(); err != nil {
		t.Fatal(err)
	}
	tl.reopen(t)
}

// TestForgottenPolicyIsStillKnown: the checkpoint carries the highest version of each policy that
// was taken, so that a till that restarts refuses an older one, whatever it has forgotten.
func TestForgottenPolicyIsStillKnown(t *testing.T) {
	tl, c := newTill(t, dcep.Ed25519SHA256), newCentre(t)
	tl.cfg.Centre = c.verifier
	for i, names := range [][]pos.ConfigChanged{
		{{What: "policy fleet", Version: 7}, {What: "policy fleet", Version: 5}, {What: "config"}},
		{{What: "policy store S1", Version: 9}, {What: "policy fleet", Version: 6}},
		{{What: "policy terminal T-0001", Version: 3}},
	} {
		for _, n := range names {
			tl.write(t, tl.draft(pos.KindConfig, pos.PaymentID{}, n))
		}
		tl.sell(t, fmt.Sprint(i), 100)
		c.acknowledge(t, tl, last(t, tl), day(100*i))
		tl.forget(t)
	}
	for range 2 {
		for what, want := range map[string]uint64{"policy fleet": 7, "policy store S1": 9, "policy terminal T-0001": 3, "config": 0, "policy": 0} {
			if got, err := tl.ConfigVersion(t.Context(), what); err != nil || got != want {
				t.Errorf("%s: version %d %v, want %d", what, got, err, want)
			}
		}
		for _, e := range tl.all(t) {
			if b, err := dcep.Body(e); err == nil {
				if n, ok := b.(*pos.ConfigChanged); ok && n.What == "policy fleet" {
					t.Errorf("version %d of the fleet's policy is not forgotten: nothing is shown", n.Version)
				}
			}
		}
		if err := tl.Close(); err != nil {
			t.Fatal(err)
		}
		if r, err := offline.Verify(t.Context(), tl.cfg.Path, offline.VerifyOptions{Centre: c.verifier}); err != nil || r.Forgotten == 0 {
			t.Fatalf("%+v %v", r, err)
		}
		tl.reopen(t)
	}
}
