package usb_test

import (
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

var cuts = flag.Int("cuts", 6, "times that the plug of the till's machine is pulled; 100 for the long form")

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
	t.Parallel() // an emulated machine waits for one processor most of its time
	disk := filepath.Join(t.TempDir(), "disk")
	ok(t, os.WriteFile(disk, nil, 0o600))
	ok(t, os.Truncate(disk, 64<<20))
	if out, err := exec.CommandContext(t.Context(), "mke2fs", "-q", "-F", "-t", "ext4", disk).CombinedOutput(); err != nil {
		t.Fatalf("make a file system: %v: %s", err, out)
	}
	world, site := serveSite(t)
	o := options(t, t.TempDir(), "")
	o.Disk = disk
	frozen := freeze(t, o)
	machine := func(step string, env ...string) *guest.Machine {
		t.Helper()
		m, err := frozen.Thaw(t.Context(), t.TempDir(), arguments("^TestPowerCut$/^"+step), append(env, world))
		ok(t, err)
		return m
	}
	var payments []string
	for n := range *cuts {
		payments = append(payments, cut(t, machine("sell", knownToHost+"="+strings.Join(payments, ",")), uint64(n))...)
		t.Logf("cut %d: %d payments acknowledged so far", n+1, len(payments))
	}
	last := machine("start", knownToHost+"="+strings.Join(payments, ","))
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

// freeze boots the till's machine once for all cuts; once more if it did not come up, as
// emulated ones may on a host that is short of time.
func freeze(t *testing.T, o guest.Options) *guest.Frozen {
	t.Helper()
	f, err := guest.Freeze(t.Context(), o)
	if errors.Is(err, guest.ErrNotClean) {
		t.Log(err)
		o.Dir = t.TempDir()
		f, err = guest.Freeze(t.Context(), o)
	}
	ok(t, err)
	return f
}

// cut pulls the plug at a moment after some payments, and tells which were acknowledged.
func cut(t *testing.T, m *guest.Machine, n uint64) (payments []string) {
	t.Helper()
	const enough = 4
	for deadline := time.Now().Add(lifetime()); strings.Count(m.Report(), acknowledged) < enough; time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) || strings.Contains(m.Report(), "--- FAIL") {
			m.Kill()
			t.Fatalf("the guest does not sell:\n%s\n%s", m.Console(), m.Report())
		}
	}
	wait := rand.New(rand.NewPCG(*seed, n)).IntN(1000)
	time.Sleep(time.Duration(wait) * time.Millisecond)
	m.Kill()
	for line := range strings.Lines(m.Report()) {
		if id, found := strings.CutPrefix(strings.TrimSpace(line), acknowledged); found && strings.HasSuffix(line, "\n") {
			payments = append(payments, id)
		}
	}
	t.Logf("-seed=%d: %v after the start the plug was pulled, %d ms after payment %d; %d were acknowledged",
		*seed, time.Since(m.Started).Round(time.Millisecond), wait, enough, len(payments))
	return payments
}

// mountDisk mounts the machine's disk.
func mountDisk(t *testing.T) (data string) {
	t.Helper()
	ok(t, os.MkdirAll("/disk", 0o700))
	ok(t, unix.Mount(guest.DiskDevice, "/disk", "ext4", 0, ""))
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
	ctx := within(t, 3*patience) // the whole sale, with an emulated processor's signatures
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
