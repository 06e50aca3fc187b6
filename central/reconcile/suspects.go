package reconcile

import "math/bits"

// Most lines of a shard are ordinary pairs: each side has the id once and the lines are
// equal. They are told from the rest without joining them: lines fall into some thousand
// cells by their id's hash; a cell adds up a weight of our lines and takes away that of
// theirs, and comes to zero when both hold the same lines (anything else does so with a
// chance of 2⁻⁶⁴). Ids that both sides have twice would go unnoticed, so that our side's
// ids are also marked in a bitmap. Only lines of cells that do not come to zero, or in
// which a mark was met again, are suspects and go into a hash table.
const (
	linesPerCell = 16
	bitsPerLine  = 64
	mostCells    = 1 << 13 // 64 KiB
)

// weigh fills sums; a cell of suspects is not zero.
func (j *shardJoin) weigh(rows int64) {
	cells, marks := j.weighed(rows)
	for _, page := range j.pagesOf[ours] {
		for ; len(page) >= recordSize; page = page[recordSize:] {
			r := readRecord(page)
			id := r.id()
			j.sums[id&(cells-1)] += j.secret.balance(r.first, r.second>>placeBits)
			j.mark(id, cells, marks)
		}
	}
	for _, page := range j.pagesOf[theirs] {
		for ; len(page) >= recordSize; page = page[recordSize:] {
			r := readRecord(page)
			j.sums[r.id()&(cells-1)] -= j.secret.balance(r.first, r.second>>placeBits)
		}
	}
	j.doubt()
}

// weighed makes room for weighing so many lines: powers of two.
func (j *shardJoin) weighed(rows int64) (cells, marks uint64) {
	n := uint64(rows)
	cells = min(uint64(1)<<bits.Len64(n/linesPerCell), mostCells)
	marks = max(uint64(1)<<bits.Len64(n/2*bitsPerLine), 64)
	j.sums = sized(j.sums, cells)
	j.seen = sized(j.seen, marks/64)
	return cells, marks
}

// mark remembers an id of ours; one that was met before makes its cell suspect.
func (j *shardJoin) mark(id, cells, marks uint64) {
	at := id & (marks - 1)
	word := &j.seen[at/64]
	if *word>>(at%64)&1 != 0 {
		j.suspects.cells = append(j.suspects.cells, uint32(id&(cells-1)))
	}
	*word |= 1 << (at % 64)
}

// doubt makes sure that the cells of marks that were met again are not zero.
func (j *shardJoin) doubt() {
	for _, cell := range j.suspects.cells {
		j.sums[cell] |= 1
	}
	j.suspects.cells = j.suspects.cells[:0]
}

func sized(words []uint64, n uint64) []uint64 {
	if uint64(cap(words)) < n {
		return make([]uint64, n)
	}
	words = words[:n]
	clear(words)
	return words
}

// suspect is a record that may be no ordinary pair.
type suspect struct {
	record
	side int
}

// suspects joins them by the hash of their id. Lists of one slot hold few ids.
type suspects struct {
	cells []uint32
	all   []suspect
	next  []int32
	heads []int32
	group []suspect
}

func (s *suspects) clear() { s.all = s.all[:0] }

// gather finds the suspects of a shard.
func (s *suspects) gather(j *shardJoin) {
	mask, all := uint64(len(j.sums)-1), j.again()
	for side := range j.pagesOf {
		for _, page := range j.pagesOf[side] {
			for ; len(page) >= recordSize; page = page[recordSize:] {
				if r := readRecord(page); all || j.sums[r.id()&mask] != 0 {
					s.all = append(s.all, suspect{r, side})
				}
			}
		}
	}
}

// resolve joins the suspects and resolves every id that is not an ordinary pair after all.
func (s *suspects) resolve(j *shardJoin) error {
	s.link()
	for slot := range s.heads {
		for s.heads[slot] != 0 {
			if err := s.take(slot, j); err != nil {
				return err
			}
		}
	}
	return nil
}

func (s *suspects) link() {
	n := 1 << bits.Len(uint(len(s.all)))
	if cap(s.heads) < n {
		s.heads = make([]int32, n)
	}
	s.heads = s.heads[:n]
	clear(s.heads)
	if cap(s.next) < len(s.all) {
		s.next = make([]int32, cap(s.all))
	}
	s.next = s.next[:len(s.all)]
	for i := range s.all {
		slot := s.all[i].id() * 0x9E3779B97F4A7C15 >> (64 - bits.Len(uint(n)-1))
		if n == 1 {
			slot = 0
		}
		s.next[i] = s.heads[slot]
		s.heads[slot] = int32(i) + 1
	}
}

// take removes one id's lines from a slot and looks at them.
func (s *suspects) take(slot int, j *shardJoin) error {
	id := s.all[s.heads[slot]-1].id()
	s.group = s.group[:0]
	link := &s.heads[slot]
	for *link != 0 {
		at := *link - 1
		if s.all[at].id() != id {
			link = &s.next[at]
			continue
		}
		s.group = append(s.group, s.all[at])
		*link = s.next[at]
	}
	g := s.group
	pair := len(g) == 2 && g[0].side != g[1].side && g[0].same(g[1].record)
	done := pair   // an ordinary one
	if j.again() { // what was no pair, and not in a cell that came to zero, was read the first time
		done = !pair && j.sums[id&uint64(len(j.sums)-1)] != 0
	}
	if done {
		return nil
	}
	return j.resolve(g)
}
