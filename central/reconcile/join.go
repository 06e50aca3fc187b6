package reconcile

import (
	"cmp"
	"context"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"

	"dcpos/central/reconcile/spill"
	"dcpos/central/reconcile/statement"
	"dcpos/pos"
)

// leaf is one shard: the lines of both sides whose id hashes begin with prefix.
type leaf struct {
	sides  [2]spill.List
	prefix uint64
	depth  int         // bits of the id's hash that the shard shares
	late   int         // bits of late splits
	node   int         // in the plan
	brief  bool        // of a run in parts: its records are in memory instead of in the store,
	briefs [2][]briefs // which are these
	branch bool        // of a pinned split by fields: wanderers have to be taken out
	moved  [2]int64    // lines taken out
}

func (l *leaf) rows() int64 { return l.sides[ours].Rows + l.sides[theirs].Rows }

// costPerRow is the memory that joining takes for a line, if every one is suspect: its
// record (when it comes from disk), the same as suspect, its slots and bits.
const costPerRow = 2*recordSize + 16

func (l *leaf) cost() int64 { return l.rows() * costPerRow }

// join joins every shard, and then the residual ones.
func (r *run) join(ctx context.Context) error {
	if err := r.joinAll(ctx, r.leaves); err != nil || r.branches == nil {
		return err
	}
	return r.joinAll(ctx, r.residue())
}

// joinAll joins shards, the largest first.
func (r *run) joinAll(ctx context.Context, leaves []leaf) error {
	order := make([]int, len(leaves))
	var rows int64
	for i := range order {
		order[i] = i
		rows += leaves[i].rows()
	}
	slices.SortFunc(order, func(a, b int) int { return cmp.Compare(leaves[b].rows(), leaves[a].rows()) })
	var next, joined atomic.Int64
	return r.workers(func(int) error {
		j := r.newShardJoin()
		for {
			i := int(next.Add(1) - 1)
			if i >= len(order) {
				break
			}
			l := leaves[order[i]]
			if err := j.leaf(ctx, l, 0); err != nil {
				return err
			}
			done := joined.Add(l.rows())
			r.progress.set(r.size + int64(float64(r.size)*float64(done)/float64(max(rows, 1))))
		}
		if err := j.settle(); err != nil {
			return err
		}
		r.addTally(&j.tally)
		if err := j.putAside(); err != nil {
			return err
		}
		return j.totals.flush()
	})
}

// shardJoin is one worker of the joining phase. Its memory is used again and again.
type shardJoin struct {
	*run
	*joinMemory
	tolerance pos.Money
	ranks     map[pos.BreakKind]byte
	indexes   map[pos.BreakKind]int
	totals    *ledgerTotals
	tally     tally
	pages     spill.Buffer
	pagesOf   [2][][]byte // the shard's records
	parsers   map[*input]statement.Parser
	view      *view
	lines     []line
	key       []byte
	value     []byte
	residual  *spill.Appender
	proof     *proof // of a run in parts
}

func (r *run) newShardJoin() *shardJoin {
	j := &shardJoin{
		run: r, joinMemory: new(joinMemory), tolerance: r.job.Rules.AmountToleranceFen,
		ranks: map[pos.BreakKind]byte{}, indexes: map[pos.BreakKind]int{},
		totals:  newLedgerTotals(r.tuning.totals, r.totals),
		parsers: map[*input]statement.Parser{}, view: newView(),
	}
	if r.branches != nil {
		j.residual = r.store.NewAppender(2 << residualBits)
	}
	for i, kind := range kindRanks() {
		j.ranks[kind] = byte(i)
	}
	for i, kind := range classes() {
		j.indexes[kind] = i
	}
	return j
}

// putAside hands over the lines for the residual shards.
func (j *shardJoin) putAside() error {
	if j.residual == nil {
		return nil
	}
	lists, err := j.residual.Finish()
	if err != nil {
		return err
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	j.residuals = append(j.residuals, lists)
	return nil
}

// leaf joins a shard, or splits it when it turned out larger than its budget.
func (j *shardJoin) leaf(ctx context.Context, l leaf, stuck int) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	switch {
	case l.rows() == 0:
		return nil
	case l.cost() <= j.tuning.leaf:
		j.plan.settle(l.node, outcomeJoined, fits())
		return j.hashJoin(l)
	case stuck >= maxStuck || l.late+j.tuning.splitBits > j.tuning.maxDepth:
		j.plan.settle(l.node, outcomeSorted, pos.Text{
			EN: "over budget, and its lines share ids that no hash can part", ZH: "超出预算,但各行流水号相同,无法再拆分",
		})
		if j.again() { // every line was read the first time
			j.release(l)
			return nil
		}
		return j.sortJoin(l)
	}
	return j.split(ctx, l, stuck)
}

// hashJoin finds out which lines of the shard are not ordinary pairs.
func (j *shardJoin) hashJoin(l leaf) error {
	if l.brief {
		j.weighBriefs(&l)
		j.suspects.clear()
		j.suspects.gatherBriefs(j, &l)
		return j.suspects.resolve(j)
	}
	j.pages.Keep = true
	j.pages.Reset()
	for side := range l.sides {
		j.pagesOf[side] = j.pagesOf[side][:0]
		err := j.each(&l, side, func(records []byte) error {
			j.pagesOf[side] = append(j.pagesOf[side], records)
			return nil
		})
		if err != nil {
			return err
		}
	}
	j.plan.observe(l.node, l.rows()-l.moved[ours]-l.moved[theirs])
	j.weigh(l.rows())
	j.suspects.clear()
	j.suspects.gather(j)
	if err := j.suspects.resolve(j); err != nil {
		return err
	}
	j.release(l)
	return nil
}

func (j *shardJoin) release(l leaf) {
	for side := range l.sides {
		j.store.Release(l.sides[side])
	}
}

// foremost keeps the first line of an id on a side, in the order of the files; any other one
// is a duplicate.
func (j *shardJoin) foremost(first **line, l *line, side int) error {
	if *first == nil {
		*first = l
		return nil
	}
	if l.place < (*first).place {
		*first, l = l, *first
	}
	return j.duplicate(side, l)
}

// reread parses a line again and compares it with what was kept of it. Its fields are good until
// the next one is read.
func (j *shardJoin) reread(side int, rec record, l *line) error {
	in, number, text, err := j.texts.lineAt(side, rec.place(), j.view)
	if err != nil {
		return err
	}
	parser := j.parsers[in]
	if parser == nil {
		parser = in.NewParser()
		j.parsers[in] = parser
	}
	var row statement.Row
	if parser.Parse(text, &row) != nil || !j.isOf(&row, side, rec) {
		return &InputError{File: in.Path, Line: number, Why: pos.Text{EN: "changed while it was read", ZH: "读取期间被改动"}}
	}
	*l = line{
		place: rec.place(), number: unnumbered, status: row.Status,
		txnID: row.TxnID, bank: row.Bank, merchant: row.Merchant, amount: row.Amount, fee: row.Fee,
	}
	bank, merchant, err := j.totals.of(row.Bank, row.Merchant)
	if err != nil {
		return err
	}
	bank.differ(side, l)
	merchant.differ(side, l)
	if number > 0 {
		l.number = lineNumber(in.index, number, len(j.sides[side]))
	}
	return nil
}

// isOf reports whether a line that was read again is the one that a record was made of.
func (j *shardJoin) isOf(row *statement.Row, side int, rec record) bool {
	id, body := j.secret.hashes(row)
	if j.proof == nil {
		return recordOf(id, body, rec.place()) == rec
	}
	if j.proof.kept(id, body, rec.place()) != rec {
		return false
	}
	j.proof.explain(side, id, j.secret.balance(id, body))
	return true
}

// unnumbered stands for a number that is not known before all parts are; no line holds it.
const unnumbered = "\x00"

// lineNumber is how a line is called: LINE, or FILEINDEX:LINE when its side has several files.
func lineNumber(index int, number int64, files int) string {
	if files > 1 {
		return strconv.Itoa(index+1) + ":" + strconv.FormatInt(number, 10)
	}
	return strconv.FormatInt(number, 10)
}

func (j *shardJoin) duplicate(side int, l *line) error {
	if side == ours {
		return j.found(&finding{kind: pos.DuplicateOurs, ours: l})
	}
	return j.found(&finding{kind: pos.DuplicateTheirs, theirs: l})
}

// pair gives the first lines of one id their class; nil is a line that is not there.
func (j *shardJoin) pair(a, b *line) error {
	f := finding{ours: a, theirs: b}
	switch {
	case b == nil:
		f.kind = pos.MissingTheirs
	case a == nil:
		f.kind = pos.MissingOurs
	case distance(a.amount, b.amount) > j.tolerance:
		f.kind = pos.AmountMismatch
	case a.status != b.status:
		f.kind = pos.StatusMismatch
	default:
		f.kind = pos.FieldMismatch
		if f.differ(); f.field == "" {
			j.tally.tolerated.add(effective(a.status, a.amount) - effective(b.status, b.amount))
			return nil
		}
	}
	return j.found(&f)
}

// distance is exact: amounts are never negative.
func distance(a, b pos.Money) pos.Money { return max(a, b) - min(a, b) }

// differ names every field that differs, in the order of the columns' precedence.
func (f *finding) differ() {
	var names, left, right []string
	note := func(name, a, b string) {
		if a != b {
			names, left, right = append(names, name), append(left, a), append(right, b)
		}
	}
	note("bank", string(f.ours.bank), string(f.theirs.bank))
	note("merchant_id", string(f.ours.merchant), string(f.theirs.merchant))
	note("fee_fen", strconv.FormatInt(int64(f.ours.fee), 10), strconv.FormatInt(int64(f.theirs.fee), 10))
	f.field = strings.Join(names, ";")
	f.values = [2]string{strings.Join(left, ";"), strings.Join(right, ";")}
}

// found counts a break and keeps it.
func (j *shardJoin) found(f *finding) error {
	t := &j.tally
	class := j.indexes[f.kind]
	t.class[class]++
	var shown *line
	if l := f.theirs; l != nil {
		t.amount[class][theirs].add(l.amount)
		t.broken[theirs].add(l.status, l.amount)
		shown = l
	}
	if l := f.ours; l != nil {
		t.amount[class][ours].add(l.amount)
		t.broken[ours].add(l.status, l.amount)
		shown = l
	}
	bank, merchant, err := j.totals.of(shown.bank, shown.merchant)
	if err != nil {
		return err
	}
	bank.breaks++
	merchant.breaks++
	j.key, j.value = f.key(j.ranks[f.kind], j.key), f.value(j.value[:0])
	return j.breaks.Add(j.key, j.value)
}
