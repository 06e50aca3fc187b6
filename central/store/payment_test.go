package store

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"dcpos/central/console"
	"dcpos/central/fleet"
	"dcpos/central/link"
	"dcpos/central/payment"
	"dcpos/central/reconcile/daily"
	"dcpos/pos"
	"dcpos/pos/dcep"
)

func sampleID(n byte) pos.PaymentID { return pos.PaymentID{0: 1, 6: 0x70, 8: 0x80, 15: n} }

func sampleRecord(n byte) payment.Record {
	return payment.Record{
		ID: sampleID(n), Terminal: "S1-001", Merchant: "M1", Mode: pos.CScanB, Amount: 12345, Body: []byte{1, 2},
		Institution: "ICBC", State: pos.Unknown, Reason: pos.ErrExpired, Detail: "no", Txn: "T", SettlementDate: "2021-02-10",
		Fee: 1, Envelope: 2, QR: "qr", ValidUntilMS: 3, ExpiresMS: 4, Evidence: []byte{5}, LatePaid: true, Told: true,
		Step: 6, NextMS: int64(n), CreatedMS: 1_612_962_000_000 + int64(n), UpdatedMS: 9,
	}
}

func TestPaymentRows(t *testing.T) {
	engines(t, func(t *testing.T, s *Store) {
		t.Helper()
		ctx, p := t.Context(), s.Payments()
		refund := payment.Refund{
			ID: sampleID(9), Payment: sampleID(1), Terminal: "S1-001", Merchant: "M1", Amount: 7, State: pos.RefundUnknown,
			Auto: true, Authorized: true, Operator: "07", Reason: pos.ErrNotSent, Detail: "d", Txn: "R", Date: "2021-02-11",
			Told: true, Step: 1, NextMS: 2, CreatedMS: 3, UpdatedMS: 4, Envelope: 6, Recalled: 5,
		}
		empty := payment.Record{ID: sampleID(4)}
		err := p.PaymentTx(ctx, func(tx payment.Tx) error {
			for n := range byte(3) {
				if err := tx.PutPayment(ctx, sampleRecord(n)); err != nil {
					return err
				}
			}
			if err := tx.PutPayment(ctx, empty); err != nil {
				return err
			}
			return tx.PutRefund(ctx, refund)
		})
		if err != nil {
			t.Fatal(err)
		}
		got, found, err := p.FindPayment(ctx, sampleID(1))
		if diff := cmp.Diff(sampleRecord(1), got); diff != "" || !found || err != nil {
			t.Error(diff, found, err)
		}
		got, _, err = p.FindPayment(ctx, sampleID(4))
		if diff := cmp.Diff(empty, got); diff != "" || err != nil {
			t.Error(diff, err)
		}
		if _, found, err := p.FindPayment(ctx, sampleID(77)); found || err != nil {
			t.Error(found, err)
		}
		if _, found, err := p.FindRefund(ctx, sampleID(77)); found || err != nil {
			t.Error(found, err)
		}
		gotRefund, found, err := p.FindRefund(ctx, sampleID(9))
		if diff := cmp.Diff(refund, gotRefund); diff != "" || !found || err != nil {
			t.Error(diff, found, err)
		}
		due, err := p.DuePayments(ctx, 2, []string{"ABC"}, 10)
		if err != nil || len(due) != 2 || due[0].ID != sampleID(1) || due[1].ID != sampleID(2) {
			t.Errorf("due are %v, %v", due, err)
		}
		if due, err := p.DuePayments(ctx, 2, []string{"ABC", "ICBC"}, 10); err != nil || len(due) != 0 {
			t.Errorf("due elsewhere are %v, %v", due, err)
		}
		if due, err := p.DueRefunds(ctx, 1, 10); err != nil || len(due) != 0 {
			t.Errorf("due refunds are %v, %v", due, err)
		}
		nasty := sampleRecord(1)
		nasty.Detail, nasty.Txn, nasty.Institution = "a\x00b\xff", "t\x00", "X\x00"
		if err := p.PaymentTx(ctx, func(tx payment.Tx) error { return tx.PutPayment(ctx, nasty) }); err != nil {
			t.Errorf("an institution's text stops the store: %v", err)
		}
	})
}

func TestConcurrentReservationsSeeOneAnother(t *testing.T) {
	engines(t, func(t *testing.T, s *Store) {
		t.Helper()
		ctx, p := t.Context(), s.Payments()
		var wait sync.WaitGroup
		for n := range byte(16) {
			wait.Go(func() {
				err := p.PaymentTx(ctx, func(tx payment.Tx) error {
					have, err := tx.RefundsOf(ctx, sampleID(200))
					if err != nil || len(have) >= 3 {
						return err
					}
					return tx.PutRefund(ctx, payment.Refund{ID: sampleID(n), Payment: sampleID(200), Amount: 30, State: pos.RefundAsking, CreatedMS: int64(n)})
				})
				if err != nil {
					t.Error(err)
				}
			})
		}
		wait.Wait()
		err := p.PaymentTx(ctx, func(tx payment.Tx) error {
			have, err := tx.RefundsOf(ctx, sampleID(200))
			if err == nil && len(have) != 3 {
				t.Errorf("%d refunds were reserved, want 3", len(have))
			}
			return err
		})
		if err != nil {
			t.Error(err)
		}
	})
}

// keep writes entries of a terminal as the link does.
func keep(ctx context.Context, t *testing.T, s *Store, terminal string, from, to uint64, fault string) {
	t.Helper()
	err := s.Link().Write(ctx, func(tx link.Tx) error {
		for seq := from; seq <= to; seq++ {
			e := pos.Entry{
				Position: pos.Position{Terminal: terminal, Epoch: 1, Seq: seq}, Env: pos.Lab, Kind: pos.KindDrawer,
				Payment: sampleID(1), Body: []byte{0xa0}, Hash: fmt.Append(nil, terminal, seq), BusinessDate: "2021-02-10",
			}
			if err := tx.AppendEntries(ctx, []link.Kept{{Entry: e, Fault: fault}}); err != nil {
				return err
			}
			if err := tx.PutHead(ctx, terminal, 1, link.Head{Seq: seq, Hash: e.Hash, First: 1}); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestEntriesAreReadOnceEach(t *testing.T) {
	engines(t, func(t *testing.T, s *Store) {
		t.Helper()
		ctx, p := t.Context(), s.Payments()
		keep(ctx, t, s, "a", 1, 5, "")
		keep(ctx, t, s, "b", 1, 3, "at fault")
		read := map[string]uint64{}
		for rounds := 0; ; rounds++ {
			unread, err := p.UnreadEntries(ctx, 3)
			if err != nil {
				t.Fatal(err)
			}
			if len(unread) == 0 {
				break
			}
			if rounds > 10 {
				t.Fatal("reading does not end")
			}
			err = p.PaymentTx(ctx, func(tx payment.Tx) error {
				for _, e := range unread {
					fresh, err := tx.Read(ctx, e.Position, e.Branch)
					if err != nil || !fresh {
						return fmt.Errorf("%v read before, %w", e.Position, err)
					}
					if again, err := tx.Read(ctx, e.Position, e.Branch); err != nil || again {
						return fmt.Errorf("%v read twice, %w", e.Position, err)
					}
					if e.Seq != read[e.Terminal]+1 || (e.Terminal == "b") != (e.Kind == "") {
						t.Errorf("%s %d %q after %d", e.Terminal, e.Seq, e.Kind, read[e.Terminal])
					}
					read[e.Terminal] = e.Seq
				}
				return nil
			})
			if err != nil {
				t.Fatal(err)
			}
		}
		if read["a"] != 5 || read["b"] != 3 {
			t.Errorf("read up to %v", read)
		}
		keep(ctx, t, s, "a", 6, 6, "")
		unread, err := p.UnreadEntries(ctx, 100)
		if err != nil || len(unread) != 1 || unread[0].Seq != 6 {
			t.Errorf("%v, %v", unread, err)
		}
	})
}

func TestConsoleReads(t *testing.T) {
	engines(t, func(t *testing.T, s *Store) {
		t.Helper()
		ctx, c := t.Context(), s.Console()
		seedConsole(ctx, t, s)
		for name, f := range map[string]console.Filter{
			"all":         {},
			"by id":       {ID: sampleID(1).String()},
			"by digits":   {ID: sampleID(1).Short()},
			"by terminal": {Terminal: "S1-001"},
			"by state":    {State: pos.Paid},
			"by date":     {Date: "2021-02-10"},
		} {
			f.Limit = 10
			lines, err := c.Payments(ctx, f)
			want := 1
			if name == "all" || name == "by terminal" || name == "by date" {
				want = 2
			}
			if err != nil || len(lines) != want {
				t.Errorf("%s: %+v, %v", name, lines, err)
			}
		}
		if lines, err := c.Payments(ctx, console.Filter{Date: "2021-02-11", Limit: 10}); err != nil || len(lines) != 0 {
			t.Errorf("another day: %+v, %v", lines, err)
		}
		d, found, err := c.Payment(ctx, sampleID(1))
		if err != nil || !found || d.Till != pos.Paid || d.Centre != pos.Unknown || len(d.Entries) != 2 || d.Amount != 500 {
			t.Errorf("%+v %t %v", d, found, err)
		}
		if _, found, err := c.Payment(ctx, sampleID(77)); found || err != nil {
			t.Error(found, err)
		}
		day, err := c.Day(ctx, "2021-02-10")
		if diff := cmp.Diff([]console.StateTotal{{State: pos.Paid, Count: 1, Amount: 500}}, day); diff != "" || err != nil {
			t.Error(diff, err)
		}
		open, err := c.Open(ctx)
		if err != nil || open.Payments != 2 || open.Refunds != 0 || open.OldestMS != sampleRecord(1).CreatedMS {
			t.Errorf("%+v %v", open, err)
		}
		tills, err := c.Tills(ctx, "", 10)
		if err != nil || len(tills) != 1 || tills[0].ID != "S1-001" || tills[0].Kept != 2 {
			t.Errorf("%+v %v", tills, err)
		}
		checkSessions(ctx, t, c)
	})
}

func seedConsole(ctx context.Context, t *testing.T, s *Store) {
	t.Helper()
	err := s.Fleet().Write(ctx, func(tx fleet.Tx) error {
		if err := tx.PutMerchant(ctx, fleet.Merchant{ID: "M1"}); err != nil {
			return err
		}
		if err := tx.PutShop(ctx, fleet.Shop{ID: "S1", Merchant: "M1"}); err != nil {
			return err
		}
		return tx.PutTerminal(ctx, fleet.Terminal{ID: "S1-001", Merchant: "M1", Shop: "S1", Env: pos.Lab, NATSKey: "U1", Epoch: 1, State: fleet.Active})
	})
	if err != nil {
		t.Fatal(err)
	}
	keep(ctx, t, s, "S1-001", 1, 2, "")
	err = s.Link().Write(ctx, func(tx link.Tx) error {
		return tx.PutPayment(ctx, "M1", "", pos.Payment{
			ID: sampleID(1), Terminal: "S1-001", State: pos.Paid, Amount: 500, BusinessDate: "2021-02-10", CreatedMS: 1_612_962_000_000,
		})
	})
	if err != nil {
		t.Fatal(err)
	}
	err = s.Payments().PaymentTx(ctx, func(tx payment.Tx) error {
		for n := byte(1); n < 3; n++ {
			r := sampleRecord(n)
			r.Amount, r.Body, r.Evidence = 500, nil, nil
			if err := tx.PutPayment(ctx, r); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

func checkSessions(ctx context.Context, t *testing.T, c console.Store) {
	t.Helper()
	a := console.Account{Name: "zhang", Role: console.Operator, Hash: "h"}
	if err := c.InsertAccount(ctx, a, "setup"); err != nil {
		t.Fatal(err)
	}
	if err := c.InsertAccount(ctx, a, "setup"); pos.CodeOf(err) != pos.ErrKeyConflict {
		t.Errorf("the same name again: %v", err)
	}
	session := console.Session{Hash: []byte("token"), Account: "zhang", CSRF: "x", CreatedMS: 1_700_000_000_000_000, SeenMS: 2}
	if err := c.PutSession(ctx, session); err != nil {
		t.Fatal(err)
	}
	if err := c.TouchSession(ctx, session.Hash, 7); err != nil {
		t.Fatal(err)
	}
	session.SeenMS, session.Role = 7, console.Operator
	got, found, err := c.Session(ctx, session.Hash)
	if diff := cmp.Diff(session, got); diff != "" || !found || err != nil {
		t.Error(diff, found, err)
	}
	a.Disabled = true
	if err := c.UpdateAccount(ctx, a, "setup"); err != nil {
		t.Fatal(err)
	}
	if _, found, err := c.Session(ctx, session.Hash); found || err != nil {
		t.Error("a disabled account has a session", err)
	}
	lines, err := c.AuditLog(ctx, 0, 2)
	if err != nil || len(lines) != 2 || lines[0].What != "account_changed" || lines[1].What != "account_added" {
		t.Errorf("%+v %v", lines, err)
	}
	older, err := c.AuditLog(ctx, lines[1].Number, 100)
	if err != nil {
		t.Fatal(err)
	}
	for _, l := range older {
		if l.Number >= lines[1].Number {
			t.Errorf("%+v is not older than %d", l, lines[1].Number)
		}
	}
}

func TestConsoleShowsTheRunsOfItsFolders(t *testing.T) {
	engines(t, func(t *testing.T, s *Store) {
		t.Helper()
		ctx, dir := t.Context(), t.TempDir()
		file := "kind,txn_id,bank,merchant_id,ours_amount_fen,theirs_amount_fen,ours_status,theirs_status," +
			"ours_line,theirs_line,field,ours_value,theirs_value\n" +
			"amount_mismatch,t1,ICBC,M1,100,101,S,S,2,2,,,\nmissing_ours,t2,ICBC,M1,,7,,S,,3,,,\n"
		if err := os.WriteFile(filepath.Join(dir, "breaks.csv"), []byte(file), 0o600); err != nil {
			t.Fatal(err)
		}
		run := daily.Run{ID: "r1", Date: "2021-02-10", StartedMS: 5, Folder: dir, Waiting: []string{"PSBC"}, Matched: 3, Breaks: 2, Closes: true}
		if err := s.Reconciliations().SaveRun(ctx, run); err != nil {
			t.Fatal(err)
		}
		runs, err := s.ConsoleRuns().Runs(ctx, 10)
		if err != nil || len(runs) != 1 || runs[0].Matched != 3 || !runs[0].Closes || runs[0].Waiting[0] != "PSBC" {
			t.Errorf("%+v %v", runs, err)
		}
		_, breaks, err := s.ConsoleRuns().Breaks(ctx, "r1", 10)
		want := []console.Break{
			{Kind: pos.AmountMismatch, Txn: "t1", Bank: "ICBC", Merchant: "M1", Ours: "1.00", Theirs: "1.01", OursStatus: "S", TheirStatus: "S"},
			{Kind: pos.MissingOurs, Txn: "t2", Bank: "ICBC", Merchant: "M1", Theirs: "0.07", TheirStatus: "S"},
		}
		if diff := cmp.Diff(want, breaks); diff != "" || err != nil {
			t.Error(diff, err)
		}
		if _, _, err := s.ConsoleRuns().Breaks(ctx, "r2", 10); pos.CodeOf(err) != pos.ErrNotFound {
			t.Error(err)
		}
	})
}

func TestSaysKnowsTheMoneyEntries(t *testing.T) {
	b, err := dcep.Marshal(pos.PaymentMoved{From: pos.Asking, To: pos.Paid})
	if err != nil {
		t.Fatal(err)
	}
	if got := says(pos.Entry{Kind: pos.KindPaymentMoved, Body: b}); got != "asking → paid " {
		t.Errorf("%q", got)
	}
	if got := says(pos.Entry{Kind: pos.KindPaymentMoved, Body: []byte("junk")}); got == "" {
		t.Error("junk says nothing")
	}
	if got := says(pos.Entry{Kind: "later"}); got != "" {
		t.Errorf("%q", got)
	}
}
