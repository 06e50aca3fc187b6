package offline

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"

	"dcpos/pos"
)

// errClosed is why a closed store refuses to write.
var errClosed = errors.New("journal is closed")

// probeSize is what a medium must take before a failed store writes again: more than any
// sale with its receipts, so that a disk that is nearly full is not called well.
const probeSize = 256 << 10

// metaProbe is written and taken away again by Heal.
const metaProbe = "store.probe"

// Heal tries to make a store write again that has failed. Nothing of what failed is
// written again: the decision that got pos.ErrStorage stays refused. What the file holds is
// made durable anew, the connections are replaced, the file is examined as Open does, and
// the medium must take a probe. An error leaves the store as it was: failed. A store that
// has not failed is a success at once; a closed one never heals.
func (s *Store) Heal(ctx context.Context) error {
	select {
	case s.turn <- struct{}{}:
	case <-ctx.Done():
		return ctx.Err()
	}
	defer func() { <-s.turn }()
	failed := s.Failed()
	if failed == nil || errors.Is(failed, errClosed) {
		return failed
	}
	if err := s.settle(ctx); err != nil {
		return fmt.Errorf("heal journal: %w", err)
	}
	if err := s.reconnect(ctx); err != nil {
		return fmt.Errorf("heal journal: %w", err)
	}
	settled, examined, probed := s.settle(ctx), s.examine(ctx), s.probe(ctx)
	if err := errors.Join(settled, probed, examined); err != nil { // in this order: what is read from a disk that is not well says nothing about the chain
		return fmt.Errorf("heal journal: %w", err)
	}
	s.failed.Store(nil)
	return nil
}

// settle writes the WAL's bytes anew where they are, and syncs them. After a failed fsync a
// page cache may show bytes that are on no disk and that no later fsync writes, for they
// count as clean (ext4); whatever is committed behind them would be lost with them. The
// write lock is held, so that nobody adds to the WAL meanwhile.
func (s *Store) settle(ctx context.Context) error {
	tx, err := s.writer.BeginTx(ctx, nil)
	if err != nil {
		return storage(err)
	}
	defer tx.Rollback() // nothing was changed
	if err := rewrite(s.cfg.Path + "-wal"); err != nil {
		return pos.NewError(pos.ErrStorage, err)
	}
	return nil
}

// rewrite makes every page of a file dirty and syncs it. No file is well, too.
func rewrite(path string) (err error) {
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	b := make([]byte, 1<<20)
	for at := int64(0); ; {
		n, err := f.ReadAt(b, at)
		if err != nil && !errors.Is(err, io.EOF) {
			return err
		}
		if n == 0 {
			return f.Sync()
		}
		if _, err := f.WriteAt(b[:n], at); err != nil {
			return err
		}
		at += int64(n)
	}
}

// reconnect replaces the writer's connection and the idle ones of the readers; a reader at
// work ends in peace and is not used again.
func (s *Store) reconnect(ctx context.Context) error {
	_ = s.writer.Close() // it has failed; what it says now changes nothing
	for _, db := range s.pools {
		db.SetMaxIdleConns(-1) // closes what is idle
	}
	s.reader.SetMaxIdleConns(readers)
	writers := s.pools[1]
	writers.SetMaxIdleConns(1)
	w, err := writers.Conn(ctx)
	if err != nil {
		return storage(err)
	}
	s.writer = w
	return nil
}

// probe asks the medium to take more than a sale needs, twice synced.
func (s *Store) probe(ctx context.Context) error {
	for _, write := range []func(tx *sql.Tx) error{
		func(tx *sql.Tx) error { return setMeta(ctx, tx, metaProbe, strings.Repeat("-", probeSize)) },
		func(tx *sql.Tx) error {
			_, err := tx.ExecContext(ctx, `DELETE FROM meta WHERE key = ?`, metaProbe)
			return err
		},
	} {
		tx, err := s.writer.BeginTx(ctx, nil)
		if err != nil {
			return storage(err)
		}
		if err := write(tx); err != nil {
			return storage(errors.Join(err, tx.Rollback()))
		}
		if err := tx.Commit(); err != nil {
			return storage(err)
		}
	}
	return nil
}
