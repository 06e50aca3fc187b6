package offline_test

import (
	"fmt"
	"os"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"dcpos/offline"
	"dcpos/pos"
	"dcpos/pos/dcep"
)

func (tl *till) printed(id pos.PaymentID, b pos.Printed) pos.Draft {
	if b.Kind == "" {
		b.Kind = pos.PrintPayment
	}
	return tl.draft(pos.KindPrint, id, b)
}

func (tl *till) owed(id pos.PaymentID, job, key string) pos.Draft {
	return tl.printed(id, pos.Printed{Job: job, Result: string(pos.PrintQueued), Caller: "screen", Key: key})
}

func TestPrintJobsAreFound(t *testing.T) {
	tl := newTill(t, dcep.Ed25519SHA256)
	p, q := tl.sell(t, "p", 100), tl.sell(t, "q", 100)
	tl.write(t, tl.owed(p, "1", "a"), tl.owed(q, "2", "b"), tl.owed(p, "3", "c"))
	tl.write(t, tl.printed(p, pos.Printed{Job: "1", Result: "SENDING", Shows: pos.Paid}),
		tl.printed(p, pos.Printed{Job: "1", Result: "CONFIRMED"}),
		tl.draft(pos.KindPrint, pos.PaymentID{}, pos.Printed{Job: "test", Kind: pos.PrintSelfTest, Result: "QUEUED", Caller: "sdk", Key: "a"}))
	tl.view(t, func(v pos.JournalView) error {
		names := func(list []pos.PrintJob, err error) (names []string) {
			if err != nil {
				t.Error(err)
			}
			for _, j := range list {
				names = append(names, j.ID)
			}
			return names
		}
		for what, c := range map[string]struct{ got, want []string }{
			"queue":      {names(v.OpenPrintJobs()), []string{"2", "3", "test"}},
			"of p":       {names(v.PrintJobsOf(p)), []string{"1", "3"}},
			"of nothing": {names(v.PrintJobsOf(pos.PaymentID{9})), nil},
			"latest":     {names(v.PrintJobs(3)), []string{"test", "3", "2"}},
			"all":        {names(v.PrintJobs(0)), []string{"test", "3", "2", "1"}},
		} {
			if d := cmp.Diff(c.want, c.got); d != "" {
				t.Errorf("%s: %s", what, d)
			}
		}
		if j, ok, err := v.PrintJobByKey("sdk", "a"); err != nil || !ok || j.ID != "test" {
			t.Errorf("%+v %t %v", j, ok, err)
		}
		if j, ok, err := v.PrintJob("1"); err != nil || !ok || j.State != pos.PrintConfirmed || j.Payment != p || j.LastSeq == 0 {
			t.Errorf("%+v %t %v", j, ok, err)
		}
		_, byID, err := v.PrintJob("4")
		_, byKey, err2 := v.PrintJobByKey("screen", "z")
		if byID || byKey || err != nil || err2 != nil {
			t.Errorf("jobs that are not: %t %t %v %v", byID, byKey, err, err2)
		}
		return nil
	})
	if r, err := offline.Verify(t.Context(), tl.cfg.Path, offline.VerifyOptions{}); err != nil || !r.Projections {
		t.Errorf("%+v %v", r, err)
	}
}

func TestAPrintThatCannotFollowIsNotWritten(t *testing.T) {
	tl := newTill(t, dcep.Ed25519SHA256)
	p := tl.sell(t, "p", 100)
	tl.write(t, tl.owed(p, "1", "a"))
	for name, c := range map[string]struct {
		draft pos.Draft
		want  pos.Code
	}{
		"key twice":     {tl.owed(p, "2", "a"), pos.ErrKeyConflict},
		"job twice":     {tl.owed(p, "1", "b"), pos.ErrIllegalMove},
		"not sent":      {tl.printed(p, pos.Printed{Job: "1", Result: "CONFIRMED"}), pos.ErrIllegalMove},
		"never owed":    {tl.printed(p, pos.Printed{Job: "9", Result: "SENDING"}), pos.ErrIllegalMove},
		"other payment": {tl.printed(tl.id(), pos.Printed{Job: "1", Result: "SENDING"}), pos.ErrBadRequest},
	} {
		_, err := tl.Update(t.Context(), func(pos.JournalView) ([]pos.Draft, error) { return []pos.Draft{c.draft}, nil })
		if pos.CodeOf(err) != c.want {
			t.Errorf("%s: %v, want %s", name, err, c.want)
		}
	}
	tl.write(t, tl.printed(p, pos.Printed{Job: "1", Result: "SENDING"}))
	if r, err := offline.Verify(t.Context(), tl.cfg.Path, offline.VerifyOptions{}); err != nil || r.Kinds[pos.KindPrint] != 2 {
		t.Errorf("%+v %v", r, err)
	}
}

func TestAChangedPrintJobIsFound(t *testing.T) {
	tl := newTill(t, dcep.Ed25519SHA256)
	p := tl.sell(t, "p", 100) // entries 2 to 4
	tl.write(t, tl.owed(p, "1", "a"), tl.owed(p, "2", "b"))
	if err := tl.Close(); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		query string
		seq   uint64
	}{
		"document":  {`UPDATE prints SET doc = replace(doc, 'QUEUED', 'CONFIRMED') WHERE id = '1'`, 5},
		"queue":     {`UPDATE prints SET open = 0 WHERE id = '2'`, 6},
		"payment":   {`UPDATE prints SET payment = NULL WHERE id = '2'`, 6},
		"no id":     {`UPDATE prints SET payment = x'00' WHERE id = '2'`, 6},
		"key":       {`UPDATE prints SET key = 'z' WHERE id = '1'`, 5},
		"forgotten": {`DELETE FROM prints WHERE id = '1'`, 5},
		"made up": {`INSERT INTO prints SELECT 'x', first_epoch, 6, last_epoch, last_seq, caller, 'x', payment, open, doc
			FROM prints WHERE id = '2'`, 6},
		"of later": {`UPDATE prints SET last_seq = 99 WHERE id = '2'`, 7},
	} {
		t.Run(name, func(t *testing.T) {
			path := copyFile(t, tl.cfg.Path)
			db := raw(t, path)
			if _, err := db.ExecContext(t.Context(), c.query); err != nil {
				t.Fatal(err)
			}
			_ = db.Close()
			wantBad(t, path, tl.cfg, 1, c.seq)
		})
	}
}

// A file of the first version verifies as it lies there, untouched, and holds what its tills
// printed once it is opened.
func TestPrintsOfTheFirstVersion(t *testing.T) {
	path := copyFile(t, "testdata/journal-v1.db")
	before, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if r, err := offline.Verify(t.Context(), path, offline.VerifyOptions{}); err != nil || r.Schema != 1 {
		t.Fatalf("%+v %v", r, err)
	}
	after, err := os.ReadFile(path)
	if err != nil || string(before) != string(after) {
		t.Fatalf("the file was changed: %v", err)
	}
	s, err := offline.Open(t.Context(), offline.Config{Path: path, Env: pos.Lab, Terminal: terminal})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if r, err := offline.Verify(t.Context(), path, offline.VerifyOptions{}); err != nil || r.Schema != 5 || !r.Projections {
		t.Fatalf("%+v %v", r, err)
	}
}

// printStep takes a random legal step of a random job, or makes one.
func (m *model) printStep(t *rapid.T) {
	if len(m.order) == 0 || rapid.IntRange(0, 3).Draw(t, "new") == 0 {
		name := fmt.Sprintf("j%d", len(m.jobs))
		var id pos.PaymentID
		kind := pos.PrintSelfTest
		if len(m.order) > 0 {
			id, kind = rapid.SampledFrom(m.order).Draw(t, "of"), pos.PrintPayment
		}
		m.write(t, m.printed(id, pos.Printed{Job: name, Kind: kind, Result: "QUEUED", Caller: "screen", Key: name}))
		m.jobs = append(m.jobs, pos.PrintJob{ID: name, Kind: kind, Payment: id, State: pos.PrintQueued})
		return
	}
	if len(m.jobs) == 0 {
		return
	}
	j := &m.jobs[rapid.IntRange(0, len(m.jobs)-1).Draw(t, "job")]
	next := j.State.Next()
	if len(next) == 0 {
		return
	}
	j.State = rapid.SampledFrom(next).Draw(t, "to")
	j.Ask = rapid.Bool().Draw(t, "ask")
	m.write(t, m.printed(j.Payment, pos.Printed{Job: j.ID, Kind: j.Kind, Result: string(j.State), Ask: j.Ask}))
}

// checkPrints compares states, queue and order.
func (m *model) checkPrints(v pos.JournalView) error {
	var open []string
	for _, want := range m.jobs {
		got, ok, err := v.PrintJobByKey("screen", want.ID)
		if err != nil || !ok || got.ID != want.ID || got.State != want.State || got.Ask != want.Ask || got.Payment != want.Payment {
			return fmt.Errorf("print job %+v: want %+v: %w", got, want, err)
		}
		if want.Open() {
			open = append(open, want.ID)
		}
	}
	list, err := v.OpenPrintJobs()
	if err != nil {
		return err
	}
	for i, j := range list {
		if i >= len(open) || open[i] != j.ID {
			return fmt.Errorf("queue %+v: want %v", list, open)
		}
	}
	if len(list) != len(open) {
		return fmt.Errorf("queue %+v: want %v", list, open)
	}
	return nil
}
