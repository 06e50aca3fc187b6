package institution

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"

	"dcpos/pos"
)

// MaxOrders bounds one batch of orders or recalls, and a page of claims: what fits an answer.
const MaxOrders = 200

// Share is the part of a payment or a refund that an envelope bears.
type Share struct {
	Envelope string    `json:"envelope"`
	Amount   pos.Money `json:"amount_fen"`
}

// EnvelopeRules are what an institution must know of a campaign to let its envelopes be spent.
type EnvelopeRules struct {
	Campaign   string   `json:"campaign"`
	Hash       string   `json:"hash"` // of the published definition, hexadecimal
	Title      pos.Text `json:"title"`
	FromMS     int64    `json:"from_ms"` // the spend window, half-open
	UntilMS    int64    `json:"until_ms"`
	Channels   []string `json:"channels"`
	Merchants  []string `json:"merchants"` // "*" alone: all
	Stores     []string `json:"stores"`
	Categories []string `json:"categories"`
}

// EnvelopeOrder asks to keep an envelope for a claimant. It is idempotent by the envelope.
type EnvelopeOrder struct {
	Envelope  string    `json:"envelope"`
	Campaign  string    `json:"campaign"`
	Claimant  string    `json:"claimant"` // hash of campaign and phone
	Amount    pos.Money `json:"amount_fen"`
	Threshold pos.Money `json:"threshold_fen"` // of a coupon; 0: free
}

// EnvelopeWord answers an order or a recall of one envelope.
type EnvelopeWord struct {
	Envelope string    `json:"envelope"`
	Status   Status    `json:"status"` // Success or Failed
	Reason   string    `json:"reason"`
	Claimed  bool      `json:"claimed"`  // it was in a wallet
	Left     pos.Money `json:"left_fen"` // of a recall: what was taken out of the wallet
}

// EnvelopeClaim tells that an envelope came into a wallet. N grows by claim without gaps.
type EnvelopeClaim struct {
	N        int64  `json:"n"`
	Envelope string `json:"envelope"`
	Wallet   string `json:"wallet"`
	AtMS     int64  `json:"at_ms"`
}

// Envelopes is what an institution does that gives out envelopes. Every call may be
// repeated; errors are *Error.
type Envelopes interface {
	EnvelopeRules(ctx context.Context, r EnvelopeRules) error
	// OrderEnvelopes places at most MaxOrders; each has a word of its own.
	OrderEnvelopes(ctx context.Context, orders []EnvelopeOrder) ([]EnvelopeWord, error)
	// RecallEnvelopes takes back what is left, or withdraws what nobody has claimed. unclaimed
	// leaves alone what is in a wallet.
	RecallEnvelopes(ctx context.Context, envelopes []string, unclaimed bool) ([]EnvelopeWord, error)
	// RestoreEnvelope puts an amount into an envelope that was recalled, for a payment that
	// was made before; it is idempotent by envelope and payment.
	RestoreEnvelope(ctx context.Context, envelope string, payment pos.PaymentID, amount pos.Money) error
	// EnvelopeClaims lists claims with a number above after, in order.
	EnvelopeClaims(ctx context.Context, after int64, limit int) ([]EnvelopeClaim, error)
}

var _ Envelopes = (*Client)(nil)

// EnvelopeRules implements Envelopes.
func (c *Client) EnvelopeRules(ctx context.Context, r EnvelopeRules) error {
	return c.talk(ctx, http.MethodPost, "/campaigns", r, new(struct{}))
}

// OrderEnvelopes implements Envelopes.
func (c *Client) OrderEnvelopes(ctx context.Context, orders []EnvelopeOrder) ([]EnvelopeWord, error) {
	var a envelopeWords
	err := c.talk(ctx, http.MethodPost, "/envelopes", map[string]any{"orders": orders}, &a)
	return a.Answers, err
}

// RecallEnvelopes implements Envelopes.
func (c *Client) RecallEnvelopes(ctx context.Context, envelopes []string, unclaimed bool) ([]EnvelopeWord, error) {
	var a envelopeWords
	err := c.talk(ctx, http.MethodPost, "/envelopes/recall", map[string]any{"envelopes": envelopes, "unclaimed": unclaimed}, &a)
	return a.Answers, err
}

// RestoreEnvelope implements Envelopes.
func (c *Client) RestoreEnvelope(ctx context.Context, envelope string, payment pos.PaymentID, amount pos.Money) error {
	return c.talk(ctx, http.MethodPost, "/envelopes/restore",
		map[string]any{"envelope": envelope, "payment": payment, "amount_fen": amount}, new(struct{}))
}

// EnvelopeClaims implements Envelopes.
func (c *Client) EnvelopeClaims(ctx context.Context, after int64, limit int) ([]EnvelopeClaim, error) {
	var a struct {
		Claims []EnvelopeClaim `json:"claims"`
	}
	err := c.talk(ctx, http.MethodGet, "/claims?after="+strconv.FormatInt(after, 10)+"&limit="+strconv.Itoa(min(limit, MaxOrders)), nil, &a)
	for i, x := range a.Claims {
		if err == nil && (x.N != after+int64(i)+1 || x.Envelope == "" || x.Wallet == "" || len(x.Wallet) > 64 || len(x.Envelope) > 64) {
			err = c.fail("envelopes", MayHaveArrived, fmt.Errorf("claim %d after %d is not right", x.N, after))
		}
	}
	return a.Claims, err
}

type envelopeWords struct {
	Answers []EnvelopeWord `json:"answers"`
}

// talk is one call about envelopes. They have queries' slots: no customer waits for them.
func (c *Client) talk(ctx context.Context, method, path string, body, into any) error {
	const op = "envelopes"
	b, err := json.Marshal(body)
	if err != nil {
		return c.fail(op, NotSent, err)
	}
	ctx, cancel := context.WithTimeout(ctx, c.desc.Timeouts.Ask.Duration)
	defer cancel()
	leave, err := c.queries.enter(ctx)
	if err != nil {
		return c.fail(op, NotSent, err)
	}
	defer leave(neutral)
	res, sent, err := c.do(ctx, method, path, b)
	if err != nil {
		return c.fail(op, classOfTransport(sent), err)
	}
	defer func() { _ = res.Body.Close() }() // read whole or given up
	if res.StatusCode != http.StatusOK {
		return c.refusal(op, res)
	}
	if b, err = readAll(res.Body); err == nil {
		err = json.Unmarshal(b, into)
	}
	if err != nil {
		return c.fail(op, MayHaveArrived, err)
	}
	return nil
}

// checkShares refuses an answer whose shares do not make its envelope part.
func (a Answer) checkShares() error {
	if len(a.Envelopes) == 0 {
		return nil
	}
	if len(a.Envelopes) > maxShares {
		return fmt.Errorf("answer has %d envelopes", len(a.Envelopes))
	}
	var sum pos.Money
	seen := map[string]bool{}
	for _, s := range a.Envelopes {
		if s.Envelope == "" || len(s.Envelope) > 64 || seen[s.Envelope] || s.Amount <= 0 || s.Amount > pos.MaxAmount {
			return errors.New("answer has an envelope that is not right")
		}
		sum += s.Amount
		seen[s.Envelope] = true
	}
	if sum > a.Envelope {
		return fmt.Errorf("answer has envelopes of %s, together %s", a.Envelope, sum)
	}
	return nil
}

// maxShares bounds the envelopes of one payment; a ledger transaction holds so many.
const maxShares = 16
