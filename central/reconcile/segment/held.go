package segment

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
)

// mostHeld is how many files are held open.
const mostHeld = 512

// Held is a folder whose objects stay open once they are read: joining reads every segment once
// for each shard. It is safe for concurrent use.
type Held struct {
	Folder
	mu    sync.RWMutex // held while a file is read, so that none is closed then
	files map[string]*os.File
}

// Hold holds open what is read of a folder, until the closer is asked; any other store is given
// back as it is.
func Hold(s Store) (Store, io.Closer) {
	folder, ok := s.(Folder)
	if !ok {
		return s, io.NopCloser(nil)
	}
	h := &Held{Folder: folder, files: map[string]*os.File{}}
	return h, h
}

// ReadAt implements Store.
func (h *Held) ReadAt(_ context.Context, name string, b []byte, at int64) error {
	if held, err := h.readHeld(name, b, at); held {
		return err
	}
	path, err := h.path(name)
	if err != nil {
		return err
	}
	file, err := os.Open(path)
	if err != nil {
		return err
	}
	err = readAt(file, name, b, at)
	return errors.Join(err, h.hold(name, file))
}

func (h *Held) readHeld(name string, b []byte, at int64) (held bool, err error) {
	h.mu.RLock()
	defer h.mu.RUnlock()
	file := h.files[name]
	if file == nil {
		return false, nil
	}
	return true, readAt(file, name, b, at)
}

// hold keeps a file. When there are too many any one is closed: segments are read in turns, so that the
// one that was read longest ago is just the next to be needed.
func (h *Held) hold(name string, file *os.File) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.files[name] != nil {
		return file.Close()
	}
	var err error
	if len(h.files) >= mostHeld {
		err = h.closeAny()
	}
	h.files[name] = file
	return err
}

// Put implements Store.
func (h *Held) Put(ctx context.Context, name string, content io.Reader, size int64) error {
	return errors.Join(h.Folder.Put(ctx, name, content, size), h.forget(name))
}

// Adopt is Folder's.
func (h *Held) Adopt(name string, file *os.File) error {
	return errors.Join(h.Folder.Adopt(name, file), h.forget(name))
}

// forget closes an object that may have been damaged and made again.
func (h *Held) forget(name string) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	file := h.files[name]
	if file == nil {
		return nil
	}
	delete(h.files, name)
	return file.Close()
}

func (h *Held) closeAny() error {
	for name, file := range h.files {
		delete(h.files, name)
		return file.Close()
	}
	return nil
}

func (h *Held) closeAll() error {
	var errs []error
	for _, file := range h.files {
		errs = append(errs, file.Close())
	}
	clear(h.files)
	return errors.Join(errs...)
}

// Close closes what is held; what is read afterwards is held again.
func (h *Held) Close() error {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.closeAll()
}

func readAt(file *os.File, name string, b []byte, at int64) error {
	n, err := file.ReadAt(b, at)
	if n == len(b) {
		return nil
	}
	if errors.Is(err, io.EOF) {
		err = io.ErrUnexpectedEOF
	}
	return fmt.Errorf("read %s: %w", name, err)
}
