package console

import (
	"context"
	"encoding/hex"
	"errors"
	"net/http"
	"strconv"

	"dcpos/pos"
	"dcpos/pos/dcep"
)

type walletsBody struct {
	Doubles     []doubleView
	Revocations []Revocation
	Next        int64
	May         bool // wallets can be revoked here
}

type doubleView struct {
	DoubleSpend
	Revocation *Revocation // what was last done about the wallet
	Sides      []sideView
}

type sideView struct {
	SpentSide
	Where pos.Text
	Proof proof
}

// proof is a side's evidence as a person reads it.
type proof struct {
	Text      string // the wallet's QR, for anyone to verify again
	Nonce     string
	SignedMS  int64 // the till's clock when it asked
	WalletMS  int64
	Suite     string
	Signature string
}

func proofOf(evidence []byte) proof {
	e, err := dcep.ParseEvidence(evidence)
	if err != nil {
		return proof{}
	}
	text, _ := dcep.EncodeEvidence(e) // what was parsed can be written
	return proof{
		Text: text, Nonce: hex.EncodeToString(e.Challenge.Nonce), SignedMS: e.Challenge.AtMS, WalletMS: e.WalletMS,
		Suite: e.Suite, Signature: hex.EncodeToString(e.Sig),
	}
}

// where tells where a side's money stands.
func where(s SpentSide) pos.Text {
	switch {
	case s.Apart:
		return pos.Text{ZH: "分叉或残缺账簿:挂账", EN: "in suspense: its journal is forked or incomplete"}
	case s.Waits:
		return pos.Text{ZH: "在途:等待机构对另一笔的答复", EN: "in transit: waits for the institution's word on the other"}
	case s.State == pos.AcceptedEvidence:
		return pos.Text{ZH: "在途:正在提交机构", EN: "in transit: being submitted to the institution"}
	case s.State == pos.Credited:
		return pos.Text{ZH: "已入账给商户", EN: "credited to the merchant"}
	case s.State == pos.Conflict && s.Decided == "credit":
		return pos.Text{ZH: "经人工确认入账给商户,并向机构追索", EN: "credited by people's decision, claimed on the institution"}
	case s.State == pos.Conflict && s.Decided != "":
		return pos.Text{ZH: "经人工冲销", EN: "written off by people's decision"}
	case s.State == pos.Conflict:
		return pos.Text{ZH: "挂账:待人工处理", EN: "in suspense: a person decides"}
	}
	return pos.Text{ZH: "未入账", EN: "not credited"}
}

// wallets lists double spendings with both sides' evidence, and what was done about wallets.
func (c *Console) wallets(w http.ResponseWriter, r *http.Request, s Session) {
	before, _ := strconv.ParseInt(r.URL.Query().Get("before"), 10, 64) // nonsense is the end
	const most = 50                                                    // each comes with its evidence
	doubles, err := c.cfg.Store.DoubleSpends(r.Context(), before, most)
	if err != nil {
		c.broken(w, r, err)
		return
	}
	body := walletsBody{May: c.cfg.Actions.ProposeRevocation != nil}
	if body.Revocations, err = c.cfg.Store.Revocations(r.Context(), pageSize); err != nil {
		c.broken(w, r, err)
		return
	}
	for _, d := range doubles {
		v := doubleView{DoubleSpend: d}
		for _, side := range d.Sides {
			v.Sides = append(v.Sides, sideView{side, where(side), proofOf(side.Evidence)})
		}
		for i := range body.Revocations {
			if have := &body.Revocations[i]; have.Institution == d.Institution && have.Wallet == d.Wallet {
				v.Revocation = have
				break
			}
		}
		body.Doubles = append(body.Doubles, v)
	}
	if len(doubles) == most {
		body.Next = doubles[most-1].Number
	}
	c.show(w, r, http.StatusOK, "wallets", s, body)
}

// proposeRevocation asks for a wallet to be revoked; decideRevocation is another's yes or no; liftRevocation takes
// it off the list again.
func (c *Console) proposeRevocation(w http.ResponseWriter, r *http.Request, s Session) {
	c.revoke(w, r, s, func(ctx context.Context, institution, wallet string) error {
		return c.cfg.Actions.ProposeRevocation(ctx, institution, wallet, r.PostFormValue("reason"), s.Account)
	})
}

func (c *Console) decideRevocation(w http.ResponseWriter, r *http.Request, s Session) {
	c.revoke(w, r, s, func(ctx context.Context, institution, wallet string) error {
		if r.PostFormValue("answer") == "lift" {
			return c.cfg.Actions.LiftRevocation(ctx, institution, wallet, s.Account)
		}
		return c.cfg.Actions.DecideRevocation(ctx, institution, wallet, r.PostFormValue("answer") == "confirm", s.Account)
	})
}

func (c *Console) revoke(w http.ResponseWriter, r *http.Request, s Session, do func(ctx context.Context, institution, wallet string) error) {
	if c.cfg.Actions.ProposeRevocation == nil {
		c.refuse(w, r, s, pos.NewError(pos.ErrNotFound, errors.New("wallets are not revoked here")))
		return
	}
	if err := do(r.Context(), r.PostFormValue("institution"), r.PostFormValue("wallet")); err != nil {
		c.fail(w, r, s, err)
		return
	}
	http.Redirect(w, r, "/console/wallets", http.StatusSeeOther)
}
