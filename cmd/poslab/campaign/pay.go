package campaign

import (
	"context"
	"crypto/rand"
	"fmt"
	"strings"
	"time"

	"dcpos/internal/cli"
	"dcpos/lab/shoppers"
	"dcpos/pos"
)

func (r *run) id() pos.PaymentID {
	var random [10]byte
	_, _ = rand.Read(random[:]) // never returns an error (crypto/rand)
	return pos.NewPaymentID(r.now(), random)
}

// buy pays one purchase, brings back what she does not want, and holds each answer against
// what the notice says.
func (r *run) buy(ctx context.Context, p *customer, b *shoppers.Purchase) error {
	id, a, err := r.insist(ctx, func(id pos.PaymentID) (pos.Answer, error) { return r.ask(ctx, id, p, b) })
	if err != nil {
		return err
	}
	r.truth.Lock()
	want := r.town.Pay(&p.Person, b)
	r.truth.Unlock()
	if a.Outcome != pos.OutcomePaid || a.Envelope != want {
		return cli.Exit(cli.Negative, fmt.Errorf("payment of %s at %s: %s %s, %s from the envelope, want %s", b.Price, b.Merchant, a.Outcome, a.Detail, a.Envelope, want))
	}
	if b.Back == 0 {
		return nil
	}
	_, back, err := r.insist(ctx, func(refund pos.PaymentID) (pos.Answer, error) {
		return r.pay.Refund(ctx, till(b.Merchant), pos.AskRefund{
			Env: pos.Lab, Refund: refund, Payment: id, Amount: b.Back, Operator: "07", ExpiresMS: r.now().Add(time.Minute).UnixMilli(),
		}), nil
	})
	if err != nil {
		return err
	}
	r.truth.Lock()
	want = r.town.Return(&p.Person, b)
	r.truth.Unlock()
	if back.Outcome != pos.OutcomeRefunded || back.Envelope != want {
		return cli.Exit(cli.Negative, fmt.Errorf("refund of %s: %s %s, %s to the envelope, want %s", b.Back, back.Outcome, back.Detail, back.Envelope, want))
	}
	return nil
}

// insist tries again, as people do at a till that says that the bank cannot be reached now.
func (r *run) insist(ctx context.Context, do func(pos.PaymentID) (pos.Answer, error)) (id pos.PaymentID, a pos.Answer, err error) {
	for range patience {
		id = r.id()
		if a, err = do(id); err != nil || a.Reason != pos.ErrInstitution {
			return id, a, err
		}
		r.turned.Add(1)
		select {
		case <-time.After(time.Second):
		case <-ctx.Done():
			return id, a, ctx.Err()
		}
	}
	return id, a, nil
}

// patience is how often people try.
const patience = 120

// ask pays in the store by the wallet's code, online by a QR that the wallet scans.
func (r *run) ask(ctx context.Context, id pos.PaymentID, p *customer, b *shoppers.Purchase) (pos.Answer, error) {
	lines := []pos.Line{{Category: b.Category, Amount: b.Price}}
	expires := r.now().Add(time.Minute).UnixMilli()
	if b.Channel == pos.ChannelInStore {
		code, err := p.wallet.Code(ctx)
		if err != nil {
			return pos.Answer{}, err
		}
		return r.pay.Pay(ctx, till(b.Merchant), pos.AskPay{
			Env: pos.Lab, Payment: id, Merchant: b.Merchant, Amount: b.Price, Code: code, ExpiresMS: expires, Lines: lines,
		}), nil
	}
	a := r.pay.Present(ctx, till(b.Merchant), pos.AskPresent{
		Env: pos.Lab, Payment: id, Merchant: b.Merchant, Amount: b.Price, Institution: p.Institution, ExpiresMS: expires,
		Channel: b.Channel, Lines: lines,
	})
	if a.Final() {
		return a, nil
	}
	if _, err := p.wallet.Scan(ctx, a.QR); err != nil {
		return a, err
	}
	r.clock.Add(1) // a centre asks again only after a while
	for range 1000 {
		if a = r.pay.Query(ctx, till(b.Merchant), pos.AskQuery{Env: pos.Lab, Payment: id}); a.Final() {
			return a, nil
		}
		r.clock.Add(50)
	}
	return a, nil
}

// balances holds ledger and institutions against one another and against the truth.
func (r *run) balances(ctx context.Context, spent pos.Money) error {
	trial, err := r.db.Ledger().Trial(ctx, "")
	if err != nil {
		return err
	}
	if !trial.Balanced() {
		return cli.Exit(cli.Negative, fmt.Errorf("the ledger does not balance: sum %s, wrong %v", trial.Sum, trial.Wrong))
	}
	var owed pos.Money
	for _, a := range trial.Accounts {
		switch kind, _, _ := strings.Cut(a.Account, ":"); {
		case kind == "owed":
			owed -= a.Amount
		case kind == "fund" && -a.Amount != r.def.Budget-spent:
			return cli.Exit(cli.Negative, fmt.Errorf("%s holds %s, want %s", a.Account, -a.Amount, r.def.Budget-spent))
		case (kind == "envelopes" || kind == "budget" || kind == "suspense" || kind == "in_transit" || kind == "pending") && a.Amount != 0:
			return cli.Exit(cli.Negative, fmt.Errorf("%s holds %s at the end", a.Account, a.Amount))
		}
	}
	if owed != spent {
		return cli.Exit(cli.Negative, fmt.Errorf("institutions are owed %s, %s was spent", owed, spent))
	}
	var theirs pos.Money
	for _, t := range r.sim.Totals() {
		theirs += t.WalletsEnvelope
	}
	if theirs != 0 {
		return cli.Exit(cli.Negative, fmt.Errorf("wallets still hold %s of envelopes", theirs))
	}
	r.say("balanced: %s was spent, %s is back with the fund", spent, r.def.Budget-spent)
	return nil
}
