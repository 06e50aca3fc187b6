package issuance

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"time"

	"dcpos/central/institution"
	"dcpos/central/ledger"
	"dcpos/pos"
)

// Tier is what envelopes of a tier are.
type Tier struct {
	Amount    pos.Money `json:"amount_fen"`
	Threshold pos.Money `json:"threshold_fen"` // of a coupon; 0: free
}

// Plan is what a campaign's published definition and its draw fix for issuance.
type Plan struct {
	Campaign     string    `json:"campaign"`
	Hash         string    `json:"hash"` // of the published definition, hexadecimal
	Title        pos.Text  `json:"title"`
	Provider     string    `json:"provider"`
	Budget       pos.Money `json:"budget_fen"`
	FromMS       int64     `json:"from_ms"` // the spend window, half-open
	UntilMS      int64     `json:"until_ms"`
	ClaimUntilMS int64     `json:"claim_until_ms"` // who has not claimed by then claims no more
	GraceMS      int64     `json:"grace_ms"`       // after UntilMS: how long the recall waits for tills
	Tiers        []Tier    `json:"tiers"`
	Channels     []string  `json:"channels"`
	Merchants    []string  `json:"merchants"` // "*" alone: all
	Stores       []string  `json:"stores"`
	Categories   []string  `json:"categories"`
	Institutions []string  `json:"institutions"`
	Waiting      bool      `json:"waiting"` // the waiting list follows where envelopes stay unclaimed
}

// Winner is a line of the draw's result; of the waiting list without a tier.
type Winner struct {
	Rank        int64 // or the place on the waiting list of the stratum
	Ticket      [32]byte
	Stratum     string
	Institution string
	Tier        int
}

// Standing is where an issuance stands.
type Standing string

// The standings.
const (
	Issuing   Standing = "issuing"
	Suspended Standing = "suspended" // nothing is offered; what was claimed is spent as before
	Cancelled Standing = "cancelled" // for good; what nobody has claimed is withdrawn
	Expired   Standing = "expired"   // the window is over, the recall waits
	Reclaimed Standing = "reclaimed" // everything is back
)

// Text is what a person reads.
func (s Standing) Text() pos.Text {
	switch s {
	case Issuing:
		return pos.Text{ZH: "发放中", EN: "being given out"}
	case Suspended:
		return pos.Text{ZH: "已暂停发放", EN: "suspended"}
	case Cancelled:
		return pos.Text{ZH: "已取消发放", EN: "cancelled"}
	case Expired:
		return pos.Text{ZH: "已到期,等待收回", EN: "over, waits for the recall"}
	case Reclaimed:
		return pos.Text{ZH: "已全部收回", EN: "everything is back"}
	}
	return pos.Text{ZH: string(s), EN: string(s)}
}

// Issuance is a campaign whose envelopes are given out.
type Issuance struct {
	Plan
	Standing Standing
	Seeded   int64 // winners that have a row
}

// Issued is an envelope and whose it is.
type Issued struct {
	Envelope
	Ticket      [32]byte
	Tier        int
	Rank        int64
	Stratum     string
	Institution string
	Wallet      string // bound by the claim; empty before
	NextMS      int64  // when the next try is due
	Tries       int
	Detail      string // why the last try failed
	OfferedMS   int64
	ClaimedMS   int64
}

// ID names the envelope of a ticket: the same ticket has the same envelope for ever.
func ID(campaign string, ticket [32]byte) string {
	h := sha256.New()
	h.Write([]byte("envelope-v1\x00" + campaign + "\x00")) // a hash never fails to write
	h.Write(ticket[:])
	return hex.EncodeToString(h.Sum(nil)[:16])
}

// Claimant is how an order names who may claim it, to an institution that knows her phone.
func Claimant(campaign, phone string) string {
	sum := sha256.Sum256([]byte("claimant-v1\x00" + campaign + "\x00" + phone))
	return hex.EncodeToString(sum[:])
}

// part is what the ledger books of it.
func (i Issued) part(amount pos.Money) ledger.EnvelopePart {
	return ledger.EnvelopePart{Envelope: i.ID, Campaign: i.Campaign, Tier: i.Tier, Amount: amount}
}

// issue makes the row of a winner.
func (p Plan) issue(w Winner) (Issued, error) {
	t := p.Tiers[w.Tier]
	e, err := Reserve(ID(p.Campaign, w.Ticket), p.Campaign, t.Amount, time.UnixMilli(p.FromMS), time.UnixMilli(p.UntilMS))
	e.Threshold = t.Threshold
	return Issued{
		Envelope: e, Ticket: w.Ticket, Tier: w.Tier, Rank: w.Rank, Stratum: w.Stratum, Institution: w.Institution,
	}, err
}

// Spend is a share of a payment as it was booked, or refused.
type Spend struct {
	Payment     pos.PaymentID
	N           int
	Envelope    string
	Campaign    string
	Tier        int
	Institution string
	Merchant    string
	Store       string
	Channel     string
	Category    string    // of the largest line in scope; empty: not told
	Price       pos.Money // of the whole payment
	Amount      pos.Money
	Returned    pos.Money
	AtMS        int64
	Date        pos.Date // the settlement date
	Reason      string   // why the centre does not owe it; empty: it does
}

// Returned is a share of a refund.
type Returned struct {
	Refund   pos.RefundID
	Payment  pos.PaymentID
	Envelope string
	Campaign string
	Amount   pos.Money
	Recalled bool // it went on to the fund at once
	AtMS     int64
}

// BankProgress is how far the envelopes of one institution are.
type BankProgress struct {
	Envelopes int64           `json:"envelopes"`
	Faces     pos.Money       `json:"faces_fen"`
	Counts    map[State]int64 `json:"counts"`
	Offered   int64           `json:"offered"` // ever
	Claimed   int64           `json:"claimed"` // ever
	Activated pos.Money       `json:"activated_fen"`
	Spent     pos.Money       `json:"spent_fen"`
	Left      pos.Money       `json:"left_fen"`     // in wallets
	Recalled  pos.Money       `json:"recalled_fen"` // out of wallets
	Failing   int64           `json:"failing"`      // with a failed try behind them
	Differs   int64           `json:"differs"`      // institution and centre do not agree on what is left
	Example   string          `json:"example,omitempty"`
	PerSecond int             `json:"per_second"` // that it is sent; 0: none
}

// Progress is how far an issuance is, in envelopes and money.
type Progress struct {
	Counts    map[State]int64         `json:"counts"`
	Faces     map[State]pos.Money     `json:"faces_fen"`
	Banks     map[string]BankProgress `json:"institutions"`
	Left      pos.Money               `json:"left_fen"` // in wallets
	Spent     pos.Money               `json:"spent_fen"`
	Offered   int64                   `json:"offered"` // ever
	Claimed   int64                   `json:"claimed"` // ever
	Failing   int64                   `json:"failing"` // with a failed try behind them
	Differs   int64                   `json:"differs"` // institution and centre do not agree on what is left
	Refused   int64                   `json:"refused"` // shares that the centre does not owe
	Held      int64                   `json:"held"`    // late payments that wait for two people
	Behind    int64                   `json:"behind"`  // tills whose journals have not passed the window's end
	Example   string                  `json:"example,omitempty"`
	Recalled  pos.Money               `json:"recalled_fen"`  // out of wallets
	Activated pos.Money               `json:"activated_fen"` // faces of what was claimed, ever
}

// Add counts the envelopes of an institution that are in one state; the maps must be made.
func (p *Progress) Add(bank string, state State, more BankProgress) {
	p.Counts[state] += more.Envelopes
	p.Faces[state] += more.Faces
	p.Left, p.Spent, p.Recalled, p.Activated = p.Left+more.Left, p.Spent+more.Spent, p.Recalled+more.Recalled, p.Activated+more.Activated
	p.Offered, p.Claimed, p.Failing, p.Differs = p.Offered+more.Offered, p.Claimed+more.Claimed, p.Failing+more.Failing, p.Differs+more.Differs
	b := p.Banks[bank]
	if b.Counts == nil {
		b.Counts = map[State]int64{}
	}
	b.Counts[state] += more.Envelopes
	b.Envelopes, b.Faces = b.Envelopes+more.Envelopes, b.Faces+more.Faces
	b.Left, b.Spent, b.Recalled, b.Activated = b.Left+more.Left, b.Spent+more.Spent, b.Recalled+more.Recalled, b.Activated+more.Activated
	b.Offered, b.Claimed, b.Failing, b.Differs = b.Offered+more.Offered, b.Claimed+more.Claimed, b.Failing+more.Failing, b.Differs+more.Differs
	if more.Example != "" {
		b.Example, p.Example = more.Example, more.Example
	}
	p.Banks[bank] = b
}

// Proposal is one person's decision that another has to confirm.
type Proposal struct {
	Number   int64
	Campaign string
	What     Action
	Payment  pos.PaymentID // of Honour and Refuse
	Reason   string
	By       string
	AtMS     int64
}

// Action is what a proposal is for.
type Action string

// The actions that need four eyes.
const (
	Cancel Action = "cancel" // end the issuance for good
	Honour Action = "honour" // restore what a late payment needs
	Refuse Action = "refuse" // let a late payment end in conflict
)

// Text is what a person reads.
func (a Action) Text() pos.Text {
	switch a {
	case Cancel:
		return pos.Text{ZH: "取消发放", EN: "cancel the issuance"}
	case Honour:
		return pos.Text{ZH: "承认迟到支付", EN: "honour a late payment"}
	case Refuse:
		return pos.Text{ZH: "拒绝迟到支付", EN: "refuse a late payment"}
	}
	return pos.Text{ZH: string(a), EN: string(a)}
}

// Late is a payment that was made in the window and came after the recall.
type Late struct {
	Payment  pos.PaymentID
	Terminal string
	Campaign string
	Shares   []institution.Share
	AtMS     int64
}

// Store keeps issuances. The functions may be run several times.
type Store interface {
	Write(ctx context.Context, fn func(tx Tx) error) error
	Read(ctx context.Context, fn func(tx Tx) error) error
}

// Tx is one transaction.
type Tx interface {
	ledger.Tx
	ledger.BatchTx
	Issuance(ctx context.Context, campaign string) (Issuance, bool, error)
	Issuances(ctx context.Context) ([]Issuance, error)
	// PutIssuance inserts, or moves standing and cursor; the plan never changes.
	PutIssuance(ctx context.Context, i Issuance) error
	Envelope(ctx context.Context, id string) (Issued, bool, error)
	// PutEnvelopes inserts or replaces.
	PutEnvelopes(ctx context.Context, all []Issued) error
	// Due lists envelopes of the states whose next try is due, the longest due first.
	// bank, an institution, may be empty: any.
	Due(ctx context.Context, campaign, bank string, states []State, nowMS int64, limit int) ([]Issued, error)
	// NextWaiting counts the envelopes that the waiting list of a stratum has got.
	NextWaiting(ctx context.Context, campaign, stratum string) (int64, error)
	// Unannounced lists envelopes of those who moved up that wait for the public log.
	Unannounced(ctx context.Context, campaign, bank string, untilMS int64, limit int) ([]Issued, error)
	// Advance appends to the campaign's public log that the envelope of a ticket goes to
	// another one, the next on the waiting list.
	Advance(ctx context.Context, campaign string, out, in [32]byte, reason string) error
	// Paces are how many envelopes institutions are sent in a second, where somebody has said so.
	Paces(ctx context.Context) (map[string]int, error)
	PutPace(ctx context.Context, bank string, perSecond int) error
	// Feed is how far the claims of an institution were read.
	Feed(ctx context.Context, bank string) (int64, error)
	PutFeed(ctx context.Context, bank string, n int64) error
	SpendsOf(ctx context.Context, id pos.PaymentID) ([]Spend, error)
	PutSpends(ctx context.Context, all []Spend) error
	PutReturns(ctx context.Context, all []Returned) error
	// Behind counts tills that may hold payments from before the moment which never arrived,
	// and evidence that no institution has decided.
	Behind(ctx context.Context, untilMS int64) (int64, error)
	Progress(ctx context.Context, campaign string) (Progress, error)
	Proposals(ctx context.Context) ([]Proposal, error)
	PutProposal(ctx context.Context, p Proposal) error
	CloseProposal(ctx context.Context, number int64, by string, confirmed bool) error
	PutLate(ctx context.Context, l Late) error
	Lates(ctx context.Context) ([]Late, error)
	// Resume lets the payment room go on with a held payment: to its institution, or into
	// conflict.
	Resume(ctx context.Context, id pos.PaymentID, honour bool) error
	Audit(ctx context.Context, actor, action, subject, detail string) error
}
