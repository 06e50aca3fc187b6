package reconcile

import (
	"bytes"
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
	"github.com/parquet-go/parquet-go"

	"dcpos/pos"
)

const goodLine = "a,M,T,ICBC,100,1,S,2021-02-10T13:00:00Z"

// attempt runs a body against a good one-line file and returns error and results' directory.
func attempt(t *testing.T, name, body string, change func(*Job)) (Summary, string, error) {
	t.Helper()
	dir := t.TempDir()
	job := Job{
		Ours:    []Source{{Path: write(t, filepath.Join(dir, name), body)}},
		Theirs:  []Source{{Path: write(t, filepath.Join(dir, "good.csv"), header+"\n"+goodLine+"\n")}},
		Out:     filepath.Join(dir, "deep", "out"),
		Workers: 2,
	}
	if change != nil {
		change(&job)
	}
	s, err := Run(t.Context(), job)
	if err == nil {
		return s, job.Out, nil
	}
	left, _ := os.ReadDir(dir)
	for _, l := range left {
		if n := l.Name(); n != name && n != "good.csv" {
			t.Errorf("a failed run left %s behind", n)
		}
	}
	return s, job.Out, errors.New(strings.ReplaceAll(err.Error(), dir+"/", ""))
}

func TestBadLinesAreNamedByLineColumnAndReason(t *testing.T) {
	line := func(column int, value string) string {
		f := strings.Split(goodLine, ",")
		f[column] = value
		return strings.Join(f, ",")
	}
	long := strings.Repeat("x", 65)
	for _, c := range []struct{ name, line, want string }{
		{"short", "a,M,T,ICBC,100,1,S", "has 7 columns, the header has 8"},
		{"long", goodLine + ",x", "has 9 columns, the header has 8"},
		{"empty", "", "is empty"},
		{"only CR", "\r", "is empty"},
		{"lone CR", line(1, "M\rM"), "holds a CR that is not before LF"},
		{"two CR", goodLine + "\r\r", "holds a CR that is not before LF"},
		{"NUL", line(1, "M\x00"), "holds a NUL byte"},
		{"not UTF-8", line(1, "\xc9\xcc"), "is not UTF-8"},
		{"no id", line(0, ""), "column 1 (txn_id): has 0 bytes, want 1 to 64"},
		{"overlong id", line(0, long), "column 1 (txn_id): has 65 bytes, want 1 to 64"},
		{"overlong merchant", line(1, strings.Repeat("m", 129)), "column 2 (merchant_id): has 129 bytes, want at most 128"},
		{"no bank", line(3, ""), "column 4 (bank): is empty"},
		{"yuan", line(4, "1.00"), `column 5 (amount_fen): "1.00" is not a whole number of fen from 0 to 9223372036854775807`},
		{"negative", line(4, "-1"), `column 5 (amount_fen): "-1" is not a whole number of fen from 0 to 9223372036854775807`},
		{"plus", line(4, "+1"), `column 5 (amount_fen): "+1" is not a whole number of fen from 0 to 9223372036854775807`},
		{"blank", line(4, ""), `column 5 (amount_fen): "" is not a whole number of fen from 0 to 9223372036854775807`},
		{
			"too large", line(4, "9223372036854775808"),
			`column 5 (amount_fen): "9223372036854775808" is not a whole number of fen from 0 to 9223372036854775807`,
		},
		{
			"quoted number", line(4, `"100"`),
			`column 5 (amount_fen): "\"100\"" is not a whole number of fen from 0 to 9223372036854775807`,
		},
		{"fee", line(5, "x"), `column 6 (fee_fen): "x" is not a whole number of fen from -9223372036854775808 to 9223372036854775807`},
		{"status", line(6, "s"), `column 7 (status): "s" is not S, F, P or R`},
		{"status empty", line(6, ""), `column 7 (status): "" is not S, F, P or R`},
		{"stamp", line(7, "yesterday"), `column 8 (ts): "yesterday" is not RFC 3339, Unix milliseconds or yyyyMMddHHmmss`},
		{"stamp day", line(7, "20210230000000"), `column 8 (ts): "20210230000000" is not RFC 3339, Unix milliseconds or yyyyMMddHHmmss`},
		{"quoted comma", line(1, `"M,M"`), "has 9 columns, the header has 8"},
		{"very long", strings.Repeat("y", 300_000), "is longer than 65536 bytes"},
	} {
		body := header + "\n" + goodLine + "\n" + c.line + "\n" + "b" + goodLine[1:] + "\n"
		sep := ": line 3: "
		if strings.HasPrefix(c.want, "column") {
			sep = ": line 3, "
		}
		_, _, err := attempt(t, "bad.csv", body, nil)
		if want := "bad.csv" + sep + c.want; err == nil || err.Error() != want {
			t.Errorf("%s:\n got %v\nwant %s", c.name, err, want)
		}
		if c.name == "short" {
			_, _, err := attempt(t, "bad.csv", strings.TrimSuffix(body[:strings.LastIndex(body, "b"+goodLine[1:])], "\n"), nil)
			if want := "bad.csv: line 3: " + c.want + "; the file ends within this line: it is cut off"; err == nil || err.Error() != want {
				t.Errorf("cut off:\n got %v\nwant %s", err, want)
			}
		}
		// Compressed input is read in another way and says the same.
		_, _, err = attempt(t, "bad.csv.gz", gz(t, body), nil)
		if want := "bad.csv.gz" + sep + c.want; err == nil || err.Error() != want {
			t.Errorf("%s, gzip:\n got %v\nwant %s", c.name, err, want)
		}
		s, _, err := attempt(t, "bad.csv", body, func(j *Job) { j.RejectFile = filepath.Join(t.TempDir(), "rejects") })
		if err != nil || s.RejectedOurs != 1 || s.Ours != 2 || s.Matched != 1 {
			t.Errorf("%s set aside: %+v %v", c.name, s, err)
		}
	}
}

func TestTheFirstBadLineIsNamedWhoeverMeetsItFirst(t *testing.T) {
	var b strings.Builder
	b.WriteString(header + "\n")
	for i := range 20_000 {
		text := "t" + strconv.Itoa(i) + goodLine[1:]
		if i >= 9_000 {
			text = strings.Replace(text, "100", "bad", 1)
		}
		b.WriteString(text + "\n")
	}
	for range 10 {
		_, _, err := attempt(t, "bad.csv", b.String(), func(j *Job) { j.Workers = 8 })
		if err == nil || !strings.HasPrefix(err.Error(), "bad.csv: line 9002, column 5") {
			t.Fatal(err)
		}
	}
}

func TestBadFiles(t *testing.T) {
	good := header + "\n" + goodLine + "\n"
	want := "; columns: txn_id,merchant_id,terminal_id,bank,amount_fen,fee_fen,status,ts[,orig_txn_id,batch_no,settlement_date]"
	for _, c := range []struct{ name, file, body, want string }{
		{"empty", "e.csv", "", "e.csv: is empty, without even a header: a day without transactions still has its header"},
		{
			"missing column", "m.csv", strings.Replace(good, ",fee_fen", "", 1),
			`m.csv: line 1, column 6 (fee_fen): the header line wants fee_fen here and has "status"` + want,
		},
		{
			"last column missing", "m.csv", strings.Replace(good, ",ts", "", 1),
			`m.csv: line 1, column 8 (ts): the header line wants ts here and has nothing` + want,
		},
		{
			"unknown column", "m.csv", strings.Replace(good, ",ts", ",ts,colour", 1),
			`m.csv: line 1, column 9 (header): the header line has an unknown or repeated column "colour"; ` +
				"optional columns: orig_txn_id,batch_no,settlement_date",
		},
		{"cut gzip", "g.csv.gz", gz(t, good)[:40], "g.csv.gz: cannot be read: gzip: the file is cut off"},
		{"no gzip", "g.csv.gz", good, "g.csv.gz: cannot be read: gzip: gzip: invalid header"},
		{"cut zstd", "z.csv.zst", zst(t, good)[:30], "z.csv.zst: cannot be read: zstd: the file is cut off"},
		{"no parquet", "p.parquet", good, "p.parquet: cannot be read: parquet: invalid magic footer of parquet file: \"0:00Z\\n\""},
	} {
		_, _, err := attempt(t, c.file, c.body, nil)
		if err == nil || (err.Error() != c.want && c.name != "no parquet") {
			t.Errorf("%s:\n got %v\nwant %s", c.name, err, c.want)
		}
	}
	_, _, err := attempt(t, "x.csv", good, func(j *Job) { j.Theirs[0].Path = "/absent.csv" })
	if err == nil || err.Error() != "/absent.csv: cannot be read: no such file or directory" {
		t.Error(err)
	}
	_, _, err = attempt(t, "x.csv", good, func(j *Job) { j.Theirs[0].Path = "/" })
	if err == nil || err.Error() != "/: cannot be read: is a directory" {
		t.Error(err)
	}
}

// TestAFullDiskIsAVerdictAndLeavesNothing runs in a process of its own, whose files may not
// grow beyond 256 KiB.
func TestAFullDiskIsAVerdictAndLeavesNothing(t *testing.T) {
	dir := os.Getenv("DCPOS_FULL_DISK")
	if dir == "" {
		a, b, _ := truth(60_000, 13)
		dir = t.TempDir()
		save(t, dir, "o", [][]entry{a})
		save(t, dir, "t", [][]entry{b})
		cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run", "^"+t.Name()+"$")
		cmd.Env = append(os.Environ(), "DCPOS_FULL_DISK="+dir)
		if text, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%v\n%s", err, text)
		}
		return
	}
	limit := syscall.Rlimit{Cur: 256 << 10, Max: 256 << 10}
	if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &limit); err != nil {
		t.Fatal(err)
	}
	signal.Ignore(syscall.SIGXFSZ)
	tuned := tune(minMemory, 2)
	tuned.ram = 0
	out := filepath.Join(dir, "out")
	_, err := runTuned(t.Context(), Job{
		Ours: []Source{{Path: filepath.Join(dir, "o0.csv")}}, Theirs: []Source{{Path: filepath.Join(dir, "t0.csv")}},
		Out: out, Memory: minMemory,
	}, tuned)
	err = roomless(out, err)
	bad, ok := errors.AsType[*InputError](err)
	if !ok || bad.File != out || !strings.Contains(bad.Why.EN, "no room on this disk") || bad.Why.ZH == "" {
		t.Errorf("%v", err)
	}
	full := &fs.PathError{Op: "write", Path: "/kept/data/.part-1", Err: syscall.ENOSPC}
	if bad, ok = errors.AsType[*InputError](roomless(out, full)); !ok || bad.File != "/kept/data" {
		t.Errorf("segments on another disk: %v", bad)
	}
	if left, _ := os.ReadDir(dir); len(left) != 2 {
		t.Errorf("left behind: %v", left)
	}
}

func TestErrorsCarryCodeAndBothLanguages(t *testing.T) {
	dir := t.TempDir()
	_, err := Run(t.Context(), Job{
		Ours:   []Source{{Path: write(t, filepath.Join(dir, "b.csv"), header+"\na,M,T,ICBC,x,1,S,1\n")}},
		Theirs: []Source{{Path: filepath.Join(dir, "b.csv")}}, Out: filepath.Join(dir, "out"),
	})
	bad, ok := errors.AsType[*InputError](err)
	if !ok || bad.Line != 2 || bad.Number != 5 || pos.CodeOf(err) != pos.ErrBadRequest {
		t.Fatalf("%#v", err)
	}
	if zh := bad.Explain("zh"); !strings.Contains(zh, `第 2 行,第 5 列 (amount_fen):"x" 不是 0 到`) {
		t.Error(zh)
	}
}

func gz(t *testing.T, body string) string {
	t.Helper()
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	_, _ = io.WriteString(w, body)
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func zst(t *testing.T, body string) string {
	t.Helper()
	e, err := zstd.NewWriter(nil)
	if err != nil {
		t.Fatal(err)
	}
	return string(e.EncodeAll([]byte(body), nil))
}

type parquetLine struct {
	TS       time.Time `parquet:"ts,timestamp(microsecond)"`
	TxnID    string    `parquet:"txn_id"`
	Merchant *string   `parquet:"merchant_id,optional"`
	Terminal string    `parquet:"terminal_id,dict"`
	Bank     string    `parquet:"bank,dict"`
	Amount   int64     `parquet:"amount_fen"`
	Fee      int32     `parquet:"fee_fen"`
	Status   string    `parquet:"status,dict"`
}

func TestEveryPackagingReadsTheSame(t *testing.T) {
	a, b, _ := truth(2500, 11)
	dir := t.TempDir()
	body := csvOf(a)
	var rows []parquetLine
	for _, e := range a {
		rows = append(rows, parquetLine{
			time.Date(2021, 2, 10, 13, 0, 0, 0, time.UTC), e.id, &e.merchant, e.terminal, e.bank,
			num(e.amount), int32(num(e.fee)), e.status,
		})
	}
	var pq bytes.Buffer
	if err := parquet.Write(&pq, rows, parquet.Compression(&parquet.Snappy)); err != nil {
		t.Fatal(err)
	}
	half := strings.LastIndexByte(body[:len(body)/2], '\n') + 1
	wide := strings.ReplaceAll(strings.Replace(body, ",ts\n", ",ts,batch_no,settlement_date\n", 1), "Z\n", "Z,b1,20210210\n")
	stamps := strings.ReplaceAll(body, "2021-02-10T13:00:00Z", "1612962000000")
	theirs := save(t, dir, "t", [][]entry{b})
	var want string
	for _, c := range []struct{ name, body string }{
		{"plain.csv", body},
		{"crlf.csv", strings.ReplaceAll(body, "\n", "\r\n")},
		{"bom.csv", "\xef\xbb\xbf" + body},
		{"unended.csv", strings.TrimSuffix(body, "\n")},
		{"unended.csv.gz", gz(t, strings.TrimSuffix(body, "\n"))},
		{"optional.csv", wide},
		{"stamps.csv", stamps},
		{"whole.csv.gz", gz(t, "\xef\xbb\xbf"+body)},
		{"members.csv.GZ", gz(t, body[:half]) + gz(t, body[half:])},
		{"whole.csv.zst", zst(t, body)},
		{"frames.csv.zstd", zst(t, body[:half]) + zst(t, body[half:])},
		{"rows.parquet", pq.String()},
	} {
		out := filepath.Join(dir, "out-"+c.name)
		tuned := tune(minMemory, 3)
		tuned.block = 4096
		_, err := runTuned(t.Context(), Job{
			Ours: []Source{{Path: write(t, filepath.Join(dir, c.name), c.body)}}, Theirs: theirs, Out: out, Memory: minMemory,
			SettlementDate: "2021-02-10",
		}, tuned)
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		got := read(t, out, breaksFile) + read(t, out, totalsFile)
		if want == "" {
			want = got
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s differs from plain CSV:\n%s", c.name, diff)
		}
	}
}

func TestSettlementDateChoosesLines(t *testing.T) {
	body := "txn_id,merchant_id,terminal_id,bank,amount_fen,fee_fen,status,ts,settlement_date\n" +
		"a,M,T,ICBC,1,0,S,2021-02-09T15:59:59Z,\n" + // 23:59:59 on the 9th in Shanghai
		"b,M,T,ICBC,1,0,S,2021-02-09T16:00:00Z,\n" + // midnight: the 10th
		"c,M,T,ICBC,1,0,S,20210209235959,2021-02-10\n" + // the column decides
		"d,M,T,ICBC,1,0,S,20210210000000,\n" +
		"e,M,T,ICBC,1,0,S,1612886400000,\n" + // the same instant as b
		"f,M,T,ICBC,1,0,S,2021-02-10T23:30:00-08:00,\n" + // the 11th
		"g,M,T,ICBC,1,0,S,20210210000000,20210211\n"
	s, _, err := attempt(t, "o.csv", body, func(j *Job) { j.SettlementDate = "20210210"; j.Theirs = j.Ours })
	if err != nil || s.Matched != 4 || s.Ours != 4 {
		t.Errorf("%+v %v", s, err)
	}
}

func TestQuotesAreData(t *testing.T) {
	body := header + "\n" + `"a","M",T,ICBC,100,1,S,1` + "\n"
	s, out, err := attempt(t, "q.csv", body, nil)
	if err != nil || s.MissingTheirs != 1 {
		t.Fatal(err)
	}
	if got := lines(t, filepath.Join(out, breaksFile))[2]; got != `missing_theirs,"a",ICBC,"M",100,,S,,2,,,,` {
		t.Error(got)
	}
}

func TestRejectsAreListedInTheOrderOfTheInput(t *testing.T) {
	file := filepath.Join(t.TempDir(), "rejects.jsonl")
	body := header + "\nx\n" + goodLine + "\n\xff\n"
	s, _, err := attempt(t, "r.csv", body, func(j *Job) { j.RejectFile = file; j.Theirs = j.Ours })
	if err != nil || s.RejectedOurs != 2 || s.RejectedTheirs != 2 || s.Matched != 1 || s.Rejected() != 4 {
		t.Fatalf("%+v %v", s, err)
	}
	got := lines(t, file)
	for i, part := range []string{`"ours","file"`, `"line":4,"why":"is not UTF-8","why_zh":"不是 UTF-8","base64":"/w=="`, `"theirs"`, `"line":4`} {
		if !strings.Contains(got[i], part) {
			t.Errorf("reject %d has no %s: %s", i, part, got[i])
		}
	}
}

func TestTheRejectFileMayLieAmongTheResults(t *testing.T) {
	for _, name := range []string{"rejects.jsonl", "new/rejects.jsonl"} {
		var file string
		s, out, err := attempt(t, "r.csv", header+"\nx\n"+goodLine+"\n", func(j *Job) {
			file = filepath.Join(j.Out, name)
			j.RejectFile = file
			if name != "rejects.jsonl" {
				file = filepath.Join(filepath.Dir(j.Out), "..", "other", name)
				j.RejectFile = file
			}
		})
		if err != nil || s.RejectedOurs != 1 || len(lines(t, file)) != 1 {
			t.Errorf("%s: %+v %v", name, s, err)
		}
		if left, _ := filepath.Glob(filepath.Join(out, "..", ".*")); len(left) > 0 {
			t.Errorf("left behind: %v", left)
		}
	}
}

func TestAFileThatChangesMeanwhileIsRefused(t *testing.T) {
	dir := t.TempDir()
	path := write(t, filepath.Join(dir, "o.csv"), header+"\n"+goodLine+"\n")
	job := Job{Ours: []Source{{Path: path}}, Theirs: []Source{{Path: path}}, Out: filepath.Join(dir, "out")}
	job.Progress = func(int64, int64) {
		f, err := os.OpenFile(path, os.O_APPEND|os.O_WRONLY, 0)
		if err == nil {
			_, err = f.WriteString("b" + goodLine[1:] + "\n")
		}
		if err == nil {
			err = f.Close()
		}
		if err != nil {
			t.Error(err)
		}
	}
	_, err := Run(t.Context(), job)
	if err == nil || err.Error() != path+": changed while it was read" {
		t.Error(err)
	}
}

func TestCancelledRunLeavesNothing(t *testing.T) {
	dir := t.TempDir()
	path := write(t, filepath.Join(dir, "o.csv"), header+"\n"+goodLine+"\n")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := Run(ctx, Job{Ours: []Source{{Path: path}}, Theirs: []Source{{Path: path}}, Out: filepath.Join(dir, "out")})
	left, _ := os.ReadDir(dir)
	if !errors.Is(err, context.Canceled) || len(left) != 1 {
		t.Error(err, left)
	}
}

func TestResultsReplaceOlderOnesWhole(t *testing.T) {
	dir := t.TempDir()
	out := filepath.Join(dir, "out")
	if err := os.Mkdir(out, 0o700); err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(out, summaryFile), "old")
	write(t, filepath.Join(out, "notes.txt"), "kept")
	path := write(t, filepath.Join(dir, "o.csv"), header+"\n"+goodLine+"\n")
	job := Job{Ours: []Source{{Path: path}}, Theirs: []Source{{Path: path}}, Out: out}
	if _, err := Run(t.Context(), job); err != nil {
		t.Fatal(err)
	}
	if read(t, out, summaryFile) == "old" || read(t, out, "notes.txt") != "kept" {
		t.Error("summary not replaced or a stranger's file touched")
	}
	if names, _ := os.ReadDir(out); len(names) != 5 {
		t.Error(names)
	}
}

func TestRulesDocument(t *testing.T) {
	for _, c := range []struct{ body, want string }{
		{"version: 1\namount_tolerance_fen: 5\nsplits:\n  - by: id_hash\n    bits: 6\n", ""},
		{"version: 2\n", "r.yaml: has a wrong value: version is 2, this program reads 1"},
		{"amount_tolerance_fen: 5\n", "r.yaml: has a wrong value: version is 0, this program reads 1"},
		{"version: 1\namount_tolerance_fen: -5\n", "r.yaml: has a wrong value: amount_tolerance_fen is negative"},
		{
			"version: 1\ntolerance: 5\n",
			`r.yaml: line 2: unknown key "tolerance"; known: version, amount_tolerance_fen, shard_rows, splits`,
		},
		{
			"version: 1\nsplits:\n  - by: colour\n",
			`r.yaml: has a wrong value: split by "colour" is not known; known: bank, merchant_id, settlement_date, time_window, id_hash`,
		},
		{
			"version: 1\nsplits:\n  - by: time_window\n",
			"r.yaml: has a wrong value: split by time_window: hours is 0; a time_window has 1 to 24, the others none",
		},
		{"version: 1\nsplits:\n  - by: bank\n    size: 3\n", `r.yaml: line 4: unknown key "size"; known: by, bits, hours, values, when_over_budget`},
		{"", "r.yaml: is empty, want version: 1"},
		{"- 1\n", "r.yaml: line 1: wants keys here: version, amount_tolerance_fen, shard_rows, splits"},
	} {
		rules, err := parseRules("r.yaml", []byte(c.body))
		if got := errText(err); got != c.want {
			t.Errorf("%q:\n got %s\nwant %s", c.body, got, c.want)
		}
		if c.want == "" && (rules.AmountToleranceFen != 5 || rules.Splits[0].Bits != 6) {
			t.Errorf("%+v", rules)
		}
	}
}

func errText(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}
