package draw_test

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"dcpos/central/campaign/draw"
	"dcpos/pos"
)

// versions publishes each terms before the last, seen at the moments before registration
// opens, and plays the draw by the last.
func versions(t *testing.T, s *stage, all []draw.Terms, seen []time.Duration) {
	t.Helper()
	for i, terms := range all {
		file := draw.FormerTermsFile(int64(i) + 1)
		if i == len(all)-1 {
			file, s.terms = draw.TermsFile, terms
		}
		b, err := terms.Encode()
		must(t, err)
		s.write(t, file, b)
		s.record(t, draw.Record{Kind: draw.RecordTerms, SHA256: sha(b)}, at("2021-02-07 00:00:00").Add(seen[i]))
	}
	list := entries(300, s.terms)
	s.write(t, draw.EntriesFile, csv(list))
	read, err := draw.ReadList(bytes.NewReader(csv(list)), s.terms)
	must(t, err)
	s.record(t, draw.Record{Kind: draw.RecordList, Root: fmt.Sprintf("%x", read.Root), Size: read.Size}, s.terms.Register.Until.Add(time.Hour))
}

// three are three versions of a campaign that have other tiers and windows.
func three(first draw.Terms) []draw.Terms {
	all := []draw.Terms{first, first, first}
	for i := range all {
		all[i].Version = i + 1
		all[i].Definition = fmt.Sprintf("%064x", i+7)
		all[i].Tiers = []draw.Tier{{Face: pos.Money(100 * (i + 1)), Count: int64(10 + i)}}
	}
	all[1].Register.From = first.Register.From.Add(-time.Hour)
	return all
}

func TestTheLastVersionIsInForce(t *testing.T) {
	s := newStage(t, nil)
	versions(t, s, three(s.terms), []time.Duration{-5 * time.Hour, -4 * time.Hour, -3 * time.Hour})
	o := s.draw(t)
	next := o.Waiting[0].Ticket.String()
	s.record(t, draw.Record{Kind: draw.RecordAdvance, Out: o.Winners[2].Ticket.String(), In: next, Reason: "unclaimed"}, at("2021-02-11 12:00:00"))
	s.seal(t)
	v, err := draw.Verify(s.dir, nil)
	if err != nil || v.Version != 3 || v.Winners != 12 || v.Advances != 1 || !v.TermsSeen.Equal(at("2021-02-06 21:00:00")) {
		t.Fatalf("%+v, %v", v, err)
	}
	for name, f := range map[string]struct {
		change func(t *testing.T, s *stage)
		file   string
	}{
		"a former version missing": {func(t *testing.T, s *stage) {
			t.Helper()
			must(t, os.Remove(filepath.Join(s.dir, draw.FormerTermsFile(2))))
		}, "terms-2.json"},
		"a former version for another": {func(t *testing.T, s *stage) {
			t.Helper()
			rename(draw.FormerTermsFile(1), "x")(t, s)
			rename(draw.FormerTermsFile(2), draw.FormerTermsFile(1))(t, s)
			rename("x", draw.FormerTermsFile(2))(t, s)
		}, draw.LogFile},
		"a former version in force": {func(t *testing.T, s *stage) {
			t.Helper()
			rename(draw.TermsFile, "x")(t, s)
			rename(draw.FormerTermsFile(2), draw.TermsFile)(t, s)
			rename("x", draw.FormerTermsFile(2))(t, s)
		}, draw.LogFile},
		"a version more": {func(t *testing.T, s *stage) {
			t.Helper()
			s.write(t, draw.FormerTermsFile(3), []byte("{}\n"))
		}, "terms-3.json"},
		"a version's checkpoint missing": {func(t *testing.T, s *stage) {
			t.Helper()
			must(t, os.Remove(filepath.Join(s.dir, draw.CheckpointFile(2))))
		}, "checkpoint-2.txt"},
		"a version's record missing": {in(draw.LogFile, dropLine(1)), draw.TermsFile},
		"versions out of order":      {in(draw.LogFile, swapLines(0, 1)), draw.LogFile},
	} {
		t.Run(name, func(t *testing.T) {
			c := s.copy(t)
			f.change(t, c)
			must(t, resealed(c))
			_, err := draw.Verify(c.dir, nil)
			wantFault(t, err, f.file)
		})
	}
}

// TestNoVersionAfterTheOpening: each version is seen before registration opens, by its own
// rules and by those before it; all are one campaign's.
func TestNoVersionAfterTheOpening(t *testing.T) {
	for name, c := range map[string]struct {
		change func(all []draw.Terms)
		last   time.Duration // when the last version is seen, after the first one's opening
		file   string
	}{
		"in time":                           {func([]draw.Terms) {}, -time.Hour - time.Second, ""},
		"when the one before it had opened": {func([]draw.Terms) {}, -time.Hour, "checkpoint-3.txt"},
		"when it had opened itself": {func(all []draw.Terms) {
			all[1].Register.From = all[0].Register.From.Add(time.Hour)
		}, 0, "checkpoint-3.txt"},
		"another campaign":  {func(all []draw.Terms) { all[0].Campaign = "another" }, -2 * time.Hour, "terms-1.json"},
		"live before":       {func(all []draw.Terms) { all[0].Env, all[0].Practice, all[0].Beacon = pos.Live, false, live() }, -2 * time.Hour, "terms-1.json"},
		"a witness before":  {func(all []draw.Terms) { all[0].Witness = "w+12345678+AAAA" }, -2 * time.Hour, "terms-1.json"},
		"a number twice":    {func(all []draw.Terms) { all[1].Version = 1 }, -2 * time.Hour, "terms-2.json"},
		"a number too high": {func(all []draw.Terms) { all[2].Version = 4 }, -2 * time.Hour, "terms.json"},
	} {
		t.Run(name, func(t *testing.T) {
			s := newStage(t, nil)
			all := three(s.terms)
			c.change(all)
			versions(t, s, all, []time.Duration{-5 * time.Hour, -4 * time.Hour, c.last})
			_, err := draw.Draw(s.dir, s.round(t))
			wantFault(t, err, c.file)
		})
	}
}

func live() draw.Beacon {
	round, err := draw.RoundAfter(draw.Quicknet, time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC))
	if err != nil {
		panic(err)
	}
	return draw.Beacon{Chain: draw.Quicknet, Round: round}
}

func TestTheOrderOfRecords(t *testing.T) {
	hash := fmt.Sprintf("%x", sha256.Sum256(nil))
	terms, list := draw.Record{Kind: draw.RecordTerms, SHA256: hash}, draw.Record{Kind: draw.RecordList, Root: hash}
	result, advance := draw.Record{Kind: draw.RecordResult, SHA256: hash}, draw.Record{Kind: draw.RecordAdvance, Out: hash, Reason: "unclaimed"}
	for name, c := range map[string]struct {
		records []draw.Record
		ok      bool
	}{
		"one version":            {[]draw.Record{terms, list, result, advance, advance}, true},
		"three versions":         {[]draw.Record{terms, terms, terms, list, result, advance}, true},
		"terms after the list":   {[]draw.Record{terms, list, terms}, false},
		"terms after the result": {[]draw.Record{terms, list, result, terms}, false},
		"terms after an advance": {[]draw.Record{terms, list, result, advance, terms}, false},
		"a list first":           {[]draw.Record{list}, false},
		"two lists":              {[]draw.Record{terms, list, list}, false},
		"two results":            {[]draw.Record{terms, list, result, result}, false},
	} {
		l := &draw.Log{}
		var err error
		for _, r := range c.records {
			if _, err = l.Append(r); err != nil {
				break
			}
		}
		if (err == nil) != c.ok {
			t.Errorf("%s: %v", name, err)
		}
	}
	l := &draw.Log{}
	for range draw.MaxVersions {
		_, err := l.Append(terms)
		must(t, err)
	}
	if _, err := l.Append(terms); err == nil {
		t.Error("a version too many")
	}
	if _, err := l.Append(list); err != nil {
		t.Error(err)
	}
}
