package payment

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"strings"

	"dcpos/pos"
)

// RevocationState is where a revocation by people of this centre stands.
type RevocationState string

// The states: proposed → revoked | rejected; revoked → lifted.
const (
	RevocationProposed RevocationState = "proposed"
	RevocationStands   RevocationState = "revoked"
	RevocationRejected RevocationState = "rejected"
	RevocationLifted   RevocationState = "lifted"
)

// Text names the state for a person.
func (s RevocationState) Text() pos.Text {
	switch s {
	case RevocationProposed:
		return pos.Text{ZH: "待第二人确认吊销", EN: "revocation waits for a second person"}
	case RevocationStands:
		return pos.Text{ZH: "已吊销", EN: "revoked"}
	case RevocationRejected:
		return pos.Text{ZH: "吊销被驳回", EN: "revocation rejected"}
	case RevocationLifted:
		return pos.Text{ZH: "已解除吊销", EN: "revocation lifted"}
	}
	return pos.Text{ZH: string(s), EN: string(s)}
}

// Revocation is a wallet that people here have put on the list of revoked wallets, or ask to.
type Revocation struct {
	Number      int64
	Institution string
	Wallet      string // the certificate's serial
	State       RevocationState
	Reason      string
	ProposedBy  string
	ProposedMS  int64
	ClosedBy    string // who confirmed, rejected or lifted it
	ClosedMS    int64
}

// maxReason bounds why.
const maxReason = 300

var serialForm = regexp.MustCompile(`^[0-9a-f]{1,64}$`)

// ProposeRevocation asks for a wallet to be revoked; a second person decides (DecideRevocation). The same again
// while it is open is a repeat. The tills' list of revoked wallets does not change yet.
func (d *Desk) ProposeRevocation(ctx context.Context, institution, wallet, reason, by string) error {
	reason = strings.TrimSpace(reason)
	switch {
	case !serialForm.MatchString(wallet) || institution == "" || len(institution) > 64:
		return pos.FieldError(pos.ErrBadRequest, "wallet", errors.New("want the institution and the serial of a wallet's certificate"))
	case reason == "" || len(reason) > maxReason:
		return pos.FieldError(pos.ErrBadRequest, "reason", fmt.Errorf("say why, in at most %d bytes", maxReason))
	}
	return d.turn(ctx, func(t *turn) error {
		if _, open, err := t.Revocation(ctx, institution, wallet); err != nil || open {
			return err
		}
		r := Revocation{
			Institution: institution, Wallet: wallet, State: RevocationProposed, Reason: reason, ProposedBy: by, ProposedMS: t.now,
		}
		if err := t.PutRevocation(ctx, r); err != nil {
			return err
		}
		return t.Audit(ctx, by, "revocation_proposed", "wallet:"+wallet, institution+": "+reason)
	})
}

// DecideRevocation confirms or rejects a proposal: who confirms must be another person than who proposed
// (pos.ErrForbidden), and only approves may call it. A confirmed one is in the next list that tills are given.
// pos.ErrNotFound when nothing is proposed.
func (d *Desk) DecideRevocation(ctx context.Context, institution, wallet string, confirm bool, by string) error {
	return d.closeRevocation(ctx, institution, wallet, RevocationProposed, func(r *Revocation) error {
		if confirm && r.ProposedBy == by {
			return pos.NewError(pos.ErrForbidden, fmt.Errorf("%s proposed it: another person has to confirm", by))
		}
		r.State = RevocationRejected
		if confirm {
			r.State = RevocationStands
		}
		return nil
	}, by)
}

// LiftRevocation takes a wallet off the list again; not by who confirmed that it be revoked. What the trust file
// of the institutions says of the wallet stays. pos.ErrNotFound when it is not revoked here.
func (d *Desk) LiftRevocation(ctx context.Context, institution, wallet, by string) error {
	return d.closeRevocation(ctx, institution, wallet, RevocationStands, func(r *Revocation) error {
		if r.ClosedBy == by {
			return pos.NewError(pos.ErrForbidden, fmt.Errorf("%s confirmed it: another person has to lift it", by))
		}
		r.State = RevocationLifted
		return nil
	}, by)
}

func (d *Desk) closeRevocation(ctx context.Context, institution, wallet string, from RevocationState, end func(*Revocation) error, by string) error {
	return d.turn(ctx, func(t *turn) error {
		r, open, err := t.Revocation(ctx, institution, wallet)
		if err != nil {
			return err
		}
		if !open || r.State != from {
			return pos.FieldError(pos.ErrNotFound, "wallet", fmt.Errorf("no revocation of %.64q is %s", wallet, from))
		}
		if err := end(&r); err != nil {
			return err
		}
		r.ClosedBy, r.ClosedMS = by, t.now
		if err := t.PutRevocation(ctx, r); err != nil {
			return err
		}
		return t.Audit(ctx, by, "revocation_"+string(r.State), "wallet:"+wallet, institution+", proposed by "+r.ProposedBy+": "+r.Reason)
	})
}

// Revoked lists the serials of the wallets that are revoked here, sorted: with those of the trust file they are
// the list that tills are given.
func (d *Desk) Revoked(ctx context.Context) ([]string, error) { return d.cfg.Store.Revoked(ctx) }
