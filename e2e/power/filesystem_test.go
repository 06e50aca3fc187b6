package power_test

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"dcpos/lab/forgetfs"
)

// mountEmpty mounts an empty forgetting file system for one test.
func mountEmpty(t *testing.T, opts ...forgetfs.Option) *forgetfs.Mount {
	t.Helper()
	dir := t.TempDir()
	m, err := forgetfs.Start(t.Context(), os.Args[0], filepath.Join(dir, "disk"), filepath.Join(dir, "mnt"), opts...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := m.Stop(); err != nil {
			t.Error(err)
		}
	})
	return m
}

func ok(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func openFile(t *testing.T, path string, flags int) *os.File {
	t.Helper()
	f, err := os.OpenFile(path, flags, 0o600)
	ok(t, err)
	t.Cleanup(func() { _ = f.Close() })
	return f
}

func put(t *testing.T, path, content string, flags int) *os.File {
	t.Helper()
	f := openFile(t, path, os.O_RDWR|os.O_CREATE|flags)
	_, err := f.WriteString(content)
	ok(t, err)
	return f
}

func content(t *testing.T, path string) string {
	t.Helper()
	b, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return "absent"
	}
	ok(t, err)
	return string(b)
}

// target is the file that a case acts on, and the test it acts for.
type target struct {
	*testing.T
	path string
}

// Each case acts on a file "f" that durably holds "old", and says what a program
// sees before the cut and what is left after it.
func TestForgetfsKeepsWhatWasSyncedAndNothingElse(t *testing.T) {
	for _, c := range []struct {
		name, seen, left string
		opts             []forgetfs.Option
		do               func(f target)
	}{
		{"written, not synced", "new", "old", nil, func(f target) { put(f.T, f.path, "new", 0) }},
		{"written, closed, not synced", "new", "old", nil, func(f target) { ok(f.T, put(f.T, f.path, "new", 0).Close()) }},
		{"fsync", "new", "new", nil, func(f target) { ok(f.T, put(f.T, f.path, "new", 0).Sync()) }},
		{"fdatasync", "newer", "newer", nil, func(f target) {
			ok(f.T, unix.Fdatasync(int(put(f.T, f.path, "newer", 0).Fd())))
		}},
		{"fsync through another descriptor", "new", "new", nil, func(f target) {
			ok(f.T, put(f.T, f.path, "new", 0).Close())
			ok(f.T, openFile(f.T, f.path, os.O_RDONLY).Sync())
		}},
		{"O_SYNC", "new", "new", nil, func(f target) { put(f.T, f.path, "new", os.O_SYNC) }},
		{"O_DSYNC", "new", "new", nil, func(f target) { put(f.T, f.path, "new", unix.O_DSYNC) }},
		{"append after fsync", "newer", "new", nil, func(f target) {
			file := put(f.T, f.path, "new", 0)
			ok(f.T, file.Sync())
			_, err := openFile(f.T, f.path, os.O_WRONLY|os.O_APPEND).WriteString("er")
			ok(f.T, err)
		}},
		{"truncated, not synced", "o", "old", nil, func(f target) { ok(f.T, os.Truncate(f.path, 1)) }},
		{"O_TRUNC, not synced", "", "old", nil, func(f target) { openFile(f.T, f.path, os.O_RDWR|os.O_TRUNC) }},
		{"truncated and longer again", "o\x00\x00\x00", "old", nil, func(f target) {
			ok(f.T, os.Truncate(f.path, 1))
			ok(f.T, os.Truncate(f.path, 4))
		}},
		{"truncated and longer again, fsync", "o\x00\x00\x00", "o\x00\x00\x00", nil, func(f target) {
			ok(f.T, os.Truncate(f.path, 1))
			ok(f.T, os.Truncate(f.path, 4))
			ok(f.T, openFile(f.T, f.path, os.O_RDWR).Sync())
		}},
		{"fallocate, not synced", "old\x00", "old", nil, func(f target) {
			ok(f.T, unix.Fallocate(int(openFile(f.T, f.path, os.O_RDWR).Fd()), 0, 0, 4))
		}},
		{"mmap, not synced", "Old", "old", nil, func(f target) { mapped(f.T, f.path, false) }},
		{"mmap, msync", "Old", "Old", nil, func(f target) { mapped(f.T, f.path, true) }},
		{"unlinked: names are durable at once", "absent", "absent", nil, func(f target) { ok(f.T, os.Remove(f.path)) }},
		{"unlinked, names need an fsync", "absent", "old", []forgetfs.Option{forgetfs.StrictDirs}, func(f target) {
			ok(f.T, os.Remove(f.path))
		}},
		{"unlinked, fsync of the directory", "absent", "absent", []forgetfs.Option{forgetfs.StrictDirs}, func(f target) {
			ok(f.T, os.Remove(f.path))
			ok(f.T, openFile(f.T, filepath.Dir(f.path), os.O_RDONLY).Sync())
		}},
		{"replaced by rename without any fsync", "new", "", nil, func(f target) {
			put(f.T, f.path+".tmp", "new", 0)
			ok(f.T, os.Rename(f.path+".tmp", f.path))
		}},
		{"replaced by rename after fsync", "new", "new", nil, func(f target) {
			ok(f.T, put(f.T, f.path+".tmp", "new", 0).Sync())
			ok(f.T, os.Rename(f.path+".tmp", f.path))
		}},
		{"replaced by rename, names need an fsync", "new", "old", []forgetfs.Option{forgetfs.StrictDirs}, func(f target) {
			ok(f.T, put(f.T, f.path+".tmp", "new", 0).Sync())
			ok(f.T, os.Rename(f.path+".tmp", f.path))
		}},
		{"replaced by rename, fsync of the directory", "new", "new", []forgetfs.Option{forgetfs.StrictDirs}, func(f target) {
			ok(f.T, put(f.T, f.path+".tmp", "new", 0).Sync())
			ok(f.T, os.Rename(f.path+".tmp", f.path))
			ok(f.T, openFile(f.T, filepath.Dir(f.path), os.O_RDONLY).Sync())
		}},
		{"memory is full: written through", "new", "new", []forgetfs.Option{forgetfs.MaxUnsynced(1)}, func(f target) {
			put(f.T, f.path, "new", 0)
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			m := mountEmpty(t, c.opts...)
			dir := filepath.Join(m.Path, "d")
			ok(t, os.Mkdir(dir, 0o700))
			f := filepath.Join(dir, "f")
			ok(t, put(t, f, "old", 0).Sync())
			ok(t, openFile(t, dir, os.O_RDONLY).Sync())
			ok(t, openFile(t, m.Path, os.O_RDONLY).Sync())
			c.do(target{t, f})
			if got := content(t, f); got != c.seen {
				t.Errorf("a program sees %q, want %q", got, c.seen)
			}
			ok(t, m.Cut())
			if got := content(t, filepath.Join(m.Backing, "d", "f")); got != c.left {
				t.Errorf("the cut left %q, want %q", got, c.left)
			}
		})
	}
}

// mapped changes the first byte through a shared mapping.
func mapped(t *testing.T, path string, msync bool) {
	t.Helper()
	file := openFile(t, path, os.O_RDWR)
	m, err := unix.Mmap(int(file.Fd()), 0, 3, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	ok(t, err)
	m[0] = 'O'
	if msync {
		ok(t, unix.Msync(m, unix.MS_SYNC))
	}
	t.Cleanup(func() { _ = unix.Munmap(m) })
}

func TestForgetfsAnswersEIOAfterACutAndWorksAfterRemount(t *testing.T) {
	m := mountEmpty(t)
	f := filepath.Join(m.Path, "f")
	file := put(t, f, "kept", 0)
	ok(t, file.Sync())
	cached := put(t, filepath.Join(m.Path, "cached"), string(make([]byte, 1<<16)), 0)
	ok(t, cached.Sync())
	_, err := cached.ReadAt(make([]byte, 1<<16), 0)
	ok(t, err)
	_, err = file.WriteString(" lost")
	ok(t, err)
	st, err := m.Status()
	ok(t, err)
	if st.UnsyncedBytes == 0 || st.UnsyncedFiles != 1 || st.Cut {
		t.Errorf("status before the cut: %+v", st)
	}
	ok(t, m.Cut())
	ok(t, m.Cut())
	read := func() error { _, err := file.ReadAt(make([]byte, 4), 0); return err }
	write := func() error { _, err := file.WriteString("x"); return err }
	stat := func() error { _, err := os.Stat(f); return err }
	readCached := func() error { _, err := cached.ReadAt(make([]byte, 4), 0); return err }
	opened := func() error { _, err := os.Open(f); return err }
	list := func() error { _, err := os.ReadDir(m.Path); return err }
	for name, op := range map[string]func() error{
		"read": read, "read cached": readCached, "write": write, "fsync": file.Sync, "stat": stat, "open": opened, "list": list,
		"mkdir":  func() error { return os.Mkdir(filepath.Join(m.Path, "d"), 0o700) },
		"rename": func() error { return os.Rename(f, f+"2") },
		"remove": func() error { return os.Remove(f) },
	} {
		if err := op(); !errors.Is(err, syscall.EIO) {
			t.Errorf("%s after the cut: %v, want EIO", name, err)
		}
	}
	if st, err := m.Status(); err != nil || !st.Cut || st.UnsyncedFiles != 1 {
		t.Errorf("status after the cut: %+v, %v", st, err)
	}
	_, _ = file.Close(), cached.Close()
	ok(t, m.Remount(t.Context()))
	if got := content(t, f); got != "kept" {
		t.Errorf("after remount %q", got)
	}
}

func TestForgetfsWritesEverythingBackWhenItIsStoppedInPeace(t *testing.T) {
	m := mountEmpty(t, forgetfs.StrictDirs)
	ok(t, put(t, filepath.Join(m.Path, "f"), "unsynced", 0).Close())
	ok(t, m.Stop())
	if got := content(t, filepath.Join(m.Backing, "f")); got != "unsynced" {
		t.Errorf("a clean unmount left %q", got)
	}
	left, err := os.ReadDir(filepath.Dir(m.Backing))
	ok(t, err)
	if len(left) != 2 {
		t.Errorf("beside disk and mnt there is something else: %v", left)
	}
}

func TestForgetfsKeepsAnUnlinkedFileReadable(t *testing.T) {
	for _, opts := range [][]forgetfs.Option{nil, {forgetfs.StrictDirs}} {
		m := mountEmpty(t, opts...)
		file := put(t, filepath.Join(m.Path, "f"), "still here", 0)
		ok(t, os.Remove(file.Name()))
		got := make([]byte, 10)
		_, err := file.ReadAt(got, 0)
		ok(t, err)
		ok(t, file.Truncate(5))
		ok(t, file.Sync())
		st, err := file.Stat()
		ok(t, err)
		if string(got) != "still here" || st.Size() != 5 {
			t.Errorf("got %q, size %d", got, st.Size())
		}
		if got := content(t, file.Name()); got != "absent" {
			t.Errorf("the name holds %q", got)
		}
		ok(t, file.Close())
	}
}

func TestForgetfsStatfsIsTheRealOne(t *testing.T) {
	m := mountEmpty(t)
	var got, want unix.Statfs_t
	ok(t, unix.Statfs(m.Path, &got))
	ok(t, unix.Statfs(m.Backing, &want))
	if got.Blocks == 0 || got.Blocks != want.Blocks || got.Bavail == 0 {
		t.Errorf("statfs says %d blocks, %d available; the disk has %d", got.Blocks, got.Bavail, want.Blocks)
	}
}

func TestForgetfsFaults(t *testing.T) {
	m := mountEmpty(t)
	file := put(t, filepath.Join(m.Path, "f"), "kept", 0)
	ok(t, file.Sync())
	fault := func(f forgetfs.Faults) {
		t.Helper()
		ok(t, m.SetFaults(f))
	}

	st, err := m.Status()
	ok(t, err)
	fault(forgetfs.Faults{FailWrite: st.Writes + 2})
	_, err1 := file.WriteAt([]byte("K"), 0)
	_, err2 := file.WriteAt([]byte("?"), 0)
	_, err3 := file.WriteAt([]byte("E"), 1)
	if err1 != nil || !errors.Is(err2, syscall.EIO) || err3 != nil {
		t.Errorf("the second write fails: %v, %v, %v", err1, err2, err3)
	}

	fault(forgetfs.Faults{FailSync: st.Syncs + 1, DropOnSyncError: true})
	if err := file.Sync(); !errors.Is(err, syscall.EIO) {
		t.Errorf("fsync: %v, want EIO", err)
	}
	ok(t, file.Sync()) // fsyncgate: it says yes, and the data is gone
	if got := content(t, filepath.Join(m.Backing, "f")); got != "kept" {
		t.Errorf("after a failed fsync the medium holds %q", got)
	}

	fault(forgetfs.Faults{Full: true})
	_, growing := file.WriteAt([]byte("longer than before"), 0)
	_, within := file.WriteAt([]byte("K"), 0)
	if !errors.Is(growing, syscall.ENOSPC) || within != nil {
		t.Errorf("full disk: growing %v, within %v", growing, within)
	}

	fault(forgetfs.Faults{SyncMillis: 120})
	began := time.Now()
	ok(t, file.Sync())
	if took := time.Since(began); took < 120*time.Millisecond {
		t.Errorf("a slow fsync took %v", took)
	}
	fault(forgetfs.Faults{StallPercent: 100, StallMillis: 250})
	began = time.Now()
	ok(t, file.Sync())
	if took := time.Since(began); took < 250*time.Millisecond {
		t.Errorf("a stalled fsync took %v", took)
	}
	fault(forgetfs.Faults{})
}

// A file of many pages goes through the kernel's read-ahead and large requests.
func TestForgetfsCarriesLargeFiles(t *testing.T) {
	m := mountEmpty(t)
	want := bytes.Repeat([]byte("0123456789abcde\n"), 1<<18)
	path := filepath.Join(m.Path, "large")
	ok(t, os.WriteFile(path, want, 0o600))
	got, err := os.ReadFile(path)
	ok(t, err)
	if !bytes.Equal(got, want) {
		t.Error("what is read is not what was written")
	}
	ok(t, m.Sync())
	if got, err := os.ReadFile(filepath.Join(m.Backing, "large")); err != nil || !bytes.Equal(got, want) {
		t.Errorf("what is durable is not what was written: %v", err)
	}
}

// A server that hangs must not hang the test: Stop aborts its own connection.
func TestForgetfsStopFreesAHungMountAndNoOther(t *testing.T) {
	t.Parallel()
	other := mountEmpty(t)
	keep := put(t, filepath.Join(other.Path, "f"), "alive", 0)
	m := mountEmpty(t)
	file := put(t, filepath.Join(m.Path, "f"), "stuck", 0)
	ok(t, m.Freeze())
	stuck := make(chan error, 1)
	go func() { stuck <- file.Sync() }()
	began := time.Now()
	if err := m.Stop(); err == nil {
		t.Error("Stop says that a hung server was stopped in peace")
	}
	if took := time.Since(began); took > time.Minute {
		t.Errorf("Stop took %v", took)
	}
	select {
	case err := <-stuck:
		if err == nil {
			t.Error("the stuck fsync says that it succeeded")
		}
	case <-time.After(time.Minute):
		t.Error("whoever was stuck is still stuck")
	}
	_ = file.Close()
	if _, err := keep.WriteString("!"); err != nil {
		t.Errorf("another mount suffered: %v", err)
	}
}
