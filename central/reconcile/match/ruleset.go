// Package match explains breaks that are none: it takes the lines that the engine found on
// one side only and tries, in the order of a versioned rule set, what a person would try. A
// refund is put to its original, a reversal to what it reversed, a line to the one that the
// other side booked on the next day, a batch to its total; what is left of a merchant is
// searched for sums, within a bound. A rule never decides between two candidates: it shows them.
//
// Every break, resolved or not, gets the name of the rule that made it. To add a kind of rule:
// a case in (*RuleSet).Apply and in check, and its line in docs/PROTOCOL.md.
package match

import (
	"bytes"
	"crypto/sha256"
	_ "embed" // the rules that ship
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"regexp"
	"slices"

	"go.yaml.in/yaml/v3"

	"dcpos/central/reconcile/statement"
	"dcpos/pos"
)

//go:embed standard.yaml
var standard []byte

// RuleSet is a versioned list of rules. Hash is of the document's bytes: two documents of
// one id and version that differ are told apart by it.
type RuleSet struct {
	ID      string `yaml:"id"`
	Version int    `yaml:"version"`
	NoteZH  string `yaml:"note_zh"`
	NoteEN  string `yaml:"note_en"`
	Exact   Exact  `yaml:"exact"`
	Rules   []Rule `yaml:"rules"`
	Hash    string `yaml:"-"`
}

// Exact is the engine's rule: one to one by txn_id.
type Exact struct {
	ToleranceFen pos.Money `yaml:"tolerance_fen"`
}

// Rule is one step.
type Rule struct {
	ID           string    `yaml:"id"`
	Kind         Kind      `yaml:"kind"`
	ToleranceFen pos.Money `yaml:"tolerance_fen"` // |sum| up to this is equal; carry and batch
	Days         int       `yaml:"days"`          // carry: how old an open line may grow
	Minutes      int       `yaml:"minutes"`       // window: between the two lines
	MostLines    int       `yaml:"most_lines"`    // residual: of one merchant; window: of one amount; credit: of one statement
	Resolve      bool      `yaml:"resolve"`       // residual, window, credit: resolve what is unique; else suggest it
}

// Kind says how a rule looks for partners.
type Kind string

// The kinds.
const (
	Refund   Kind = "refund"   // refunds of one original and amount, under different ids
	Netted   Kind = "netted"   // a payment and its refunds on one side, nothing on the other
	Carry    Kind = "carry"    // the same txn_id, booked on another day
	Batch    Kind = "batch"    // one line against the lines of its batch
	Window   Kind = "window"   // one amount within minutes, under different ids
	Residual Kind = "residual" // n to m of one merchant, bounded
	Credit   Kind = "credit"   // lines of a statement against the net credit that differs from it
)

const (
	maxDocument = 64 << 10
	maxDays     = 31
	maxResidual = 16 // 65,536 subsets
	maxWindow   = 256
	maxMinutes  = 12 * 60
)

var idForm = regexp.MustCompile(`^[a-z0-9][a-z0-9-]{0,31}$`)

// Standard is the rule set that ships.
func Standard() (*RuleSet, error) { return Parse(standard) }

// Read reads a rule set from a file; "" is the one that ships.
func Read(path string) (*RuleSet, error) {
	if path == "" {
		return Standard()
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, statement.Unreadable(path, err)
	}
	defer func() { _ = f.Close() }()
	b, err := io.ReadAll(io.LimitReader(f, maxDocument+1))
	if err != nil {
		return nil, fmt.Errorf("read matching rules: %w", err)
	}
	return Parse(b)
}

// Parse reads a rule set; unknown keys are errors.
func Parse(b []byte) (*RuleSet, error) {
	if len(b) > maxDocument {
		return nil, badRules(fmt.Errorf("more than %d bytes", maxDocument))
	}
	var s RuleSet
	d := yaml.NewDecoder(bytes.NewReader(b))
	d.KnownFields(true)
	if err := d.Decode(&s); err != nil {
		return nil, badRules(err)
	}
	if err := s.check(); err != nil {
		return nil, badRules(err)
	}
	sum := sha256.Sum256(b)
	s.Hash = hex.EncodeToString(sum[:])
	return &s, nil
}

func badRules(err error) error {
	return pos.FieldError(pos.ErrConfig, "matching rules", err)
}

func (s *RuleSet) check() error {
	switch {
	case !idForm.MatchString(s.ID) || s.Version < 1:
		return fmt.Errorf("id %q, version %d: want small letters, digits and hyphens, and 1 or more", s.ID, s.Version)
	case s.NoteZH == "" || s.NoteEN == "":
		return errors.New("note_zh or note_en is missing")
	case s.Exact.ToleranceFen < 0:
		return errors.New("exact: tolerance_fen is negative")
	}
	seen := []string{"exact", "unique"}
	for _, r := range s.Rules {
		if !idForm.MatchString(r.ID) || slices.Contains(seen, r.ID) {
			return fmt.Errorf("rule %q: want an id of its own", r.ID)
		}
		seen = append(seen, r.ID)
		if err := r.check(); err != nil {
			return fmt.Errorf("rule %s: %w", r.ID, err)
		}
	}
	return nil
}

func (r *Rule) check() error {
	summed := r.Kind == Carry || r.Kind == Batch
	searches := r.Kind == Window || r.Kind == Residual || r.Kind == Credit
	switch {
	case !slices.Contains([]Kind{Refund, Netted, Carry, Batch, Window, Residual, Credit}, r.Kind):
		return fmt.Errorf("kind %q: want refund, netted, carry, batch, window, residual or credit", r.Kind)
	case r.ToleranceFen < 0 || r.ToleranceFen > 0 && !summed:
		return errors.New("tolerance_fen belongs to carry and batch and is not negative")
	case (r.Kind == Carry) != (r.Days > 0) || r.Days > maxDays:
		return fmt.Errorf("days belongs to carry: 1 to %d", maxDays)
	case (r.Kind == Window) != (r.Minutes > 0) || r.Minutes > maxMinutes:
		return fmt.Errorf("minutes belongs to window: 1 to %d", maxMinutes)
	case searches != (r.MostLines > 1) || r.MostLines > maxWindow || r.MostLines > maxResidual && r.Kind != Window:
		return fmt.Errorf("most_lines belongs to window (2 to %d), residual and credit (2 to %d)", maxWindow, maxResidual)
	case r.Resolve && !searches:
		return errors.New("resolve belongs to window, residual and credit")
	}
	return nil
}

// Name is what a break calls a rule of the set: "standard/2 carry".
func (s *RuleSet) Name(rule string) string { return fmt.Sprintf("%s/%d %s", s.ID, s.Version, rule) }

// Credit is the rule for net credits; false where the set has none.
func (s *RuleSet) Credit() (Rule, bool) {
	i := slices.IndexFunc(s.Rules, func(r Rule) bool { return r.Kind == Credit })
	if i < 0 {
		return Rule{}, false
	}
	return s.Rules[i], true
}

// Made names the rule that makes a break of the kind.
func (s *RuleSet) Made(kind pos.BreakKind) string {
	if kind == pos.DuplicateOurs || kind == pos.DuplicateTheirs {
		return s.Name("unique")
	}
	return s.Name("exact")
}
