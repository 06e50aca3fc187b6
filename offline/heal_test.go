package offline

import (
	"strconv"
	"strings"
	"testing"

	"dcpos/pos"
)

// A disk that was full heals once it has room, and not before; what failed stays refused.
func TestAFailedStoreHealsWhenTheDiskIsWell(t *testing.T) {
	s := newStore(t)
	ctx := t.Context()
	if err := s.Heal(ctx); err != nil {
		t.Fatalf("a store that is well: %v", err)
	}
	if err := s.SetMeta(ctx, "k", "v"); err != nil {
		t.Fatal(err)
	}
	var pages int
	if err := s.writer.QueryRowContext(ctx, "PRAGMA page_count").Scan(&pages); err != nil {
		t.Fatal(err)
	}
	if _, err := s.writer.ExecContext(ctx, "PRAGMA max_page_count = "+strconv.Itoa(pages)); err != nil {
		t.Fatal(err)
	}
	large := pos.Draft{Kind: pos.KindDrawer, Operator: "1001", BusinessDate: "2026-11-21", Body: pos.DrawerOpened{Reason: strings.Repeat("x", 30000)}}
	write := func() error {
		_, err := s.Update(ctx, func(pos.JournalView) ([]pos.Draft, error) { return []pos.Draft{large}, nil })
		return err
	}
	for range 2 { // the second is refused without a try
		if err := write(); pos.CodeOf(err) != pos.ErrStorage {
			t.Fatalf("error %v: want %s", err, pos.ErrStorage)
		}
	}
	if o, err := s.Outbox(ctx); err != nil || o.Seq != 1 {
		t.Errorf("what failed is there: %+v %v", o, err)
	}
	if err := s.Heal(ctx); err != nil { // the page limit was of the old connection
		t.Fatal(err)
	}
	if _, ok, err := s.Meta(ctx, metaProbe); err != nil || ok {
		t.Errorf("the probe is still there: %t %v", ok, err)
	}
	if o, err := s.Outbox(ctx); err != nil || o.Seq != 1 {
		t.Errorf("what failed was written by the healing: %+v %v", o, err)
	}
	if err := write(); err != nil {
		t.Errorf("after healing: %v", err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if err := s.Heal(ctx); pos.CodeOf(err) != pos.ErrStorage {
		t.Errorf("a closed store heals: %v", err)
	}
}
