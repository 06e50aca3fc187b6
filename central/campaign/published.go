package campaign

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"

	"dcpos/central/campaign/draw"
	"dcpos/central/campaign/fence"
	"dcpos/pos"
)

// publishedFormat names the form of a published definition.
const publishedFormat = "campaign-v1"

// Published is a definition that stands: what entrants, tills and verifiers are told.
// Another version is another Published; this one never changes.
type Published struct {
	Version    int
	Definition Definition
	Area       []byte // GeoJSON; empty where there is no fence
	Text       []byte // canonical bytes, of which Hash is the SHA-256
	Hash       string // hexadecimal
}

// text is what is hashed: the fields in the order of the types, no spaces.
type text struct {
	Format     string     `json:"format"`
	Version    int        `json:"version"`
	Definition Definition `json:"definition"`
	AreaHash   string     `json:"area_sha256"` // empty where there is no fence
}

// Publish fixes a definition and the area of its fence.
func Publish(d Definition, version int, area []byte) (Published, error) {
	if version < 1 {
		return Published{}, refuse("version", fmt.Errorf("%d: want 1 or more", version))
	}
	if err := d.Check(); err != nil {
		return Published{}, err
	}
	t := text{Format: publishedFormat, Version: version, Definition: d}
	if (d.Fence != "") != (len(area) > 0) {
		return Published{}, refuse("fence", errors.New("want the area where there is a fence, and only there"))
	}
	if d.Fence != "" {
		if _, err := fence.Parse(area); err != nil {
			return Published{}, refuse("fence", err)
		}
		t.AreaHash = sum(area)
	}
	b, err := encode(t)
	if err != nil {
		return Published{}, err
	}
	return Published{version, d, area, b, sum(b)}, nil
}

// Open reads a published definition and its area again, and refuses any other bytes
// than Publish made.
func Open(b, area []byte) (Published, error) {
	var t text
	dec := json.NewDecoder(bytes.NewReader(b))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&t); err != nil {
		return Published{}, refuse("", fmt.Errorf("published definition: %w", err))
	}
	p, err := Publish(t.Definition, t.Version, area)
	if err != nil {
		return Published{}, err
	}
	if !bytes.Equal(p.Text, b) {
		return Published{}, refuse("", errors.New("published definition: not in canonical form, or of another area"))
	}
	return p, nil
}

// ScopeAt is what a till of the store must know to check the campaign's envelopes without
// a network.
func (p Published) ScopeAt(merchant, store string) pos.CampaignScope {
	d := p.Definition
	hash, _ := hex.DecodeString(p.Hash) // sum wrote it
	s := pos.CampaignScope{
		Campaign: d.Name, Hash: hash, Merchant: listed(d.Scope.Merchants, merchant), Store: listed(d.Scope.Stores, store),
		Categories: d.Scope.Categories, FromMS: d.Spend.From.UnixMilli(), UntilMS: d.Spend.Until.UnixMilli(),
	}
	for _, c := range d.Scope.Channels {
		s.Channels = append(s.Channels, string(c))
	}
	return s
}

// Conduct is what a draw needs besides the definition.
type Conduct struct {
	Beacon    draw.Beacon
	Practice  bool
	Publisher string // verifier keys
	Witness   string
}

// Terms are the draw's. They carry the hash of the definition, so that its rules are
// fixed with them.
func (p Published) Terms(c Conduct) (draw.Terms, error) {
	d := p.Definition
	t := draw.Terms{
		Format: draw.Format, Campaign: d.Name, Version: p.Version, Env: d.Env, Practice: c.Practice, Definition: p.Hash,
		Register: draw.Period{From: d.Register.From, Until: d.Register.Until},
		Unfilled: d.Unfilled, Waiting: d.Waiting, Beacon: c.Beacon, Publisher: c.Publisher, Witness: c.Witness,
	}
	for _, tier := range d.Tiers {
		t.Tiers = append(t.Tiers, draw.Tier{Face: tier.Value(), Count: tier.Count})
	}
	for _, s := range d.Strata {
		t.Strata = append(t.Strata, draw.Stratum{Name: s.Name, Count: s.Count})
	}
	for _, i := range d.Institutions {
		t.Institutions = append(t.Institutions, draw.Institution{Code: i.Code, Quota: i.Quota})
	}
	return t, t.Check()
}

func encode(v any) ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		return nil, fmt.Errorf("encode: %w", err)
	}
	return b.Bytes(), nil
}

func sum(b []byte) string {
	s := sha256.Sum256(b)
	return hex.EncodeToString(s[:])
}
