// Package shoppers is the people of a campaign, and the truth about them: who claims, what
// they buy and bring back, and what by the published rules comes out of their envelopes.
//
// It is an oracle: it shares no code with the centre that it judges, and knows of a
// campaign only what the notice says. The same seed makes the same people.
package shoppers

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"dcpos/pos"
)

// Notice is what the public is told.
type Notice struct {
	From, Until time.Time         // the spend window, half-open
	Merchants   []string          // where envelopes are good
	Districts   map[string]string // by merchant, the part of town where its store is
	Others      []string          // shops next door, where they are not
	Channels    []string
	Categories  []string // some that exist; all are good
}

// Person is a winner.
type Person struct {
	Phone       string
	Institution string
	Face        pos.Money
	Claims      bool
	Buys        []Purchase

	left pos.Money
}

// Purchase is one of hers.
type Purchase struct {
	At       time.Time
	Merchant string
	Channel  string
	Category string
	Price    pos.Money
	Back     pos.Money // so much is brought back later; 0: nothing

	envelope pos.Money
}

// Town is all of them.
type Town struct {
	notice Notice
	rng    *rand.Rand
	truth  map[string]int64
}

// New makes a town from a seed.
func New(n Notice, seed uint64) *Town {
	return &Town{n, rand.New(rand.NewPCG(seed, 20210210)), map[string]int64{}} //nolint:gosec // a seeded town, no secret
}

// Win makes a winner with her habits: nineteen of twenty claim, each buys up to three times.
func (t *Town) Win(phone, institution string, face pos.Money) Person {
	p := Person{Phone: phone, Institution: institution, Face: face, Claims: t.rng.IntN(20) > 0}
	t.truth["winners"]++
	t.truth["winners_fen"] += int64(face)
	t.truth["offered"]++
	if !p.Claims {
		return p
	}
	t.truth["activated"]++
	t.truth["activated_fen"] += int64(face)
	p.left = face
	span := t.notice.Until.Sub(t.notice.From) - time.Minute
	for range t.rng.IntN(4) {
		b := Purchase{
			At:       t.notice.From.Add(time.Duration(t.rng.Int64N(int64(span)))),
			Merchant: pick(t.rng, t.notice.Merchants), Channel: pick(t.rng, t.notice.Channels), Category: pick(t.rng, t.notice.Categories),
			Price: pos.Money(1 + t.rng.Int64N(int64(face)*3/2)),
		}
		if len(t.notice.Others) > 0 && t.rng.IntN(10) == 0 {
			b.Merchant = pick(t.rng, t.notice.Others)
		}
		if t.rng.IntN(8) == 0 {
			b.Back = 1 + pos.Money(t.rng.Int64N(int64(b.Price)))
		}
		p.Buys = append(p.Buys, b)
	}
	slices.SortFunc(p.Buys, func(x, y Purchase) int { return x.At.Compare(y.At) })
	return p
}

func pick[T any](rng *rand.Rand, list []T) T { return list[rng.IntN(len(list))] }

// Pay is what the notice says of a purchase: envelope money first, where it is good, then
// her own. envelope is the part of the envelope.
func (t *Town) Pay(p *Person, b *Purchase) (envelope pos.Money) {
	if slices.Contains(t.notice.Merchants, b.Merchant) {
		envelope = b.Price
		if p.left < envelope {
			envelope = p.left
		}
	}
	p.left -= envelope
	b.envelope = envelope
	if envelope > 0 {
		day := b.At.In(pos.Shanghai()).Format(time.DateOnly)
		t.count("", b, envelope)
		t.count("day."+day+".", b, envelope)
		t.count("merchant."+b.Merchant+".", b, envelope)
		t.count("category."+b.Category+".", b, envelope)
		t.count("channel."+b.Channel+".", b, envelope)
		t.count("district."+t.district(b)+".", b, envelope)
	}
	return envelope
}

// district is the part of town of a purchase; what is bought on the net is in none.
func (t *Town) district(b *Purchase) string {
	if b.Channel == pos.ChannelOnline {
		return "online"
	}
	return t.notice.Districts[b.Merchant]
}

func (t *Town) count(prefix string, b *Purchase, envelope pos.Money) {
	t.truth[prefix+"payments"]++
	t.truth[prefix+"price_fen"] += int64(b.Price)
	t.truth[prefix+"envelope_fen"] += int64(envelope)
	t.truth[prefix+"returned_fen"] += 0
}

// Return is what the notice says of bringing goods back: her own money first, then the
// envelope's. It gives the envelope's part.
func (t *Town) Return(p *Person, b *Purchase) (envelope pos.Money) {
	own := b.Price - b.envelope
	if b.Back > own {
		envelope = b.Back - own
	}
	p.left += envelope
	if envelope > 0 {
		day := b.At.In(pos.Shanghai()).Format(time.DateOnly)
		for _, prefix := range []string{"", "day." + day + ".", "merchant." + b.Merchant + ".", "category." + b.Category + ".", "channel." + b.Channel + ".", "district." + t.district(b) + "."} {
			t.truth[prefix+"returned_fen"] += int64(envelope)
		}
	}
	return envelope
}

// Truth is what the statement must say when everything is back: registered entries and the
// budget are the caller's to know.
func (t *Town) Truth(registered int64, budget pos.Money) map[string]int64 {
	v := t.truth
	v["registered"] = registered
	v["own_fen"] = v["price_fen"] - v["envelope_fen"]
	v["spent_fen"] = v["envelope_fen"] - v["returned_fen"]
	v["recalled_fen"] = v["activated_fen"] - v["spent_fen"]
	v["unclaimed_fen"] = int64(budget) - v["activated_fen"]
	v["left_fen"], v["refused_shares"] = 0, 0
	v["basket_fen"], v["multiplier_percent"] = 0, 0
	if v["payments"] > 0 {
		v["basket_fen"] = v["price_fen"] / v["payments"]
	}
	if v["envelope_fen"] > 0 {
		v["multiplier_percent"] = v["price_fen"] * 100 / v["envelope_fen"]
	}
	return v
}

// Phone is the n-th person's, and Number her resident ID: of Dongcheng, with its check
// digit (GB 11643-1999).
func Phone(n int) string { return fmt.Sprintf("139%08d", n) }

// Number is described with Phone; it is unique for n below 365,000 × 36.
func Number(n int) string {
	day := time.Date(1960, 1, 1, 0, 0, 0, 0, time.UTC).AddDate(0, 0, n/1000%13000)
	s := fmt.Sprintf("%06d%s%03d", 110101+n/13_000_000, day.Format("20060102"), n%1000)
	sum := 0
	for i, weight := range []int{7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2} {
		sum += int(s[i]-'0') * weight
	}
	return s + string("10X98765432"[sum%11])
}
