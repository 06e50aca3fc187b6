package draw

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/mod/sumdb/note"
)

// Fault is what is wrong with a bundle, and where.
type Fault struct {
	File string
	Err  error
}

func (f *Fault) Error() string { return f.File + ": " + f.Err.Error() }

// Unwrap returns the cause.
func (f *Fault) Unwrap() error { return f.Err }

func fault(file string, err error) error {
	if err == nil {
		return nil
	}
	if l, ok := errors.AsType[*lineError](err); ok {
		return &Fault{fmt.Sprintf("%s:%d", file, l.line), l.err}
	}
	return &Fault{file, err}
}

// Manifest lists every file of a bundle but itself and its signature.
type Manifest struct {
	Format   string `json:"format"`
	Campaign string `json:"campaign"`
	Practice bool   `json:"practice"`
	Files    []File `json:"files"` // by name
}

// File is one file of a bundle.
type File struct {
	Name   string `json:"name"`
	Size   int64  `json:"size"`
	SHA256 string `json:"sha256"`
}

// Sizes beyond which a file is not read into memory. entries.csv never is.
const maxFile = 1 << 30

func sha256Hex(b []byte) string { return hexOf(sha256.Sum256(b)) }

func readFile(dir, name string) ([]byte, error) {
	f, err := os.Open(filepath.Join(dir, name)) //nolint:gosec // the folder is the caller's, the names are ours or checked
	if err != nil {
		return nil, fault(name, err)
	}
	defer func() { _ = f.Close() }() // read only
	b, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err == nil && len(b) > maxFile {
		err = fmt.Errorf("more than %d bytes", maxFile)
	}
	return b, fault(name, err)
}

// writeFile writes a file that is whole or absent.
func writeFile(dir, name string, b []byte) error {
	tmp, err := os.CreateTemp(dir, "."+name+"-*")
	if err != nil {
		return fault(name, err)
	}
	_, err = tmp.Write(b)
	err = errors.Join(err, tmp.Chmod(0o644), tmp.Sync(), tmp.Close())
	if err == nil {
		err = os.Rename(tmp.Name(), filepath.Join(dir, name))
	}
	if err != nil {
		_ = os.Remove(tmp.Name()) // the first error is the telling one
	}
	return fault(name, err)
}

// prepared is what stands before the round exists.
type prepared struct {
	terms Terms
	log   *Log
	seen  []Witnessed // of the terms, of the list
}

// readPrepared reads and checks terms, log and the first two checkpoints.
func readPrepared(dir string) (prepared, error) {
	var p prepared
	b, err := readFile(dir, TermsFile)
	if err != nil {
		return p, err
	}
	if p.terms, err = DecodeTerms(b); err != nil {
		return p, fault(TermsFile, err)
	}
	if err := p.terms.CheckKeys(); err != nil {
		return p, fault(TermsFile, err)
	}
	lines, err := readFile(dir, LogFile)
	if err != nil {
		return p, err
	}
	if p.log, err = DecodeLog(lines); err != nil {
		return p, fault(LogFile, err)
	}
	if len(p.log.Records) < 2 {
		return p, fault(LogFile, errors.New("want the records terms and list"))
	}
	if p.log.Records[0].SHA256 != sha256Hex(b) {
		return p, fault(LogFile, errors.New("record 1: the hash is not that of "+TermsFile))
	}
	for n := int64(1); n <= 2; n++ {
		w, err := readCheckpoint(dir, n, p)
		if err != nil {
			return p, err
		}
		p.seen = append(p.seen, w)
	}
	return p, p.inTime()
}

// readCheckpoint verifies the checkpoint after n records against the log.
func readCheckpoint(dir string, n int64, p prepared) (Witnessed, error) {
	name := CheckpointFile(n)
	b, err := readFile(dir, name)
	if err != nil {
		return Witnessed{}, err
	}
	w, err := p.log.Witnessed(b, n, p.terms)
	return w, fault(name, err)
}

// inTime holds the order that makes the draw fair.
func (p prepared) inTime() error {
	round, err := TimeOf(p.terms.Beacon.Chain, p.terms.Beacon.Round)
	if err != nil {
		return fault(TermsFile, err)
	}
	terms, list := p.seen[0].At, p.seen[1].At
	if err := p.terms.TermsInTime(terms); err != nil {
		return fault(CheckpointFile(1), err)
	}
	return fault(CheckpointFile(2), p.terms.ListInTime(list, round))
}

// drawn is what a seed makes of a list.
type drawn struct {
	list    List
	outcome Outcome
	files   rendered
}

// drawFrom computes the result from the files in dir.
func drawFrom(dir string, p prepared, round Round) (drawn, error) {
	if round.Round != p.terms.Beacon.Round {
		return drawn{}, fault(RoundFile, fmt.Errorf("round %d, the terms name %d", round.Round, p.terms.Beacon.Round))
	}
	randomness, err := round.Verify(p.terms.Beacon.Chain)
	if err != nil {
		return drawn{}, fault(RoundFile, err)
	}
	terms, err := p.terms.Hash()
	if err != nil {
		return drawn{}, err
	}
	record := p.log.Records[1]
	root, err := ParseTicket(record.Root)
	if err != nil {
		return drawn{}, fault(LogFile, err)
	}
	seed := Seed(terms, root, record.Size, randomness)
	f, err := os.Open(filepath.Join(dir, EntriesFile))
	if err != nil {
		return drawn{}, fault(EntriesFile, err)
	}
	defer func() { _ = f.Close() }() // read only
	list, selected, err := scan(f, p.terms, &seed)
	if err != nil {
		return drawn{}, fault(EntriesFile, err)
	}
	if list.Size != record.Size || list.Root != root {
		return drawn{}, fault(EntriesFile, errors.New("it is not the list that the log's record 2 fixed"))
	}
	d := drawn{list: list, outcome: selected.decide()}
	d.files, err = render(p.terms, list, round, randomness, seed, d.outcome)
	return d, err
}

// Draw draws: dir holds terms.json, entries.csv, log.jsonl with the records terms and
// list, and their two checkpoints with the witness's signatures. It writes round.json,
// winners.csv, waiting.csv and transcript.json and appends the result to the log. Drawing
// again writes the same bytes. Errors are *Fault, and then nothing has been written.
func Draw(dir string, round Round) (Outcome, error) {
	p, err := readPrepared(dir)
	if err != nil {
		return Outcome{}, err
	}
	d, err := drawFrom(dir, p, round)
	if err != nil {
		return Outcome{}, err
	}
	result := Record{Kind: RecordResult, SHA256: sha256Hex(d.files.transcript)}
	switch {
	case len(p.log.Records) == 2:
		if _, err := p.log.Append(result); err != nil {
			return Outcome{}, fault(LogFile, err)
		}
	case p.log.Records[2] != result:
		return Outcome{}, fault(LogFile, errors.New("record 3 is another result"))
	}
	roundBytes, err := encodeJSON(round)
	if err != nil {
		return Outcome{}, err
	}
	logBytes, err := p.log.Encode()
	if err != nil {
		return Outcome{}, err
	}
	for _, f := range []struct {
		name string
		b    []byte
	}{
		{RoundFile, roundBytes},
		{WinnersFile, d.files.winners},
		{WaitingFile, d.files.waiting},
		{TranscriptFile, d.files.transcript},
		{LogFile, logBytes}, // last: what the log tells of is there
	} {
		if err := writeFile(dir, f.name, f.b); err != nil {
			return Outcome{}, err
		}
	}
	return d.outcome, nil
}

// Seal lists the bundle's files and signs the list. Every file of dir is taken.
func Seal(dir string, publisher note.Signer) error {
	b, err := readFile(dir, TermsFile)
	if err != nil {
		return err
	}
	t, err := DecodeTerms(b)
	if err != nil {
		return fault(TermsFile, err)
	}
	m := Manifest{Format: Format, Campaign: t.Campaign, Practice: t.Practice}
	names, err := fileNames(dir)
	if err != nil {
		return err
	}
	for _, name := range names {
		if name == ManifestFile || name == SignatureFile {
			continue
		}
		f, err := hashFile(dir, name)
		if err != nil {
			return err
		}
		m.Files = append(m.Files, f)
	}
	list, err := encodeJSON(m)
	if err != nil {
		return err
	}
	signed, err := note.Sign(&note.Note{Text: manifestText(t.Campaign, list)}, publisher)
	if err != nil {
		return fmt.Errorf("sign manifest: %w", err)
	}
	if err := writeFile(dir, ManifestFile, list); err != nil {
		return err
	}
	return writeFile(dir, SignatureFile, signed)
}

func manifestText(campaign string, manifest []byte) string {
	return "dcpos/draw-bundle/" + campaign + "\n" + sha256Hex(manifest) + "\n"
}

// fileNames lists a folder that may hold nothing but files.
func fileNames(dir string) ([]string, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, fmt.Errorf("read bundle: %w", err)
	}
	names := make([]string, 0, len(entries))
	for _, e := range entries {
		if !e.Type().IsRegular() {
			return nil, fault(e.Name(), errors.New("not a plain file: a bundle holds nothing else"))
		}
		if !strings.HasPrefix(e.Name(), ".") || !strings.Contains(e.Name(), "-") { // not a file half written
			names = append(names, e.Name())
		}
	}
	slices.Sort(names)
	return names, nil
}

func hashFile(dir, name string) (File, error) {
	f, err := os.Open(filepath.Join(dir, name)) //nolint:gosec // as readFile
	if err != nil {
		return File{}, fault(name, err)
	}
	defer func() { _ = f.Close() }() // read only
	h := sha256.New()
	n, err := io.Copy(h, f)
	if err != nil {
		return File{}, fault(name, err)
	}
	return File{Name: name, Size: n, SHA256: hex.EncodeToString(h.Sum(nil))}, nil
}
