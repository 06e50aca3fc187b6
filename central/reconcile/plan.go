package reconcile

import (
	"encoding/json"
	"fmt"
	"math/bits"
	"sync"

	"dcpos/central/reconcile/spill"
	"dcpos/pos"
)

// Guesses before anything is read. They only set the first number of shards: a shard
// that turns out larger is split from what was counted.
const (
	bytesPerLine  = 90      // of the dcpos CSV with 32-digit ids
	leafTarget    = 5 << 20 // bytes of a shard while it is joined if every line is suspect
	leavesPerCore = 8
	fewLines      = 100_000 // below this the work is not worth spreading
)

// tuning is what the planner decides about memory. Tests set single fields to reach
// the rare paths with little data.
type tuning struct {
	block      int   // bytes of an input block
	page       int   // bytes of a page of the store
	depth      int   // bits of the hash that the first shards take
	pinned     bool  // depth is given, not planned
	leaf       int64 // bytes that the join of one shard may take
	again      int64 // bytes of lines that a worker reads again at a time
	ram        int64 // bytes of pages kept in memory
	sort       int64 // bytes of each of the three sorters
	totals     int64 // bytes of one worker's control totals
	index      int64 // bytes of the index of line numbers
	splitBits  int   // most bits by which a shard over budget is split at a time
	maxDepth   int   // bits after which splitting stops and sorting begins
	workers    int
	windowSize int64
}

const (
	mostPage        = 8 << 10
	minMemory       = 8 << 20
	memoryPerWorker = 4 << 20
	defaultMemory   = 1 << 30
)

// tune divides the memory: of 32 parts, shards' pages 16 (open ones among them), joins 4, lines
// that are read again 2, sorters 4 (three, at most four), totals 3, the index of line numbers 1, input blocks and
// decompressors the rest.
func tune(memory int64, workers int) tuning {
	part := memory / 32
	workers = int(min(int64(workers), max(memory/memoryPerWorker, 1)))
	return tuning{
		block:      int(min(max(part/int64(2*workers), 32<<10), 128<<10)),
		ram:        16 * part,
		leaf:       min(4*part/int64(workers), 1<<30),
		again:      2 * part / int64(workers),
		sort:       part,
		totals:     3 * part / int64(workers),
		index:      part,
		splitBits:  4,
		maxDepth:   32,
		workers:    workers,
		windowSize: part,
	}
}

// openBytes is the memory for the open pages of one list of every worker.
func (t *tuning) openBytes(memory int64) int64 { return 8 * memory / 32 / int64(2*t.workers) }

// size sets the first depth and the page size from the expected number of lines.
func (t *tuning) size(memory, expected int64, rules *Rules) {
	open := t.openBytes(memory)
	most := max(bits.Len64(uint64(open/spill.MinPage))-1, 0)
	if len(rules.fieldSplits()) > 0 {
		t.depth = 0 // fields first; the hash parts what is over budget then
		t.page = 4 << 10
	} else if !t.pinned {
		target := max(min(t.leaf*2/3, leafTarget), 1)
		for t.depth < most && expected*costPerRow>>t.depth > target {
			t.depth++
		}
		for expected > fewLines && t.depth < most && 1<<t.depth < leavesPerCore*t.workers {
			t.depth++
		}
		t.depth = max(t.depth, rules.bits())
	}
	if t.page == 0 {
		t.page = spill.MinPage
		for t.page < mostPage && int64(t.page)<<1<<t.depth <= open {
			t.page <<= 1
		}
	}
}

// Outcomes of a node of the rule tree.
const (
	outcomeJoined = "joined"
	outcomeSplit  = "split"
	outcomeSorted = "sorted"
	outcomeEmpty  = "empty"
)

// planNode is one node of the rule tree.
type planNode struct {
	ID       int    `json:"id"`
	Parent   int    `json:"parent"` // -1 for the root
	Rule     string `json:"rule"`
	Expected int64  `json:"expected_rows"`
	Observed int64  `json:"observed_rows"`
	Outcome  string `json:"outcome"`
	Why      string `json:"why"`
	WhyZH    string `json:"why_zh"`
}

type planInput struct {
	Side     string `json:"side"`
	File     string `json:"file"`
	Bytes    int64  `json:"bytes"`
	Expected int64  `json:"expected_rows"`
	Observed int64  `json:"observed_rows"`
}

// planSteps says how many steps of a run in parts there were, and how many of them had not
// been done before.
type planSteps struct {
	Do   string `json:"do"`
	All  int    `json:"all"`
	Done int    `json:"done"`
}

// plan is plan.json: what was expected, what was counted, and every split with its reason.
type plan struct {
	Version  int    `json:"version"`
	Run      string `json:"run,omitempty"` // of a run in parts: the same inputs give the same name
	Rules    int    `json:"rules_version"`
	Sharding string `json:"sharding"`
	Budget   struct {
		MemoryBytes int64 `json:"memory_bytes"`
		ShardBytes  int64 `json:"shard_bytes"`
		ShardRows   int64 `json:"shard_rows,omitempty"` // of a rule tree
		Workers     int   `json:"workers"`
	} `json:"budget"`
	AmountTolerance int64       `json:"amount_tolerance_fen"`
	Expected        int64       `json:"expected_rows"`
	Observed        int64       `json:"observed_rows"`
	SpilledBytes    int64       `json:"spilled_bytes"`
	Inputs          []planInput `json:"inputs"`
	Steps           []planSteps `json:"steps,omitempty"` // of a run in parts
	Tree            []planNode  `json:"tree"`

	pinned bool // the rules say by how many bits of the hash the first shards are made
	mu     sync.Mutex
}

const shardingReason = "shards are ranges of a keyed hash of txn_id: both sides of a pair always meet in one shard, " +
	"whatever else they disagree on, so no miss has to be joined again across shards; the key is new in every run"

const branchReason = "shards are branches of the pinned splits, parted further by a keyed hash of txn_id where they are " +
	"over budget; every id that is found under more than one branch is joined in the residual shards, by id alone, so " +
	"that a field on which the sides disagree makes no false break"

const partsReason = "shards are ranges of a keyed hash of txn_id: both sides of a pair always meet in one shard; " +
	"each was joined by whichever worker took it first, from segments of the inputs"

func newPlan(memory int64, t tuning, tolerance int64) *plan {
	p := &plan{Version: 2, Rules: rulesVersion, Sharding: shardingReason, AmountTolerance: tolerance}
	p.Budget.MemoryBytes, p.Budget.ShardBytes, p.Budget.Workers = memory, t.leaf, t.workers
	return p
}

// add appends a node and returns its id.
func (p *plan) add(n planNode) int {
	p.mu.Lock()
	defer p.mu.Unlock()
	n.ID = len(p.Tree)
	p.Tree = append(p.Tree, n)
	return n.ID
}

func (p *plan) settle(id int, outcome string, why pos.Text) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.Tree[id].Outcome, p.Tree[id].Why, p.Tree[id].WhyZH = outcome, why.EN, why.ZH
}

// observe corrects a node to the lines that it really joined.
func (p *plan) observe(id int, rows int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.Tree[id].Observed = rows
}

// root adds the tree's root and the first shards.
func (p *plan) root(depth int, leaves []leaf) {
	p.Observed = 0
	for _, l := range leaves {
		p.Observed += l.rows()
	}
	why := pos.Text{EN: "everything fits one shard", ZH: "一个分片即可容纳"}
	if depth > 0 {
		why = whyf("expected rows need %d shards within the budget and for all workers", "按预计行数、预算与工作线程需要 %d 个分片", len(leaves))
	}
	if p.pinned {
		why = whyf("the rules pin %d shards", "规则指定 %d 个分片", len(leaves))
	}
	p.add(planNode{
		Parent: -1, Rule: "all lines", Expected: p.Expected, Observed: p.Observed,
		Outcome: outcomeSplit, Why: why.EN, WhyZH: why.ZH,
	})
	for i := range leaves {
		l := &leaves[i]
		l.node = p.add(planNode{
			Parent: 0, Rule: hashRule(uint64(i), depth), Expected: p.Expected / int64(len(leaves)), Observed: l.rows(),
			Outcome: outcomeEmpty, Why: noLine().EN, WhyZH: noLine().ZH,
		})
	}
}

// whyf is a reason in both languages.
func whyf(en, zh string, args ...any) pos.Text {
	return pos.Text{EN: fmt.Sprintf(en, args...), ZH: fmt.Sprintf(zh, args...)}
}

func fits() pos.Text { return pos.Text{EN: "fits the budget", ZH: "在预算之内"} }

func noLine() pos.Text { return pos.Text{EN: "no line belongs here", ZH: "没有属于此处的行"} }

func hashRule(prefix uint64, depth int) string {
	if depth == 0 {
		return "id_hash: all"
	}
	return fmt.Sprintf("id_hash: first %d bits = %0*b", depth, depth, prefix)
}

// shards counts the leaves that held lines.
func (p *plan) shards() Shards {
	var s Shards
	var total int64
	for _, n := range p.Tree {
		if n.Observed == 0 || n.Outcome != outcomeJoined && n.Outcome != outcomeSorted {
			continue
		}
		s.Count++
		s.Largest = max(s.Largest, n.Observed)
		total += n.Observed
	}
	if s.Count > 0 {
		s.Mean = float64(total) / float64(s.Count)
	}
	return s
}

func (p *plan) encode() ([]byte, error) { return json.MarshalIndent(p, "", " ") }
