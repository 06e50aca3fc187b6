package kills_test

import (
	"bytes"
	"context"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
	"time"

	"dcpos/pos"
)

// storesCodes publishes a policy under which codes are stored, and waits until the till has it.
func (s *shop) storesCodes() {
	s.t.Helper()
	file := filepath.Join(s.t.TempDir(), "limits.yaml")
	s.must(os.WriteFile(file, []byte("forward: {per_payment_fen: 10000, stored_total_fen: 50000, stored_count: 20, oldest_stop: 12h}\n"), 0o600))
	if out, code, err := s.Central(s.t.Context(), "policy", "publish", file); err != nil || code != 0 {
		s.t.Fatalf("publish: %d %v\n%s", code, err, out)
	}
	s.eventually("policy", func() error {
		st, err := s.till().Status(s.t.Context())
		if err == nil && (st.Room.ForwardMost != 100_00 || st.Room.ForwardStop) {
			err = fmt.Errorf("%+v", st.Room)
		}
		return err
	})
}

// nowhere fails for a file of the folder that holds the text.
func (s *shop) nowhere(dir string, text string) {
	s.t.Helper()
	s.must(filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		b, err := os.ReadFile(path)
		if bytes.Contains(b, []byte(text)) {
			s.t.Errorf("%s holds a code", filepath.Base(path))
		}
		return err
	}))
}

// TestStoredIsChargedOnceWhateverIsKilled: codes are stored without a network, each across a kill
// of the till; then till and centre are killed at random moments while the codes are charged.
// Each is charged once or is told as the merchant's loss, and lies in no file.
func TestStoredIsChargedOnceWhateverIsKilled(t *testing.T) {
	s := open(t)
	t.Logf("seed %d", *seed)
	random := rand.New(rand.NewPCG(*seed, 52))
	s.storesCodes()
	poor, err := s.Wallet(t.Context(), "ICBC", 1)
	s.must(err)
	before, err := s.Books(t.Context(), "ICBC")
	s.must(err)
	var codes []string
	for range 3 {
		code, err := s.wallet.Pass(t.Context())
		s.must(err)
		codes = append(codes, code)
	}
	code, err := poor.Pass(t.Context())
	s.must(err)
	codes = append(codes, code)
	s.must(s.Link.Cut())
	var stored []pos.PaymentID
	for i, code := range codes {
		p := s.named(pos.BScanC, pos.Money(11_00+i))
		s.eventually("stored", func() error { // until the till has seen that the link is cut
			now, err := s.till().Do(t.Context(), p.ID, "code", map[string]string{"code": code})
			if err == nil && now.State != pos.Stored {
				err = fmt.Errorf("payment is %s %s", now.State, now.Reason)
			}
			return err
		})
		stored = append(stored, p.ID)
		s.must(s.till().Kill())
		s.must(s.till().Restart(t.Context()))
		now, err := s.till().Payment(t.Context(), p.ID)
		s.must(err)
		if now.State != pos.Stored {
			t.Fatalf("payment is %s after the kill", now.State)
		}
	}
	again := s.named(pos.BScanC, 1_00)
	if p, err := s.till().Do(t.Context(), again.ID, "code", map[string]string{"code": codes[0]}); err == nil {
		t.Errorf("a code that is stored was taken again: %s", p.State)
	}
	for _, code := range codes {
		s.nowhere(s.till().Data, code[len(code)-26:])
		s.nowhere(filepath.Join(s.Options.Dir, "logs"), code[len(code)-26:])
	}
	s.must(s.Link.Restore())
	for i := range 6 {
		time.Sleep(time.Duration(random.IntN(400)) * time.Millisecond) // the moment of the blow is the point
		if i%3 == 2 {
			s.must(s.Centre.Kill())
			s.must(s.StartCentre(t.Context()))
			continue
		}
		s.must(s.till().Kill())
		s.must(s.till().Restart(t.Context()))
	}
	for i, id := range stored {
		s.eventually("decision", func() error { return s.decided(t.Context(), id, i == 3) })
	}
	after, err := s.Books(t.Context(), "ICBC")
	s.must(err)
	if n, sum := after.PaidCount-before.PaidCount, after.Paid-before.Paid; n != 3 || sum != 11_00+11_01+11_02 {
		t.Errorf("charged %d times, %s", n, sum)
	}
	s.receipted()
	if got := s.ledger().Balance("receivable:ICBC"); got != 11_00+11_01+11_02 {
		t.Errorf("the ledger says %s", got)
	}
	for _, code := range codes {
		s.nowhere(s.Options.Dir+"/logs", code[len(code)-26:])
		s.nowhere(s.Centre.Data, code[len(code)-26:])
	}
}

// decided is an error while a stored payment is not charged, or lost and told.
func (s *shop) decided(ctx context.Context, id pos.PaymentID, lost bool) error {
	p, err := s.till().Payment(ctx, id)
	if err != nil {
		return err
	}
	if !lost && p.State == pos.Paid {
		return nil
	}
	if lost && p.Lost() && p.Reason == pos.ErrInsufficient {
		st, err := s.till().Status(ctx)
		for _, n := range st.Notices {
			if n.Payment == id && n.Text.ZH != "" {
				return nil
			}
		}
		return fmt.Errorf("nobody is told of the loss: %w", err)
	}
	return fmt.Errorf("payment is %s %s", p.State, p.Reason)
}
