package kills_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"dcpos/lab/drill"
	"dcpos/pos"
)

// copyTo copies a folder; nothing may be running on it.
func (s *shop) copyTo(from, to string) {
	s.t.Helper()
	s.must(os.RemoveAll(to))
	s.must(os.CopyFS(to, os.DirFS(from)))
	entries, err := os.ReadDir(to)
	s.must(err)
	s.must(os.Chmod(to, 0o700))
	for _, e := range entries {
		info, err := os.Stat(from + "/" + e.Name())
		s.must(err)
		s.must(os.Chmod(to+"/"+e.Name(), info.Mode().Perm()))
	}
}

func TestARestoredDiskImageIsAForkThatIsKeptAndTold(t *testing.T) {
	s := open(t)
	image := t.TempDir() + "/image"
	s.sell(10_00)
	s.receipted()
	s.must(s.till().Stop())
	s.copyTo(s.till().Data, image)

	s.must(s.till().Restart(t.Context()))
	s.receipted()
	first := s.sell(20_00)
	s.receipted()
	s.must(s.till().Stop())
	before := s.ledger()
	_, kept := before.Kept(s.till().ID)

	// The image is put back and sells on without a network: nobody can know yet.
	s.must(s.Link.Cut())
	s.copyTo(image, s.till().Data)
	s.must(s.till().Restart(t.Context()))
	second := s.sellOffline(30_00)
	third := s.sellOffline(7_00)
	s.must(s.Link.Restore())

	s.eventually("quarantine", func() error {
		st, err := s.till().Status(t.Context())
		if err == nil && !st.Finding("quarantined") {
			err = fmt.Errorf("the till says nothing of a fork: %+v", st.Findings)
		}
		return err
	})
	s.eventually("both branches", func() error {
		if got := s.ledger().Balance("suspense:fork:" + s.till().ID); got != -37_00 {
			return fmt.Errorf("suspense holds %d, want -3700", got)
		}
		return nil
	})
	l := s.ledger()
	if !l.Balanced || l.Sum != 0 {
		t.Errorf("the ledger does not balance: %+v", l)
	}
	if state := l.Terminals[0].State; state != "quarantined" {
		t.Errorf("terminal is %s", state)
	}
	if _, now := l.Kept(s.till().ID); now != kept {
		t.Errorf("the first branch ended with entry %d, now with %d", kept, now)
	}
	all, _ := l.ByKey()
	for _, p := range []pos.Payment{second, third} {
		if got := all["fork:evidence:"+p.ID.String()]; got.On("suspense:fork:"+s.till().ID) != -p.Amount {
			t.Errorf("second branch's %s is posted as %+v", p.ID, got)
		}
	}
	if got := all["paid:"+first.ID.String()]; got.On("receivable:ICBC") != first.Amount {
		t.Errorf("first branch's %s is posted as %+v", first.ID, got)
	}
	if got := l.Balance("merchant:M100"); got != -30_00 {
		t.Errorf("the merchant is owed %d, want 3000: what is in doubt is not his yet", -got)
	}
	s.quarantinedTillTakesNoMoney()
	s.sellsAgainInANewEpoch()
}

// sellsAgainInANewEpoch is what a person does: a code of the centre, the agent stopped.
func (s *shop) sellsAgainInANewEpoch() {
	s.t.Helper()
	code, err := s.Code(s.t.Context(), "--terminal", s.till().ID, "--reason", "forked")
	s.must(err)
	s.must(s.till().Stop())
	address, err := os.ReadFile(filepath.Join(s.Options.Dir, "centre.addr"))
	s.must(err)
	out, err := exec.CommandContext(s.t.Context(), filepath.Join(programs, "posagent"), "--config", s.till().Config, "epoch",
		"--centre", "http://"+strings.TrimSpace(string(address)), "--code", code, "--reason", "forked").CombinedOutput()
	if err != nil {
		s.t.Fatalf("open the next epoch: %v\n%s", err, out)
	}
	s.must(s.till().Restart(s.t.Context()))
	s.must(s.till().Ready(s.t.Context(), true))
	s.sell(40_00)
	s.receipted()
	l := s.ledger()
	if l.Balance("merchant:M100") != -70_00 || l.Balance("suspense:fork:"+s.till().ID) != -37_00 || !l.Balanced {
		s.t.Errorf("after the new epoch: %+v", l.Accounts)
	}
	s.must(s.till().Stop())
	if r, err := s.VerifyJournal(s.t.Context(), s.till().Journal(), 1); err != nil || !r.OK || r.Epoch != 2 {
		s.t.Errorf("journal: %+v %v", r, err)
	}
}

func (s *shop) quarantinedTillTakesNoMoney() {
	s.t.Helper()
	for _, mode := range []pos.Mode{pos.BScanC, pos.CScanB, pos.Evidence} {
		p, err := s.till().Pay(s.t.Context(), drill.Start{Key: string(mode), OrderID: string(mode), Amount: 1, Mode: mode})
		if err == nil {
			s.t.Errorf("a quarantined till takes a %s payment: %+v", mode, p)
		}
	}
	if b, err := s.Books(s.t.Context(), "ICBC"); err != nil || b.Paid != 30_00 {
		s.t.Errorf("the institution has taken %d, want 3000: %v", b.Paid, err)
	}
}
