package attacks_test

import (
	"context"
	"encoding/base64"
	"fmt"
	"strings"
	"testing"
	"time"

	"dcpos/lab/wallet"
	"dcpos/offline"
	"dcpos/pos"
	"dcpos/pos/dcep"
)

// promises are attacks with a genuine wallet's own signature, shown as a QR.
func promises() []attack {
	return []attack{
		till("T1", "the same counter for a second payment", pos.ErrEvidenceSeen, 1, func(c *counter) error {
			p := carry(c.bank.wallet())
			c.pay(p, 1000)
			id, text := c.challenge(500)
			return c.shown(id, must[string](c.t)(p.wallet.DoubleSpend(text, time.Now())))
		}),
		till("T1", "the same counter after the till was switched off and on", pos.ErrEvidenceSeen, 1, func(c *counter) error {
			p := carry(c.bank.wallet())
			c.pay(p, 1000)
			c.start()
			id, text := c.challenge(500)
			return c.shown(id, must[string](c.t)(p.wallet.DoubleSpend(text, time.Now())))
		}),
		till("T2", "the answer of an earlier payment for the next one", pos.ErrEvidenceReplay, 1, func(c *counter) error {
			answer := c.pay(carry(c.bank.wallet()), 1000)
			id, _ := c.challenge(1000)
			return c.shown(id, answer)
		}),
		till("T2", "a thousand replays of one answer", pos.ErrEvidenceReplay, 1, func(c *counter) error {
			answer := c.pay(carry(c.bank.wallet()), 1)
			id, _ := c.challenge(1)
			var err error
			for range 1000 {
				if err = c.shown(id, answer); err == nil {
					return nil
				}
			}
			return err
		}),
		till("T2", "an answer to a challenge of before the restart", pos.ErrEvidence, 0, func(c *counter) error {
			id, text := c.challenge(1000)
			answer := must[string](c.t)(c.bank.wallet().Answer(text, time.Now()))
			c.start()
			return c.shown(id, answer)
		}),
		till("T2", "an answer for another payment of the same amount", pos.ErrEvidenceReplay, 0, func(c *counter) error {
			_, one := c.challenge(1000)
			id, _ := c.challenge(1000)
			return c.shown(id, must[string](c.t)(c.bank.wallet().Answer(one, time.Now())))
		}),
		till("T2", "an answer that another terminal asked for", pos.ErrEvidenceOther, 0, func(c *counter) error {
			id, text := c.challenge(1000)
			return c.shown(id, c.signed(text, func(ch *dcep.Challenge) { ch.Terminal = "T2" }))
		}),
		till("T2", "one fen less than was asked for", pos.ErrEvidenceAmount, 0, func(c *counter) error {
			id, text := c.challenge(1000)
			return c.shown(id, c.signed(text, func(ch *dcep.Challenge) { ch.Amount-- }))
		}),
		till("T2", "an answer with the merchant changed", pos.ErrEvidenceOther, 0, func(c *counter) error {
			id, text := c.challenge(1000)
			return c.shown(id, c.signed(text, func(ch *dcep.Challenge) { ch.Merchant = "M2" }))
		}),
		till("T2", "any bit of an answer changed", pos.ErrEvidenceForged, 0, func(c *counter) error {
			id, text := c.challenge(1000)
			return c.anyBit(id, must[string](c.t)(c.bank.wallet().Answer(text, time.Now())))
		}),
		till("T2", "the till's own challenge shown back to it", pos.ErrEvidence, 0, func(c *counter) error {
			id, text := c.challenge(1000)
			return c.shown(id, text)
		}),
	}
}

// signed is a genuine wallet's signature under another statement than was asked for.
func (c *counter) signed(text string, change func(*dcep.Challenge)) string {
	c.t.Helper()
	ch := must[dcep.Challenge](c.t)(dcep.DecodeChallenge(text))
	change(&ch)
	changed := must[string](c.t)(dcep.EncodeChallenge(ch))
	return must[string](c.t)(c.bank.wallet().Answer(changed, time.Now()))
}

// anyBit shows the answer with each byte changed in turn; the finding about the last byte,
// which is the signature's, stands for all.
func (c *counter) anyBit(id pos.PaymentID, answer string) (last error) {
	e := must[dcep.Evidence](c.t)(dcep.DecodeEvidence(answer))
	raw := must[[]byte](c.t)(dcep.Marshal(e))
	for at := range raw {
		b := append([]byte(nil), raw...)
		b[at] ^= 1 << (at % 8)
		changed, err := dcep.ParseEvidence(b)
		if err != nil {
			continue // no evidence at all
		}
		text := must[string](c.t)(dcep.EncodeEvidence(changed))
		if last = c.shown(id, text); last == nil {
			c.t.Errorf("byte %d changed, and it is accepted", at)
			return nil
		}
	}
	e.Sig[len(e.Sig)-1] ^= 1
	return c.shown(id, must[string](c.t)(dcep.EncodeEvidence(e)))
}

// papers are attacks with certificates.
func papers() []attack {
	answer := func(c *counter, w *wallet.Wallet) error {
		id, text := c.challenge(1000)
		return c.shown(id, must[string](c.t)(w.Answer(text, time.Now())))
	}
	return []attack{
		till("T4", "a clone: the genuine certificate with a key of its own", pos.ErrEvidenceForged, 0, func(c *counter) error {
			return answer(c, wallet.Of(c.bank.key(), c.bank.wallet().Certificate()))
		}),
		till("T4", "a wallet of another root with the same names", pos.ErrWalletUnknown, 0, func(c *counter) error {
			return answer(c, newBank(c.t, dcep.SM2SM3, pos.Lab).wallet())
		}),
		till("T4", "a chain that a wallet issued", pos.ErrWalletUnknown, 0, func(c *counter) error {
			mule := c.bank.key()
			der := c.bank.issue(dcep.Template{Name: "wallet", Institution: "ICBC"}, mule, c.bank.house, c.bank.bankDER)
			key := c.bank.key()
			forged := c.bank.issue(dcep.Template{Name: "wallet", Institution: "ICBC"}, key, mule, der)
			c.believe(func(tr *dcep.Trust) { tr.Institutions = append(tr.Institutions, der) }) // even then
			return answer(c, wallet.Of(key, forged))
		}),
		till("T4", "a wallet that signed its own certificate", pos.ErrWalletUnknown, 0, func(c *counter) error {
			key := c.bank.key()
			return answer(c, wallet.Of(key, c.bank.issue(dcep.Template{Name: "wallet", Institution: "ICBC"}, key, key, nil)))
		}),
		till("T4", "one institution's wallet issued by another", pos.ErrWalletUnknown, 0, func(c *counter) error {
			return answer(c, c.bank.wallet(func(w *dcep.Template) { w.Institution = "BOC" }))
		}),
		till("T4", "an institution's own key used as a wallet", pos.ErrWalletUnknown, 0, func(c *counter) error {
			return answer(c, wallet.Of(c.bank.house, c.bank.bankDER))
		}),
		till("T4", "the other suite's name on the signature", pos.ErrEvidenceForged, 0, func(c *counter) error {
			id, text := c.challenge(1000)
			e := must[dcep.Evidence](c.t)(dcep.DecodeEvidence(must[string](c.t)(c.bank.wallet().Answer(text, time.Now()))))
			e.Suite = dcep.Ed25519SHA256
			return c.shown(id, must[string](c.t)(dcep.EncodeEvidence(e)))
		}),
		till("T5", "an expired wallet", pos.ErrWalletExpired, 0, func(c *counter) error {
			return answer(c, c.bank.wallet(func(w *dcep.Template) { w.From, w.Until = time.Now().Add(-2*time.Hour), time.Now().Add(-time.Hour) }))
		}),
		till("T5", "a wallet that is not valid yet", pos.ErrWalletExpired, 0, func(c *counter) error {
			return answer(c, c.bank.wallet(func(w *dcep.Template) { w.From, w.Until = time.Now().Add(time.Hour), time.Now().Add(2*time.Hour) }))
		}),
		till("T9", "a revoked wallet", pos.ErrWalletRevoked, 0, func(c *counter) error {
			w := c.bank.wallet()
			serial := must[dcep.WalletCertificate](c.t)(c.bank.trust().VerifyWallet(w.Certificate(), time.Now())).Serial
			c.believe(func(tr *dcep.Trust) { tr.Revoked = []string{serial} })
			return answer(c, w)
		}),
		till("T9", "a wallet that is revoked between challenge and answer", pos.ErrWalletRevoked, 0, func(c *counter) error {
			w := c.bank.wallet()
			serial := must[dcep.WalletCertificate](c.t)(c.bank.trust().VerifyWallet(w.Certificate(), time.Now())).Serial
			id, text := c.challenge(1000)
			c.believe(func(tr *dcep.Trust) { tr.Revoked = []string{serial} })
			return c.shown(id, must[string](c.t)(w.Answer(text, time.Now())))
		}),
		till("T9", "a till whose list of revoked wallets is kept from it", pos.ErrRevocationOld, 0, func(c *counter) error {
			c.believe(func(tr *dcep.Trust) { tr.IssuedMS -= (73 * time.Hour).Milliseconds() })
			_, _, err := c.asked(1000)
			return err
		}),
	}
}

// cards are attacks with a card at the reader.
func cards() (list []attack) {
	for _, a := range []struct {
		threat, name string
		fault        wallet.Fault
		want         pos.Code
	}{
		{"T2", "a card that answers with its first promise", wallet.Replays, pos.ErrEvidenceReplay},
		{"T2", "a card that signs one fen less", wallet.PaysLess, pos.ErrEvidenceAmount},
		{"T2", "a card that signs for another payment", wallet.PaysOther, pos.ErrEvidenceReplay},
		{"T2", "a card that signs for another terminal", wallet.ForOther, pos.ErrEvidenceOther},
		{"T2", "a card that signs a later expiry", wallet.Undated, pos.ErrEvidenceReplay},
		{"T1", "a card that uses its last counter again", wallet.Rewinds, pos.ErrEvidenceSeen},
		{"T4", "a cloned card with a key of its own", wallet.Clones, pos.ErrEvidenceForged},
		{"T4", "a card that changes a bit of its signature", wallet.Alters, pos.ErrEvidenceForged},
		{"T4", "a card that names the other suite", wallet.Suites, pos.ErrEvidenceForged},
		{"T4", "a card whose certificate is none", wallet.Unreadable, pos.ErrEvidence},
		{"T4", "a card that answers with noise", wallet.Garbles, pos.ErrEvidence},
		{"T4", "a card that answers with far too much", wallet.Swells, pos.ErrEvidence},
		{"T4", "a card that answers without a status", wallet.Silent, pos.ErrTapTorn},
	} {
		list = append(list, till(a.threat, a.name, a.want, 1, func(c *counter) error {
			p := carry(c.bank.wallet())
			ok(c.t, c.tap(p, 1000))
			p.applet.Misbehave(a.fault)
			return c.tap(p, 1000)
		}))
	}
	return append(list,
		till("T1", "two cards with one key and one counter", pos.ErrEvidenceSeen, 1, func(c *counter) error {
			key := c.bank.key()
			der := c.bank.issue(dcep.Template{Name: "wallet", Institution: "ICBC"}, key, c.bank.house, c.bank.bankDER)
			ok(c.t, c.tap(carry(wallet.Of(key, der)), 1000))
			return c.tap(carry(wallet.Of(key, der)), 1000)
		}),
		till("T9", "a revoked card, which is not even asked to sign", pos.ErrWalletRevoked, 0, func(c *counter) error {
			p := carry(c.bank.wallet())
			serial := must[dcep.WalletCertificate](c.t)(c.bank.trust().VerifyWallet(p.wallet.Certificate(), time.Now())).Serial
			c.believe(func(tr *dcep.Trust) { tr.Revoked = []string{serial} })
			err := c.tap(p, 1000)
			if p.wallet.Counter() != 0 {
				c.t.Error("it was asked to sign")
			}
			return err
		}),
		attack{"T11", "a card relayed from afar, slower than a tap may be", string(pos.ErrTapTorn), relayed},
	)
}

// torn are cards that are pulled out after each command, and held again: paid once.
func torn(t *testing.T) (list []attack) {
	t.Helper()
	c := openCounter(t, pos.Lab)
	p := carry(c.bank.wallet())
	ok(t, c.tap(p, 1000))
	for n := range p.card.APDUs() {
		list = append(list, till("T2", fmt.Sprintf("a card pulled out after command %d, to be charged twice or not at all", n+1), pos.ErrOrderPaid, 1,
			func(c *counter) error {
				p := carry(c.bank.wallet())
				id, _ := c.challenge(1000)
				p.card.TearAfterAPDUs(n + 1)
				if err := c.hold(id, p.card); pos.CodeOf(err) != pos.ErrTapTorn && err != nil {
					return err
				}
				p.card.TearAfterAPDUs(-1)
				if c.accepted() == 0 {
					if err := c.hold(id, p.card); err != nil {
						return err
					}
				}
				if p.wallet.Counter() != 1 {
					c.t.Errorf("the card has signed %d times", p.wallet.Counter())
				}
				// The order is paid: nothing is taken for it again.
				_, err := c.till.Challenge(c.t.Context(), id)
				return paidAlready(err)
			}))
	}
	return list
}

// paidAlready gives the refusal of a second payment of one order its name.
func paidAlready(err error) error {
	if pos.CodeOf(err) == pos.ErrIllegalMove {
		return pos.NewError(pos.ErrOrderPaid, err)
	}
	return err
}

// guards are attempts to go beyond a limit.
func guards() []attack {
	over := func(name string, want pos.Code, honest int, change func(*pos.Limits), pays ...pos.Money) attack {
		return till("T9", name, want, honest, func(c *counter) error {
			c.allow(change)
			p := carry(c.bank.wallet())
			for _, fen := range pays[:len(pays)-1] {
				c.pay(p, fen)
			}
			return c.tapped(p, pays[len(pays)-1])
		})
	}
	return []attack{
		over("one fen over the limit of a payment", pos.ErrLimitPayment, 0, func(*pos.Limits) {}, 500_01),
		over("one fen over the stored total", pos.ErrLimitTotal, 2, func(l *pos.Limits) { l.StoredTotal = 1000 }, 400, 600, 1),
		over("one payment over the stored count", pos.ErrLimitCount, 2, func(l *pos.Limits) { l.StoredCount = 2 }, 1, 1, 1),
		over("one fen over a wallet's total", pos.ErrLimitWallet, 2, func(l *pos.Limits) { l.WalletTotal = 1000 }, 400, 600, 1),
		over("one payment over a wallet's count, a sale split in small ones", pos.ErrLimitWallet, 3, func(l *pos.Limits) { l.WalletCount = 3 }, 1, 1, 1, 1),
		till("T9", "a till that has not sent for too long", pos.ErrLimitAge, 1, func(c *counter) error {
			p := carry(c.bank.wallet())
			c.pay(p, 1)
			c.allow(func(l *pos.Limits) { l.OldestStop = time.Nanosecond })
			_, _, err := c.asked(1)
			return err
		}),
		till("T9", "a payment code, of which nobody can be asked", pos.ErrOfflineCode, 0, func(c *counter) error {
			return c.code("0100100000000000001")
		}),
		till("T10", "guards that allow nothing because nobody signed any", pos.ErrLimitPayment, 0, func(c *counter) error {
			c.allow(func(l *pos.Limits) { *l = pos.Limits{ClockMax: l.ClockMax, RevocationMax: l.RevocationMax} })
			_, _, err := c.asked(1)
			return err
		}),
	}
}

// tapped pays by QR where the till lets it come so far.
func (c *counter) tapped(p plastic, fen pos.Money) error {
	sale, text, err := c.asked(fen)
	if err != nil {
		return err
	}
	answer, err := p.wallet.Answer(text, time.Now())
	if err != nil {
		return err
	}
	return c.shown(sale.ID, answer)
}

// clocks move the wall clock.
func clocks() (list []attack) {
	for name, by := range map[string]time.Duration{
		"set back a day": -24 * time.Hour, "set forward a day": 24 * time.Hour, "set back ten years": -10 * 365 * 24 * time.Hour,
		"set forward ten years": 10 * 365 * 24 * time.Hour, "set back three minutes": -3 * time.Minute,
	} {
		list = append(list, till("T5", "the clock "+name, pos.ErrClock, 0, func(c *counter) error {
			c.shift.Store(int64(by))
			_, _, err := c.asked(1)
			return err
		}))
	}
	sortByName(list)
	return append(list,
		till("T5", "the clock set back between challenge and a late answer", pos.ErrClock, 0, func(c *counter) error {
			id, text := c.challenge(1)
			answer := must[string](c.t)(c.bank.wallet().Answer(text, time.Now()))
			c.shift.Store(int64(-time.Hour))
			return c.shown(id, answer)
		}),
		till("T5", "an answer after its time", pos.ErrEvidenceLate, 0, func(c *counter) error {
			c.allow(func(l *pos.Limits) { l.ClockMax = time.Hour }) // the clock alone does not save it
			id, text := c.challenge(1)
			answer := must[string](c.t)(c.bank.wallet().Answer(text, time.Now()))
			c.shift.Store(int64(3 * time.Minute))
			return c.shown(id, answer)
		}))
}

// environments mix test and live.
func environments() []attack {
	return []attack{
		{"T4", "a wallet of the lab at a live till", string(pos.ErrEnvironment), func(t *testing.T) error {
			t.Helper()
			return fromTheLab(t, openCounter(t, pos.Live), newBank(t, dcep.SM2SM3, pos.Lab))
		}},
		{"T4", "a wallet of the lab at a live till that was made to hold the lab's root", string(pos.ErrEnvironment), func(t *testing.T) error {
			t.Helper()
			c, labs := openCounter(t, pos.Live), newBank(t, dcep.SM2SM3, pos.Lab)
			c.believe(func(tr *dcep.Trust) {
				tr.Roots, tr.Institutions = append(tr.Roots, labs.rootDER), append(tr.Institutions, labs.bankDER)
			})
			return fromTheLab(t, c, labs)
		}},
		{"T4", "the lab's root in a live till's trust", string(pos.ErrEnvironment), func(t *testing.T) error {
			t.Helper()
			c := openCounter(t, pos.Live)
			c.believe(func(tr *dcep.Trust) { *tr = newBank(t, dcep.SM2SM3, pos.Lab).trust() })
			_, _, err := c.asked(1)
			return err
		}},
		{"T4", "a live till without anchors, as it ships", string(pos.ErrEvidence), func(t *testing.T) error {
			t.Helper()
			c := openCounter(t, pos.Live)
			c.believe(func(tr *dcep.Trust) { *tr = dcep.Trust{Env: pos.Live, IssuedMS: time.Now().UnixMilli()} })
			_, _, err := c.asked(1)
			return err
		}},
		{"T4", "a journal of the lab in a live till", string(pos.ErrEnvironment), func(t *testing.T) error {
			t.Helper()
			c := openCounter(t, pos.Lab)
			c.stop()
			ok(t, c.store.Close())
			c.cfg.Env = pos.Live
			_, err := offline.Open(t.Context(), c.cfg)
			return err
		}},
	}
}

// fromTheLab has a reference wallet of the lab sign what a live till asks.
func fromTheLab(t *testing.T, c *counter, labs *bank) error {
	t.Helper()
	id, text := c.challenge(1)
	return c.shown(id, must[string](t)(labs.wallet().AnswerAs(wallet.Crosses, text, time.Now())))
}

func sortByName(list []attack) {
	for i := range list {
		for j := i; j > 0 && strings.Compare(list[j].name, list[j-1].name) < 0; j-- {
			list[j], list[j-1] = list[j-1], list[j]
		}
	}
}

// relayed is a card whose every answer takes longer than a command may.
func relayed(t *testing.T) error {
	t.Helper()
	c := openCounter(t, pos.Lab)
	p := carry(c.bank.wallet())
	id, _ := c.challenge(1000)
	return c.holdCard(id, p.card, &relay{held{card: p.card}})
}

// relay is a card that is far away.
type relay struct{ held }

func (r *relay) Transmit(ctx context.Context, _ []byte) ([]byte, error) {
	<-ctx.Done() // the answer is on its way
	return nil, ctx.Err()
}

// envelopes are attacks with what is not the customer's own money.
func envelopes() []attack {
	return []attack{
		till("T12", "an answer that names an envelope of which nothing was asked", pos.ErrEvidence, 0, func(c *counter) error {
			id, text := c.challenge(1000)
			e := must[dcep.Evidence](c.t)(dcep.DecodeEvidence(must[string](c.t)(c.bank.wallet().Answer(text, time.Now()))))
			raw := must[[]byte](c.t)(dcep.Marshal(e))
			var fields map[string]any
			ok(c.t, dcep.Unmarshal(raw, &fields))
			fields["envelope"] = "another shop's"
			more := must[[]byte](c.t)(dcep.Marshal(fields))
			return c.shown(id, dcep.EvidencePrefix+base64.RawURLEncoding.EncodeToString(more))
		}),
	}
}
