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
			d.Scope.Allows(Place{InStore, d.Scope.Merchants[0], "s1", "food"}), d.Scope.Allows(Place{Online, d.Scope.Merchants[0], "", "food"}),
		}
	}
	want := map[string]facts{
		"wangfujing-2021":  {50_000, 10_000_000_00, "2021-02-07 00:00:00", "2021-02-09 00:00:00", "2021-02-10 21:00:00", "2021-02-18 00:00:00", true, true},
		"suzhou-2020":      {100_000, 20_000_000_00, "2020-12-05 00:00:00", "2020-12-07 00:00:00", "2020-12-11 20:00:00", "2020-12-28 00:00:00", true, true},
		"suzhou-2021":      {150_000, 30_000_000_00, "2021-02-05 00:00:00", "2021-02-06 00:00:00", "2021-02-10 00:00:00", "2021-02-27 00:00:00", true, true},
		"beijing-2021-06":  {200_000, 40_000_000_00, "2021-06-05 00:00:00", "2021-06-08 00:00:00", "2021-06-11 10:00:00", "2021-06-21 00:00:00", true, false},
		"shanghai-2021-06": {350_000, 19_250_000_00, "2021-06-05 00:00:00", "2021-06-07 00:00:00", "2021-06-11 10:00:00", "2021-06-21 00:00:00", true, true},
		"changsha-2021-06": {300_000, 40_000_000_00, "2021-05-22 00:00:00", "2021-05-26 00:00:00", "2021-06-11 10:00:00", "2021-06-21 00:00:00", true, true},
		"luohu-2020":       {50_000, 10_000_000_00, "2020-10-09 00:00:00", "2020-10-11 08:00:00", "2020-10-12 18:00:00", "2020-10-19 00:00:00", true, false},
		"futian-2021":      {100_000, 20_000_000_00, "2021-01-01 00:00:00", "2021-01-04 10:00:00", "2021-01-07 00:00:00", "2021-01-18 00:00:00", true, false},
		"chengdu-2021":     {200_000, 39_999_980_00, "2021-02-24 00:00:00", "2021-02-26 00:00:00", "2021-03-03 00:00:00", "2021-03-20 00:00:00", true, true},
		"sanya-2021":       {28_030, 9_999_800_00, "2021-09-13 10:00:00", "2021-09-16 00:00:00", "2021-09-20 10:00:00", "2021-10-20 00:00:00", true, false},
		"haikou-2021":      {50_000, 10_000_000_00, "2021-12-21 00:00:00", "2021-12-24 00:00:00", "2021-12-26 10:00:00", "2022-01-04 20:00:00", true, false},
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
	s := Scope{Channels: []Channel{InStore, Online}, Merchants: []string{"seven-fresh"}, Stores: []string{"A1", "A2"}, Categories: []string{"*"}}
	for _, c := range []struct {
		at   Place
		want bool
	}{
		{Place{InStore, "seven-fresh", "A1", "food"}, true},
		{Place{InStore, "seven-fresh", "A3", "food"}, false},
		{Place{InStore, "seven-fresh", "", "food"}, false},
		{Place{InStore, "other", "A1", "food"}, false},
		{Place{InStore, "*", "A1", "food"}, false},
		{Place{InStore, "seven-fresh", "*", "food"}, false},
		{Place{Online, "seven-fresh", "", "food"}, true},
		{Place{"by_post", "seven-fresh", "A1", "food"}, false},
	} {
		if s.Allows(c.at) != c.want {
			t.Errorf("%+v: want %t", c.at, c.want)
		}
	}
	if (Scope{}).Allows(Place{Channel: InStore}) {
		t.Error("an empty scope allows something")
	}
}

func TestParseRefuses(t *testing.T) {
	b, err := shipped.ReadFile("definitions/changsha-2021-06.yaml")
	if err != nil {
		t.Fatal(err)
	}
	good := string(b)
	for name, c := range map[string]struct{ old, change, field string }{
		"unknown key":           {"waiting:", "waitinglist:", "waitinglist"},
		"unknown window key":    {"until: \"2021-05-25\"", "till: \"2021-05-25\"", "register"},
		"half a window":         {", until: \"2021-05-25\"", "", "register"},
		"no such day":           {"until: \"2021-06-20 24:00\"", "until: \"2021-06-31 24:00\"", "spend"},
		"unknown quota key":     {"[ICBC,", "[{code: ICBC, quoat: 5},", "institutions"},
		"unknown coupon key":    {"{face_fen: 10000,", "{coupon: {threshold: 10000, off_fen: 3000},", "tiers"},
		"face in yuan":          {"face_fen: 20000", "face_fen: ¥200", "tiers"},
		"missing window":        {`spend: {from: "2021-06-11 10:00", until: "2021-06-20 24:00"}`, "", "spend"},
		"empty window":          {`until: "2021-05-25"`, `until: "2021-05-21"`, "register"},
		"empty spend window":    {`until: "2021-06-20 24:00"`, `until: "2021-06-11 10:00"`, "spend"},
		"spend before register": {`spend: {from: "2021-06-11 10:00"`, `spend: {from: "2021-05-25 23:59:59"`, "spend"},
		"budget short by a fen": {"budget_fen: 4000000000", "budget_fen: 3999999999", "budget_fen"},
		"no envelopes":          {"[{face_fen: 10000, count: 200000}, {face_fen: 20000, count: 100000}]", "[]", "tiers"},
		"negative face":         {"face_fen: 20000", "face_fen: -20000", "tiers[1].face_fen"},
		"face 0":                {"face_fen: 10000", "face_fen: 0", "tiers[0].face_fen"},
		"coupon with a face":    {"face_fen: 10000,", "face_fen: 1, coupon: {threshold_fen: 10000, off_fen: 3000},", "tiers[0].face_fen"},
		"coupon of nothing":     {"face_fen: 10000,", "coupon: {threshold_fen: 10000, off_fen: 0},", "tiers[0].coupon.off_fen"},
		"coupon over threshold": {"face_fen: 10000,", "coupon: {threshold_fen: 3000, off_fen: 3001},", "tiers[0].coupon.off_fen"},
		"two tiers of a worth":  {"{face_fen: 10000,", "{coupon: {threshold_fen: 50000, off_fen: 20000},", "tiers[1]"},
		"no count":              {"count: 200000", "count: 0", "tiers[0].count"},
		"overflowing count":     {"count: 200000", "count: 9223372036854775807", "tiers[0].count"},
		"quotas do not add up":  {"strata: []", "strata: [{name: locals, count: 299999, who: residents}]", "strata"},
		"stratum without rule":  {"strata: []", "strata: [{name: locals, count: 300000}]", "strata[0].who"},
		"unfilled":              {"unfilled: return", "unfilled: keep", "unfilled"},
		"waiting":               {"waiting: 0", "waiting: -1", "waiting"},
		"channel":               {"[in_store, online]", "[in_store, by_post]", "scope.channels"},
		"no merchants":          {`merchants: ["*"]`, "merchants: []", "scope.merchants"},
		"no stores":             {`stores: ["*"]`, "stores: []", "scope.stores"},
		"all and more":          {`stores: ["*"]`, `stores: ["*", A1]`, "scope.stores"},
		"institution":           {"[ICBC,", "[icbc,", "institutions[0].code"},
		"institution twice":     {"[ICBC,", "[ABC,", "institutions[1].code"},
		"negative quota":        {"[ICBC,", "[{code: ICBC, quota: -1},", "institutions[0].quota"},
		"quotas too small":      {"[ICBC, ABC, BOC, CCB, BOCOM, PSBC]", "[{code: ICBC, quota: 200000}, {code: ABC, quota: 99999}]", "institutions"},
		"presence":              {"presence: anywhere", "presence: nearby", "presence"},
		"fence not looked at":   {`fence: ""`, "fence: beijing.geojson", "fence"},
		"fence missing":         {"presence: anywhere", "presence: at_registration", "fence"},
		"fence elsewhere":       {"presence: anywhere\nfence: \"\"", "presence: at_registration\nfence: ../../etc/passwd", "fence"},
		"code hours":            {"code_hours: 6", "code_hours: 0", "registration.code_hours"},
		"ambiguous":             {"ambiguous: refuse", "ambiguous: dice", "registration.ambiguous"},
		"documents":             {"[resident_id,", "[library_card,", "registration.documents"},
		"keep days":             {"keep_days: 180", "keep_days: 0", "registration.keep_days"},
		"age":                   {"min_age: 0", "min_age: 100", "registration.min_age"},
		"funding":               {"funding: changsha-city", `funding: ""`, "funding"},
		"environment":           {"env: lab", "env: prod", "env"},
		"name":                  {"name: changsha-2021-06", "name: Changsha", "name"},
		"one language":          {"zh: 长沙, en: Changsha}\nenv", "zh: 长沙}\nenv", "title"},
		"two documents":         {"env: lab", "env: lab\n---\nx: 1", ""},
	} {
		t.Run(name, func(t *testing.T) {
			bad := strings.Replace(good, c.old, c.change, 1)
			if bad == good {
				t.Fatal("nothing changed")
			}
			_, err := Parse([]byte(bad))
			if got := pos.AsError(err); pos.CodeOf(err) != pos.ErrConfig || got.Field != c.field || got.Err == nil {
				t.Errorf("got %v, want %s: %s, with a reason", err, pos.ErrConfig, c.field)
			}
		})
	}
	if _, err := Parse([]byte(strings.Replace(good, "strata: []", "strata: [{name: locals, count: 250000, who: residents}, {name: visitors, count: 50000, who: visitors}]", 1))); err != nil {
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
