package reconcile

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"slices"
	"strings"
	"sync"

	"dcpos/central/reconcile/spill"
	"dcpos/central/reconcile/statement"
)

// branches are the first shards when pinned splits name fields of a line (its bank,
// merchant or settlement date). The two sides of a pair may disagree on a field, and
// one id may be doubled under two of them, so that a field alone parts what belongs
// together. Therefore every line's (hash, branch) is kept in a directory; an id that is
// found under two branches is a wanderer, and all its lines, of all branches, are
// joined in the residual shards. A collision of hashes only moves lines there as well.
type branches struct {
	splits []Split
	most   int

	mu    sync.Mutex
	index map[string]int
	names []string

	directory *spill.Sorter
	wanderers []uint64 // sorted
	all       bool     // too many wanderers: every line goes to the residual shards
}

// elsewhere is the branch of what has no branch of its own.
const elsewhere = 0

func newBranches(splits []Split, most int, directory *spill.Sorter) *branches {
	return &branches{
		splits: splits, most: max(most, 2), directory: directory,
		index: map[string]int{}, names: []string{"everything else"},
	}
}

// fieldSplits are the pinned splits that look at a field.
func (r *Rules) fieldSplits() []Split {
	return slices.DeleteFunc(slices.Clone(r.Splits), func(s Split) bool { return s.By == SplitByIDHash })
}

// key appends the values that decide a row's branch; none is "".
func (b *branches) key(dst []byte, row *statement.Row) []byte {
	for _, s := range b.splits {
		at := len(dst)
		switch s.By {
		case SplitByBank:
			dst = append(dst, row.Bank...)
		case SplitByMerchant:
			dst = append(dst, row.Merchant...)
		case SplitByDate:
			dst = fmt.Appendf(dst, "%08d", row.Day)
		}
		if len(s.Values) > 0 && !slices.Contains(s.Values, string(dst[at:])) {
			dst = append(dst[:at], '*')
		}
		dst = append(dst, 0)
	}
	return dst
}

// of returns the branch of a key, a new one while there is room.
func (b *branches) of(key []byte) int {
	b.mu.Lock()
	defer b.mu.Unlock()
	if i, ok := b.index[string(key)]; ok {
		return i
	}
	i := elsewhere
	if len(b.names) < b.most {
		i = len(b.names)
		b.index[string(key)] = i
		b.names = append(b.names, b.name(key))
	}
	return i
}

func (b *branches) name(key []byte) string {
	parts := make([]string, 0, len(b.splits))
	for i, value := range bytes.Split(bytes.TrimSuffix(key, []byte{0}), []byte{0}) {
		text := string(value)
		if text == "*" && len(b.splits[i].Values) > 0 {
			text = "any other"
		}
		parts = append(parts, b.splits[i].By+" = "+text)
	}
	return strings.Join(parts, ", ")
}

// note enters a line into the directory.
func (b *branches) note(hash uint64, branch int) error {
	var key [12]byte
	binary.BigEndian.PutUint64(key[:], hash)
	binary.BigEndian.PutUint32(key[8:], uint32(branch))
	return b.directory.Add(key[:], nil)
}

// find walks through the directory and collects at most limit wanderers.
func (b *branches) find(limit int) error {
	var hash uint64
	branch := -1
	return b.directory.Sorted(func(key, _ []byte) error {
		h, at := binary.BigEndian.Uint64(key), int(binary.BigEndian.Uint32(key[8:]))
		if branch >= 0 && h == hash && at != branch && !b.all {
			if n := len(b.wanderers); n == 0 || b.wanderers[n-1] != h {
				b.wanderers = append(b.wanderers, h)
			}
			if len(b.wanderers) > limit {
				b.all, b.wanderers = true, nil
			}
		}
		hash, branch = h, at
		return nil
	})
}

func (b *branches) wanders(hash uint64) bool {
	if b.all {
		return true
	}
	_, found := slices.BinarySearch(b.wanderers, hash)
	return found
}

// each gives a shard's records of one side; those of wanderers go to the residual
// shards instead.
func (j *shardJoin) each(l *leaf, side int, each func(records []byte) error) error {
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
	root := planNode{Parent: 0, Rule: "residual: ids found under more than one branch", Outcome: outcomeSplit}
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
	root.Why = fmt.Sprintf("%d ids have lines under several branches; their lines are joined here, by id alone",
		len(r.branches.wanderers))
	if r.branches.all {
		root.Why = "too many ids have lines under several branches: the sides disagree on the rules' fields, " +
			"so that all lines are joined here, by id alone"
	}
	parent := r.plan.add(root)
	for i := range leaves {
		l := &leaves[i]
		l.node = r.plan.add(planNode{
			Parent: parent, Rule: hashRule(l.prefix, l.depth), Expected: root.Observed >> residualBits, Observed: l.rows(),
			Outcome: outcomeEmpty, Why: "no line has such an id",
		})
	}
	return leaves
}
