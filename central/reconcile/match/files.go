package match

import (
	"bufio"
	"context"
	"encoding/csv"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"dcpos/central/reconcile"
	"dcpos/central/reconcile/carry"
	"dcpos/central/reconcile/statement"
	"dcpos/pos"
)

// ExplainedFile names every break's rule, beside breaks.csv and in its order.
const ExplainedFile = "explained.csv"

func explainedHeader() []string {
	return []string{"kind", "txn_id", "bank", "ours_line", "theirs_line", "rule", "outcome", "group"}
}

// Misses reads the lines that only one side has out of a run's breaks.csv, and looks up in
// the files what breaks.csv does not tell: originals, batches and times. today is the run's date.
func Misses(ctx context.Context, breaks string, ours, theirs []reconcile.Source, today string) ([]Line, error) {
	var lines []Line
	wanted := [2]map[string]int{{}, {}}
	for b, err := range reconcile.ReadBreaks(breaks) {
		if err != nil {
			return nil, err
		}
		line, ok := fromBreak(&b, today)
		if !ok {
			continue
		}
		if len(lines) == mostLines {
			return nil, carry.ErrTooMany
		}
		wanted[sideOf(line.Side)][line.TxnID] = len(lines)
		lines = append(lines, line)
	}
	for side, sources := range [][]reconcile.Source{ours, theirs} {
		if len(wanted[side]) == 0 {
			continue
		}
		for _, src := range sources {
			if err := statement.Each(ctx, src, func(row *statement.Row, _ int64) {
				if at, ok := wanted[side][string(row.TxnID)]; ok {
					lines[at].lookUp(row)
				}
			}); err != nil {
				return nil, fmt.Errorf("look up what is missing: %w", err)
			}
		}
	}
	return lines, nil
}

// lookUp takes what only the statement tells of the line.
func (l *Line) lookUp(row *statement.Row) {
	l.Orig, l.Batch = string(row.Orig), string(row.Batch)
	if seconds, known := row.Clock(); known {
		l.Clock = clock(seconds)
	}
}

// clock writes seconds of a day as HH:MM:SS.
func clock(seconds int) string {
	return fmt.Sprintf("%02d:%02d:%02d", seconds/3600, seconds/60%60, seconds%60)
}

func sideOf(name string) int {
	if name == carry.Ours {
		return 0
	}
	return 1
}

func fromBreak(b *reconcile.Break, today string) (Line, bool) {
	l := Line{Item: carry.Item{TxnID: b.TxnID, Bank: b.Bank, Merchant: b.MerchantID, Since: today}}
	var of *reconcile.BreakLine
	switch b.Kind {
	case pos.MissingTheirs:
		l.Side, of = carry.Ours, b.Ours
	case pos.MissingOurs:
		l.Side, of = carry.Theirs, b.Theirs
	case pos.AmountMismatch, pos.StatusMismatch, pos.FieldMismatch, pos.DuplicateOurs, pos.DuplicateTheirs, pos.Matched, pos.CreditMismatch:
	}
	if of == nil {
		return l, false
	}
	l.Amount, l.Status, l.Line = of.Amount, of.Status, of.Line
	return l, true
}

// Said is what the rules say of one break.
type Said struct {
	Rule    string
	Outcome Outcome
	Group   string // names what was put together; "" is nothing
}

// Says answers for every break of a run: a result of Apply, for the run's own date.
func (s *RuleSet) Says(r *Result, today string) func(b *reconcile.Break) Said {
	at := map[[2]string]Said{}
	put := func(list []Line, said Said) {
		for _, l := range list {
			if l.Since == today {
				at[[2]string{l.Side, l.TxnID}] = said
			}
		}
	}
	for i, g := range r.Groups {
		put(g.Lines, Said{g.Rule, g.Outcome, strconv.Itoa(i + 1)})
	}
	put(r.Carried, Said{Rule: r.carry, Outcome: Carried})
	return func(b *reconcile.Break) Said {
		if line, ok := fromBreak(b, today); ok {
			if said, found := at[[2]string{line.Side, line.TxnID}]; found {
				return said
			}
		}
		return Said{Rule: s.Made(b.Kind), Outcome: Broken}
	}
}

// WriteExplained writes explained.csv into dir, whole or not at all: every break of the run, in
// the order of breaks.csv, with what say says of it.
func WriteExplained(dir, breaks string, say func(b *reconcile.Break) Said) (err error) {
	f, err := os.CreateTemp(dir, ".explained-*")
	if err != nil {
		return fmt.Errorf("write %s: %w", ExplainedFile, err)
	}
	defer func() { _ = os.Remove(f.Name()) }() // gone after the rename
	b := bufio.NewWriter(f)
	w := csv.NewWriter(b)
	err = w.Write(explainedHeader())
	for br, bad := range reconcile.ReadBreaks(breaks) {
		if err = errors.Join(err, bad); err != nil {
			break
		}
		var lines [2]string
		for i, l := range []*reconcile.BreakLine{br.Ours, br.Theirs} {
			if l != nil {
				lines[i] = l.Line
			}
		}
		said := say(&br)
		err = w.Write([]string{string(br.Kind), br.TxnID, br.Bank, lines[0], lines[1], said.Rule, string(said.Outcome), said.Group})
	}
	w.Flush()
	err = errors.Join(err, w.Error(), b.Flush(), f.Chmod(0o644), f.Sync())
	if err = errors.Join(err, f.Close()); err != nil {
		return fmt.Errorf("write %s: %w", ExplainedFile, err)
	}
	if err := os.Rename(f.Name(), filepath.Join(dir, ExplainedFile)); err != nil {
		return fmt.Errorf("write %s: %w", ExplainedFile, err)
	}
	return nil
}

// String is the group in one line of both languages, for a case's history.
func (g *Group) String() string {
	ids := make([]string, len(g.Lines))
	for i := range g.Lines {
		whose := g.Lines[i].Whose()
		ids[i] = whose.ZH + " " + whose.EN + " " + g.Lines[i].TxnID
	}
	return fmt.Sprintf("%s: %s; 差额 difference ¥%s", g.Rule, strings.Join(ids, ", "), g.Difference)
}

// Text is the group in one line, with its outcome.
func (g *Group) Text() pos.Text {
	return pos.Text{
		ZH: fmt.Sprintf("%s:%s(%s),差额 ¥%s", g.Rule, g.Outcome.Text().ZH, g.ids("zh", ","), g.Difference),
		EN: fmt.Sprintf("%s: %s (%s), difference ¥%s", g.Rule, g.Outcome.Text().EN, g.ids("en", ", "), g.Difference),
	}
}

func (g *Group) ids(lang, comma string) string {
	ids := make([]string, len(g.Lines))
	for i := range g.Lines {
		ids[i] = g.Lines[i].Whose().In(lang) + " " + g.Lines[i].TxnID
	}
	return strings.Join(ids, comma)
}

// Whose names the line's side.
func (l *Line) Whose() pos.Text {
	if l.Side == carry.Ours {
		return pos.Text{ZH: "我方", EN: "ours"}
	}
	return pos.Text{ZH: "对方", EN: "theirs"}
}
