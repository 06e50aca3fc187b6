package reconcile

import (
	"bufio"
	"bytes"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"unicode/utf8"

	"dcpos/central/reconcile/spill"
)

// The results, in the order in which they appear in the directory: the summary is
// taken away first and put back last, so that where it stands the others belong to it.
const (
	breaksFile  = "breaks.csv"
	totalsFile  = "totals.csv"
	planFile    = "plan.json"
	summaryFile = "summary.json"
)

// staging is a directory beside (or, where DIR exists, inside) the results' place: on
// the same file system, so that a rename finishes the work.
type staging struct {
	out     string
	dir     string
	made    []string // parents that were made, deepest first
	fresh   bool     // out did not exist
	rejects string   // the reject file's final name, "" for none or one that moves with dir
	partial string   // where the reject file is written meanwhile
}

func stage(out, rejects string) (*staging, error) {
	s := &staging{out: filepath.Clean(out)}
	if rejects != "" {
		s.rejects = filepath.Clean(rejects)
	}
	base := s.out
	info, err := os.Stat(s.out)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		s.fresh = true
		base = filepath.Dir(s.out)
		if err := s.parents(base); err != nil {
			s.abandon()
			return nil, err
		}
	case err != nil:
		return nil, fmt.Errorf("open the results' directory: %w", err)
	case !info.IsDir():
		return nil, fmt.Errorf("write results: %s is not a directory", s.out)
	}
	if s.dir, err = os.MkdirTemp(base, ".reconcile-*"); err != nil {
		s.abandon()
		return nil, fmt.Errorf("make the results' directory: %w", err)
	}
	if rejects == "" {
		return s, nil
	}
	if err := s.stageRejects(); err != nil {
		s.abandon()
		return nil, err
	}
	return s, nil
}

// stageRejects chooses where the reject file is written meanwhile: beside its place,
// or in the staging directory when its place is the new directory of the results.
func (s *staging) stageRejects() error {
	dir := filepath.Dir(s.rejects)
	if s.fresh && dir == s.out {
		s.partial = filepath.Join(s.dir, filepath.Base(s.rejects))
		s.rejects = ""
		return nil
	}
	if err := s.parents(dir); err != nil {
		return err
	}
	f, err := os.CreateTemp(dir, ".rejects-*")
	if err != nil {
		return fmt.Errorf("make the reject file: %w", err)
	}
	s.partial = f.Name()
	return f.Close()
}

// parents makes missing parents and remembers them.
func (s *staging) parents(dir string) error {
	for at := dir; ; at = filepath.Dir(at) {
		if _, err := os.Stat(at); err == nil || at == filepath.Dir(at) {
			break
		}
		s.made = append(s.made, at)
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return fmt.Errorf("make the results' directory: %w", err)
	}
	return nil
}

// abandon removes everything that is not finished; after commit it does nothing.
func (s *staging) abandon() {
	if s.dir != "" {
		_ = os.RemoveAll(s.dir)
	}
	if s.partial != "" {
		_ = os.Remove(s.partial)
	}
	for _, dir := range s.made {
		_ = os.Remove(dir) // only an empty one goes
	}
}

// writeFile writes one result and puts it on the disk.
func writeFile(path string, write func(w *bufio.Writer) error) error {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o644)
	if err != nil {
		return fmt.Errorf("write results: %w", err)
	}
	w := bufio.NewWriterSize(f, 64<<10)
	err = write(w)
	if err == nil {
		err = w.Flush()
	}
	if err == nil {
		err = f.Sync()
	}
	if closed := f.Close(); err == nil {
		err = closed
	}
	if err != nil {
		return fmt.Errorf("write %s: %w", filepath.Base(path), err)
	}
	return nil
}

func (s *staging) writeSummary(summary *Summary) error {
	return writeFile(filepath.Join(s.dir, summaryFile), func(w *bufio.Writer) error {
		e := json.NewEncoder(w)
		e.SetIndent("", " ")
		e.SetEscapeHTML(false)
		return e.Encode(summary)
	})
}

// commit puts the results in their place.
func (s *staging) commit() error {
	if s.rejects != "" {
		if err := os.Chmod(s.partial, 0o644); err != nil {
			return fmt.Errorf("write the reject file: %w", err)
		}
		if err := os.Rename(s.partial, s.rejects); err != nil {
			return fmt.Errorf("write the reject file: %w", err)
		}
	}
	if err := s.move(); err != nil {
		return fmt.Errorf("write results: %w", err)
	}
	s.made = nil
	return nil
}

func (s *staging) move() error {
	if s.fresh {
		if err := os.Chmod(s.dir, 0o755); err != nil {
			return err
		}
		if err := os.Rename(s.dir, s.out); err != nil {
			return err
		}
		return syncDir(filepath.Dir(s.out))
	}
	err := os.Remove(filepath.Join(s.out, summaryFile))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	for _, name := range []string{breaksFile, totalsFile, planFile, summaryFile} {
		if name == summaryFile {
			if err := syncDir(s.out); err != nil {
				return err
			}
		}
		if err := os.Rename(filepath.Join(s.dir, name), filepath.Join(s.out, name)); err != nil {
			return err
		}
	}
	return syncDir(s.out)
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	err = d.Sync()
	return errors.Join(err, d.Close())
}

// write writes all results but the summary, which it returns.
func (r *run) write(out *staging) (Summary, error) {
	summary, err := r.tally.summary()
	if err != nil {
		return Summary{}, err
	}
	breaks := make(chan error, 1) // what the disk takes long for is done at once
	go func() {
		breaks <- writeFile(filepath.Join(out.dir, breaksFile), func(w *bufio.Writer) error {
			return writeBreaks(w, r.breaks)
		})
	}()
	err = writeFile(filepath.Join(out.dir, totalsFile), func(w *bufio.Writer) error {
		var all total
		if summary.ByBank, all, err = writeTotals(w, r.totals); err != nil {
			return err
		}
		return all.proves(&r.tally.read)
	})
	if first := <-breaks; first != nil {
		return Summary{}, first
	}
	if err != nil {
		return Summary{}, err
	}
	summary.Shards = r.plan.shards()
	r.plan.SpilledBytes = r.store.Spilled()
	err = writeFile(filepath.Join(out.dir, planFile), func(w *bufio.Writer) error {
		b, err := r.plan.encode()
		if err != nil {
			return err
		}
		_, err = w.Write(append(b, '\n'))
		return err
	})
	if err != nil {
		return Summary{}, err
	}
	if out.partial == "" {
		return summary, nil
	}
	return summary, writeFile(out.partial, func(w *bufio.Writer) error { return r.writeRejects(w, r.rejects) })
}

// Reject is one line of the reject file.
type Reject struct {
	Side   string `json:"side"` // ours or theirs
	File   string `json:"file"`
	Line   int64  `json:"line"`
	Number int    `json:"column,omitempty"` // from 1
	Column string `json:"name,omitempty"`
	Why    string `json:"why"`
	WhyZH  string `json:"why_zh"`
	// Text is the line as it stood, its first 4 KiB; Base64 instead where it is not UTF-8.
	Text   string `json:"text,omitempty"`
	Base64 string `json:"base64,omitempty"`
}

func (r *run) writeRejects(w *bufio.Writer, sorter *spill.Sorter) error {
	v := newView()
	e := json.NewEncoder(w)
	e.SetEscapeHTML(false)
	return sorter.Sorted(func(key, value []byte) error {
		side := int(key[0])
		in, number, _, err := r.lineAt(side, place(binary.BigEndian.Uint64(key[1:])), v)
		if err != nil {
			return err
		}
		parts := bytes.SplitN(value, []byte{0}, 5)
		reject := Reject{
			Side: sideName(side), File: in.Path, Line: number,
			Column: string(parts[1]), Why: string(parts[2]), WhyZH: string(parts[3]),
		}
		if reject.Number, err = strconv.Atoi(string(parts[0])); err != nil {
			return err
		}
		if utf8.Valid(parts[4]) {
			reject.Text = string(parts[4])
		} else {
			reject.Base64 = base64.StdEncoding.EncodeToString(parts[4])
		}
		return e.Encode(reject)
	})
}
