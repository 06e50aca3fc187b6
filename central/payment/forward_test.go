package payment_test

import (
	"testing"
	"time"

	"dcpos/lab/institution/api"
	"dcpos/pos"
	"dcpos/pos/dcep"
)

// stored is the journal of a till that stored a payment, valid until a moment.
func (s *street) stored(amount pos.Money, untilMS int64) (id pos.PaymentID, bodies []any) {
	return s.id(), []any{created(amount, pos.BScanC), pos.PaymentMoved{
		From: pos.Created, To: pos.Stored, Source: "till", Institution: "ICBC", Instrument: "lab-pass", ExpiresMS: untilMS, CodeHash: []byte("h"),
	}}
}

// forward is the till's question for it.
func (s *street) forward(id pos.PaymentID, amount pos.Money, text string, untilMS int64) pos.Answer {
	ask := s.pay(id, amount)
	ask.Code, ask.UntilMS, ask.ExpiresMS = text, untilMS, min(ask.ExpiresMS, untilMS)
	return s.desk.Pay(s.t.Context(), till, ask)
}

func (s *street) hour(n int) int64 {
	return s.clock.Load() + (time.Duration(n) * time.Hour).Milliseconds()
}

func (s *street) pass(balance pos.Money) string {
	s.t.Helper()
	text, err := s.wallet("ICBC", balance, 0).Pass(s.t.Context())
	if err != nil {
		s.t.Fatal(err)
	}
	return text
}

// verdict is the only one, or none.
func (s *street) verdict() (m pos.PaymentMoved) {
	s.t.Helper()
	list := s.verdicts()
	if len(list) > 1 {
		s.t.Errorf("%d verdicts", len(list))
	}
	if len(list) > 0 && list[0].Moved != nil {
		m = *list[0].Moved
	}
	return m
}

func TestForwardedIsChargedOnce(t *testing.T) {
	for name, journalFirst := range map[string]bool{"the journal comes first": true, "the question comes first": false} {
		t.Run(name, func(t *testing.T) {
			s := newStreet(t)
			until := s.hour(20)
			text := s.pass(500)
			id, bodies := s.stored(300, until)
			if journalFirst {
				s.journal(id, bodies...)
				s.later(2 * time.Second)
			}
			for range 3 {
				want(t, s.forward(id, 300, text, until), pos.OutcomePaid, "")
			}
			if !journalFirst {
				s.journal(id, bodies...)
			}
			s.later(2 * time.Second)
			if m := s.verdict(); !journalFirst && (m.From != pos.Stored || m.To != pos.Paid) {
				t.Errorf("verdict %+v", m)
			}
			s.holds(300, 300, 0)
			s.agrees()
		})
	}
}

// TestForwardSurvivesAnInstitutionThatIsAway: a question that took no money may be asked again
// while the code is valid; one whose answer got lost is queried and charged once.
func TestForwardSurvivesAnInstitutionThatIsAway(t *testing.T) {
	for name, f := range map[string]api.Fault{
		"not reachable": {Op: api.OpPayments, Kind: api.Unavailable, Count: 1},
		"lost answer":   {Op: api.OpPayments, Kind: api.LostAnswer, Count: 1},
	} {
		t.Run(name, func(t *testing.T) {
			s := newStreet(t)
			until := s.hour(20)
			text := s.pass(500)
			id, bodies := s.stored(300, until)
			s.journal(id, bodies...)
			s.fault("ICBC", f)
			if a := s.forward(id, 300, text, until); a.Outcome == pos.OutcomePaid || a.Outcome == pos.OutcomeDeclined {
				t.Errorf("%+v", a)
			}
			s.later(2 * time.Minute)
			if a := s.forward(id, 300, text, until); a.Outcome != pos.OutcomePaid {
				t.Errorf("%+v", a)
			}
			s.holds(300, 300, 0)
			s.agrees()
		})
	}
}

// TestStoredEndsWithItsValidity: nobody came to ask, or too late. The centre ends it by itself.
func TestStoredEndsWithItsValidity(t *testing.T) {
	s := newStreet(t)
	until := s.hour(1)
	text := s.pass(500)
	id, bodies := s.stored(300, until)
	s.journal(id, bodies...)
	s.later(5 * time.Second)
	if a := s.query(id); a.Outcome != pos.OutcomePending {
		t.Errorf("%+v", a)
	}
	s.clock.Store(until)
	want(t, s.forward(id, 300, text, until), pos.OutcomeRejected, pos.ErrExpired)
	s.later(time.Minute)
	if m := s.verdict(); m.From != pos.Stored || m.To != pos.Declined || m.Reason != pos.ErrExpired {
		t.Errorf("verdict %+v", m)
	}
	want(t, s.query(id), pos.OutcomeDeclined, pos.ErrExpired)
	s.holds(0, 0, 0)
	s.agrees()
}

func TestForwardIsDeclinedByItsInstitution(t *testing.T) {
	s := newStreet(t)
	until := s.hour(20)
	poor, used := s.pass(100), s.pass(500)
	id, bodies := s.stored(300, until)
	s.journal(id, bodies...)
	want(t, s.forward(id, 300, poor, until), pos.OutcomeDeclined, pos.ErrInsufficient)
	s.later(2 * time.Second)
	if m := s.verdict(); m.To != pos.Declined || m.Reason != pos.ErrInsufficient {
		t.Errorf("verdict %+v", m)
	}
	want(t, s.forward(s.id(), 300, used, until), pos.OutcomePaid, "")
	want(t, s.forward(s.id(), 100, used, until), pos.OutcomeDeclined, pos.ErrCodeUsed) // at another till
	s.agrees()
}

// TestForwardIsRefused: what no description allows is asked of nobody.
func TestForwardIsRefused(t *testing.T) {
	s := newStreet(t)
	text := s.pass(500)
	minute, err := s.wallet("ICBC", 500, 0).Code(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	abc := dcep.NewForward("ABC", "lab-pass").String()
	id, bodies := s.stored(300, s.hour(2))
	s.journal(id, bodies...)
	for name, c := range map[string]struct {
		id     pos.PaymentID
		amount pos.Money
		text   string
		until  int64
		want   pos.Code
	}{
		"a payment code of one minute":   {s.id(), 300, minute, s.hour(1), pos.ErrBadCode},
		"an institution that marks none": {s.id(), 300, abc, s.hour(1), pos.ErrForwardUnknown},
		"another instrument":             {s.id(), 300, dcep.NewForward("ICBC", "card").String(), s.hour(1), pos.ErrForwardUnknown},
		"an institution nobody knows":    {s.id(), 300, dcep.NewForward("XYZ", "lab-pass").String(), s.hour(1), pos.ErrBadCode},
		"a validity that is longer":      {s.id(), 300, text, s.hour(24) + 1, pos.ErrForwardUnknown},
		"a validity that is over":        {s.id(), 300, text, s.clock.Load(), pos.ErrExpired},
		"another validity than stored":   {id, 300, text, s.hour(3), pos.ErrExpired},
		"another amount than stored":     {id, 200, text, s.hour(2), pos.ErrKeyConflict},
		"stored, asked as if it waited":  {id, 300, text, 0, pos.ErrExpired},
	} {
		a := s.forward(c.id, c.amount, c.text, c.until)
		if c.until == 0 {
			ask := s.pay(c.id, c.amount)
			ask.Code = c.text
			a = s.desk.Pay(t.Context(), till, ask)
		}
		if a.Outcome != pos.OutcomeRejected || a.Reason != c.want {
			t.Errorf("%s: %s %s (%s), want %s", name, a.Outcome, a.Reason, a.Detail, c.want)
		}
	}
	s.holds(0, 0, 0)
	want(t, s.forward(id, 300, text, s.hour(2)), pos.OutcomePaid, "")
}
