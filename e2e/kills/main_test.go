package kills_test

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"dcpos/lab/drill"
	"dcpos/lab/wallet"
	"dcpos/pos"
)

var seed = flag.Uint64("seed", uint64(time.Now().UnixNano()), "seed of moments and amounts")

// programs is the folder of posagent, poscentral, posctl and poslab.
var programs string

func TestMain(m *testing.M) {
	os.Exit(func() int {
		flag.Parse()
		_ = flag.Set("test.parallel", "4") // they wait more than they work
		dir, err := os.MkdirTemp("", "kills")
		if err == nil {
			defer func() { _ = os.RemoveAll(dir) }()
			programs, err = build(context.Background(), dir)
		}
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		return m.Run()
	}())
}

func build(ctx context.Context, dir string) (string, error) {
	if bin := os.Getenv("DCPOS_BIN"); bin != "" {
		return filepath.Abs(bin)
	}
	out, err := exec.CommandContext(ctx, "go", "build", "-o", dir+"/",
		"dcpos/cmd/posagent", "dcpos/cmd/poscentral", "dcpos/cmd/posctl", "dcpos/cmd/poslab").CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("build: %w: %s", err, out)
	}
	return dir, nil
}

// shop is a running site with one wallet, for tests that sell by hand.
type shop struct {
	*drill.Site
	t      *testing.T
	book   *drill.Notebook
	wallet *wallet.Wallet
	began  time.Time
	sales  int
}

func open(t *testing.T) *shop { t.Helper(); return openWith(t, 1) }

func openWith(t *testing.T, tills int) *shop {
	t.Helper()
	t.Parallel()
	s := &shop{t: t, book: drill.NewNotebook(), began: time.Now()}
	var err error
	s.Site, err = drill.Open(t.Context(), drill.SiteOptions{Bin: programs, Dir: t.TempDir(), Seed: *seed, Tills: tills})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	if s.wallet, err = s.Wallet(t.Context(), "ICBC", 10_000_00); err != nil {
		t.Fatal(err)
	}
	return s
}

func (s *shop) till() *drill.Till { return s.Tills[0] }

// named starts a payment of so many fen.
func (s *shop) named(mode pos.Mode, fen pos.Money) pos.Payment {
	s.t.Helper()
	s.sales++
	key := fmt.Sprintf("sale-%d", s.sales)
	p, err := s.till().Pay(s.t.Context(), drill.Start{Key: key, OrderID: "o" + key, Amount: fen, Mode: mode, Institution: "ICBC"})
	return s.heard(p, err)
}

// heard notes an answer that must be one.
func (s *shop) heard(p pos.Payment, err error) pos.Payment {
	s.t.Helper()
	if err != nil {
		s.t.Fatal(err)
	}
	s.book.Heard(s.till(), drill.Said{}, p)
	return p
}

func (s *shop) code() map[string]string {
	s.t.Helper()
	code, err := s.wallet.Code(s.t.Context())
	if err != nil {
		s.t.Fatal(err)
	}
	return map[string]string{"code": code}
}

// sell takes so many fen by a payment code.
func (s *shop) sell(fen pos.Money) pos.Payment {
	s.t.Helper()
	p := s.named(pos.BScanC, fen)
	return s.want(pos.Paid)(s.till().Do(s.t.Context(), p.ID, "code", s.code()))
}

// sellOffline takes so many fen by a wallet's signature; the link must be cut.
func (s *shop) sellOffline(fen pos.Money) pos.Payment {
	s.t.Helper()
	p := s.named(pos.Evidence, fen)
	text, err := s.till().Challenge(s.t.Context(), p.ID)
	if err != nil {
		s.t.Fatal(err)
	}
	answer, err := s.wallet.Answer(text, time.Now())
	if err != nil {
		s.t.Fatal(err)
	}
	return s.want(pos.AcceptedEvidence)(s.till().Do(s.t.Context(), p.ID, "evidence", map[string]string{"evidence": answer}))
}

// want takes an answer that must be in a state.
func (s *shop) want(state pos.State) func(pos.Payment, error) pos.Payment {
	return func(p pos.Payment, err error) pos.Payment {
		s.t.Helper()
		if p = s.heard(p, err); p.State != state {
			s.t.Fatalf("payment %s is %s, want %s", p.ID, p.State, state)
		}
		return p
	}
}

// eventually waits until f gives no error.
func (s *shop) eventually(what string, f func() error) {
	s.t.Helper()
	deadline := time.Now().Add(60 * time.Second)
	for {
		err := f()
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			s.t.Fatalf("%s: %v", what, err)
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// receipted waits until the centre has everything and the till knows.
func (s *shop) receipted() {
	s.t.Helper()
	s.eventually("receipts", func() error {
		st, err := s.till().Status(s.t.Context())
		if err == nil && (st.Outbox.Unsent > 0 || !st.Connected) {
			err = fmt.Errorf("connected %t, %d entries unsent", st.Connected, st.Outbox.Unsent)
		}
		return err
	})
}

// judged waits until nothing is undecided and has everything compared.
func (s *shop) judged() {
	s.t.Helper()
	s.Quiesce(s.t.Context(), s.book)
	s.Judge(s.t.Context(), s.book, s.began)
	for _, f := range s.book.Findings() {
		s.t.Error(f)
	}
}

func (s *shop) ledger() drill.Ledger {
	s.t.Helper()
	l, err := s.Ledger(s.t.Context())
	if err != nil {
		s.t.Fatal(err)
	}
	return l
}

func (s *shop) must(err error) {
	s.t.Helper()
	if err != nil {
		s.t.Fatal(err)
	}
}
