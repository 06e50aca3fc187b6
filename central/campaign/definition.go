package campaign

import (
	"bytes"
	"embed"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"regexp"
	"slices"

	"go.yaml.in/yaml/v3"

	"dcpos/pos"
)

//go:embed definitions/*.yaml
var shipped embed.FS

const maxDefinition = 64 << 10

// Limits of a definition.
const (
	maxTiers = 16
	maxCount = 10_000_000
)

// Definition is a campaign as it is drafted and, once published, fixed.
type Definition struct {
	Name         string          `yaml:"name"` // such as wangfujing-2021
	Title        pos.Text        `yaml:"title"`
	City         pos.Text        `yaml:"city"`
	Env          pos.Environment `yaml:"env"`
	Register     Window          `yaml:"register"`
	Spend        Window          `yaml:"spend"`
	Presence     Presence        `yaml:"presence"`
	Tiers        []Tier          `yaml:"tiers"`  // drawn in this order
	Strata       []Stratum       `yaml:"strata"` // quotas; empty: one for all
	Scope        Scope           `yaml:"scope"`
	Budget       pos.Money       `yaml:"budget_fen"`
	Funding      string          `yaml:"funding"` // account that pays, and gets back what is not spent
	Institutions []string        `yaml:"institutions"`
	WaitingList  bool            `yaml:"waiting_list"` // unclaimed envelopes go to the next in the draw's order
	Sources      []string        `yaml:"sources"`      // where its figures are from
	Note         string          `yaml:"note"`         // where sources differ, and what was chosen
}

// Tier is a face value and how many envelopes have it.
type Tier struct {
	Face  pos.Money `yaml:"face_fen"`
	Count int64     `yaml:"count"`
}

// Stratum is a group of entrants with a quota of its own.
type Stratum struct {
	Name  string `yaml:"name"`
	Count int64  `yaml:"count"`
}

// Presence says where an entrant must be.
type Presence string

// The rules of presence.
const (
	Anywhere       Presence = "anywhere"
	AtRegistration Presence = "at_registration" // located in the city when registering
	Resident       Presence = "resident"        // by household, social insurance or school, as the notice says
)

// Channel is where money is spent.
type Channel string

// The channels.
const (
	InStore Channel = "in_store"
	Online  Channel = "online"
)

// Scope says where envelopes can be spent. Merchants and Categories are lists by name;
// "*" alone means all.
type Scope struct {
	Channels   []Channel `yaml:"channels"`
	Merchants  []string  `yaml:"merchants"`
	Categories []string  `yaml:"categories"`
}

// Allows reports that a payment of the channel at the merchant and category is in the scope.
func (s Scope) Allows(c Channel, merchant, category string) bool {
	return slices.Contains(s.Channels, c) && listed(s.Merchants, merchant) && listed(s.Categories, category)
}

func listed(list []string, name string) bool {
	return (len(list) == 1 && list[0] == "*") || slices.Contains(list, name)
}

// Envelopes is how many there are.
func (d Definition) Envelopes() int64 {
	var n int64
	for _, t := range d.Tiers {
		n += t.Count // bounded: check
	}
	return n
}

// Total is the sum of all faces.
func (d Definition) Total() pos.Money {
	var sum pos.Money
	for _, t := range d.Tiers {
		sum += t.Face * pos.Money(t.Count) // bounded: check
	}
	return sum
}

// Parse reads a definition. A key that is not known is an error naming it.
func Parse(b []byte) (Definition, error) {
	var d Definition
	if len(b) > maxDefinition {
		return d, refuse("", fmt.Errorf("%d bytes, at most %d", len(b), maxDefinition))
	}
	dec := yaml.NewDecoder(bytes.NewReader(b))
	dec.KnownFields(true)
	if err := dec.Decode(&d); err != nil {
		return Definition{}, refuse("", err)
	}
	if err := dec.Decode(new(any)); !errors.Is(err, io.EOF) {
		return Definition{}, refuse("", errors.New("more than one document"))
	}
	return d, d.Check()
}

var (
	nameForm        = regexp.MustCompile(`^[a-z][a-z0-9-]{2,39}$`)
	institutionForm = regexp.MustCompile(`^[A-Z0-9]{2,12}$`)
)

// Check refuses a definition that cannot be published; errors are pos.ErrConfig and name the field.
func (d Definition) Check() error {
	switch {
	case !nameForm.MatchString(d.Name):
		return refuse("name", fmt.Errorf("%.40q: want %s", d.Name, nameForm))
	case d.Title.ZH == "" || d.Title.EN == "" || d.City.ZH == "" || d.City.EN == "":
		return refuse("title", errors.New("want title and city in zh and en"))
	case !d.Env.Valid():
		return refuse("env", fmt.Errorf("%.8q: want live or lab", d.Env))
	case d.Register.From.IsZero() || d.Spend.From.IsZero():
		return refuse("register", errors.New("want the windows register and spend"))
	case d.Spend.From.Before(d.Register.Until):
		return refuse("spend", errors.New("begins before registration ends"))
	case d.Presence != Anywhere && d.Presence != AtRegistration && d.Presence != Resident:
		return refuse("presence", fmt.Errorf("%.20q: want anywhere, at_registration or resident", d.Presence))
	case d.Funding == "":
		return refuse("funding", errors.New("want the account that pays"))
	case len(d.Institutions) == 0:
		return refuse("institutions", errors.New("want at least one"))
	case len(d.Sources) == 0:
		return refuse("sources", errors.New("want where the figures are from"))
	}
	for _, code := range d.Institutions {
		if !institutionForm.MatchString(code) {
			return refuse("institutions", fmt.Errorf("%.20q: want %s", code, institutionForm))
		}
	}
	if err := d.checkTiers(); err != nil {
		return err
	}
	return d.Scope.check()
}

func (d Definition) checkTiers() error {
	if len(d.Tiers) == 0 || len(d.Tiers) > maxTiers {
		return refuse("tiers", fmt.Errorf("want 1 to %d", maxTiers))
	}
	for _, t := range d.Tiers {
		if t.Face < 1 || t.Face > pos.MaxAmount/100 || t.Count < 1 || t.Count > maxCount {
			return refuse("tiers", fmt.Errorf("%d envelopes of %s", t.Count, t.Face))
		}
	}
	if d.Total() > d.Budget {
		return refuse("budget_fen", fmt.Errorf("envelopes are worth %s, the budget is %s", d.Total(), d.Budget))
	}
	var quota int64
	for _, s := range d.Strata {
		if s.Name == "" || s.Count < 1 || s.Count > maxCount {
			return refuse("strata", fmt.Errorf("%.20q has %d", s.Name, s.Count))
		}
		quota += s.Count
	}
	if len(d.Strata) > 0 && quota != d.Envelopes() {
		return refuse("strata", fmt.Errorf("quotas are %d, envelopes %d", quota, d.Envelopes()))
	}
	return nil
}

func (s Scope) check() error {
	if len(s.Channels) == 0 || len(s.Merchants) == 0 || len(s.Categories) == 0 {
		return refuse("scope", errors.New("want channels, merchants and categories"))
	}
	for _, c := range s.Channels {
		if c != InStore && c != Online {
			return refuse("scope.channels", fmt.Errorf("%.20q: want in_store or online", c))
		}
	}
	return nil
}

// Shipped returns the campaigns that come with the program, sorted by name.
func Shipped() ([]Definition, error) {
	names, err := fs.Glob(shipped, "definitions/*.yaml")
	if err != nil {
		return nil, fmt.Errorf("list campaigns: %w", err)
	}
	var all []Definition
	for _, name := range names {
		b, err := shipped.ReadFile(name)
		if err != nil {
			return nil, fmt.Errorf("read campaign: %w", err)
		}
		d, err := Parse(b)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", path.Base(name), err)
		}
		all = append(all, d)
	}
	return all, nil
}

func refuse(field string, err error) error {
	if field == "" {
		return pos.NewError(pos.ErrConfig, err)
	}
	return pos.FieldError(pos.ErrConfig, field, err)
}
