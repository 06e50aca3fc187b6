package draw

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
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
	terms  Terms   // in force: the last version
	former []Terms // the versions before it
	log    *Log
	seen   []Witnessed // of each version of the terms, then of the list
}

// list is the log's record of the list, which readPrepared has found.
func (p prepared) list() Record {
	r, _ := p.log.List()
	return r
}

// readPrepared reads and checks terms, log, and the checkpoints of both.
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
	if _, ok := p.log.List(); !ok {
		return p, fault(LogFile, errors.New("want the records terms and list"))
	}
	v := p.log.Versions()
	if p.log.Records[v-1].SHA256 != sha256Hex(b) {
		return p, fault(LogFile, fmt.Errorf("record %d: the hash is not that of %s", v, TermsFile))
	}
	if p.former, err = readFormer(dir, p); err != nil {
		return p, err
	}
	for n := int64(1); n <= v+1; n++ {
		w, err := readCheckpoint(dir, n, p)
		if err != nil {
			return p, err
		}
		p.seen = append(p.seen, w)
	}
	return p, p.inTime()
}

// readFormer reads the versions of the terms before the one in force. What makes them one
// campaign's stays the same in all.
func readFormer(dir string, p prepared) ([]Terms, error) {
	var all []Terms
	for n := int64(1); n < p.log.Versions(); n++ {
		name := FormerTermsFile(n)
		b, err := readFile(dir, name)
		if err != nil {
			return nil, err
		}
		t, err := DecodeTerms(b)
		if err != nil {
			return nil, fault(name, err)
		}
		if p.log.Records[n-1].SHA256 != sha256Hex(b) {
			return nil, fault(LogFile, fmt.Errorf("record %d: the hash is not that of %s", n, name))
		}
		if int64(t.Version) != n {
			return nil, fault(name, fmt.Errorf("version %d, record %d logs it", t.Version, n))
		}
		if err := p.terms.Continues(t); err != nil {
			return nil, fault(name, err)
		}
		all = append(all, t)
	}
	if v := p.log.Versions(); int64(p.terms.Version) != v {
		return nil, fault(TermsFile, fmt.Errorf("version %d, record %d logs it", p.terms.Version, v))
	}
	return all, nil
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
	v := p.log.Versions()
	for i, t := range append(slices.Clone(p.former), p.terms) {
		n := int64(i) + 1
		if err := t.TermsInTime(p.seen[i].At); err != nil {
			return fault(CheckpointFile(n), err)
		}
		if i > 0 {
			if err := p.former[i-1].TermsInTime(p.seen[i].At); err != nil { // registration had opened by those before
				return fault(CheckpointFile(n), err)
			}
			if p.seen[i].At.Before(p.seen[i-1].At) {
				return fault(CheckpointFile(n), errEarlier)
			}
		}
	}
	return fault(CheckpointFile(v+1), p.terms.ListInTime(p.seen[v].At, round))
}

var errEarlier = errors.New("the witness saw it before the one that it continues")

// drawn is what a seed makes of a list.
type drawn struct {
	list    List
	outcome Outcome
	files   rendered
}

// drawFrom computes the result from the files in dir. Once it has succeeded, all of the list
// has gone by also.
func drawFrom(dir string, p prepared, round Round, also io.Writer) (drawn, error) {
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
	record := p.list()
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
	list, selected, err := scan(io.TeeReader(f, also), p.terms, &seed)
	if err != nil {
		return drawn{}, fault(EntriesFile, err)
	}
	if list.Size != record.Size || list.Root != root {
		return drawn{}, fault(EntriesFile, fmt.Errorf("it is not the list that the log's record %d fixed", p.log.Versions()+1))
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
	d, err := drawFrom(dir, p, round, io.Discard)
	if err != nil {
		return Outcome{}, err
	}
	result := Record{Kind: RecordResult, SHA256: sha256Hex(d.files.transcript)}
	switch logged, ok := p.log.Result(); {
	case !ok:
		if _, err := p.log.Append(result); err != nil {
			return Outcome{}, fault(LogFile, err)
		}
	case logged != result:
		return Outcome{}, fault(LogFile, fmt.Errorf("record %d is another result", p.log.Versions()+2))
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

// Sealed reports that the signed manifest tells of terms, log and checkpoints as they lie in
// the folder now. It does not look at what a draw writes once, nor at the signature.
func Sealed(dir string) bool {
	b, err := readFile(dir, ManifestFile)
	if err != nil {
		return false
	}
	var m Manifest
	signed, err := readFile(dir, SignatureFile)
	if err != nil || decodeJSON(b, &m) != nil || !bytes.HasPrefix(signed, []byte(manifestText(m.Campaign, b))) {
		return false
	}
	listed := map[string]File{}
	for _, f := range m.Files {
		if grows(f.Name) {
			listed[f.Name] = f
		}
	}
	names, err := fileNames(dir)
	if err != nil {
		return false
	}
	for _, name := range names {
		if !grows(name) {
			continue
		}
		if f, err := hashFile(dir, name); err != nil || f != listed[name] {
			return false
		}
		delete(listed, name)
	}
	return len(listed) == 0
}

// grows tells the files that come or change while a campaign goes on.
func grows(name string) bool {
	return name == LogFile || strings.HasPrefix(name, "checkpoint-") || strings.HasPrefix(name, "terms")
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
	h := newHashing()
	if _, err := io.Copy(h, f); err != nil {
		return File{}, fault(name, err)
	}
	return h.file(name), nil
}

// hashing is a file as it goes by.
type hashing struct {
	hash.Hash
	size int64
}

func newHashing() *hashing { return &hashing{Hash: sha256.New()} }

// Write implements io.Writer.
func (h *hashing) Write(b []byte) (int, error) {
	h.size += int64(len(b))
	return h.Hash.Write(b)
}

func (h *hashing) file(name string) File {
	return File{Name: name, Size: h.size, SHA256: hex.EncodeToString(h.Sum(nil))}
}
