package segment

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"time"
)

// Store keeps immutable objects. It is safe for concurrent use.
type Store interface {
	// ReadAt fills b from position at of an object. An object that is not there is
	// fs.ErrNotExist, one that is too short io.ErrUnexpectedEOF.
	ReadAt(ctx context.Context, name string, b []byte, at int64) error
	// Size is how large an object is, fs.ErrNotExist where there is none.
	Size(ctx context.Context, name string) (int64, error)
	// Put keeps size bytes of content under a name, whole or not at all; an object that is
	// there already stays, and that is no error.
	Put(ctx context.Context, name string, content io.Reader, size int64) error
}

// ErrDamaged is an object that does not hold what its hash promises.
var ErrDamaged = errors.New("the object does not hold what its hash promises")

// validName is a kind and the hash of the content.
var validName = regexp.MustCompile(`^[a-z]{1,16}-[0-9a-f]{64}$`)

// Name is the name of an object of a kind (small letters) with such a hash.
func Name(kind string, hash []byte) string { return kind + "-" + hex.EncodeToString(hash) }

// ReadWhole reads an object whose name's hash is that of its content.
func ReadWhole(ctx context.Context, s Store, name string, most int64) ([]byte, error) {
	size, err := s.Size(ctx, name)
	if err != nil {
		return nil, err
	}
	if size > most {
		return nil, fmt.Errorf("read %s: %d bytes, want at most %d: %w", name, size, most, ErrDamaged)
	}
	b := make([]byte, size)
	if err := s.ReadAt(ctx, name, b, 0); err != nil {
		return nil, err
	}
	if sum := sha256.Sum256(b); len(name) < 2*len(sum) || name[len(name)-2*len(sum):] != hex.EncodeToString(sum[:]) {
		return nil, fmt.Errorf("read %s: %w", name, ErrDamaged)
	}
	return b, nil
}

// Probe puts a small object into a store and reads it back, as a run would.
func Probe(ctx context.Context, s Store) error {
	content := []byte("dcpos probe\n")
	sum := sha256.Sum256(content)
	name := Name("probe", sum[:])
	if err := s.Put(ctx, name, bytes.NewReader(content), int64(len(content))); err != nil {
		return err
	}
	_, err := ReadWhole(ctx, s, name, int64(len(content)))
	return err
}

// Folder is a store in a directory, on a disk of this machine or one that machines share.
// What it holds can be made again, so that nothing waits for the disk: after a power cut an
// object may be missing or short, which its size or its hash tells.
type Folder string

func (f Folder) path(name string) (string, error) {
	if !validName.MatchString(name) {
		return "", fmt.Errorf("%q is no object's name", name)
	}
	// Two levels, so that no directory has a hundred thousand entries.
	at := len(name) - 2*sha256.Size
	return filepath.Join(string(f), name[:at-1], name[at:at+2], name), nil
}

// ReadAt implements Store.
func (f Folder) ReadAt(_ context.Context, name string, b []byte, at int64) error {
	path, err := f.path(name)
	if err != nil {
		return err
	}
	file, err := os.Open(path)
	if err != nil {
		return err
	}
	defer func() { _ = file.Close() }()
	return readAt(file, name, b, at)
}

// Size implements Store.
func (f Folder) Size(_ context.Context, name string) (int64, error) {
	path, err := f.path(name)
	if err != nil {
		return 0, err
	}
	info, err := os.Stat(path)
	if err != nil {
		return 0, err
	}
	return info.Size(), nil
}

// Put implements Store. An object of another size, cut short by a loss of power, is replaced.
func (f Folder) Put(ctx context.Context, name string, content io.Reader, size int64) error {
	path, err := f.path(name)
	if err != nil {
		return err
	}
	if have, err := f.Size(ctx, name); err == nil && have == size {
		return nil
	}
	dir := filepath.Dir(path)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("keep %s: %w", name, err)
	}
	tmp, err := os.CreateTemp(dir, ".part-*")
	if err != nil {
		return fmt.Errorf("keep %s: %w", name, err)
	}
	defer func() { _ = os.Remove(tmp.Name()) }() // gone after the rename
	n, err := io.Copy(tmp, content)
	if err == nil && n != size {
		err = fmt.Errorf("%d bytes, want %d: %w", n, size, ErrDamaged)
	}
	if err = errors.Join(err, tmp.Close()); err == nil {
		err = os.Rename(tmp.Name(), path)
	}
	if err != nil {
		return fmt.Errorf("keep %s: %w", name, err)
	}
	return nil
}

// Begin makes a file for Adopt.
func (f Folder) Begin() (*os.File, error) {
	if err := os.MkdirAll(string(f), 0o700); err != nil {
		return nil, fmt.Errorf("begin an object: %w", err)
	}
	return os.CreateTemp(string(f), ".part-*")
}

// Adopt gives a file that Begin made an object's name and closes it.
func (f Folder) Adopt(name string, file *os.File) error {
	path, err := f.path(name)
	if err == nil {
		err = os.MkdirAll(filepath.Dir(path), 0o700)
	}
	if err = errors.Join(err, file.Close()); err == nil {
		err = os.Rename(file.Name(), path) // whoever has made it too has made the same
	}
	if err != nil {
		return fmt.Errorf("keep %s: %w", name, err)
	}
	return nil
}

// Notes are small values by name of which the first that is kept stays, in a directory: what
// has been done, and with which outcome. As with Folder nothing waits for the disk; a note
// that was cut short is none.
type Notes string

// noteEnd ends a note that is whole.
const noteEnd = '\n'

func (n Notes) path(key string) (string, error) {
	if !validName.MatchString(key) {
		return "", fmt.Errorf("%q is no note's name", key)
	}
	return filepath.Join(string(n), key[:len(key)-2*sha256.Size-1], key), nil
}

// Load returns a note, nil where there is none.
func (n Notes) Load(_ context.Context, key string) ([]byte, error) {
	path, err := n.path(key)
	if err != nil {
		return nil, err
	}
	b, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) || err == nil && (len(b) == 0 || b[len(b)-1] != noteEnd) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return b[:len(b)-1], nil
}

// Keep writes a note unless there is one, and returns the one that stays.
func (n Notes) Keep(ctx context.Context, key string, value []byte) ([]byte, error) {
	path, err := n.path(key)
	if err != nil {
		return nil, err
	}
	dir := filepath.Dir(path)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("keep %s: %w", key, err)
	}
	tmp, err := os.CreateTemp(dir, ".part-*")
	if err != nil {
		return nil, fmt.Errorf("keep %s: %w", key, err)
	}
	defer func() { _ = os.Remove(tmp.Name()) }()
	_, err = tmp.Write(append(append([]byte(nil), value...), noteEnd))
	if err = errors.Join(err, tmp.Close()); err != nil {
		return nil, fmt.Errorf("keep %s: %w", key, err)
	}
	// A link fails where a name exists: the first one stays.
	err = os.Link(tmp.Name(), path)
	if errors.Is(err, fs.ErrExist) {
		kept, err := n.Load(ctx, key)
		if kept != nil || err != nil {
			return kept, err
		}
		return value, os.Rename(tmp.Name(), path) // there was half of one
	}
	if err != nil {
		return nil, fmt.Errorf("keep %s: %w", key, err)
	}
	return value, nil
}

// Sweep removes objects and notes below a folder that were last written before then. A step
// whose object is gone is done again. What others are named by, the depot's key, stays.
func Sweep(folder string, before time.Time) error {
	err := filepath.WalkDir(folder, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || strings.HasPrefix(d.Name(), "secret-") {
			return err
		}
		info, err := d.Info()
		if err == nil && info.ModTime().Before(before) {
			err = os.Remove(path)
		}
		if errors.Is(err, fs.ErrNotExist) {
			return nil // another one was quicker
		}
		return err
	})
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("sweep segments: %w", err)
	}
	return nil
}
