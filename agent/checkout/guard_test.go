package checkout_test

import (
	"strconv"
	"strings"
	"testing"
	"time"

	"dcpos/agent/checkout"
	"dcpos/agent/checkout/checkouttest"
	"dcpos/lab/wallet"
	"dcpos/pos"
	"dcpos/pos/dcep"
)

// plan is a book of policies that a test changes.
type plan struct{ pos.Schedule }

func (p *plan) put(version uint64, from time.Time, change func(*pos.Policy)) {
	v := pos.Policy{Env: pos.Lab, Version: version, FromMS: from.UnixMilli(), Limits: pos.DefaultLimits()}
	change(&v)
	p.Schedule = append(p.Schedule, v)
}

// payOf takes one offline payment of an order by this wallet.
func (b *bench) payOf(w *checkouttest.Wallet, order string, amount, whole pos.Money) (pos.Payment, error) {
	b.Helper()
	b.Host.Connect(false)
	r := b.request(pos.Evidence, order)
	r.Amount, r.OrderAmount = amount, whole
	p, err := b.till.Start(b.Context(), r)
	if err != nil {
		b.Fatal(err)
	}
	id := p.ID
	prompt, err := b.till.Challenge(b.Context(), p.ID)
	if err == nil {
		var answer string
		if answer, err = w.Sign(prompt.Text); err != nil {
			b.Fatal(err)
		}
		p, err = b.till.SubmitEvidence(b.Context(), p.ID, answer)
	}
	if err != nil {
		if _, err := b.till.Cancel(b.Context(), id); err != nil {
			b.Fatal(err)
		}
	}
	return p, err
}

func TestOneSaleIsNotSplit(t *testing.T) {
	run(t, "several payments below the limit", func(b *bench) {
		w := b.NewWallet(b)
		pay := func(order string, amount pos.Money, want pos.Code) {
			b.Helper()
			_, err := b.payOf(w, order, amount, amount)
			code(b.T, err, want)
		}
		pay("o1", 300_00, "")
		time.Sleep(5 * time.Minute)
		pay("o2", 200_01, pos.ErrLimitSplit)
		pay("o3", 200_00, "")
		if _, err := b.payOf(b.NewWallet(b), "o4", 500_00, 500_00); err != nil {
			b.Fatalf("another customer: %v", err)
		}
		b.Journal.Acknowledge() // what is receipted still counts as the same sale
		pay("o5", 1, pos.ErrLimitSplit)
		time.Sleep(5*time.Minute + 2*time.Second) // the first is out of the window
		pay("o6", 300_00, "")
		pay("o7", 1, pos.ErrLimitSplit)
	})
	run(t, "one order, however long it takes", func(b *bench) {
		w := b.NewWallet(b)
		if _, err := b.payOf(w, "o1", 300_00, 900_00); err != nil {
			b.Fatal(err)
		}
		time.Sleep(3 * time.Hour)
		_, err := b.payOf(w, "o1", 200_01, 900_00)
		code(b.T, err, pos.ErrLimitSplit)
		if _, err := b.payOf(w, "o1", 200_00, 900_00); err != nil {
			b.Fatal(err)
		}
		if _, err := b.payOf(b.NewWallet(b), "o1", 400_00, 900_00); err != nil {
			b.Fatalf("the rest by another wallet: %v", err)
		}
	})
}

func TestWalletClasses(t *testing.T) {
	l := pos.DefaultLimits()
	l.Tiers = []pos.Tier{{Class: 3, Single: 200, Day: 300}, {Class: 4, Single: 100, Day: 150}}
	run(t, "their caps", func(b *bench) {
		n := 0
		pay := func(w *checkouttest.Wallet, amount pos.Money, want pos.Code) {
			b.Helper()
			n++
			_, err := b.payOf(w, "o"+strconv.Itoa(n), amount, amount)
			code(b.T, err, want)
		}
		for class, most := range map[int]pos.Tier{3: l.Tiers[0], 4: l.Tiers[1], 0: l.Tiers[1]} {
			w := b.NewWalletOf(b, class)
			pay(w, most.Single+1, pos.ErrLimitTier)
			pay(w, most.Single, "")
			b.Journal.Acknowledge() // the day goes on
			pay(w, most.Day-most.Single+1, pos.ErrLimitTier)
			pay(w, most.Day-most.Single, "")
		}
		pay(b.NewWalletOf(b, 1), 400_00, "")
	}, func(c *checkout.Config) { c.Limits = func() pos.Limits { return l } })
}

func TestWalletClassOfAYear(t *testing.T) {
	l := pos.DefaultLimits()
	l.Tiers = []pos.Tier{{Class: 4, Single: 100, Day: 150, Year: 250}}
	run(t, "its cap lasts longer than a day", func(b *bench) {
		w, n := b.NewWalletOf(b, 4), 0
		pay := func(amount pos.Money, want pos.Code) {
			b.Helper()
			n++
			_, err := b.payOf(w, "o"+strconv.Itoa(n), amount, amount)
			code(b.T, err, want)
		}
		for range 2 {
			pay(100, "")
			b.Journal.Acknowledge()
			time.Sleep(25 * time.Hour)
		}
		pay(51, pos.ErrLimitTier)
		pay(50, "")
		pay(1, pos.ErrLimitTier)
	}, func(c *checkout.Config) { c.Limits = func() pos.Limits { return l } })
}

func TestPoliciesInForce(t *testing.T) {
	book := &plan{}
	with := func(c *checkout.Config) { c.Policies = book }
	run(t, "none", func(b *bench) {
		p := b.offline("o1")
		_, err := b.till.Challenge(b.Context(), p.ID)
		code(b.T, err, pos.ErrPolicyNone)
		s, err := b.till.Status(b.Context())
		if err != nil || !s.Room.Stop || len(s.Room.Edges) != 1 || s.Room.Edges[0].Code != pos.ErrPolicyNone {
			b.Fatalf("%+v %v", s.Room, err)
		}
	}, with)
	run(t, "the next one comes in force by itself, and expires", func(b *bench) {
		now := time.Now()
		book.put(1, now.Add(-time.Hour), func(p *pos.Policy) { p.Limits.PerPayment = 900 })
		book.put(2, now.Add(time.Hour), func(p *pos.Policy) { p.ExpiresMS = now.Add(26 * time.Hour).UnixMilli() })
		w := b.NewWallet(b)
		_, err := b.payOf(w, "o1", 901, 901)
		code(b.T, err, pos.ErrLimitPayment)
		s, err := b.till.Status(b.Context())
		if err != nil || s.Rules.Version != 1 || s.Rules.NextVersion != 2 || s.Rules.NextMS != now.Add(time.Hour).UnixMilli() || s.Room.PerPayment != 900 {
			b.Fatalf("%+v %v", s.Rules, err)
		}
		time.Sleep(time.Hour) // the clocks' drift leaves a while in which both must admit it
		_, err = b.payOf(w, "o2", 901, 901)
		code(b.T, err, pos.ErrLimitPayment)
		time.Sleep(10 * time.Second)
		p, err := b.payOf(w, "o3", 901, 901)
		if err != nil {
			b.Fatal(err)
		}
		moved := b.lastMoved(p.ID)
		if moved.Policy != 2 || moved.Time == nil || moved.Time.EarliestMS > time.Now().UnixMilli() || moved.Time.LatestMS < time.Now().UnixMilli() {
			b.Fatalf("the journal does not tell by what it was taken: %+v %+v", moved.Policy, moved.Time)
		}
		time.Sleep(2 * time.Hour)
		s, err = b.till.Status(b.Context())
		if err != nil || !s.Room.Near || s.Room.Stop || s.Room.Edges[0].Code != pos.ErrPolicyExpired {
			b.Fatalf("its end is not told before: %+v %v", s.Room.Edges, err)
		}
		time.Sleep(23 * time.Hour)
		b.Journal.Acknowledge()
		q := b.offline("o4")
		_, err = b.till.Challenge(b.Context(), q.ID)
		code(b.T, err, pos.ErrPolicyExpired)
	}, with)
}

// lastMoved is the body of the payment's last move.
func (b *bench) lastMoved(id pos.PaymentID) (m pos.PaymentMoved) {
	b.Helper()
	for _, e := range b.Journal.Entries() {
		if e.Kind != pos.KindPaymentMoved || e.Payment != id {
			continue
		}
		body, err := dcep.Body(e)
		if err != nil {
			b.Fatal(err)
		}
		if moved, ok := body.(*pos.PaymentMoved); ok {
			m = *moved
		}
	}
	return m
}

// books is a catalogue in which one campaign can be spent here on books.
func books(issued time.Time) pos.Catalogue {
	now := time.Now()
	return pos.Catalogue{Env: pos.Lab, Terminal: checkouttest.Terminal, IssuedMS: issued.UnixMilli(), Campaigns: []pos.CampaignScope{
		{
			Campaign: "wfj", Hash: []byte(strings.Repeat("h", 32)), Merchant: true, Store: true, Channels: []string{pos.ChannelInStore},
			Categories: []string{"books"}, FromMS: now.Add(-time.Hour).UnixMilli(), UntilMS: now.Add(100 * time.Hour).UnixMilli(),
		},
		{Campaign: "elsewhere", Hash: []byte(strings.Repeat("e", 32)), Channels: []string{pos.ChannelInStore}, Categories: []string{"*"}, UntilMS: now.Add(time.Hour).UnixMilli()},
	}}
}

func use(campaign string, amount pos.Money) pos.EnvelopeUse {
	return pos.EnvelopeUse{Envelope: "e-" + campaign, Campaign: campaign, Hash: []byte(strings.Repeat(campaign[:1], 32)), Amount: amount}
}

func TestEnvelopesOffline(t *testing.T) {
	var catalogue pos.Catalogue
	limits := pos.DefaultLimits()
	limits.CatalogueMax = 24 * time.Hour
	with := func(c *checkout.Config) {
		c.Category = "books"
		c.Catalogue = func() pos.Catalogue { return catalogue }
		c.Limits = func() pos.Limits { return limits }
	}
	here := use("wfj", 600)
	here.Hash = []byte(strings.Repeat("h", 32))
	run(t, "an envelope pays a part, and the evidence names it", func(b *bench) {
		catalogue = books(time.Now())
		w := b.NewWallet(b)
		w.Envelopes = []pos.EnvelopeUse{here}
		p, err := b.payOf(w, "o1", 1000, 1000)
		if err != nil || p.EnvelopePart != 600 {
			b.Fatalf("%+v %v", p, err)
		}
		e, err := dcep.ParseEvidence(b.lastMoved(p.ID).Evidence)
		if err != nil || len(e.Envelopes) != 1 || e.Envelopes[0].Campaign != "wfj" || e.Challenge.Category != "books" {
			b.Fatalf("%+v %v", e, err)
		}
		if _, err := dcep.VerifyEvidence(b.Trust, e, time.Now()); err != nil {
			b.Fatal(err)
		}
	}, with)
	for name, c := range map[string]struct {
		use  pos.EnvelopeUse
		wait time.Duration
		want pos.Code
	}{
		"of a campaign of other shops": {use("elsewhere", 100), 0, pos.ErrEnvelopeScope},
		"of an unknown campaign":       {use("unknown", 100), 0, pos.ErrEnvelopeUnknown},
		"by an old catalogue":          {here, 25 * time.Hour, pos.ErrCatalogueOld},
	} {
		run(t, name, func(b *bench) {
			catalogue = books(time.Now())
			time.Sleep(c.wait)
			w := b.NewWallet(b)
			w.Envelopes = []pos.EnvelopeUse{c.use}
			p := b.offline("o1")
			_, err := b.till.SubmitEvidence(b.Context(), p.ID, b.promise(w, p.ID))
			code(b.T, err, c.want)
			b.want(p.ID, pos.Created)
			// The next challenge of this payment offers none, so that the customer can pay.
			if q, err := b.till.SubmitEvidence(b.Context(), p.ID, b.promise(w, p.ID)); err != nil || q.EnvelopePart != 0 {
				b.Fatalf("%+v %v", q, err)
			}
		}, with)
	}
	run(t, "an old catalogue, where the policy takes it", func(b *bench) {
		catalogue = books(time.Now())
		limits.CatalogueStale = pos.StaleTake
		defer func() { limits.CatalogueStale = pos.StaleRefuse }()
		time.Sleep(25 * time.Hour)
		w := b.NewWallet(b)
		w.Envelopes = []pos.EnvelopeUse{here}
		if p, err := b.payOf(w, "o1", 1000, 1000); err != nil || p.EnvelopePart != 600 {
			b.Fatalf("%+v %v", p, err)
		}
	}, with)
	run(t, "none can be spent here: the challenge is as ever", func(b *bench) {
		catalogue = books(time.Now())
		catalogue.Campaigns = catalogue.Campaigns[1:]
		p := b.offline("o1")
		prompt, err := b.till.Challenge(b.Context(), p.ID)
		if err != nil || !strings.HasPrefix(prompt.Text, dcep.ChallengePrefix) {
			b.Fatal(prompt.Text, err)
		}
	}, with)
	atReader(t, "by radio, then without", func(c *counter) {
		catalogue = books(time.Now())
		who := c.person()
		who.wallet.Spend(use("elsewhere", 100))
		p := c.armed("o1")
		c.hold(who)
		if codes, _ := c.said(); len(codes) != 1 || codes[0] != pos.ErrEnvelopeScope {
			c.Errorf("told %v", codes)
		}
		c.want(p.ID, pos.Created)
		c.hold(who)
		if got := c.want(p.ID, pos.AcceptedEvidence); got.EnvelopePart != 0 || got.Counter != 2 {
			c.Errorf("%+v", got)
		}
		who.wallet.Spend(here)
		q := c.armed("o2")
		c.hold(who)
		if got := c.want(q.ID, pos.AcceptedEvidence); got.EnvelopePart != 600 {
			c.Errorf("%+v", got)
		}
	}, with)
	atReader(t, "smuggled where none were offered", func(c *counter) {
		catalogue = pos.Catalogue{}
		who := c.person()
		who.wallet.Spend(here)
		who.applet.Misbehave(wallet.Smuggles)
		p := c.armed("o1")
		c.hold(who)
		if codes, _ := c.said(); len(codes) != 1 || codes[0] != pos.ErrEvidence {
			c.Errorf("told %v", codes)
		}
		c.want(p.ID, pos.Created)
	}, with)
}

// A clock that is set back makes nothing younger: the age of the oldest record and the
// expiry of a challenge go on.
func TestAClockSetBackAcceptsNoMore(t *testing.T) {
	run(t, "within the limit", func(b *bench) {
		w := b.NewWallet(b)
		p := b.offline("o1")
		answer := b.promise(w, p.ID)
		time.Sleep(2*time.Minute + 5*time.Second)
		b.SetClock(-time.Minute)
		_, err := b.till.SubmitEvidence(b.Context(), p.ID, answer)
		code(b.T, err, pos.ErrEvidenceLate)
		if _, err := b.payOf(w, "o2", 1, 1); err != nil {
			b.Fatal(err)
		}
		time.Sleep(24*time.Hour - 30*time.Second)
		b.SetClock(-119 * time.Second)
		time.Sleep(40 * time.Second)
		q := b.offline("o3")
		_, err = b.till.Challenge(b.Context(), q.ID)
		code(b.T, err, pos.ErrLimitAge)
	})
}
