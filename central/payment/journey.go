package payment

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"dcpos/pos"
)

// Whoever relays a wallet's promise from afar (threat T11) cannot be told apart at a till from who holds the wallet
// to it. Only the centre sees that one wallet was at two stores between which nobody travels in the time. It is no proof
// of fraud: a customer may have signed a picture of a challenge that somebody sent. So the payments go on as they are, and
// what was found is for people.

// Sighting is a wallet's statement with the place of its store and the time that its till could prove.
type Sighting struct {
	Payment  pos.PaymentID
	Terminal string
	SignedMS int64 // the till's clock
	Time     pos.Interval
	Policy   uint64
	At       pos.Point
}

// before is the order in which a wallet was seen, by the clocks of the tills.
func (s Sighting) before(o Sighting) bool {
	return s.SignedMS < o.SignedMS || s.SignedMS == o.SignedMS && s.Payment.String() < o.Payment.String()
}

// Journey is the finding that a wallet was seen at two places between which it cannot have been carried.
type Journey struct {
	Institution   string
	Wallet        string
	Day           string // in Shanghai, of the second sighting by its till's clock
	First, Second Sighting
	Metres        int64         // between the two stores
	Most          time.Duration // the longest time that can lie between the two
	Travel        pos.Travel    // what was held possible
}

// journeyMS is how far apart in time sightings are compared: the slowest travel that a policy may name goes half
// around the earth in 201 hours; the rest is for clocks.
const journeyMS = 10 * dayMS

// lastMS bounds what is taken for a time (2100-01-01): a till could write anything.
const lastMS = 4_102_444_800_000

// proven is the interval that an entry tells; the zero value when it tells none that makes sense.
func proven(m *pos.PaymentMoved) pos.Interval {
	if iv := m.Time; iv != nil && 0 < iv.EarliestMS && iv.EarliestMS <= iv.LatestMS && iv.LatestMS < lastMS {
		return *iv
	}
	return pos.Interval{}
}

// track compares where and when a statement was signed with all others of its wallet. Where stores are not moved, the
// findings do not depend on the order in which statements arrive.
func (d *Desk) track(ctx context.Context, t *turn, s Signed) error {
	if s.Time == (pos.Interval{}) {
		return nil
	}
	at, told, err := t.Whereabouts(ctx, s.Terminal)
	if err != nil || !told {
		return err
	}
	own := Sighting{Payment: s.Payment, Terminal: s.Terminal, SignedMS: s.SignedMS, Time: s.Time, Policy: s.Policy, At: at}
	others, err := t.Elsewhere(ctx, s.Institution, s.Wallet, own, journeyMS, maxWeighed)
	if err != nil {
		return err
	}
	found := map[string]Journey{}
	for _, other := range others {
		j, impossible, err := t.journey(ctx, own, other)
		if err != nil {
			return err
		}
		if _, told := found[j.Day]; impossible && !told {
			j.Institution, j.Wallet = s.Institution, s.Wallet
			found[j.Day] = j
		}
	}
	for _, day := range slices.Sorted(maps.Keys(found)) {
		j := found[day]
		if err := d.reportJourney(ctx, t, j); err != nil {
			return err
		}
	}
	return nil
}

// journey holds two sightings against the policy by which the later one was taken.
func (t *turn) journey(ctx context.Context, a, b Sighting) (j Journey, impossible bool, err error) {
	if b.before(a) {
		a, b = b, a
	}
	limits, err := t.policy(ctx, b.Policy)
	if err != nil {
		return j, false, err
	}
	j = Journey{First: a, Second: b, Metres: a.At.Metres(b.At), Most: a.Time.Between(b.Time), Travel: limits.Travel}
	if !j.Travel.Impossible(j.Metres, j.Most) {
		return j, false, nil
	}
	j.Day = string(pos.DateOf(time.UnixMilli(b.SignedMS).In(pos.Shanghai()), 0))
	return j, true, nil
}

// reportJourney keeps a finding and tells of it once.
func (d *Desk) reportJourney(ctx context.Context, t *turn, j Journey) error {
	fresh, err := t.AppendJourney(ctx, j)
	if err != nil || !fresh {
		return err
	}
	d.cfg.Log.WarnContext(ctx, "wallet was at two places between which nobody travels", "institution", j.Institution, "wallet", j.Wallet,
		"first", j.First.Terminal, "second", j.Second.Terminal, "metres", j.Metres, "most", j.Most.String())
	return t.Audit(ctx, pos.OperatorSystem, "wallet_journey", "wallet:"+j.Wallet, fmt.Sprintf("%s: %s at %s and %s at %s, %d km in at most %s",
		j.Institution, j.First.Payment, j.First.Terminal, j.Second.Payment, j.Second.Terminal, j.Metres/1000, j.Most.Round(time.Second)))
}
