package pos

import (
	"fmt"
	"time"
)

// Room tells how near the guards are, for the banner of the cashier.
type Room struct {
	Stored     StoredMoney `json:"stored"`
	TotalLeft  Money       `json:"total_left"`
	CountLeft  int         `json:"count_left"`
	PerPayment Money       `json:"per_payment"`
	Near       bool        `json:"near"` // an edge is near or reached
	Stop       bool        `json:"stop"` // nothing more is accepted offline
	AgeMS      int64       `json:"age_ms"`
	// Forward is what is stored at the merchant's risk; it has totals and edges of its own, and
	// they stop nothing else.
	Forward          StoredMoney `json:"forward"`
	ForwardLeft      Money       `json:"forward_left"`
	ForwardCountLeft int         `json:"forward_count_left"`
	ForwardMost      Money       `json:"forward_most"` // per payment; 0: nothing is stored here
	ForwardStop      bool        `json:"forward_stop"` // nothing more is stored
	ForwardEdges     []Edge      `json:"forward_edges"`
	// Edges are what is near or reached, in the order of the guards.
	Edges []Edge `json:"edges"`
}

// Edge is a guard that is near or reached, and what then happens, told before it does.
type Edge struct {
	Code Code `json:"code"` // with which a payment is, or will be, refused
	Stop bool `json:"stop"`
	Text Text `json:"text"`
	Hint Text `json:"hint"`
}

// Holds is what a till holds, as the guards see it.
type Holds struct {
	Stored  StoredMoney // evidence that is not receipted
	Forward StoredMoney // stored at the merchant's risk and not decided
	TrustMS int64       // when the list of revoked wallets was issued; 0: there is none
	At      Interval
}

// Room computes the banner. What is near is told before a payment is refused for it.
func (l Limits) Room(h Holds) Room {
	r := Room{
		Stored: h.Stored, PerPayment: l.PerPayment, Forward: h.Forward, Edges: []Edge{},
		TotalLeft: max(0, l.StoredTotal-h.Stored.Total), CountLeft: max(0, l.StoredCount-h.Stored.Count),
		ForwardLeft: max(0, l.Forward.StoredTotal-h.Forward.Total), ForwardCountLeft: max(0, l.Forward.StoredCount-h.Forward.Count),
		ForwardMost: l.Forward.PerPayment, ForwardEdges: []Edge{},
	}
	l.forwardRoom(&r, h)
	if h.Stored.Count > 0 {
		r.AgeMS = h.At.Age(h.Stored.OldestMS).Milliseconds()
	}
	r.add(r.TotalLeft == 0, int64(h.Stored.Total)*100 >= int64(l.StoredTotal)*int64(l.NearPercent), ErrLimitTotal, Text{
		ZH: fmt.Sprintf("离线累计接近上限:还可收 ¥%s", r.TotalLeft), EN: fmt.Sprintf("near the offline total: ¥%s left", r.TotalLeft),
	})
	r.add(r.CountLeft == 0, h.Stored.Count*100 >= l.StoredCount*l.NearPercent, ErrLimitCount, Text{
		ZH: fmt.Sprintf("离线笔数接近上限:还可收 %d 笔", r.CountLeft), EN: fmt.Sprintf("near the offline count: %d left", r.CountLeft),
	})
	age := time.Duration(r.AgeMS) * time.Millisecond
	r.add(h.Stored.Count > 0 && age >= l.OldestStop, h.Stored.Count > 0 && age >= l.OldestWarn, ErrLimitAge, Text{
		ZH: "最早一笔离线记录 " + hours(l.OldestStop-age).ZH + "后超时,届时停止离线收款",
		EN: "the oldest offline record stops offline payments in " + hours(l.OldestStop-age).EN,
	})
	old := h.At.Age(h.TrustMS)
	r.add(old > l.RevocationMax, old > l.RevocationWarn, ErrRevocationOld, Text{
		ZH: "吊销名单 " + hours(l.RevocationMax-old).ZH + "后过旧,届时停止离线收款",
		EN: "the list of revoked wallets is too old in " + hours(l.RevocationMax-old).EN + "; then offline payments stop",
	})
	return r
}

// forwardRoom tells the edges of what is stored at the merchant's risk, where anything is.
func (l Limits) forwardRoom(r *Room, h Holds) {
	f := l.Forward
	if f.PerPayment == 0 {
		r.ForwardStop = true
		return
	}
	add := func(stop, near bool, code Code, at, soon Text) {
		if !stop && !near {
			return
		}
		e := Edge{Code: code, Stop: stop, Text: soon, Hint: Text{ZH: "请尽快恢复网络,以便扣款", EN: "reconnect soon so that they are charged"}}
		if stop {
			e.Text = at
			r.ForwardStop = true
		}
		r.ForwardEdges = append(r.ForwardEdges, e)
	}
	near := func(have, most int64) bool { return have*100 >= most*int64(l.NearPercent) }
	add(r.ForwardLeft == 0, near(int64(h.Forward.Total), int64(f.StoredTotal)), ErrLimitTotal,
		Text{ZH: "先记后扣累计已达上限", EN: "the total to be charged later is at its limit"},
		Text{ZH: fmt.Sprintf("先记后扣接近上限:还可记 ¥%s", r.ForwardLeft), EN: fmt.Sprintf("near the total to be charged later: ¥%s left", r.ForwardLeft)})
	add(r.ForwardCountLeft == 0, near(int64(h.Forward.Count), int64(f.StoredCount)), ErrLimitCount,
		Text{ZH: "先记后扣笔数已达上限", EN: "the count to be charged later is at its limit"},
		Text{ZH: fmt.Sprintf("先记后扣笔数接近上限:还可记 %d 笔", r.ForwardCountLeft), EN: fmt.Sprintf("near the count to be charged later: %d left", r.ForwardCountLeft)})
	if h.Forward.Count == 0 {
		return
	}
	age := h.At.Age(h.Forward.OldestMS)
	add(age >= f.OldestStop, age >= f.OldestStop/100*time.Duration(l.NearPercent), ErrLimitAge,
		Text{ZH: "最早一笔先记后扣已超时", EN: "the oldest payment to be charged later is too old"},
		Text{ZH: "最早一笔先记后扣 " + hours(f.OldestStop-age).ZH + "后超时,届时停止", EN: "the oldest payment to be charged later stops them in " + hours(f.OldestStop-age).EN})
}

func (r *Room) add(stop, near bool, code Code, soon Text) {
	switch {
	case stop:
		r.Tell(Edge{Code: code, Stop: true, Text: code.Text(), Hint: code.Hint()})
	case near:
		r.Tell(Edge{Code: code, Text: soon, Hint: Text{ZH: "请尽快恢复网络", EN: "reconnect soon"}})
	}
}

// Tell adds an edge.
func (r *Room) Tell(e Edge) {
	r.Edges = append(r.Edges, e)
	r.Near, r.Stop = true, r.Stop || e.Stop
}

// hours is a rest of time in words; less than a minute is a minute.
func hours(d time.Duration) Text {
	m := max(1, int64(d/time.Minute))
	if m < 60 {
		return Text{ZH: fmt.Sprintf("%d 分钟", m), EN: fmt.Sprintf("%d min", m)}
	}
	return Text{ZH: fmt.Sprintf("%d 小时 %d 分", m/60, m%60), EN: fmt.Sprintf("%d h %d min", m/60, m%60)}
}

// Soon tells that the policy in force ends without a next one, within the time that the
// oldest record may have.
func (p Policy) Soon(at Interval) (Edge, bool) {
	left := time.Duration(p.ExpiresMS-at.LatestMS) * time.Millisecond
	if p.ExpiresMS == 0 || left > max(p.Limits.OldestStop, 24*time.Hour) {
		return Edge{}, false
	}
	return Edge{
		Code: ErrPolicyExpired,
		Text: Text{ZH: "离线规则 " + hours(left).ZH + "后到期,届时停止离线收款", EN: "the offline policy expires in " + hours(left).EN + "; then offline payments stop"},
		Hint: Text{ZH: "请尽快恢复网络", EN: "reconnect soon"},
	}, true
}
