package campaign_test

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"flag"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/chromedp"

	"dcpos/central/campaign/draw"
	"dcpos/central/campaign/office"
	"dcpos/central/campaign/portal"
	"dcpos/central/campaign/register"
	"dcpos/internal/testbrowser"
	"dcpos/pos"
)

var (
	cases = flag.Int("cases", 100, "bundles on which both verifiers must agree; 1000 is the long form")
	kills = flag.Int64("kills", 5, "SIGKILLs of each of close and draw; 24 is the long form")
	ends  = flag.Int("ends", 4, "SIGKILLs of the centre while it gives envelopes out and takes them back; 120 is the long form")
	seed  = flag.Uint64("seed", uint64(time.Now().UnixNano()), "of the cases") //nolint:gosec // any number
)

// spoken is what the page's verifier says of a bundle.
type spoken struct {
	OK      bool   `json:"ok"`
	File    string `json:"file"`
	Message string `json:"message"`
	Entries int64  `json:"entries"`
	Winners int64  `json:"winners"`
	Waiting int64  `json:"waiting"`
	Adv     int64  `json:"advances"`
	Version int64  `json:"version"`
	Root    string `json:"root"`
	Seed    string `json:"seed"`
	Fault   bool   `json:"fault"` // it named a file, as it should

	Unchecked []string `json:"unchecked"`
}

// runner is the page that asks the verifier about one bundle after another.
const runner = `<!doctype html><title>verifier</title><script type="module">
import { verify, checkEntry, Fault } from '/files/verify.js';
const un64 = (s) => Uint8Array.from(atob(s), (c) => c.charCodeAt(0));
const plain = (v) => ({ ok: true, version: v.version, entries: v.entries, winners: v.winners, waiting: v.waiting, advances: v.advances, root: v.root, seed: v.seed, unchecked: v.unchecked });
const bad = (e) => ({ ok: false, file: e.file ?? '', message: String(e.message ?? e), fault: e instanceof Fault });
async function load(n) { return new Map(Object.entries(await (await fetch('/case/' + n)).json()).map(([k, v]) => [k, un64(v)])); }
window.judge = async (n) => { try { return plain(await verify(await load(n))); } catch (e) { return bad(e); } };
window.judgeAll = async (from, to) => { const out = []; for (let n = from; n < to; n++) out.push(await judge(n)); return JSON.stringify(out); };
window.follow = async (n, entry) => { const v = await verify(await load(n)); try { const { key, ...e } = await checkEntry(v, entry); return JSON.stringify({ ok: true, ...e }); } catch (e) { return JSON.stringify(bad(e)); } };
window.ready = true;
</script>`

// verifierPage serves the portal's script and the cases.
func verifierPage(t *testing.T) (p *page, put func(b bundle) int) {
	t.Helper()
	o, err := office.New(office.Config{Env: pos.Lab, Store: nobody{}, Folder: t.TempDir(), Desk: deskOf(t)})
	if err != nil {
		t.Fatal(err)
	}
	pages, err := portal.New(portal.Config{Env: pos.Lab, Office: o})
	if err != nil {
		t.Fatal(err)
	}
	var mu sync.Mutex
	var all []bundle
	mux := http.NewServeMux()
	mux.Handle("GET /files/", pages)
	mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html")
		_, _ = w.Write([]byte(runner))
	})
	mux.HandleFunc("GET /case/{n}", func(w http.ResponseWriter, r *http.Request) {
		n, _ := strconv.Atoi(r.PathValue("n"))
		mu.Lock()
		b := all[n]
		mu.Unlock()
		_ = json.NewEncoder(w).Encode(b)
	})
	server := httptest.NewServer(mux)
	t.Cleanup(server.Close)
	p = tab(testbrowser.Start(t), t)
	p.Do("the verifier's page", chromedp.Navigate(server.URL+"/"))
	value[bool](p, `new Promise((done) => { const look = () => window.ready ? done(true) : setTimeout(look, 20); look(); })`)
	return p, func(b bundle) int {
		mu.Lock()
		defer mu.Unlock()
		all = append(all, b)
		return len(all) - 1
	}
}

// perDraw is how many bundles are made of one draw: the genuine one and its forgeries.
const perDraw = 8

// TestTwoVerifiersAgree holds the page's verifier against posctl's on random draws, one
// in eight genuine, the others forged.
func TestTwoVerifiersAgree(t *testing.T) {
	t.Logf("-cases %d -seed %d", *cases, *seed)
	d := newDealer(t, *seed)
	p, put := verifierPage(t)
	type want struct {
		verdict draw.Verdict
		err     error
		how     string
	}
	var wants []want
	for len(wants) < *cases {
		terms := d.terms()
		genuine := d.play(terms, d.entries(terms))
		for i := range perDraw {
			b, how := genuine, "genuine"
			if i > 0 {
				b, how = d.forge(genuine, terms)
			}
			dir := t.TempDir()
			b.write(t, dir)
			v, err := draw.Verify(dir, nil)
			wants = append(wants, want{v, err, how})
			put(b)
		}
	}
	var got []spoken
	for from := 0; from < len(wants); from += 100 {
		var part []spoken
		text := value[string](p, "judgeAll("+strconv.Itoa(from)+","+strconv.Itoa(min(from+100, len(wants)))+")")
		if err := json.Unmarshal([]byte(text), &part); err != nil {
			t.Fatal(err)
		}
		got = append(got, part...)
	}
	accepted, rejected, place := 0, 0, 0
	for i, w := range wants {
		g := got[i]
		if g.OK != (w.err == nil) {
			t.Errorf("case %d, %s: posctl says %v, the page %+v", i, w.how, w.err, g)
			continue
		}
		if g.OK {
			accepted++
			if v := w.verdict; g.Entries != v.Entries || g.Winners != v.Winners || g.Waiting != v.Waiting || g.Adv != v.Advances || g.Version != v.Version || g.Root != v.Root || g.Seed != v.Seed {
				t.Errorf("case %d: posctl %+v, the page %+v", i, v, g)
			}
			if len(g.Unchecked) != 1 || g.Unchecked[0] != "beacon" {
				t.Errorf("case %d: unchecked %v, want the beacon's signature alone", i, g.Unchecked)
			}
			continue
		}
		rejected++
		if !g.Fault {
			t.Errorf("case %d, %s: the page broke: %s", i, w.how, g.Message)
		}
		var f *draw.Fault
		if errors.As(w.err, &f) && bare(f.File) == bare(g.File) {
			place++
		}
	}
	t.Logf("%d accepted, %d rejected, of these %d with the same file named", accepted, rejected, place)
	if accepted < len(wants)/perDraw || rejected < len(wants)/2 {
		t.Error("the cases are no mixture")
	}
}

func bare(file string) string { name, _, _ := strings.Cut(file, ":"); return name }

// TestWhatThePageLeavesToPosctl: a round that was invented, with a draw that follows
// from it, passes on the page, which says that it did not look, and not with posctl.
func TestWhatThePageLeavesToPosctl(t *testing.T) {
	d := newDealer(t, 7)
	p, put := verifierPage(t)
	terms := d.terms()
	b := d.play(terms, d.entries(terms))
	var round draw.Round
	if err := json.Unmarshal(b[draw.RoundFile], &round); err != nil {
		t.Fatal(err)
	}
	other, err := draw.PracticeRound(round.Round + 1) // a genuine signature, of another round
	if err != nil {
		t.Fatal(err)
	}
	round.Signature, round.Randomness = other.Signature, other.Randomness
	text, err := json.Marshal(round)
	if err != nil {
		t.Fatal(err)
	}
	forged := b.copy()
	forged[draw.RoundFile] = append(text, '\n')
	d.seal(forged, terms)
	dir := t.TempDir()
	forged.write(t, dir)
	if _, err := draw.Verify(dir, nil); !errors.Is(err, draw.ErrRound) {
		t.Errorf("posctl: %v", err)
	}
	var got []spoken
	put(b)
	put(forged)
	if err := json.Unmarshal([]byte(value[string](p, "judgeAll(0, 2)")), &got); err != nil {
		t.Fatal(err)
	}
	if !got[0].OK || len(got[0].Unchecked) != 1 || got[0].Unchecked[0] != "beacon" {
		t.Errorf("the genuine one: %+v", got[0])
	}
	if got[1].OK || bare(got[1].File) != draw.WinnersFile && bare(got[1].File) != draw.TranscriptFile {
		t.Errorf("another round's randomness and the old result: %+v", got[1])
	}
}

// TestOwnEntry follows receipts through a draw on the page: hers, somebody else's, one
// that was promised and left out, and forged ones.
func TestOwnEntry(t *testing.T) {
	d := newDealer(t, 11)
	p, put := verifierPage(t)
	terms := d.terms()
	terms.Strata, terms.Institutions = nil, []draw.Institution{{Code: "ICBC"}}
	terms.Tiers, terms.Waiting = []draw.Tier{{Face: 20000, Count: 3}}, 2
	salts := map[draw.Ticket][32]byte{}
	var list []draw.Entry
	for i := range 9 {
		salt := [32]byte{byte(i)}
		ticket := draw.NewTicket(terms.Campaign, salt, [32]byte{1}, [32]byte{2})
		salts[ticket] = salt
		list = append(list, draw.Entry{Ticket: ticket, Institution: "ICBC"})
	}
	slices.SortFunc(list, func(a, b draw.Entry) int { return bytes.Compare(a.Ticket[:], b.Ticket[:]) })
	put(d.play(terms, list[1:])) // the first is left out
	entry := func(e draw.Entry, standing register.Standing) portal.Entry {
		r := register.Receipt{Campaign: terms.Campaign, Definition: terms.Definition, Entry: e, Standing: standing, At: at("2021-02-07 10:00:00")}
		signed, err := r.Sign(d.publisher)
		if err != nil {
			t.Fatal(err)
		}
		salt, person, phone := salts[e.Ticket], [32]byte{1}, [32]byte{2}
		return portal.Entry{
			Format: "dcpos.entry-v1", Campaign: terms.Campaign, Standing: standing, Ticket: e.Ticket.String(), Receipt: string(signed),
			Salt: hex.EncodeToString(salt[:]), Person: hex.EncodeToString(person[:]), Phone: hex.EncodeToString(phone[:]),
		}
	}
	type followed struct {
		spoken
		Index   int    `json:"index"`
		Outcome string `json:"outcome"`
		Unsure  bool   `json:"unchecked"` // no Ed25519 in this browser
		Rank    int64  `json:"rank"`
		Face    int64  `json:"face_fen"`
	}
	follow := func(e portal.Entry) (f followed) {
		b, err := json.Marshal(e)
		if err != nil {
			t.Fatal(err)
		}
		if err := json.Unmarshal([]byte(value[string](p, "follow(0, "+string(b)+")")), &f); err != nil {
			t.Fatal(err)
		}
		return f
	}
	outcomes := map[string]int{}
	for i, e := range list[1:] {
		f := follow(entry(e, register.Entered))
		if !f.OK || f.Index != i || (f.Outcome == "won") != (f.Rank > 0 && f.Face == 20000) {
			t.Errorf("entry %d: %+v", i, f)
		}
		outcomes[f.Outcome]++
	}
	if outcomes["won"] != 3 || outcomes["waiting"] != 2 || outcomes["lost"] != 3 {
		t.Errorf("outcomes %v", outcomes)
	}
	if f := follow(entry(list[0], register.Entered)); f.OK || f.File != draw.EntriesFile {
		t.Errorf("a promise that was broken: %+v", f)
	}
	if f := follow(entry(list[0], register.PlaceOpen)); !f.OK || f.Outcome != "absent" {
		t.Errorf("a place that stayed open: %+v", f)
	}
	good := entry(list[1], register.Entered)
	for what, change := range map[string]func(e *portal.Entry){
		"another salt":     func(e *portal.Entry) { e.Salt = strings.Repeat("0", 63) + "9" },
		"another person":   func(e *portal.Entry) { e.Person = e.Phone },
		"no salt":          func(e *portal.Entry) { e.Salt = "" },
		"another ticket":   func(e *portal.Entry) { e.Receipt = strings.Replace(e.Receipt, e.Ticket, list[2].Ticket.String(), 1) },
		"another standing": func(e *portal.Entry) { e.Receipt = strings.Replace(e.Receipt, "entered", "place_open", 1) },
		"no signature":     func(e *portal.Entry) { e.Receipt, _, _ = strings.Cut(e.Receipt, "\n\n") },
		"another form":     func(e *portal.Entry) { e.Format = "dcpos.entry-v2" },
		"somebody else signed": func(e *portal.Entry) {
			other := newDealer(t, 12)
			r := register.Receipt{Campaign: terms.Campaign, Definition: terms.Definition, Entry: list[1], Standing: register.Entered, At: at("2021-02-07 10:00:00")}
			signed, err := r.Sign(other.publisher)
			if err != nil {
				t.Fatal(err)
			}
			e.Receipt = string(signed)
		},
	} {
		e := good
		change(&e)
		if f := follow(e); f.OK || f.File != "receipt" || !f.Fault {
			t.Errorf("%s: %+v", what, f)
		}
	}
}
