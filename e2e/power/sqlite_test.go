package power_test

import (
	"bufio"
	"bytes"
	"context"
	"database/sql"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	_ "github.com/mattn/go-sqlite3" // the engine of the terminal and of the embedded centre

	"dcpos/lab/forgetfs"
)

const databaseName = "journal.db"

// open opens one connection to the database in dir as the terminal's journal does:
// WAL, the given synchronous level, one writer.
func open(ctx context.Context, dir, synchronous string) (*sql.DB, error) {
	dsn := "file:" + filepath.Join(dir, databaseName) +
		"?_journal_mode=WAL&_synchronous=" + synchronous + "&_busy_timeout=5000&_txlock=immediate"
	db, err := sql.Open("sqlite3", dsn)
	if err != nil {
		return nil, err
	}
	db.SetMaxOpenConns(1)
	if err := assertPragmas(ctx, db, synchronous); err != nil {
		_ = db.Close()
		return nil, err
	}
	_, err = db.ExecContext(ctx, "CREATE TABLE IF NOT EXISTS payment (id INTEGER PRIMARY KEY, body BLOB NOT NULL)")
	if err != nil {
		_ = db.Close()
		return nil, fmt.Errorf("create table: %w", err)
	}
	return db, nil
}

// assertPragmas asks the connection itself: go-sqlite3 ignores parameters it does
// not know.
func assertPragmas(ctx context.Context, db *sql.DB, synchronous string) error {
	var journal string
	if err := db.QueryRowContext(ctx, "PRAGMA journal_mode").Scan(&journal); err != nil {
		return fmt.Errorf("read journal mode: %w", err)
	}
	level := -1
	if err := db.QueryRowContext(ctx, "PRAGMA synchronous").Scan(&level); err != nil {
		return fmt.Errorf("read synchronous: %w", err)
	}
	want := map[string]int{"NORMAL": 1, "FULL": 2}[synchronous]
	if journal != "wal" || level != want {
		return fmt.Errorf("journal mode %s, synchronous %d; want wal, %d", journal, level, want)
	}
	return nil
}

// body is the content of row id: what the check compares.
func body(id int64) []byte {
	return bytes.Repeat([]byte(strconv.FormatInt(id, 16)+"/"), 400/len(strconv.FormatInt(id, 16)+"/"))
}

// write is the program under test: it adds rows for ever and prints the id of
// each one after its commit has returned.
func write(ctx context.Context, dir, synchronous string, out io.Writer) error {
	db, err := open(ctx, dir, synchronous)
	if err != nil {
		return err
	}
	defer func() { _ = db.Close() }()
	var last int64
	if err := db.QueryRowContext(ctx, "SELECT coalesce(max(id), 0) FROM payment").Scan(&last); err != nil {
		return fmt.Errorf("read last row: %w", err)
	}
	for ctx.Err() == nil {
		last++
		if _, err := db.ExecContext(ctx, "INSERT INTO payment VALUES (?, ?)", last, body(last)); err != nil {
			return fmt.Errorf("add row %d: %w", last, err)
		}
		if _, err := fmt.Fprintln(out, last); err != nil {
			return err
		}
	}
	return nil
}

// writer is the program under test, running.
type writer struct {
	process *exec.Cmd
	begun   chan struct{} // closed at the first row that it acknowledges
	last    chan int64
}

func startWriter(t *testing.T, dir, synchronous string) *writer {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	t.Cleanup(cancel)
	w := &writer{process: exec.CommandContext(ctx, os.Args[0], writerCommand, dir, synchronous), begun: make(chan struct{}), last: make(chan int64, 1)}
	out, err := w.process.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := w.process.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		var last int64
		for lines := bufio.NewScanner(out); lines.Scan(); {
			if id, err := strconv.ParseInt(lines.Text(), 10, 64); err == nil {
				if last == 0 {
					close(w.begun)
				}
				last = id
			}
		}
		w.last <- last
	}()
	return w
}

// kill ends the writer with SIGKILL and returns the last row it acknowledged, 0 for none.
func (w *writer) kill() int64 {
	_ = w.process.Process.Kill()
	last := <-w.last
	_ = w.process.Wait()
	return last
}

// survived opens what is in dir and returns how many rows it holds, numbered from 1
// without a gap, each one whole.
func survived(t *testing.T, dir string) (count int64) {
	t.Helper()
	db, err := open(t.Context(), dir, "FULL")
	if err != nil {
		t.Fatalf("open what is left: %v", err)
	}
	defer func() { _ = db.Close() }()
	var verdict string
	if err := db.QueryRowContext(t.Context(), "PRAGMA integrity_check").Scan(&verdict); err != nil || verdict != "ok" {
		t.Fatalf("integrity check: %q, %v", verdict, err)
	}
	rows, err := db.QueryContext(t.Context(), "SELECT id, body FROM payment ORDER BY id")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = rows.Close() }()
	for rows.Next() {
		var id int64
		var got []byte
		if err := rows.Scan(&id, &got); err != nil {
			t.Fatal(err)
		}
		count++
		if id != count {
			t.Fatalf("row %d follows row %d", id, count-1)
		}
		if !bytes.Equal(got, body(id)) {
			t.Errorf("row %d holds another body", id)
		}
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	return count
}

// freshAfter is how many rows a database may hold before the next round begins with
// an empty disk: every round reads them all.
const freshAfter = 20_000

// figures are what the rounds of one case add up to.
type figures struct {
	acknowledged, lost int64
	writing            time.Duration
}

// run lets the program write for some random spans, each ended by SIGKILL, with a
// power cut just before or after it if cut, and counts after each the acknowledged
// rows that are gone.
func run(t *testing.T, synchronous string, cut bool, opts ...forgetfs.Option) figures {
	t.Helper()
	dir := t.TempDir()
	rng := rand.New(rand.NewPCG(*seed, 1))
	opts = append(opts, forgetfs.Seed(*seed))
	m, err := forgetfs.Start(t.Context(), os.Args[0], filepath.Join(dir, "disk"), filepath.Join(dir, "mnt"), opts...)
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := m.Stop(); err != nil {
			t.Error(err)
		}
	}()
	var sum figures
	var kept int64
	for round := range *rounds {
		began := time.Now()
		w := startWriter(t, m.Path, synchronous)
		time.Sleep(time.Duration(50+rng.IntN(350)) * time.Millisecond)
		last := max(kept, endRound(t, m, w, cut, rng.IntN(2) == 0))
		sum.writing += time.Since(began)
		if err := m.Stop(); err != nil {
			t.Fatalf("round %d: %v", round, err)
		}
		left := survived(t, m.Backing)
		sum.acknowledged += last - kept
		sum.lost += max(0, last-left)
		kept = left
		if kept > freshAfter {
			kept = 0
			if err := os.RemoveAll(m.Backing); err != nil {
				t.Fatal(err)
			}
			if err := os.Mkdir(m.Backing, 0o700); err != nil {
				t.Fatal(err)
			}
		}
		if err := m.Remount(t.Context()); err != nil {
			t.Fatalf("round %d: %v", round, err)
		}
	}
	return sum
}

func endRound(t *testing.T, m *forgetfs.Mount, w *writer, cut, cutFirst bool) int64 {
	t.Helper()
	if cut && cutFirst {
		if err := m.Cut(); err != nil {
			t.Fatal(err)
		}
		return w.kill()
	}
	last := w.kill()
	if !cut {
		return last
	}
	if err := m.Cut(); err != nil {
		t.Fatal(err)
	}
	return last
}

// With synchronous=FULL a power cut takes no acknowledged row. The two controls show
// that the harness can see: NORMAL loses rows to a cut, and none to SIGKILL alone.
func TestForgetfsSQLite(t *testing.T) {
	t.Logf("seed %d, %d rounds a case", *seed, *rounds)
	for _, c := range []struct {
		name, synchronous string
		cut, loses        bool
		opts              []forgetfs.Option
	}{
		{"FULL, cut", "FULL", true, false, nil},
		{"FULL, torn cut, names need an fsync", "FULL", true, false, []forgetfs.Option{forgetfs.Torn, forgetfs.StrictDirs}},
		{"NORMAL, cut", "NORMAL", true, true, nil},
		{"NORMAL, SIGKILL without a cut", "NORMAL", false, false, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			sum := run(t, c.synchronous, c.cut, c.opts...)
			t.Logf("%d of %d acknowledged rows lost, %.0f commits/s",
				sum.lost, sum.acknowledged, float64(sum.acknowledged)/sum.writing.Seconds())
			if sum.acknowledged == 0 {
				t.Fatal("nothing was acknowledged: the moments are too early to test anything")
			}
			if c.loses != (sum.lost > 0) {
				t.Errorf("%d acknowledged rows lost, want any lost: %t (seed %d)", sum.lost, c.loses, *seed)
			}
		})
	}
}
