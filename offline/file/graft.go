package file

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
)

// pageSize is SQLite's default and that of every file this program makes.
const pageSize = 4096

// Graft copies a file whose first page (header and schema) cannot be read into dir and gives the copy the
// first page of a new file: the same migrations put the tables at the same pages. The original is only
// read. Whether anything can be read from the copy is for the caller to see.
func Graft(ctx context.Context, path, dir string) (string, error) {
	page, err := firstPage(ctx, filepath.Join(dir, "new.db"))
	if err != nil {
		return "", fmt.Errorf("graft: %w", err)
	}
	to := filepath.Join(dir, "grafted.db")
	size, err := duplicate(path, to)
	if err != nil {
		return "", fmt.Errorf("graft: %w", err)
	}
	// Database header (sqlite.org/fileformat.html §1.3): offset 28 is the file's size in pages.
	binary.BigEndian.PutUint32(page[28:], uint32(max(size/pageSize, 1)))
	f, err := os.OpenFile(to, os.O_WRONLY, 0)
	if err != nil {
		return "", fmt.Errorf("graft: %w", err)
	}
	_, err = f.WriteAt(page, 0)
	if err := errors.Join(err, f.Close()); err != nil {
		return "", fmt.Errorf("graft: %w", err)
	}
	return to, nil
}

// firstPage makes an empty file of the current schema and reads its first page.
func firstPage(ctx context.Context, path string) ([]byte, error) {
	schema, err := Current()
	if err != nil {
		return nil, err
	}
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		return nil, err
	}
	db := Pool(path, Write, 1)
	conn, err := db.Conn(ctx)
	if err != nil {
		return nil, errors.Join(err, db.Close())
	}
	err = schema.Migrate(ctx, conn, true)
	if err := errors.Join(err, conn.Close(), db.Close()); err != nil {
		return nil, err
	}
	b, err := os.ReadFile(path)
	if err != nil || len(b) < pageSize {
		return nil, errors.Join(err, fmt.Errorf("new file has %d bytes", len(b)))
	}
	return b[:pageSize], nil
}

func duplicate(from, to string) (size int64, err error) {
	in, err := os.Open(from)
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, in.Close()) }()
	out, err := os.OpenFile(to, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return 0, err
	}
	size, err = io.Copy(out, in)
	return size, errors.Join(err, out.Close())
}
