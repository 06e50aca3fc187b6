package portal

import (
	"context"
	"encoding/hex"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"

	"dcpos/central/campaign"
	"dcpos/central/campaign/fence"
	"dcpos/central/campaign/office"
	"dcpos/central/campaign/register"
	"dcpos/pos"
)

// Summary is a campaign as the API shows it.
type Summary struct {
	Name         string              `json:"name"`
	Version      int                 `json:"version"`
	Hash         string              `json:"definition_sha256" doc:"of /c/{name}/draw/definition.json"`
	State        office.State        `json:"state" doc:"published, registering, closed, drawn or void"`
	Title        pos.Text            `json:"title"`
	City         pos.Text            `json:"city"`
	Register     campaign.Window     `json:"register" doc:"half-open: until does not belong to it"`
	Spend        campaign.Window     `json:"spend"`
	Presence     campaign.Presence   `json:"presence"`
	Documents    []campaign.Document `json:"documents"`
	Institutions []string            `json:"institutions"`
	Envelopes    int64               `json:"envelopes"`
	Practice     bool                `json:"practice" doc:"a practice beacon decides: nothing of value may follow"`
	Round        uint64              `json:"round" doc:"of the beacon, the only one that decides"`
	RoundAt      time.Time           `json:"round_at"`
}

func summary(c office.Campaign, now time.Time) Summary {
	d := c.Definition
	s := Summary{
		Name: d.Name, Version: c.Version, Hash: c.Hash, State: c.State(now), Title: d.Title, City: d.City, Register: d.Register, Spend: d.Spend,
		Presence: d.Presence, Documents: d.Registration.Documents, Envelopes: d.Envelopes(), Practice: c.Terms.Practice,
		Round: c.Terms.Beacon.Round, RoundAt: c.RoundAt,
	}
	for _, i := range d.Institutions {
		s.Institutions = append(s.Institutions, i.Code)
	}
	return s
}

// Position is where a phone says it is.
type Position struct {
	Datum    fence.Datum `json:"datum" doc:"wgs84 (GPS), gcj02 or bd09"`
	Lat      float64     `json:"lat"`
	Lon      float64     `json:"lon"`
	Accuracy float64     `json:"accuracy_m" doc:"radius in metres"`
}

func (p *Position) fix() *fence.Fix {
	if p == nil {
		return nil
	}
	return &fence.Fix{Datum: p.Datum, Lat: p.Lat, Lon: p.Lon, Accuracy: p.Accuracy}
}

// Submission is what an entrant fills in.
type Submission struct {
	Name        string            `json:"name" required:"false"`
	Document    campaign.Document `json:"document" required:"false"`
	Country     string            `json:"country,omitempty" doc:"of a passport, three letters"`
	Number      string            `json:"number" required:"false"`
	Phone       string            `json:"phone" required:"false" doc:"mobile number of mainland China"`
	Institution string            `json:"institution" required:"false"`
	Position    *Position         `json:"position,omitempty" doc:"where the campaign asks for one"`
	Signals     register.Signals  `json:"signals,omitempty" required:"false" doc:"make a score, never a verdict"`
}

func (s Submission) request(source string) register.Request {
	return register.Request{
		Name: s.Name, Document: s.Document, Country: s.Country, Number: s.Number, Phone: s.Phone,
		Institution: s.Institution, Fix: s.Position.fix(), Signals: s.Signals, Source: source,
	}
}

// entryFormat names the form of an entrant's file.
const entryFormat = "dcpos.entry-v1"

// Entry is what an entrant keeps: the signed receipt, what proves that the ticket is
// hers, and the code for looking her result up. It is hers alone.
type Entry struct {
	Format   string            `json:"format"`
	Campaign string            `json:"campaign"`
	Standing register.Standing `json:"standing" doc:"entered, or place_open: another position is wanted before the close"`
	Ticket   string            `json:"ticket"`
	Receipt  string            `json:"receipt" doc:"a note signed by the publisher (docs/PROTOCOL.md)"`
	Salt     string            `json:"salt"`
	Person   string            `json:"person"`
	Phone    string            `json:"phone"`
	Query    string            `json:"query" doc:"looks the result up; keep it"`
}

func entryOf(e register.Entry) Entry {
	return Entry{
		Format: entryFormat, Campaign: e.Receipt.Campaign, Standing: e.Receipt.Standing, Ticket: e.Receipt.Entry.Ticket.String(), Receipt: string(e.Signed),
		Salt: hex.EncodeToString(e.Salt[:]), Person: hex.EncodeToString(e.Person[:]), Phone: hex.EncodeToString(e.Phone[:]), Query: e.Query,
	}
}

// Outcome is what became of an entry.
type Outcome string

// The outcomes.
const (
	Pending Outcome = "pending" // not drawn yet
	Won     Outcome = "won"
	Waiting Outcome = "waiting"
	Lost    Outcome = "lost"
	Absent  Outcome = "absent" // her place never became clear: she was not in the list
)

// Found is a result.
type Found struct {
	Campaign    string            `json:"campaign"`
	State       office.State      `json:"state"`
	Outcome     Outcome           `json:"outcome" doc:"pending, won, waiting, lost or absent"`
	Ticket      string            `json:"ticket"`
	Stratum     string            `json:"stratum,omitempty"`
	Institution string            `json:"institution"`
	Standing    register.Standing `json:"standing"`
	Rank        int64             `json:"rank,omitempty"`
	Face        pos.Money         `json:"face_fen,omitempty"`
	Threshold   pos.Money         `json:"threshold_fen,omitempty" doc:"of a coupon: for a payment of so much or more"`
	Place       int64             `json:"waiting_place,omitempty"`
	MovedUp     bool              `json:"moved_up,omitempty" doc:"of waiting: somebody did not claim, and the envelope of face_fen is hers now"`
	PassedOn    bool              `json:"passed_on,omitempty" doc:"it was not claimed in time and passed to who waited"`
}

type (
	campaignsOutput struct {
		Body []Summary
	}
	campaignInput struct {
		Name string `path:"name" maxLength:"40"`
	}
	sourceKey      struct{}
	campaignOutput struct {
		Body Summary
	}
	registerInput struct {
		Name string `path:"name" maxLength:"40"`
		Body Submission
	}
	registerOutput struct {
		Body register.Answer
	}
	confirmInput struct {
		Name string `path:"name" maxLength:"40"`
		Body struct {
			Ref  string `json:"ref" required:"false" doc:"of the registration"`
			Code string `json:"code" required:"false" doc:"six digits, from the message"`
		}
	}
	entryOutput struct {
		Body Entry
	}
	locateInput struct {
		Name string `path:"name" maxLength:"40"`
		Body struct {
			Query    string           `json:"query" required:"false"`
			Position Position         `json:"position" required:"false"`
			Signals  register.Signals `json:"signals,omitempty" required:"false"`
		}
	}
	resultInput struct {
		Name string `path:"name" maxLength:"40"`
		Body struct {
			Query string `json:"query" required:"false"`
		}
	}
	resultOutput struct {
		Body Found
	}
)

// api registers the operations.
func (p *Portal) api() {
	c := huma.DefaultConfig("dcpos campaigns", p.cfg.Version)
	c.DocsPath, c.SchemasPath, c.CreateHooks = "", "", nil // no page that loads scripts from elsewhere
	c.AllowAdditionalPropertiesByDefault = true            // a newer app may say more
	api := humago.New(p.mux, c)
	api.UseMiddleware(func(c huma.Context, next func(huma.Context)) {
		c.SetHeader("Cache-Control", "no-store")
		next(huma.WithValue(c, sourceKey{}, p.source(c.RemoteAddr(), c.Header("X-Forwarded-For"))))
	})
	refusals := []int{
		http.StatusBadRequest, http.StatusForbidden, http.StatusNotFound, http.StatusConflict, http.StatusRequestEntityTooLarge,
		http.StatusTooManyRequests, http.StatusServiceUnavailable,
	}
	post := func(id, path, summary, description string) huma.Operation {
		return huma.Operation{
			OperationID: id, Method: http.MethodPost, Path: "/v1/campaigns/{name}/" + path, Summary: summary, Description: description,
			MaxBodyBytes: maxBody, Errors: refusals,
		}
	}
	huma.Register(api, huma.Operation{
		OperationID: "campaigns", Method: http.MethodGet, Path: "/v1/campaigns", Summary: "All published campaigns",
	}, func(ctx context.Context, _ *struct{}) (*campaignsOutput, error) {
		return answer(ctx, p, p.listCampaigns)
	})
	huma.Register(api, huma.Operation{
		OperationID: "campaign", Method: http.MethodGet, Path: "/v1/campaigns/{name}", Summary: "One campaign", Errors: []int{http.StatusNotFound},
	}, func(ctx context.Context, in *campaignInput) (*campaignOutput, error) {
		return answer(ctx, p, func(ctx context.Context) (*campaignOutput, error) {
			c, err := p.cfg.Office.Campaign(ctx, in.Name)
			return &campaignOutput{summary(c, p.cfg.Office.Now())}, err
		})
	})
	huma.Register(api, post("register", "registrations", "Register: a code is sent to the phone",
		"The same person and phone again is the same registration and gives the same answer, also after it was confirmed; after a minute a new code is sent and the old one is void."),
		func(ctx context.Context, in *registerInput) (*registerOutput, error) {
			return answer(ctx, p, in.run(p))
		})
	huma.Register(api, post("confirm", "confirmations", "Confirm with the code: the entry and its signed receipt",
		"Again, it is the same entry. The code is good for the hours of the definition and never beyond the close; five wrong tries void it."),
		func(ctx context.Context, in *confirmInput) (*entryOutput, error) { return answer(ctx, p, in.run(p)) })
	huma.Register(api, post("locate", "positions", "Another position for an entry whose place is open", ""),
		func(ctx context.Context, in *locateInput) (*entryOutput, error) { return answer(ctx, p, in.run(p)) })
	huma.Register(api, post("result", "results", "Look a result up by its query code",
		"Posted, so that the code stands in no address. Any other code is not found."),
		func(ctx context.Context, in *resultInput) (*resultOutput, error) { return answer(ctx, p, in.run(p)) })
}

// answer runs an operation and turns its error into a Problem.
func answer[T any](ctx context.Context, p *Portal, run func(ctx context.Context) (*T, error)) (*T, error) {
	out, err := run(ctx)
	if err != nil {
		return nil, p.problem(ctx, err)
	}
	return out, nil
}

func sourceOf(ctx context.Context) string {
	s, _ := ctx.Value(sourceKey{}).(string)
	return s
}

func (p *Portal) listCampaigns(ctx context.Context) (*campaignsOutput, error) {
	all, err := p.cfg.Office.Campaigns(ctx)
	out := &campaignsOutput{Body: make([]Summary, 0, len(all))}
	for _, c := range all {
		out.Body = append(out.Body, summary(c, p.cfg.Office.Now()))
	}
	return out, err
}

func (i *registerInput) run(p *Portal) func(ctx context.Context) (*registerOutput, error) {
	return func(ctx context.Context) (*registerOutput, error) {
		desk, err := p.cfg.Office.Desk(ctx, i.Name)
		if err != nil {
			return nil, err
		}
		a, err := desk.Register(ctx, i.Body.request(sourceOf(ctx)))
		return &registerOutput{a}, err
	}
}

func (i *confirmInput) run(p *Portal) func(ctx context.Context) (*entryOutput, error) {
	return func(ctx context.Context) (*entryOutput, error) {
		desk, err := p.cfg.Office.Desk(ctx, i.Name)
		if err != nil {
			return nil, err
		}
		e, err := desk.Confirm(ctx, i.Body.Ref, i.Body.Code)
		return &entryOutput{entryOf(e)}, err
	}
}

func (i *locateInput) run(p *Portal) func(ctx context.Context) (*entryOutput, error) {
	return func(ctx context.Context) (*entryOutput, error) {
		desk, err := p.cfg.Office.Desk(ctx, i.Name)
		if err != nil {
			return nil, err
		}
		e, err := desk.Locate(ctx, i.Body.Query, *i.Body.Position.fix(), i.Body.Signals)
		return &entryOutput{entryOf(e)}, err
	}
}

func (i *resultInput) run(p *Portal) func(ctx context.Context) (*resultOutput, error) {
	return func(ctx context.Context) (*resultOutput, error) {
		f, err := p.find(ctx, i.Name, i.Body.Query, sourceOf(ctx))
		return &resultOutput{f}, err
	}
}

// find looks a result up.
func (p *Portal) find(ctx context.Context, name, query, source string) (f Found, err error) {
	if err := p.allow(source); err != nil {
		return f, err
	}
	c, err := p.cfg.Office.Campaign(ctx, name)
	if err != nil {
		return f, err
	}
	desk, err := p.cfg.Office.Desk(ctx, name)
	if err != nil {
		return f, err
	}
	r, err := desk.Find(ctx, query)
	if err != nil {
		return f, err
	}
	f = Found{
		Campaign: name, State: c.State(p.cfg.Office.Now()), Outcome: Pending, Ticket: r.Entry.Ticket.String(), Stratum: r.Entry.Stratum,
		Institution: r.Entry.Institution, Standing: r.Standing,
	}
	if f.State != office.Drawn {
		return f, nil
	}
	results, err := p.cfg.Office.Results(ctx, c)
	if err != nil {
		return f, err
	}
	x := results[r.Entry.Ticket]
	moves, err := p.cfg.Office.Moves(ctx, c)
	if err != nil {
		return f, err
	}
	f.Rank, f.Face, f.Place = x.Rank, x.Face, x.Place
	if m := moves[r.Entry.Ticket]; m.Up || m.Passed {
		f.MovedUp, f.PassedOn, f.Face = m.Up, m.Passed, m.Face
	}
	for _, t := range c.Definition.Tiers {
		if t.Coupon != nil && t.Value() == f.Face {
			f.Threshold = t.Coupon.Threshold
		}
	}
	switch {
	case x.Rank > 0:
		f.Outcome = Won
	case x.Place > 0:
		f.Outcome = Waiting
	case r.Standing == register.PlaceOpen:
		f.Outcome = Absent
	default:
		f.Outcome = Lost
	}
	return f, nil
}
