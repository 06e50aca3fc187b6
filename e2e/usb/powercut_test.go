package usb_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"dcpos/internal/guest"
	"dcpos/pos"
	"dcpos/sdk"
)

// Between the host and the machine that loses its power.
const (
	acknowledged = "acknowledged " // printed by the guest, with its number, after each payment that was told as paid
	knownToHost  = "DCPOS_ACKNOWLEDGED"
)

// The plug of the till's machine is pulled while it sells. What it has acknowledged is in
// its journal when it starts again, the journal holds, and it sells on.
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
	world := serveWorld(t)
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
	first, end := machine("sell")
	defer end()
	payments := cut(t, first)
	second, end := machine("start", knownToHost+"="+strings.Join(payments, ","))
	defer end()
	_, err := second.Wait()
	root := readReport(second.Report())
	if len(root.children) == 0 || err != nil {
		t.Fatalf("after the power cut: %v\n%s\n%s", err, second.Console(), second.Report())
	}
	root.children[0].replay(t)
}

// cut pulls the plug at a moment after some payments, and tells which were acknowledged.
func cut(t *testing.T, m *guest.Machine) (payments []string) {
	t.Helper()
	const enough = 4
	for deadline := time.Now().Add(lifetime()); strings.Count(m.Report(), acknowledged) < enough; time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) || strings.Contains(m.Report(), "--- FAIL") {
			m.Kill()
			t.Fatalf("the guest does not sell:\n%s\n%s", m.Console(), m.Report())
		}
	}
	wait := rand.New(rand.NewPCG(*seed, 1)).IntN(1000)
	t.Logf("-seed=%d: the plug is pulled after %d ms more", *seed, wait)
	time.Sleep(time.Duration(wait) * time.Millisecond)
	m.Kill()
	for line := range strings.Lines(m.Report()) {
		if id, found := strings.CutPrefix(strings.TrimSpace(line), acknowledged); found && strings.HasSuffix(line, "\n") {
			payments = append(payments, id)
		}
	}
	t.Logf("%d payments were acknowledged", len(payments))
	return payments
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
	a := openTill(t, readWorld(t), data, nil)
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
	out, err := exec.CommandContext(t.Context(), "/bin/posctl", "journal", "verify", filepath.Join(data, "journal.db")).CombinedOutput()
	t.Logf("%s", out)
	if err != nil {
		t.Errorf("posctl journal verify: %v", err)
	}
	a := openTill(t, readWorld(t), data, nil)
	known := strings.Split(os.Getenv(knownToHost), ",")
	for _, text := range known {
		id, err := pos.ParsePaymentID(text)
		ok(t, err)
		if p, err := a.Payment(t.Context(), id); err != nil || p.State != pos.Paid {
			t.Errorf("payment %s, acknowledged before the cut: %s, %v", id, p.State, err)
		}
	}
	t.Logf("%d payments are there", len(known))
	sellByCode(t, a, 0)
}
