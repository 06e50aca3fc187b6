package api

import (
	"encoding/base64"
	"time"

	"dcpos/pos"
	"dcpos/pos/dcep"
)

// maxEvidence bounds the base64 text of evidence: what fits a QR code, with room.
const maxEvidence = 8 << 10

// Payment asks for money of the wallet that showed the code (B-scan-C, 被扫).
type Payment struct {
	RequestID string     `json:"request_id"` // the payment id; names this request for ever
	Merchant  string     `json:"merchant"`
	Terminal  string     `json:"terminal"`
	Amount    pos.Money  `json:"amount_fen"`
	Code      string     `json:"code"`
	ExpiresMS int64      `json:"expires_ms"`        // after this moment the request is never started
	Channel   string     `json:"channel,omitempty"` // as in Order
	Lines     []pos.Line `json:"lines,omitempty"`
	Store     string     `json:"store,omitempty"`
}

// Check implements Checker.
func (p *Payment) Check() error {
	if err := first(
		checkID("request_id", p.RequestID), checkLabel("merchant", p.Merchant),
		checkLabel("terminal", p.Terminal), checkAmount(p.Amount),
	); err != nil {
		return err
	}
	if p.Code == "" || len(p.Code) > maxLabel {
		return bad("code", "want 1 to %d bytes", maxLabel)
	}
	if p.ExpiresMS <= 0 {
		return bad("expires_ms", "want Unix milliseconds")
	}
	return checkPlace(p.Channel, p.Lines, p.Amount, p.Store)
}

// checkPlace checks where and for what money is asked for.
func checkPlace(channel string, lines []pos.Line, amount pos.Money, store string) error {
	if channel != "" && channel != pos.ChannelInStore && channel != pos.ChannelOnline {
		return bad("channel", "want %s or %s", pos.ChannelInStore, pos.ChannelOnline)
	}
	if store != "" {
		if err := checkLabel("store", store); err != nil {
			return err
		}
	}
	return pos.CheckLines(lines, amount)
}

// Order asks for a QR that a wallet may pay once (C-scan-B, 主扫). It cannot be
// closed, as with real e-CNY: only ValidUntilMS ends it.
type Order struct {
	RequestID    string     `json:"request_id"`
	Merchant     string     `json:"merchant"`
	Terminal     string     `json:"terminal"`
	Amount       pos.Money  `json:"amount_fen"`
	ValidUntilMS int64      `json:"valid_until_ms"`
	Channel      string     `json:"channel,omitempty"` // in_store when empty, or online
	Lines        []pos.Line `json:"lines,omitempty"`   // what is bought, by category
	Store        string     `json:"store,omitempty"`   // where the till stands
}

// Check implements Checker.
func (o *Order) Check() error {
	if o.ValidUntilMS <= 0 {
		return bad("valid_until_ms", "want Unix milliseconds")
	}
	if o.Channel != "" && o.Channel != pos.ChannelInStore && o.Channel != pos.ChannelOnline {
		return bad("channel", "want %s or %s", pos.ChannelInStore, pos.ChannelOnline)
	}
	if err := pos.CheckLines(o.Lines, o.Amount); err != nil {
		return err
	}
	return first(
		checkPlace(o.Channel, o.Lines, o.Amount, o.Store),
		checkID("request_id", o.RequestID), checkLabel("merchant", o.Merchant),
		checkLabel("terminal", o.Terminal), checkAmount(o.Amount),
	)
}

// Refund asks to give back part or all of a payment.
type Refund struct {
	RequestID     string    `json:"request_id"` // the refund id, never the payment's
	OrigRequestID string    `json:"orig_request_id"`
	Amount        pos.Money `json:"amount_fen"`
}

// Check implements Checker.
func (r *Refund) Check() error {
	return first(
		checkID("request_id", r.RequestID), checkID("orig_request_id", r.OrigRequestID),
		checkAmount(r.Amount),
	)
}

// Evidence hands in what a wallet signed offline.
type Evidence struct {
	RequestID string `json:"request_id"` // the payment id that the wallet signed for
	Evidence  string `json:"evidence"`   // standard base64 of the canonical bytes

	parsed dcep.Evidence
}

// Check implements Checker. Bytes that are not evidence at all, or evidence for
// another payment, are bad requests; whether its signature holds is a finding.
func (e *Evidence) Check() error {
	if err := checkID("request_id", e.RequestID); err != nil {
		return err
	}
	if len(e.Evidence) > maxEvidence {
		return bad("evidence", "want at most %d characters", maxEvidence)
	}
	b, err := base64.StdEncoding.Strict().DecodeString(e.Evidence)
	if err != nil {
		return pos.FieldError(pos.ErrBadRequest, "evidence", err)
	}
	if e.parsed, err = dcep.ParseEvidence(b); err != nil {
		return pos.FieldError(pos.ErrBadRequest, "evidence", err)
	}
	c := e.parsed.Challenge
	if c.Payment.String() != e.RequestID {
		return bad("request_id", "the wallet signed for payment %s", c.Payment)
	}
	return first(checkLabel("evidence.merchant", c.Merchant), checkLabel("evidence.terminal", c.Terminal))
}

// Parsed is the evidence that Check has read.
func (e *Evidence) Parsed() dcep.Evidence { return e.parsed }

// NewWallet opens a wallet with the given money and certifies its key for offline payments.
type NewWallet struct {
	Name      string    `json:"name"`
	Balance   pos.Money `json:"balance_fen"`
	Envelope  pos.Money `json:"envelope_fen"`   // red-envelope part, spent before own money
	Tier      int       `json:"tier,omitempty"` // class of the wallet, 1 to 4, as its certificate tells it; 0 tells none
	Suite     string    `json:"suite"`
	PublicKey []byte    `json:"public_key"`      // PKIX DER
	Phone     string    `json:"phone,omitempty"` // of the holder; envelopes that were ordered for it are claimed
	// ValidMS is for how long the certificate is good, in milliseconds from now; 0: as long as the institution's are. Below 0
	// it has expired already, to try tills.
	ValidMS int64 `json:"valid_ms,omitempty"`
}

// Valid is ValidMS as a duration.
func (w *NewWallet) Valid() time.Duration { return time.Duration(w.ValidMS) * time.Millisecond }

// Bounds of Valid: a wallet that expired longer ago would be older than its institution's certificate.
const (
	longestExpired = 12 * time.Hour
	longestValid   = 5 * 365 * 24 * time.Hour
)

// Check implements Checker.
func (w *NewWallet) Check() error {
	switch {
	case w.Name == "" || len(w.Name) > maxLabel:
		return bad("name", "want 1 to %d bytes", maxLabel)
	case w.Balance < 0 || w.Balance > pos.MaxAmount:
		return bad("balance_fen", "%d fen: want 0 to %d", w.Balance, pos.MaxAmount)
	case w.Tier < 0 || w.Tier > 4:
		return bad("tier", "want 1 to 4, or 0 to tell none")
	case w.ValidMS < -longestExpired.Milliseconds() || w.ValidMS > longestValid.Milliseconds():
		return bad("valid_ms", "want %s ago to %s from now", longestExpired, longestValid)
	case len(w.Phone) > maxLabel:
		return bad("phone", "want at most %d bytes", maxLabel)
	case w.Envelope < 0 || w.Envelope > pos.MaxAmount:
		return bad("envelope_fen", "%d fen: want 0 to %d", w.Envelope, pos.MaxAmount)
	}
	suite, err := dcep.SuiteByName(w.Suite)
	if err != nil {
		return pos.FieldError(pos.ErrBadRequest, "suite", err)
	}
	if _, err := suite.Verifier(w.PublicKey); err != nil {
		return pos.FieldError(pos.ErrBadRequest, "public_key", err)
	}
	return nil
}

// Scan pays the order whose QR the wallet has scanned.
type Scan struct {
	QR string `json:"qr"`
}

// Check implements Checker.
func (s *Scan) Check() error {
	if s.QR == "" || len(s.QR) > 512 {
		return bad("qr", "want 1 to 512 bytes")
	}
	return nil
}
