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
//	splits:                    # pinned splits: what the planner must split by at least
//	  - by: id_hash
//	    bits: 6                # 64 shards
type Rules struct {
	Version            int       `yaml:"version"`
	AmountToleranceFen pos.Money `yaml:"amount_tolerance_fen"`
	Splits             []Split   `yaml:"splits"`
}

// Split is one pinned split of the rule tree.
type Split struct {
	By   string `yaml:"by"`
	Bits int    `yaml:"bits"`
}

// SplitByIDHash is the split that is always possible, always even, and on which both
// sides always agree.
const SplitByIDHash = "id_hash"

const (
	rulesVersion  = 1
	maxSplitBits  = 12
	maxRulesBytes = 1 << 20
)

// ReadRules reads a rules document. Errors are *statement.InputError with the line.
func ReadRules(path string) (*Rules, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("read rules: %w", err)
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
	if err := knownKeys(path, root, "version", "amount_tolerance_fen", "splits"); err != nil {
		return nil, err
	}
	for i := 0; i+1 < len(root.Content); i += 2 {
		if root.Content[i].Value != "splits" {
			continue
		}
		for _, split := range root.Content[i+1].Content {
			if err := knownKeys(path, split, "by", "bits"); err != nil {
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
	for _, s := range r.Splits {
		if s.By != SplitByIDHash {
			return fmt.Errorf("split by %q is not known; known: %s", s.By, SplitByIDHash)
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
