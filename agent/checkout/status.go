package checkout

import (
	"context"
	"errors"

	"dcpos/agent/health"
	"dcpos/agent/operator"
	"dcpos/pos"
)

// Status is how the till stands, for screens and for who asks.
type Status struct {
	Env       pos.Environment    `json:"env"`
	Notice    pos.Text           `json:"env_notice"` // 测试 TEST in the lab
	Terminal  string             `json:"terminal"`
	Merchant  string             `json:"merchant"`
	Store     string             `json:"store"`
	StoreName pos.Text           `json:"store_name"`
	Connected bool               `json:"connected"`
	SignIn    bool               `json:"sign_in"` // an operator is demanded
	Operator  *operator.Operator `json:"operator,omitempty"`
	Outbox    pos.Outbox         `json:"outbox"`
	Room      pos.Room           `json:"room"`
	Rules     Rules              `json:"rules"`          // the policy for offline payments
	Fare      *Gate              `json:"fare,omitempty"` // where the till is a gate
	Current   *pos.Payment       `json:"current,omitempty"`
	Findings  []health.Finding   `json:"findings"`
	Notices   []Notice           `json:"notices"`
	Prints    []Print            `json:"prints"`  // what is owed on paper, in the order of the queue
	TimeMS    int64              `json:"time_ms"` // the centre's time, by which a QR expires
}

// Status looks at everything once. It also brings the conditions that follow from
// the link, the limits and the clock up to date.
func (t *Till) Status(ctx context.Context) (Status, error) {
	out, err := t.c.Journal.Outbox(ctx)
	if err != nil {
		return Status{}, err
	}
	s := Status{
		Env: t.c.Env, Notice: t.c.Env.Notice(), Terminal: t.c.Terminal, Merchant: t.c.Merchant, Store: t.c.Store,
		StoreName: t.c.StoreName, Connected: t.c.Host.Connected(), SignIn: t.c.SignIn, Outbox: out,
		Notices: t.hub.latest(), TimeMS: t.clock.Centre().UnixMilli(),
	}
	s.Room, s.Rules = t.room(out)
	s.Fare = t.gate(ctx)
	if o, ok := t.Operator(); ok {
		s.Operator = &o
	}
	if p, ok := t.Current(ctx); ok {
		s.Current = &p
	}
	if s.Prints, err = t.PrintJobs(ctx, true, 0); err != nil {
		return Status{}, err
	}
	t.look(s)
	s.Findings = t.health.Findings()
	return s, nil
}

var errHolds = errors.New("")

func (t *Till) look(s Status) {
	when := func(c health.Condition, holds bool) {
		if holds {
			t.health.Put(c, errHolds)
			return
		}
		t.health.Clear(c)
	}
	when(health.OfflineCondition(), !s.Connected)
	when(health.NearLimitCondition(), s.Room.Near && !s.Room.Stop)
	when(health.LimitCondition(), s.Room.Stop)
	policy, err := t.c.Policies.In(t.clock.Interval())
	t.health.Put(health.PolicyNoneCondition(), err)
	if err == nil {
		t.health.Put(health.ClockCondition(), t.clock.Trusted(policy.Limits.ClockMax))
	}
}
