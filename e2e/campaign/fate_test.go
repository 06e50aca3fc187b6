package campaign_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"time"

	"dcpos/central/campaign"
	"dcpos/central/campaign/draw"
	"dcpos/central/campaign/portal"
	"dcpos/central/issuance"
	"dcpos/internal/labclock"
	"dcpos/lab/institution"
	"dcpos/lab/institution/api"
	"dcpos/lab/phone"
	"dcpos/lab/wallet"
	"dcpos/pos"
	"dcpos/pos/dcep"
)

// fates lets the centre die while it gives a campaign's envelopes out and takes them back.
// Institutions and phones are in this process: the n-th request that the centre sends them
// is its end, before they have heard it, before it hears them, or while it writes down what
// they said; or nothing is asked, and the end comes at any time.
type fates struct {
	*world
	rng   *rand.Rand
	sim   *institution.Simulator
	books string
	own   string // URL of the institutions, for wallets

	mu     sync.Mutex
	left   int // requests until the end; 0: it is not near
	when   ending
	killed map[ending]int
	end    chan struct{} // now
	gone   chan struct{} // closed when the centre is dead

	waiting map[string]string // tickets of the waiting list, by envelope
	folder  string            // of the published files
}

// ending is where in a request the centre dies.
type ending int

const (
	unheard ending = iota // the request never arrives
	unsaid                // it is done, the answer never arrives
	unkept                // the answer arrives, the centre is about to write
	anytime               // no request has to do with it
	endings
)

func (e ending) String() string {
	return []string{"before a request", "before its answer", "after its answer", "any time"}[e]
}

// winners is how many envelopes there are; as many wait.
func (f *fates) winners() int { return 8 + *ends/4 }

// people is how many must register: some of them win nothing.
func (f *fates) people() int { return 2*f.winners() + 3 }

// prepare is the world before its centre is configured.
func (f *fates) prepare(w *world) {
	f.world, f.killed, f.end = w, map[ending]int{}, make(chan struct{}, 1)
	clock, err := labclock.Open(w.clock)
	if err == nil {
		f.books = filepath.Join(w.dir, "lab")
		f.sim, err = institution.Open(institution.Options{Dir: f.books, Now: clock.Now, Suite: dcep.Ed25519SHA256})
	}
	if err != nil {
		w.Fatal(err)
	}
	w.Cleanup(func() { _ = f.sim.Close() })
	phones := phone.New()
	f.own, w.phones = f.serve(f.sim.Handler()), f.serve(phones.Handler())
	w.sms = f.serve(f.fatal(phones.Handler()))
	banks := f.serve(f.fatal(f.announced(f.sim.Handler())))
	w.banks, w.choose = map[string]string{}, []string{"ICBC", "BOC", "PSBC"}
	for _, i := range institution.Institutions() {
		w.banks[i.Code] = fmt.Sprintf("base_url: %q, api_key: %q", banks+"/"+i.Code+"/v1", f.sim.Key(i.Code))
	}
	w.definition = filepath.Join(w.dir, "definition.yaml")
	text, err := campaign.ShippedText(name)
	if err == nil {
		few := strings.NewReplacer("count: 50000", fmt.Sprintf("count: %d", f.winners()), "waiting: 0", fmt.Sprintf("waiting: %d", f.winners()),
			"budget_fen: 1000000000", fmt.Sprintf("budget_fen: %d", f.winners()*face)).Replace(string(text))
		err = os.WriteFile(w.definition, []byte(few), 0o600)
	}
	if err != nil {
		w.Fatal(err)
	}
}

// face is of each envelope, in fen.
const face = 200_00

func (f *fates) serve(h http.Handler) string {
	s := httptest.NewServer(h)
	f.Cleanup(s.Close)
	return s.URL
}

// fatal is what the centre asks. The requests before its end pass.
func (f *fates) fatal(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		f.mu.Lock()
		last, when, gone := f.left == 1, f.when, f.gone
		f.left = max(0, f.left-1)
		f.mu.Unlock()
		switch {
		case !last:
			next.ServeHTTP(w, r)
			return
		case when == unheard:
			_, _ = io.Copy(io.Discard, r.Body)
		case when == unsaid:
			next.ServeHTTP(httptest.NewRecorder(), r)
		default:
			next.ServeHTTP(w, r)
			_ = http.NewResponseController(w).Flush()
			f.sleep(8 * time.Millisecond)
		}
		f.end <- struct{}{}
		if when != unkept {
			<-gone
		}
	})
}

// announced holds each order of somebody who moved up against the published log: she stands
// in it before anybody is offered anything.
func (f *fates) announced(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		b, err := io.ReadAll(r.Body)
		if err != nil {
			return // the centre is dead
		}
		r.Body = io.NopCloser(bytes.NewReader(b))
		var in struct {
			Orders []struct {
				Envelope string `json:"envelope"`
			} `json:"orders"`
		}
		_ = json.Unmarshal(b, &in) // other requests have none
		f.mu.Lock()
		waiting, folder := f.waiting, f.folder
		f.mu.Unlock()
		for _, o := range in.Orders {
			ticket, follows := waiting[o.Envelope]
			if !follows {
				continue
			}
			if lines, err := os.ReadFile(filepath.Join(folder, draw.LogFile)); err != nil || !bytes.Contains(lines, []byte(`"in":"`+ticket+`"`)) {
				f.Errorf("an order for ticket %s, and the public log does not tell that she moved up, %v", ticket, err)
			}
		}
		next.ServeHTTP(w, r)
	})
}

// follow remembers whose envelopes may only come with the log.
func (f *fates) follow(drawn map[string][]byte) {
	f.Helper()
	folder, waiting := f.standing().Folder, map[string]string{}
	for line := range bytes.Lines(drawn[draw.WaitingFile]) {
		if text := ticketForm.FindString(string(line)); text != "" {
			ticket, err := draw.ParseTicket(text)
			if err != nil {
				f.Fatal(err)
			}
			waiting[issuance.ID(name, ticket)] = text
		}
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.folder, f.waiting = folder, waiting
}

// sleep waits a random time below d.
func (f *fates) sleep(d time.Duration) {
	f.mu.Lock()
	d = time.Duration(f.rng.Int64N(int64(d)))
	f.mu.Unlock()
	time.Sleep(d)
}

// life runs the centre until it dies.
func (f *fates) life() {
	f.Helper()
	f.mu.Lock()
	f.when = ending(f.rng.IntN(int(endings)))
	when := f.when
	f.left = 0
	if when != anytime {
		f.left = 1 + f.rng.IntN(14) // a first round asks so much
	}
	f.killed[when]++
	gone := make(chan struct{})
	f.gone = gone
	f.mu.Unlock()
	defer close(gone)
	f.launch()
	if when == anytime {
		f.sleep(2 * time.Second)
		f.end <- struct{}{}
	}
	for end, over := time.Now().Add(patience), false; !over; {
		select {
		case <-f.end:
			over = true
		case <-time.After(time.Second):
			over = f.progress().Standing == "reclaimed" // nobody is asked any more
			if time.Now().After(end) {
				f.Fatalf("the centre asks nobody anything for %s", patience)
			}
		}
	}
	_ = f.centre.Process.Kill()
	if err := f.centre.Wait(); err == nil || err.Error() != "signal: killed" {
		b, _ := os.ReadFile(filepath.Join(f.dir, "centre.log"))
		f.Fatalf("the centre ended by itself: %v\n%s", err, b[max(0, len(b)-4000):])
	}
	f.mu.Lock()
	f.left = 0
	f.mu.Unlock()
	f.later(time.Second) // what was put off comes up
}

// progress is the issuance's, by the command.
type progress struct {
	Standing string           `json:"standing"`
	Counts   map[string]int64 `json:"counts"`
	Offered  int64            `json:"offered"`
	Claimed  int64            `json:"claimed"`
	Differs  int64            `json:"differs"`
	Banks    map[string]struct {
		Envelopes int64     `json:"envelopes"`
		Claimed   int64     `json:"claimed"`
		Activated pos.Money `json:"activated_fen"`
		Recalled  pos.Money `json:"recalled_fen"`
	} `json:"institutions"`
	Recalled  pos.Money `json:"recalled_fen"`
	Activated pos.Money `json:"activated_fen"`
}

func (f *fates) progress() (p progress) {
	f.Helper()
	out := f.central("campaign", "progress", name, "--json")
	if err := json.Unmarshal([]byte(out), &p); err != nil {
		f.Fatalf("progress: %s, %v", out, err)
	}
	return p
}

// through lets centres die one after the other, and the last one live until it holds.
func (f *fates) through(what string, holds func(p progress) bool) progress {
	f.Helper()
	for n := 0; n < *ends/4 && !f.Failed(); n++ {
		if p := f.progress(); p.Standing == "reclaimed" {
			break // nobody is asked any more
		}
		f.life()
	}
	f.start()
	defer f.kill()
	var p progress
	f.until(what, func() bool {
		f.later(time.Second)
		p = f.progress()
		return f.Failed() || holds(p)
	})
	return p
}

// issue gives the envelopes out and takes them back.
func (f *fates) issue(entries map[int]portal.Entry) {
	f.Helper()
	drawn := f.published()
	f.follow(drawn)
	f.central("campaign", "offer", name, "--claim-until", "2021-02-12 00:00", "--grace", "1h")
	for _, code := range f.choose {
		f.central("campaign", "pace", code, "4") // so that a death leaves something to do
	}
	count := int64(f.winners())
	f.through("all winners are told", func(p progress) bool { return p.Offered == count && p.Counts["reserved"] == 0 })
	claims := f.claim(entries, f.winners()*2/3)
	f.through("claims are booked", func(p progress) bool { return p.Claimed == claims })
	f.set(at("2021-02-12 00:00:00"))
	unclaimed := count - claims
	f.through("who waits follows", func(p progress) bool {
		return p.Counts["recalled"] == unclaimed && p.Offered == count+unclaimed && p.Counts["reserved"] == 0
	})
	more := f.claim(entries, int(unclaimed/2))
	f.set(at("2021-02-17 23:59:00"))
	f.through("their claims are booked", func(p progress) bool { return p.Claimed == claims+more })
	f.set(at("2021-02-18 01:00:00"))
	p := f.through("everything is back", func(p progress) bool { return p.Standing == "reclaimed" })
	f.grown(drawn, unclaimed)
	f.agree(p, entries, claims+more)
	f.Logf("issuance: killed %v", f.killed)
}

// grown holds the published folder against what it was after the draw: what was drawn is as
// it was, the log has grown by who moved up, and the whole verifies.
func (f *fates) grown(drawn map[string][]byte, advances int64) {
	f.Helper()
	again := f.published()
	for file, b := range drawn {
		switch got := again[file]; file {
		case draw.ManifestFile, draw.SignatureFile:
		case draw.LogFile:
			if !bytes.HasPrefix(got, b) {
				f.Error("the log is not continued")
			}
		default:
			if !bytes.Equal(b, got) {
				f.Errorf("%s is not what it was after the draw", file)
			}
		}
	}
	var v draw.Verdict
	if err := json.Unmarshal([]byte(f.run("posctl", "draw", "verify", f.standing().Folder, "--json")), &v); err != nil || v.Advances != advances {
		f.Errorf("%d moved up, the verdict is %+v, %v", advances, v, err)
	}
}

// published are the files of the draw.
func (f *fates) published() map[string][]byte {
	f.Helper()
	folder := f.standing().Folder
	files, err := os.ReadDir(folder)
	if err != nil {
		f.Fatal(err)
	}
	all := map[string][]byte{}
	for _, e := range files {
		if all[e.Name()], err = os.ReadFile(filepath.Join(folder, e.Name())); err != nil {
			f.Fatal(err)
		}
	}
	return all
}

// claim lets some of those who were offered an envelope open their wallets.
func (f *fates) claim(entries map[int]portal.Entry, many int) (claimed int64) {
	f.Helper()
	ordered, held := f.ordered()
	for n := range entries {
		claimant := api.Claimant(name, phoneNumber(n))
		if claimed == int64(many) || len(ordered[claimant]) == 0 || held[ordered[claimant][0].Envelope] != "" {
			continue
		}
		code := f.choice(n)
		if _, err := wallet.Create(f.Context(), wallet.Client{Base: f.own + "/" + code + "/v1", Key: f.sim.Key(code)},
			wallet.Opening{Institution: code, Name: "w", Suite: dcep.Ed25519SHA256, Phone: phoneNumber(n)}); err != nil {
			f.Fatal(err)
		}
		claimed++
	}
	return claimed
}

// order is what an institution wrote down, and where.
type order struct {
	api.EnvelopeOrder
	bank string
}

// ordered reads the institutions' own journals: orders by claimant, and what became of
// them: the wallet that claimed one, or "-" where it was withdrawn.
func (f *fates) ordered() (orders map[string][]order, held map[string]string) {
	f.Helper()
	orders, held = map[string][]order{}, map[string]string{}
	for _, i := range institution.Institutions() {
		b, err := os.ReadFile(filepath.Join(f.books, "books", i.Code+".jsonl"))
		if err != nil {
			f.Fatal(err)
		}
		for line := range bytes.Lines(b) {
			var e struct {
				Ordered []api.EnvelopeOrder `json:"ordered"`
				Claimed struct {
					Wallet    string   `json:"wallet"`
					Envelopes []string `json:"envelopes"`
				} `json:"claimed"`
				Recalled []string `json:"recalled"`
			}
			if err := json.Unmarshal(line, &e); err != nil {
				f.Fatal(err)
			}
			for _, o := range e.Ordered {
				orders[o.Claimant] = append(orders[o.Claimant], order{o, i.Code})
			}
			for _, id := range e.Claimed.Envelopes {
				held[id] = e.Claimed.Wallet
			}
			for _, id := range e.Recalled {
				if held[id] == "" {
					held[id] = "-"
				}
			}
		}
	}
	return orders, held
}

var ticketForm = regexp.MustCompile(`\b[0-9a-f]{64}\b`)

// agree holds draw, institutions and centre against one another.
func (f *fates) agree(p progress, entries map[int]portal.Entry, claims int64) {
	f.Helper()
	phones := map[string]int{} // by ticket
	for n, e := range entries {
		phones[e.Ticket] = n
	}
	orders, held := f.ordered()
	due := map[string]bool{} // claimants
	files := f.published()
	for file, lines := range map[string]int64{draw.WinnersFile: int64(f.winners()), draw.WaitingFile: p.Offered - int64(f.winners())} {
		for line := range bytes.Lines(files[file]) {
			ticket := ticketForm.FindString(string(line))
			n, known := phones[ticket]
			if ticket == "" || lines == 0 {
				continue
			}
			lines--
			claimant := api.Claimant(name, phoneNumber(n))
			due[claimant] = true
			if got := orders[claimant]; !known || len(got) != 1 || got[0].Amount != face || got[0].bank != f.choice(n) {
				f.Errorf("%s: person %d (known: %v) has %v, want one envelope at %s", file, n, known, got, f.choice(n))
			}
		}
		if lines != 0 {
			f.Errorf("%s: %d lines are missing", file, lines)
		}
	}
	var books progress
	for claimant, got := range orders {
		if !due[claimant] {
			f.Errorf("an envelope of nobody who is due: %v", got)
		}
		for _, o := range got {
			if held[o.Envelope] != "-" {
				books.Claimed++
				books.Activated += o.Amount
			}
		}
	}
	if p.Claimed != claims || books.Claimed != claims || p.Activated != books.Activated || p.Recalled != p.Activated || p.Differs != 0 {
		f.Errorf("%d claimed; the institutions say %d, %s; the centre %+v", claims, books.Claimed, books.Activated, p)
	}
	f.settled()
	f.stated(map[string]int64{
		"winners": int64(f.winners()), "winners_fen": int64(f.winners() * face), "moved_up": p.Offered - int64(f.winners()), "offered": p.Offered,
		"activated": claims, "activated_fen": claims * face, "recalled_fen": claims * face, "registered": int64(len(entries)),
	})
	f.Logf("%d envelopes, %d of them claimed", len(due), claims)
}

// stated holds the government's statement: who moved up is told apart from who was drawn.
func (f *fates) stated(want map[string]int64) {
	f.Helper()
	dir := f.TempDir()
	f.central("campaign", "statement", name, "--out", dir)
	said := map[string]int64{}
	b, err := os.ReadFile(filepath.Join(dir, name+".json"))
	if err == nil {
		err = json.Unmarshal(b, &said)
	}
	for k, v := range want {
		if said[k] != v {
			f.Errorf("the statement's %s is %d, want %d, %v", k, said[k], v, err)
		}
	}
}

// settled holds the ledger: nothing was spent, so all money is back.
func (f *fates) settled() {
	f.Helper()
	var l struct {
		Balanced bool `json:"balanced"`
		Accounts []struct {
			Account string    `json:"account"`
			Amount  pos.Money `json:"amount"`
		} `json:"accounts"`
	}
	if err := json.Unmarshal([]byte(f.central("ledger", "--json")), &l); err != nil || !l.Balanced {
		f.Errorf("the ledger: %+v, %v", l, err)
	}
	for _, a := range l.Accounts {
		kind, _, _ := strings.Cut(a.Account, ":")
		if fund := kind == "fund" && a.Amount != -10_000_000_00; fund || (kind == "envelopes" || kind == "budget") && a.Amount != 0 {
			f.Errorf("%s holds %s at the end", a.Account, a.Amount)
		}
	}
	for _, t := range f.sim.Totals() {
		if t.WalletsEnvelope != 0 {
			f.Errorf("wallets at %s still hold %s of envelopes", t.Institution, t.WalletsEnvelope)
		}
	}
}
