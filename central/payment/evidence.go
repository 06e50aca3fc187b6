package payment

import (
	"context"
	"fmt"
	"time"

	"dcpos/central/ledger"
	"dcpos/pos"
	"dcpos/pos/dcep"
)

// doubt looks at a wallet's statement again, as the till should have: what the journal says
// must be what the wallet signed, and the wallet must have signed it. Whether the wallet is
// known, expired, revoked or has spent this counter elsewhere is its institution's to say,
// which is asked next. Nil when nothing speaks against it, or without a Trust.
func (d *Desk) doubt(e pos.Entry, m *pos.PaymentMoved, amount pos.Money) error {
	if d.cfg.Trust == nil {
		return nil
	}
	said, err := dcep.ParseEvidence(m.Evidence)
	if err != nil {
		return pos.NewError(pos.ErrEvidence, err)
	}
	c := said.Challenge
	switch {
	case c.Env != d.cfg.Env:
		return pos.NewError(pos.ErrEnvironment, fmt.Errorf("signed for %q", c.Env))
	case c.Terminal != e.Terminal:
		return pos.NewError(pos.ErrEvidenceOther, fmt.Errorf("signed for terminal %q", c.Terminal))
	case c.Payment != e.Payment:
		return pos.NewError(pos.ErrEvidenceReplay, fmt.Errorf("signed for payment %s", c.Payment))
	case c.Amount != amount:
		return pos.NewError(pos.ErrEvidenceAmount, fmt.Errorf("signed for %s, the journal says %s", c.Amount, amount))
	case said.Counter != m.Counter:
		return pos.NewError(pos.ErrEvidenceForged, fmt.Errorf("signed as number %d, the journal says %d", said.Counter, m.Counter))
	}
	if _, err := dcep.VerifyEvidence(d.cfg.Trust(), said, time.UnixMilli(e.At.WallMS)); pos.CodeOf(err) == pos.ErrEvidenceForged {
		return err
	}
	return nil
}

// dispute ends an offline payment whose evidence is not what its till said: the institution
// is not asked, the till is told, and a person decides.
func (d *Desk) dispute(ctx context.Context, t *turn, r Record, why error) (Record, error) {
	r.State, r.NextMS, r.Reason, r.Detail = pos.Conflict, 0, pos.CodeOf(why), why.Error()
	p, known, err := d.pos(ctx, t, r)
	if err != nil || !known {
		return r, err
	}
	if err := d.book(ctx, t, ledger.Refused(p.merchant, p.transit, p.Payment)); err != nil || p.state != pos.AcceptedEvidence {
		return r, err
	}
	return r, t.tell(ctx, r.Terminal, pos.Verdict{Payment: r.ID, Moved: &pos.PaymentMoved{
		From: pos.AcceptedEvidence, To: pos.Conflict, Reason: r.Reason, Source: "centre", Institution: r.Institution,
	}})
}
