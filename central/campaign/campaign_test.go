package campaign

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"dcpos/pos"
)

func at(s string) time.Time {
	t, err := time.ParseInLocation("2006-01-02 15:04:05.999", s, pos.Shanghai())
	if err != nil {
		panic(err)
	}
	return t
}

func TestShippedCampaigns(t *testing.T) {
	all, err := Shipped()
	if err != nil {
		t.Fatal(err)
	}
	type facts struct {
		Envelopes                int64
		Total                    pos.Money
		From, Until, Spend, Last string
		InStore, Online          bool
	}
	got := map[string]facts{}
	const form = "2006-01-02 15:04:05"
	for _, d := range all {
		got[d.Name] = facts{
			d.Envelopes(), d.Total(), d.Register.From.Format(form), d.Register.Until.Format(form),
			d.Spend.From.Format(form), d.Spend.Until.Format(form),
			d.Scope.Allows(InStore, d.Scope.Merchants[0], "food"), d.Scope.Allows(Online, d.Scope.Merchants[0], "food"),
		}
	}
	want := map[string]facts{
		"wangfujing-2021":  {50_000, 10_000_000_00, "2021-02-07 00:00:00", "2021-02-09 00:00:00", "2021-02-10 21:00:00", "2021-02-18 00:00:00", true, true},
		"suzhou-2020":      {100_000, 20_000_000_00, "2020-12-05 00:00:00", "2020-12-07 00:00:00", "2020-12-11 20:00:00", "2020-12-28 00:00:00", true, true},
		"suzhou-2021":      {150_000, 30_000_000_00, "2021-02-05 00:00:00", "2021-02-06 00:00:00", "2021-02-10 00:00:00", "2021-02-27 00:00:00", true, true},
		"beijing-2021-06":  {200_000, 40_000_000_00, "2021-06-05 00:00:00", "2021-06-08 00:00:00", "2021-06-11 10:00:00", "2021-06-21 00:00:00", true, false},
		"shanghai-2021-06": {350_000, 19_250_000_00, "2021-06-05 00:00:00", "2021-06-07 00:00:00", "2021-06-11 10:00:00", "2021-06-21 00:00:00", true, true},
		"changsha-2021-06": {300_000, 40_000_000_00, "2021-05-22 00:00:00", "2021-05-26 00:00:00", "2021-06-11 10:00:00", "2021-06-21 00:00:00", true, true},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	june := got["beijing-2021-06"].Envelopes + got["shanghai-2021-06"].Envelopes + got["changsha-2021-06"].Envelopes
	money := got["beijing-2021-06"].Total + got["shanghai-2021-06"].Total + got["changsha-2021-06"].Total
	if june <= 600_000 || money <= 60_000_000_00 {
		t.Errorf("June has %d envelopes of %s, the article says more than 600,000 and 60 million", june, money)
	}
}

func TestWindowsAreHalfOpen(t *testing.T) {
	for _, c := range []struct{ last, in, out string }{
		{"2021-02-17 24:00", "2021-02-17 23:59:59.999", "2021-02-18 00:00:00"},
		{"2021-02-08 23:59:59", "2021-02-08 23:59:59.999", "2021-02-09 00:00:00"},
		{"2021-06-07 23:59", "2021-06-07 23:59:59.999", "2021-06-08 00:00:00"},
		{"2021-01-04 10:00", "2021-01-04 09:59:59.999", "2021-01-04 10:00:00"},
		{"2021-02-26", "2021-02-26 23:59:59.999", "2021-02-27 00:00:00"},
		{"2021-12-31 24:00", "2021-12-31 23:59:59.999", "2022-01-01 00:00:00"},
		{"2020-10-11 08:00:00", "2020-10-11 08:00:00.999", "2020-10-11 08:00:01"},
	} {
		until, err := ParseLast(c.last)
		if err != nil {
			t.Errorf("%s: %v", c.last, err)
			continue
		}
		w := Window{From: at("2020-01-01 00:00:00"), Until: until}
		if !w.Contains(at(c.in)) || w.Contains(at(c.out)) {
			t.Errorf("%s: %s in %t, %s in %t", c.last, c.in, w.Contains(at(c.in)), c.out, w.Contains(at(c.out)))
		}
	}
	first, err := ParseFirst("2021-02-10 21:00")
	if err != nil {
		t.Fatal(err)
	}
	w := Window{From: first, Until: first.Add(time.Hour)}
	if w.Contains(at("2021-02-10 20:59:59.999")) || !w.Contains(at("2021-02-10 21:00:00")) {
		t.Error("the first moment belongs to the window, the one before does not")
	}
	if w.Contains(first.In(time.UTC).Add(-time.Millisecond)) || !w.Contains(first.In(time.UTC)) {
		t.Error("an instant is the same in every zone")
	}
	for _, bad := range []string{"", "2021-02-30", "2021-2-7", "2021-02-07 24:01", "2021-02-07 25:00", "2021-02-07T10:00", "24:00", "2021-02-07 10:00:00.5", "2021-02-07 24:00:00"} {
		if _, err := ParseLast(bad); err == nil {
			t.Errorf("last moment %q was read", bad)
		}
	}
	for _, bad := range []string{"", "2021-02-30", "2021-02-07 24:00", "7.2.2021", "2021-02-07 9:00"} {
		if _, err := ParseFirst(bad); err == nil {
			t.Errorf("first moment %q was read", bad)
		}
	}
}

func TestScope(t *testing.T) {
	s := Scope{Channels: []Channel{InStore}, Merchants: []string{"seven-fresh"}, Categories: []string{"*"}}
	if !s.Allows(InStore, "seven-fresh", "food") || s.Allows(Online, "seven-fresh", "food") || s.Allows(InStore, "other", "food") || s.Allows(InStore, "*", "food") {
		t.Error("scope is not what it says")
	}
	if (Scope{}).Allows(InStore, "", "") {
		t.Error("an empty scope allows something")
	}
}

func TestParseRefuses(t *testing.T) {
	b, err := shipped.ReadFile("definitions/changsha-2021-06.yaml")
	if err != nil {
		t.Fatal(err)
	}
	good := string(b)
	for name, change := range map[string][2]string{
		"unknown key":           {"waiting_list:", "waitinglist:"},
		"unknown window key":    {"until: \"2021-05-25\"", "till: \"2021-05-25\""},
		"missing window":        {`spend: {from: "2021-06-11 10:00", until: "2021-06-20 24:00"}`, ""},
		"empty window":          {`until: "2021-05-25"`, `until: "2021-05-21"`},
		"spend before register": {`spend: {from: "2021-06-11 10:00"`, `spend: {from: "2021-05-25 23:59"`},
		"budget too small":      {"budget_fen: 4000000000", "budget_fen: 3999999999"},
		"no envelopes":          {"[{face_fen: 10000, count: 200000}, {face_fen: 20000, count: 100000}]", "[]"},
		"negative face":         {"face_fen: 10000", "face_fen: -10000"},
		"no count":              {"count: 200000", "count: 0"},
		"overflowing count":     {"count: 200000", "count: 9223372036854775807"},
		"quotas do not add up":  {"strata: []", "strata: [{name: locals, count: 299999}]"},
		"channel":               {"[in_store, online]", "[in_store, by_post]"},
		"no merchants":          {`merchants: ["*"]`, "merchants: []"},
		"institution":           {"[ICBC,", "[icbc,"},
		"presence":              {"presence: anywhere", "presence: nearby"},
		"funding":               {"funding: changsha-city", `funding: ""`},
		"environment":           {"env: lab", "env: prod"},
		"name":                  {"name: changsha-2021-06", "name: Changsha"},
		"one language":          {"zh: 长沙, en: Changsha}\nenv", "zh: 长沙}\nenv"},
		"two documents":         {"env: lab", "env: lab\n---\nx: 1"},
	} {
		t.Run(name, func(t *testing.T) {
			bad := strings.Replace(good, change[0], change[1], 1)
			if bad == good {
				t.Fatal("nothing changed")
			}
			if _, err := Parse([]byte(bad)); pos.CodeOf(err) != pos.ErrConfig {
				t.Errorf("got %v, want %s", err, pos.ErrConfig)
			}
		})
	}
	if _, err := Parse([]byte(strings.Replace(good, "strata: []", "strata: [{name: locals, count: 250000}, {name: visitors, count: 50000}]", 1))); err != nil {
		t.Errorf("quotas that add up: %v", err)
	}
}

func TestLastMomentIsAfterWhatItNames(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m := time.Unix(rapid.Int64Range(1_500_000_000, 1_900_000_000).Draw(t, "second"), 0).In(pos.Shanghai())
		until, err := ParseLast(m.Format("2006-01-02 15:04:05"))
		if err != nil || !until.Equal(m.Add(time.Second)) {
			t.Fatalf("last moment %s ends at %s, %v", m, until, err)
		}
	})
}

func FuzzParse(f *testing.F) {
	b, err := shipped.ReadFile("definitions/wangfujing-2021.yaml")
	if err != nil {
		f.Fatal(err)
	}
	f.Add(b)
	f.Add([]byte("register: {from: x}"))
	f.Fuzz(func(t *testing.T, b []byte) {
		if d, err := Parse(b); err == nil && (d.Total() <= 0 || d.Total() > d.Budget || !d.Spend.From.Before(d.Spend.Until)) {
			t.Errorf("accepted %+v", d)
		}
	})
}
