package draw_test

import (
	"bytes"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/mod/sumdb/note"

	"dcpos/central/campaign/draw"
	"dcpos/lab/witness"
	"dcpos/pos"
)

// stage is where a draw is played: a publisher, a witness with a clock that is set, and
// the folder that becomes the bundle.
type stage struct {
	dir       string
	terms     draw.Terms
	publisher note.Signer
	witness   *witness.Witness
	memory    string // the witness's file
	ask       draw.Ask
	clock     *time.Time
	log       *draw.Log
}

func at(s string) time.Time {
	t, err := time.ParseInLocation(time.DateTime, s, pos.Shanghai())
	if err != nil {
		panic(err)
	}
	return t
}

// newStage sets up a campaign of the size; change may alter its terms.
func newStage(tb testing.TB, change func(*draw.Terms)) *stage {
	tb.Helper()
	s := &stage{dir: tb.TempDir(), clock: new(time.Time), log: &draw.Log{}}
	secret, public, err := note.GenerateKey(rand.Reader, "publisher.example")
	must(tb, err)
	s.publisher, err = note.NewSigner(secret)
	must(tb, err)
	s.memory = filepath.Join(tb.TempDir(), "witness.json")
	s.serve(tb)
	must(tb, s.witness.Watch("dcpos/draw/wangfujing-2021", public))
	round, err := draw.RoundAfter(draw.PracticeChain, at("2021-02-09 10:00:00"))
	must(tb, err)
	s.terms = draw.Terms{
		Format: draw.Format, Campaign: "wangfujing-2021", Version: 1, Env: pos.Lab, Practice: true,
		Definition: fmt.Sprintf("%064x", 7), Register: draw.Period{From: at("2021-02-07 00:00:00"), Until: at("2021-02-09 00:00:00")},
		Tiers: []draw.Tier{{Face: 20000, Count: 20}}, Strata: []draw.Stratum{}, Unfilled: "return", Waiting: 10,
		Institutions: []draw.Institution{{Code: "ICBC"}, {Code: "ABC"}, {Code: "BOC"}},
		Beacon:       draw.Beacon{Chain: draw.PracticeChain, Round: round}, Publisher: public, Witness: s.witness.VerifierKey(),
	}
	if change != nil {
		change(&s.terms)
	}
	return s
}

func must(tb testing.TB, err error) {
	tb.Helper()
	if err != nil {
		tb.Fatal(err)
	}
}

func (s *stage) write(tb testing.TB, name string, b []byte) {
	tb.Helper()
	must(tb, os.WriteFile(filepath.Join(s.dir, name), b, 0o600))
}

// record appends to the log and has it co-signed at a moment.
func (s *stage) record(tb testing.TB, r draw.Record, when time.Time) {
	tb.Helper()
	_, err := s.log.Append(r)
	must(tb, err)
	s.cosign(tb, when)
}

func (s *stage) cosign(tb testing.TB, when time.Time) {
	tb.Helper()
	*s.clock = when
	n := int64(len(s.log.Records))
	b, err := s.ask.Cosign(tb.Context(), s.log, n-1, n, s.terms.Campaign, s.publisher)
	must(tb, err)
	s.write(tb, draw.CheckpointFile(n), b)
	lines, err := s.log.Encode()
	must(tb, err)
	s.write(tb, draw.LogFile, lines)
}

// entries makes n entries over the terms' strata and institutions, sorted.
func entries(n int, t draw.Terms) []draw.Entry {
	list := make([]draw.Entry, n)
	for i := range list {
		list[i].Ticket = sha256.Sum256(binary.BigEndian.AppendUint64([]byte(t.Campaign), uint64(i)))
		list[i].Institution = t.Institutions[i%len(t.Institutions)].Code
		if len(t.Strata) > 0 {
			list[i].Stratum = t.Strata[(i/3)%len(t.Strata)].Name
		}
	}
	slices.SortFunc(list, func(a, b draw.Entry) int { return bytes.Compare(a.Ticket[:], b.Ticket[:]) })
	return list
}

func csv(list []draw.Entry) []byte {
	b := []byte("ticket,stratum,institution\n")
	for _, e := range list {
		b = append(append(b, e.Line()...), '\n')
	}
	return b
}

// publish logs the terms, then the list.
func (s *stage) publish(tb testing.TB, list []draw.Entry) {
	tb.Helper()
	b, err := s.terms.Encode()
	must(tb, err)
	s.write(tb, draw.TermsFile, b)
	s.record(tb, draw.Record{Kind: draw.RecordTerms, SHA256: fmt.Sprintf("%x", sha256.Sum256(b))}, s.terms.Register.From.Add(-time.Hour))
	s.write(tb, draw.EntriesFile, csv(list))
	read, err := draw.ReadList(bytes.NewReader(csv(list)), s.terms)
	must(tb, err)
	s.record(tb, draw.Record{Kind: draw.RecordList, Root: fmt.Sprintf("%x", read.Root), Size: read.Size}, s.terms.Register.Until.Add(time.Hour))
}

func (s *stage) round(tb testing.TB) draw.Round {
	tb.Helper()
	r, err := draw.PracticeRound(s.terms.Beacon.Round)
	must(tb, err)
	return r
}

// draw draws and has the result co-signed.
func (s *stage) draw(tb testing.TB) draw.Outcome {
	tb.Helper()
	o, err := draw.Draw(s.dir, s.round(tb))
	must(tb, err)
	b, err := os.ReadFile(filepath.Join(s.dir, draw.LogFile))
	must(tb, err)
	s.log, err = draw.DecodeLog(b)
	must(tb, err)
	s.cosign(tb, at("2021-02-09 12:00:00"))
	return o
}

func (s *stage) seal(tb testing.TB) {
	tb.Helper()
	must(tb, draw.Seal(s.dir, s.publisher))
}

// played is a whole bundle.
func played(tb testing.TB, n int, change func(*draw.Terms)) (*stage, draw.Outcome) {
	tb.Helper()
	s := newStage(tb, change)
	s.publish(tb, entries(n, s.terms))
	o := s.draw(tb)
	s.seal(tb)
	return s, o
}

func TestADrawCanBeDoneAgainByAnybody(t *testing.T) {
	s, o := played(t, 1000, nil)
	if len(o.Winners) != 20 || len(o.Waiting) != 10 {
		t.Fatalf("%d winners, %d waiting", len(o.Winners), len(o.Waiting))
	}
	v, err := draw.Verify(s.dir, nil)
	if err != nil {
		t.Fatal(err)
	}
	if v.Authenticated || !v.Practice || v.Entries != 1000 || v.Winners != 20 || v.Waiting != 10 || v.Publisher == v.Witness {
		t.Errorf("%+v", v)
	}
	trust := &draw.Trust{Publisher: s.terms.Publisher, Witness: s.terms.Witness}
	if v, err = draw.Verify(s.dir, trust); err != nil || !v.Authenticated {
		t.Errorf("%+v, %v", v, err)
	}
	if _, err = draw.Verify(s.dir, &draw.Trust{Publisher: s.terms.Publisher, Witness: "other"}); err == nil {
		t.Error("a witness that is not trusted passed")
	}
	again, err := draw.Draw(s.dir, s.round(t))
	if err != nil || len(again.Winners) != 20 || again.Winners[0] != o.Winners[0] {
		t.Errorf("drawn again: %v", err)
	}
	if _, err := draw.Verify(s.dir, trust); err != nil {
		t.Errorf("drawing again changed the bundle: %v", err)
	}
}

func TestNoDrawBeforeItsTime(t *testing.T) {
	list := func(s *stage) []draw.Entry { return entries(50, s.terms) }
	for name, c := range map[string]struct {
		terms, list time.Duration // after the opening, after the close
		file        string
	}{
		"terms witnessed when registration was open":         {0, time.Hour, "checkpoint-1.txt"},
		"list witnessed before the close":                    {-time.Hour, -time.Second, "checkpoint-2.txt"},
		"list witnessed when the round could be known":       {-time.Hour, 10*time.Hour + 1*time.Second, "checkpoint-2.txt"},
		"list witnessed long after":                          {-time.Hour, 240 * time.Hour, "checkpoint-2.txt"},
		"in time to the second":                              {-time.Second, 10 * time.Hour, ""},
		"list witnessed in the first moment after the close": {-time.Second, 0, ""},
	} {
		t.Run(name, func(t *testing.T) {
			s := newStage(t, nil)
			b, err := s.terms.Encode()
			must(t, err)
			s.write(t, draw.TermsFile, b)
			s.record(t, draw.Record{Kind: draw.RecordTerms, SHA256: fmt.Sprintf("%x", sha256.Sum256(b))}, s.terms.Register.From.Add(c.terms))
			s.write(t, draw.EntriesFile, csv(list(s)))
			read, err := draw.ReadList(bytes.NewReader(csv(list(s))), s.terms)
			must(t, err)
			s.record(t, draw.Record{Kind: draw.RecordList, Root: fmt.Sprintf("%x", read.Root), Size: read.Size}, s.terms.Register.Until.Add(c.list))
			_, err = draw.Draw(s.dir, s.round(t))
			wantFault(t, err, c.file)
			if _, there := os.Stat(filepath.Join(s.dir, draw.WinnersFile)); c.file != "" && there == nil {
				t.Error("winners were written all the same")
			}
		})
	}
}

func TestWithoutTheWitnessThereIsNoDraw(t *testing.T) {
	s := newStage(t, nil)
	s.publish(t, entries(50, s.terms))
	tree, err := s.log.Tree(2)
	must(t, err)
	alone, err := draw.Checkpoint(s.terms.Campaign, tree, s.publisher)
	must(t, err)
	s.write(t, draw.CheckpointFile(2), alone)
	_, err = draw.Draw(s.dir, s.round(t))
	wantFault(t, err, "checkpoint-2.txt")
}

func TestAdvancesFollowTheWaitingList(t *testing.T) {
	s := newStage(t, func(terms *draw.Terms) {
		terms.Strata = []draw.Stratum{{Name: "residents", Count: 15}, {Name: "visitors", Count: 5}}
		terms.Waiting = 1
	})
	s.publish(t, entries(300, s.terms))
	o := s.draw(t)
	out := func(stratum string, n int) draw.Winner {
		for _, w := range o.Winners {
			if w.Stratum == stratum {
				if n == 0 {
					return w
				}
				n--
			}
		}
		t.Fatal("no winner")
		return draw.Winner{}
	}
	in := map[string]string{}
	for _, w := range o.Waiting {
		in[w.Stratum] = w.Ticket.String()
	}
	advance := func(w draw.Winner, next string) draw.Record {
		return draw.Record{Kind: draw.RecordAdvance, Out: w.Ticket.String(), In: next, Reason: "unclaimed"}
	}
	s.record(t, advance(out("visitors", 0), in["visitors"]), at("2021-02-10 12:00:00"))
	s.record(t, advance(out("visitors", 1), ""), at("2021-02-10 12:00:01"))
	s.record(t, advance(out("residents", 0), in["residents"]), at("2021-02-10 12:00:02"))
	s.seal(t)
	if v, err := draw.Verify(s.dir, nil); err != nil || v.Advances != 3 {
		t.Fatalf("%+v, %v", v, err)
	}
	for name, bad := range map[string]draw.Record{
		"somebody not waiting": advance(out("residents", 1), fmt.Sprintf("%064x", 1)),
		"twice out":            advance(out("visitors", 0), ""),
		"never had one":        {Kind: draw.RecordAdvance, Out: fmt.Sprintf("%064x", 2), Reason: "unclaimed"},
	} {
		t.Run(name, func(t *testing.T) {
			c := s.copy(t)
			c.record(t, bad, at("2021-02-11 12:00:00"))
			c.seal(t)
			_, err := draw.Verify(c.dir, nil)
			wantFault(t, err, "log.jsonl")
		})
	}
}

// TestForgedAdvancesAreNamed: whoever has the publisher's key, and even the witness's help,
// cannot let somebody else move up, leave somebody out or change the order; the record is named.
func TestForgedAdvancesAreNamed(t *testing.T) {
	s := newStage(t, nil)
	s.publish(t, entries(300, s.terms))
	o := s.draw(t)
	const moves = 4
	genuine := make([]draw.Record, moves)
	for i := range genuine {
		genuine[i] = draw.Record{Kind: draw.RecordAdvance, Out: o.Winners[3*i].Ticket.String(), In: o.Waiting[i].Ticket.String(), Reason: "unclaimed"}
	}
	swapped := func(r []draw.Record) []draw.Record { r[1].In, r[2].In = r[2].In, r[1].In; return r }
	for name, c := range map[string]struct {
		change func(r []draw.Record) []draw.Record
		place  string
	}{
		"genuine":             {func(r []draw.Record) []draw.Record { return r }, ""},
		"the first dropped":   {func(r []draw.Record) []draw.Record { return r[1:] }, "log.jsonl: record 4:"},
		"one dropped":         {func(r []draw.Record) []draw.Record { return slices.Delete(r, 2, 3) }, "log.jsonl: record 6:"},
		"two out of order":    {swapped, "log.jsonl: record 5:"},
		"somebody else":       {func(r []draw.Record) []draw.Record { r[3].In = o.Waiting[7].Ticket.String(); return r }, "log.jsonl: record 7:"},
		"a winner moves up":   {func(r []draw.Record) []draw.Record { r[0].In = o.Winners[1].Ticket.String(); return r }, "log.jsonl: record 4:"},
		"nobody moves up":     {func(r []draw.Record) []draw.Record { r[1].In = ""; return r }, "log.jsonl: record 5:"},
		"who has none is out": {func(r []draw.Record) []draw.Record { r[2].Out = o.Waiting[8].Ticket.String(); return r }, "log.jsonl: record 6:"},
		"one twice":           {func(r []draw.Record) []draw.Record { return slices.Insert(r, 1, r[0]) }, "log.jsonl: record 5:"},
	} {
		for _, help := range []bool{false, true} { // of the witness
			t.Run(fmt.Sprintf("%s, witnessed %v", name, help), func(t *testing.T) {
				c2, signed := s.copy(t), s.copy(t)
				for _, r := range genuine {
					signed.record(t, r, at("2021-02-10 12:00:00"))
				}
				records := c.change(slices.Clone(genuine))
				if help {
					for _, r := range records {
						c2.record(t, r, at("2021-02-10 12:00:00"))
					}
				} else {
					c2 = signed
					l := &draw.Log{}
					for _, r := range append(slices.Clone(s.log.Records), records...) {
						_, err := l.Append(r)
						must(t, err)
					}
					lines, err := l.Encode()
					must(t, err)
					c2.write(t, draw.LogFile, lines)
				}
				c2.seal(t)
				if !draw.Sealed(c2.dir) {
					t.Error("it was sealed just now")
				}
				_, err := draw.Verify(c2.dir, nil)
				if got := fmt.Sprint(err); (c.place == "") != (err == nil) || !strings.HasPrefix(got, c.place) && err != nil {
					t.Errorf("got %v, want %q", err, c.place)
				}
			})
		}
	}
}

// copy is the stage with a folder, a log and a witness of its own, all as they are now.
func (s *stage) copy(tb testing.TB) *stage {
	tb.Helper()
	c := *s
	c.dir = tb.TempDir()
	must(tb, os.CopyFS(c.dir, os.DirFS(s.dir)))
	b, err := os.ReadFile(filepath.Join(c.dir, draw.LogFile))
	must(tb, err)
	c.log, err = draw.DecodeLog(b)
	must(tb, err)
	b, err = os.ReadFile(s.memory)
	must(tb, err)
	c.memory = filepath.Join(tb.TempDir(), "witness.json")
	must(tb, os.WriteFile(c.memory, b, 0o600))
	c.serve(tb)
	return &c
}

// serve opens the witness from her memory and gives her an address.
func (s *stage) serve(tb testing.TB) {
	tb.Helper()
	w, err := witness.Open(s.memory, "witness.example", func() time.Time { return *s.clock })
	must(tb, err)
	server := httptest.NewServer(w.Handler())
	tb.Cleanup(server.Close)
	s.witness, s.ask = w, draw.Ask{URL: server.URL, Client: server.Client()}
}

func wantFault(tb testing.TB, err error, file string) {
	tb.Helper()
	if file == "" {
		if err != nil {
			tb.Errorf("got %v", err)
		}
		return
	}
	f, ok := errors.AsType[*draw.Fault](err)
	if !ok || !strings.HasPrefix(f.File, file) {
		tb.Errorf("got %v, want a fault of %s", err, file)
	}
}
