package kernel_test

import (
	"bytes"
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"dcpos/agent/kernel"
	"dcpos/drivers"
	"dcpos/lab/device"
	"dcpos/lab/wallet"
	"dcpos/pos"
	"dcpos/pos/dcep"
)

func suites() []string { return []string{dcep.SM2SM3, dcep.Ed25519SHA256} }

func want(tb testing.TB, err error, code pos.Code) {
	tb.Helper()
	if pos.CodeOf(err) != code {
		tb.Fatalf("got %v, want %q", err, code)
	}
	if e := pos.AsError(err); e != nil && (e.Text.IsZero() || e.Hint.IsZero()) {
		tb.Fatalf("%v does not tell a person what to do", err)
	}
}

func TestTapPaysInBothSuitesShortAndExtended(t *testing.T) {
	for _, name := range suites() {
		b := newBank(t, name, pos.Lab)
		for _, extended := range []bool{false, true} {
			c, k := newCustomer(t, b), b.kernel()
			p := ask(t, k, 1, 1000)
			h := hold(c.card)
			h.extended = extended
			admitted := ""
			taken, err := k.Tap(t.Context(), kernel.Tap{Card: h, Prompt: p, Now: time.Now, Admit: func(_ context.Context, w kernel.Wallet) error {
				admitted = w.Serial
				return nil
			}})
			want(t, err, "")
			e, err := dcep.ParseEvidence(taken.Evidence)
			if err != nil || e.Challenge.Amount != 1000 || e.Suite != name || taken.Counter != 1 || taken.Institution != "ICBC" || admitted != taken.Wallet {
				t.Fatalf("%+v %v", taken, err)
			}
			// What the journal keeps verifies by itself, as the answer of a QR does.
			if w, err := dcep.VerifyEvidence(b.trust(), e, time.Now()); err != nil || w.Serial != taken.Wallet {
				t.Fatalf("%+v %v", w, err)
			}
			if n := c.card.APDUs(); n > 12 {
				t.Errorf("%d APDUs", n)
			}
		}
	}
}

// A long terminal name makes the challenge longer than one short APDU.
func TestTapOfALongChallengeGoesAsAChain(t *testing.T) {
	b := newBank(t, dcep.Ed25519SHA256, pos.Lab)
	for _, extended := range []bool{false, true} {
		c, k := newCustomer(t, b), b.kernel()
		now := time.Now()
		p, err := k.Begin(t.Context(), kernel.Request{
			Env: pos.Lab, Terminal: string(bytes.Repeat([]byte{'T'}, 120)), Merchant: string(bytes.Repeat([]byte{'M'}, 120)),
			Payment: pos.NewPaymentID(now, [10]byte{1}), Amount: 1, At: now, Expires: now.Add(time.Minute),
		})
		must(t, p, err)
		h := hold(c.card)
		h.extended = extended
		_, err = k.Tap(t.Context(), kernel.Tap{Card: h, Prompt: p, Now: time.Now})
		want(t, err, "")
	}
}

// Each attack is refused with its own reason, and gives no evidence.
func TestTapAttacks(t *testing.T) {
	for _, name := range suites() {
		b := newBank(t, name, pos.Lab)
		for attack, code := range map[wallet.Fault]pos.Code{
			wallet.PaysLess:    pos.ErrEvidenceAmount,
			wallet.PaysOther:   pos.ErrEvidenceReplay,
			wallet.ForOther:    pos.ErrEvidenceOther,
			wallet.Replays:     pos.ErrEvidenceReplay,
			wallet.Clones:      pos.ErrEvidenceForged,
			wallet.Alters:      pos.ErrEvidenceForged,
			wallet.Suites:      pos.ErrEvidenceForged,
			wallet.Refuses:     pos.ErrTapRefused,
			wallet.Garbles:     pos.ErrEvidence,
			wallet.Swells:      pos.ErrEvidence,
			wallet.OwnPapers:   pos.ErrEvidence,
			wallet.Unversioned: pos.ErrEvidence,
			wallet.Silent:      pos.ErrTapTorn,
			wallet.Postpones:   pos.ErrEvidence,
			wallet.Unreadable:  pos.ErrEvidence,
			wallet.Undated:     pos.ErrEvidenceReplay,
		} {
			t.Run(name+" "+string(attack), func(t *testing.T) {
				c, k := newCustomer(t, b), b.kernel()
				_, err := c.tap(t, k, ask(t, k, 1, 1000))
				want(t, err, "")
				c.applet.Misbehave(attack)
				taken, err := c.tap(t, k, ask(t, k, 2, 1000))
				want(t, err, code)
				if taken.Evidence != nil {
					t.Fatalf("%+v", taken)
				}
			})
		}
	}
}

// What a wallet is, not what it says.
func TestTapWalletsThatAreNotAccepted(t *testing.T) {
	for _, name := range suites() {
		ours, theirs := newBank(t, name, pos.Lab), newBank(t, name, pos.Lab)
		live := newBank(t, name, pos.Live)
		for what, c := range map[string]struct {
			wallet func(t *testing.T) *wallet.Wallet
			trust  func(*dcep.Trust, *wallet.Wallet)
			at     time.Duration
			want   pos.Code
		}{
			"expired":         {func(t *testing.T) *wallet.Wallet { t.Helper(); return ours.wallet(t, -time.Minute) }, nil, 0, pos.ErrWalletExpired},
			"not valid yet":   {func(t *testing.T) *wallet.Wallet { t.Helper(); return ours.wallet(t, time.Hour) }, nil, -2 * time.Hour, pos.ErrWalletExpired},
			"of another root": {func(t *testing.T) *wallet.Wallet { t.Helper(); return theirs.wallet(t, time.Hour) }, nil, 0, pos.ErrWalletUnknown},
			"revoked": {func(t *testing.T) *wallet.Wallet { t.Helper(); return ours.wallet(t, time.Hour) }, func(tr *dcep.Trust, w *wallet.Wallet) {
				c, err := tr.VerifyWallet(w.Certificate(), time.Now())
				tr.Revoked = []string{must(t, c, err).Serial}
			}, 0, pos.ErrWalletRevoked},
			"of the lab in a live till":  {func(t *testing.T) *wallet.Wallet { t.Helper(); return ours.wallet(t, time.Hour) }, func(tr *dcep.Trust, _ *wallet.Wallet) { *tr = live.trust() }, 0, pos.ErrEnvironment},
			"live in a till of the lab":  {func(t *testing.T) *wallet.Wallet { t.Helper(); return live.wallet(t, time.Hour) }, nil, 0, pos.ErrEnvironment},
			"the institution's own key":  {func(*testing.T) *wallet.Wallet { return wallet.Of(ours.house, ours.bankDER) }, nil, 0, pos.ErrWalletUnknown},
			"a till whose list is old":   {func(t *testing.T) *wallet.Wallet { t.Helper(); return ours.wallet(t, time.Hour) }, func(tr *dcep.Trust, _ *wallet.Wallet) { tr.IssuedMS -= 73 * 3_600_000 }, 0, pos.ErrRevocationOld},
			"a till without any anchors": {func(t *testing.T) *wallet.Wallet { t.Helper(); return ours.wallet(t, time.Hour) }, func(tr *dcep.Trust, _ *wallet.Wallet) { *tr = dcep.Trust{Env: pos.Live} }, 0, pos.ErrEvidence},
		} {
			t.Run(name+" "+what, func(t *testing.T) {
				w := c.wallet(t)
				tr := ours.trust()
				if c.trust != nil {
					c.trust(&tr, w)
				}
				k := &kernel.NFC{QR: kernel.QR{Trust: func() dcep.Trust { return tr }}}
				_, err := k.Tap(t.Context(), kernel.Tap{
					Card: hold(holder(w).card), Prompt: ask(t, k, 1, 5), Now: func() time.Time { return time.Now().Add(c.at) },
				})
				want(t, err, c.want)
				if w.Counter() != 0 {
					t.Error("it was asked to sign all the same")
				}
			})
		}
	}
}

// The till's own reasons come before the wallet signs: nothing has to be undone.
func TestTapPolicyRefusesBeforeTheWalletSigns(t *testing.T) {
	b := newBank(t, dcep.Ed25519SHA256, pos.Lab)
	c, k := newCustomer(t, b), b.kernel()
	_, err := k.Tap(t.Context(), kernel.Tap{
		Card: hold(c.card), Prompt: ask(t, k, 1, 5), Now: time.Now,
		Admit: func(context.Context, kernel.Wallet) error { return pos.NewError(pos.ErrLimitWallet, nil) },
	})
	want(t, err, pos.ErrLimitWallet)
	if c.wallet.Counter() != 0 {
		t.Error("it was asked to sign all the same")
	}
}

func TestTapCardsWithoutAWallet(t *testing.T) {
	b := newBank(t, dcep.Ed25519SHA256, pos.Lab)
	k := b.kernel()
	for name, card := range map[string]*device.Card{
		"another application": device.NewEchoCard([]byte("\xA0\x00\x00\x03\x33\x01\x01"), device.CardOptions{}),
		"no application":      device.NewCard(device.CardOptions{}),
		"a next version":      device.NewEchoCard([]byte("\xF0dcpos\x02"), device.CardOptions{}),
	} {
		t.Run(name, func(t *testing.T) {
			_, err := k.Tap(t.Context(), kernel.Tap{Card: hold(card), Prompt: ask(t, k, 1, 5), Now: time.Now})
			want(t, err, pos.ErrTapNoWallet)
		})
	}
	t.Run("no directory", func(t *testing.T) {
		w := b.wallet(t, time.Hour)
		_, err := k.Tap(t.Context(), kernel.Tap{
			Card: hold(plastic(w.Card(time.Now), device.CardOptions{NoPPSE: true})), Prompt: ask(t, k, 1, 5), Now: time.Now,
		})
		want(t, err, "")
	})
}

func TestTapWithoutOrAfterItsPrompt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBank(t, dcep.Ed25519SHA256, pos.Lab)
		c, k := newCustomer(t, b), b.kernel()
		_, err := c.tap(t, k, kernel.Prompt{})
		want(t, err, pos.ErrEvidence)
		p := ask(t, k, 1, 5)
		time.Sleep(61 * time.Second)
		_, err = c.tap(t, k, p)
		want(t, err, pos.ErrEvidenceLate)
		if c.card.APDUs() != 0 || c.wallet.Counter() != 0 {
			t.Error("the card was asked all the same")
		}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if _, err := k.Tap(ctx, kernel.Tap{Card: hold(c.card), Prompt: ask(t, k, 2, 5), Now: time.Now}); !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
	})
}

// A promise that was torn is fetched after the challenge's expiry, from the card that gave
// it alone, and for RecoverTime only.
func TestTapFetchesATornPromiseAfterExpiry(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBank(t, dcep.Ed25519SHA256, pos.Lab)
		c, other, k := newCustomer(t, b), newCustomer(t, b), b.kernel()
		p := ask(t, k, 1, 5)
		c.card.TearAfterAPDUs(walletAPDUs(t, b)) // it signs, and its answer is not heard
		_, err := c.tap(t, k, p)
		want(t, err, pos.ErrTapTorn)
		if c.wallet.Counter() != 1 {
			t.Fatal("it has not signed")
		}
		c.card.TearAfterAPDUs(-1)
		time.Sleep(kernel.RecoverTime)
		_, err = other.tap(t, k, p)
		want(t, err, pos.ErrEvidenceLate)
		if other.wallet.Counter() != 0 {
			t.Error("another card signed after the expiry")
		}
		taken, err := c.tap(t, k, p)
		want(t, err, "")
		if taken.Counter != 1 || c.wallet.Counter() != 1 {
			t.Errorf("counter %d", c.wallet.Counter())
		}
		time.Sleep(61 * time.Second)
		_, err = c.tap(t, k, p)
		want(t, err, pos.ErrEvidenceLate)
	})
}

// walletAPDUs is how many APDUs a whole tap takes.
func walletAPDUs(t *testing.T, b *bank) int {
	t.Helper()
	c, k := newCustomer(t, b), b.kernel()
	_, err := c.tap(t, k, ask(t, k, 9, 5))
	want(t, err, "")
	return c.card.APDUs()
}

// A wallet that answers a torn challenge twice gives two promises: both fit, the till
// keeps one for the payment, and the second counter is the wallet's own loss.
func TestTapDoubleAnswerIsOnePayment(t *testing.T) {
	b := newBank(t, dcep.Ed25519SHA256, pos.Lab)
	c, k := newCustomer(t, b), b.kernel()
	c.applet.Misbehave(wallet.Repeats)
	p := ask(t, k, 1, 5)
	one, err := c.tap(t, k, p)
	want(t, err, "")
	two, err := c.tap(t, k, p)
	want(t, err, "")
	a, err := dcep.ParseEvidence(one.Evidence)
	must(t, a, err)
	z, err := dcep.ParseEvidence(two.Evidence)
	must(t, z, err)
	if one.Counter == two.Counter || a.Challenge.Payment != z.Challenge.Payment {
		t.Fatalf("%d and %d", one.Counter, two.Counter)
	}
}

func TestTapAfterAPromiseWasDenied(t *testing.T) {
	b := newBank(t, dcep.Ed25519SHA256, pos.Lab)
	c, k := newCustomer(t, b), b.kernel()
	p := ask(t, k, 1, 5)
	c.applet.Misbehave(wallet.Postpones)
	_, err := c.tap(t, k, p)
	want(t, err, pos.ErrEvidence)
	c.applet.Misbehave(wallet.Hides)
	taken, err := c.tap(t, k, p)
	want(t, err, "")
	if taken.Counter != 1 || c.wallet.Counter() != 1 {
		t.Errorf("counter %d", c.wallet.Counter())
	}
}

// The card leaves at every APDU and before every byte over the air. Whatever was heard,
// the next tap with the same challenge completes and the wallet's counter advances once.
func TestTapTornEverywhere(t *testing.T) {
	for _, name := range suites() {
		b := newBank(t, name, pos.Lab)
		for what, tear := range map[string]func(*device.Card, int){
			"apdu": (*device.Card).TearAfterAPDUs, "byte": (*device.Card).TearAfterBytes,
		} {
			t.Run(name+" "+what, func(t *testing.T) {
				k := b.kernel()
				w := b.wallet(t, time.Hour)
				torn := 0
				for n := 0; ; n++ {
					c := holder(w)
					before := w.Counter()
					p := ask(t, k, byte(n), 1000)
					tear(c.card, n)
					first, err := c.tap(t, k, p)
					if err != nil {
						want(t, err, pos.ErrTapTorn)
						torn++
					}
					tear(c.card, -1)
					second, again := c.tap(t, k, p)
					want(t, again, "")
					if got := w.Counter() - before; got != 1 || second.Counter != w.Counter() {
						t.Fatalf("torn at %d: the counter advanced by %d", n, got)
					}
					if err == nil {
						if !bytes.Equal(first.Evidence, second.Evidence) {
							t.Fatal("the second tap gave other evidence")
						}
						break
					}
				}
				t.Logf("torn at each of %d places", torn)
			})
		}
	}
}

// Any sequence of tears and taps, of any cards, ends in one promise per card and challenge.
func TestTapProperty(t *testing.T) {
	b := newBank(t, dcep.Ed25519SHA256, pos.Lab)
	wallets := []*wallet.Wallet{b.wallet(t, time.Hour), b.wallet(t, time.Hour)}
	seed := byte(0)
	rapid.Check(t, func(r *rapid.T) {
		k := b.kernel()
		seed++
		p := ask(t, k, seed, pos.Money(rapid.Int64Range(1, 50_000).Draw(r, "amount")))
		before := []uint64{wallets[0].Counter(), wallets[1].Counter()}
		answers := map[int][]byte{}
		for range rapid.IntRange(1, 12).Draw(r, "taps") {
			i := rapid.IntRange(0, 1).Draw(r, "card")
			c := holder(wallets[i])
			if rapid.Bool().Draw(r, "torn") {
				c.card.TearAfterBytes(rapid.IntRange(0, 1400).Draw(r, "bytes"))
			}
			taken, err := c.tap(t, k, p)
			switch {
			case err != nil && pos.CodeOf(err) != pos.ErrTapTorn:
				r.Fatalf("%v", err)
			case err == nil && answers[i] != nil && !bytes.Equal(answers[i], taken.Evidence):
				r.Fatalf("two promises for one challenge")
			case err == nil:
				answers[i] = taken.Evidence
			}
		}
		for i, w := range wallets {
			if advanced := w.Counter() - before[i]; advanced > 1 || answers[i] != nil && advanced != 1 {
				r.Fatalf("wallet %d advanced by %d", i, advanced)
			}
		}
	})
}

// A slow card is told to be held again, within the limit of a tap.
func TestTapSlowCard(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBank(t, dcep.Ed25519SHA256, pos.Lab)
		w := b.wallet(t, time.Hour)
		k := b.kernel()
		began := time.Now()
		_, err := k.Tap(t.Context(), kernel.Tap{
			Card: hold(plastic(w.Card(time.Now), device.CardOptions{Slow: 1200 * time.Millisecond})), Prompt: ask(t, k, 1, 5), Now: time.Now,
		})
		want(t, err, pos.ErrTapTorn)
		if d := time.Since(began); d > kernel.TapTime+2*time.Second {
			t.Errorf("%v", d)
		}
	})
}

// scripted answers as a fuzzer wants, and lets a genuine card answer the rest.
type scripted struct {
	*held
	at     int
	answer []byte
	n      int
}

func (s *scripted) Transmit(ctx context.Context, command []byte) ([]byte, error) {
	s.n++
	if s.n-1 == s.at {
		return bytes.Clone(s.answer), nil
	}
	return s.held.Transmit(ctx, command)
}

var _ drivers.Card = (*scripted)(nil)

// FuzzTap puts any answer in the place of one of the card's: never a panic, and never
// evidence that the wallet did not sign for this challenge.
func FuzzTap(f *testing.F) {
	b := newBank(f, dcep.Ed25519SHA256, pos.Lab)
	k := b.kernel()
	w := b.wallet(f, time.Hour)
	e := must2(f, w, ask(f, k, 1, 1000))
	bare, err := e.Bare()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(byte(3), append(bare, 0x90, 0x00))
	f.Add(byte(2), append(bytes.Clone(w.Certificate()), 0x90, 0x00))
	f.Add(byte(0), []byte{0x6F, 0x00, 0x90, 0x00})
	f.Add(byte(1), []byte{0x90, 0x00})
	f.Add(byte(3), []byte{0x6A, 0x88})
	f.Add(byte(3), []byte{0x90})
	f.Fuzz(func(t *testing.T, at byte, answer []byte) {
		p := ask(t, k, 2, 1000)
		taken, err := k.Tap(t.Context(), kernel.Tap{
			Card: &scripted{held: hold(holder(w).card), at: int(at % 5), answer: answer}, Prompt: p, Now: time.Now,
		})
		if err != nil {
			if _, ok := errors.AsType[*pos.Error](err); !ok {
				t.Fatalf("no reason: %v", err)
			}
			return
		}
		e, err := dcep.ParseEvidence(taken.Evidence)
		if err != nil {
			t.Fatal(err)
		}
		c, err := dcep.DecodeChallenge(p.Text)
		if err != nil {
			t.Fatal(err)
		}
		if err := e.Answers(c, time.Now()); err != nil {
			t.Fatal(err)
		}
		if _, err := dcep.VerifyEvidence(b.trust(), e, time.Now()); err != nil {
			t.Fatal(err)
		}
	})
}

// must2 is the evidence of a wallet for a prompt.
func must2(tb testing.TB, w *wallet.Wallet, p kernel.Prompt) dcep.Evidence {
	tb.Helper()
	text, err := w.Answer(p.Text, time.Now())
	if err != nil {
		tb.Fatal(err)
	}
	e, err := dcep.DecodeEvidence(text)
	return must(tb, e, err)
}

func BenchmarkTap(b *testing.B) {
	for _, name := range suites() {
		bk := newBank(b, name, pos.Lab)
		k, w := bk.kernel(), bk.wallet(b, time.Hour)
		p := ask(b, k, 1, 1000)
		b.Run(name+"/till", func(b *testing.B) { // the promise is kept: what is left is the till's work
			for b.Loop() {
				if _, err := holder(w).tap(b, k, p); err != nil {
					b.Fatal(err)
				}
			}
		})
		b.Run(name+"/till and card", func(b *testing.B) {
			for b.Loop() {
				if _, err := holder(w).tap(b, k, ask(b, k, 1, 1000)); err != nil {
					b.Fatal(err)
				}
			}
		})
		e := must2(b, w, p)
		b.Run(name+"/floor: one verification of chain and signature", func(b *testing.B) {
			for b.Loop() {
				if _, err := dcep.VerifyEvidence(bk.trust(), e, time.Now()); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
