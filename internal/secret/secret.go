// Package secret keeps files that only their owner may read, whole or not at all.
package secret

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// Loose is returned for a secret that others than its owner can read.
type Loose struct {
	Path string
	Mode fs.FileMode
}

// Error names file and mode, and what is wanted.
func (l *Loose) Error() string {
	return fmt.Sprintf("%s has mode %04o, want 0600", l.Path, l.Mode.Perm())
}

// Load reads the file, making it durably with what create gives where there is none.
func Load(path string, create func() ([]byte, error)) ([]byte, error) {
	info, err := os.Stat(path)
	switch {
	case err == nil && info.Mode().Perm()&0o077 != 0:
		return nil, &Loose{Path: path, Mode: info.Mode()}
	case err == nil:
		return os.ReadFile(path)
	case !errors.Is(err, fs.ErrNotExist):
		return nil, err
	}
	b, err := create()
	if err != nil {
		return nil, fmt.Errorf("make %s: %w", filepath.Base(path), err)
	}
	return b, Save(path, b)
}

// Save puts the file in place by rename, fsynced with its folder, mode 0600: a power
// cut leaves the old file or the new one.
func Save(path string, b []byte) error {
	folder := filepath.Dir(path)
	tmp, err := os.CreateTemp(folder, "."+filepath.Base(path)+"-*") // mode 0600
	if err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	defer func() { _ = os.Remove(tmp.Name()) }() // gone after the rename
	_, err = tmp.Write(b)
	err = errors.Join(err, tmp.Sync(), tmp.Close())
	if err == nil {
		err = os.Rename(tmp.Name(), path)
	}
	if err == nil {
		err = syncFolder(folder)
	}
	if err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	return nil
}

func syncFolder(folder string) error {
	d, err := os.Open(folder)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
