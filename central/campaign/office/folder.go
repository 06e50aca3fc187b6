package office

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"dcpos/central/campaign/draw"
)

// shown is how many records the folder tells of: no move of the waiting list before it is
// witnessed, so that a bundle always verifies.
func (c Campaign) shown() int64 {
	n := min(int64(len(c.Log.Records)), int64(c.Version)+2)
	for seen := range c.Seen {
		n = max(n, seen)
	}
	return n
}

// tidy lays the folder and, where a bundle was sealed in it, seals it with what is new. A folder
// that was found to be right and whose files have the same sizes and times is not read again.
func (o *Office) tidy(c Campaign) error {
	name := c.Definition.Name
	o.mu.Lock()
	right := o.tidied[name]
	o.mu.Unlock()
	if right != "" && right == o.look(c) {
		return nil
	}
	if err := o.mend(c); err != nil {
		return err
	}
	now := o.look(c)
	o.mu.Lock()
	o.tidied[name] = now
	o.mu.Unlock()
	return nil
}

// look is the folder at a glance: what it must tell of, and each file's size and time; empty
// where it cannot be read.
func (o *Office) look(c Campaign) string {
	files, err := os.ReadDir(o.Dir(c.Definition.Name))
	if err != nil {
		return ""
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%s %d %d\n", c.Hash, c.shown(), len(c.Checkpoints))
	for _, f := range files {
		info, err := f.Info()
		if err != nil {
			return ""
		}
		fmt.Fprintf(&b, "%s %d %d\n", f.Name(), info.Size(), info.ModTime().UnixNano())
	}
	return b.String()
}

// mend makes the folder right.
func (o *Office) mend(c Campaign) error {
	dir := o.Dir(c.Definition.Name)
	if _, err := os.Stat(filepath.Join(dir, draw.ManifestFile)); err != nil || draw.Sealed(dir) && !o.stale(c) {
		return o.lay(c)
	}
	return o.seal(c)
}

// stale reports that the folder does not tell of the last record yet.
func (o *Office) stale(c Campaign) bool {
	_, err := os.Stat(filepath.Join(o.Dir(c.Definition.Name), draw.CheckpointFile(c.shown())))
	return err != nil
}

// seal lays the folder and signs what is there.
func (o *Office) seal(c Campaign) error {
	o.folder.Lock()
	defer o.folder.Unlock()
	if err := o.layAll(c); err != nil {
		return err
	}
	return draw.Seal(o.Dir(c.Definition.Name), o.cfg.Desk.Publisher)
}

// lay puts into the campaign's folder what may be known now: terms, log, checkpoints.
func (o *Office) lay(c Campaign) error {
	o.folder.Lock()
	defer o.folder.Unlock()
	return o.layAll(c)
}

func (o *Office) layAll(c Campaign) error {
	dir := o.Dir(c.Definition.Name)
	if err := os.MkdirAll(dir, 0o755); err != nil { //nolint:gosec // it is published
		return fmt.Errorf("folder of campaign: %w", err)
	}
	shown := draw.Log{Records: c.Log.Records[:c.shown()]}
	lines, err := shown.Encode()
	if err != nil {
		return err
	}
	files := map[string][]byte{draw.TermsFile: c.TermsText, draw.LogFile: lines}
	for _, e := range c.Former {
		files[draw.FormerTermsFile(int64(e.Version))] = e.TermsText
	}
	for n, text := range c.Checkpoints {
		files[draw.CheckpointFile(n)] = text
	}
	for name, b := range files {
		if have, err := os.ReadFile(filepath.Join(dir, name)); err == nil && bytes.Equal(have, b) { //nolint:gosec // our folder
			continue
		}
		if err := put(dir, name, func(f *os.File) error { _, err := f.Write(b); return err }); err != nil {
			return err
		}
	}
	return nil
}

// put writes a file that is whole or absent. Its temporary name is one that no bundle
// counts.
func put(dir, name string, write func(f *os.File) error) error {
	tmp, err := os.CreateTemp(dir, "."+name+"-*")
	if err != nil {
		return fmt.Errorf("write %s: %w", name, err)
	}
	err = write(tmp)
	err = errors.Join(err, tmp.Chmod(0o644), tmp.Sync(), tmp.Close())
	if err == nil {
		err = os.Rename(tmp.Name(), filepath.Join(dir, name))
	}
	if err != nil {
		return errors.Join(fmt.Errorf("write %s: %w", name, err), os.Remove(tmp.Name()))
	}
	return nil
}

// sweep removes what a killed process left half written.
func sweep(dir string) error {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return fmt.Errorf("folder of campaign: %w", err)
	}
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), ".") && strings.Contains(e.Name(), "-") {
			if err := os.Remove(filepath.Join(dir, e.Name())); err != nil && !errors.Is(err, fs.ErrNotExist) {
				return fmt.Errorf("folder of campaign: %w", err)
			}
		}
	}
	return nil
}

// entries writes entries.csv, where it is not there or anew is wanted, and reads it back.
func (o *Office) entries(ctx context.Context, c Campaign, by string, anew bool) (draw.List, error) {
	dir := o.Dir(c.Definition.Name)
	path := filepath.Join(dir, draw.EntriesFile)
	if _, err := os.Stat(path); anew || errors.Is(err, fs.ErrNotExist) {
		desk, err := o.desk(c.Published)
		if err != nil {
			return draw.List{}, err
		}
		if err := put(dir, draw.EntriesFile, func(f *os.File) error { return desk.Freeze(ctx, f, by) }); err != nil {
			return draw.List{}, err
		}
	}
	f, err := os.Open(path) //nolint:gosec // our folder
	if err != nil {
		return draw.List{}, fmt.Errorf("read list: %w", err)
	}
	defer func() { _ = f.Close() }() // read only
	return draw.ReadList(f, c.Terms)
}
