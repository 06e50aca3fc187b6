package kills_test

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"

	"dcpos/pos"
)

// TestACentreRestoredFromBackupHasTheSameLedgerAgain loses the database and the
// conveyor, not the keys: tills send again, institutions are asked.
func TestACentreRestoredFromBackupHasTheSameLedgerAgain(t *testing.T) {
	s := open(t)
	ctx := t.Context()
	s.sell(10_00)
	s.receipted()
	backup := t.TempDir() + "/backup"
	if out, code, err := s.Central(ctx, "backup", backup); err != nil || code != 0 {
		t.Fatalf("%d %v %s", code, err, out)
	}
	paid := s.sell(20_00)
	r, err := s.till().Refund(ctx, paid.ID, "r1", 5_00)
	if err != nil || r.State != pos.RefundRefunded {
		t.Fatalf("%+v %v", r, err)
	}
	s.must(s.Link.Cut())
	s.eventually("offline", func() error {
		st, err := s.till().Status(ctx)
		if err == nil && st.Connected {
			err = fmt.Errorf("still connected")
		}
		return err
	})
	s.sellOffline(30_00)
	s.must(s.Link.Restore())
	s.Quiesce(ctx, s.book)
	s.receipted()
	want := s.ledger()

	s.must(s.Centre.Stop())
	for _, name := range []string{"centre.db", "centre.db-wal", "centre.db-shm", "nats/jetstream"} {
		s.must(os.RemoveAll(filepath.Join(s.Centre.Data, name)))
	}
	if out, code, err := s.Central(ctx, "restore", backup, "--note", "drill"); err != nil || code != 0 {
		t.Fatalf("%d %v %s", code, err, out)
	}
	if restored := s.ledger(); len(restored.Transactions) >= len(want.Transactions) {
		t.Fatalf("the backup has %d transactions, the ledger had %d", len(restored.Transactions), len(want.Transactions))
	}
	s.must(s.StartCentre(ctx))
	s.eventually("the same ledger", func() error {
		if d := cmp.Diff(want.Accounts, s.ledger().Accounts); d != "" {
			return fmt.Errorf("balances (-want +got):\n%s", d)
		}
		return nil
	})
	wantKeys, _ := want.ByKey()
	gotKeys, _ := s.ledger().ByKey()
	if d := cmp.Diff(wantKeys, gotKeys); d != "" {
		t.Errorf("transactions (-want +got):\n%s", d)
	}
	s.sell(40_00)
	s.judged()
}
