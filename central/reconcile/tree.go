package reconcile

import (
	"cmp"
	"fmt"
	"hash/fnv"
	"maps"
	"math/bits"
	"slices"
	"strconv"
	"strings"

	"dcpos/central/reconcile/statement"
	"dcpos/pos"
)

// ruleTree is the plan of shards by fields of a line. Inner nodes look at one field; a value
// has a child of its own, or shares one of the bins of what is left. A leaf is a branch: as
// many shards as it needs, parted by ranges of the id's hash. It is built once, from what
// was counted in a sample of the inputs, and not changed while they are read.
type ruleTree struct {
	root     *ruleNode
	branches []*ruleNode // its leaves
	shards   int
}

type ruleNode struct {
	name     string // "bank = ICBC, merchant_id = M0"
	why      pos.Text
	expected int64
	split    *Split // nil for a branch
	children map[string]*ruleNode
	bins     []*ruleNode // of every other value

	branch int // position in branches
	first  int // shard
	parts  int // shards
}

// value appends the text of the field that a split looks at.
func (s *Split) value(dst []byte, row *statement.Row) []byte {
	switch s.By {
	case SplitByBank:
		return append(dst, row.Bank...)
	case SplitByMerchant:
		return append(dst, row.Merchant...)
	case SplitByDate:
		return fmt.Appendf(dst, "%08d", row.Day)
	case SplitByTime:
		from := row.Hour() / s.Hours * s.Hours
		return fmt.Appendf(dst, "%02d:00-%02d:59", from, min(from+s.Hours, 24)-1)
	}
	return dst
}

// find walks down to a row's branch; scratch is used again.
func (t *ruleTree) find(row *statement.Row, scratch []byte) (*ruleNode, []byte) {
	n := t.root
	for n.split != nil {
		scratch = n.split.value(scratch[:0], row)
		child := n.children[string(scratch)]
		if child == nil {
			child = n.bins[binOf(scratch, len(n.bins))]
		}
		n = child
	}
	return n, scratch
}

// binOf packs values that the sample did not hold.
func binOf(value []byte, bins int) int {
	h := fnv.New64a()
	_, _ = h.Write(value)
	return int(h.Sum64() * 0x9E3779B97F4A7C15 >> 33 % uint64(bins))
}

// shard is the shard of an id in a branch.
func (n *ruleNode) shard(id uint64) int {
	part, _ := bits.Mul64(id, uint64(n.parts))
	return n.first + int(part)
}

// sampled is how many lines of a sample have the same values.
type sampled struct {
	values []string // one per split by fields
	lines  int64
}

// treeBuilder builds a tree whose shards hold at most budget lines.
type treeBuilder struct {
	splits []Split
	budget int64
	scale  float64 // lines of the inputs per line of the sample
	tree   *ruleTree
}

func buildTree(splits []Split, lines []sampled, expected, budget int64, most int) *ruleTree {
	var seen int64
	for i := range lines {
		seen += lines[i].lines
	}
	for {
		b := treeBuilder{splits: splits, budget: max(budget, 1), scale: 1, tree: &ruleTree{}}
		if seen > 0 {
			b.scale = float64(expected) / float64(seen)
		}
		b.tree.root = b.node(lines, 0, nil)
		if b.tree.shards <= most || budget > expected {
			return b.tree
		}
		budget += budget/2 + 1
	}
}

func (b *treeBuilder) rows(lines []sampled) int64 {
	var n int64
	for i := range lines {
		n += lines[i].lines
	}
	return int64(float64(n) * b.scale)
}

func (b *treeBuilder) node(lines []sampled, level int, path []string) *ruleNode {
	n := &ruleNode{name: strings.Join(path, ", "), expected: b.rows(lines)}
	if n.name == "" {
		n.name = "all lines"
	}
	for level < len(b.splits) && b.splits[level].WhenOverBudget && n.expected <= b.budget {
		level++ // fits
	}
	if level == len(b.splits) {
		b.leaf(n)
		return n
	}
	split := &b.splits[level]
	n.split, n.children = split, map[string]*ruleNode{}
	n.why = pos.Text{EN: "pinned by the rules", ZH: "规则指定"}
	if split.WhenOverBudget {
		n.why = whyf("expects %d lines, more than %d", "预计 %d 行,超出 %d 行", n.expected, b.budget)
	}
	groups := map[string][]sampled{}
	for _, l := range lines {
		groups[l.values[level]] = append(groups[l.values[level]], l)
	}
	for _, value := range split.Values {
		if groups[value] == nil {
			groups[value] = []sampled{}
		}
	}
	var rest []string
	for _, value := range slices.Sorted(maps.Keys(groups)) {
		if b.own(split, value, groups[value]) {
			n.children[value] = b.node(groups[value], level+1, append(slices.Clone(path), split.By+" = "+value))
			continue
		}
		rest = append(rest, value)
	}
	b.pack(n, groups, rest, path)
	return n
}

// own reports whether a value has a node of its own: it is named by the rule, or its rule
// names none and (for merchants) it is heavy.
func (b *treeBuilder) own(split *Split, value string, lines []sampled) bool {
	if value == uncounted {
		return false
	}
	if len(split.Values) > 0 {
		return slices.Contains(split.Values, value)
	}
	return split.By != SplitByMerchant || b.rows(lines) > b.budget
}

// binShards is how many shards a bin may need. What a sample says about many light values is
// coarse; the larger the bin, the less of the error is left, and its shards are even.
const binShards = 8

// pack puts what has no node of its own into bins, the largest first into the emptiest.
func (b *treeBuilder) pack(n *ruleNode, groups map[string][]sampled, values []string, path []string) {
	var total int64
	for _, v := range values {
		total += b.rows(groups[v])
	}
	bins := make([]int64, max((total+binShards*b.budget-1)/(binShards*b.budget), 1))
	uncountedRows := int64(0)
	slices.SortStableFunc(values, func(x, y string) int { return cmp.Compare(b.rows(groups[y]), b.rows(groups[x])) })
	chosen := map[string]int{}
	for _, v := range values {
		rows := b.rows(groups[v])
		if v == uncounted {
			uncountedRows = rows
			continue
		}
		at := 0
		for i := range bins {
			if bins[i] < bins[at] {
				at = i
			}
		}
		bins[at] += rows
		chosen[v] = at
	}
	for i := range bins {
		name := "any other " + n.split.By
		if len(bins) > 1 {
			name += fmt.Sprintf(", bin %d of %d", i+1, len(bins))
		}
		bin := &ruleNode{
			name:     strings.Join(append(slices.Clone(path), name), ", "),
			expected: bins[i] + uncountedRows/int64(len(bins)),
		}
		b.leaf(bin)
		n.bins = append(n.bins, bin)
	}
	for v, at := range chosen {
		n.children[v] = n.bins[at]
	}
}

func (b *treeBuilder) leaf(n *ruleNode) {
	n.parts = int(max((n.expected+b.budget-1)/b.budget, 1))
	n.branch, n.first = len(b.tree.branches), b.tree.shards
	b.tree.branches = append(b.tree.branches, n)
	b.tree.shards += n.parts
	if n.why = (pos.Text{EN: "fits the budget", ZH: "在预算之内"}); n.parts > 1 {
		n.why = whyf("expects %d lines, more than %d: parted by the hash of the id", "预计 %d 行,超出 %d 行:按流水号散列拆分", n.expected, b.budget)
	}
}

// sampling: how much of the inputs is read beforehand, and how many different values of
// the splits' fields together are counted.
const (
	sampleBlocks = 256 // of each plain file, spread over it
	packedBlocks = 32  // of a packed one, from its beginning
	sampleValues = 100_000

	uncounted = "\x00" // stands for the values that were too many
)

// sample counts lines by the fields that the rules split by, and corrects how many lines are
// expected. A pipe cannot be sampled.
func (r *run) sample(splits []Split) ([]sampled, error) {
	c := sampleCounts{splits: splits, counts: map[string]*sampled{}}
	for side, sources := range [][]Source{r.job.Ours, r.job.Theirs} {
		for i, src := range sources {
			in := r.sides[side][i]
			if in.Size == 0 {
				continue
			}
			perLine, err := statement.Sample(src, sampleBlocks, packedBlocks, func(row *statement.Row) {
				if r.day == 0 || row.Day == r.day {
					c.add(row)
				}
			})
			if err != nil {
				return nil, err
			}
			if in.Plain && perLine > 0 {
				in.expected = int64(float64(in.Size) / perLine)
			}
		}
	}
	out := make([]sampled, 0, len(c.counts))
	for _, key := range slices.Sorted(maps.Keys(c.counts)) {
		out = append(out, *c.counts[key])
	}
	return out, nil
}

type sampleCounts struct {
	splits []Split
	counts map[string]*sampled // by all values
	key    []byte
}

func (c *sampleCounts) add(row *statement.Row) {
	c.key = c.key[:0]
	values := make([]string, len(c.splits))
	for i := range c.splits {
		from := len(c.key)
		c.key = c.splits[i].value(c.key, row)
		values[i] = string(c.key[from:])
		c.key = append(c.key, 0)
	}
	at := c.counts[string(c.key)]
	if at == nil && len(c.counts) >= sampleValues {
		values[len(values)-1] = uncounted
		c.key = append(c.key[:0], strings.Join(values, "\x00")...)
		at = c.counts[string(c.key)]
	}
	if at == nil {
		at = &sampled{values: values}
		c.counts[string(c.key)] = at
	}
	at.lines++
}

// describe adds the tree to the plan, with what was counted in its shards.
func (t *ruleTree) describe(p *plan, leaves []leaf) {
	var add func(n *ruleNode, parent int) int64
	done := map[*ruleNode]bool{}
	add = func(n *ruleNode, parent int) int64 {
		if done[n] {
			return 0 // a bin is the child of many values
		}
		done[n] = true
		id := p.add(planNode{Parent: parent, Rule: n.name, Expected: n.expected, Outcome: outcomeSplit, Why: n.why.EN, WhyZH: n.why.ZH})
		var rows int64
		if n.split == nil {
			rows = n.describeShards(p, id, leaves)
		}
		for _, value := range slices.Sorted(maps.Keys(n.children)) {
			rows += add(n.children[value], id)
		}
		for _, bin := range n.bins {
			rows += add(bin, id)
		}
		p.observe(id, rows)
		return rows
	}
	p.Observed = add(t.root, -1)
	p.Sharding = branchReason
}

func (n *ruleNode) describeShards(p *plan, id int, leaves []leaf) (rows int64) {
	for i := range n.parts {
		l := &leaves[n.first+i]
		rows += l.rows()
		if l.node = id; n.parts > 1 {
			l.node = p.add(planNode{
				Parent: id, Rule: "id_hash: part " + strconv.Itoa(i+1) + " of " + strconv.Itoa(n.parts),
				Expected: n.expected / int64(n.parts), Observed: l.rows(),
			})
		}
		p.settle(l.node, outcomeEmpty, noLine())
	}
	return rows
}
