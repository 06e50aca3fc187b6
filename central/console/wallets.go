package console

import (
	"context"
	"encoding/hex"
	"errors"
	"net/http"
	"strconv"
	"time"

	"dcpos/pos"
	"dcpos/pos/dcep"
)

type walletsBody struct {
	Doubles     []doubleView
	Excesses    []excessView
	Journeys    []journeyView
	Revocations []Revocation
	Next        int64
	NextExcess  int64
	NextJourney int64
	May         bool // wallets can be revoked here
}

type excessView struct {
	Excess
	Revocation *Revocation
	Form       *revokeForm
}

type journeyView struct {
	Journey
	Revocation *Revocation
	Form       *revokeForm
}

// Kilometres rounds down: it is never further than told.
func (j journeyView) Kilometres() int64 { return j.Metres / 1000 }

// Longest is for people: to the second.
func (j journeyView) Longest() string { return j.Most.Round(time.Second).String() }

// revokeForm asks for a wallet's revocation.
type revokeForm struct{ Institution, Wallet, CSRF string }

type doubleView struct {
	DoubleSpend
	Revocation *Revocation // what was last done about the wallet
	Form       *revokeForm // nil: this person may not ask for its revocation, or it stands
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
	case s.Held:
		return pos.Text{ZH: "在途:所用红包已回收,待两人决定", EN: "in transit: its envelopes were recalled, two people decide"}
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

// mostWallets is how many findings of a kind a page has: each comes with its evidence.
const mostWallets = 50

// wallets lists double spendings with both sides' evidence, wallets beyond their class, wallets at two places at once, and
// what was done about them.
func (c *Console) wallets(w http.ResponseWriter, r *http.Request, s Session) {
	from := func(name string) int64 {
		n, _ := strconv.ParseInt(r.URL.Query().Get(name), 10, 64) // nonsense is the end
		return n
	}
	body, err := c.findings(r.Context(), s, from("before"), from("excess"))
	if err == nil {
		err = c.journeys(r.Context(), s, &body, from("journey"))
	}
	if err != nil {
		c.broken(w, r, err)
		return
	}
	c.show(w, r, http.StatusOK, "wallets", s, body)
}

func (c *Console) findings(ctx context.Context, s Session, before, excess int64) (body walletsBody, err error) {
	body.May = c.cfg.Actions.ProposeRevocation != nil
	if body.Revocations, err = c.cfg.Store.Revocations(ctx, pageSize); err != nil {
		return body, err
	}
	doubles, err := c.cfg.Store.DoubleSpends(ctx, before, mostWallets)
	if err != nil {
		return body, err
	}
	for _, d := range doubles {
		v := doubleView{DoubleSpend: d}
		v.Revocation, v.Form = body.about(s, d.Institution, d.Wallet)
		for _, side := range d.Sides {
			v.Sides = append(v.Sides, sideView{side, where(side), proofOf(side.Evidence)})
		}
		body.Doubles = append(body.Doubles, v)
	}
	if len(doubles) == mostWallets {
		body.Next = doubles[mostWallets-1].Number
	}
	excesses, err := c.cfg.Store.Excesses(ctx, excess, mostWallets)
	for _, x := range excesses {
		v := excessView{Excess: x}
		v.Revocation, v.Form = body.about(s, x.Institution, x.Wallet)
		body.Excesses = append(body.Excesses, v)
	}
	if len(excesses) == mostWallets {
		body.NextExcess = excesses[mostWallets-1].Number
	}
	return body, err
}

func (c *Console) journeys(ctx context.Context, s Session, body *walletsBody, before int64) error {
	list, err := c.cfg.Store.Journeys(ctx, before, mostWallets)
	for _, j := range list {
		v := journeyView{Journey: j}
		v.Revocation, v.Form = body.about(s, j.Institution, j.Wallet)
		body.Journeys = append(body.Journeys, v)
	}
	if len(list) == mostWallets {
		body.NextJourney = list[mostWallets-1].Number
	}
	return err
}

// about is what was last done about a wallet, and the form for who may ask for its revocation now.
func (b *walletsBody) about(s Session, institution, wallet string) (*Revocation, *revokeForm) {
	var last *Revocation
	for i := range b.Revocations {
		if have := &b.Revocations[i]; have.Institution == institution && have.Wallet == wallet {
			last = have
			break
		}
	}
	if stands := last != nil && (last.State == "proposed" || last.State == "revoked"); stands || !b.May || !s.Role.May(Operator) {
		return last, nil
	}
	return last, &revokeForm{institution, wallet, s.CSRF}
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
