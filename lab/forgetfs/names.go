package forgetfs

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"

	"golang.org/x/sys/unix"
)

// slot is a name in a directory; the directory is known by inode number because
// its own path may change before the slot is undone.
type slot struct {
	dir  uint64
	name string
}

// nameChange is one directory operation that a power cut may still undo.
type nameChange struct {
	inode uint64
	// from is empty for a creation, to for a removal; both are set for a rename.
	from, to slot
	// grave keeps what a removal or an overwriting rename took away.
	grave     string
	directory bool
}

// nameLog remembers directory operations until an fsync of the file or of its
// directory makes them durable, oldest first.
type nameLog struct {
	graves  string
	buried  int
	dirs    map[uint64]*os.File
	pending []nameChange
}

func newNameLog(graves string) (*nameLog, error) {
	if err := os.MkdirAll(graves, 0o700); err != nil {
		return nil, fmt.Errorf("make directory for removed names: %w", err)
	}
	return &nameLog{graves: graves, dirs: map[uint64]*os.File{}}, nil
}

// hold keeps a directory reachable for undoing and returns its slot for name.
func (l *nameLog) hold(dirPath, name string) (slot, error) {
	inode, err := inodeOf(dirPath)
	if err != nil {
		return slot{}, err
	}
	if _, ok := l.dirs[inode]; !ok {
		dir, err := os.Open(dirPath)
		if err != nil {
			return slot{}, err
		}
		l.dirs[inode] = dir
	}
	return slot{dir: inode, name: name}, nil
}

func inodeOf(path string) (uint64, error) {
	var st unix.Stat_t
	if err := unix.Lstat(path, &st); err != nil {
		return 0, err
	}
	return st.Ino, nil
}

func (l *nameLog) created(path string, directory bool) error {
	to, err := l.hold(filepath.Dir(path), filepath.Base(path))
	if err != nil {
		return err
	}
	inode, err := inodeOf(path)
	if err != nil {
		return err
	}
	l.pending = append(l.pending, nameChange{inode: inode, to: to, directory: directory})
	return nil
}

// remove takes a name away so that it can come back.
func (l *nameLog) remove(path string, directory bool) error {
	from, err := l.hold(filepath.Dir(path), filepath.Base(path))
	if err != nil {
		return err
	}
	inode, err := inodeOf(path)
	if err != nil {
		return err
	}
	grave := l.newGrave()
	if err := os.Rename(path, grave); err != nil {
		return err
	}
	l.pending = append(l.pending, nameChange{inode: inode, from: from, grave: grave, directory: directory})
	return nil
}

func (l *nameLog) newGrave() string {
	l.buried++
	return filepath.Join(l.graves, strconv.Itoa(l.buried))
}

func (l *nameLog) rename(oldPath, newPath string) error {
	from, err := l.hold(filepath.Dir(oldPath), filepath.Base(oldPath))
	if err != nil {
		return err
	}
	to, err := l.hold(filepath.Dir(newPath), filepath.Base(newPath))
	if err != nil {
		return err
	}
	inode, err := inodeOf(oldPath)
	if err != nil {
		return err
	}
	change := nameChange{inode: inode, from: from, to: to}
	if _, err := inodeOf(newPath); err == nil {
		// A second name keeps the overwritten file alive; the rename itself stays
		// one step, and the kernel still refuses what it must refuse.
		grave := l.newGrave()
		if err := os.Link(newPath, grave); err == nil {
			change.grave = grave
		}
	}
	if err := os.Rename(oldPath, newPath); err != nil {
		if change.grave != "" {
			_ = os.Remove(change.grave)
		}
		return err
	}
	l.pending = append(l.pending, change)
	return nil
}

func (c *nameChange) concerns(inode uint64) bool {
	return c.inode == inode || c.from.dir == inode || c.to.dir == inode
}

// precedes says that later cannot be durable unless c is.
func (c *nameChange) precedes(later *nameChange) bool {
	if c.inode == later.inode || c.inode == later.from.dir || c.inode == later.to.dir {
		return true
	}
	if later.directory && later.to.name == "" && (c.from.dir == later.inode || c.to.dir == later.inode) {
		return true // the directory was emptied before it was removed
	}
	for _, mine := range []slot{c.from, c.to} {
		if mine.name != "" && (mine == later.from || mine == later.to) {
			return true
		}
	}
	return false
}

// commit makes durable every pending change that an fsync of inode covers,
// together with the earlier ones they stand on. An inode that is a directory
// covers the changes inside it, a file covers its own names.
func (l *nameLog) commit(inode uint64) error {
	var durable []*nameChange
	var keep []nameChange
	for i := len(l.pending) - 1; i >= 0; i-- {
		c := &l.pending[i]
		needed := c.concerns(inode) || slices.ContainsFunc(durable, c.precedes)
		if !needed {
			keep = append(keep, *c)
			continue
		}
		durable = append(durable, c)
		if c.grave != "" {
			if err := os.Remove(c.grave); err != nil {
				return fmt.Errorf("remove %s for good: %w", c.from.name, err)
			}
		}
	}
	slices.Reverse(keep)
	l.pending = keep
	l.release()
	return nil
}

// undo takes back the newest count pending changes, as a power cut does.
func (l *nameLog) undo(count int) error {
	for range count {
		last := len(l.pending) - 1
		if err := l.undoOne(&l.pending[last]); err != nil {
			return fmt.Errorf("undo name %q: %w", l.pending[last].to.name+l.pending[last].from.name, err)
		}
		l.pending = l.pending[:last]
	}
	return nil
}

// undoAny takes back any of the pending changes, each by a toss, together with the later
// ones that stand on them: a file system that writes its directories back in another
// order than they were changed in.
func (l *nameLog) undoAny(rng *rand.Rand) error {
	var lost []*nameChange
	for i := range l.pending {
		c := &l.pending[i]
		stands := slices.ContainsFunc(lost, func(earlier *nameChange) bool { return earlier.precedes(c) })
		if stands || rng.IntN(2) == 0 {
			lost = append(lost, c)
		}
	}
	var kept []nameChange
	for i := range l.pending {
		if !slices.Contains(lost, &l.pending[i]) {
			kept = append(kept, l.pending[i])
		}
	}
	for _, c := range slices.Backward(lost) {
		if err := l.undoOne(c); err != nil {
			return fmt.Errorf("undo name %q: %w", c.to.name+c.from.name, err)
		}
	}
	l.pending = kept
	return nil
}

func (l *nameLog) undoOne(c *nameChange) error {
	from, to := l.dirs[c.from.dir], l.dirs[c.to.dir]
	switch {
	case c.from.name == "" && c.directory:
		return unix.Unlinkat(int(to.Fd()), c.to.name, unix.AT_REMOVEDIR)
	case c.from.name == "":
		return unix.Unlinkat(int(to.Fd()), c.to.name, 0)
	case c.to.name == "":
		return unix.Renameat(unix.AT_FDCWD, c.grave, int(from.Fd()), c.from.name)
	}
	err := unix.Renameat(int(to.Fd()), c.to.name, int(from.Fd()), c.from.name)
	if err != nil || c.grave == "" {
		return err
	}
	return unix.Renameat(unix.AT_FDCWD, c.grave, int(to.Fd()), c.to.name)
}

// release closes directories that no pending change needs.
func (l *nameLog) release() {
	for inode, dir := range l.dirs {
		used := slices.ContainsFunc(l.pending, func(c nameChange) bool { return c.from.dir == inode || c.to.dir == inode })
		if !used {
			_ = dir.Close()
			delete(l.dirs, inode)
		}
	}
}

// settle makes the rest durable: a clean unmount.
func (l *nameLog) settle() error {
	for _, c := range l.pending {
		if c.grave != "" {
			if err := os.RemoveAll(c.grave); err != nil {
				return err
			}
		}
	}
	l.pending = nil
	l.release()
	return os.RemoveAll(l.graves)
}
