package damage_test

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"dcpos/internal/testbin"
	"dcpos/lab/drill"
	"dcpos/pos"
)

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func run(t *testing.T, program string, args ...string) (out string, code int) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, filepath.Join(testbin.Dir(t), program), args...)
	b, err := cmd.CombinedOutput()
	if cmd.ProcessState == nil {
		t.Fatal(err)
	}
	return string(b), cmd.ProcessState.ExitCode()
}

func sell(t *testing.T, s *drill.Site, n int) pos.Payment {
	t.Helper()
	w, err := s.Wallet(t.Context(), "ICBC", 500_00)
	must(t, err)
	name := fmt.Sprintf("sale-%d", n)
	p, err := s.Tills[0].Pay(t.Context(), drill.Start{Key: name, OrderID: name, Amount: 10_00, Mode: pos.BScanC})
	must(t, err)
	code, err := w.Code(t.Context())
	must(t, err)
	p, err = s.Tills[0].Do(t.Context(), p.ID, "code", map[string]string{"code": code})
	must(t, err)
	if p.State != pos.Paid {
		t.Fatalf("sale %d is %s", n, p.State)
	}
	return p
}

// receipted waits until the centre has receipted everything.
func receipted(t *testing.T, s *drill.Site) {
	t.Helper()
	for range 600 {
		st, err := s.Tills[0].Status(t.Context())
		if err == nil && st.Outbox.Unsent == 0 {
			return
		}
		time.Sleep(50 * time.Millisecond)
	}
	t.Fatal("the journal was not receipted")
}

// TestABrokenJournalStopsTheTillAndNamesTheWayOut flips bytes in the middle of the file.
func TestABrokenJournalStopsTheTillAndNamesTheWayOut(t *testing.T) {
	s, err := drill.Open(t.Context(), drill.SiteOptions{Bin: testbin.Dir(t), Dir: t.TempDir()})
	must(t, err)
	t.Cleanup(func() { must(t, s.Close()) })
	till := s.Tills[0]
	var ids []string
	for n := range 3 {
		ids = append(ids, sell(t, s, n).ID.String())
	}
	receipted(t, s)
	must(t, till.Stop())
	breakIt(t, till.Journal())

	out, code := run(t, "posagent", "--config", till.Config)
	if code != 1 || !strings.Contains(out, "chain_broken") || !strings.Contains(out, "posctl journal export --salvage") {
		t.Errorf("start over a broken journal: exit %d\n%s", code, out)
	}
	out, code = run(t, "posctl", "journal", "verify", till.Journal())
	if code != 1 || !strings.Contains(out, "entry") {
		t.Errorf("verify: exit %d\n%s", code, out)
	}
	salvage := filepath.Join(t.TempDir(), "salvage")
	if out, code = run(t, "posctl", "journal", "export", "--salvage", till.Journal(), salvage); code > 1 {
		t.Fatalf("salvage: exit %d\n%s", code, out)
	}
	if info, err := os.Stat(salvage); err != nil || info.Size() == 0 {
		t.Errorf("salvage wrote nothing: %v", err)
	}
	nextEpoch(t, s)
	sell(t, s, 99)
	receipted(t, s)

	l, err := s.Ledger(t.Context())
	must(t, err)
	if !l.Balanced || l.Sum != 0 {
		t.Errorf("ledger: %+v", l)
	}
	kept := map[string]bool{}
	for _, p := range l.Payments {
		kept[p.ID] = true
	}
	for _, id := range ids {
		if !kept[id] {
			t.Errorf("payment %s of the broken epoch is not at the centre", id)
		}
	}
	must(t, till.Stop())
	if out, code = run(t, "posctl", "journal", "verify", till.Journal()); code != 0 || !strings.Contains(out, "epoch: 2") {
		t.Errorf("the new epoch: exit %d\n%s", code, out)
	}
	if _, err := os.Stat(till.Journal() + ".epoch-1"); err != nil {
		t.Errorf("the broken file was not kept: %v", err)
	}
	must(t, till.Restart(t.Context()))
}

// nextEpoch asks the centre for a code and opens the epoch with the agent stopped.
func nextEpoch(t *testing.T, s *drill.Site) {
	t.Helper()
	till := s.Tills[0]
	code, err := s.Code(t.Context(), "--terminal", till.ID, "--reason", "damaged")
	must(t, err)
	centre, err := os.ReadFile(filepath.Join(s.Options.Dir, "centre.addr"))
	must(t, err)
	address := "http://" + strings.TrimSpace(string(centre))
	if out, exit := run(t, "posagent", "--config", till.Config, "epoch", "--centre", address, "--code", code); exit != 0 {
		t.Fatalf("open the next epoch: exit %d\n%s", exit, out)
	}
	must(t, till.Restart(t.Context()))
	must(t, till.Ready(t.Context(), true))
}

// breakIt changes the kind of entries where they lie in the file.
func breakIt(t *testing.T, path string) {
	t.Helper()
	b, err := os.ReadFile(path)
	must(t, err)
	changed := bytes.ReplaceAll(b, []byte("payment_moved"), []byte("payment_mowed")) // some lie in pages that are free again
	if bytes.Equal(changed, b) {
		t.Fatal("no entry found in the file")
	}
	must(t, os.WriteFile(path, changed, 0o600))
}
