package forgetfs

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"syscall"
	"time"

	"github.com/hanwen/go-fuse/v2/fs"
	"github.com/hanwen/go-fuse/v2/fuse"
	"golang.org/x/sys/unix"
)

// node is one name in the mounted tree.
type node struct {
	fs.Inode
	disk *disk
}

var (
	_ fs.NodeLookuper   = (*node)(nil)
	_ fs.NodeGetattrer  = (*node)(nil)
	_ fs.NodeSetattrer  = (*node)(nil)
	_ fs.NodeStatfser   = (*node)(nil)
	_ fs.NodeOpener     = (*node)(nil)
	_ fs.NodeCreater    = (*node)(nil)
	_ fs.NodeMkdirer    = (*node)(nil)
	_ fs.NodeRmdirer    = (*node)(nil)
	_ fs.NodeUnlinker   = (*node)(nil)
	_ fs.NodeRenamer    = (*node)(nil)
	_ fs.NodeLinker     = (*node)(nil)
	_ fs.NodeSymlinker  = (*node)(nil)
	_ fs.NodeReadlinker = (*node)(nil)
	_ fs.NodeReaddirer  = (*node)(nil)
	_ fs.NodeFsyncer    = (*node)(nil)
	_ fs.FileReader     = (*handle)(nil)
	_ fs.FileWriter     = (*handle)(nil)
	_ fs.FileReleaser   = (*handle)(nil)
	_ fs.FileAllocater  = (*handle)(nil)
)

func (n *node) path() string { return filepath.Join(n.disk.opts.Backing, n.Path(n.Root())) }

func (n *node) child(name string) string { return filepath.Join(n.path(), name) }

// attr reads the backing inode and puts the volatile size and time over it.
// The disk is locked by the caller.
func (d *disk) attr(path string, out *fuse.Attr) (fs.StableAttr, syscall.Errno) {
	var st syscall.Stat_t
	if err := syscall.Lstat(path, &st); err != nil {
		return fs.StableAttr{}, fs.ToErrno(err)
	}
	out.FromStat(&st)
	d.overlay(st.Ino, out)
	return fs.StableAttr{Mode: st.Mode & syscall.S_IFMT, Ino: st.Ino}, 0
}

func (d *disk) overlay(inode uint64, out *fuse.Attr) {
	f, ok := d.files[inode]
	if !ok || !f.dirty() {
		return
	}
	out.Size = uint64(f.size)
	out.Blocks = (out.Size + sectorSize - 1) / sectorSize
	out.SetTimes(nil, &f.mtime, &f.mtime)
}

// enrol answers a lookup or a creation with the inode behind path.
func (n *node) enrol(ctx context.Context, path string, out *fuse.EntryOut) (*fs.Inode, syscall.Errno) {
	stable, errno := n.disk.attr(path, &out.Attr)
	if errno != 0 {
		return nil, errno
	}
	stable.Gen = birth(path)
	return n.NewInode(ctx, &node{disk: n.disk}, stable), 0
}

// birth tells files apart that used one inode number one after the other.
func birth(path string) uint64 {
	var st unix.Statx_t
	err := unix.Statx(unix.AT_FDCWD, path, unix.AT_SYMLINK_NOFOLLOW, unix.STATX_BTIME, &st)
	if err != nil || st.Mask&unix.STATX_BTIME == 0 {
		return 1
	}
	return uint64(st.Btime.Sec)*uint64(time.Second) + uint64(st.Btime.Nsec)
}

func (n *node) enterAndEnrol(ctx context.Context, path string, out *fuse.EntryOut) (*fs.Inode, syscall.Errno) {
	if errno := n.disk.enter(); errno != 0 {
		return nil, errno
	}
	defer n.disk.mu.Unlock()
	return n.enrol(ctx, path, out)
}

func (n *node) Lookup(ctx context.Context, name string, out *fuse.EntryOut) (*fs.Inode, syscall.Errno) {
	return n.enterAndEnrol(ctx, n.child(name), out)
}

func (n *node) Getattr(_ context.Context, fh fs.FileHandle, out *fuse.AttrOut) syscall.Errno {
	if errno := n.disk.enter(); errno != 0 {
		return errno
	}
	defer n.disk.mu.Unlock()
	if h, ok := fh.(*handle); ok {
		return h.attr(&out.Attr)
	}
	_, errno := n.disk.attr(n.path(), &out.Attr)
	return errno
}

func (n *node) Setattr(_ context.Context, fh fs.FileHandle, in *fuse.SetAttrIn, out *fuse.AttrOut) syscall.Errno {
	if errno := n.disk.enter(); errno != 0 {
		return errno
	}
	defer n.disk.mu.Unlock()
	h, open := fh.(*handle)
	path := n.path()
	if open {
		// The file may have lost its name; the descriptor has not.
		path = h.procPath()
	}
	if size, ok := in.GetSize(); ok {
		if errno := n.truncate(h, open, int64(size)); errno != 0 {
			return errno
		}
	}
	if errno := setBacking(path, in); errno != 0 {
		return errno
	}
	if open {
		return h.attr(&out.Attr)
	}
	_, errno := n.disk.attr(path, &out.Attr)
	return errno
}

func (n *node) truncate(h *handle, open bool, size int64) syscall.Errno {
	var f *volatileFile
	if open {
		f = h.file
	} else {
		found, err := n.disk.find(n.path())
		if err != nil {
			return errnoOf(err)
		}
		f = found
	}
	if n.disk.faults.Full && size > f.size {
		return syscall.ENOSPC
	}
	f.resize(size, time.Now())
	n.disk.settle(n.StableAttr().Ino, f)
	return 0
}

// setBacking passes mode, owner and times on; they are durable at once.
func setBacking(path string, in *fuse.SetAttrIn) syscall.Errno {
	if mode, ok := in.GetMode(); ok {
		if err := syscall.Chmod(path, mode); err != nil {
			return fs.ToErrno(err)
		}
	}
	uid, uidSet := in.GetUID()
	gid, gidSet := in.GetGID()
	if uidSet || gidSet {
		owner, group := -1, -1
		if uidSet {
			owner = int(uid)
		}
		if gidSet {
			group = int(gid)
		}
		if err := syscall.Chown(path, owner, group); err != nil {
			return fs.ToErrno(err)
		}
	}
	mtime, mset := in.GetMTime()
	atime, aset := in.GetATime()
	if !mset && !aset {
		return 0
	}
	times := [2]unix.Timespec{{Nsec: unix.UTIME_OMIT}, {Nsec: unix.UTIME_OMIT}}
	if aset {
		times[0] = unix.NsecToTimespec(atime.UnixNano())
	}
	if mset {
		times[1] = unix.NsecToTimespec(mtime.UnixNano())
	}
	return fs.ToErrno(unix.UtimesNanoAt(unix.AT_FDCWD, path, times[:], 0))
}

func (n *node) Statfs(_ context.Context, out *fuse.StatfsOut) syscall.Errno {
	if errno := n.disk.enter(); errno != 0 {
		return errno
	}
	defer n.disk.mu.Unlock()
	var st syscall.Statfs_t
	if err := syscall.Statfs(n.disk.opts.Backing, &st); err != nil {
		return fs.ToErrno(err)
	}
	out.FromStatfsT(&st)
	if n.disk.faults.Full {
		out.Bavail, out.Bfree = 0, 0
	}
	return 0
}

func (n *node) Open(_ context.Context, flags uint32) (fs.FileHandle, uint32, syscall.Errno) {
	if errno := n.disk.enter(); errno != 0 {
		return nil, 0, errno
	}
	defer n.disk.mu.Unlock()
	h, errno := n.disk.newHandle(n.path(), flags)
	if errno != 0 {
		return nil, 0, errno
	}
	if flags&syscall.O_TRUNC != 0 {
		h.file.resize(0, time.Now())
	}
	return h, 0, 0
}

// give makes whoever asked the owner of what was made for him.
func give(ctx context.Context, path string) error {
	caller, ok := fuse.FromContext(ctx)
	if !ok || caller.Uid == 0 && caller.Gid == 0 {
		return nil
	}
	return syscall.Lchown(path, int(caller.Uid), int(caller.Gid))
}

func (n *node) Create(
	ctx context.Context, name string, flags, mode uint32, out *fuse.EntryOut,
) (*fs.Inode, fs.FileHandle, uint32, syscall.Errno) {
	path := n.child(name)
	create := func() error {
		fd, err := syscall.Open(path, syscall.O_RDWR|syscall.O_CREAT|syscall.O_EXCL|syscall.O_CLOEXEC, mode&0o7777)
		if err != nil {
			return err
		}
		return errors.Join(give(ctx, path), syscall.Close(fd))
	}
	errno := n.disk.changeNames(create, func(l *nameLog) error {
		if err := create(); err != nil {
			return err
		}
		return l.created(path, false)
	})
	if errno != 0 && (errno != syscall.EEXIST || flags&syscall.O_EXCL != 0) {
		return nil, nil, 0, errno
	}
	if errno := n.disk.enter(); errno != 0 {
		return nil, nil, 0, errno
	}
	defer n.disk.mu.Unlock()
	h, errno := n.disk.newHandle(path, flags)
	if errno != 0 {
		return nil, nil, 0, errno
	}
	inode, errno := n.enrol(ctx, path, out)
	if errno != 0 {
		h.releaseLocked()
		return nil, nil, 0, errno
	}
	return inode, h, 0, 0
}

func (n *node) Mkdir(ctx context.Context, name string, mode uint32, out *fuse.EntryOut) (*fs.Inode, syscall.Errno) {
	path := n.child(name)
	direct := func() error {
		if err := syscall.Mkdir(path, mode&0o7777); err != nil {
			return err
		}
		return give(ctx, path)
	}
	errno := n.disk.changeNames(direct, func(l *nameLog) error {
		if err := direct(); err != nil {
			return err
		}
		return l.created(path, true)
	})
	if errno != 0 {
		return nil, errno
	}
	return n.enterAndEnrol(ctx, path, out)
}

func (n *node) Symlink(ctx context.Context, target, name string, out *fuse.EntryOut) (*fs.Inode, syscall.Errno) {
	path := n.child(name)
	direct := func() error {
		if err := syscall.Symlink(target, path); err != nil {
			return err
		}
		return give(ctx, path)
	}
	errno := n.disk.changeNames(direct, func(l *nameLog) error {
		if err := direct(); err != nil {
			return err
		}
		return l.created(path, false)
	})
	if errno != 0 {
		return nil, errno
	}
	return n.enterAndEnrol(ctx, path, out)
}

func (n *node) Link(
	ctx context.Context, target fs.InodeEmbedder, name string, out *fuse.EntryOut,
) (*fs.Inode, syscall.Errno) {
	old, ok := target.(*node)
	if !ok {
		return nil, syscall.EXDEV
	}
	path := n.child(name)
	direct := func() error { return syscall.Link(old.path(), path) }
	errno := n.disk.changeNames(direct, func(l *nameLog) error {
		if err := direct(); err != nil {
			return err
		}
		return l.created(path, false)
	})
	if errno != 0 {
		return nil, errno
	}
	return n.enterAndEnrol(ctx, path, out)
}

func (n *node) Unlink(_ context.Context, name string) syscall.Errno {
	path := n.child(name)
	return n.disk.changeNames(
		func() error { return syscall.Unlink(path) },
		func(l *nameLog) error { return l.remove(path, false) })
}

func (n *node) Rmdir(_ context.Context, name string) syscall.Errno {
	path := n.child(name)
	return n.disk.changeNames(
		func() error { return syscall.Rmdir(path) },
		func(l *nameLog) error {
			entries, err := os.ReadDir(path)
			if err != nil {
				return err
			}
			if len(entries) > 0 {
				return syscall.ENOTEMPTY
			}
			return l.remove(path, true)
		})
}

func (n *node) Rename(
	_ context.Context, name string, newParent fs.InodeEmbedder, newName string, flags uint32,
) syscall.Errno {
	to, ok := newParent.(*node)
	if !ok {
		return syscall.EXDEV
	}
	if flags&^unix.RENAME_NOREPLACE != 0 {
		return syscall.EINVAL
	}
	oldPath, newPath := n.child(name), to.child(newName)
	return n.disk.changeNames(
		func() error {
			return unix.Renameat2(unix.AT_FDCWD, oldPath, unix.AT_FDCWD, newPath, uint(flags))
		},
		func(l *nameLog) error {
			if _, err := inodeOf(newPath); err == nil && flags != 0 {
				return syscall.EEXIST
			}
			return l.rename(oldPath, newPath)
		})
}

func (n *node) Readlink(_ context.Context) ([]byte, syscall.Errno) {
	if errno := n.disk.enter(); errno != 0 {
		return nil, errno
	}
	defer n.disk.mu.Unlock()
	target, err := os.Readlink(n.path())
	return []byte(target), errnoOf(err)
}

func (n *node) Readdir(_ context.Context) (fs.DirStream, syscall.Errno) {
	if errno := n.disk.enter(); errno != 0 {
		return nil, errno
	}
	defer n.disk.mu.Unlock()
	return fs.NewLoopbackDirStream(n.path())
}

func (n *node) Fsync(_ context.Context, fh fs.FileHandle, _ uint32) syscall.Errno {
	if h, ok := fh.(*handle); ok {
		return n.disk.sync(h.inode, h.file)
	}
	return n.disk.syncDir(n.backingInode())
}

func (n *node) backingInode() uint64 {
	if n.IsRoot() {
		inode, _ := inodeOf(n.disk.opts.Backing)
		return inode
	}
	return n.StableAttr().Ino
}

// handle is one open file.
type handle struct {
	disk  *disk
	file  *volatileFile
	inode uint64
	// durable says that every write through this handle is one fsync.
	durable bool
}

func (d *disk) newHandle(path string, flags uint32) (*handle, syscall.Errno) {
	inode, err := inodeOf(path)
	if err != nil {
		return nil, errnoOf(err)
	}
	f, err := d.opened(path)
	if err != nil {
		return nil, errnoOf(err)
	}
	return &handle{disk: d, file: f, inode: inode, durable: flags&(syscall.O_SYNC|syscall.O_DSYNC) != 0}, 0
}

func (h *handle) procPath() string {
	return filepath.Join("/proc/self/fd", strconv.Itoa(int(h.file.back.Fd())))
}

func (h *handle) attr(out *fuse.Attr) syscall.Errno {
	var st syscall.Stat_t
	if err := syscall.Fstat(int(h.file.back.Fd()), &st); err != nil {
		return fs.ToErrno(err)
	}
	out.FromStat(&st)
	h.disk.overlay(h.inode, out)
	return 0
}

func (h *handle) Read(_ context.Context, dest []byte, off int64) (fuse.ReadResult, syscall.Errno) {
	n, errno := h.disk.read(h.file, dest, off)
	if errno != 0 {
		return nil, errno
	}
	return fuse.ReadResultData(dest[:n]), 0
}

func (h *handle) Write(_ context.Context, data []byte, off int64) (uint32, syscall.Errno) {
	n, errno := h.disk.write(h.inode, h.file, data, off, h.durable)
	return uint32(n), errno
}

// Allocate makes the file longer; holes and zeroing are refused, programs then
// write zeros themselves.
func (h *handle) Allocate(_ context.Context, off, size uint64, mode uint32) syscall.Errno {
	if mode&^unix.FALLOC_FL_KEEP_SIZE != 0 {
		return syscall.EOPNOTSUPP
	}
	if errno := h.disk.enter(); errno != 0 {
		return errno
	}
	defer h.disk.mu.Unlock()
	end := int64(off + size)
	if mode == 0 && end > h.file.size {
		if h.disk.faults.Full {
			return syscall.ENOSPC
		}
		h.file.resize(end, time.Now())
	}
	return 0
}

func (h *handle) Release(_ context.Context) syscall.Errno {
	if errno := h.disk.enter(); errno != 0 {
		return 0
	}
	defer h.disk.mu.Unlock()
	h.releaseLocked()
	return 0
}

func (h *handle) releaseLocked() {
	h.file.opens--
	h.disk.settle(h.inode, h.file)
}
