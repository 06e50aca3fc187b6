package guest

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"regexp"
)

// archive writes the file system that the kernel unpacks into its memory: cpio in the
// format "newc" (Documentation/driver-api/early-userspace/buffer-format.rst).
type archive struct {
	w     *bufio.Writer
	inode int
	there map[string]bool
	err   error
}

const (
	modeFolder = 0o040755
	modeFile   = 0o100755
)

func newArchive(w io.Writer) *archive {
	return &archive{w: bufio.NewWriterSize(w, 1<<20), there: map[string]bool{}}
}

// header writes one entry's name; content of size bytes must follow, then pad.
func (a *archive) header(name string, mode, size int) {
	a.inode++
	_, err := fmt.Fprintf(a.w, "070701%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%s\x00",
		a.inode, mode, 0, 0, 1, 0, size, 0, 0, 0, 0, len(name)+1, 0, name)
	a.err = errors.Join(a.err, err)
	a.pad(110 + len(name) + 1)
}

// pad fills up to a multiple of four.
func (a *archive) pad(n int) {
	_, err := a.w.Write(make([]byte, (4-n%4)%4))
	a.err = errors.Join(a.err, err)
}

// folders makes the folders above a path.
func (a *archive) folders(name string) {
	dir := path.Dir(name)
	if dir == "." || dir == "/" || a.there[dir] {
		return
	}
	a.folders(dir)
	a.there[dir] = true
	a.header(dir, modeFolder, 0)
}

// bytes adds a file.
func (a *archive) bytes(name string, content []byte) {
	a.folders(name)
	a.there[name] = true
	a.header(name, modeFile, len(content))
	_, err := a.w.Write(content)
	a.err = errors.Join(a.err, err)
	a.pad(len(content))
}

// copy adds a file of this machine, once.
func (a *archive) copy(name, from string) error {
	if a.there[name] {
		return nil
	}
	a.folders(name)
	a.there[name] = true
	f, err := os.Open(from) //nolint:gosec // the caller's files
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }() // only read from
	about, err := f.Stat()
	if err != nil {
		return err
	}
	a.header(name, modeFile, int(about.Size()))
	n, err := io.CopyN(a.w, f, about.Size())
	a.pad(int(n))
	return err
}

// program adds a program with its libraries.
func (a *archive) program(ctx context.Context, name, from string) error {
	if err := a.copy(name, from); err != nil {
		return err
	}
	needs, err := libraries(ctx, from)
	if err != nil {
		return err
	}
	for _, l := range needs {
		if err := a.copy(l[1:], l); err != nil {
			return err
		}
	}
	return nil
}

// close ends the archive.
func (a *archive) close() error {
	a.header("TRAILER!!!", 0, 0)
	return errors.Join(a.err, a.w.Flush())
}

var library = regexp.MustCompile(`(?m)^\s*(?:\S+ => )?(/\S+) \(0x`)

// libraries are the shared libraries of a program, and the loader, as ldd finds them.
func libraries(ctx context.Context, program string) (list []string, err error) {
	out, err := run(ctx, "", "ldd", program)
	if err != nil {
		return nil, err
	}
	for _, m := range library.FindAllSubmatch(out, -1) {
		list = append(list, string(m[1]))
	}
	return list, nil
}
