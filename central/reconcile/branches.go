package reconcile

import (
	"slices"
	"sync"

	"dcpos/central/reconcile/spill"
	"dcpos/central/reconcile/statement"
	"dcpos/pos"
)

// branches are the first shards when rules split by fields of a line (its bank, merchant,
// settlement date, hour). The two sides of a pair may disagree on a field, and one id may
// be doubled under two of them, so that a field alone parts what belongs together.
// Therefore every line's (id, branch) is kept in a directory; an id that is found under two
// branches is a wanderer, and all its lines, of all branches, are joined in the residual
// shards. A collision of hashes only moves lines there as well.
type branches struct {
	tree  *ruleTree
	parts int // of the directory

	mu        sync.Mutex
	directory []spill.List
	wanderers []uint64 // sorted when found
	all       bool     // too many wanderers: every line goes to the residual shards
}

// residualRule is what the residual shards' node says.
const residualRule = "residual: ids found under more than one branch"

// fieldSplits are the splits that look at a field.
func (r *Rules) fieldSplits() []Split {
	return slices.DeleteFunc(slices.Clone(r.Splits), func(s Split) bool { return s.By == SplitByIDHash })
}

// part of the directory: ids are even, so that any of their bits will do.
func (b *branches) part(id uint64) int { return int(id % uint64(b.parts)) }

// branchesOf is one worker's way through the tree and into the directory.
type branchesOf struct {
	*branches
	entries *spill.Appender
	scratch []byte
}

func (b *branches) worker(store *spill.Store) *branchesOf {
	return &branchesOf{branches: b, entries: store.NewAppender(b.parts)}
}

// shard finds a line's shard and enters it into the directory.
func (b *branchesOf) shard(hash uint64, r record, row *statement.Row) (int, error) {
	var n *ruleNode
	n, b.scratch = b.tree.find(row, b.scratch)
	return n.shard(hash), b.entries.Add(b.part(r.id()), r.id()<<bodyHigh|uint64(n.branch), 0)
}

func (b *branchesOf) finish() error {
	lists, err := b.entries.Finish()
	if err != nil {
		return err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.directory == nil {
		b.directory = make([]spill.List, b.parts)
	}
	for i := range lists {
		b.directory[i].Join(lists[i])
	}
	return nil
}

// find walks through part i of the directory for wanderers, of which at most limit are kept.
func (b *branches) find(store *spill.Store, i int, memory int64, limit int) error {
	l := b.directory[i]
	const entryBytes = 8
	if l.Rows*entryBytes > memory {
		b.give(nil, -1) // one id with very many lines
		store.Release(l)
		return nil
	}
	entries := make([]uint64, 0, l.Rows)
	err := store.Each(l, &spill.Buffer{}, func(records []byte) error {
		for ; len(records) >= recordSize; records = records[recordSize:] {
			entries = append(entries, readRecord(records).first)
		}
		return nil
	})
	if err != nil {
		return err
	}
	store.Release(l)
	slices.Sort(entries)
	var found []uint64
	for k := 1; k < len(entries); k++ {
		id := entries[k] >> bodyHigh
		if entries[k-1]>>bodyHigh == id && entries[k-1] != entries[k] && (len(found) == 0 || found[len(found)-1] != id) {
			found = append(found, id)
		}
	}
	b.give(found, limit)
	return nil
}

func (b *branches) give(found []uint64, limit int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.wanderers)+len(found) > limit {
		b.all, b.wanderers = true, nil
	}
	if !b.all {
		b.wanderers = append(b.wanderers, found...)
	}
}

func (b *branches) wanders(id uint64) bool {
	if b.all {
		return true
	}
	_, found := slices.BinarySearch(b.wanderers, id)
	return found
}

// each gives a shard's records of one side; those of wanderers go to the residual
// shards instead.
func (j *shardJoin) each(l *leaf, side int, each func(records []byte) error) error {
	if l.brief {
		return l.eachBrief(side, each)
	}
	if !l.branch {
		return j.store.Each(l.sides[side], &j.pages, each)
	}
	return j.store.Each(l.sides[side], &j.pages, func(records []byte) error {
		from := 0
		for at := 0; at < len(records); at += recordSize {
			rec := readRecord(records[at:])
			if !j.branches.wanders(rec.id()) {
				continue
			}
			if from < at {
				if err := each(records[from:at]); err != nil {
					return err
				}
			}
			from = at + recordSize
			if err := j.residual.Add(int(rec.first>>(64-residualBits))*2+side, rec.first, rec.second); err != nil {
				return err
			}
			l.moved[side]++
		}
		if from == len(records) {
			return nil
		}
		return each(records[from:])
	})
}

// residualBits is how many bits of the hash part the residual shards at first.
const residualBits = 3

// residue turns what the workers put aside into shards.
func (r *run) residue() []leaf {
	leaves := make([]leaf, 1<<residualBits)
	root := planNode{Parent: 0, Rule: residualRule, Outcome: outcomeSplit}
	for i := range leaves {
		l := &leaves[i]
		l.prefix, l.depth = uint64(i), residualBits
		for side := range l.sides {
			for _, lists := range r.residuals {
				l.sides[side].Join(lists[2*i+side])
			}
		}
		root.Observed += l.rows()
	}
	why := whyf("%d ids have lines under several branches; their lines are joined here, by id alone",
		"%d 个流水号的行分属多个分支,在此仅按流水号比对", len(r.branches.wanderers))
	if r.branches.all {
		why = pos.Text{
			EN: "too many ids have lines under several branches: the sides disagree on the rules' fields, " +
				"so that all lines are joined here, by id alone",
			ZH: "分属多个分支的流水号过多:双方在规则字段上不一致,全部行在此仅按流水号比对",
		}
	}
	root.Why, root.WhyZH = why.EN, why.ZH
	parent := r.plan.add(root)
	for i := range leaves {
		l := &leaves[i]
		l.node = r.plan.add(planNode{
			Parent: parent, Rule: hashRule(l.prefix, l.depth), Expected: root.Observed >> residualBits, Observed: l.rows(),
			Outcome: outcomeEmpty, Why: noLine().EN, WhyZH: noLine().ZH,
		})
	}
	return leaves
}
