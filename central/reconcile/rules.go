package reconcile

import (
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"

	"dcpos/central/reconcile/statement"
	"dcpos/pos"
)

// Rules is the versioned rules document. The zero value is exact 1:1 by txn_id.
//
//	version: 1
//	amount_tolerance_fen: 0    # |ours − theirs| up to this is no amount_mismatch
//	shard_rows: 0              # lines of both sides that a shard may hold; 0 lets the planner choose
//	splits:                    # the levels of the rule tree, in their order; all pinned unless said
//	  - by: bank               # every bank a branch of its own
//	  - by: merchant_id        # heavy merchants have branches of their own, the others are packed
//	    when_over_budget: true # only below nodes that hold more than a shard may
//	  - by: merchant_id
//	    values: [M0, M1]       # pinned: these merchants; the others are packed
//	  - by: settlement_date
//	  - by: time_window        # of the day, in Shanghai
//	    hours: 6
//	  - by: id_hash
//	    bits: 6                # 64 shards; below fields a split takes as many parts as it needs
type Rules struct {
	Version            int       `yaml:"version"`
	AmountToleranceFen pos.Money `yaml:"amount_tolerance_fen"`
	ShardRows          int64     `yaml:"shard_rows"`
	Splits             []Split   `yaml:"splits"`
}

// Tolerating is exact 1:1 with an amount tolerance, in shards by id hash.
func Tolerating(fen pos.Money) *Rules { return &Rules{Version: rulesVersion, AmountToleranceFen: fen} }

// ByFields reports that shards are split by fields of a line. Such rules are for one process: they need
// its residual pass.
func (r *Rules) ByFields() bool { return r != nil && len(r.fieldSplits()) > 0 }

// bits is how many bits of the hash the rules pin; 0 is none.
func (r *Rules) bits() (n int) {
	for _, s := range r.Splits {
		n = max(n, s.Bits)
	}
	return n
}

// Split is one level of the rule tree.
type Split struct {
	By     string   `yaml:"by"`
	Bits   int      `yaml:"bits"`   // id_hash
	Hours  int      `yaml:"hours"`  // time_window
	Values []string `yaml:"values"` // the others: only these have branches of their own
	// WhenOverBudget leaves nodes alone that fit a shard; otherwise the split is pinned.
	WhenOverBudget bool `yaml:"when_over_budget"`
}

// What a split can look at. SplitByIDHash is always possible, always even, and both
// sides always agree on it; the fields are for operation (a shard that an operator
// knows by name) and need the residual shards.
const (
	SplitByIDHash   = "id_hash"
	SplitByBank     = "bank"
	SplitByMerchant = "merchant_id"
	SplitByDate     = "settlement_date"
	SplitByTime     = "time_window"
)

const (
	rulesVersion  = 1
	maxSplitBits  = 12
	maxRulesBytes = 1 << 20
)

// ReadRules reads a rules document. Errors are *statement.InputError with the line.
func ReadRules(path string) (*Rules, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, statement.Unreadable(path, err)
	}
	defer func() { _ = file.Close() }()
	b, err := io.ReadAll(io.LimitReader(file, maxRulesBytes))
	if err != nil {
		return nil, fmt.Errorf("read rules: %w", err)
	}
	return parseRules(path, b)
}

func parseRules(path string, b []byte) (*Rules, error) {
	var doc yaml.Node
	if err := yaml.Unmarshal(b, &doc); err != nil {
		return nil, ruleError(path, 0, "is not YAML", "不是 YAML", err)
	}
	if len(doc.Content) == 0 {
		return nil, ruleError(path, 0, "is empty, want version: 1", "为空,应有 version: 1", nil)
	}
	root := doc.Content[0]
	if err := knownKeys(path, root, "version", "amount_tolerance_fen", "shard_rows", "splits"); err != nil {
		return nil, err
	}
	for i := 0; i+1 < len(root.Content); i += 2 {
		if root.Content[i].Value != "splits" {
			continue
		}
		for _, split := range root.Content[i+1].Content {
			if err := knownKeys(path, split, "by", "bits", "hours", "values", "when_over_budget"); err != nil {
				return nil, err
			}
		}
	}
	var rules Rules
	if err := root.Decode(&rules); err != nil {
		return nil, ruleError(path, 0, "has a wrong value", "有错误的值", err)
	}
	if err := rules.check(); err != nil {
		return nil, ruleError(path, 0, "has a wrong value", "有错误的值", err)
	}
	return &rules, nil
}

func (r *Rules) check() error {
	if r.Version != rulesVersion {
		return fmt.Errorf("version is %d, this program reads %d", r.Version, rulesVersion)
	}
	if r.AmountToleranceFen < 0 {
		return errors.New("amount_tolerance_fen is negative")
	}
	if r.ShardRows < 0 {
		return errors.New("shard_rows is negative")
	}
	for _, s := range r.Splits {
		known := []string{SplitByBank, SplitByMerchant, SplitByDate, SplitByTime, SplitByIDHash}
		if !slices.Contains(known, s.By) {
			return fmt.Errorf("split by %q is not known; known: %s", s.By, strings.Join(known, ", "))
		}
		if (s.By == SplitByTime) != (s.Hours >= 1 && s.Hours <= 24) {
			return fmt.Errorf("split by %s: hours is %d; a time_window has 1 to 24, the others none", s.By, s.Hours)
		}
		if s.By == SplitByIDHash && len(s.Values) > 0 || s.By != SplitByIDHash && s.Bits != 0 {
			return fmt.Errorf("split by %s: bits belong to id_hash, values to the others", s.By)
		}
		if s.Bits < 0 || s.Bits > maxSplitBits {
			return fmt.Errorf("split by %s: bits is %d, want 0 to %d", s.By, s.Bits, maxSplitBits)
		}
	}
	return nil
}

func knownKeys(path string, node *yaml.Node, known ...string) error {
	if node.Kind != yaml.MappingNode {
		return ruleError(path, node.Line, "wants keys here: "+strings.Join(known, ", "),
			"此处应为键:"+strings.Join(known, ", "), nil)
	}
	for i := 0; i < len(node.Content); i += 2 {
		key := node.Content[i]
		if !slices.Contains(known, key.Value) {
			return ruleError(path, key.Line,
				fmt.Sprintf("unknown key %q; known: %s", key.Value, strings.Join(known, ", ")),
				fmt.Sprintf("未知的键 %q;已知:%s", key.Value, strings.Join(known, ", ")), nil)
		}
	}
	return nil
}

func ruleError(path string, line int, en, zh string, err error) error {
	return &statement.InputError{File: path, Line: int64(line), Why: pos.Text{EN: en, ZH: zh}, Err: err}
}
