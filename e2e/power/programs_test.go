package power_test

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"dcpos/lab/drill"
	"dcpos/lab/wallet"
	"dcpos/pos"
)

// programs gives the folder of the four programs: DCPOS_BIN, or freshly built.
func programs(t *testing.T) string {
	t.Helper()
	if bin := os.Getenv("DCPOS_BIN"); bin != "" {
		abs, err := filepath.Abs(bin)
		if err != nil {
			t.Fatal(err)
		}
		return abs
	}
	dir := t.TempDir()
	out, err := exec.CommandContext(t.Context(), "go", "build", "-o", dir+"/",
		"dcpos/cmd/posagent", "dcpos/cmd/poscentral", "dcpos/cmd/posctl", "dcpos/cmd/poslab").CombinedOutput()
	if err != nil {
		t.Fatalf("build: %v: %s", err, out)
	}
	return dir
}

// TestPowerCutsOfTillAndCentreLoseNothing is the short form of poslab kill's cuts.
func TestPowerCutsOfTillAndCentreLoseNothing(t *testing.T) {
	t.Parallel()
	t.Logf("seed %d", *seed)
	want := map[drill.Strike]int{drill.AgentCut: *rounds * 3 / 4, drill.CentreCut: *rounds * 3 / 8}
	r, err := drill.Run(t.Context(), drill.Options{Bin: programs(t), Dir: t.TempDir(), Seed: *seed, Strikes: want})
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range r.Findings {
		t.Error(f)
	}
	t.Logf("%+v", r)
	if r.Acked < 2*(*rounds) || r.Strikes[drill.AgentCut] != want[drill.AgentCut] || r.Strikes[drill.CentreCut] != want[drill.CentreCut] {
		t.Errorf("too little happened to prove anything: %+v", r)
	}
}

// deaf is what takes fsync away from SQLite: it calls libc, which the loader lets us replace.
const deaf = `int fsync(int fd) { (void)fd; return 0; }
int fdatasync(int fd) { (void)fd; return 0; }
`

// TestATillWhoseFsyncDoesNothingIsSeenToLose is the control: the same program, the same
// cuts as in the drill, but its fsyncs are lies. The loss must be seen. A torn cut may
// leave all that was written, one time in four, so that one cut proves nothing.
func TestATillWhoseFsyncDoesNothingIsSeenToLose(t *testing.T) {
	t.Parallel()
	t.Logf("seed %d", *seed)
	ctx, dir := t.Context(), t.TempDir()
	library := filepath.Join(dir, "deaf.so")
	if err := os.WriteFile(filepath.Join(dir, "deaf.c"), []byte(deaf), 0o600); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.CommandContext(ctx, "cc", "-shared", "-fPIC", "-o", library, filepath.Join(dir, "deaf.c")).CombinedOutput(); err != nil {
		t.Fatalf("cc: %v: %s", err, out)
	}
	s, err := drill.Open(ctx, drill.SiteOptions{Bin: programs(t), Dir: t.TempDir(), Forgetful: true, Seed: *seed})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}()
	w, err := s.Wallet(ctx, "BOC", 1000_00)
	if err != nil {
		t.Fatal(err)
	}
	const cuts = 16
	book := drill.NewNotebook()
	for n := range cuts {
		lost, err := lostByACut(ctx, s.Tills[0], book, w, n, []string{"LD_PRELOAD=" + library})
		if err != nil {
			t.Fatalf("cut %d: %v", n, err)
		}
		if len(lost) > 0 {
			t.Log(n, lost)
			return
		}
	}
	t.Error("the drill does not see that acknowledged payments are gone")
}

// lostByACut sells a few times with the environment, cuts the power and gives what
// the drill finds wrong afterwards.
func lostByACut(ctx context.Context, till *drill.Till, book *drill.Notebook, w *wallet.Wallet, cut int, env []string) ([]string, error) {
	if err := till.Stop(); err != nil {
		return nil, err
	}
	till.Env = env
	if err := till.Restart(ctx); err != nil {
		return nil, err
	}
	if err := till.Ready(ctx, true); err != nil {
		return nil, err
	}
	for n := range 6 {
		if err := sellOnce(ctx, till, book, w, fmt.Sprintf("k%d-%d", cut, n)); err != nil {
			return nil, err
		}
	}
	if err := till.Disk.Cut(); err != nil {
		return nil, err
	}
	_ = till.Kill() // it may have ended by itself: its disk is gone
	if err := till.Disk.Remount(ctx); err != nil {
		return nil, err
	}
	till.Env = nil
	if err := till.Restart(ctx); err != nil {
		book.Find("the till does not start: it has lost everything: %v", err)
	} else {
		till.Recall(ctx, book, book.All())
	}
	return book.Findings(), nil
}

func sellOnce(ctx context.Context, till *drill.Till, book *drill.Notebook, w *wallet.Wallet, key string) error {
	p, err := till.Pay(ctx, drill.Start{Key: key, OrderID: key, Amount: 100, Mode: pos.BScanC})
	if err != nil {
		return err
	}
	code, err := w.Code(ctx)
	if err != nil {
		return err
	}
	if p, err = till.Do(ctx, p.ID, "code", map[string]string{"code": code}); err != nil {
		return err
	}
	if p.State != pos.Paid {
		return fmt.Errorf("payment is %s", p.State)
	}
	book.Heard(till, drill.Said{}, p)
	return nil
}
