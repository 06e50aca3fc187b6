package kills_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"dcpos/lab/institution/api"
	"dcpos/pos"
)

// The controls: what judges the drills is shown a loss, and must name it, it alone.

// names fails unless the findings are about exactly these payments.
func (s *shop) names(what string, payments ...pos.Payment) {
	s.t.Helper()
	findings := s.book.Findings()
	for _, p := range payments {
		if !strings.Contains(strings.Join(findings, "\n"), p.ID.String()) {
			s.t.Errorf("nothing is said of %s, which %s", p.ID, what)
		}
	}
	for _, f := range findings {
		known := false
		for _, p := range payments {
			known = known || strings.Contains(f, p.ID.String())
		}
		if !known {
			s.t.Errorf("found besides what %s: %s", what, f)
		}
	}
}

func TestAnOldImageOfAJournalIsSeenToLackTheLastPayments(t *testing.T) {
	s := open(t)
	image := t.TempDir() + "/image"
	s.sell(1_00)
	s.must(s.till().Stop())
	s.copyTo(s.till().Data, image)
	s.must(s.till().Restart(t.Context()))
	s.receipted()
	lost := []pos.Payment{s.sell(2_00), s.sell(3_00)}
	st, err := s.till().Status(t.Context())
	s.must(err)
	s.must(s.till().Kill())
	s.must(s.Link.Cut())
	s.copyTo(image, s.till().Data)
	if r, err := s.VerifyJournal(t.Context(), s.till().Journal(), st.Outbox.Seq); err == nil || r.OK {
		t.Errorf("a journal without its last entries passes: %+v", r)
	}
	s.must(s.till().Restart(t.Context()))
	s.till().Recall(t.Context(), s.book, s.book.All())
	s.names("the old image lacks", lost...)
}

func TestAnOldDatabaseOfTheCentreIsSeenToLackTheLastPayments(t *testing.T) {
	s := open(t)
	backup := t.TempDir() + "/backup"
	s.sell(1_00)
	s.receipted()
	if out, code, err := s.Central(t.Context(), "backup", backup); err != nil || code != 0 {
		t.Fatalf("%d %v %s", code, err, out)
	}
	lost := []pos.Payment{s.sell(2_00), s.sell(3_00)}
	s.receipted()
	marks, err := s.Marks(t.Context())
	s.must(err)
	s.must(s.Centre.Kill())
	for _, name := range []string{"centre.db", "centre.db-wal", "centre.db-shm"} {
		s.must(os.RemoveAll(filepath.Join(s.Centre.Data, name)))
	}
	if out, code, err := s.Central(t.Context(), "restore", backup); err != nil || code != 0 {
		t.Fatalf("%d %v %s", code, err, out)
	}
	s.Recall(t.Context(), s.book, s.book.All(), nil)
	s.names("the old database lacks", lost...)
	before := len(s.book.Findings())
	s.Recall(t.Context(), s.book, nil, marks)
	if got := s.book.Findings()[before:]; len(got) != 1 || !strings.Contains(got[0], "lost entries of "+s.till().Name) {
		t.Errorf("of receipted entries that are gone: %v", got)
	}
}

func TestAStatementThatDiffersIsSeen(t *testing.T) {
	for kind, order := range map[string]func(*shop) api.Fault{
		"drop":   func(*shop) api.Fault { return planted(api.ChangeDrop) },
		"amount": func(*shop) api.Fault { return planted(api.ChangeAmount) },
		"double": func(*shop) api.Fault { return api.Fault{Op: api.OpPayments, Kind: api.Duplicate, Amount: 2_00} },
	} {
		t.Run(kind, func(t *testing.T) {
			s := open(t)
			s.sell(1_00)
			s.must(s.Fault(t.Context(), "ICBC", order(s)))
			wrong := s.sell(2_00)
			s.receipted()
			s.Judge(t.Context(), s.book, s.began)
			found := fmt.Sprint(s.book.Findings())
			if !strings.Contains(found, wrong.ID.String()) || !strings.Contains(found, "reconcile ") {
				t.Errorf("judge and reconciliation must both see payment %s: %s", wrong.ID, found)
			}
		})
	}
}

func planted(change string) api.Fault {
	return api.Fault{Op: api.OpStatements, Kind: api.Planted, Reason: change, Amount: 2_00}
}
