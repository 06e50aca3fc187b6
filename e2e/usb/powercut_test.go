package usb_test

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"dcpos/internal/guest"
	"dcpos/lab/drill"
	"dcpos/pos"
	"dcpos/sdk"
)

// A boot of an emulated machine and the start of an agent in it are most of what a cut costs.
var cuts = flag.Int("cuts", 1, "times that the plug of the till's machine is pulled; 100 for the long form")

// Between the host and the machine that loses its power.
const (
	acknowledged = "acknowledged " // printed by the guest, with its number, after each payment that was told as paid
	knownToHost  = "DCPOS_ACKNOWLEDGED"
)

// The plug of the till's machine is pulled while it sells, again and again. What it has
// acknowledged is in its journal when it starts again, the journal holds, nobody repairs
// anything, it sells on, and every payment arrives at the centre once.
func TestPowerCut(t *testing.T) {
	if guest.Inside() {
		t.Run("sell until the power is cut", sellUntilCut)
		t.Run("start again", startAgain)
		return
	}
	disk := filepath.Join(t.TempDir(), "disk")
	ok(t, os.WriteFile(disk, nil, 0o600))
	ok(t, os.Truncate(disk, 64<<20))
	if out, err := exec.CommandContext(t.Context(), "mke2fs", "-q", "-F", "-t", "ext4", disk).CombinedOutput(); err != nil {
		t.Fatalf("make a file system: %v: %s", err, out)
	}
	world, site := serveSite(t)
	machine := func(step string, env ...string) (*guest.Machine, context.CancelFunc) {
		t.Helper()
		ctx, cancel := context.WithTimeout(t.Context(), lifetime())
		o := options(t, t.TempDir(), "^TestPowerCut$/^"+step)
		o.Disk, o.Env = disk, append(env, world)
		o.Modules = append(o.Modules, "virtio_blk", "crc32c_generic", "ext4")
		m, err := guest.Boot(ctx, o)
		ok(t, err)
		return m, cancel
	}
	var payments []string
	for n := range *cuts {
		for try := 1; ; try++ {
			m, end := machine("sell", knownToHost+"="+strings.Join(payments, ","))
			more, booted := cut(t, m, uint64(n))
			end()
			payments = append(payments, more...)
			if booted {
				break
			}
			if try == 2 {
				t.Fatal("the guest did not come up twice")
			}
		}
		t.Logf("cut %d: %d payments acknowledged so far", n+1, len(payments))
	}
	last, end := machine("start", knownToHost+"="+strings.Join(payments, ","))
	defer end()
	_, err := last.Wait()
	root := readReport(last.Report())
	if len(root.children) == 0 || err != nil {
		t.Fatalf("after the power cuts: %v\n%s\n%s", err, last.Console(), last.Report())
	}
	root.children[0].replay(t)
	arrivedOnce(t, site(), payments)
}

// arrivedOnce waits until the centre's ledger has every payment, and has it once.
func arrivedOnce(t *testing.T, s *drill.Site, payments []string) {
	t.Helper()
	eventually(t, "every payment has arrived", func() error {
		l, err := s.Ledger(t.Context())
		if err != nil {
			return err
		}
		all, twice := l.ByKey()
		if len(twice) > 0 || !l.Balanced {
			t.Fatalf("the ledger has %v twice, balanced %t", twice, l.Balanced)
		}
		for _, id := range payments {
			if all["paid:"+id].On("receivable:"+institution) <= 0 {
				return fmt.Errorf("payment %s is not in the ledger", id)
			}
		}
		for _, terminal := range l.Terminals {
			if terminal.State != "active" {
				return fmt.Errorf("terminal %s is %s: %s", terminal.ID, terminal.State, terminal.Reason)
			}
		}
		return nil
	})
}

// cut pulls the plug at a moment after some payments, and tells which were acknowledged; false
// for a machine that did not come up, as emulated ones may on a host that is short of time.
func cut(t *testing.T, m *guest.Machine, n uint64) (payments []string, booted bool) {
	t.Helper()
	const enough = 4
	for deadline := time.Now().Add(lifetime()); strings.Count(m.Report(), acknowledged) < enough; time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) || strings.Contains(m.Report(), "--- FAIL") {
			m.Kill()
			if m.Report() == "" {
				return nil, false
			}
			t.Fatalf("the guest does not sell:\n%s\n%s", m.Console(), m.Report())
		}
	}
	wait := rand.New(rand.NewPCG(*seed, n)).IntN(1000)
	t.Logf("-seed=%d: the plug is pulled after %d ms more", *seed, wait)
	time.Sleep(time.Duration(wait) * time.Millisecond)
	m.Kill()
	for line := range strings.Lines(m.Report()) {
		if id, found := strings.CutPrefix(strings.TrimSpace(line), acknowledged); found && strings.HasSuffix(line, "\n") {
			payments = append(payments, id)
		}
	}
	t.Logf("%d payments were acknowledged", len(payments))
	return payments, true
}

// mountDisk mounts the machine's disk.
func mountDisk(t *testing.T) (data string) {
	t.Helper()
	ok(t, os.MkdirAll("/disk", 0o700))
	ok(t, unix.Mount("/dev/vda", "/disk", "ext4", 0, ""))
	t.Cleanup(func() { _ = unix.Unmount("/disk", 0) }) // the machine ends
	return "/disk/till"
}

func sellUntilCut(t *testing.T) {
	data := mountDisk(t)
	verifyJournal(t, data)
	a := openTill(t, readWorld(t), data, nil)
	wantKnown(t, a)
	for n := range 10_000 {
		p := sellByCode(t, a, n)
		_, _ = fmt.Fprintln(os.Stdout, acknowledged+p.ID.String()) // the host reads it from the serial line
	}
}

func sellByCode(t *testing.T, a *till, n int) sdk.Payment {
	t.Helper()
	ctx := within(t, patience)
	p, err := a.Start(ctx, sdk.StartRequest{Key: sdk.NewKey(), OrderID: fmt.Sprintf("cut-%d-%d", n, time.Now().UnixNano()), Amount: pos.Money(1 + n%100), Mode: pos.BScanC})
	ok(t, err)
	code, err := a.wallet.Code(ctx)
	ok(t, err)
	_, err = a.SubmitCode(ctx, p.ID, code)
	ok(t, err)
	p, err = a.Wait(ctx, p.ID)
	ok(t, err)
	if p.State != pos.Paid {
		t.Fatalf("payment is %s", p.State)
	}
	return p
}

func startAgain(t *testing.T) {
	data := mountDisk(t)
	verifyJournal(t, data)
	a := openTill(t, readWorld(t), data, nil)
	wantKnown(t, a)
	sellByCode(t, a, 0)
}

// verifyJournal has the journal of an earlier life verified, before anybody opens it.
func verifyJournal(t *testing.T, data string) {
	t.Helper()
	path := filepath.Join(data, "journal.db")
	if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
		return
	}
	if out, err := exec.CommandContext(t.Context(), "/bin/posctl", "journal", "verify", path).CombinedOutput(); err != nil {
		t.Fatalf("posctl journal verify: %v\n%s", err, out)
	}
}

// wantKnown asks the till for every payment that it acknowledged before a cut.
func wantKnown(t *testing.T, a *till) {
	t.Helper()
	known := strings.FieldsFunc(os.Getenv(knownToHost), func(r rune) bool { return r == ',' })
	for _, text := range known {
		id, err := pos.ParsePaymentID(text)
		ok(t, err)
		if p, err := a.Payment(t.Context(), id); err != nil || p.State != pos.Paid {
			t.Fatalf("payment %s, acknowledged before a cut: %s, %v", id, p.State, err)
		}
	}
	t.Logf("%d payments are there", len(known))
}
