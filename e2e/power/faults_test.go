package power_test

import (
	"bufio"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"dcpos/lab/forgetfs"
)

// A medium that fails one write or one fsync never costs a row that was acknowledged
// before or after it, even if the power is cut next. Where the fault hits a commit the
// program ends; SQLite passes over one that hits a checkpoint or the shared index,
// because the log still has the rows.
func TestForgetfsSQLiteOnAFailingMedium(t *testing.T) {
	for _, c := range []struct {
		name  string
		fault func(st forgetfs.Status, n uint64) forgetfs.Faults
	}{
		{"n-th write fails", func(st forgetfs.Status, n uint64) forgetfs.Faults {
			return forgetfs.Faults{FailWrite: st.Writes + n}
		}},
		{"n-th fsync fails and drops its pages", func(st forgetfs.Status, n uint64) forgetfs.Faults {
			return forgetfs.Faults{FailSync: st.Syncs + n, DropOnSyncError: true}
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			m := mountEmpty(t)
			var kept, acknowledged int64
			stopped := 0
			for n := uint64(1); n <= uint64(2**rounds); n++ {
				st, err := m.Status()
				ok(t, err)
				ok(t, m.SetFaults(c.fault(st, n*n)))
				last, byItself := startWriter(t, m.Path, "FULL").wait(250 * time.Millisecond)
				if byItself {
					stopped++
				}
				last = max(kept, last)
				ok(t, m.Cut())
				ok(t, m.Stop())
				left := survived(t, m.Backing)
				if left < last {
					t.Errorf("fault at %d: %d rows were acknowledged, %d are left", n*n, last, left)
				}
				acknowledged += last - kept
				kept = left
				ok(t, m.Remount(t.Context()))
			}
			t.Logf("%d faults, %d of them ended the program, %d acknowledged rows", 2**rounds, stopped, acknowledged)
			if acknowledged == 0 || stopped == 0 {
				t.Error("the faults hit nothing")
			}
		})
	}
}

func TestForgetfsSQLiteOnAFullMediumStopsAndKeepsAll(t *testing.T) {
	m := mountEmpty(t)
	first := startWriter(t, m.Path, "FULL")
	first.begin(t)
	ok(t, m.SetFaults(forgetfs.Faults{Full: true}))
	last, byItself := first.wait(time.Minute)
	if !byItself {
		t.Error("the program goes on with a full disk")
	}
	if last == 0 {
		t.Fatal("nothing was acknowledged before the disk was full")
	}
	ok(t, m.SetFaults(forgetfs.Faults{}))
	again := startWriter(t, m.Path, "FULL")
	again.begin(t)
	ok(t, m.Cut())
	more := again.kill()
	ok(t, m.Stop())
	if left := survived(t, m.Backing); more <= last || left < more {
		t.Errorf("%d rows before the disk was full, %d after it had room again, %d left", last, more, left)
	}
}

// begin waits for the writer's first acknowledged row.
func (w *writer) begin(t *testing.T) {
	t.Helper()
	select {
	case <-w.begun:
	case <-time.After(time.Minute):
		t.Fatalf("nothing was acknowledged; the last row is %d", w.kill())
	}
}

// wait lets the writer end by itself, kills it after patience, and returns the last
// row it acknowledged.
func (w *writer) wait(patience time.Duration) (last int64, byItself bool) {
	select {
	case last = <-w.last:
		return last, w.process.Wait() != nil
	case <-time.After(patience):
		return w.kill(), false
	}
}

// holderCommand is the first argument by which the test binary becomes a process
// that starts a mount and does not stop it.
const holderCommand = "holder"

func hold(ctx context.Context, backing, mount string) error {
	m, err := forgetfs.Start(ctx, os.Args[0], backing, mount)
	if err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(m.Path, "f"), []byte("unsynced"), 0o600); err != nil {
		return err
	}
	if _, err := os.Stdout.WriteString("mounted\n"); err != nil {
		return err
	}
	<-ctx.Done()
	return m.Stop()
}

func TestForgetfsEndsWithTheProcessThatStartedIt(t *testing.T) {
	dir := t.TempDir()
	backing, mount := filepath.Join(dir, "disk"), filepath.Join(dir, "mnt")
	holder := exec.CommandContext(t.Context(), os.Args[0], holderCommand, backing, mount)
	out, err := holder.StdoutPipe()
	ok(t, err)
	ok(t, holder.Start())
	if line, err := bufio.NewReader(out).ReadString('\n'); err != nil || line != "mounted\n" {
		t.Fatalf("holder says %q, %v", line, err)
	}
	ok(t, holder.Process.Kill())
	if err := holder.Wait(); err == nil {
		t.Fatal("the holder was not killed")
	}
	for range 500 {
		table, err := os.ReadFile("/proc/self/mountinfo")
		ok(t, err)
		if !strings.Contains(string(table), mount) {
			return
		}
		time.Sleep(20 * time.Millisecond)
	}
	t.Errorf("the mount outlives the process that started it; unmounted: %v", syscall.Unmount(mount, syscall.MNT_DETACH))
}
