package draw

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"golang.org/x/mod/sumdb/note"
)

// Trust pins whose word counts: verifier keys that came another way than the bundle.
type Trust struct{ Publisher, Witness string }

// ParseTrust reads lines "publisher KEY" and "witness KEY"; blank lines and those that
// begin with # are skipped.
func ParseTrust(r io.Reader) (Trust, error) {
	b, err := io.ReadAll(io.LimitReader(r, 64<<10))
	if err != nil {
		return Trust{}, fmt.Errorf("read trust: %w", err)
	}
	var t Trust
	n := 0
	for line := range strings.SplitSeq(string(b), "\n") {
		n++
		line = strings.TrimSpace(line)
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		who, key, _ := strings.Cut(line, " ")
		switch who {
		case "publisher":
			t.Publisher = strings.TrimSpace(key)
		case "witness":
			t.Witness = strings.TrimSpace(key)
		default:
			return Trust{}, fmt.Errorf("line %d: want publisher KEY or witness KEY", n)
		}
	}
	if t.Publisher == "" || t.Witness == "" {
		return Trust{}, errors.New("want a line publisher KEY and a line witness KEY")
	}
	return t, nil
}

// Verdict is what verification found of a bundle in which everything fits.
type Verdict struct {
	Campaign      string    `json:"campaign"`
	Version       int64     `json:"version"` // of the terms that were in force: the last one
	Practice      bool      `json:"practice"`
	Authenticated bool      `json:"authenticated"` // both keys are those of the trust
	Publisher     string    `json:"publisher"`     // fingerprint
	Witness       string    `json:"witness"`       // fingerprint
	Entries       int64     `json:"entries"`
	Winners       int64     `json:"winners"`
	Waiting       int64     `json:"waiting"`
	Advances      int64     `json:"advances"`
	Round         uint64    `json:"round"`
	Root          string    `json:"root"`
	Seed          string    `json:"seed"`
	TermsSeen     time.Time `json:"terms_seen"`
	ListSeen      time.Time `json:"list_seen"`
	RoundTime     time.Time `json:"round_time"`
}

// Verify does the draw again from the files alone and compares every byte. The error is
// a *Fault that names the file. trust may be nil: then the verdict says that nobody
// vouched for the keys.
func Verify(dir string, trust *Trust) (Verdict, error) {
	manifest, entries, err := checkManifest(dir)
	if err != nil {
		return Verdict{}, err
	}
	p, err := readPrepared(dir)
	if err != nil {
		return Verdict{}, err
	}
	if err := checkSignature(dir, p.terms, manifest); err != nil {
		return Verdict{}, err
	}
	if trust != nil && (trust.Publisher != p.terms.Publisher || trust.Witness != p.terms.Witness) {
		return Verdict{}, fault(TermsFile, errors.New("publisher or witness is not the one that is trusted"))
	}
	b, err := readFile(dir, RoundFile)
	if err != nil {
		return Verdict{}, err
	}
	var round Round
	if err := decodeJSON(b, &round); err != nil {
		return Verdict{}, fault(RoundFile, err)
	}
	d, err := drawListed(dir, p, round, entries)
	if err != nil {
		return Verdict{}, err
	}
	if err := compareResult(dir, p, d); err != nil {
		return Verdict{}, err
	}
	if err := replay(p.log, d.outcome); err != nil {
		return Verdict{}, fault(LogFile, err)
	}
	if err := compareCheckpoints(dir, p); err != nil {
		return Verdict{}, err
	}
	return verdict(p, d, trust != nil)
}

func verdict(p prepared, d drawn, authenticated bool) (Verdict, error) {
	var t Transcript
	if err := decodeJSON(d.files.transcript, &t); err != nil {
		return Verdict{}, fault(TranscriptFile, err)
	}
	at, err := TimeOf(p.terms.Beacon.Chain, p.terms.Beacon.Round)
	return Verdict{
		Campaign: p.terms.Campaign, Version: p.log.Versions(), Practice: p.terms.Practice, Authenticated: authenticated,
		Publisher: Fingerprint(p.terms.Publisher), Witness: Fingerprint(p.terms.Witness),
		Entries: d.list.Size, Winners: t.Winners, Waiting: t.Waiting, Advances: int64(len(p.log.Advances())),
		Round: t.Round, Root: t.Root, Seed: t.Seed,
		TermsSeen: p.seen[p.log.Versions()-1].At.UTC(), ListSeen: p.seen[p.log.Versions()].At.UTC(), RoundTime: at.UTC(),
	}, fault(TermsFile, err)
}

// drawListed draws and holds the list against the manifest in one reading of it: it is as long as
// all else together a thousand times.
func drawListed(dir string, p prepared, round Round, want File) (drawn, error) {
	seen := newHashing()
	d, err := drawFrom(dir, p, round, seen)
	got := seen.file(EntriesFile)
	if err != nil { // perhaps before its end
		var failed error
		if got, failed = hashFile(dir, EntriesFile); failed != nil {
			return d, failed
		}
	}
	if got != want {
		return d, errNotListed(EntriesFile)
	}
	return d, err
}

func errNotListed(name string) error {
	return fault(name, errors.New("size or hash is not what the manifest says"))
}

// checkManifest compares the folder with its manifest, file by file, but for the list, of which it
// gives what the manifest says.
func checkManifest(dir string) (manifest []byte, entries File, err error) {
	b, err := readFile(dir, ManifestFile)
	if err != nil {
		return nil, entries, err
	}
	var m Manifest
	if err := decodeJSON(b, &m); err != nil {
		return nil, entries, fault(ManifestFile, err)
	}
	if m.Format != Format {
		return nil, entries, fault(ManifestFile, fmt.Errorf("format %.20q, want %s", m.Format, Format))
	}
	listed, err := m.listed()
	if err != nil {
		return nil, entries, err
	}
	names, err := fileNames(dir)
	if err != nil {
		return nil, entries, err
	}
	for _, name := range names {
		if name == ManifestFile || name == SignatureFile {
			continue
		}
		want, ok := listed[name]
		if !ok {
			return nil, entries, fault(name, errors.New("a file that the manifest does not list"))
		}
		delete(listed, name)
		if name == EntriesFile {
			entries = want
			continue
		}
		got, err := hashFile(dir, name)
		if err != nil {
			return nil, entries, err
		}
		if got != want {
			return nil, entries, errNotListed(name)
		}
	}
	for name := range listed {
		return nil, entries, fault(name, errors.New("missing: the manifest lists it"))
	}
	return b, entries, nil
}

// listed are the manifest's files by name.
func (m Manifest) listed() (map[string]File, error) {
	listed := map[string]File{}
	last := ""
	for _, f := range m.Files {
		if f.Name <= last || strings.ContainsAny(f.Name, `/\`) || strings.HasPrefix(f.Name, ".") {
			return nil, fault(ManifestFile, fmt.Errorf("%.40q: names are plain and sorted", f.Name))
		}
		last = f.Name
		listed[f.Name] = f
	}
	return listed, nil
}

// checkSignature verifies the publisher's signature of the manifest, and that manifest
// and terms tell of the same campaign.
func checkSignature(dir string, t Terms, manifest []byte) error {
	b, err := readFile(dir, SignatureFile)
	if err != nil {
		return err
	}
	key, err := note.NewVerifier(t.Publisher)
	if err != nil {
		return fault(TermsFile, fmt.Errorf("publisher: %w", err))
	}
	n, err := note.Open(b, note.VerifierList(key))
	if err != nil {
		return fault(SignatureFile, err)
	}
	if len(n.UnverifiedSigs) > 0 || n.Text != manifestText(t.Campaign, manifest) {
		return fault(SignatureFile, errors.New("it signs another manifest"))
	}
	var m Manifest
	if err := decodeJSON(manifest, &m); err != nil {
		return fault(ManifestFile, err)
	}
	if m.Campaign != t.Campaign || m.Practice != t.Practice {
		return fault(ManifestFile, errors.New("campaign or practice is not what the terms say"))
	}
	return nil
}

// compareResult compares the published result with the one that was computed.
func compareResult(dir string, p prepared, d drawn) error {
	for _, f := range []struct {
		name string
		want []byte
	}{{WinnersFile, d.files.winners}, {WaitingFile, d.files.waiting}, {TranscriptFile, d.files.transcript}} {
		got, err := readFile(dir, f.name)
		if err != nil {
			return err
		}
		if !bytes.Equal(got, f.want) {
			return fault(f.name+":"+strconv.Itoa(differs(got, f.want)), errors.New("it is not what the draw gives"))
		}
	}
	result, ok := p.log.Result()
	if !ok {
		return fault(LogFile, errors.New("want the record result"))
	}
	if result.SHA256 != sha256Hex(d.files.transcript) {
		return fault(LogFile, fmt.Errorf("record %d: the hash is not that of %s", p.log.Versions()+2, TranscriptFile))
	}
	return nil
}

// compareCheckpoints wants a checkpoint of the result and of the log's end, each seen by
// the witness no earlier than the one before; those between may be there.
func compareCheckpoints(dir string, p prepared) error {
	names, err := fileNames(dir)
	if err != nil {
		return err
	}
	there := map[string]bool{}
	for _, name := range names {
		there[name] = true
	}
	v, end := p.log.Versions(), int64(len(p.log.Records))
	last := p.seen[v].At
	for n := v + 2; n <= end; n++ {
		if !there[CheckpointFile(n)] && n != v+2 && n != end {
			continue
		}
		w, err := readCheckpoint(dir, n, p)
		if err != nil {
			return err
		}
		if w.At.Before(last) {
			return fault(CheckpointFile(n), errEarlier)
		}
		last = w.At
		delete(there, CheckpointFile(n))
	}
	for _, name := range []string{
		TermsFile, EntriesFile, LogFile, RoundFile, WinnersFile, WaitingFile, TranscriptFile,
		ManifestFile, SignatureFile, CheckpointFile(v), CheckpointFile(v + 1),
	} {
		delete(there, name)
	}
	for n := int64(1); n < v; n++ {
		delete(there, FormerTermsFile(n))
		delete(there, CheckpointFile(n))
	}
	for _, name := range names {
		if there[name] {
			return fault(name, errors.New("a file that belongs to no bundle"))
		}
	}
	return nil
}

// differs is the number of the first line that differs.
func differs(a, b []byte) int {
	line := 1
	for i := range min(len(a), len(b)) {
		if a[i] != b[i] {
			return line
		}
		if a[i] == '\n' {
			line++
		}
	}
	return line
}

// replay holds each advance to the rule: who drops out had an envelope, and the first
// who waits in the same stratum moves up. There is never a second draw.
func replay(l *Log, o Outcome) error {
	holds := map[string]string{} // ticket → stratum
	for _, w := range o.Winners {
		holds[w.Ticket.String()] = w.Stratum
	}
	waiting := map[string][]string{}
	for _, w := range o.Waiting {
		waiting[w.Stratum] = append(waiting[w.Stratum], w.Ticket.String())
	}
	first := int(l.Versions()) + 3
	for i, a := range l.Advances() {
		stratum, ok := holds[a.Out]
		if !ok {
			return fmt.Errorf("record %d: %s has no envelope to lose", first+i, a.Out)
		}
		delete(holds, a.Out)
		next := ""
		if list := waiting[stratum]; len(list) > 0 {
			next, waiting[stratum] = list[0], list[1:]
			holds[next] = stratum
		}
		if a.In != next {
			return fmt.Errorf("record %d: %q moves up, the next on the waiting list is %q", first+i, a.In, next)
		}
	}
	return nil
}

// CheckKeys wants two keys of two parties. It is asked before terms are published: with
// others no draw could ever verify.
func (t Terms) CheckKeys() error {
	publisher, err := note.NewVerifier(t.Publisher)
	if err != nil {
		return fmt.Errorf("terms: publisher: %w", err)
	}
	witness, err := parseWitnessKey(t.Witness)
	if err != nil {
		return fmt.Errorf("terms: %w", err)
	}
	if publisher.Name() == witness.Name() || strings.HasSuffix(t.Publisher, lastDigits(t.Witness)) {
		return errors.New("terms: publisher and witness are one party")
	}
	return nil
}

// lastDigits are the digits of a key that its first byte, the algorithm, cannot reach.
func lastDigits(vkey string) string { return vkey[max(0, len(vkey)-40):] }
