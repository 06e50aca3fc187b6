package institution

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"sync/atomic"
	"time"

	"dcpos/pos"
)

// Bounds of what an institution may send.
const (
	maxAnswer    = 64 << 10 // a JSON answer
	maxStatement = 8 << 30  // a day's statement
	dialTimeout  = 3 * time.Second
)

// KeyHeader carries the API key.
const KeyHeader = "X-Dcpos-Key"

// Client is the Adapter over HTTP. It is safe for concurrent use and keeps connections.
type Client struct {
	desc    Description
	base    string
	key     string
	http    *http.Client
	asks    *gate
	queries *gate
}

var _ Adapter = (*Client)(nil)

// NewClient makes the client of one described institution. now is the clock of the breaker.
func NewClient(d Description, a Access, now func() time.Time) *Client {
	t := &http.Transport{
		DialContext:            (&net.Dialer{Timeout: dialTimeout, KeepAlive: 30 * time.Second}).DialContext,
		MaxIdleConnsPerHost:    d.Concurrency.Ask + d.Concurrency.Query,
		IdleConnTimeout:        90 * time.Second,
		TLSHandshakeTimeout:    dialTimeout,
		MaxResponseHeaderBytes: 16 << 10,
	}
	return &Client{
		desc: d, base: a.BaseURL, key: a.APIKey,
		http: &http.Client{
			Transport: t,
			// A redirect would send money questions to a place nobody described.
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
		asks:    newGate(d.Concurrency.Ask, d.Breaker.Failures, d.Breaker.Rest.Duration, now),
		queries: newGate(d.Concurrency.Query, 0, 0, now),
	}
}

// Describe returns the institution's description.
func (c *Client) Describe() Description { return c.desc }

// Resting reports that questions fail fast now; queries never do.
func (c *Client) Resting() bool { return c.asks.open() }

// Close drops the idle connections.
func (c *Client) Close() { c.http.CloseIdleConnections() }

// Pay implements Adapter.
func (c *Client) Pay(ctx context.Context, r PayRequest) (Answer, error) {
	return c.ask(ctx, "pay", "/payments", r)
}

// Order implements Adapter.
func (c *Client) Order(ctx context.Context, r OrderRequest) (Answer, error) {
	return c.ask(ctx, "order", "/orders", r)
}

// Payment implements Adapter.
func (c *Client) Payment(ctx context.Context, id pos.PaymentID) (Answer, error) {
	return c.query(ctx, "/payments/"+id.String())
}

// Refund implements Adapter.
func (c *Client) Refund(ctx context.Context, r RefundRequest) (Answer, error) {
	return c.ask(ctx, "refund", "/refunds", r)
}

// RefundStatus implements Adapter.
func (c *Client) RefundStatus(ctx context.Context, id pos.RefundID) (Answer, error) {
	return c.query(ctx, "/refunds/"+id.String())
}

// Evidence implements Adapter.
func (c *Client) Evidence(ctx context.Context, r EvidenceRequest) (Answer, error) {
	return c.ask(ctx, "evidence", "/evidence", r)
}

// Statement implements Adapter.
func (c *Client) Statement(ctx context.Context, date pos.Date, w io.Writer) error {
	return c.download(ctx, "statement", "/statements/", date, w)
}

// Account implements Adapter.
func (c *Client) Account(ctx context.Context, date pos.Date, w io.Writer) error {
	return c.download(ctx, "account", "/account/", date, w)
}

func (c *Client) download(ctx context.Context, op, path string, date pos.Date, w io.Writer) error {
	if _, err := pos.ParseDate(string(date)); err != nil {
		return fmt.Errorf("%s of %s: %w", op, c.desc.Code, err)
	}
	ctx, cancel := context.WithTimeout(ctx, c.desc.Timeouts.Statement.Duration)
	defer cancel()
	leave, err := c.queries.enter(ctx)
	if err != nil {
		return c.fail(op, NotSent, err)
	}
	defer leave(neutral)
	res, sent, err := c.do(ctx, http.MethodGet, path+string(date), nil)
	if err != nil {
		return c.fail(op, classOfTransport(sent), err)
	}
	defer func() { _ = res.Body.Close() }()
	if res.StatusCode != http.StatusOK {
		return c.refusal(op, res)
	}
	n, err := io.Copy(w, io.LimitReader(res.Body, maxStatement+1))
	if err != nil {
		return c.fail(op, MayHaveArrived, err)
	}
	if n > maxStatement {
		return c.fail(op, MayHaveArrived, fmt.Errorf("longer than %d bytes", int64(maxStatement)))
	}
	return nil
}

func (c *Client) ask(ctx context.Context, op, path string, body any) (Answer, error) {
	b, err := json.Marshal(body)
	if err != nil {
		return Answer{}, c.fail(op, NotSent, err)
	}
	ctx, cancel := context.WithTimeout(ctx, c.desc.Timeouts.Ask.Duration)
	defer cancel()
	return c.call(ctx, c.asks, op, http.MethodPost, path, b)
}

func (c *Client) query(ctx context.Context, path string) (Answer, error) {
	ctx, cancel := context.WithTimeout(ctx, c.desc.Timeouts.Query.Duration)
	defer cancel()
	return c.call(ctx, c.queries, "query", http.MethodGet, path, nil)
}

func (c *Client) call(ctx context.Context, g *gate, op, method, path string, body []byte) (Answer, error) {
	leave, err := g.enter(ctx)
	if err != nil {
		return Answer{}, c.fail(op, NotSent, err)
	}
	a, err := c.exchange(ctx, op, method, path, body)
	leave(proves(ctx, err))
	return a, err
}

// proves tells the breaker what a call showed about the institution.
func proves(ctx context.Context, err error) verdict {
	e, failed := errors.AsType[*Error](err)
	switch {
	case !failed, e.Class == Refused && e.HTTP != http.StatusTooManyRequests:
		return good
	case errors.Is(ctx.Err(), context.Canceled):
		return neutral
	}
	return bad
}

func (c *Client) exchange(ctx context.Context, op, method, path string, body []byte) (Answer, error) {
	res, sent, err := c.do(ctx, method, path, body)
	if err != nil {
		return Answer{}, c.fail(op, classOfTransport(sent), err)
	}
	defer func() { _ = res.Body.Close() }()
	if res.StatusCode != http.StatusOK {
		return Answer{}, c.refusal(op, res)
	}
	b, err := readAll(res.Body)
	if err != nil {
		return Answer{}, c.fail(op, MayHaveArrived, err)
	}
	a, err := ParseAnswer(b)
	if err != nil {
		return Answer{}, c.fail(op, MayHaveArrived, err)
	}
	return a, nil
}

// do sends one request. sent tells whether a connection was had, after which a
// byte may have left.
func (c *Client) do(ctx context.Context, method, path string, body []byte) (res *http.Response, sent bool, err error) {
	var had atomic.Bool
	ctx = httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{
		GotConn: func(httptrace.GotConnInfo) { had.Store(true) },
	})
	req, err := http.NewRequestWithContext(ctx, method, c.base+path, bytes.NewReader(body))
	if err != nil {
		return nil, false, fmt.Errorf("make request: %w", err)
	}
	req.Header.Set(KeyHeader, c.key)
	req.Header.Set("Accept", "application/json, text/csv, text/plain")
	if method == http.MethodPost {
		req.Header.Set("Content-Type", "application/json")
	}
	res, err = c.http.Do(req)
	return res, had.Load(), err
}

func classOfTransport(sent bool) Class {
	if sent {
		return MayHaveArrived
	}
	return NotSent
}

// refusal reads an answer that is not 200. Only a 4xx proves that nothing was
// started; a conflict of keys proves the contrary, a time-out nothing.
func (c *Client) refusal(op string, res *http.Response) error {
	var said struct {
		Code    string `json:"code"`
		Message string `json:"message"`
	}
	b, err := readAll(res.Body)
	if err == nil {
		err = json.Unmarshal(b, &said)
	}
	e := &Error{Institution: c.desc.Code, Op: op, HTTP: res.StatusCode, Code: clip(said.Code, 64), Class: MayHaveArrived}
	if (op == "statement" || op == "account") && res.StatusCode == http.StatusNotFound && said.Code == "not_ready" {
		e.Err = ErrNotReady
		return e
	}
	refused := res.StatusCode >= 400 && res.StatusCode < 500 &&
		res.StatusCode != http.StatusRequestTimeout && res.StatusCode != http.StatusConflict
	if refused && err == nil && said.Code != "" {
		e.Class = Refused
	}
	return e
}

func (c *Client) fail(op string, class Class, err error) error {
	return &Error{Class: class, Institution: c.desc.Code, Op: op, Err: err}
}

func readAll(r io.Reader) ([]byte, error) {
	b, err := io.ReadAll(io.LimitReader(r, maxAnswer+1))
	if err != nil {
		return nil, fmt.Errorf("read answer: %w", err)
	}
	if len(b) > maxAnswer {
		return nil, fmt.Errorf("answer is longer than %d bytes", maxAnswer)
	}
	return b, nil
}

// ParseAnswer reads an institution's JSON answer and refuses one that no
// institution may give: a status that is none, amounts out of range, texts too long.
func ParseAnswer(b []byte) (Answer, error) {
	var a Answer
	if err := json.Unmarshal(b, &a); err != nil {
		return Answer{}, fmt.Errorf("read answer: %w", err)
	}
	switch {
	case !a.Status.Valid():
		return Answer{}, fmt.Errorf("answer has status %q", clip(string(a.Status), 8))
	case a.Fee < 0 || a.Fee > pos.MaxAmount || a.Envelope < 0 || a.Envelope > pos.MaxAmount:
		return Answer{}, fmt.Errorf("answer has fee %d and envelope %d", a.Fee, a.Envelope)
	case len(a.Txn) > 64 || len(a.Reason) > 64 || len(a.QR) > 1024:
		return Answer{}, errors.New("answer has a field that is too long")
	}
	if a.SettlementDate != "" {
		if _, err := pos.ParseDate(string(a.SettlementDate)); err != nil {
			return Answer{}, err
		}
	}
	if a.Status == Success && (a.Txn == "" || a.SettlementDate == "") {
		return Answer{}, errors.New("answer says success without transaction or settlement date")
	}
	return a, a.checkShares()
}

func clip(s string, n int) string {
	if len(s) > n {
		return s[:n]
	}
	return s
}
