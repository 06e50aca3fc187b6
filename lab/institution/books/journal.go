package books

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sync"
)

// journal is one institution's append-only file: a JSON event per line. A line is
// durable once sync has returned; what was not synced was never answered.
type journal struct {
	file      *os.File
	unflushed bool // sync leaves the file to the system

	mu      sync.Mutex // guards written and broken
	written int64
	broken  error

	syncing sync.Mutex // held over fsync, so that many waiters share one
	synced  int64
}

// openJournal replays the file into apply and opens it for appending. A last line
// without its newline is the remains of a kill: nobody was answered, so it is cut off.
func openJournal(path string, apply func(event) error, unflushed bool) (*journal, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open books: %w", err)
	}
	whole, err := replay(f, apply)
	if err == nil {
		err = errors.Join(f.Truncate(whole), f.Sync(), syncDir(filepath.Dir(path)))
	}
	if err == nil {
		_, err = f.Seek(whole, io.SeekStart)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("open books %s: %w", filepath.Base(path), err), f.Close())
	}
	return &journal{file: f, unflushed: unflushed}, nil
}

func replay(r io.Reader, apply func(event) error) (whole int64, err error) {
	in := bufio.NewReaderSize(r, 1<<16)
	for n := 1; ; n++ {
		line, err := in.ReadBytes('\n')
		if errors.Is(err, io.EOF) {
			return whole, nil
		}
		if err != nil {
			return whole, fmt.Errorf("read line %d: %w", n, err)
		}
		var e event
		if err := json.Unmarshal(line, &e); err != nil {
			return whole, fmt.Errorf("line %d: %w", n, err)
		}
		if err := apply(e); err != nil {
			return whole, fmt.Errorf("line %d: %w", n, err)
		}
		whole += int64(len(line))
	}
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return fmt.Errorf("open folder: %w", err)
	}
	return errors.Join(d.Sync(), d.Close())
}

// append writes one event; the caller holds the books' lock, so that the order of
// lines is the order of events. After an error nothing is ever appended again: half
// a line may be in the file.
func (j *journal) append(e event) error {
	line, err := json.Marshal(e)
	if err != nil {
		return fmt.Errorf("encode event: %w", err)
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.broken != nil {
		return j.broken
	}
	if _, err := j.file.Write(append(line, '\n')); err != nil {
		j.broken = fmt.Errorf("append to books: %w", err)
		return j.broken
	}
	j.written++
	return nil
}

func (j *journal) state() (int64, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.written, j.broken
}

// sync returns when everything appended before the call is on the disk.
func (j *journal) sync() error {
	want, err := j.state()
	if err != nil || j.unflushed {
		return err
	}
	j.syncing.Lock()
	defer j.syncing.Unlock()
	if j.synced >= want {
		return nil
	}
	upTo, err := j.state()
	if err != nil {
		return err
	}
	if err := j.file.Sync(); err != nil {
		j.mu.Lock()
		defer j.mu.Unlock()
		j.broken = fmt.Errorf("sync books: %w", err)
		return j.broken
	}
	j.synced = upTo
	return nil
}

func (j *journal) close() error {
	err := j.sync()
	if j.unflushed {
		err = errors.Join(err, j.file.Sync())
	}
	return errors.Join(err, j.file.Close())
}
