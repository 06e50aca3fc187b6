package attacks_test

import (
	"database/sql"
	"os"
	"testing"

	_ "github.com/mattn/go-sqlite3" // what an insider opens the file with

	"dcpos/offline"
	"dcpos/pos"
	"dcpos/pos/dcep"
)

// file makes an attack on the journal of a till that took two payments and was stopped.
func file(threat, name string, want pos.Code, try func(c *counter) error) attack {
	return attack{threat, name, string(want), func(t *testing.T) error {
		t.Helper()
		c := openCounter(t, pos.Lab)
		p := carry(c.bank.wallet())
		c.pay(p, 1000)
		c.pay(p, 2000)
		c.close()
		return try(c)
	}}
}

func (c *counter) close() {
	c.t.Helper()
	c.stop()
	ok(c.t, c.store.Close())
}

// edit changes the file by SQL, as somebody does who has taken the triggers away and put
// them back.
func (c *counter) edit(statements ...string) {
	c.t.Helper()
	db := must[*sql.DB](c.t)(sql.Open("sqlite3", "file:"+c.cfg.Path+"?_journal_mode=DELETE"))
	rows, err := db.QueryContext(c.t.Context(), "SELECT name, sql FROM sqlite_master WHERE type = 'trigger'")
	ok(c.t, err)
	defer func() { _ = rows.Close() }()
	var all []string
	for rows.Next() {
		var name, text string
		ok(c.t, rows.Scan(&name, &text))
		all = append(all, text)
		statements = append([]string{"DROP TRIGGER " + name}, statements...)
	}
	ok(c.t, rows.Err())
	for _, s := range append(append(statements, all...), "PRAGMA journal_mode=WAL") {
		if _, err := db.ExecContext(c.t.Context(), s); err != nil {
			c.t.Fatalf("%s: %v", s, err)
		}
	}
	ok(c.t, db.Close())
}

// opened starts the till anew; verified is what posctl journal verify does.
func (c *counter) opened() error {
	s, err := offline.Open(c.t.Context(), c.cfg)
	if err == nil {
		_ = s.Close()
	}
	return err
}

func (c *counter) verified(o offline.VerifyOptions) error {
	_, err := offline.Verify(c.t.Context(), c.cfg.Path, o)
	return err
}

// both is one finding that a start and a verification share.
func (c *counter) both() error {
	err := c.opened()
	if v := c.verified(offline.VerifyOptions{}); pos.CodeOf(v) != pos.CodeOf(err) {
		c.t.Errorf("verify: %v, open: %v", v, err)
	}
	return err
}

// files are attacks on the till's memory.
func files() []attack {
	edits := func(threat, name string, statements ...string) attack {
		return file(threat, name, pos.ErrChainBroken, func(c *counter) error {
			c.edit(statements...)
			return c.both()
		})
	}
	return []attack{
		edits("T6", "the amount of a payment changed in the list of payments", `UPDATE payments SET amount = amount - 1`),
		edits("T6", "the content of an entry changed", `UPDATE journal SET body = X'A0' WHERE seq = 3`),
		edits("T6", "the operator of an entry changed", `UPDATE journal SET operator = '1002' WHERE seq = 3`),
		edits("T6", "an entry deleted", `DELETE FROM journal WHERE seq = 3`),
		edits("T6", "the last entry deleted", `DELETE FROM journal WHERE seq = (SELECT max(seq) FROM journal)`),
		edits("T6", "a payment deleted from the list of payments", `DELETE FROM payments WHERE id = (SELECT max(id) FROM payments)`),
		edits("T6", "two entries swapped", `UPDATE journal SET seq = 9000 WHERE seq = 2`, `UPDATE journal SET seq = 2 WHERE seq = 3`, `UPDATE journal SET seq = 3 WHERE seq = 9000`),
		edits("T6", "the unsent called sent, so that it is forgotten", `UPDATE cursor SET epoch = 1, seq = 5`),
		file("T6", "the whole journal written anew with another key", pos.ErrChainBroken, func(c *counter) error {
			trusted := dcep.Fingerprint(c.cfg.Signer.Public())
			c.anew()
			return c.verified(offline.VerifyOptions{Trust: []string{trusted}})
		}),
		file("T3", "an older copy of the file put back", pos.ErrChainBroken, func(c *counter) error {
			old := must[[]byte](c.t)(os.ReadFile(c.cfg.Path))
			c.sellOn()
			ok(c.t, os.WriteFile(c.cfg.Path, old, 0o600))
			return c.both()
		}),
		file("T3", "an older copy put back, its bookmark too, and the centre's receipt at hand", pos.ErrChainBroken, func(c *counter) error {
			old, mark := must[[]byte](c.t)(os.ReadFile(c.cfg.Path)), must[[]byte](c.t)(os.ReadFile(c.cfg.Path+"-bookmark"))
			c.sellOn()
			r := c.receipt(c.bank.key(), nil)
			ok(c.t, os.WriteFile(c.cfg.Path, old, 0o600))
			ok(c.t, os.WriteFile(c.cfg.Path+"-bookmark", mark, 0o600))
			return c.verified(offline.VerifyOptions{Receipt: &r})
		}),
		file("T7", "the end of the log cut off, as by a disk that lied about its sync", pos.ErrChainBroken, func(c *counter) error {
			c.store = must[*offline.Store](c.t)(offline.Open(c.t.Context(), c.cfg))
			c.start()
			c.pay(carry(c.bank.wallet()), 3)
			c.stop()
			keep := map[string][]byte{}
			for _, suffix := range []string{"", "-wal", "-bookmark"} {
				keep[suffix] = must[[]byte](c.t)(os.ReadFile(c.cfg.Path + suffix))
			}
			ok(c.t, c.store.Close())
			keep["-wal"] = keep["-wal"][:len(keep["-wal"])*2/3]
			for suffix, b := range keep {
				ok(c.t, os.WriteFile(c.cfg.Path+suffix, b, 0o600))
			}
			return c.opened()
		}),
		file("T14", "one bit of the file flipped", pos.ErrChainBroken, func(c *counter) error {
			b := must[[]byte](c.t)(os.ReadFile(c.cfg.Path))
			at := indexOf(b, "payment_moved")
			b[at] ^= 1
			ok(c.t, os.WriteFile(c.cfg.Path, b, 0o600))
			return c.both()
		}),
		file("T4", "the file opened with another till's key", pos.ErrConfig, func(c *counter) error {
			c.cfg.Signer = c.bank.key()
			return c.opened()
		}),
		file("T4", "the file taken for another terminal", pos.ErrConfig, func(c *counter) error {
			c.cfg.Terminal = "T2"
			return c.opened()
		}),
	}
}

func indexOf(b []byte, what string) int {
	for i := range b {
		if string(b[i:min(len(b), i+len(what))]) == what {
			return i
		}
	}
	return -1
}

// sellOn opens the journal again and takes one more payment.
func (c *counter) sellOn() {
	c.t.Helper()
	c.store = must[*offline.Store](c.t)(offline.Open(c.t.Context(), c.cfg))
	c.start()
	c.pay(carry(c.bank.wallet()), 3)
	c.close()
}

// anew writes the same entries into a new file with a key of one's own.
func (c *counter) anew() {
	c.t.Helper()
	for _, suffix := range append(offline.Suffixes(), "") {
		_ = os.Remove(c.cfg.Path + suffix)
	}
	c.cfg.Signer = c.bank.key()
	s := must[*offline.Store](c.t)(offline.Create(c.t.Context(), c.cfg, pos.EpochOpened{Reason: pos.EpochEnrolled}, 1, pos.Instant{}, "2026-11-26"))
	ok(c.t, s.Close())
}

// receipt is the centre's word about the journal's last entry, changed by whoever lies.
func (c *counter) receipt(centre dcep.Signer, lie func(*dcep.Receipt)) dcep.Receipt {
	c.t.Helper()
	s := must[*offline.Store](c.t)(offline.Open(c.t.Context(), c.cfg))
	o := must[pos.Outbox](c.t)(s.Outbox(c.t.Context()))
	ok(c.t, s.Close())
	r := dcep.Receipt{Env: pos.Lab, Terminal: "T1", Epoch: o.Epoch, Seq: o.Seq, Head: o.Head, CentreMS: 1, Generation: 1}
	if lie != nil {
		lie(&r)
	}
	ok(c.t, r.Sign(centre))
	return r
}

// receipts are lies of, or about, the centre, so that a till forgets what it still has.
func receipts() (list []attack) {
	for _, a := range []struct {
		threat, name string
		want         pos.Code
		lie          func(*dcep.Receipt)
		thief        bool
	}{
		{"T13", "a receipt for another history than the till's", pos.ErrFork, func(r *dcep.Receipt) { r.Head[0] ^= 1 }, false},
		{"T13", "a receipt for entries that the till never wrote", pos.ErrFork, func(r *dcep.Receipt) { r.Seq += 10 }, false},
		{"T13", "a receipt signed by somebody else than the centre", pos.ErrBadRequest, nil, true},
		{"T13", "a receipt of another terminal", pos.ErrBadRequest, func(r *dcep.Receipt) { r.Terminal = "T2" }, false},
		{"T13", "a receipt of live in the lab", pos.ErrEnvironment, func(r *dcep.Receipt) { r.Env = pos.Live }, false},
	} {
		list = append(list, file(a.threat, a.name, a.want, func(c *counter) error {
			centre := c.bank.key()
			by := centre
			if a.thief {
				by = c.bank.key()
			}
			r := c.receipt(by, a.lie)
			s := must[*offline.Store](c.t)(offline.Open(c.t.Context(), c.cfg))
			defer func() { ok(c.t, s.Close()) }()
			err := s.Acknowledge(c.t.Context(), r, must[dcep.Verifier](c.t)(centre.Suite().Verifier(centre.Public())))
			if o := must[pos.Outbox](c.t)(s.Outbox(c.t.Context())); o.Receipted != 0 {
				c.t.Errorf("the till may forget %d entries", o.Receipted)
			}
			return err
		}))
	}
	return list
}
