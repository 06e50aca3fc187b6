// Package campaign runs a shipped campaign from publish to statement, on one machine and
// one clock: the real rooms of the centre over a real database, six simulated
// institutions with books of their own over HTTP, a witness, and people who register,
// claim, buy and bring back. What the centre says in the end is held against the truth of
// those people (lab/shoppers), which shares no code with it.
package campaign

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"dcpos/central/campaign"
	"dcpos/central/campaign/draw"
	"dcpos/central/campaign/fence"
	"dcpos/central/campaign/office"
	"dcpos/central/campaign/register"
	"dcpos/central/fleet"
	"dcpos/central/institution"
	"dcpos/central/issuance"
	"dcpos/central/ledger"
	"dcpos/central/payment"
	"dcpos/central/store"
	"dcpos/cmd/poscentral/envelopes"
	lab "dcpos/lab/institution"
	"dcpos/lab/witness"
	"dcpos/pos"
	"dcpos/pos/dcep"
)

// world is everything that runs.
type world struct {
	dir     string
	clock   atomic.Int64
	sim     *lab.Simulator
	url     string       // of the institutions
	net     *http.Client // of the wallets
	db      *store.Store
	office  *office.Office
	issuing *issuance.Desk
	pay     *payment.Desk
	phones  phones
	def     campaign.Definition
	stop    []func() error
}

func (w *world) now() time.Time { return time.UnixMilli(w.clock.Load()) }

// set moves the clock of all on.
func (w *world) set(t time.Time) {
	if ms := t.UnixMilli(); ms > w.clock.Load() {
		w.clock.Store(ms)
	}
}

// phones keep the last message to each, and who has won.
type phones struct {
	mu   sync.Mutex
	last map[string]string
	won  map[string]string // phone → message
}

// Send implements register.SMS and issuance.SMS.
func (p *phones) Send(_ context.Context, phone string, text pos.Text) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if strings.Contains(text.EN, "you have won") {
		p.won[phone] = text.ZH
	} else {
		p.last[phone] = text.ZH
	}
	return nil
}

var sixDigits = regexp.MustCompile(`码 ([0-9]{6})`)

func (p *phones) code(phone string) string {
	p.mu.Lock()
	defer p.mu.Unlock()
	m := sixDigits.FindStringSubmatch(p.last[phone])
	delete(p.last, phone)
	if m == nil {
		return ""
	}
	return m[1]
}

// everybody is real, and a resident.
type everybody struct{}

// Look implements register.Authority.
func (everybody) Look(context.Context, register.Personal) (register.Known, error) {
	return register.Known{Real: true, Resident: true}, nil
}

// serve answers on a port of this machine until close.
func (w *world) serve(ctx context.Context, h http.Handler) (string, error) {
	l, err := new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	s := &http.Server{Handler: h, ReadHeaderTimeout: 10 * time.Second}
	go func() { _ = s.Serve(l) }() // it ends by Close
	w.stop = append(w.stop, s.Close)
	return "http://" + l.Addr().String(), nil
}

func (w *world) close() error {
	var all error
	for _, stop := range slices.Backward(w.stop) {
		all = errors.Join(all, stop())
	}
	return all
}

// open starts everything on the day before the registration.
func open(ctx context.Context, dir, database string, def campaign.Definition) (w *world, err error) {
	w = &world{dir: dir, def: def, phones: phones{last: map[string]string{}, won: map[string]string{}}}
	w.set(def.Register.From.AddDate(0, 0, -1))
	if database == "" {
		database = "sqlite:" + filepath.Join(dir, "central.db")
	}
	if w.db, err = store.Open(ctx, store.Config{URL: database, Env: pos.Lab, Now: w.now}); err != nil {
		return w, err
	}
	w.stop = append(w.stop, w.db.Close)
	set, err := w.banks(ctx)
	if err != nil {
		return w, err
	}
	if w.pay, err = payment.New(payment.Config{
		Env: pos.Lab, Store: w.db.Payments(), Institutions: set, Default: "ICBC", Key: bytes.Repeat([]byte{1}, 16), Now: w.now,
	}); err != nil {
		return w, err
	}
	if err := w.openOffice(ctx, set.Codes()); err != nil {
		return w, err
	}
	w.issuing, err = issuance.New(issuance.Config{
		Store: w.db.Issuances(), Institutions: set, Source: &envelopes.Drawn{Office: w.office}, People: envelopes.People{Office: w.office}, SMS: &w.phones,
		PerSecond: 1 << 20, Now: w.now,
	})
	return w, err
}

// direct carries what phones ask to the banks' handler: the way between them is not what is judged, and would cost
// as much as the centre's work. The centre asks the banks over sockets.
type direct struct{ banks http.Handler }

// RoundTrip implements http.RoundTripper.
func (d direct) RoundTrip(r *http.Request) (*http.Response, error) {
	r = r.Clone(r.Context())
	if r.Body == nil {
		r.Body = http.NoBody
	}
	a := &answer{header: http.Header{}, status: http.StatusOK}
	d.banks.ServeHTTP(a, r)
	return &http.Response{
		StatusCode: a.status, Header: a.header, Body: io.NopCloser(&a.body), ContentLength: int64(a.body.Len()),
		Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1, Request: r,
	}, r.Body.Close()
}

// answer implements http.ResponseWriter.
type answer struct {
	header http.Header
	status int
	body   bytes.Buffer
}

// Header implements http.ResponseWriter.
func (a *answer) Header() http.Header { return a.header }

// WriteHeader implements http.ResponseWriter.
func (a *answer) WriteHeader(status int) { a.status = status }

// Write implements http.ResponseWriter.
func (a *answer) Write(b []byte) (int, error) { return a.body.Write(b) }

// banks starts the six institutions and connects them by the descriptions that ship.
func (w *world) banks(ctx context.Context) (*institution.Set, error) {
	var err error
	if w.sim, err = lab.Open(lab.Options{Dir: filepath.Join(w.dir, "lab"), Now: w.now, Suite: dcep.Ed25519SHA256, Unflushed: true}); err != nil {
		return nil, err
	}
	w.stop = append(w.stop, w.sim.Close)
	w.net = &http.Client{Transport: direct{w.sim.Handler()}}
	if w.url, err = w.serve(ctx, w.sim.Handler()); err != nil {
		return nil, err
	}
	all, err := institution.Shipped()
	if err != nil {
		return nil, err
	}
	access := map[string]institution.Access{}
	for _, d := range all {
		access[d.Code] = institution.Access{BaseURL: w.url + "/" + d.Code + "/v1", APIKey: w.sim.Key(d.Code)}
	}
	return institution.Connect(pos.Lab, all, access, os.LookupEnv, time.Now)
}

func (w *world) openOffice(ctx context.Context, codes []string) error {
	she, err := witness.Open(filepath.Join(w.dir, "lab", "witness.json"), "witness.lab", w.now)
	if err != nil {
		return err
	}
	url, err := w.serve(ctx, she.Handler())
	if err != nil {
		return err
	}
	secret, public, err := office.Publisher("publisher.lab")
	if err != nil {
		return err
	}
	signer, err := office.OpenPublisher(secret)
	if err != nil {
		return err
	}
	if err := she.Watch(draw.Origin(w.def.Name), public); err != nil {
		return err
	}
	w.office, err = office.New(office.Config{
		Env: pos.Lab, Store: w.db.Office(), PublisherKey: public, Witness: she.VerifierKey(), Ask: draw.Ask{URL: url},
		Institutions: codes, Folder: filepath.Join(w.dir, "published"),
		Desk: register.Config{
			Store: w.db.Registrations(), Publisher: signer, SMS: &w.phones, Authority: everybody{},
			Master: bytes.Repeat([]byte{7}, 32), Now: w.now, PerSource: 1 << 30,
		},
	})
	return err
}

// shops makes merchants with a store in a district, and a till in it, each.
func (w *world) shops(ctx context.Context, districts map[string]string) error {
	return w.db.Fleet().Write(ctx, func(tx fleet.Tx) error {
		for m, district := range districts {
			t := fleet.Terminal{ID: till(m), Merchant: m, Shop: "shop-" + m, NATSKey: "U" + m, State: fleet.Active, Env: pos.Lab, Class: "counter"}
			err := errors.Join(tx.PutMerchant(ctx, fleet.Merchant{ID: m}), tx.PutShop(ctx, fleet.Shop{ID: t.Shop, Merchant: m, District: district}))
			if err == nil {
				err = tx.PutTerminal(ctx, t)
			}
			if err != nil {
				return err
			}
		}
		return nil
	})
}

func till(merchant string) string { return "till-" + merchant }

// publish deposits the budget and publishes with a practice beacon.
func (w *world) publish(ctx context.Context) error {
	if _, err := w.db.Ledger().Post(ctx, ledger.Deposited(w.def.Funding, "ICBC", "T1", w.def.Budget, pos.DateOf(w.now(), 0))); err != nil {
		return err
	}
	d := office.Draft{Definition: w.def, Chain: draw.PracticeChain, By: "poslab"}
	if w.def.Fence != "" {
		var err error
		if d.Area, err = campaign.ShippedArea(w.def.Fence); err != nil {
			return err
		}
	}
	_, err := w.office.Publish(ctx, d)
	return err
}

// standsIn are positions inside of the fences that ship.
func standsIn(area string) *fence.Fix {
	switch area {
	case "beijing.geojson":
		return &fence.Fix{Datum: "gcj02", Lat: 39.9164, Lon: 116.4174, Accuracy: 20}
	case "shenzhen.geojson":
		return &fence.Fix{Datum: "wgs84", Lat: 22.5431, Lon: 114.0579, Accuracy: 20}
	case "chengdu.geojson":
		return &fence.Fix{Datum: "wgs84", Lat: 30.6598, Lon: 104.0633, Accuracy: 20}
	case "haikou.geojson":
		return &fence.Fix{Datum: "wgs84", Lat: 20.0174, Lon: 110.3492, Accuracy: 20}
	}
	return nil
}

// together runs work for 0 to n-1 by some hands, up to the first error.
func together(n, hands int, work func(i int) error) error {
	var next atomic.Int64
	var failed atomic.Pointer[error]
	var wait sync.WaitGroup
	for range hands {
		wait.Go(func() {
			for failed.Load() == nil {
				i := int(next.Add(1)) - 1
				if i >= n {
					return
				}
				if err := work(i); err != nil {
					err = fmt.Errorf("%d: %w", i, err)
					failed.CompareAndSwap(nil, &err)
				}
			}
		})
	}
	wait.Wait()
	if err := failed.Load(); err != nil {
		return *err
	}
	return nil
}
