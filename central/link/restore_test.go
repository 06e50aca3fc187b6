package link_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"dcpos/central/fleet"
	"dcpos/central/ledger"
	"dcpos/central/store"
	"dcpos/internal/testpg"
	"dcpos/pos"
	"dcpos/pos/dcep"
	"dcpos/sync/wire"
)

// TestRestoreAndResend: take in, back up, take in more, lose the database, restore, take
// everything in again: entries and ledger are as if nothing had been lost.
func TestRestoreAndResend(t *testing.T) {
	engines(t, func(t *testing.T, url string) {
		t.Helper()
		c := newCentre(t, url)
		tills := []*till{c.enrol(t, dcep.Ed25519SHA256), c.enrol(t, dcep.SM2SM3)}
		for _, till := range tills {
			till.open(t, pos.EpochEnrolled, nil)
			for range 12 {
				till.payment(t, 10, pos.Asking, pos.Paid)
				till.payment(t, 3, pos.AcceptedEvidence)
			}
			c.take(t, till.id, till.batches(t, 5)...)
		}
		verdict(t, c.store, tills[0], 2)
		dir := filepath.Join(t.TempDir(), "backup")
		if _, err := c.store.Backup(t.Context(), dir); err != nil {
			t.Fatal(err)
		}
		verdict(t, c.store, tills[0], 3) // numbers 3 to 5: told to the till, then lost
		for _, till := range tills {
			for range 6 {
				till.payment(t, 100, pos.Asking, pos.Paid)
			}
			c.take(t, till.id, till.batches(t, 5)...)
		}
		balances := c.balances(t)

		fresh := "sqlite:" + filepath.Join(t.TempDir(), "again.db")
		if strings.HasPrefix(url, "postgres") {
			fresh = testpg.Start(t)
		}
		cfg := store.Config{URL: fresh, Env: pos.Lab}
		generation, err := store.Restore(t.Context(), cfg, dir, "drill")
		if err != nil || generation < 2 {
			t.Fatal(generation, err)
		}
		if _, err := store.Restore(t.Context(), cfg, dir, "over it"); pos.CodeOf(err) != pos.ErrBadRequest {
			t.Fatalf("a restore wrote over a database: %v", err)
		}
		again := reopen(t, c, fresh)
		checkMarks(t, again, tills[0], generation)
		for _, till := range tills {
			again.take(t, till.id, till.batches(t, 4)...)
			if diff := cmp.Diff(c.kept(t, till.id, 1), again.kept(t, till.id, 1)); diff != "" {
				t.Fatal(diff)
			}
		}
		if diff := cmp.Diff(balances, again.balances(t)); diff != "" {
			t.Fatal(diff)
		}
		for i, lines := range [][]ledger.Line{statement(t, c), statement(t, again)} {
			if want := 2 * (12 + 6); len(lines) != want {
				t.Fatalf("statement %d has %d lines, want %d", i, len(lines), want)
			}
		}
	})
}

func statement(t *testing.T, c *centre) []ledger.Line {
	t.Helper()
	return must(c.store.Ledger().Statement(t.Context(), "merchant:m1", 0, 1000))(t)
}

func verdict(t *testing.T, s *store.Store, till *till, n int) {
	t.Helper()
	for range n {
		if _, err := s.AppendVerdict(t.Context(), till.id, pos.Verdict{Payment: till.newPayment()}); err != nil {
			t.Fatal(err)
		}
	}
}

func reopen(t *testing.T, c *centre, url string) *centre {
	t.Helper()
	again := *c
	again.store = must(store.Open(t.Context(), store.Config{URL: url, Env: pos.Lab}))(t)
	t.Cleanup(func() { _ = again.store.Close() })
	again.fleet = fleet.New(fleet.Config{Store: again.store.Fleet(), Env: pos.Lab, Signer: again.signer})
	again.cfg.Store = again.store.Link()
	return &again
}

// checkMarks: a till that knows more than the restored centre is told so, and verdicts
// go on after the last that it has.
func checkMarks(t *testing.T, c *centre, till *till, generation uint64) {
	t.Helper()
	c.start(t)
	nc := c.connect(t, till)
	verdict(t, c.store, till, 1) // number 3 again, which the till has seen with another meaning
	seq, _ := till.head()
	m := askMark(t, c, nc, till, wire.MarkRequest{Epoch: 1, Seq: seq, Receipt: seq, ReceiptEpoch: 1, Verdict: 5, Policies: 1})
	if m.Receipt == nil || m.Receipt.Generation != generation || m.Receipt.Seq >= seq ||
		m.ResendEpoch != 1 || m.ResendFrom != m.Receipt.Seq+1 {
		t.Fatalf("%+v %+v", m, m.Receipt)
	}
	if len(m.Verdicts) != 1 || m.Verdicts[0].Number != 6 {
		t.Fatalf("%+v", m.Verdicts)
	}
}

func TestRestoreRefusesDamage(t *testing.T) {
	c := newCentre(t, "sqlite:"+filepath.Join(t.TempDir(), "c.db"))
	dir := filepath.Join(t.TempDir(), "backup")
	m := must(c.store.Backup(t.Context(), dir))(t)
	if _, err := c.store.Backup(t.Context(), dir); pos.CodeOf(err) != pos.ErrBadRequest {
		t.Fatalf("a backup wrote over another: %v", err)
	}
	target := store.Config{URL: "sqlite:" + filepath.Join(t.TempDir(), "new.db")}
	live := target
	live.Env = pos.Live
	if _, err := store.Restore(t.Context(), live, dir, ""); pos.CodeOf(err) != pos.ErrEnvironment {
		t.Fatalf("a lab backup in a live centre: %v", err)
	}
	path := filepath.Join(dir, m.File)
	b := must(os.ReadFile(path))(t)
	b[len(b)/2] ^= 1
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := store.Restore(t.Context(), target, dir, ""); pos.CodeOf(err) != pos.ErrBadRequest {
		t.Fatalf("one flipped bit: %v", err)
	}
	if err := os.Remove(filepath.Join(dir, "manifest.json")); err != nil {
		t.Fatal(err)
	}
	if _, err := store.Restore(t.Context(), target, dir, ""); pos.CodeOf(err) != pos.ErrBadRequest {
		t.Fatalf("no manifest: %v", err)
	}
}
