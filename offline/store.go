package offline

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"dcpos/offline/file"
	"dcpos/pos"
	"dcpos/pos/dcep"
)

// readers bounds the connections that read beside the writer.
const readers = 4

// Config says which file, whose key and which terminal.
type Config struct {
	Path string
	// Signer is the terminal's key. With nil the file can be read, sent and
	// acknowledged, and only OpenEpoch can write entries.
	Signer   dcep.Signer
	Env      pos.Environment
	Terminal string
	// Centre verifies the receipts that the file keeps; nil takes them as they stand.
	Centre dcep.Verifier
	// Reserve is the free space below which no payment is begun; 0 asks for none.
	Reserve uint64
	Log     *slog.Logger // nil discards
}

func (c Config) log() *slog.Logger {
	if c.Log == nil {
		return slog.New(slog.DiscardHandler)
	}
	return c.Log
}

// Store is the open journal of one till. All methods are safe for concurrent use;
// writes happen one after another.
type Store struct {
	cfg    Config
	writer *sql.Conn // the only connection that writes
	pools  []*sql.DB // writer's pool, readers' pool
	reader *sql.DB
	turn   chan struct{}               // holds one token: the right to write
	signer dcep.Signer                 // read and changed by the holder of turn
	last   headRow                     // the entry that was appended last in this run; likewise
	pages  *os.File                    // the bookmark's; nil until one is kept; likewise
	key    atomic.Pointer[dcep.Signer] // signer as it was last committed, for readers
	failed atomic.Pointer[pos.Error]
	closed func() error // runs once
}

// Create makes a new file (mode 0600) whose first entry opens the epoch, and opens it.
// It refuses a file that exists, with fs.ErrExist. After damage, first names the
// previous epoch and head as the centre knows them. The file gets its name when it is
// whole and durable: a power cut leaves all of it or none.
func Create(ctx context.Context, cfg Config, first pos.EpochOpened, epoch uint32, at pos.Instant, date pos.Date) (*Store, error) {
	if cfg.Signer == nil {
		return nil, pos.NewError(pos.ErrNotEnrolled, errors.New("create journal: no key"))
	}
	if _, err := os.Lstat(cfg.Path); !errors.Is(err, fs.ErrNotExist) {
		return nil, pos.NewError(pos.ErrStorage, fmt.Errorf("create journal: %s: %w", cfg.Path, cmp.Or(err, fs.ErrExist)))
	}
	draft := cfg
	draft.Path += ".new"
	err := errors.Join(takeAway(draft.Path), dropBookmark(cfg.Path))
	if err == nil {
		err = fill(ctx, draft, first, epoch, at, date)
	}
	if err == nil {
		err = os.Link(draft.Path, cfg.Path) // a rename would take the place of a file that exists
	}
	if err == nil {
		err = syncDir(filepath.Dir(cfg.Path))
	}
	if err := errors.Join(err, takeAway(draft.Path)); err != nil {
		return nil, pos.NewError(pos.ErrStorage, fmt.Errorf("create journal: %w", err))
	}
	return Open(ctx, cfg)
}

// takeAway removes a file that was never called a journal, and its companions.
func takeAway(path string) error {
	var errs []error
	for _, suffix := range append(Suffixes(), "") {
		if err := os.Remove(path + suffix); !errors.Is(err, fs.ErrNotExist) {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

// fill makes a whole file, with nothing beside it.
func fill(ctx context.Context, cfg Config, first pos.EpochOpened, epoch uint32, at pos.Instant, date pos.Date) error {
	f, err := os.OpenFile(cfg.Path, os.O_CREATE|os.O_EXCL|os.O_RDWR, 0o600)
	if err != nil {
		return err
	}
	if err := f.Close(); err != nil {
		return err
	}
	s, err := connect(ctx, cfg, true)
	if err != nil {
		return err
	}
	return errors.Join(s.OpenEpoch(ctx, cfg.Signer, epoch, first, at, date, pos.OperatorSystem), s.Close())
}

// syncDir makes the name of a new file durable, as fsync(2) demands for its directory.
func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return pos.NewError(pos.ErrStorage, err)
	}
	if err := errors.Join(d.Sync(), d.Close()); err != nil {
		return pos.NewError(pos.ErrStorage, err)
	}
	return nil
}

// Open opens an existing journal. It asserts the durability of the live connections,
// the schema, terminal and environment, the hash chain of every row, the signatures of
// what the centre has not receipted (the newest maxSignatures of them), and that the
// projections equal a rebuild. Findings: pos.ErrChainBroken with a *Broken that names
// the first bad sequence number, pos.ErrSchema, pos.ErrEnvironment, pos.ErrConfig,
// pos.ErrStorage; fs.ErrNotExist for no file. Nothing is repaired.
func Open(ctx context.Context, cfg Config) (*Store, error) {
	if _, err := os.Stat(cfg.Path); err != nil {
		return nil, pos.NewError(pos.ErrStorage, fmt.Errorf("open journal: %w", err))
	}
	if err := reachesBookmark(ctx, cfg.Path); err != nil {
		return nil, fmt.Errorf("open journal: %w", err)
	}
	s, err := connect(ctx, cfg, false)
	if err != nil {
		return nil, fmt.Errorf("open journal: %w", err)
	}
	if err := s.openChecked(ctx); err != nil {
		return nil, fmt.Errorf("open journal: %w", errors.Join(err, s.disconnect()))
	}
	return s, nil
}

// openChecked makes what the last run has left durable, should its last fsync have failed,
// and examines it.
func (s *Store) openChecked(ctx context.Context) error {
	if err := s.examine(ctx); err != nil {
		return err
	}
	return s.settle(ctx)
}

func connect(ctx context.Context, cfg Config, create bool) (*Store, error) {
	if cfg.Terminal == "" || !cfg.Env.Valid() {
		return nil, pos.NewError(pos.ErrConfig, fmt.Errorf("terminal %q, environment %q", cfg.Terminal, cfg.Env))
	}
	schema, err := file.Current()
	if err != nil {
		return nil, err
	}
	writers := file.Pool(cfg.Path, file.Write, 1)
	reader := file.Pool(cfg.Path, file.Read, readers)
	s := &Store{
		cfg: cfg, pools: []*sql.DB{reader, writers}, reader: reader,
		turn: make(chan struct{}, 1), signer: cfg.Signer,
	}
	s.closed = sync.OnceValue(s.shut)
	s.publishKey()
	if s.writer, err = writers.Conn(ctx); err != nil {
		return nil, errors.Join(storage(err), writers.Close(), reader.Close())
	}
	if err := schema.Migrate(ctx, s.writer, create); err != nil {
		return nil, errors.Join(storage(err), s.disconnect())
	}
	return s, nil
}

// publishKey lets readers sign with the key that stands in the file.
func (s *Store) publishKey() {
	if s.signer != nil {
		key := s.signer
		s.key.Store(&key)
	}
}

func (s *Store) disconnect() error {
	errs := []error{s.writer.Close()}
	if s.pages != nil {
		errs = append(errs, s.pages.Close())
	}
	for _, db := range s.pools {
		errs = append(errs, db.Close())
	}
	return errors.Join(errs...)
}

// Close waits for the write in progress, moves the WAL into the file and closes it, so
// that the file is whole by itself and no -wal is left. While another process reads
// the file the WAL may have to stay: that is an error, and nothing is lost by it.
// A second call gives the first one's answer.
func (s *Store) Close() error { return s.closed() }

func (s *Store) shut() error {
	s.turn <- struct{}{}
	defer func() { <-s.turn }()
	if s.Failed() != nil {
		_ = s.settle(context.Background()) // SQLite moves the WAL into the file as it closes; a disk that is still ill says so below
	}
	s.failed.Store(pos.NewError(pos.ErrStorage, errClosed)) // later writes are refused with it
	errs := []error{s.reader.Close()}
	var busy, log, moved int
	err := s.writer.QueryRowContext(context.Background(), "PRAGMA wal_checkpoint(TRUNCATE)").Scan(&busy, &log, &moved)
	if err == nil && busy != 0 {
		err = errors.New("another process reads the file; its -wal stays")
	}
	if err != nil {
		errs = append(errs, pos.NewError(pos.ErrStorage, fmt.Errorf("checkpoint journal: %w", err)))
	}
	return errors.Join(append(errs, s.disconnect())...)
}

// Failed returns the error that stopped all writing, nil while the store can write. It
// stays until Heal succeeds or the file is opened anew.
func (s *Store) Failed() error {
	if e := s.failed.Load(); e != nil {
		return e
	}
	return nil
}

// fail stops all further writing; the first cause is kept.
func (s *Store) fail(cause error) error {
	e := pos.NewError(pos.ErrStorage, cause)
	s.failed.CompareAndSwap(nil, e)
	return e
}

// reword is deferred by what reads: after a failed write the file may read as if it were damaged, because the disk
// does not answer or has half of what was written. That says nothing about the chain: opening anew will. A write that is
// on its way may be the one that fails, so that its end is waited for.
func (s *Store) reword(err *error) {
	if *err == nil || pos.CodeOf(*err) != pos.ErrChainBroken {
		return
	}
	if s.failed.Load() == nil {
		s.await(writeWait)
	}
	if s.failed.Load() == nil {
		return
	}
	*err = pos.NewError(pos.ErrStorage, fmt.Errorf("after %w: %w", s.Failed(), *err))
}

// writeWait bounds how long a reader that found damage waits for the write on its way: longer than a sync takes on
// a medium that stalls, and no longer than a person waits for an answer.
const writeWait = 5 * time.Second

// await waits until the write on its way has ended, at most so long.
func (s *Store) await(limit time.Duration) {
	timer := time.NewTimer(limit)
	defer timer.Stop()
	select {
	case s.turn <- struct{}{}:
		<-s.turn
	case <-timer.C:
	}
}

// storage gives a SQLite error the code that a person can act on; others pass unchanged.
func storage(err error) error {
	switch {
	case err == nil:
		return nil
	case file.NotDatabase(err):
		return pos.NewError(pos.ErrChainBroken, errors.Join(ErrNotDatabase, err))
	case file.Damaged(err):
		return pos.NewError(pos.ErrChainBroken, err)
	}
	if _, ok := errors.AsType[*pos.Error](err); ok {
		return err
	}
	return pos.NewError(pos.ErrStorage, err)
}
