package offline

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

	"dcpos/offline/file"
)

// bookmarkSuffix names the file beside the journal that says how far it had come.
const bookmarkSuffix = "-bookmark"

// bookmark is the last entry that was acknowledged, kept outside the database. SQLite takes
// a frame of the WAL that is not what was written for the end of the WAL, and forgets what
// comes behind it without a word; so one flipped bit there would take acknowledged money
// along. The bookmark is written after the commit's sync has returned and is itself not
// synced: it can be behind the journal, after a power cut for instance, and never be ahead
// of one that is whole.
type bookmark struct {
	place
	hash []byte
}

// line is the bookmark's only form: fixed fields and the first bytes of their SHA-256, so
// that a bookmark which is itself damaged counts as none.
func (b bookmark) line() []byte {
	text := fmt.Sprintf("dcpos-bookmark-1 %010d %020d %x", b.epoch, b.seq, b.hash)
	return fmt.Appendf(nil, "%s %x\n", text, sum(text))
}

func sum(text string) []byte {
	s := sha256.Sum256([]byte(text))
	return s[:8]
}

// maxBookmark is more than a line has.
const maxBookmark = 256

// readBookmark reads the bookmark of the journal at path; false when there is none that
// can be believed.
func readBookmark(path string) (b bookmark, ok bool, err error) {
	f, err := os.Open(path + bookmarkSuffix)
	if errors.Is(err, fs.ErrNotExist) {
		return b, false, nil
	}
	if err != nil {
		return b, false, storage(err)
	}
	defer func() { _ = f.Close() }() // only read from
	raw, err := io.ReadAll(io.LimitReader(f, maxBookmark))
	if err != nil {
		return b, false, storage(err)
	}
	var hash string
	if n, _ := fmt.Sscanf(string(raw), "dcpos-bookmark-1 %d %d %s", &b.epoch, &b.seq, &hash); n != 3 {
		return b, false, nil
	}
	if b.hash, err = hex.DecodeString(hash); err != nil {
		return bookmark{}, false, nil
	}
	return b, bytes.Equal(raw, b.line()), nil
}

// reaches verifies that the journal has the bookmark's entry.
func (b bookmark) reaches(ctx context.Context, db file.Querier, last place) error {
	var hash []byte
	err := db.QueryRowContext(ctx, `SELECT hash FROM journal WHERE epoch = ? AND seq = ?`, b.epoch, int64(b.seq)).Scan(&hash)
	if err == nil && bytes.Equal(hash, b.hash) {
		return nil
	}
	if err == nil {
		return broken(b.place, errors.New("the bookmark beside the file names another entry here"))
	}
	if k, forgot, err := checkpoint(ctx, db); err == nil && forgot && !k.before(b.place) {
		return nil // an old bookmark: its entry is forgotten, behind the centre's receipt
	}
	next := place{last.epoch, last.seq + 1}
	if next.epoch != b.epoch {
		next = place{b.epoch, 1}
	}
	return broken(next, fmt.Errorf("the bookmark beside the file says that epoch %d entry %d was kept: entries at its end are gone", b.epoch, b.seq))
}

// reachesBookmark looks whether the journal at path has its bookmark's entry, without a
// connection that could write: SQLite, when it closes a file, moves into it what it takes for
// the WAL and deletes the rest, which salvage may still want.
func reachesBookmark(ctx context.Context, path string) (err error) {
	b, ok, err := readBookmark(path)
	if err != nil || !ok {
		return err
	}
	if wal, err := os.Stat(path + "-wal"); err != nil || wal.Size() == 0 {
		return nil // nothing can be lost by a look at the whole
	}
	db := file.Pool(path, file.Read, 1)
	defer func() { err = errors.Join(err, db.Close()) }()
	var last place
	err = db.QueryRowContext(ctx, `SELECT epoch, seq FROM journal ORDER BY epoch DESC, seq DESC LIMIT 1`).Scan(&last.epoch, &last.seq)
	if err != nil {
		return nil // what is wrong with it is told by those who open it
	}
	return b.reaches(ctx, db, last)
}

// checkBookmark compares the file with the bookmark that was read before it was opened.
func (c *chain) checkBookmark(ctx context.Context, db file.Querier, b bookmark, ok bool) error {
	if !ok {
		return nil
	}
	return b.reaches(ctx, db, c.at)
}

// keepBookmark writes where the journal ends now. What goes wrong is not an error: the
// entry is kept, and an old bookmark is only less help.
func (s *Store) keepBookmark(ctx context.Context) {
	if s.pages == nil {
		f, err := os.OpenFile(s.cfg.Path+bookmarkSuffix, os.O_CREATE|os.O_RDWR, 0o600)
		if err != nil {
			s.cfg.log().WarnContext(ctx, "no bookmark", "err", err)
			return
		}
		s.pages = f
	}
	if _, err := s.pages.WriteAt(bookmark{s.last.place, s.last.hash}.line(), 0); err != nil {
		s.cfg.log().WarnContext(ctx, "bookmark is not kept", "err", err)
	}
}

// dropBookmark takes away the bookmark of a journal that was here before, durably.
func dropBookmark(path string) error {
	err := os.Remove(path + bookmarkSuffix)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return storage(err)
	}
	return syncDir(filepath.Dir(path))
}

// Suffixes name the files that belong to a journal beside itself: whoever moves it moves
// them first.
func Suffixes() []string { return []string{"-wal", "-shm", bookmarkSuffix} }
