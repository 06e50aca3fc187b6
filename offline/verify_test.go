package offline_test

import (
	"bytes"
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/mattn/go-sqlite3"

	"dcpos/offline"
	"dcpos/pos"
	"dcpos/pos/dcep"
)

type rawConnector struct {
	*sqlite3.SQLiteDriver
	path string
}

func (c rawConnector) Connect(context.Context) (driver.Conn, error) {
	return c.Open("file:" + c.path + "?_ignore_check_constraints=1")
}
func (c rawConnector) Driver() driver.Driver { return c.SQLiteDriver }

// raw opens the file as an attacker with root would: no checks, no triggers.
func raw(tb testing.TB, path string) *sql.DB {
	tb.Helper()
	db := sql.OpenDB(rawConnector{&sqlite3.SQLiteDriver{}, path})
	db.SetMaxOpenConns(1)
	tb.Cleanup(func() { _ = db.Close() })
	for _, q := range []string{"DROP TRIGGER IF EXISTS journal_no_update", "DROP TRIGGER IF EXISTS journal_no_delete"} {
		must(tb, db, q)
	}
	return db
}

func must(tb testing.TB, db *sql.DB, q string, args ...any) {
	tb.Helper()
	if _, err := db.ExecContext(tb.Context(), q, args...); err != nil {
		tb.Fatalf("%s: %v", q, err)
	}
}

func copyFile(tb testing.TB, from string) string {
	tb.Helper()
	b, err := os.ReadFile(from)
	if err != nil {
		tb.Fatal(err)
	}
	to := filepath.Join(tb.TempDir(), "journal.db")
	if err := os.WriteFile(to, b, 0o600); err != nil {
		tb.Fatal(err)
	}
	return to
}

// closedTill is a journal with some sales, an offline payment and a second epoch, closed.
func closedTill(tb testing.TB) *till {
	tb.Helper()
	tl := newTill(tb, dcep.Ed25519SHA256)
	for i := range 3 {
		tl.sell(tb, fmt.Sprintf("a%d", i), 100)
	}
	tl.accept(tb, "b", 200, "w1", 1)
	next := generate(tb, dcep.SM2SM3)
	if err := tl.OpenEpoch(tb.Context(), next, 2, pos.EpochOpened{Reason: pos.EpochKey, Merchant: "M1", Store: "S1"}, tl.now(), today, "1001"); err != nil {
		tb.Fatal(err)
	}
	tl.cfg.Signer = next
	for i := range 3 {
		tl.sell(tb, fmt.Sprintf("c%d", i), 100)
	}
	if err := tl.Close(); err != nil {
		tb.Fatal(err)
	}
	return tl
}

func wantBad(t *testing.T, path string, cfg offline.Config, epoch uint32, seq uint64) {
	t.Helper()
	cfg.Path = path
	report, err := offline.Verify(t.Context(), path, offline.VerifyOptions{})
	wantCode(t, err, pos.ErrChainBroken)
	if b, ok := errors.AsType[*offline.Broken](err); !ok || b.Epoch != epoch || b.Seq != seq || report.FirstBad != seq || report.OK {
		t.Errorf("verify: %v: want first bad %d of epoch %d", err, seq, epoch)
	}
	s, err := offline.Open(t.Context(), cfg)
	if err == nil {
		_ = s.Close()
	}
	wantCode(t, err, pos.ErrChainBroken)
	if b, ok := errors.AsType[*offline.Broken](err); !ok || b.Epoch != epoch || b.Seq != seq {
		t.Errorf("open: %v: want first bad %d of epoch %d", err, seq, epoch)
	}
}

func TestOneFlippedBitInAnyColumnNamesItsEntry(t *testing.T) {
	tl := closedTill(t)
	rng := rand.New(rand.NewPCG(1, 2))
	places := []struct {
		epoch uint32
		seq   uint64
	}{{1, 1}, {1, 12}, {2, 1}, {2, 10}, {1, 2 + rng.Uint64N(10)}, {2, 2 + rng.Uint64N(8)}}
	for _, column := range []string{
		"terminal", "epoch", "seq", "env", "kind", "payment", "operator", "wall_ms", "mono_ms",
		"boot_id", "centre_ms", "business_date", "body", "prev", "hash", "sig",
	} {
		for _, at := range places {
			t.Run(fmt.Sprintf("%s of %d-%d", column, at.epoch, at.seq), func(t *testing.T) {
				path := copyFile(t, tl.cfg.Path)
				db := raw(t, path)
				flip(t, db, column, at.epoch, at.seq, rng)
				_ = db.Close()
				wantBad(t, path, tl.cfg, at.epoch, at.seq)
			})
		}
	}
}

// flip changes one bit of one column; NULL becomes a blob of zeros.
func flip(t *testing.T, db *sql.DB, column string, epoch uint32, seq uint64, rng *rand.Rand) {
	t.Helper()
	where := fmt.Sprintf(" WHERE epoch = %d AND seq = %d", epoch, seq)
	var v any
	if err := db.QueryRowContext(t.Context(), "SELECT "+column+" FROM journal"+where).Scan(&v); err != nil {
		t.Fatal(err)
	}
	switch x := v.(type) {
	case nil:
		v = make([]byte, 16+rng.IntN(17))
	case int64:
		v = x ^ 1<<(8+rng.UintN(20))
	case []byte:
		x[rng.IntN(len(x))] ^= 1 << rng.UintN(8)
	case string:
		b := []byte(x)
		b[rng.IntN(len(b))] ^= 1 << rng.UintN(7)
		v = string(b)
	}
	must(t, db, "UPDATE journal SET "+column+" = ?"+where, v)
}

func TestRemovedSwappedAndCutRowsAreNamed(t *testing.T) {
	tl := closedTill(t)
	for name, c := range map[string]struct {
		sql   []string
		epoch uint32
		seq   uint64
	}{
		"row in the middle":     {[]string{"DELETE FROM journal WHERE epoch = 1 AND seq = 5"}, 1, 5},
		"first row":             {[]string{"DELETE FROM journal WHERE epoch = 1 AND seq = 1"}, 1, 1},
		"first row of an epoch": {[]string{"DELETE FROM journal WHERE epoch = 2 AND seq = 1"}, 2, 1},
		"last row":              {[]string{"DELETE FROM journal WHERE epoch = 2 AND seq = 10"}, 2, 10},
		"last rows":             {[]string{"DELETE FROM journal WHERE epoch = 2 AND seq >= 7"}, 2, 7},
		"end of an epoch":       {[]string{"DELETE FROM journal WHERE epoch = 1 AND seq = 12"}, 1, 12},
		"two rows swapped": {[]string{
			"UPDATE journal SET seq = 1000 WHERE epoch = 1 AND seq = 4",
			"UPDATE journal SET seq = 4 WHERE epoch = 1 AND seq = 7",
			"UPDATE journal SET seq = 7 WHERE epoch = 1 AND seq = 1000",
		}, 1, 4},
		"payment's amount":    {[]string{"UPDATE payments SET amount = 1 WHERE first_epoch = 2 AND first_seq = 2"}, 2, 4},
		"payment's document":  {[]string{`UPDATE payments SET doc = replace(doc, '"paid"', '"declined"') WHERE first_epoch = 1 AND first_seq = 5`}, 1, 7},
		"payment removed":     {[]string{"DELETE FROM payments WHERE first_epoch = 1 AND first_seq = 5"}, 1, 5},
		"evidence forgotten":  {[]string{"UPDATE payments SET wallet = NULL WHERE wallet IS NOT NULL"}, 1, 12},
		"everything but head": {[]string{"DELETE FROM journal WHERE NOT (epoch = 2 AND seq = 10)"}, 2, 1},
	} {
		t.Run(name, func(t *testing.T) {
			path := copyFile(t, tl.cfg.Path)
			db := raw(t, path)
			for _, q := range c.sql {
				must(t, db, q)
			}
			_ = db.Close()
			wantBad(t, path, tl.cfg, c.epoch, c.seq)
		})
	}
}

func TestAChangedSchemaIsRefused(t *testing.T) {
	tl := closedTill(t)
	for name, c := range map[string]struct {
		sql  string
		want pos.Code
	}{
		"trigger dropped": {"SELECT 1", pos.ErrChainBroken}, // raw drops them
		"column added":    {"ALTER TABLE journal ADD COLUMN extra TEXT", pos.ErrChainBroken},
		"index dropped":   {"DROP INDEX payments_key", pos.ErrChainBroken},
		"newer program":   {"PRAGMA user_version = 99", pos.ErrSchema},
		"other program":   {"PRAGMA application_id = 7", pos.ErrSchema},
	} {
		t.Run(name, func(t *testing.T) {
			path := copyFile(t, tl.cfg.Path)
			db := raw(t, path)
			must(t, db, c.sql)
			_ = db.Close()
			_, err := offline.Verify(t.Context(), path, offline.VerifyOptions{})
			wantCode(t, err, c.want)
			cfg := tl.cfg
			cfg.Path = path
			_, err = offline.Open(t.Context(), cfg)
			wantCode(t, err, c.want)
		})
	}
}

func TestGarbageIsNotADatabaseAndIsLeftAlone(t *testing.T) {
	tl := closedTill(t)
	whole, err := os.ReadFile(tl.cfg.Path)
	if err != nil {
		t.Fatal(err)
	}
	for name, b := range map[string][]byte{
		"text":        []byte(strings.Repeat("this is no database. ", 500)),
		"noise":       bytes.Repeat([]byte{0xa5, 0x17, 3}, 4000),
		"broken head": append([]byte("SQLite format 4"), whole[15:]...),
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "journal.db")
			if err := os.WriteFile(path, b, 0o600); err != nil {
				t.Fatal(err)
			}
			report, err := offline.Verify(t.Context(), path, offline.VerifyOptions{})
			if !errors.Is(err, offline.ErrNotDatabase) || !report.NotADB {
				t.Errorf("verify: %v", err)
			}
			cfg := tl.cfg
			cfg.Path = path
			_, err = offline.Open(t.Context(), cfg)
			wantCode(t, err, pos.ErrChainBroken)
			if after, err := os.ReadFile(path); err != nil || !bytes.Equal(after, b) {
				t.Errorf("file was changed (%v)", err)
			}
		})
	}
}

func TestATruncatedFileIsRefused(t *testing.T) {
	tl := closedTill(t)
	whole, err := os.ReadFile(tl.cfg.Path)
	if err != nil {
		t.Fatal(err)
	}
	for _, size := range []int{0, 1, 100, 4096, len(whole) / 2, len(whole) - 4096, len(whole) - 1} {
		path := filepath.Join(t.TempDir(), "journal.db")
		if err := os.WriteFile(path, whole[:size], 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := offline.Verify(t.Context(), path, offline.VerifyOptions{}); err == nil {
			t.Errorf("%d of %d bytes verify", size, len(whole))
		}
		cfg := tl.cfg
		cfg.Path = path
		if s, err := offline.Open(t.Context(), cfg); err == nil {
			_ = s.Close()
			t.Errorf("%d of %d bytes open", size, len(whole))
		}
	}
}

func TestVerifyBesideARunningTillReadsTheWAL(t *testing.T) {
	tl := newTill(t, dcep.Ed25519SHA256)
	tl.sell(t, "k", 100)
	if info, err := os.Stat(tl.cfg.Path + "-wal"); err != nil || info.Size() == 0 {
		t.Fatalf("no WAL beside the running till: %v", err)
	}
	report, err := offline.Verify(t.Context(), tl.cfg.Path, offline.VerifyOptions{})
	if err != nil || report.LastSeq != 4 {
		t.Errorf("report %+v %v: want 4 entries", report, err)
	}
	tl.sell(t, "k2", 100)
	if report, err = offline.Verify(t.Context(), tl.cfg.Path, offline.VerifyOptions{}); err != nil || report.LastSeq != 7 {
		t.Errorf("report %+v %v: want 7 entries", report, err)
	}
}

func TestVerifyLeavesNothingBehind(t *testing.T) {
	tl := closedTill(t)
	before, err := os.ReadFile(tl.cfg.Path)
	if err != nil {
		t.Fatal(err)
	}
	report, err := offline.Verify(t.Context(), tl.cfg.Path, offline.VerifyOptions{})
	if err != nil || !report.OK || !report.Projections || report.Epochs != 2 || report.Entries != 22 {
		t.Errorf("report %+v %v", report, err)
	}
	files, err := os.ReadDir(filepath.Dir(tl.cfg.Path))
	if err != nil || len(files) != 2 {
		t.Errorf("files after verify: %v %v", files, err)
	}
	if after, err := os.ReadFile(tl.cfg.Path); err != nil || !bytes.Equal(before, after) {
		t.Errorf("file was changed (%v)", err)
	}
	if _, err := offline.Verify(t.Context(), tl.cfg.Path+".absent", offline.VerifyOptions{}); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("absent file: %v", err)
	}
}

func TestAShorterOrRewrittenChainFailsTheExpectations(t *testing.T) {
	tl := closedTill(t)
	whole, err := offline.Verify(t.Context(), tl.cfg.Path, offline.VerifyOptions{})
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		opts offline.VerifyOptions
		ok   bool
	}{
		"key pinned":          {offline.VerifyOptions{Trust: []string{whole.Fingerprint}}, true},
		"another key pinned":  {offline.VerifyOptions{Trust: []string{strings.Repeat("0", 32)}}, false},
		"long enough":         {offline.VerifyOptions{ExpectSeq: 10}, true},
		"too short":           {offline.VerifyOptions{ExpectSeq: 11}, false},
		"a head of the past":  {offline.VerifyOptions{ExpectHead: unhex(t, whole.Head)}, true},
		"a head it never had": {offline.VerifyOptions{ExpectHead: make([]byte, 32)}, false},
		"receipted further":   {offline.VerifyOptions{Receipt: &dcep.Receipt{Env: pos.Lab, Terminal: terminal, Epoch: 2, Seq: 11, Head: []byte{1}}}, false},
		"receipted so far":    {offline.VerifyOptions{Receipt: &dcep.Receipt{Env: pos.Lab, Terminal: terminal, Epoch: 2, Seq: 10, Head: unhex(t, whole.Head)}}, true},
		"receipt of other":    {offline.VerifyOptions{Receipt: &dcep.Receipt{Env: pos.Lab, Terminal: "T-2", Epoch: 2, Seq: 10, Head: unhex(t, whole.Head)}}, false},
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := offline.Verify(t.Context(), tl.cfg.Path, c.opts); (err == nil) != c.ok {
				t.Errorf("error %v: want ok=%t", err, c.ok)
			}
		})
	}
}

func unhex(tb testing.TB, s string) []byte {
	tb.Helper()
	var b []byte
	if _, err := fmt.Sscanf(s, "%x", &b); err != nil {
		tb.Fatal(err)
	}
	return b
}

func TestSalvageGivesEveryReadableEntryAndNamesTheGap(t *testing.T) {
	tl := newTill(t, dcep.Ed25519SHA256)
	for i := range 60 {
		tl.sell(t, fmt.Sprintf("k%d", i), 100)
	}
	if err := tl.Close(); err != nil {
		t.Fatal(err)
	}
	t.Run("healthy", func(t *testing.T) {
		report, entries := salvaged(t, tl.cfg.Path)
		if report.Entries != 181 || len(entries) != 181 || len(report.Gaps) != 0 || report.Damaged {
			t.Errorf("report %+v, %d entries", report, len(entries))
		}
	})
	t.Run("row altered", func(t *testing.T) {
		path := copyFile(t, tl.cfg.Path)
		db := raw(t, path)
		must(t, db, "UPDATE journal SET wall_ms = 1 WHERE seq = 50")
		_ = db.Close()
		report, entries := salvaged(t, path)
		if len(entries) != 180 || report.Altered != 1 || len(report.Gaps) != 1 || report.Gaps[0].From != 50 || report.Gaps[0].To != 50 {
			t.Errorf("report %+v, %d entries", report, len(entries))
		}
	})
	t.Run("page destroyed", func(t *testing.T) {
		path := copyFile(t, tl.cfg.Path)
		page := leafOf(t, path)
		f, err := os.OpenFile(path, os.O_RDWR, 0)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := f.WriteAt(bytes.Repeat([]byte{0xff}, 4096), int64(page-1)*4096); err != nil {
			t.Fatal(err)
		}
		_ = f.Close()
		report, entries := salvaged(t, path)
		if !report.Damaged || len(report.Gaps) == 0 || len(entries) < 150 || entries[len(entries)-1].Seq != 181 {
			t.Errorf("report %+v, %d entries", report, len(entries))
		}
		missing := uint64(0)
		for _, g := range report.Gaps {
			missing += g.To - g.From + 1
		}
		if missing+report.Entries != 181 {
			t.Errorf("%d entries and %d missing: want 181 together", report.Entries, missing)
		}
	})
}

func TestSalvageReadsAFileWhoseFirstPageIsGone(t *testing.T) {
	tl := newTill(t, dcep.Ed25519SHA256)
	for i := range 60 {
		tl.sell(t, fmt.Sprintf("k%d", i), 100)
	}
	if err := tl.Close(); err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(tl.cfg.Path)
	if err != nil {
		t.Fatal(err)
	}
	for _, fill := range []byte{0, 0xff} {
		path := filepath.Join(t.TempDir(), "journal.db")
		damaged := append(bytes.Repeat([]byte{fill}, 4096), b[4096:]...)
		if err := os.WriteFile(path, damaged, 0o600); err != nil {
			t.Fatal(err)
		}
		report, entries := salvaged(t, path)
		if !report.Damaged || len(entries) != 181 || len(report.Gaps) != 0 {
			t.Errorf("report %+v, %d entries: want all 181", report, len(entries))
		}
		if after, err := os.ReadFile(path); err != nil || !bytes.Equal(after, damaged) {
			t.Errorf("file was changed (%v)", err)
		}
	}
}

// leafOf finds a page in the middle of table journal.
func leafOf(t *testing.T, path string) int {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var leaves []int
	for p := 2; p*4096 <= len(b); p++ {
		page := b[(p-1)*4096 : p*4096]
		if page[0] == 0x0a && bytes.Contains(page, []byte(terminal)) && bytes.Contains(page, []byte("payment_moved")) {
			leaves = append(leaves, p)
		}
	}
	if len(leaves) < 5 {
		t.Fatalf("%d leaf pages", len(leaves))
	}
	return leaves[len(leaves)/2]
}

func salvaged(t *testing.T, path string) (offline.SalvageReport, []pos.Entry) {
	t.Helper()
	var b bytes.Buffer
	report, err := offline.Salvage(t.Context(), path, &b)
	if err != nil {
		t.Fatal(err)
	}
	var entries []pos.Entry
	end, err := offline.ReadSalvage(bytes.NewReader(b.Bytes()), func(e pos.Entry) error {
		entries = append(entries, e)
		return nil
	})
	if err != nil || end.Entries != report.Entries {
		t.Fatalf("read back: %+v %v", end, err)
	}
	for _, cut := range []int{0, 10, b.Len() / 2, b.Len() - 1} {
		if _, err := offline.ReadSalvage(io.LimitReader(bytes.NewReader(b.Bytes()), int64(cut)), func(pos.Entry) error { return nil }); err == nil {
			t.Errorf("%d of %d bytes are taken for whole", cut, b.Len())
		}
	}
	return report, entries
}
