package forgetfs

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"time"
)

// disk is the medium and the volatile memory in front of it.
type disk struct {
	opts Options
	// dropCaches makes the kernel forget what it still holds of the files; nil in
	// tests without a kernel.
	dropCaches func()

	mu     sync.Mutex
	cut    bool
	files  map[uint64]*volatileFile
	names  *nameLog // nil unless directory changes may be forgotten
	rng    *rand.Rand
	faults Faults
	counts Status
}

func newDisk(opts Options) (*disk, error) {
	d := &disk{opts: opts, files: map[uint64]*volatileFile{}, rng: rand.New(rand.NewPCG(opts.Seed, 0))}
	if !opts.StrictDirs {
		return d, nil
	}
	// Beside the backing directory: a rename must stay on one file system.
	clean := filepath.Clean(opts.Backing)
	names, err := newNameLog(filepath.Join(filepath.Dir(clean), "."+filepath.Base(clean)+".forgetfs"))
	if err != nil {
		return nil, err
	}
	d.names = names
	return d, nil
}

// enter locks the disk for one operation, or refuses because the power is gone.
// On success the caller must unlock d.mu.
func (d *disk) enter() syscall.Errno {
	d.mu.Lock()
	if d.cut {
		d.mu.Unlock()
		return syscall.EIO
	}
	return 0
}

// changeNames runs one directory operation: logged by pending if such changes may
// be forgotten, at once durable by direct otherwise.
func (d *disk) changeNames(direct func() error, pending func(*nameLog) error) syscall.Errno {
	if errno := d.enter(); errno != 0 {
		return errno
	}
	defer d.mu.Unlock()
	if d.names != nil {
		return errnoOf(pending(d.names))
	}
	err := direct()
	for inode, f := range d.files {
		d.settle(inode, f) // perhaps it lost its last name
	}
	return errnoOf(err)
}

// opened returns the volatile file behind path, for one more open handle.
func (d *disk) opened(path string) (*volatileFile, error) {
	f, err := d.find(path)
	if err != nil {
		return nil, err
	}
	f.opens++
	return f, nil
}

// find returns the volatile file behind path without holding it open.
func (d *disk) find(path string) (*volatileFile, error) {
	inode, err := inodeOf(path)
	if err != nil {
		return nil, err
	}
	if f, ok := d.files[inode]; ok {
		return f, nil
	}
	back, err := os.OpenFile(path, os.O_RDWR|syscall.O_NOFOLLOW|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	f, err := newVolatileFile(back)
	if err != nil {
		_ = back.Close()
		return nil, err
	}
	d.files[inode] = f
	return f, nil
}

// settle forgets that a file was ever looked at, once nothing about it is volatile.
func (d *disk) settle(inode uint64, f *volatileFile) {
	if f.opens > 0 {
		return
	}
	if f.dirty() {
		st, err := f.back.Stat()
		if err != nil {
			return
		}
		if sys, ok := st.Sys().(*syscall.Stat_t); ok && sys.Nlink > 0 {
			return
		}
	}
	_ = f.back.Close()
	delete(d.files, inode)
}

func (d *disk) read(f *volatileFile, p []byte, off int64) (int, syscall.Errno) {
	if errno := d.enter(); errno != 0 {
		return 0, errno
	}
	defer d.mu.Unlock()
	n, err := f.readAt(p, off)
	return n, errnoOf(err)
}

// write takes the bytes, or the first of them where a fault cuts a write short.
func (d *disk) write(inode uint64, f *volatileFile, p []byte, off int64, durable bool) (int, syscall.Errno) {
	if errno := d.enter(); errno != 0 {
		return 0, errno
	}
	d.counts.Writes++
	taken, errno := d.faults.onWrite(d.counts.Writes, max(0, off+int64(len(p))-f.size), len(p))
	pause := time.Duration(0)
	if taken > 0 {
		var failed syscall.Errno
		if failed, pause = d.writeLocked(inode, f, p[:taken], off, durable); failed != 0 {
			taken, errno = 0, failed
		}
	}
	d.mu.Unlock()
	// A slow medium delays the one who waits for it, not everybody's page cache.
	pauseFor(pause)
	if taken > 0 { // as write(2): the error comes with the next write
		return taken, 0
	}
	return 0, errno
}

func (d *disk) writeLocked(
	inode uint64, f *volatileFile, p []byte, off int64, durable bool,
) (syscall.Errno, time.Duration) {
	if err := f.writeAt(p, off, time.Now()); err != nil {
		return errnoOf(err), 0
	}
	if durable {
		errno, pause := d.onSync(f)
		if errno != 0 {
			return errno, pause
		}
		if err := f.syncRange(off, int64(len(p))); err != nil {
			return errnoOf(err), pause
		}
		return d.commitNames(inode), pause
	}
	if d.unsynced() > d.opts.MaxUnsynced {
		// Memory pressure: the kernel would write back too.
		return errnoOf(f.sync()), 0
	}
	if d.opts.Torn && d.rng.IntN(writeBackEvery) == 0 {
		return errnoOf(f.writeBack(d.rng)), 0
	}
	return 0, 0
}

// dropPatience is how long a cut waits for the kernel; cached pages are a courtesy
// that a program may still read, never something that survives.
const dropPatience = 2 * time.Second

// writeBackEvery is how many writes pass on average between two pages that reach
// the medium unasked when writes may be torn.
const writeBackEvery = 64

func (d *disk) onSync(f *volatileFile) (syscall.Errno, time.Duration) {
	d.counts.Syncs++
	errno, pause := d.faults.onSync(d.counts.Syncs, d.rng)
	if errno != 0 && d.faults.DropOnSyncError {
		f.forget()
	}
	if errno != 0 && d.faults.StaleOnSyncError {
		f.launder()
	}
	return errno, pause
}

func (d *disk) sync(inode uint64, f *volatileFile) syscall.Errno {
	if errno := d.enter(); errno != 0 {
		return errno
	}
	errno, pause := d.onSync(f)
	if errno == 0 && !d.faults.Deaf {
		errno = errnoOf(f.sync())
	}
	if errno == 0 && !d.faults.Deaf {
		errno = d.commitNames(inode)
	}
	d.mu.Unlock()
	pauseFor(pause)
	return errno
}

func (d *disk) syncDir(inode uint64) syscall.Errno {
	if errno := d.enter(); errno != 0 {
		return errno
	}
	defer d.mu.Unlock()
	d.counts.Syncs++
	return d.commitNames(inode)
}

func (d *disk) commitNames(inode uint64) syscall.Errno {
	if d.names == nil {
		return 0
	}
	return errnoOf(d.names.commit(inode))
}

func (d *disk) unsynced() int64 {
	var n int64
	for _, f := range d.files {
		n += f.unsynced()
	}
	return n
}

// cutPower forgets what is volatile and refuses every operation from then on.
// A second cut changes nothing.
func (d *disk) cutPower() error {
	err := d.forgetVolatile()
	if d.dropCaches == nil {
		return err
	}
	// Without the lock: the kernel may first write back pages, and be refused.
	done := make(chan struct{})
	go func() {
		d.dropCaches()
		close(done)
	}()
	select {
	case <-done:
	case <-time.After(dropPatience):
	}
	return err
}

func (d *disk) forgetVolatile() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.cut {
		return nil
	}
	d.counts = d.status()
	d.cut = true
	d.counts.Cut = true
	var errs []error
	for inode, f := range d.files {
		if d.opts.Torn {
			errs = append(errs, f.tear(d.rng))
		}
		errs = append(errs, f.back.Close())
		delete(d.files, inode)
	}
	if d.names != nil {
		errs = append(errs, d.loseNames(), d.names.settle())
	}
	return errors.Join(errs...)
}

// loseNames takes directory changes back: all of them, or, torn, the newest or any.
func (d *disk) loseNames() error {
	switch {
	case !d.opts.Torn:
		return d.names.undo(len(d.names.pending))
	case d.rng.IntN(2) == 0:
		return d.names.undoAny(d.rng)
	}
	return d.names.undo(d.rng.IntN(len(d.names.pending) + 1))
}

// syncAll makes everything durable, as sync(2) or a clean unmount does.
func (d *disk) syncAll() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.cut {
		return nil
	}
	var errs []error
	for inode, f := range d.files {
		if f.dirty() {
			errs = append(errs, f.sync())
		}
		d.settle(inode, f)
	}
	return errors.Join(errs...)
}

// close ends a clean life: everything durable, nothing left beside the backing.
func (d *disk) close() error {
	if err := d.syncAll(); err != nil {
		return fmt.Errorf("write back: %w", err)
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.names != nil && !d.cut {
		return d.names.settle()
	}
	return nil
}

// status counts what is volatile now; after a cut it is what the cut found.
func (d *disk) status() Status {
	if d.cut {
		return d.counts
	}
	s := d.counts
	s.UnsyncedBytes, s.UnsyncedFiles, s.PendingNames = 0, 0, 0
	for _, f := range d.files {
		s.UnsyncedBytes += f.unsynced()
		if f.dirty() {
			s.UnsyncedFiles++
		}
	}
	if d.names != nil {
		s.PendingNames = len(d.names.pending)
	}
	return s
}

func pauseFor(d time.Duration) {
	if d <= 0 {
		return
	}
	<-time.After(d)
}

func errnoOf(err error) syscall.Errno {
	if err == nil {
		return 0
	}
	if errno, ok := errors.AsType[syscall.Errno](err); ok {
		return errno
	}
	return syscall.EIO
}
