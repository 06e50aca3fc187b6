package main

import (
	"bytes"
	"encoding/json"
	"encoding/pem"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"dcpos/internal/cli"
	"dcpos/offline"
	"dcpos/pos"
	"dcpos/pos/dcep"
)

// journalFile makes a closed journal of three entries and returns it with its key.
func journalFile(t *testing.T) (string, dcep.Signer) {
	t.Helper()
	suite, err := dcep.SuiteByName(dcep.SM2SM3)
	if err != nil {
		t.Fatal(err)
	}
	signer, err := suite.Generate()
	if err != nil {
		t.Fatal(err)
	}
	cfg := offline.Config{Path: filepath.Join(t.TempDir(), "journal.db"), Signer: signer, Env: pos.Lab, Terminal: "T-1"}
	s, err := offline.Create(t.Context(), cfg, pos.EpochOpened{Reason: pos.EpochEnrolled}, 1, pos.Instant{}, "2026-11-21")
	if err != nil {
		t.Fatal(err)
	}
	d := pos.Draft{Kind: pos.KindDrawer, Operator: "1001", BusinessDate: "2026-11-21", Body: pos.DrawerOpened{Reason: "sale"}}
	if _, err := s.Update(t.Context(), func(pos.JournalView) ([]pos.Draft, error) { return []pos.Draft{d, d}, nil }); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	return cfg.Path, signer
}

func runJournal(t *testing.T, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	t.Setenv("DCPOS_LANG", "en")
	var grammar struct {
		Journal JournalCmd `cmd:""`
	}
	var out, errs bytes.Buffer
	code = cli.Main("posctl", "test", &grammar, append([]string{"journal"}, args...), &cli.Streams{In: strings.NewReader(""), Out: &out, Err: &errs})
	return code, out.String(), errs.String()
}

func TestJournalVerifyTellsByItsExitCode(t *testing.T) {
	path, signer := journalFile(t)
	report, err := offline.Verify(t.Context(), path, offline.VerifyOptions{})
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	file := func(name string, b []byte) string {
		p := filepath.Join(dir, name)
		if err := os.WriteFile(p, b, 0o600); err != nil {
			t.Fatal(err)
		}
		return p
	}
	receipt := func(seq uint64) []byte {
		r := dcep.Receipt{Env: pos.Lab, Terminal: "T-1", Epoch: 1, Seq: seq, Head: unhexHead(t, report.Head)}
		b, err := json.Marshal(r)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	public := file("key.pem", pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: signer.Public()}))
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		args []string
		code int
		says string
	}{
		"whole":               {[]string{path}, 0, "last sequence number: 3"},
		"not pinned":          {[]string{path}, 0, "not pinned"},
		"pinned by file":      {[]string{path, "--trust", public}, 0, "(pinned)"},
		"pinned by print":     {[]string{path, "--trust", strings.ToUpper(report.Fingerprint)}, 0, "(pinned)"},
		"pinned to another":   {[]string{path, "--trust", strings.Repeat("ab", 16)}, 1, "not a key that is trusted"},
		"trust is nonsense":   {[]string{path, "--trust", path}, 2, "neither"},
		"long enough":         {[]string{path, "--expect-seq", "3"}, 0, "verified"},
		"too short":           {[]string{path, "--expect-seq", "4"}, 1, "first bad sequence number 4"},
		"head there":          {[]string{path, "--expect-head", report.Head}, 0, "verified"},
		"head not there":      {[]string{path, "--expect-head", strings.Repeat("00", 32)}, 1, "expected head"},
		"head is nonsense":    {[]string{path, "--expect-head", "xyz"}, 2, "--expect-head"},
		"receipted":           {[]string{path, "--receipt", file("r3.json", receipt(3))}, 0, "its entry is in the journal"},
		"receipted beyond":    {[]string{path, "--receipt", file("r9.json", receipt(9))}, 1, "first bad sequence number 9"},
		"absent":              {[]string{path + ".absent"}, 2, "no such file"},
		"no database":         {[]string{file("text.db", []byte(strings.Repeat("hello ", 1000)))}, 1, "not a database"},
		"one bit in the file": {[]string{file("bit.db", flipIn(t, whole, "sale"))}, 1, "first bad sequence number 2"},
		"as JSON":             {[]string{path, "--json"}, 0, `"last_seq": 3`},
	} {
		t.Run(name, func(t *testing.T) {
			code, out, errs := runJournal(t, append([]string{"verify"}, c.args...)...)
			if code != c.code || !strings.Contains(out+errs, c.says) {
				t.Errorf("exit %d, want %d with %q\n%s%s", code, c.code, c.says, out, errs)
			}
		})
	}
}

// flipIn changes one bit of the entry with the lowest number that holds the text: cells grow downwards in a page.
func flipIn(t *testing.T, b []byte, text string) []byte {
	t.Helper()
	i := bytes.LastIndex(b, []byte(text))
	if i < 0 {
		t.Fatalf("no %q in the file", text)
	}
	b = bytes.Clone(b)
	b[i] ^= 1
	return b
}

func unhexHead(t *testing.T, s string) []byte {
	t.Helper()
	c := JournalVerifyCmd{ExpectHead: s}
	opts, err := c.options()
	if err != nil {
		t.Fatal(err)
	}
	return opts.ExpectHead
}

func TestJournalExportWritesWhatCanBeRead(t *testing.T) {
	path, _ := journalFile(t)
	dir := t.TempDir()
	out := filepath.Join(dir, "salvage")
	if code, stdout, errs := runJournal(t, "export", "--salvage", path, out); code != 0 || !strings.Contains(stdout, "3 entries") {
		t.Errorf("exit %d\n%s%s", code, stdout, errs)
	}
	if code, _, errs := runJournal(t, "export", "--salvage", path, out); code != 2 {
		t.Errorf("exit %d for an output that exists\n%s", code, errs)
	}
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	bad := filepath.Join(dir, "bad.db")
	if err := os.WriteFile(bad, flipIn(t, whole, "sale"), 0o600); err != nil {
		t.Fatal(err)
	}
	if code, stdout, errs := runJournal(t, "export", "--salvage", bad, out+"2"); code != 1 || !strings.Contains(stdout, "missing: epoch 1 numbers 2 to 2") {
		t.Errorf("exit %d\n%s%s", code, stdout, errs)
	}
	text := filepath.Join(dir, "text.db")
	if err := os.WriteFile(text, []byte(strings.Repeat("hello ", 1000)), 0o600); err != nil {
		t.Fatal(err)
	}
	if code, _, errs := runJournal(t, "export", "--salvage", text, out+"3"); code != 1 || !strings.Contains(errs, "not a database") {
		t.Errorf("exit %d\n%s", code, errs)
	}
	if _, err := os.Stat(out + "3"); err == nil {
		t.Error("a file for nothing is left")
	}
}
