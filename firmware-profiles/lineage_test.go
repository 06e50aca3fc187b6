package profiles_test

import (
	"strings"
	"testing"

	profiles "dcpos/firmware-profiles"
)

const facts = "facts:\n  match: {source: seen, confidence: measured}\n"

func TestLikeFillsInWhatIsLeftOut(t *testing.T) {
	parent, err := profiles.FindPrinter("pos-5890")
	if err != nil {
		t.Fatal(err)
	}
	p, err := profiles.ParsePrinter("mine.yaml", []byte(`kind: printer
like: pos-5890
products: [{brand: A, model: B}]
match: {usb: [{vid: "1234", pid: "5678"}]}
drawer: {connector: false}
facts:
  match: {source: seen, confidence: measured}
  drawer: {source: "there is no socket", confidence: measured}
  cutter: {source: "there is a bar", confidence: measured}
`))
	if err != nil {
		t.Fatal(err)
	}
	if p.Name != "mine" || p.Driver != "escpos" || p.Paper != parent.Paper || p.Timing != parent.Timing {
		t.Errorf("not filled in: %+v", p)
	}
	if p.Drawer.Connector || len(p.Products) != 1 || len(p.Match.USB) != 1 || p.Notes != "" {
		t.Errorf("what the file says itself is not kept: %+v", p)
	}
	if f := p.Facts["paper"]; f.Confidence != profiles.Assumed || !strings.HasPrefix(f.Source, "like pos-5890: ") {
		t.Errorf("what was filled in has to be assumed, and to say so: %+v", f)
	}
	for _, own := range []string{"match", "drawer", "cutter"} {
		if f := p.Facts[own]; f.Confidence != profiles.Measured {
			t.Errorf("%s: %+v", own, f)
		}
	}
	if parent.Facts["cutter"].Source == "there is a bar" {
		t.Error("the other profile was changed")
	}
}

func TestLineageErrors(t *testing.T) {
	const head = "kind: printer\nproducts: [{brand: A, model: B}]\nmatch: {usb: [{vid: \"1234\", pid: \"5678\"}]}\n" + facts
	for _, tc := range []struct{ name, text, want string }{
		{"only recognised", head + "unverified: true\n", ""},
		{"recognised and like another", head + "unverified: true\nlike: pos-5890\n", ""},
		{"like nobody", head + "like: nobody\n", `x.yaml:6: like: printer profile "nobody": no such profile`},
		{"like one of another kind", head + "like: serial-cr\n", "no such profile"},
		{"like a path", head + "like: ../counter\n", "no such profile"},
		{"like a blueprint", head + "like: _blueprint\n", "no such profile"},
		{"too long a chain", head + "like: epson-tm-t82\n", "the chain is too long"},
		{"unverified and yet a claim", head + "unverified: true\ncutter: full\n", "x.yaml:7: cutter: want no such key beside unverified"},
		{"unverified without identity", "kind: printer\nproducts: [{brand: A, model: B}]\nunverified: true\n", "match: want how it is recognised"},
		{"neither like nor said", head, "x.yaml:1: driver: want a text"},
		{"any maker's printer", strings.Replace(head, `vid: "1234", pid: "5678"`, `vid: "*", pid: "*"`, 1) + "unverified: true\n", "match.usb.0.as: want"},
		{"any maker's product number", strings.Replace(head, `vid: "1234"`, `vid: "*", as: printer`, 1) + "unverified: true\n", `match.usb.0.pid: want "*", because vid is`},
		{"a text that would break a rule", strings.Replace(head, `pid: "5678"`, `pid: "5678", product: 'x", RUN+="sh'`, 1) + "unverified: true\n", "match.usb.0.product: want letters"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			_, err := profiles.ParsePrinter("x.yaml", []byte(tc.text))
			if (err == nil) != (tc.want == "") || err != nil && !strings.Contains(err.Error(), tc.want) {
				t.Errorf("got %v, want %q", err, tc.want)
			}
		})
	}
}

func TestExamineTellsWhatIsAssumed(t *testing.T) {
	r := profiles.Examine("x.yaml", []byte("kind: printer\nlike: pos-5890\nproducts: [{brand: A, model: B}]\nmatch: {usb: [{vid: \"1234\", pid: \"5678\"}]}\n"+facts),
		map[profiles.Kind][]string{profiles.KindPrinter: {"tspl"}})
	if r.Kind != profiles.KindPrinter || r.Wrong == nil || !strings.Contains(r.Wrong.Error(), "x.yaml:1: driver: want tspl") {
		t.Errorf("%+v", r)
	}
	if len(r.Doubts) < 5 || !strings.Contains(strings.Join(r.Doubts, "\n"), "x.yaml:2: paper: like pos-5890: ") {
		t.Errorf("doubts %q", r.Doubts)
	}
	for _, junk := range []string{"", "x", "kind: printer", "kind: toaster", "kind: [", "- a", "kind: printer\nfacts: 7"} {
		if r := profiles.Examine("x.yaml", []byte(junk), nil); r.Wrong == nil {
			t.Errorf("%q is taken: %+v", junk, r)
		}
	}
}
