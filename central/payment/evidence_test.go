package payment_test

import (
	"testing"
	"time"

	"dcpos/central/payment"
	"dcpos/pos"
	"dcpos/pos/dcep"
)

// signatory is a wallet with the chain to its root.
type signatory struct {
	trust  dcep.Trust
	key    dcep.Signer
	der    []byte
	issuer dcep.Signer
}

// sibling is another wallet of the same institution, of a class, or of none that its certificate tells.
func (s signatory) sibling(tb testing.TB, now time.Time, class int) signatory {
	tb.Helper()
	var err error
	if s.key, err = s.issuer.Suite().Generate(); err != nil {
		tb.Fatal(err)
	}
	s.der, err = dcep.Certify(dcep.Template{
		Name: "w", Institution: "ICBC", Env: pos.Lab, Tier: class, From: now.AddDate(-3, 0, 0), Until: now.Add(time.Hour),
	}, s.key.Public(), s.issuer, s.trust.Institutions[0])
	if err != nil {
		tb.Fatal(err)
	}
	return s
}

func newSignatory(tb testing.TB, now time.Time) signatory {
	tb.Helper()
	suite, err := dcep.SuiteByName(dcep.SM2SM3)
	if err != nil {
		tb.Fatal(err)
	}
	var keys [3]dcep.Signer
	var der [3][]byte
	for i, c := range []dcep.Template{
		{Name: "root", Authority: true}, {Name: "ICBC", Institution: "ICBC", Authority: true}, {Name: "w", Institution: "ICBC"},
	} {
		c.Env, c.From, c.Until = pos.Lab, now.AddDate(-3, 0, 0), now.Add(time.Hour)
		if keys[i], err = suite.Generate(); err != nil {
			tb.Fatal(err)
		}
		if der[i], err = dcep.Certify(c, keys[i].Public(), keys[max(0, i-1)], der[max(0, i-1)]); err != nil {
			tb.Fatal(err)
		}
	}
	return signatory{dcep.Trust{Env: pos.Lab, Roots: der[:1], Institutions: der[1:2], IssuedMS: now.UnixMilli()}, keys[2], der[2], keys[1]}
}

// The centre looks at a wallet's statement itself: a till that journals another one than was
// signed gets a conflict, and no institution is asked for the money.
func TestTheCentreVerifiesEvidenceAgain(t *testing.T) {
	for name, c := range map[string]struct {
		lie  func(ch *dcep.Challenge, e *dcep.Evidence, m *pos.PaymentMoved) // before and, with e set, after the signature
		want pos.Code
	}{
		"what was signed": {func(*dcep.Challenge, *dcep.Evidence, *pos.PaymentMoved) {}, ""},
		"another amount": {func(ch *dcep.Challenge, _ *dcep.Evidence, _ *pos.PaymentMoved) {
			if ch != nil {
				ch.Amount = 1
			}
		}, pos.ErrEvidenceAmount},
		"another terminal": {func(ch *dcep.Challenge, _ *dcep.Evidence, _ *pos.PaymentMoved) {
			if ch != nil {
				ch.Terminal = "elsewhere"
			}
		}, pos.ErrEvidenceOther},
		"another payment": {func(ch *dcep.Challenge, _ *dcep.Evidence, _ *pos.PaymentMoved) {
			if ch != nil {
				ch.Payment[0] ^= 1
			}
		}, pos.ErrEvidenceReplay},
		"live": {func(ch *dcep.Challenge, _ *dcep.Evidence, _ *pos.PaymentMoved) {
			if ch != nil {
				ch.Env = pos.Live
			}
		}, pos.ErrEnvironment},
		"a changed signature": {func(_ *dcep.Challenge, e *dcep.Evidence, _ *pos.PaymentMoved) {
			if e != nil {
				e.Sig[10] ^= 1
			}
		}, pos.ErrEvidenceForged},
		"another counter": {func(_ *dcep.Challenge, e *dcep.Evidence, m *pos.PaymentMoved) {
			if e == nil && m != nil {
				m.Counter++
			}
		}, pos.ErrEvidenceForged},
		"no evidence": {func(_ *dcep.Challenge, e *dcep.Evidence, m *pos.PaymentMoved) {
			if e == nil && m != nil {
				m.Evidence = []byte("signed by nobody")
			}
		}, pos.ErrEvidence},
	} {
		t.Run(name, func(t *testing.T) {
			h := newHouse(t)
			s := newSignatory(t, time.UnixMilli(h.clock.Load()))
			h.change = func(c *payment.Config) { c.Trust = func() dcep.Trust { return s.trust } }
			h.desk = h.newDesk(h.store)
			id := h.id()
			ch := dcep.Challenge{
				Env: pos.Lab, Terminal: till, Merchant: shop, Payment: id, Amount: 5000, Nonce: make([]byte, dcep.NonceSize),
				AtMS: h.clock.Load(), ExpiresMS: h.clock.Load() + 60_000,
			}
			c.lie(&ch, nil, nil)
			e, err := dcep.SignEvidence(s.key, s.der, ch, 7, time.UnixMilli(h.clock.Load()))
			if err != nil {
				t.Fatal(err)
			}
			c.lie(nil, &e, nil)
			whole, err := dcep.Marshal(e)
			if err != nil {
				t.Fatal(err)
			}
			taken := pos.PaymentMoved{
				From: pos.Created, To: pos.AcceptedEvidence, Source: "wallet", Institution: "ICBC", Evidence: whole, Wallet: "w", Counter: 7,
			}
			c.lie(nil, nil, &taken)
			h.journal(id, created(5000, pos.Evidence), taken)
			h.later(time.Minute)
			to := pos.Conflict
			if c.want == "" {
				to = pos.Credited
			}
			v := h.verdicts()
			if len(v) != 1 || v[0].Moved == nil || v[0].Moved.To != to || v[0].Moved.Reason != c.want {
				t.Fatalf("verdicts are %+v, want %s %s", v, to, c.want)
			}
			h.apply(0)
			if c.want == "" {
				h.holds(5000, 5000, 0)
			} else {
				h.holds(0, 0, 5000) // a person decides
			}
			if got := h.balances(); got["in_transit:ICBC"] != 0 || got["pending:M1"] != 0 {
				t.Errorf("books are %v", got)
			}
		})
	}
}
