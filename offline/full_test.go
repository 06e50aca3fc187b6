package offline

import (
	"path/filepath"
	"strconv"
	"testing"

	"dcpos/pos"
	"dcpos/pos/dcep"
)

// pageLimit makes SQLite itself refuse to grow the file.
func TestAFileThatMayNotGrowStopsTheStore(t *testing.T) {
	s := newStore(t)
	if err := s.SetMeta(t.Context(), "k", "v"); err != nil {
		t.Fatal(err)
	}
	var pages int
	if err := s.writer.QueryRowContext(t.Context(), "PRAGMA page_count").Scan(&pages); err != nil {
		t.Fatal(err)
	}
	if _, err := s.writer.ExecContext(t.Context(), "PRAGMA max_page_count = "+strconv.Itoa(pages)); err != nil {
		t.Fatal(err)
	}
	draft := pos.Draft{Kind: pos.KindDrawer, Operator: "1001", BusinessDate: "2026-11-21", Body: pos.DrawerOpened{Reason: string(make([]byte, 30000))}}
	write := func() error {
		_, err := s.Update(t.Context(), func(pos.JournalView) ([]pos.Draft, error) { return []pos.Draft{draft}, nil })
		return err
	}
	if err := write(); pos.CodeOf(err) != pos.ErrStorage {
		t.Fatalf("error %v: want %s", err, pos.ErrStorage)
	}
	draft.Body = pos.DrawerOpened{Reason: "small"}
	for name, err := range map[string]error{"update": write(), "meta": s.SetMeta(t.Context(), "k", "w"), "failed": s.Failed()} {
		if pos.CodeOf(err) != pos.ErrStorage {
			t.Errorf("%s after a failed write: %v, want %s", name, err, pos.ErrStorage)
		}
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	again, err := Open(t.Context(), s.cfg)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = again.Close() }()
	s = again
	if err := write(); err != nil {
		t.Error(err)
	}
	if o, err := s.Outbox(t.Context()); err != nil || o.Seq != 2 {
		t.Errorf("outbox %+v %v: want 2 entries", o, err)
	}
}

func newStore(tb testing.TB) *Store {
	tb.Helper()
	suite, err := dcep.SuiteByName(dcep.Ed25519SHA256)
	if err != nil {
		tb.Fatal(err)
	}
	signer, err := suite.Generate()
	if err != nil {
		tb.Fatal(err)
	}
	cfg := Config{Path: filepath.Join(tb.TempDir(), "journal.db"), Signer: signer, Env: pos.Lab, Terminal: "T-1"}
	s, err := Create(tb.Context(), cfg, pos.EpochOpened{Reason: pos.EpochEnrolled}, 1, pos.Instant{}, "2026-11-21")
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { _ = s.Close() })
	return s
}

func TestProjectionsOfAnotherVersionAreRebuilt(t *testing.T) {
	s := newStore(t)
	id := pos.PaymentID{1, 2, 3}
	_, err := s.Update(t.Context(), func(pos.JournalView) ([]pos.Draft, error) {
		return []pos.Draft{{
			Kind: pos.KindPaymentCreated, Payment: id, Operator: "1001", BusinessDate: "2026-11-21",
			Body: pos.PaymentCreated{OrderID: "o", OrderAmount: 5, Amount: 5, Mode: pos.BScanC, Caller: "c", Key: "k", Attempt: 1},
		}}, nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, q := range []string{"UPDATE meta SET value = '0' WHERE key = '" + metaProjection + "'", "UPDATE payments SET doc = '{}', amount = 1"} {
		if _, err := s.writer.ExecContext(t.Context(), q); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if s, err = Open(t.Context(), s.cfg); err != nil {
			t.Fatal(err)
		}
		list, err := s.Payments(t.Context(), Query{})
		if err != nil || len(list) != 1 || list[0].ID != id || list[0].Amount != 5 {
			t.Errorf("payments %+v %v", list, err)
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
}
