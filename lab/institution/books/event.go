package books

import (
	"fmt"

	"dcpos/lab/institution/api"
	"dcpos/pos"
)

// Wallet is an account of a customer.
type Wallet struct {
	ID          string    `json:"id"`
	Name        string    `json:"name"`
	Serial      string    `json:"serial"` // of the certificate; evidence names the wallet by it
	Certificate []byte    `json:"certificate"`
	Own         pos.Money `json:"own_fen"`
	Envelope    pos.Money `json:"envelope_fen"`
	Revoked     bool      `json:"revoked,omitempty"`
	Phone       string    `json:"phone,omitempty"` // finds the envelopes that were ordered for its holder
}

// Record is what the institution keeps of one request: a payment, an order, a
// refund or evidence. A request that failed is kept too, so that it fails for ever.
type Record struct {
	ID           string     `json:"id"` // the request id
	Op           api.Op     `json:"op"`
	Fingerprint  string     `json:"fingerprint"` // of the request's content
	Merchant     string     `json:"merchant"`
	Terminal     string     `json:"terminal"`
	Amount       pos.Money  `json:"amount_fen"`
	Status       api.Status `json:"status"`
	Reason       string     `json:"reason,omitempty"`
	TxnID        string     `json:"txn_id"`
	Date         pos.Date   `json:"settlement_date"`
	AtMS         int64      `json:"at_ms"`
	Fee          pos.Money  `json:"fee_fen,omitempty"`
	Wallet       string     `json:"wallet,omitempty"`
	Envelope     pos.Money  `json:"envelope_fen,omitempty"` // of a refund: what went back to the envelope
	Code         string     `json:"code,omitempty"`         // the payment code that this request used up
	Serial       string     `json:"serial,omitempty"`       // of evidence whose signature holds
	Counter      uint64     `json:"counter,omitempty"`
	Token        string     `json:"token,omitempty"` // of an order
	ValidUntilMS int64      `json:"valid_until_ms,omitempty"`
	Orig         string     `json:"orig,omitempty"`  // of a refund
	Twice        bool       `json:"twice,omitempty"` // planted: two lines in the statement

	Channel string      `json:"channel,omitempty"`
	Store   string      `json:"store,omitempty"`
	Lines   []pos.Line  `json:"lines,omitempty"`
	Shares  []api.Share `json:"shares,omitempty"` // of Envelope, by name
}

type code struct {
	Code      string `json:"code"`
	Wallet    string `json:"wallet"`
	ExpiresMS int64  `json:"expires_ms"`
	used      bool
}

// scanned is the payment of an order.
type scanned struct {
	ID       string    `json:"id"`
	Wallet   string    `json:"wallet"`
	Envelope pos.Money `json:"envelope_fen"`
	Fee      pos.Money `json:"fee_fen"`
	Date     pos.Date  `json:"settlement_date"`
	AtMS     int64     `json:"at_ms"`

	Shares []api.Share `json:"shares,omitempty"`
}

// event is one line of the journal; exactly one field is set. Events say what was
// decided, never how, so that a replay needs no clock and no rules.
type event struct {
	Wallet  *Wallet          `json:"wallet,omitempty"`
	Revoked string           `json:"revoked,omitempty"`
	Code    *code            `json:"code,omitempty"`
	Record  *Record          `json:"record,omitempty"`
	Scanned *scanned         `json:"scanned,omitempty"`
	Planted *api.PlantedLine `json:"planted,omitempty"`
	Cleared bool             `json:"cleared,omitempty"` // every planted difference is taken back

	Rules    *api.EnvelopeRules  `json:"rules,omitempty"`
	Ordered  []api.EnvelopeOrder `json:"ordered,omitempty"`
	Claimed  *claimed            `json:"claimed,omitempty"`
	Recalled []string            `json:"recalled,omitempty"`
	Restored *restored           `json:"restored,omitempty"`
}

// commit makes an event part of the books. The caller holds the lock.
func (b *Books) commit(e event) error {
	if err := b.journal.append(e); err != nil {
		return err
	}
	return b.apply(e)
}

func (b *Books) apply(e event) error {
	if done, err := b.applyEnvelope(e); done {
		return err
	}
	switch {
	case e.Wallet != nil:
		w := *e.Wallet
		b.wallets[w.ID], b.serials[w.Serial] = &w, w.ID
		b.totals.Issued += w.Own + w.Envelope
	case e.Revoked != "":
		w, ok := b.wallets[e.Revoked]
		if !ok {
			return fmt.Errorf("revoke wallet %q: not in the books", e.Revoked)
		}
		w.Revoked = true
	case e.Code != nil:
		c := *e.Code
		b.codes[c.Code] = &c
	case e.Record != nil:
		return b.applyRecord(*e.Record)
	case e.Scanned != nil:
		return b.applyScanned(*e.Scanned)
	case e.Planted != nil:
		b.planted = append(b.planted, *e.Planted)
	case e.Cleared:
		b.planted = nil
	}
	return nil
}

func (b *Books) applyRecord(r Record) error {
	if _, ok := b.records[r.ID]; ok {
		return fmt.Errorf("record %s: in the books already", r.ID)
	}
	b.records[r.ID] = &r
	b.order = append(b.order, r.ID)
	if r.Serial != "" && b.counters[mark{r.Serial, r.Counter}] == "" {
		b.counters[mark{r.Serial, r.Counter}] = r.ID
	}
	if c, ok := b.codes[r.Code]; ok {
		c.used = true
	}
	switch r.Status {
	case api.Failed:
		b.totals.FailedCount++
		return nil
	case api.InProcess:
		b.tokens[r.Token] = r.ID
		return nil
	case api.NotFound:
		return fmt.Errorf("record %s has status %q", r.ID, r.Status)
	case api.Success:
	}
	if r.Op == api.OpRefunds {
		return b.giveBack(r)
	}
	return b.take(r)
}

func (b *Books) applyScanned(s scanned) error {
	r, ok := b.records[s.ID]
	if !ok || r.Status != api.InProcess {
		return fmt.Errorf("order %s: not open", s.ID)
	}
	r.Status, r.Wallet, r.Envelope, r.Fee, r.Date, r.AtMS = api.Success, s.Wallet, s.Envelope, s.Fee, s.Date, s.AtMS
	r.Shares = s.Shares
	return b.take(*r)
}

// take moves a successful payment's money from the wallet to merchant and fees.
func (b *Books) take(r Record) error {
	w, ok := b.wallets[r.Wallet]
	nameless := r.Envelope - sumOf(r.Shares)
	if !ok || nameless < 0 || w.Envelope < nameless || w.Own < r.Amount-r.Envelope {
		return fmt.Errorf("payment %s: wallet %q cannot bear %s", r.ID, r.Wallet, r.Amount)
	}
	if err := b.moveShares(r.Wallet, r.Shares, false); err != nil {
		return fmt.Errorf("payment %s: %w", r.ID, err)
	}
	w.Envelope -= nameless
	w.Own -= r.Amount - r.Envelope
	b.merchants[r.Merchant] += r.Amount - r.Fee
	b.totals.Fees += r.Fee
	b.totals.Paid += r.Amount
	b.totals.PaidCount++
	if r.Op == api.OpEvidence {
		b.totals.Evidence += r.Amount
		b.totals.EvidenceCount++
	}
	return nil
}

// giveBack moves a refund's money from the merchant, who keeps bearing the fee, to the wallet.
func (b *Books) giveBack(r Record) error {
	w, ok := b.wallets[r.Wallet]
	if !ok || b.records[r.Orig] == nil {
		return fmt.Errorf("refund %s: wallet %q or payment %q not in the books", r.ID, r.Wallet, r.Orig)
	}
	if err := b.moveShares(r.Wallet, r.Shares, true); err != nil {
		return fmt.Errorf("refund %s: %w", r.ID, err)
	}
	w.Envelope += r.Envelope - sumOf(r.Shares)
	w.Own += r.Amount - r.Envelope
	b.merchants[r.Merchant] -= r.Amount
	back := b.returned[r.Orig]
	b.returned[r.Orig] = parts{own: back.own + r.Amount - r.Envelope, envelope: back.envelope + r.Envelope}
	b.totals.Refunded += r.Amount
	b.totals.RefundedCount++
	return nil
}
