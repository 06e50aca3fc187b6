package issuance

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"dcpos/central/ledger"
	"dcpos/pos"
)

// maxReason bounds a person's words.
const maxReason = 500

// Suspend stops offers until Resume; what was claimed is spent as before.
func (d *Desk) Suspend(ctx context.Context, campaign, by string) error {
	return d.turn(ctx, campaign, by, Issuing, Suspended)
}

// Resume goes on after Suspend.
func (d *Desk) Resume(ctx context.Context, campaign, by string) error {
	return d.turn(ctx, campaign, by, Suspended, Issuing)
}

func (d *Desk) turn(ctx context.Context, campaign, by string, from, to Standing) error {
	return d.cfg.Store.Write(ctx, func(tx Tx) error {
		is, err := issuance(ctx, tx, campaign)
		if err != nil || is.Standing == to {
			return err
		}
		if is.Standing != from {
			return pos.FieldError(pos.ErrIllegalMove, "campaign", fmt.Errorf("it is %s", is.Standing))
		}
		is.Standing = to
		if err := tx.PutIssuance(ctx, is); err != nil {
			return err
		}
		return tx.Audit(ctx, by, "issuance_"+string(to), campaign, "")
	})
}

func issuance(ctx context.Context, tx Tx, campaign string) (Issuance, error) {
	is, found, err := tx.Issuance(ctx, campaign)
	if err == nil && !found {
		err = pos.FieldError(pos.ErrNotFound, "campaign", fmt.Errorf("%.40q is not given out", campaign))
	}
	return is, err
}

// Propose asks for a decision that another person has to confirm. payment is zero for
// Cancel.
func (d *Desk) Propose(ctx context.Context, what Action, campaign string, payment pos.PaymentID, by, reason string) error {
	reason = strings.TrimSpace(reason)
	if reason == "" || len(reason) > maxReason || by == "" {
		return pos.FieldError(pos.ErrBadRequest, "reason", fmt.Errorf("want 1 to %d bytes, and a name", maxReason))
	}
	return d.cfg.Store.Write(ctx, func(tx Tx) error {
		p := Proposal{Campaign: campaign, What: what, Payment: payment, Reason: reason, By: by, AtMS: d.nowMS()}
		if what == Cancel {
			is, err := issuance(ctx, tx, campaign)
			if err != nil {
				return err
			}
			if is.Standing != Issuing && is.Standing != Suspended {
				return pos.FieldError(pos.ErrIllegalMove, "campaign", fmt.Errorf("it is %s", is.Standing))
			}
		} else {
			late, err := lateOf(ctx, tx, payment)
			if err != nil {
				return err
			}
			p.Campaign = late.Campaign
		}
		if err := tx.PutProposal(ctx, p); err != nil {
			return err
		}
		return tx.Audit(ctx, by, "issuance_proposed", p.Campaign, string(what)+" "+reason)
	})
}

func lateOf(ctx context.Context, tx Tx, id pos.PaymentID) (Late, error) {
	all, err := tx.Lates(ctx)
	for _, l := range all {
		if l.Payment == id {
			return l, nil
		}
	}
	if err == nil {
		err = pos.FieldError(pos.ErrNotFound, "payment", fmt.Errorf("payment %s does not wait for a decision", id))
	}
	return Late{}, err
}

// Decide confirms or rejects a proposal; who proposed it cannot.
func (d *Desk) Decide(ctx context.Context, number int64, by string, confirm bool) error {
	var p Proposal
	err := d.cfg.Store.Read(ctx, func(tx Tx) error {
		all, err := tx.Proposals(ctx)
		for _, x := range all {
			if x.Number == number {
				p = x
			}
		}
		return err
	})
	switch {
	case err != nil:
		return err
	case p.Number == 0:
		return pos.FieldError(pos.ErrNotFound, "number", fmt.Errorf("proposal %d is not open", number))
	case p.By == by || by == "":
		return pos.FieldError(pos.ErrForbidden, "by", errors.New("another person than who proposed it must decide"))
	}
	if confirm && p.What == Honour {
		if err := d.restore(ctx, p, by); err != nil {
			return err
		}
	}
	return d.cfg.Store.Write(ctx, func(tx Tx) error {
		if err := d.carryOut(ctx, tx, p, confirm); err != nil {
			return err
		}
		if err := tx.CloseProposal(ctx, number, by, confirm); err != nil {
			return err
		}
		return tx.Audit(ctx, by, "issuance_decided", p.Campaign, fmt.Sprintf("%s confirmed=%v", p.What, confirm))
	})
}

func (d *Desk) carryOut(ctx context.Context, tx Tx, p Proposal, confirm bool) error {
	if !confirm {
		return nil
	}
	if p.What == Cancel {
		is, err := issuance(ctx, tx, p.Campaign)
		if err != nil || (is.Standing != Issuing && is.Standing != Suspended) {
			return err
		}
		is.Standing = Cancelled
		return tx.PutIssuance(ctx, is)
	}
	if _, err := lateOf(ctx, tx, p.Payment); err != nil {
		return err
	}
	return tx.Resume(ctx, p.Payment, p.What == Honour)
}

// restore puts the money of a late payment back into its envelopes: into our book first,
// then at the institution; each is done once however often it is tried.
func (d *Desk) restore(ctx context.Context, p Proposal, by string) error {
	var late Late
	codes := map[string]string{} // by envelope, whose it is
	err := d.cfg.Store.Write(ctx, func(tx Tx) (err error) {
		if late, err = lateOf(ctx, tx, p.Payment); err != nil {
			return err
		}
		var rows []Issued
		for _, s := range late.Shares {
			e, found, err := tx.Envelope(ctx, s.Envelope)
			if err != nil || !found {
				return errors.Join(err, pos.FieldError(pos.ErrEnvelopeUnknown, "envelope", fmt.Errorf("%.64q", s.Envelope)))
			}
			codes[s.Envelope] = e.Institution
			if e.State != Recalled {
				continue // done before
			}
			if e, err = d.restored(ctx, tx, e, s.Amount, p.Payment); err != nil {
				return err
			}
			rows = append(rows, e)
		}
		if err := tx.PutEnvelopes(ctx, rows); err != nil {
			return err
		}
		return tx.Audit(ctx, by, "envelope_restored", late.Campaign, p.Payment.String())
	})
	if err != nil {
		return err
	}
	return d.restoreInWallets(ctx, late, codes)
}

// restoreInWallets has the institutions put a late payment's money back, by envelope.
func (d *Desk) restoreInWallets(ctx context.Context, late Late, codes map[string]string) error {
	for _, s := range late.Shares {
		bank, err := d.bank(codes[s.Envelope])
		if err == nil {
			err = bank.RestoreEnvelope(ctx, s.Envelope, late.Payment, s.Amount)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// restored books an amount back into an envelope, and opens its issuance again so that
// what is not spent of it is recalled; the caller writes the row.
func (d *Desk) restored(ctx context.Context, tx Tx, e Issued, amount pos.Money, payment pos.PaymentID) (Issued, error) {
	is, err := issuance(ctx, tx, e.Campaign)
	if err != nil {
		return e, err
	}
	if e.Envelope, err = e.Restore(amount); err != nil {
		return e, err
	}
	e.NextMS = d.nowMS() + is.GraceMS + lastRetry.Milliseconds() // not to be recalled before it is spent
	if _, err := ledger.Post(ctx, tx, ledger.Restored(e.part(amount), is.Provider, payment, pos.DateOf(d.cfg.Now(), 0))); err != nil {
		return e, err
	}
	if is.Standing != Reclaimed {
		return e, nil
	}
	is.Standing = Expired // there is something to take back again
	return e, tx.PutIssuance(ctx, is)
}

// Progress tells how far an issuance is.
func (d *Desk) Progress(ctx context.Context, campaign string) (is Issuance, p Progress, err error) {
	err = d.cfg.Store.Read(ctx, func(tx Tx) (err error) {
		if is, err = issuance(ctx, tx, campaign); err != nil {
			return err
		}
		if p, err = tx.Progress(ctx, campaign); err != nil {
			return err
		}
		if p.Behind, err = tx.Behind(ctx, is.UntilMS); err != nil {
			return err
		}
		paces, err := tx.Paces(ctx)
		for _, code := range is.Institutions {
			b := p.Banks[code]
			b.PerSecond = d.perSecond(paces, code)
			p.Banks[code] = b
		}
		return err
	})
	return is, p, err
}

// Issuances lists what is given out, by campaign.
func (d *Desk) Issuances(ctx context.Context) (all []Issuance, err error) {
	err = d.cfg.Store.Read(ctx, func(tx Tx) error {
		all, err = tx.Issuances(ctx)
		return err
	})
	return all, err
}

// Waiting lists what waits for a person: late payments and open proposals.
func (d *Desk) Waiting(ctx context.Context) (lates []Late, open []Proposal, err error) {
	err = d.cfg.Store.Read(ctx, func(tx Tx) (err error) {
		if lates, err = tx.Lates(ctx); err == nil {
			open, err = tx.Proposals(ctx)
		}
		return err
	})
	return lates, open, err
}
