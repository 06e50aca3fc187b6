package campaign

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"runtime/debug"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"dcpos/central/campaign"
	"dcpos/central/campaign/draw"
	"dcpos/central/campaign/register"
	"dcpos/central/campaign/statement"
	"dcpos/cmd/poscentral/envelopes"
	"dcpos/internal/cli"
	"dcpos/lab/shoppers"
	"dcpos/lab/wallet"
	"dcpos/pos"
	"dcpos/pos/dcep"
)

// Options of a run.
type Options struct {
	Name     string
	Scale    float64 // of the envelopes and the budget; 1: full size
	Entrants int     // 0: three for each envelope
	Seed     uint64
	Dir      string // absent or empty
	Database string // empty: SQLite in Dir
	Out      io.Writer
}

// hands work side by side: enough for each bank's books to share their fsyncs, too.
const hands = 192

// gcPercent lets the heap grow to four times what lives, not two: at full size a third of the processor went into
// looking through the six banks' books, which stay in memory.
const gcPercent = 300

// run is one campaign.
type run struct {
	*world
	o      Options
	town   *shoppers.Town
	truth  sync.Mutex // guards the town
	people []*customer
	began  time.Time
	turned atomic.Int64 // times that somebody was told to try again, the bank being busy
}

// customer is a winner with her wallet.
type customer struct {
	shoppers.Person
	wallet *wallet.Wallet
}

// Run plays a campaign, leaves DIR/draw/, DIR/statement.* and DIR/truth.json, and fails
// where the books do not balance or the statement is not the truth.
func Run(ctx context.Context, o Options) (err error) {
	def, err := scaled(o.Name, o.Scale)
	if err != nil {
		return cli.Exit(cli.Usage, err)
	}
	defer debug.SetGCPercent(debug.SetGCPercent(gcPercent))
	if o.Entrants == 0 {
		o.Entrants = int(def.Envelopes()) * 3 //nolint:mnd // enough for a draw
	}
	if err := os.MkdirAll(filepath.Join(o.Dir, "lab"), 0o700); err != nil {
		return err
	}
	w, err := open(ctx, o.Dir, o.Database, def)
	defer func() { err = errors.Join(err, w.close()) }()
	if err != nil {
		return err
	}
	r := &run{world: w, o: o, began: time.Now()}
	r.say("%s: %d envelopes, %s, %d entrants", def.Name, def.Envelopes(), def.Total(), o.Entrants)
	for _, step := range []func(context.Context) error{r.register, r.draw, r.offer, r.claim, r.shop, r.end, r.judge} {
		if err := step(ctx); err != nil {
			return err
		}
	}
	return nil
}

func (r *run) say(format string, args ...any) {
	_, _ = fmt.Fprintf(r.o.Out, "%8.1fs  %s\n", time.Since(r.began).Seconds(), fmt.Sprintf(format, args...))
}

// scaled is a definition that ships, with fewer envelopes.
func scaled(name string, scale float64) (campaign.Definition, error) {
	all, err := campaign.Shipped()
	if err != nil {
		return campaign.Definition{}, err
	}
	i := slices.IndexFunc(all, func(d campaign.Definition) bool { return d.Name == name })
	if i < 0 {
		return campaign.Definition{}, pos.FieldError(pos.ErrNotFound, "name", fmt.Errorf("%.40q does not ship", name))
	}
	d := all[i]
	if scale <= 0 || scale > 1 {
		return d, pos.FieldError(pos.ErrBadRequest, "scale", errors.New("want above 0, up to 1"))
	}
	if scale < 1 {
		d.Tiers, d.Strata, d.Institutions = slices.Clone(d.Tiers), nil, slices.Clone(d.Institutions)
		for i := range d.Tiers {
			d.Tiers[i].Count = max(1, int64(float64(d.Tiers[i].Count)*scale))
		}
		for i := range d.Institutions {
			d.Institutions[i].Quota = 0
		}
		d.Budget = d.Total()
	}
	return d, d.Check()
}

// register publishes and lets everybody register and confirm.
func (r *run) register(ctx context.Context) error {
	scope := r.def.Scope.Merchants
	others := []string{"next-door"}
	if scope[0] == "*" {
		scope, others = []string{"m-one", "m-two", "m-three"}, nil
	}
	districts := map[string]string{}
	for i, m := range append(slices.Clone(scope), others...) {
		districts[m] = []string{"东城区", "西城区", "朝阳区"}[i%3]
	}
	if err := r.shops(ctx, districts); err != nil {
		return err
	}
	var channels []string
	for _, c := range r.def.Scope.Channels {
		channels = append(channels, string(c))
	}
	r.town = shoppers.New(shoppers.Notice{
		From: r.def.Spend.From, Until: r.def.Spend.Until, Merchants: scope, Others: others, Districts: districts, Channels: channels,
		Categories: []string{"food", "books", "toys"},
	}, r.o.Seed)
	if err := r.publish(ctx); err != nil {
		return err
	}
	r.set(r.def.Register.From.Add(time.Hour))
	desk, err := r.office.Desk(ctx, r.def.Name)
	if err != nil {
		return err
	}
	fix := standsIn(r.def.Fence)
	err = together(r.o.Entrants, hands*2, func(i int) error { //nolint:mnd // registrations share commits
		q := register.Request{
			Name: "张三", Document: campaign.ResidentID, Number: shoppers.Number(i), Phone: shoppers.Phone(i),
			Institution: r.def.Institutions[i%len(r.def.Institutions)].Code, Fix: fix, Source: "lab",
		}
		a, err := desk.Register(ctx, q)
		if err != nil {
			return err
		}
		_, err = desk.Confirm(ctx, a.Ref, r.phones.code(q.Phone))
		return err
	})
	r.say("registered")
	return err
}

// draw closes, draws and lays the bundle beside the statement.
func (r *run) draw(ctx context.Context) error {
	r.set(r.def.Register.Until)
	c, err := r.office.Close(ctx, r.def.Name, "poslab")
	if err != nil {
		return err
	}
	r.set(c.RoundAt)
	round, err := draw.PracticeRound(c.Terms.Beacon.Round)
	if err != nil {
		return err
	}
	if _, err := r.office.Draw(ctx, r.def.Name, round, "poslab"); err != nil {
		return err
	}
	r.say("drawn")
	return os.CopyFS(filepath.Join(r.o.Dir, "draw"), os.DirFS(r.office.Dir(r.def.Name)))
}

// rounds works until nothing is to be done now.
func (r *run) rounds(ctx context.Context) error {
	for {
		busy, err := r.issuing.Round(ctx)
		if err != nil || !busy {
			return err
		}
	}
}

func (r *run) offer(ctx context.Context) error {
	c, err := r.office.Campaign(ctx, r.def.Name)
	if err != nil {
		return err
	}
	if err := r.issuing.Begin(ctx, envelopes.Plan(c.Published, envelopes.Terms{}), "poslab"); err != nil {
		return err
	}
	if err := r.rounds(ctx); err != nil {
		return err
	}
	r.say("offered to %d", len(r.phones.won))
	return nil
}

// claim opens wallets at the banks that were chosen, as far as people care to.
func (r *run) claim(ctx context.Context) error {
	faces, err := r.faces(ctx)
	if err != nil {
		return err
	}
	for _, phone := range slices.Sorted(maps.Keys(r.phones.won)) {
		won := faces[phone]
		r.people = append(r.people, &customer{Person: r.town.Win(phone, won.institution, won.face)})
	}
	err = together(len(r.people), hands, func(i int) (err error) {
		p := r.people[i]
		if !p.Claims {
			return nil
		}
		p.wallet, err = wallet.Create(ctx, wallet.Client{Base: r.url + "/" + p.Institution + "/v1", Key: r.sim.Key(p.Institution), HTTP: r.net},
			wallet.Opening{Institution: p.Institution, Name: "w", Balance: 100_000_00, Suite: dcep.Ed25519SHA256, Phone: p.Phone})
		return err
	})
	if err == nil {
		err = r.rounds(ctx)
	}
	r.say("claimed")
	return err
}

type won struct {
	institution string
	face        pos.Money
}

// faces are read from the messages, as winners read them.
func (r *run) faces(context.Context) (map[string]won, error) {
	all := map[string]won{}
	for phone, text := range r.phones.won {
		m := message.FindStringSubmatch(text)
		if m == nil {
			return nil, fmt.Errorf("a winner cannot read %q", text)
		}
		face, err := pos.ParseMoney(m[1])
		if err != nil {
			return nil, err
		}
		all[phone] = won{m[2], face}
	}
	return all, nil
}

// shop plays the spend window day by day, each day's customers side by side.
func (r *run) shop(ctx context.Context) error {
	r.set(r.def.Spend.From)
	days := map[string][]*customer{}
	for _, p := range r.people {
		for _, b := range p.Buys {
			day := b.At.In(pos.Shanghai()).Format(time.DateOnly)
			if l := days[day]; len(l) == 0 || l[len(l)-1] != p {
				days[day] = append(days[day], p)
			}
		}
	}
	var count atomic.Int64
	for _, day := range slices.Sorted(maps.Keys(days)) {
		at, err := time.ParseInLocation(time.DateOnly, day, pos.Shanghai())
		if err != nil {
			return err
		}
		r.set(at.Add(time.Second))
		if err := r.oneDay(ctx, day, days[day], &count); err != nil {
			return err
		}
	}
	r.say("%d payments; %d times the bank was busy, and they tried again", count.Load(), r.turned.Load())
	return nil
}

func (r *run) oneDay(ctx context.Context, day string, who []*customer, count *atomic.Int64) error {
	return together(len(who), hands, func(i int) error {
		for k := range who[i].Buys {
			b := &who[i].Buys[k]
			if b.At.In(pos.Shanghai()).Format(time.DateOnly) != day {
				continue
			}
			count.Add(1)
			if err := r.buy(ctx, who[i], b); err != nil {
				return err
			}
		}
		return nil
	})
}

// end lets the window end, recalls, and waits until everything is back.
func (r *run) end(ctx context.Context) error {
	r.set(r.def.Spend.Until)
	if err := r.rounds(ctx); err != nil {
		return err
	}
	is, p, err := r.issuing.Progress(ctx, r.def.Name)
	if err != nil {
		return err
	}
	r.say("%s, %s came back", is.Standing.Text().EN, p.Recalled)
	return nil
}

// judge holds the statement against the truth, and the ledger against both.
func (r *run) judge(ctx context.Context) error {
	s, err := envelopes.Statement(ctx, r.office, r.issuing, r.db, r.def.Name)
	if err != nil {
		return err
	}
	if err := r.export(s); err != nil {
		return err
	}
	truth := r.town.Truth(int64(r.o.Entrants), r.def.Budget)
	said := map[string]int64{}
	for k, v := range s.Flat() {
		if _, ok := truth[k]; ok || v != 0 {
			said[k] = v
		}
	}
	if err := errors.Join(r.json("statement.json", said), r.json("truth.json", truth)); err != nil {
		return err
	}
	if wrong := differences(said, truth); len(wrong) > 0 {
		return cli.Exit(cli.Negative, fmt.Errorf("%d figures differ: %v", len(wrong), wrong[:min(5, len(wrong))]))
	}
	r.say("%d figures of the statement are the truth", len(truth))
	return r.balances(ctx, pos.Money(truth["spent_fen"]))
}

// export writes the statement as people get it.
func (r *run) export(s statement.Statement) error {
	for _, lang := range []string{"zh", "en"} {
		for _, format := range []string{"csv", "xlsx", "pdf"} {
			if err := r.file("statement."+lang+"."+format, func(w io.Writer) error { return s.Export(w, format, lang) }); err != nil {
				return err
			}
		}
	}
	return nil
}

// differences names each figure that is not the truth's.
func differences(said, truth map[string]int64) (wrong []string) {
	for _, k := range slices.Sorted(maps.Keys(truth)) {
		if said[k] != truth[k] {
			wrong = append(wrong, fmt.Sprintf("%s: the statement says %d, the truth is %d", k, said[k], truth[k]))
		}
	}
	for _, k := range slices.Sorted(maps.Keys(said)) {
		if _, ok := truth[k]; !ok {
			wrong = append(wrong, fmt.Sprintf("%s: %d, of which the truth knows nothing", k, said[k]))
		}
	}
	return wrong
}

func (r *run) json(name string, v any) error {
	return r.file(name, func(w io.Writer) error {
		e := json.NewEncoder(w)
		e.SetIndent("", "  ")
		return e.Encode(v)
	})
}

func (r *run) file(name string, write func(w io.Writer) error) error {
	f, err := os.Create(filepath.Join(r.o.Dir, name)) //nolint:gosec // the folder that the user named
	if err != nil {
		return err
	}
	return errors.Join(write(f), f.Close())
}

// message is what winners are told: how much, and which bank they chose.
var message = regexp.MustCompile(`数字人民币红包 ¥([0-9.]+)。请于 .* 前在 ([A-Z]+) 开立`)
