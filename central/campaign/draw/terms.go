package draw

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"time"

	"dcpos/pos"
)

// Format names the algorithm and the files' form.
const Format = "draw-v1"

// Limits of the terms and the list.
const (
	maxTerms   = 64 << 10
	maxTiers   = 16
	maxStrata  = 64
	maxCount   = 10_000_000
	MaxEntries = 100_000_000 // entries in a list
)

// Terms say what is drawn. They are signed and witnessed before registration opens and
// never change; until then another version may follow, and is witnessed in time as well.
type Terms struct {
	Format     string          `json:"format"`
	Campaign   string          `json:"campaign"`
	Version    int             `json:"version"` // of the campaign's definition
	Env        pos.Environment `json:"env"`
	Practice   bool            `json:"practice"`   // the beacon is a practice one: nothing of value may follow
	Definition string          `json:"definition"` // SHA-256 of the definition as published, hexadecimal
	Register   Period          `json:"register"`
	Tiers      []Tier          `json:"tiers"` // in this order: the best ranks get the first
	Strata     []Stratum       `json:"strata"`
	// Unfilled says what becomes of a stratum's envelopes that nobody of it is there for:
	// "return" to the fund provider, or "share" among the other strata's next ranks.
	Unfilled     string        `json:"unfilled"`
	Waiting      int64         `json:"waiting"` // how many of each stratum follow on the waiting list
	Institutions []Institution `json:"institutions"`
	Beacon       Beacon        `json:"beacon"`
	// Publisher and Witness are verifier keys: of golang.org/x/mod/sumdb/note, and of
	// C2SP tlog-cosignature.
	Publisher string `json:"publisher"`
	Witness   string `json:"witness"`
}

// Period is a half-open interval of instants.
type Period struct {
	From  time.Time `json:"from"`
	Until time.Time `json:"until"`
}

// Tier is a face value and how many envelopes have it.
type Tier struct {
	Face  pos.Money `json:"face_fen"`
	Count int64     `json:"count"`
}

// Stratum is a group of entrants with a quota of its own.
type Stratum struct {
	Name  string `json:"name"`
	Count int64  `json:"count"`
}

// Institution is one that entrants could choose. Quota 0 is none; else no more winners
// than that, and the next in rank who chose another moves up.
type Institution struct {
	Code  string `json:"code"`
	Quota int64  `json:"quota"`
}

// Beacon names the one round that decides. There is no second choice: a choice between
// rounds would be one between results.
type Beacon struct {
	Chain string `json:"chain"` // hash of the drand chain, or "practice"
	Round uint64 `json:"round"`
}

// Envelopes is how many there are.
func (t Terms) Envelopes() int64 {
	var n int64
	for _, tier := range t.Tiers {
		n += tier.Count // bounded: Check
	}
	return n
}

// Encode gives the canonical bytes: the fields in the order of the type, no spaces, one
// line feed at the end. DecodeTerms takes no others.
func (t Terms) Encode() ([]byte, error) { return encodeJSON(t) }

// Hash is the SHA-256 of the canonical bytes.
func (t Terms) Hash() ([32]byte, error) {
	b, err := t.Encode()
	return sha256.Sum256(b), err
}

// DecodeTerms reads canonical bytes and checks them.
func DecodeTerms(b []byte) (Terms, error) {
	var t Terms
	if len(b) > maxTerms {
		return t, fmt.Errorf("terms of %d bytes, at most %d", len(b), maxTerms)
	}
	if err := decodeJSON(b, &t); err != nil {
		return t, fmt.Errorf("terms: %w", err)
	}
	return t, t.Check()
}

var (
	nameForm = regexp.MustCompile(`^[a-z0-9][a-z0-9_-]{0,39}$`)
	codeForm = regexp.MustCompile(`^[A-Z0-9]{2,12}$`)
	hashForm = regexp.MustCompile(`^[0-9a-f]{64}$`)
)

// Check names the first field that is wrong.
func (t Terms) Check() error {
	switch {
	case t.Format != Format:
		return fmt.Errorf("terms: format %.20q, want %s", t.Format, Format)
	case !nameForm.MatchString(t.Campaign):
		return fmt.Errorf("terms: campaign %.40q", t.Campaign)
	case t.Version < 1 || t.Version > MaxVersions:
		return fmt.Errorf("terms: version %d", t.Version)
	case !t.Env.Valid():
		return fmt.Errorf("terms: env %.8q, want live or lab", t.Env)
	case !hashForm.MatchString(t.Definition):
		return errors.New("terms: definition: want a SHA-256 in hexadecimal")
	case t.Register.From.IsZero() || !t.Register.From.Before(t.Register.Until):
		return errors.New("terms: register: want from before until")
	case t.Waiting < 0 || t.Waiting > maxCount:
		return fmt.Errorf("terms: waiting %d", t.Waiting)
	case t.Unfilled != "return" && t.Unfilled != "share":
		return fmt.Errorf("terms: unfilled %.20q, want return or share", t.Unfilled)
	}
	for _, check := range []func() error{t.checkTiers, t.checkStrata, t.checkInstitutions, t.checkBeacon} {
		if err := check(); err != nil {
			return fmt.Errorf("terms: %w", err)
		}
	}
	return nil
}

func (t Terms) checkTiers() error {
	if len(t.Tiers) == 0 || len(t.Tiers) > maxTiers {
		return fmt.Errorf("tiers: want 1 to %d", maxTiers)
	}
	for _, tier := range t.Tiers {
		if tier.Face < 1 || tier.Face > pos.MaxAmount || tier.Count < 1 || tier.Count > maxCount {
			return fmt.Errorf("tiers: %d envelopes of %s", tier.Count, tier.Face)
		}
	}
	return nil
}

func (t Terms) checkStrata() error {
	if len(t.Strata) > maxStrata {
		return fmt.Errorf("strata: at most %d", maxStrata)
	}
	seen := map[string]bool{}
	var sum int64
	for _, s := range t.Strata {
		if !nameForm.MatchString(s.Name) || seen[s.Name] || s.Count < 1 || s.Count > maxCount {
			return fmt.Errorf("strata: %.40q has %d, or stands twice", s.Name, s.Count)
		}
		seen[s.Name] = true
		sum += s.Count
	}
	if len(t.Strata) > 0 && sum != t.Envelopes() {
		return fmt.Errorf("strata: quotas are %d, envelopes %d", sum, t.Envelopes())
	}
	return nil
}

func (t Terms) checkInstitutions() error {
	if len(t.Institutions) == 0 {
		return errors.New("institutions: want at least one")
	}
	seen := map[string]bool{}
	for _, i := range t.Institutions {
		if !codeForm.MatchString(i.Code) || seen[i.Code] || i.Quota < 0 {
			return fmt.Errorf("institutions: %.20q with quota %d, or it stands twice", i.Code, i.Quota)
		}
		seen[i.Code] = true
	}
	return nil
}

func (t Terms) checkBeacon() error {
	chain, err := chainOf(t.Beacon.Chain)
	if err != nil {
		return err
	}
	if t.Practice != chain.practice {
		return errors.New("beacon: a practice beacon and terms that say practice go together, and only together")
	}
	if chain.practice && t.Env != pos.Lab {
		return errors.New("beacon: a live campaign is never drawn with a practice beacon")
	}
	at, err := chain.timeOf(t.Beacon.Round)
	if err != nil {
		return err
	}
	if !at.After(t.Register.Until) {
		return fmt.Errorf("beacon: round %d exists at %s, before registration has closed", t.Beacon.Round, at.UTC().Format(time.RFC3339))
	}
	return nil
}

// encodeJSON is the one way in which a record becomes bytes.
func encodeJSON(v any) ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		return nil, fmt.Errorf("encode: %w", err)
	}
	return b.Bytes(), nil
}

// decodeJSON reads bytes that encodeJSON wrote, and refuses any others: a second
// spelling of the same content would have another hash.
func decodeJSON[T any](b []byte, into *T) error {
	d := json.NewDecoder(bytes.NewReader(b))
	d.DisallowUnknownFields()
	if err := d.Decode(into); err != nil {
		return fmt.Errorf("decode: %w", err)
	}
	again, err := encodeJSON(*into)
	if err != nil {
		return err
	}
	if !bytes.Equal(again, b) {
		return errors.New("not in canonical form")
	}
	return nil
}

func hexOf(b [32]byte) string { return hex.EncodeToString(b[:]) }

// Continues refuses to be a later version of other terms: a campaign keeps its name, its
// world, the two who sign, and whether it is practice.
func (t Terms) Continues(former Terms) error {
	switch {
	case t.Campaign != former.Campaign:
		return fmt.Errorf("terms: campaign %.40q, the next version is of %.40q", former.Campaign, t.Campaign)
	case t.Env != former.Env || t.Practice != former.Practice:
		return errors.New("terms: env and practice are the same in all versions")
	case t.Publisher != former.Publisher || t.Witness != former.Witness:
		return errors.New("terms: publisher and witness are the same in all versions")
	}
	return nil
}

// TermsInTime refuses terms that the witness saw after registration had opened.
func (t Terms) TermsInTime(seen time.Time) error {
	if !seen.Before(t.Register.From) {
		return fmt.Errorf("the terms were witnessed at %s, registration opened at %s", stamp(seen), stamp(t.Register.From))
	}
	return nil
}

// ListInTime refuses a list that the witness saw before registration had closed, or when
// the round, known at the moment that TimeOf gives, could be known.
func (t Terms) ListInTime(seen, round time.Time) error {
	switch {
	case seen.Before(t.Register.Until):
		return fmt.Errorf("the list was witnessed at %s, registration closed at %s", stamp(seen), stamp(t.Register.Until))
	case !seen.Before(round):
		return fmt.Errorf("the list was witnessed at %s, when round %d of %s could be known", stamp(seen), t.Beacon.Round, stamp(round))
	}
	return nil
}

func stamp(t time.Time) string { return t.UTC().Format(time.RFC3339) }
