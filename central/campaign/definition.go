package campaign

import (
	"bytes"
	"embed"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"path"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"

	"dcpos/pos"
)

//go:embed definitions/*.yaml definitions/fences/*.geojson
var shipped embed.FS

// Limits of a definition.
const (
	maxDefinition = 64 << 10
	maxTiers      = 16
	maxStrata     = 64
	maxList       = 10_000 // stores
	maxCount      = 10_000_000
)

// Definition is a campaign as it is drafted and, once published, fixed.
type Definition struct {
	Name     string          `yaml:"name" json:"name"` // such as wangfujing-2021
	Title    pos.Text        `yaml:"title" json:"title"`
	City     pos.Text        `yaml:"city" json:"city"`
	Env      pos.Environment `yaml:"env" json:"env"`
	Register Window          `yaml:"register" json:"register"`
	Spend    Window          `yaml:"spend" json:"spend"`
	Presence Presence        `yaml:"presence" json:"presence"`
	// Fence is the file of the area where an entrant must be, by name; set with
	// AtRegistration, and only then.
	Fence        string        `yaml:"fence" json:"fence"`
	Registration Registration  `yaml:"registration" json:"registration"`
	Tiers        []Tier        `yaml:"tiers" json:"tiers"`   // drawn in this order
	Strata       []Stratum     `yaml:"strata" json:"strata"` // quotas; empty: one for all
	Unfilled     string        `yaml:"unfilled" json:"unfilled"`
	Waiting      int64         `yaml:"waiting" json:"waiting"` // so many of each stratum follow where envelopes stay unclaimed; 0: they are recalled
	Scope        Scope         `yaml:"scope" json:"scope"`
	Budget       pos.Money     `yaml:"budget_fen" json:"budget_fen"`
	Funding      string        `yaml:"funding" json:"funding"` // account that pays, and gets back what is not spent
	Institutions []Institution `yaml:"institutions" json:"institutions"`
	Sources      []string      `yaml:"sources" json:"sources"` // where its figures are from
	Note         string        `yaml:"note" json:"note"`       // where sources differ, and what was chosen
}

// Tier is a free envelope of a face value, or a coupon, and how many there are.
type Tier struct {
	Face   pos.Money `yaml:"face_fen" json:"face_fen"` // 0 with a coupon
	Coupon *Coupon   `yaml:"coupon" json:"coupon"`
	Count  int64     `yaml:"count" json:"count"`
}

// Coupon takes Off from one payment of Threshold or more, whole or not at all.
type Coupon struct {
	Threshold pos.Money `yaml:"threshold_fen" json:"threshold_fen"`
	Off       pos.Money `yaml:"off_fen" json:"off_fen"`
}

// Value is what one of the tier costs the fund at most.
func (t Tier) Value() pos.Money {
	if t.Coupon != nil {
		return t.Coupon.Off
	}
	return t.Face
}

// Stratum is a group of entrants with a quota of its own. An entrant belongs to the
// first whose rule fits her.
type Stratum struct {
	Name  string `yaml:"name" json:"name"`
	Count int64  `yaml:"count" json:"count"`
	Who   Who    `yaml:"who" json:"who"`
}

// Who is a rule of belonging.
type Who string

// The rules of belonging.
const (
	Anyone     Who = "anyone"
	Residents  Who = "residents"  // the authority's list has her
	Visitors   Who = "visitors"   // a Chinese document, not on the authority's list
	Foreigners Who = "foreigners" // a passport or a foreigner's permanent residence card
)

// Institution is one that entrants may choose. In YAML a plain code has no quota.
type Institution struct {
	Code  string `json:"code"`
	Quota int64  `json:"quota"` // 0: none
}

// UnmarshalYAML reads "ICBC" or {code: ICBC, quota: 5000}.
func (i *Institution) UnmarshalYAML(node *yaml.Node) error {
	if node.Kind == yaml.ScalarNode {
		*i = Institution{Code: node.Value}
		return nil
	}
	var raw struct {
		Code  string         `yaml:"code"`
		Quota int64          `yaml:"quota"`
		Rest  map[string]any `yaml:",inline"`
	}
	if err := node.Decode(&raw); err != nil {
		return fmt.Errorf("institutions: %w", err)
	}
	for key := range raw.Rest {
		return fmt.Errorf("institutions: field %s is not known", key)
	}
	*i = Institution{raw.Code, raw.Quota}
	return nil
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

// Scope says where envelopes can be spent. Merchants, Stores and Categories are lists
// by name; "*" alone means all.
type Scope struct {
	Channels   []Channel `yaml:"channels" json:"channels"`
	Merchants  []string  `yaml:"merchants" json:"merchants"`
	Stores     []string  `yaml:"stores" json:"stores"` // of these merchants; online there is none
	Categories []string  `yaml:"categories" json:"categories"`
}

// Place is where a payment is made.
type Place struct {
	Channel                   Channel
	Merchant, Store, Category string // Store is not looked at online
}

// Allows reports that a payment there is in the scope.
func (s Scope) Allows(p Place) bool {
	return slices.Contains(s.Channels, p.Channel) && listed(s.Merchants, p.Merchant) && listed(s.Categories, p.Category) &&
		(p.Channel == Online || listed(s.Stores, p.Store))
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
		sum += t.Value() * pos.Money(t.Count) // bounded: check
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
		return Definition{}, refuse(unread(b), err)
	}
	if err := dec.Decode(new(any)); !errors.Is(err, io.EOF) {
		return Definition{}, refuse("", errors.New("more than one document"))
	}
	return d, d.Check()
}

// unread is the key that is not known or whose value cannot be read; empty where the text as such is none.
func unread(b []byte) string {
	var keys map[string]yaml.Node
	if yaml.Unmarshal(b, &keys) != nil {
		return ""
	}
	for _, name := range slices.Sorted(maps.Keys(keys)) {
		value := keys[name]
		alone, err := yaml.Marshal(map[string]*yaml.Node{name: &value})
		if err != nil {
			return ""
		}
		dec := yaml.NewDecoder(bytes.NewReader(alone))
		dec.KnownFields(true)
		if dec.Decode(new(Definition)) != nil {
			return fmt.Sprintf("%.40s", name)
		}
	}
	return ""
}

// YAML writes the definition as Parse reads it, such as to change it.
func (d Definition) YAML() ([]byte, error) {
	b, err := yaml.Marshal(d)
	if err != nil {
		return nil, fmt.Errorf("write definition: %w", err)
	}
	return b, nil
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

// ShippedNames lists the campaigns that come with the program.
func ShippedNames() (names []string) {
	files, _ := fs.Glob(shipped, "definitions/*.yaml") // the pattern is right
	for _, f := range files {
		names = append(names, strings.TrimSuffix(path.Base(f), ".yaml"))
	}
	return names
}

// ShippedText is the file of a campaign that comes with the program.
func ShippedText(name string) ([]byte, error) {
	if !slices.Contains(ShippedNames(), name) {
		return nil, pos.FieldError(pos.ErrNotFound, "definition", fmt.Errorf("%.40q does not ship", name))
	}
	return shipped.ReadFile("definitions/" + name + ".yaml")
}

// ShippedArea returns an area that comes with the program.
func ShippedArea(name string) ([]byte, error) {
	if !areaForm.MatchString(name) {
		return nil, refuse("fence", fmt.Errorf("%.40q: want %s", name, areaForm))
	}
	b, err := shipped.ReadFile("definitions/fences/" + name)
	if err != nil {
		return nil, refuse("fence", fmt.Errorf("read area: %w", err))
	}
	return b, nil
}

func refuse(field string, err error) error {
	e := pos.FieldError(pos.ErrConfig, field, err)
	e.Text = pos.Text{ZH: "活动定义有误", EN: "the campaign's definition is not right"}
	e.Hint = pos.Text{ZH: "请按提示修改活动定义,或先登记其中的商户、门店与机构", EN: "mend it as the message says, or register the merchant, store or institution first"}
	return e
}
