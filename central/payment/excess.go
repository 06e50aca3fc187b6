package payment

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"dcpos/pos"
)

// A till knows what a wallet has paid at it and nothing of other tills, so that the caps of the
// wallet's class (pos.Tier) can be passed by going from till to till without a network. Only
// the centre sees the sum. Each till has taken its payment honestly, and the institution, which
// opened the wallet and keeps its class, alone can refuse it: so the payments go on as they are, and
// what was found is a finding for people, who can have the wallet revoked.

// Cap is which of a class's caps was passed.
type Cap string

// The caps. Day and year are the 24 hours and the 365 days before a payment, as at tills.
const (
	CapSingle Cap = "single"
	CapDay    Cap = "day"
	CapYear   Cap = "year"
)

const dayMS, yearMS = int64(24 * time.Hour / time.Millisecond), 365 * int64(24*time.Hour/time.Millisecond)

// Text names the cap for a person.
func (c Cap) Text() pos.Text {
	switch c {
	case CapSingle:
		return pos.Text{ZH: "单笔", EN: "single payment"}
	case CapDay:
		return pos.Text{ZH: "24 小时累计", EN: "24 hours"}
	case CapYear:
		return pos.Text{ZH: "365 天累计", EN: "365 days"}
	}
	return pos.Text{ZH: string(c), EN: string(c)}
}

// Promise is what a statement says to who adds statements up.
type Promise struct {
	Payment  pos.PaymentID
	Terminal string
	Amount   pos.Money
	SignedMS int64 // the till's clock
	Class    int
	Policy   uint64
}

// Excess is the finding that a wallet has signed beyond a cap of its class, over all tills.
type Excess struct {
	Institution string
	Wallet      string
	Cap         Cap
	Period      string // the day (2026-11-26), of CapYear the year (2026) in Shanghai in which it was passed
	Class       int    // 0: the certificate tells none, and the last row of the policy holds
	Most        pos.Money
	Sum         pos.Money // with Payment
	Count       int
	Policy      uint64 // the version whose caps these are; 0: the till named none
	Payment     pos.PaymentID
	SignedMS    int64
}

// maxWeighed bounds how many of a wallet's statements are added up; of more the oldest are left out, and
// the sum is too small.
const maxWeighed = 4096

// weigh holds a statement, and those that it is a part of the sum of, against the caps of the
// policies by which their tills took them. Where these policies cap the same spans, the
// findings do not depend on the order in which statements arrive.
func (d *Desk) weigh(ctx context.Context, t *turn, s Signed) error {
	found := map[string]Excess{}
	for _, span := range spans() {
		beyond, err := t.beyond(ctx, s, span)
		if err != nil {
			return err
		}
		for _, x := range beyond {
			if _, told := found[string(x.Cap)+x.Period]; !told {
				found[string(x.Cap)+x.Period] = x
			}
		}
	}
	for _, x := range found {
		if err := d.report(ctx, t, x); err != nil {
			return err
		}
	}
	return nil
}

// span is how long a cap looks back; 0 at one payment alone.
type span struct {
	name  Cap
	width int64
	most  func(pos.Tier) pos.Money
}

func spans() []span {
	return []span{
		{CapSingle, 0, func(c pos.Tier) pos.Money { return c.Single }},
		{CapDay, dayMS, func(c pos.Tier) pos.Money { return c.Day }},
		{CapYear, yearMS, func(c pos.Tier) pos.Money { return c.Year }},
	}
}

// beyond lists the sums above a span's cap that a statement is a part of, in order of time.
func (t *turn) beyond(ctx context.Context, s Signed, span span) (all []Excess, err error) {
	own := s.promise()
	caps, err := t.caps(ctx, own)
	if err != nil || span.most(caps) == 0 {
		return nil, err
	}
	around := []Promise{own}
	if span.width > 0 {
		if around, err = t.Promises(ctx, s.Institution, s.Wallet, s.SignedMS-span.width, s.SignedMS+span.width, maxWeighed); err != nil {
			return nil, err
		}
	}
	for _, end := range sums(around, s.SignedMS, span.width) {
		if caps, err = t.caps(ctx, end.Promise); err != nil {
			return nil, err
		}
		if most := span.most(caps); most > 0 && end.sum > most {
			all = append(all, end.excess(s, span.name, most))
		}
	}
	return all, nil
}

// sum is what a wallet has signed until a promise, that included.
type sum struct {
	Promise
	sum   pos.Money
	count int
}

// sums adds up, for every promise signed at or after fromMS, what was signed within the width before
// it. All are in order of time.
func sums(all []Promise, fromMS, width int64) (ends []sum) {
	var s sum
	first := 0
	for _, p := range all {
		s.sum, s.count = s.sum+p.Amount, s.count+1 // bounded: maxWeighed times pos.MaxAmount
		for ; width > 0 && all[first].SignedMS <= p.SignedMS-width; first++ {
			s.sum, s.count = s.sum-all[first].Amount, s.count-1
		}
		if p.SignedMS >= fromMS {
			s.Promise = p
			ends = append(ends, s)
		}
	}
	return ends
}

func (e sum) excess(s Signed, name Cap, most pos.Money) Excess {
	x := Excess{
		Institution: s.Institution, Wallet: s.Wallet, Cap: name, Class: e.Class, Most: most, Sum: e.sum, Count: e.count,
		Policy: e.Policy, Payment: e.Payment, SignedMS: e.SignedMS,
	}
	at := time.UnixMilli(e.SignedMS).In(pos.Shanghai())
	x.Period = string(pos.DateOf(at, 0))
	if name == CapYear {
		x.Period = strconv.Itoa(at.Year())
	}
	return x
}

// caps are those of a promise's class in the policy by which its till took it.
func (t *turn) caps(ctx context.Context, p Promise) (pos.Tier, error) {
	limits, err := t.policy(ctx, p.Policy)
	caps, _ := limits.Caps(p.Class)
	return caps, err
}

// policy gives the limits of a version, read once in a turn.
func (t *turn) policy(ctx context.Context, version uint64) (pos.Limits, error) {
	limits, known := t.limits[version]
	if known {
		return limits, nil
	}
	limits, err := t.PolicyLimits(ctx, version)
	if err != nil {
		return pos.Limits{}, err
	}
	if t.limits == nil {
		t.limits = map[uint64]pos.Limits{}
	}
	t.limits[version] = limits
	return limits, nil
}

// report keeps a finding and tells of it once.
func (d *Desk) report(ctx context.Context, t *turn, x Excess) error {
	fresh, err := t.AppendExcess(ctx, x)
	if err != nil || !fresh {
		return err
	}
	d.cfg.Log.WarnContext(ctx, "wallet has signed beyond its class", "institution", x.Institution, "wallet", x.Wallet, "class", x.Class,
		"cap", string(x.Cap), "period", x.Period, "most", x.Most.String(), "sum", x.Sum.String(), "payments", x.Count)
	return t.Audit(ctx, pos.OperatorSystem, "wallet_excess", "wallet:"+x.Wallet, fmt.Sprintf("%s, class %d, %s of %s: %d payments of %s, at most %s",
		x.Institution, x.Class, x.Cap, x.Period, x.Count, x.Sum, x.Most))
}
