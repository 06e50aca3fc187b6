package kills_test

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"dcpos/lab/drill"
)

// TestARestoreUnderLoadEndsInEqualBooks backs the centre up while customers pay, lets
// them go on, and takes the centre back to the backup while questions are open.
func TestARestoreUnderLoadEndsInEqualBooks(t *testing.T) {
	s := open(t)
	ctx := t.Context()
	t.Logf("seed %d", *seed)
	load, err := drill.StartLoad(ctx, s.Site, s.book, 4)
	s.must(err)
	s.sleepUntil(15)
	backup := t.TempDir() + "/backup"
	if out, code, err := s.Central(ctx, "backup", backup); err != nil || code != 0 {
		t.Fatalf("%d %v %s", code, err, out)
	}
	s.sleepUntil(s.book.Acks() + 30)
	s.must(s.Centre.Kill())
	for _, name := range []string{"centre.db", "centre.db-wal", "centre.db-shm", "nats/jetstream"} {
		s.must(os.RemoveAll(filepath.Join(s.Centre.Data, name)))
	}
	if out, code, err := s.Central(ctx, "restore", backup); err != nil || code != 0 {
		t.Fatalf("%d %v %s", code, err, out)
	}
	s.must(s.StartCentre(ctx))
	s.sleepUntil(s.book.Acks() + 15)
	s.must(load.Finish(ctx))
	s.judged()
}

// sleepUntil waits for so many answers that moved money.
func (s *shop) sleepUntil(acks int) {
	s.t.Helper()
	for deadline := time.Now().Add(time.Minute); s.book.Acks() < acks; time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			s.t.Fatalf("%d answers, waited for %d", s.book.Acks(), acks)
		}
	}
}
