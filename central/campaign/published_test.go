package campaign

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"golang.org/x/mod/sumdb/note"

	"dcpos/central/campaign/draw"
	"dcpos/central/campaign/fence"
	"dcpos/pos"
)

// ship publishes a campaign that comes with the program.
func ship(tb testing.TB, d Definition) Published {
	tb.Helper()
	var area []byte
	if d.Fence != "" {
		var err error
		if area, err = ShippedArea(d.Fence); err != nil {
			tb.Fatal(err)
		}
	}
	p, err := Publish(d, 1, area)
	if err != nil {
		tb.Fatalf("%s: %v", d.Name, err)
	}
	return p
}

func shippedByName(tb testing.TB, name string) Definition {
	tb.Helper()
	all, err := Shipped()
	if err != nil {
		tb.Fatal(err)
	}
	for _, d := range all {
		if d.Name == name {
			return d
		}
	}
	tb.Fatalf("no campaign %s", name)
	return Definition{}
}

// witnessKey has the form of tlog-cosignature; nobody signs with it here.
const witnessKey = "witness.example+bbcc5ca9+BAEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEB"

func TestEveryShippedCampaignCanBeDrawn(t *testing.T) {
	all, err := Shipped()
	if err != nil {
		t.Fatal(err)
	}
	_, publisher, err := note.GenerateKey(nil, "publisher.example")
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range all {
		p := ship(t, d)
		round, err := draw.RoundAfter(draw.PracticeChain, d.Register.Until.Add(time.Hour))
		if err != nil {
			t.Fatal(err)
		}
		terms, err := p.Terms(Conduct{draw.Beacon{Chain: draw.PracticeChain, Round: round}, true, publisher, witnessKey})
		if err != nil {
			t.Errorf("%s: %v", d.Name, err)
			continue
		}
		if terms.Envelopes() != d.Envelopes() || terms.Definition != p.Hash || terms.Campaign != d.Name ||
			len(terms.Institutions) != len(d.Institutions) || len(terms.Strata) != len(d.Strata) || !terms.Register.Until.Equal(d.Register.Until) {
			t.Errorf("%s: the terms are %+v", d.Name, terms)
		}
		b, err := terms.Encode()
		if err != nil {
			t.Fatal(err)
		}
		if _, err := draw.DecodeTerms(b); err != nil {
			t.Errorf("%s: %v", d.Name, err)
		}
		early := draw.Beacon{Chain: draw.PracticeChain, Round: 1}
		if _, err := p.Terms(Conduct{early, true, publisher, witnessKey}); err == nil && d.Register.Until.After(time.Unix(1_577_808_000, 0)) {
			t.Errorf("%s: a round before the close was taken", d.Name)
		}
	}
}

func TestPublishedNeverChanges(t *testing.T) {
	p := ship(t, shippedByName(t, "sanya-2021"))
	again, err := Open(p.Text, p.Area)
	if err != nil || again.Hash != p.Hash || !bytes.Equal(again.Text, p.Text) || len(p.Hash) != 64 {
		t.Fatalf("read again: %v", err)
	}
	second, err := Publish(p.Definition, 2, nil)
	if err != nil || second.Hash == p.Hash {
		t.Errorf("version 2 has the hash of version 1, %v", err)
	}
	for i := 0; i < len(p.Text); i += 7 { // no byte of it is without meaning
		b := bytes.Clone(p.Text)
		b[i] ^= 1
		if q, err := Open(b, p.Area); err == nil && q.Hash == p.Hash {
			t.Fatalf("byte %d changed, the hash did not", i)
		}
	}
	for name, b := range map[string]string{
		"space":       strings.Replace(string(p.Text), `,"version"`, `, "version"`, 1),
		"unknown key": strings.Replace(string(p.Text), `"version"`, `"x":1,"version"`, 1),
		"format":      strings.Replace(string(p.Text), "campaign-v1", "campaign-v2", 1),
		"more":        string(p.Text) + "{}",
		"bad content": strings.Replace(string(p.Text), `"budget_fen":1000000000`, `"budget_fen":1`, 1),
	} {
		if _, err := Open([]byte(b), p.Area); pos.CodeOf(err) != pos.ErrConfig {
			t.Errorf("%s: %v", name, err)
		}
	}
	w := ship(t, shippedByName(t, "wangfujing-2021"))
	other, err := ShippedArea("shenzhen.geojson")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Open(w.Text, other); pos.CodeOf(err) != pos.ErrConfig {
		t.Errorf("another area: %v", err)
	}
	if _, err := Publish(w.Definition, 0, w.Area); pos.CodeOf(err) != pos.ErrConfig {
		t.Errorf("version 0: %v", err)
	}
}

func TestPublishRefusesFences(t *testing.T) {
	d := shippedByName(t, "futian-2021")
	crossing := []byte(`{"type":"Polygon","datum":"wgs84","coordinates":[[[114,22],[114.1,22.1],[114.1,22],[114,22.2],[114,22]]]}`)
	for name, area := range map[string][]byte{"crosses itself": crossing, "missing": nil, "no JSON": []byte("x")} {
		_, err := Publish(d, 1, area)
		if e := pos.AsError(err); pos.CodeOf(err) != pos.ErrConfig || e.Field != "fence" {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := Publish(shippedByName(t, "sanya-2021"), 1, crossing); pos.AsError(err).Field != "fence" {
		t.Errorf("an area without a fence: %v", err)
	}
	for _, name := range []string{"", "../published.go", "mars.geojson"} {
		if _, err := ShippedArea(name); pos.CodeOf(err) != pos.ErrConfig {
			t.Errorf("area %q: %v", name, err)
		}
	}
}

// TestShippedAreas asks places that everybody can look up, none of them near a border.
func TestShippedAreas(t *testing.T) {
	for _, c := range []struct {
		area     string
		name     string
		lat, lon float64
		want     fence.Verdict
	}{
		{"beijing.geojson", "Wangfujing", 39.915, 116.411, fence.Inside},
		{"beijing.geojson", "Shanghai", 31.23, 121.47, fence.Outside},
		{"shenzhen.geojson", "Luohu", 22.548, 114.131, fence.Inside},
		{"shenzhen.geojson", "Futian", 22.541, 114.058, fence.Inside},
		{"shenzhen.geojson", "Ebu, in the detached cooperation zone", 22.80, 115.03, fence.Inside},
		{"shenzhen.geojson", "Huizhou, between the parts", 22.79, 114.70, fence.Outside},
		{"shenzhen.geojson", "Hong Kong, Tsim Sha Tsui", 22.297, 114.172, fence.Outside},
		{"chengdu.geojson", "Tianfu Square", 30.657, 104.066, fence.Inside},
		{"haikou.geojson", "Qilou", 20.045, 110.345, fence.Inside},
		{"haikou.geojson", "Sanya", 18.25, 109.51, fence.Outside},
		{"sanya.geojson", "Sanya", 18.25, 109.51, fence.Inside},
	} {
		b, err := ShippedArea(c.area)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Contains(b, []byte("not an administrative boundary")) || !bytes.Contains(b, []byte(`"confidence": "assumed"`)) {
			t.Errorf("%s does not say that it is an approximation", c.area)
		}
		f, err := fence.Parse(b)
		if err != nil {
			t.Fatalf("%s: %v", c.area, err)
		}
		if got, err := f.Locate(fence.Fix{Datum: fence.WGS84, Lat: c.lat, Lon: c.lon, Accuracy: 100}); got != c.want || err != nil {
			t.Errorf("%s is %s in %s, want %s (%v)", c.name, got, c.area, c.want, err)
		}
	}
}

func TestCheckKnown(t *testing.T) {
	d := shippedByName(t, "wangfujing-2021")
	d.Scope.Stores = []string{"A1", "A9"}
	known := Known{Merchants: []string{"wangfujing", "jd-wangfujing"}, Stores: []string{"A1"}, Institutions: []string{"ICBC", "ABC", "BOC", "CCB", "BOCOM", "PSBC"}}
	if err := d.CheckKnown(known); pos.AsError(err).Field != "scope.stores[1]" || pos.CodeOf(err) != pos.ErrConfig {
		t.Errorf("unknown store: %v", err)
	}
	known.Stores = append(known.Stores, "A9")
	if err := d.CheckKnown(known); err != nil {
		t.Error(err)
	}
	known.Institutions = known.Institutions[:5]
	if err := d.CheckKnown(known); pos.AsError(err).Field != "institutions[5]" {
		t.Errorf("unknown institution: %v", err)
	}
	known.Merchants = nil
	if err := d.CheckKnown(known); pos.AsError(err).Field != "scope.merchants[0]" {
		t.Errorf("unknown merchant: %v", err)
	}
}

func TestCoupons(t *testing.T) {
	b, err := shipped.ReadFile("definitions/haikou-2021.yaml")
	if err != nil {
		t.Fatal(err)
	}
	text := strings.Replace(string(b), "{face_fen: 20000, count: 50000}",
		"{coupon: {threshold_fen: 20000, off_fen: 5000}, count: 1000}, {coupon: {threshold_fen: 10000, off_fen: 3000}, count: 2000}", 1)
	text = strings.Replace(text, "budget_fen: 1000000000", "budget_fen: 11000000", 1)
	d, err := Parse([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	if d.Total() != 110_000_00 || d.Tiers[0].Value() != 50_00 || d.Tiers[1].Coupon.Threshold != 100_00 {
		t.Errorf("%+v costs %s", d.Tiers, d.Total())
	}
}
