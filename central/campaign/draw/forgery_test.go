package draw_test

import (
	"bytes"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/mod/sumdb/note"

	"dcpos/central/campaign/draw"
)

// forgery changes a bundle as a cheat would; reseal says that he also has the
// publisher's key and signs a new manifest.
type forgery struct {
	name   string
	change func(t *testing.T, s *stage)
	reseal bool
	file   string // where the fault is found
}

func edit(t *testing.T, s *stage, name string, change func(string) string) {
	t.Helper()
	path := filepath.Join(s.dir, name)
	b, err := os.ReadFile(path)
	must(t, err)
	changed := change(string(b))
	if changed == string(b) {
		t.Fatalf("%s: nothing changed", name)
	}
	must(t, os.WriteFile(path, []byte(changed), 0o600))
}

func swapLines(a, b int) func(string) string {
	return func(s string) string {
		lines := strings.SplitAfter(s, "\n")
		lines[a], lines[b] = lines[b], lines[a]
		return strings.Join(lines, "")
	}
}

func dropLine(n int) func(string) string {
	return func(s string) string {
		lines := strings.SplitAfter(s, "\n")
		return strings.Join(append(lines[:n:n], lines[n+1:]...), "")
	}
}

func replace(old, with string) func(string) string {
	return func(s string) string { return strings.Replace(s, old, with, 1) }
}

// flip changes one hexadecimal digit of the line's field.
func flip(line, field int) func(string) string {
	return func(s string) string {
		lines := strings.SplitAfter(s, "\n")
		fields := strings.Split(lines[line], ",")
		b := []byte(fields[field])
		if b[5] == '0' {
			b[5] = '1'
		} else {
			b[5] = '0'
		}
		fields[field] = string(b)
		lines[line] = strings.Join(fields, ",")
		return strings.Join(lines, "")
	}
}

func rename(from, to string) func(*testing.T, *stage) {
	return func(t *testing.T, s *stage) {
		t.Helper()
		must(t, os.Rename(filepath.Join(s.dir, from), filepath.Join(s.dir, to)))
	}
}

func in(file string, change func(string) string) func(*testing.T, *stage) {
	return func(t *testing.T, s *stage) { t.Helper(); edit(t, s, file, change) }
}

func forgeries() []forgery {
	one := strings.Repeat("0", 63) + "1"
	return []forgery{
		{"a byte of the manifest", in(draw.ManifestFile, replace("wangfujing", "wangfujinh")), false, draw.SignatureFile},
		{"the manifest's signature", in(draw.SignatureFile, replace("wangfujing", "wangfujinh")), false, draw.SignatureFile},
		{"another key signs the manifest", func(t *testing.T, s *stage) {
			t.Helper()
			secret, _, err := note.GenerateKey(rand.Reader, "publisher.example")
			must(t, err)
			s.publisher, err = note.NewSigner(secret)
			must(t, err)
		}, true, draw.SignatureFile},
		{"a file more", func(t *testing.T, s *stage) { t.Helper(); s.write(t, "more.txt", []byte("x")) }, false, "more.txt"},
		{"a file more, listed", func(t *testing.T, s *stage) { t.Helper(); s.write(t, "more.txt", []byte("x")) }, true, "more.txt"},
		{"a folder", func(t *testing.T, s *stage) { t.Helper(); must(t, os.Mkdir(filepath.Join(s.dir, "sub"), 0o700)) }, false, "sub"},
		{"a file less", func(t *testing.T, s *stage) { t.Helper(); must(t, os.Remove(filepath.Join(s.dir, draw.WaitingFile))) }, false, draw.WaitingFile},
		{"a file less, not listed", func(t *testing.T, s *stage) { t.Helper(); must(t, os.Remove(filepath.Join(s.dir, draw.WaitingFile))) }, true, draw.WaitingFile},
		{"two files change names", func(t *testing.T, s *stage) {
			t.Helper()
			rename(draw.WinnersFile, "x")(t, s)
			rename(draw.WaitingFile, draw.WinnersFile)(t, s)
			rename("x", draw.WaitingFile)(t, s)
		}, true, draw.WinnersFile},
		{"an entry dropped", in(draw.EntriesFile, dropLine(7)), true, draw.EntriesFile},
		{"an entry added", in(draw.EntriesFile, func(s string) string {
			return replace("institution\n", "institution\n"+one+",,ICBC\n")(s)
		}), true, draw.EntriesFile},
		{"an entry's ticket changed", in(draw.EntriesFile, flip(7, 0)), true, draw.EntriesFile},
		{"an entry's institution changed", in(draw.EntriesFile, replace(",ABC", ",BOC")), true, draw.EntriesFile},
		{"two entries change places", in(draw.EntriesFile, swapLines(3, 4)), true, draw.EntriesFile + ":5"},
		{"an entry twice", in(draw.EntriesFile, func(s string) string {
			lines := strings.SplitAfter(s, "\n")
			return strings.Join(append(lines[:3:3], lines[2:]...), "")
		}), true, draw.EntriesFile + ":4"},
		{"an unknown institution", in(draw.EntriesFile, replace(",ABC", ",XYZ")), true, draw.EntriesFile},
		{"CRLF in the list", in(draw.EntriesFile, replace("\n", "\r\n")), true, draw.EntriesFile},
		{"no line feed at the list's end", in(draw.EntriesFile, func(s string) string { return strings.TrimSuffix(s, "\n") }), true, draw.EntriesFile},
		{"a ticket in capitals", in(draw.EntriesFile, func(s string) string {
			lines := strings.SplitAfter(s, "\n")
			lines[1] = strings.ToUpper(lines[1])
			return strings.Join(lines, "")
		}), true, draw.EntriesFile + ":2"},
		{"the budget's tiers changed", in(draw.TermsFile, replace(`"count":20`, `"count":21`)), true, draw.LogFile},
		{"the terms' round changed", in(draw.TermsFile, replace(`"round":3`, `"round":4`)), true, draw.LogFile},
		{"a space in the terms", in(draw.TermsFile, replace(`:`, `: `)), true, draw.TermsFile},
		{"a key more in the terms", in(draw.TermsFile, replace(`{`, `{"note":"x",`)), true, draw.TermsFile},
		{"a practice bundle called real", in(draw.TermsFile, replace(`"practice":true`, `"practice":false`)), true, draw.TermsFile},
		{"the log's list has another size", in(draw.LogFile, replace(`"size":400`, `"size":401`)), true, "checkpoint-2.txt"},
		{"the log's list has another root", in(draw.LogFile, func(s string) string {
			i := strings.Index(s, `"root":"`) + 8
			return s[:i] + one + s[i+64:]
		}), true, "checkpoint-2.txt"},
		{"a record less", in(draw.LogFile, dropLine(2)), true, draw.LogFile},
		{"a record more", in(draw.LogFile, func(s string) string {
			return s + `{"kind":"advance","out":"` + one + `","reason":"x"}` + "\n"
		}), true, draw.LogFile},
		{"records change places", in(draw.LogFile, swapLines(0, 1)), true, draw.LogFile},
		{"a checkpoint less", func(t *testing.T, s *stage) { t.Helper(); must(t, os.Remove(filepath.Join(s.dir, "checkpoint-3.txt"))) }, true, "checkpoint-3.txt"},
		{"checkpoints change places", func(t *testing.T, s *stage) {
			t.Helper()
			rename("checkpoint-1.txt", "x")(t, s)
			rename("checkpoint-2.txt", "checkpoint-1.txt")(t, s)
			rename("x", "checkpoint-2.txt")(t, s)
		}, true, "checkpoint-1.txt"},
		{"the witness's line taken off", in("checkpoint-2.txt", func(s string) string {
			lines := strings.SplitAfter(s, "\n")
			return strings.Join(lines[:len(lines)-2], "")
		}), true, "checkpoint-2.txt"},
		{"the witness's time put back", in("checkpoint-2.txt", func(s string) string {
			i := strings.LastIndex(s, " ")
			return s[:i+10] + "AAAA" + s[i+14:]
		}), true, "checkpoint-2.txt"},
		{"another round", func(t *testing.T, s *stage) {
			t.Helper()
			r, err := draw.PracticeRound(s.terms.Beacon.Round + 1)
			must(t, err)
			writeRound(t, s, r)
		}, true, draw.RoundFile},
		{"another round under the right number", func(t *testing.T, s *stage) {
			t.Helper()
			r, err := draw.PracticeRound(s.terms.Beacon.Round + 1)
			must(t, err)
			r.Round--
			writeRound(t, s, r)
		}, true, draw.RoundFile},
		{"randomness that is not the signature's", in(draw.RoundFile, func(s string) string {
			i := strings.Index(s, `"randomness":"`) + 14
			return s[:i] + one + s[i+64:]
		}), true, draw.RoundFile},
		{"a round of drand under practice", in(draw.RoundFile, func(string) string {
			return `{"round":1000,"randomness":"fe290beca10872ef2fb164d2aa4442de4566183ec51c56ff3cd603d930e54fdd","signature":"b44679b9a59af2ec876b1a6b1ad52ea9b1615fc3982b19576350f93447cb1125e342b73a8dd2bacbe47e4b6b63ed5e39"}` + "\n"
		}), true, draw.RoundFile},
		{"winners change ranks", in(draw.WinnersFile, swapLines(1, 2)), true, draw.WinnersFile + ":2"},
		{"a winner dropped", in(draw.WinnersFile, dropLine(20)), true, draw.WinnersFile + ":21"},
		{"a winner for another", in(draw.WinnersFile, flip(5, 1)), true, draw.WinnersFile + ":6"},
		{"a face raised", in(draw.WinnersFile, replace(",20000,", ",80000,")), true, draw.WinnersFile + ":2"},
		{"a winner's bank changed", in(draw.WinnersFile, func(s string) string {
			if strings.Contains(s, ",ABC,") {
				return replace(",ABC,", ",BOC,")(s)
			}
			return replace(",BOC,", ",ABC,")(s)
		}), true, draw.WinnersFile},
		{"the waiting list reordered", in(draw.WaitingFile, swapLines(1, 2)), true, draw.WaitingFile + ":2"},
		{"somebody put on the waiting list", in(draw.WaitingFile, flip(3, 1)), true, draw.WaitingFile + ":4"},
		{"another cut-off", in(draw.TranscriptFile, func(s string) string {
			i := strings.Index(s, `"key":"`) + 7
			return s[:i] + one + s[i+64:]
		}), true, draw.TranscriptFile},
		{"another seed", in(draw.TranscriptFile, func(s string) string {
			i := strings.Index(s, `"seed":"`) + 8
			return s[:i] + one + s[i+64:]
		}), true, draw.TranscriptFile},
	}
}

func writeRound(t *testing.T, s *stage, r draw.Round) {
	t.Helper()
	b, err := json.Marshal(r)
	must(t, err)
	s.write(t, draw.RoundFile, append(b, '\n'))
}

func TestForgeriesAreFoundAndNamed(t *testing.T) {
	genuine, _ := played(t, 400, nil)
	list := forgeries()
	if len(list) < 30 {
		t.Fatalf("%d forgeries", len(list))
	}
	for _, f := range list {
		t.Run(f.name, func(t *testing.T) {
			s := genuine.copy(t)
			f.change(t, s)
			if f.reseal {
				must(t, resealed(s))
			}
			_, err := draw.Verify(s.dir, nil)
			wantFault(t, err, f.file)
		})
	}
	if _, err := draw.Verify(genuine.dir, nil); err != nil {
		t.Errorf("the genuine bundle: %v", err)
	}
}

// resealed signs whatever is there, even where Seal would not: the cheat has the key.
func resealed(s *stage) error {
	terms, err := os.ReadFile(filepath.Join(s.dir, draw.TermsFile))
	if err != nil {
		return err
	}
	encoded, err := s.terms.Encode()
	if err != nil {
		return err
	}
	if !bytes.Equal(terms, encoded) { // Seal reads the terms: give it genuine ones, then put the false ones back
		if err := os.WriteFile(filepath.Join(s.dir, draw.TermsFile), encoded, 0o600); err != nil {
			return err
		}
		if err := draw.Seal(s.dir, s.publisher); err != nil {
			return err
		}
		return swapInManifest(s, terms)
	}
	return draw.Seal(s.dir, s.publisher)
}

func swapInManifest(s *stage, terms []byte) error {
	if err := os.WriteFile(filepath.Join(s.dir, draw.TermsFile), terms, 0o600); err != nil {
		return err
	}
	b, err := os.ReadFile(filepath.Join(s.dir, draw.ManifestFile))
	if err != nil {
		return err
	}
	var m draw.Manifest
	if err := json.Unmarshal(b, &m); err != nil {
		return err
	}
	for i, f := range m.Files {
		if f.Name == draw.TermsFile {
			m.Files[i].Size, m.Files[i].SHA256 = int64(len(terms)), sha(terms)
		}
	}
	b, err = json.Marshal(m)
	if err != nil {
		return err
	}
	b = append(b, '\n')
	signed, err := note.Sign(&note.Note{Text: "dcpos/draw-bundle/" + m.Campaign + "\n" + sha(b) + "\n"}, s.publisher)
	if err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(s.dir, draw.ManifestFile), b, 0o600); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(s.dir, draw.SignatureFile), signed, 0o600)
}

// TestEveryByteCounts flips bytes at random places of every file.
func TestEveryByteCounts(t *testing.T) {
	s, _ := played(t, 60, nil)
	names, err := os.ReadDir(s.dir)
	must(t, err)
	for _, f := range names {
		path := filepath.Join(s.dir, f.Name())
		genuine, err := os.ReadFile(path)
		must(t, err)
		for i := 0; i < len(genuine); i += 1 + len(genuine)/40 {
			b := bytes.Clone(genuine)
			b[i] ^= 0x04
			must(t, os.WriteFile(path, b, 0o600))
			if _, err := draw.Verify(s.dir, nil); err == nil {
				t.Errorf("%s: byte %d changed and nothing was found", f.Name(), i)
			}
		}
		must(t, os.WriteFile(path, genuine, 0o600))
	}
	if _, err := draw.Verify(s.dir, nil); err != nil {
		t.Error(fmt.Errorf("the genuine bundle: %w", err))
	}
}
