package reconcile

import (
	"context"

	"dcpos/central/reconcile/statement"
)

// layOut cuts the inputs into portions.
func (p *parts) layOut(ctx context.Context, tmp string) error {
	secret, err := p.depot.secret(ctx)
	if err != nil {
		return err
	}
	p.secret = secretOf(secret)
	if p.key, err = printKey(secret); err != nil {
		return err
	}
	p.spec = spec{Version: partsVersion, Secret: secret, Day: p.job.SettlementDate, Body: briefBody - p.depot.blind}
	if p.job.Rules != nil {
		p.spec.Tolerance = p.job.Rules.AmountToleranceFen
	}
	l := layout{
		Depot: &p.depot, portion: p.portion, secret: secret, key: p.key, tmp: tmp, workers: p.tuning.workers,
		opts: statement.Options{Block: p.tuning.block, Memory: p.tuning.windowSize},
	}
	local, _ := p.crew.(Local)
	l.look = local.Worker != nil && p.depot.InPlace
	var expected int64
	for side, sources := range [][]Source{p.job.Ours, p.job.Theirs} {
		for i, src := range sources {
			size, err := p.layOutText(ctx, &l, side, i, src)
			if err != nil {
				return err
			}
			if side == ours {
				expected += 2 * size / bytesPerLine
			}
		}
	}
	if err := p.dated(); err != nil {
		return err
	}
	// Ours alone decides, so that what was prepared still fits when theirs comes.
	if p.spec.Depth, p.spec.Shards, p.pinned = plannedShards(expected, p.job.Rules); p.depot.depth > 0 {
		p.spec.Depth, p.spec.Shards = p.depot.depth, p.depot.shards
	}
	if err := givePlacesTo(p.spec.Portions, p.spec.Texts, p.portion); err != nil || len(l.fresh) == 0 {
		return err
	}
	return p.look(ctx, local, &l)
}

// layOutText lays one input out and gives its size as text.
func (p *parts) layOutText(ctx context.Context, l *layout, side, index int, src Source) (int64, error) {
	t, list, in, err := l.text(ctx, side, index, src)
	if in != nil {
		p.inputs, p.sides[side] = append(p.inputs, in), append(p.sides[side], in)
	}
	if err != nil {
		return 0, err
	}
	for k := range list {
		list[k].Text = len(p.spec.Texts)
	}
	if n := len(l.fresh); n > 0 && l.fresh[n-1].in == in {
		l.fresh[n-1].text = len(p.spec.Texts)
	}
	p.spec.Texts, p.spec.Portions = append(p.spec.Texts, t), append(p.spec.Portions, list...)
	in.expected = t.Size / bytesPerLine
	return t.Size, nil
}

// look partitions the portions of new texts, which gives their fingerprints as well: a text
// that nothing is known of is read once.
func (p *parts) look(ctx context.Context, crew Local, l *layout) error {
	name, err := p.spec.object(ctx, &p.depot)
	if err != nil {
		return err
	}
	s := &p.spec
	var due []int
	for i := range s.Portions {
		if s.Portions[i].Print == "" {
			due = append(due, i)
		}
	}
	p.looked = len(due)
	err = crew.each(ctx, len(due), func(ctx context.Context, i int) (err error) {
		s.Portions[due[i]].Print, err = crew.Worker.look(ctx, name, due[i])
		return err
	})
	if err != nil {
		return err
	}
	for _, f := range l.fresh {
		if err := f.in.Unchanged(); err != nil {
			return err
		}
		var of []portion
		for _, part := range s.Portions {
			if part.Text == f.text {
				of = append(of, portion{Begin: part.Begin, End: part.End, Print: part.Print})
			}
		}
		if err := l.keep(ctx, f.note, of); err != nil {
			return err
		}
	}
	return nil
}
