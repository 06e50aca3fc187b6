package issuance

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"dcpos/central/institution"
	"dcpos/central/ledger"
	"dcpos/pos"
)

// Use is what an institution says of a payment's envelopes, or a wallet's evidence before
// the institution is asked.
type Use struct {
	Payment     pos.PaymentID
	Institution string
	Wallet      string // the end of its name after a "*", as institutions hint; empty: not told
	Merchant    string
	Store       string
	Channel     string
	Lines       []pos.Line // by category; none: not told
	Price       pos.Money
	FromMS      int64 // it was made at a moment between, both included
	UntilMS     int64
	WalletMS    int64 // what the wallet's own clock said when it signed; 0: it signed nothing
	AtMS        int64 // when it is booked
	Date        pos.Date
	Shares      []institution.Share
}

// Book books the shares of a payment, once. A share that does not hold is kept with the
// reason and not owed to the institution.
func Book(ctx context.Context, tx Tx, u Use) error {
	if have, err := tx.SpendsOf(ctx, u.Payment); err != nil || len(have) > 0 || len(u.Shares) == 0 {
		return err
	}
	var spends []Spend
	var rows []Issued
	var parts []ledger.EnvelopePart
	for n, share := range u.Shares {
		e, plan, reason, err := u.look(ctx, tx, share)
		if err != nil {
			return err
		}
		s := Spend{
			Payment: u.Payment, N: n, Envelope: share.Envelope, Campaign: e.Campaign, Tier: e.Tier, Institution: u.Institution,
			Merchant: u.Merchant, Store: u.Store, Channel: u.channel(), Category: u.category(plan), Price: u.Price,
			Amount: share.Amount, AtMS: u.AtMS, Date: u.Date, Reason: reason,
		}
		if reason == "" {
			if e, err = u.claimed(ctx, tx, e); err != nil {
				return err
			}
			if e.Envelope, s.Reason = u.take(e.Envelope, share.Amount); s.Reason == "" {
				rows, parts = append(rows, e), append(parts, e.part(share.Amount))
			}
		}
		spends = append(spends, s)
	}
	if len(parts) > 0 {
		if _, err := ledger.Post(ctx, tx, ledger.EnvelopesSpent(u.Payment, u.Institution, parts, u.Date)); err != nil {
			return err
		}
		if err := tx.PutEnvelopes(ctx, rows); err != nil {
			return err
		}
	}
	return tx.PutSpends(ctx, spends)
}

// look finds a share's envelope and says why it must not be spent so; empty: it may.
func (u Use) look(ctx context.Context, tx Tx, share institution.Share) (e Issued, plan Plan, reason string, err error) {
	e, found, err := tx.Envelope(ctx, share.Envelope)
	if err != nil || !found {
		return e, plan, "unknown", err
	}
	is, _, err := tx.Issuance(ctx, e.Campaign)
	if err != nil {
		return e, plan, "", err
	}
	return e, is.Plan, u.outside(e, is.Plan, share.Amount), nil
}

// outside names what of the published rules a share breaks; empty: none.
func (u Use) outside(e Issued, p Plan, amount pos.Money) string {
	inScope := u.inScope(p)
	switch {
	case e.Institution != u.Institution:
		return "institution"
	case e.Wallet != "" && u.Wallet != "" && !strings.HasSuffix(e.Wallet, strings.TrimPrefix(u.Wallet, "*")):
		return "wallet"
	case !slices.Contains(p.Channels, u.channel()):
		return "channel"
	case !listed(p.Merchants, u.Merchant):
		return "merchant"
	case u.channel() != pos.ChannelOnline && !listed(p.Stores, u.Store):
		return "store"
	case inScope < amount:
		return "category"
	case e.Threshold > 0 && (amount != e.Face || inScope < e.Threshold):
		return "threshold"
	case u.UntilMS < p.FromMS || u.FromMS >= p.UntilMS:
		return "window"
	}
	return ""
}

// inScope is how much of the price is for goods of the plan's categories.
func (u Use) inScope(p Plan) pos.Money {
	if len(p.Categories) == 1 && p.Categories[0] == "*" {
		return u.Price
	}
	var sum pos.Money
	for _, l := range u.Lines {
		if slices.Contains(p.Categories, l.Category) {
			sum += l.Amount // bounded: the price at most
		}
	}
	return sum
}

func (u Use) channel() string {
	if u.Channel == "" {
		return pos.ChannelInStore
	}
	return u.Channel
}

// category is that of the largest line in scope.
func (u Use) category(p Plan) string {
	var most pos.Line
	for _, l := range u.Lines {
		if l.Amount > most.Amount && listed(p.Categories, l.Category) {
			most = l
		}
	}
	return most.Category
}

func listed(list []string, name string) bool {
	return (len(list) == 1 && list[0] == "*") || slices.Contains(list, name)
}

// claimed books the claim of an envelope that is spent before its institution's list of
// claims was read: only what is in a wallet is spent.
func (u Use) claimed(ctx context.Context, tx Tx, e Issued) (Issued, error) {
	if e.ClaimedMS > 0 || (e.State != Reserved && e.State != Offered && e.State != RecallPending) {
		return e, nil
	}
	return claim(ctx, tx, e, e.Wallet, time.UnixMilli(u.FromMS))
}

// claim binds an envelope to a wallet and moves its money; the caller writes the row.
func claim(ctx context.Context, tx Tx, e Issued, wallet string, at time.Time) (Issued, error) {
	if e.State == Reserved || e.State == Offered {
		e.State = Claimed // the message may still be on its way
	}
	e.Wallet, e.ClaimedMS = wallet, at.UnixMilli()
	_, err := ledger.Post(ctx, tx, ledger.Claimed(e.part(e.Face), pos.DateOf(at, 0)))
	return e, err
}

// take spends an amount at the moment of the payment that lies in the envelope's window.
func (u Use) take(e Envelope, amount pos.Money) (Envelope, string) {
	at := time.UnixMilli(max(u.FromMS, e.From.UnixMilli()))
	next, err := e.Spend(amount, at)
	if e.State == RecallPending {
		next, err = e.SpendLate(amount, at)
	}
	if err != nil {
		return e, "left"
	}
	return next, ""
}

// Judge looks at a wallet's evidence before its institution is asked: nothing that it names
// may be outside of the published rules. held tells that it would be honoured, but its
// money was recalled: people decide, and Late keeps it.
func Judge(ctx context.Context, tx Tx, u Use) (held bool, err error) {
	for _, share := range u.Shares {
		e, plan, reason, err := u.look(ctx, tx, share)
		if err != nil {
			return false, err
		}
		if reason == "" && !u.certain(plan) {
			reason = "window"
		}
		switch reason {
		case "":
		case "unknown":
			return false, pos.NewError(pos.ErrEnvelopeUnknown, fmt.Errorf("envelope %.64q", share.Envelope))
		case "window":
			return false, pos.NewError(pos.ErrEnvelopeWindow, fmt.Errorf("envelope %s", e.ID))
		default:
			return false, pos.FieldError(pos.ErrEnvelopeScope, reason, fmt.Errorf("envelope %s", e.ID))
		}
		held = held || e.State == Recalled
	}
	return held, nil
}

// clockTolerance is how far a wallet's clock may be off, as at tills.
const clockTolerance = 2 * time.Minute

// certain reports that an offline payment was made in the window, by every clock that says
// something about it.
func (u Use) certain(p Plan) bool {
	off := clockTolerance.Milliseconds()
	return u.FromMS >= p.FromMS && u.UntilMS < p.UntilMS && u.FromMS <= u.UntilMS &&
		u.WalletMS >= p.FromMS-off && u.WalletMS < p.UntilMS+off
}

// Back is what an institution says of a refund's envelopes.
type Back struct {
	Refund      pos.RefundID
	Payment     pos.PaymentID
	Institution string
	Amount      pos.Money
	Before      pos.Money // of the payment was refunded before
	AtMS        int64
	Date        pos.Date
	Shares      []institution.Share // none: not told, the published rule says it
}

// Given is what of a refund went to envelopes that the centre knows.
type Given struct {
	Envelope pos.Money
	Recalled pos.Money // of it, what the fund takes back, at once or with the recall: the envelope is over
}

// GiveBack books the envelopes' part of a refund. What comes back after the recall goes on
// to the fund at once. A refund that was booked before gives nothing again.
func GiveBack(ctx context.Context, tx Tx, b Back) (given Given, err error) {
	spends, err := tx.SpendsOf(ctx, b.Payment)
	if err != nil || len(spends) == 0 {
		return given, err
	}
	shares, err := b.shares(spends)
	if err != nil {
		return given, err
	}
	var rows []Issued
	var parts []ledger.EnvelopePart
	var returns []Returned
	for _, share := range shares {
		i := slices.IndexFunc(spends, func(s Spend) bool { return s.Envelope == share.Envelope })
		if i < 0 || spends[i].Reason != "" || share.Amount > spends[i].Amount-spends[i].Returned {
			continue // we do not owe it, so there is nothing to give back
		}
		e, _, err := tx.Envelope(ctx, share.Envelope)
		if err != nil {
			return given, err
		}
		spends[i].Returned += share.Amount
		var recall pos.Money
		if e.Envelope, recall, err = e.Return(share.Amount, time.UnixMilli(b.AtMS)); err != nil {
			return given, err
		}
		given.Envelope += share.Amount // bounded: the refund at most
		if e.State == RecallPending || e.State == Recalled {
			given.Recalled += share.Amount
		}
		rows, parts = append(rows, e), append(parts, e.part(share.Amount))
		returns = append(returns, Returned{b.Refund, b.Payment, e.ID, e.Campaign, share.Amount, recall > 0, b.AtMS})
	}
	if len(parts) == 0 {
		return given, nil
	}
	posted, err := ledger.Post(ctx, tx, ledger.EnvelopesReturned(b.Refund, b.Institution, parts, b.Date))
	if err != nil || !posted {
		return Given{}, err
	}
	if err := recallAgain(ctx, tx, b, rows, returns); err != nil {
		return given, err
	}
	if err := tx.PutEnvelopes(ctx, rows); err != nil {
		return given, err
	}
	if err := tx.PutSpends(ctx, spends); err != nil {
		return given, err
	}
	return given, tx.PutReturns(ctx, returns)
}

// shares are the institution's, or what the published rule says.
func (b Back) shares(spends []Spend) ([]institution.Share, error) {
	if len(b.Shares) > 0 {
		return b.Shares, nil
	}
	paid := Split{Own: spends[0].Price}
	for _, s := range spends {
		paid.Shares = append(paid.Shares, Share{s.Envelope, s.Amount})
		paid.Own -= s.Amount
	}
	back, err := SplitRefund(paid, b.Before, b.Amount)
	var all []institution.Share
	for _, s := range back.Shares {
		all = append(all, institution.Share(s))
	}
	return all, err
}

func recallAgain(ctx context.Context, tx Tx, b Back, rows []Issued, returns []Returned) error {
	for i, r := range returns {
		if !r.Recalled {
			continue
		}
		is, _, err := tx.Issuance(ctx, rows[i].Campaign)
		if err != nil {
			return err
		}
		back := ledger.Recalled(rows[i].part(r.Amount), is.Provider, b.Refund.String(), b.Date)
		if _, err := ledger.Post(ctx, tx, back); err != nil {
			return err
		}
	}
	return nil
}
