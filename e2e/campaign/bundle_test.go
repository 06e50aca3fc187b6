package campaign_test

import (
	"bytes"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/mod/sumdb/note"

	"dcpos/central/campaign/draw"
	"dcpos/pos"
)

// dealer makes bundles, genuine and forged. He has the keys of publisher and witness:
// what they would never sign together he signs.
type dealer struct {
	testing.TB
	rng       *rand.Rand
	publisher note.Signer
	public    string
	witness   ed25519.PrivateKey
}

func newDealer(tb testing.TB, seed uint64) *dealer {
	tb.Helper()
	d := &dealer{TB: tb, rng: rand.New(rand.NewPCG(seed, 1))} //nolint:gosec // cases, not secrets
	secret, public, err := note.GenerateKey(nil, "publisher.example")
	d.must(err)
	d.public = public
	d.publisher, err = note.NewSigner(secret)
	d.must(err)
	_, d.witness, err = ed25519.GenerateKey(nil)
	d.must(err)
	return d
}

func (d *dealer) must(err error) {
	d.Helper()
	if err != nil {
		d.Fatal(err)
	}
}

const witnessName = "witness.example"

func (d *dealer) witnessKey() (vkey string, hash uint32) {
	raw := append([]byte{4}, d.witness.Public().(ed25519.PublicKey)...)
	sum := sha256.Sum256(append([]byte(witnessName+"\n"), raw...))
	hash = binary.BigEndian.Uint32(sum[:])
	return fmt.Sprintf("%s+%08x+%s", witnessName, hash, base64.StdEncoding.EncodeToString(raw)), hash
}

// cosigned is the checkpoint of the log's first n records, seen at a moment.
func (d *dealer) cosigned(t draw.Terms, l *draw.Log, n int64, at time.Time) []byte {
	tree, err := l.Tree(n)
	d.must(err)
	b, err := draw.Checkpoint(t.Campaign, tree, d.publisher)
	d.must(err)
	text := string(b[:bytes.LastIndex(b, []byte("\n\n"))+1])
	_, hash := d.witnessKey()
	sig := binary.BigEndian.AppendUint32(nil, hash)
	sig = binary.BigEndian.AppendUint64(sig, uint64(at.Unix())) //nolint:gosec // after 1970
	sig = append(sig, ed25519.Sign(d.witness, fmt.Appendf(nil, "cosignature/v1\ntime %d\n%s", at.Unix(), text))...)
	return append(b, "— "+witnessName+" "+base64.StdEncoding.EncodeToString(sig)+"\n"...)
}

func at(s string) time.Time {
	t, err := time.ParseInLocation(time.DateTime, s, pos.Shanghai())
	if err != nil {
		panic(err)
	}
	return t
}

// terms are random: strata, quotas, tiers, waiting lists, sharing.
func (d *dealer) terms() draw.Terms {
	round, err := draw.RoundAfter(draw.PracticeChain, at("2021-02-09 10:00:00"))
	d.must(err)
	witness, _ := d.witnessKey()
	t := draw.Terms{
		Format: draw.Format, Campaign: "wangfujing-2021", Version: 1 + d.rng.IntN(3)*d.rng.IntN(2), Env: pos.Lab, Practice: true, Definition: fmt.Sprintf("%064x", d.rng.Uint64()),
		Register: draw.Period{From: at("2021-02-07 00:00:00"), Until: at("2021-02-09 00:00:00")}, Unfilled: []string{"return", "share"}[d.rng.IntN(2)],
		Waiting: int64(d.rng.IntN(6)), Beacon: draw.Beacon{Chain: draw.PracticeChain, Round: round}, Publisher: d.public, Witness: witness,
	}
	for i := range 1 + d.rng.IntN(3) {
		t.Tiers = append(t.Tiers, draw.Tier{Face: pos.Money(1000 * (i + 1)), Count: int64(1 + d.rng.IntN(8))})
	}
	if envelopes := t.Envelopes(); d.rng.IntN(2) == 0 && envelopes > 2 {
		first := 1 + d.rng.Int64N(envelopes-1)
		t.Strata = []draw.Stratum{{Name: "locals", Count: first}, {Name: "visitors", Count: envelopes - first}}
	}
	for _, code := range []string{"ICBC", "ABC", "BOC", "CCB"}[:1+d.rng.IntN(4)] {
		t.Institutions = append(t.Institutions, draw.Institution{Code: code, Quota: int64(d.rng.IntN(2) * (1 + d.rng.IntN(5)))})
	}
	return t
}

// entry makes one entry with its salt, so that a receipt can be shown.
func (d *dealer) entries(t draw.Terms) []draw.Entry {
	list := make([]draw.Entry, d.rng.IntN(40))
	for i := range list {
		var salt [32]byte
		binary.BigEndian.PutUint64(salt[:], d.rng.Uint64())
		list[i] = draw.Entry{Ticket: draw.NewTicket(t.Campaign, salt, [32]byte{1}, [32]byte{2}), Institution: t.Institutions[d.rng.IntN(len(t.Institutions))].Code}
		if len(t.Strata) > 0 {
			list[i].Stratum = t.Strata[d.rng.IntN(2)].Name
		}
	}
	slices.SortFunc(list, func(a, b draw.Entry) int { return bytes.Compare(a.Ticket[:], b.Ticket[:]) })
	return list
}

// bundle is a folder's files.
type bundle map[string][]byte

func (b bundle) copy() bundle { return maps.Clone(b) }

func sum(b []byte) string { return fmt.Sprintf("%x", sha256.Sum256(b)) }

// play draws a campaign and returns the sealed bundle.
func (d *dealer) play(t draw.Terms, list []draw.Entry) bundle {
	dir := d.TempDir()
	b := bundle{}
	var records []draw.Record
	version := func(t draw.Terms, file string) {
		text, err := t.Encode()
		d.must(err)
		b[file] = text
		records = append(records, draw.Record{Kind: draw.RecordTerms, SHA256: sum(text)})
	}
	for n := 1; n < t.Version; n++ { // what was changed before anybody could register
		former := t
		former.Version, former.Waiting = n, int64(n)
		former.Register.From = t.Register.From.Add(time.Duration(d.rng.IntN(3)-1) * time.Minute)
		version(former, draw.FormerTermsFile(int64(n)))
	}
	version(t, draw.TermsFile)
	var csv bytes.Buffer
	d.must(draw.WriteList(&csv, func(yield func(draw.Entry, error) bool) {
		for _, e := range list {
			if !yield(e, nil) {
				return
			}
		}
	}))
	read, err := draw.ReadList(bytes.NewReader(csv.Bytes()), t)
	d.must(err)
	b[draw.EntriesFile] = csv.Bytes()
	records = append(records, draw.Record{Kind: draw.RecordList, Root: fmt.Sprintf("%x", read.Root), Size: read.Size})
	d.log(b, t, records, nil)
	b.write(d, dir)
	round, err := draw.PracticeRound(t.Beacon.Round)
	d.must(err)
	_, err = draw.Draw(dir, round)
	d.must(err)
	b = load(d, dir)
	records = append(records, draw.Record{Kind: draw.RecordResult, SHA256: sum(b[draw.TranscriptFile])})
	d.log(b, t, records, nil)
	d.seal(b, t)
	return b
}

// log writes log and checkpoints over records; seen may set the moment of each.
func (d *dealer) log(b bundle, t draw.Terms, records []draw.Record, seen map[int64]time.Time) {
	l := &draw.Log{}
	for _, r := range records {
		_, err := l.Append(r)
		d.must(err)
	}
	lines, err := l.Encode()
	d.must(err)
	b[draw.LogFile] = lines
	round, err := draw.TimeOf(t.Beacon.Chain, t.Beacon.Round)
	d.must(err)
	for n := int64(1); n <= int64(len(records)); n++ {
		when := round.Add(time.Duration(n) * time.Minute)
		switch records[n-1].Kind {
		case draw.RecordTerms:
			when = t.Register.From.Add(-time.Hour + time.Duration(n)*time.Second)
		case draw.RecordList:
			when = t.Register.Until.Add(time.Minute)
		case draw.RecordResult, draw.RecordAdvance:
		}
		if other, ok := seen[n]; ok {
			when = other
		}
		b[draw.CheckpointFile(n)] = d.cosigned(t, l, n, when)
	}
}

// seal lists and signs what is there.
func (d *dealer) seal(b bundle, t draw.Terms) {
	m := draw.Manifest{Format: draw.Format, Campaign: t.Campaign, Practice: t.Practice}
	for _, name := range slices.Sorted(maps.Keys(b)) {
		if name != draw.ManifestFile && name != draw.SignatureFile {
			m.Files = append(m.Files, draw.File{Name: name, Size: int64(len(b[name])), SHA256: sum(b[name])})
		}
	}
	text, err := json.Marshal(m)
	d.must(err)
	b[draw.ManifestFile] = append(text, '\n')
	b[draw.SignatureFile], err = note.Sign(&note.Note{Text: "dcpos/draw-bundle/" + t.Campaign + "\n" + sum(b[draw.ManifestFile]) + "\n"}, d.publisher)
	d.must(err)
}

func (b bundle) write(tb testing.TB, dir string) {
	tb.Helper()
	for name, text := range b {
		if err := os.WriteFile(filepath.Join(dir, name), text, 0o600); err != nil {
			tb.Fatal(err)
		}
	}
}

func load(tb testing.TB, dir string) bundle {
	tb.Helper()
	b := bundle{}
	names, err := os.ReadDir(dir)
	if err != nil {
		tb.Fatal(err)
	}
	for _, e := range names {
		if b[e.Name()], err = os.ReadFile(filepath.Join(dir, e.Name())); err != nil {
			tb.Fatal(err)
		}
	}
	return b
}

func records(tb testing.TB, b bundle) []draw.Record {
	tb.Helper()
	l, err := draw.DecodeLog(b[draw.LogFile])
	if err != nil {
		tb.Fatal(err)
	}
	return l.Records
}

// forge changes a genuine bundle in one random way, deeper and deeper: from a flipped
// byte to what publisher and witness sign together.
func (d *dealer) forge(genuine bundle, t draw.Terms) (bundle, string) {
	b := genuine.copy()
	names := slices.Sorted(maps.Keys(b))
	name := names[d.rng.IntN(len(names))]
	ways := []struct {
		name string
		do   func()
	}{
		{"a byte of " + name, func() { b[name] = d.flipped(b[name]) }},
		{"a byte of " + name + ", sealed", func() { b[name] = d.flipped(b[name]); d.seal(b, t) }},
		{"no " + name, func() { delete(b, name) }},
		{"no " + name + ", sealed", func() { delete(b, name); d.seal(b, t) }},
		{"a file more", func() { b["more.txt"] = []byte("x"); d.seal(b, t) }},
		{"a line of the list", func() { d.lines(b, draw.EntriesFile); d.seal(b, t) }},
		{"a line of the winners", func() { d.lines(b, draw.WinnersFile); d.seal(b, t) }},
		{"another list, signed by both", func() { d.lines(b, draw.EntriesFile); d.relist(b, t) }},
		{"another result, signed by both", func() { d.lines(b, draw.WinnersFile); d.reresult(b, t) }},
		{"the transcript, signed by both", func() {
			b[draw.TranscriptFile] = d.flipped(b[draw.TranscriptFile])
			r := records(d, b)
			r[t.Version+1].SHA256 = sum(b[draw.TranscriptFile])
			d.log(b, t, r, nil)
			d.seal(b, t)
		}},
		{"a witness's clock at the terms", func() {
			n, shift := 1+d.rng.Int64N(int64(t.Version)), time.Duration(d.rng.IntN(7)-3)*time.Minute/2
			d.log(b, t, records(d, b), map[int64]time.Time{n: t.Register.From.Add(shift)})
			d.seal(b, t)
		}},
		{"a version less, signed by both", func() { d.unversion(b, t) }},
		{"a witness's clock", func() {
			n := 1 + d.rng.Int64N(int64(t.Version)+2)
			shift := time.Duration(d.rng.IntN(200)-100) * time.Hour / 4
			d.log(b, t, records(d, b), map[int64]time.Time{n: t.Register.Until.Add(shift)})
			d.seal(b, t)
		}},
		{"terms in another spelling, signed by both", func() { d.respell(b, t) }},
		{"an advance, signed by both", func() { d.advance(b, t) }},
		{"a stranger signs too", func() {
			secret, _, err := note.GenerateKey(nil, "stranger")
			d.must(err)
			signer, err := note.NewSigner(secret)
			d.must(err)
			file := []string{draw.SignatureFile, draw.CheckpointFile(int64(t.Version) + 1)}[d.rng.IntN(2)]
			signed, err := note.Sign(&note.Note{Text: "x\n"}, signer)
			d.must(err)
			b[file] = append(bytes.Clone(b[file]), signed[bytes.LastIndex(signed, []byte("\n\n"))+2:]...)
			if file != draw.SignatureFile {
				d.seal(b, t)
			}
		}},
	}
	w := ways[d.rng.IntN(len(ways))]
	w.do()
	return b, w.name
}

func (d *dealer) flipped(b []byte) []byte {
	if len(b) == 0 {
		return []byte{byte(d.rng.IntN(256))}
	}
	b = bytes.Clone(b)
	b[d.rng.IntN(len(b))] ^= 1 << d.rng.IntN(8)
	return b
}

// lines drops, doubles or swaps lines of a file, or changes a field.
func (d *dealer) lines(b bundle, file string) {
	lines := strings.SplitAfter(strings.TrimSuffix(string(b[file]), "\n")+"\n", "\n")
	lines = lines[:len(lines)-1]
	if len(lines) < 3 {
		b[file] = append(bytes.Clone(b[file]), strings.Repeat("0", 64)+",,ICBC\n"...)
		return
	}
	i := 1 + d.rng.IntN(len(lines)-2)
	switch d.rng.IntN(4) {
	case 0:
		lines = slices.Delete(lines, i, i+1)
	case 1:
		lines = slices.Insert(lines, i, lines[i])
	case 2:
		lines[i], lines[i+1] = lines[i+1], lines[i]
	case 3:
		lines[i] = strings.NewReplacer("ICBC", "ABC", "ABC", "ICBC", "locals", "visitors", "visitors", "locals").Replace(lines[i])
	}
	b[file] = []byte(strings.Join(lines, ""))
}

// relist has the changed list signed, as if it had been the frozen one.
func (d *dealer) relist(b bundle, t draw.Terms) {
	r := records(d, b)
	if read, err := draw.ReadList(bytes.NewReader(b[draw.EntriesFile]), t); err == nil {
		r[t.Version].Root, r[t.Version].Size = fmt.Sprintf("%x", read.Root), read.Size
	}
	d.log(b, t, r, nil)
	d.seal(b, t)
}

// reresult has a changed result signed.
func (d *dealer) reresult(b bundle, t draw.Terms) {
	var x draw.Transcript
	d.must(json.Unmarshal(b[draw.TranscriptFile], &x))
	x.WinnersSHA256 = sum(b[draw.WinnersFile])
	text, err := json.Marshal(x)
	d.must(err)
	b[draw.TranscriptFile] = append(text, '\n')
	r := records(d, b)
	r[t.Version+1].SHA256 = sum(b[draw.TranscriptFile])
	d.log(b, t, r, nil)
	d.seal(b, t)
}

// unversion takes a version of the terms out of the log, or its file away, or puts another
// one in its place.
func (d *dealer) unversion(b bundle, t draw.Terms) {
	r := records(d, b)
	switch n := 1 + d.rng.IntN(t.Version); d.rng.IntN(3) {
	case 0:
		if r = slices.Delete(r, n-1, n); len(r) < 3 {
			return
		}
		for i := len(r) + 1; i < len(r)+3; i++ {
			delete(b, draw.CheckpointFile(int64(i)))
		}
		d.log(b, t, r, nil)
	case 1:
		delete(b, draw.FormerTermsFile(int64(n)))
	case 2:
		b[draw.FormerTermsFile(int64(n))] = b[draw.TermsFile]
	}
	d.seal(b, t)
}

// respell writes the terms in another way; the result is signed as it was.
func (d *dealer) respell(b bundle, t draw.Terms) {
	text := string(b[draw.TermsFile])
	for _, c := range [][2]string{
		{`"waiting":`, `"waiting": `},
		{`"version":1`, `"version":1.0`},
		{`"version":1`, `"version":"1"`},
		{`"version":2`, `"version":1`},
		{`"practice":true`, `"practice":false`},
		{`"practice":true,`, ``},
		{`"env":"lab"`, `"env":"live"`},
		{`"unfilled":`, `"Unfilled":`},
		{`"unfilled":"`, `"unfilled":"x`},
		{`{"format"`, `{"more":1,"format"`},
		{`"campaign":"wangfujing-2021"`, `"campaign":"wangfujing-2021","campaign":"wangfujing-2021"`},
		{`+08:00"`, `.000+08:00"`},
		{"}\n", "}"},
		{`"count":1`, `"count":1e0`},
		{`"strata":null`, `"strata":[]`},
		{`"quota":0`, `"quota":-1`},
		{`"quota":0`, `"quota":1`},
		{`"publisher":"`, `"publisher":"x`},
		{`2021-02-07T`, `2021-02-17T`},
	}[d.rng.IntN(19):] {
		if changed := strings.Replace(text, c[0], c[1], 1); changed != text {
			text = changed
			break
		}
	}
	b[draw.TermsFile] = []byte(text)
	r := records(d, b)
	r[t.Version-1].SHA256 = sum(b[draw.TermsFile])
	d.log(b, t, r, nil)
	d.seal(b, t)
}

// advance lets a winner drop out and somebody move up, rightly or not.
func (d *dealer) advance(b bundle, t draw.Terms) {
	tickets := func(file string) (all []string) {
		for _, l := range strings.Split(strings.TrimSpace(string(b[file])), "\n")[1:] {
			all = append(all, strings.Split(l, ",")[1])
		}
		return all
	}
	winners, waiting := tickets(draw.WinnersFile), tickets(draw.WaitingFile)
	r := records(d, b)
	for range 1 + d.rng.IntN(2) {
		a := draw.Record{Kind: draw.RecordAdvance, Out: strings.Repeat("0", 64), Reason: "unclaimed"}
		if len(winners) > 0 {
			a.Out = winners[d.rng.IntN(len(winners))]
		}
		if len(waiting) > 0 && d.rng.IntN(4) > 0 {
			a.In, waiting = waiting[0], waiting[1:]
		}
		r = append(r, a)
	}
	d.log(b, t, r, nil)
	d.seal(b, t)
}
