package sdk

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"dcpos/pos"
)

// Options say where the till is and who asks.
type Options struct {
	// Socket is the path of the till's Unix socket. Either this or URL.
	Socket string
	// URL is the till's loopback address, such as http://127.0.0.1:8787.
	URL string
	// Token is the secret for URL.
	Token string
	// Caller gives programs on one Unix socket idempotency keys of their own: lower-case
	// letters, digits, - and _.
	Caller string
	// HTTP replaces the HTTP client; nil makes one for Socket or URL.
	HTTP *http.Client
	// Tries is how often a call is sent when the network interrupts it. Default 4.
	Tries int
	// Wait is the pause before the second try; it doubles with each. Default 200 ms.
	Wait time.Duration
}

// Client talks to one till. It is safe for concurrent use.
type Client struct {
	http   *http.Client
	base   string
	token  string
	caller string
	tries  int
	wait   time.Duration
}

// maxAnswer bounds what is read of an answer.
const maxAnswer = 8 << 20

// New makes a client. Nothing is connected yet.
func New(o Options) (*Client, error) {
	c := &Client{http: o.HTTP, base: strings.TrimRight(o.URL, "/"), token: o.Token, caller: o.Caller, tries: o.Tries, wait: o.Wait}
	if (o.Socket == "") == (o.URL == "") {
		return nil, errors.New("sdk: give either a socket or a URL")
	}
	if o.Socket != "" {
		c.base = "http://till"
	}
	if u, err := url.Parse(c.base); err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
		return nil, fmt.Errorf("sdk: address %q: want http://host:port", c.base)
	}
	if c.http == nil {
		transport := &http.Transport{MaxIdleConnsPerHost: 4, IdleConnTimeout: time.Minute}
		if o.Socket != "" {
			transport.DialContext = func(ctx context.Context, _, _ string) (net.Conn, error) {
				var d net.Dialer
				return d.DialContext(ctx, "unix", o.Socket)
			}
		}
		c.http = &http.Client{Transport: transport}
	}
	if c.tries < 1 {
		c.tries = 4
	}
	if c.wait <= 0 {
		c.wait = 200 * time.Millisecond
	}
	return c, nil
}

// NewKey draws an idempotency key.
func NewKey() string { return rand.Text() }

// call is one request.
type call struct {
	method, path string
	key          string
	body         any
	once         bool // sending it twice would do it twice
}

// do sends a call, again while the network interrupts it, and reads the answer into out.
func (c *Client) do(ctx context.Context, k call, out any) error {
	tries := c.tries
	if k.once {
		tries = 1
	}
	wait := c.wait
	var last error
	for n := range tries {
		if n > 0 {
			timer := time.NewTimer(wait)
			select {
			case <-ctx.Done():
				timer.Stop()
				return errors.Join(ctx.Err(), last)
			case <-timer.C:
			}
			wait *= 2
		}
		b, status, err := c.send(ctx, k)
		if err == nil {
			return read(b, status, out)
		}
		last = err
		if ctx.Err() != nil {
			break
		}
	}
	return &Unreachable{Err: last}
}

// Unreachable means that the till's agent gave no answer. Whether it got the request
// is not known: repeat it with the same key, or look at the payment.
type Unreachable struct{ Err error }

// Error says so, with the cause.
func (e *Unreachable) Error() string { return "till is not reachable: " + e.Err.Error() }

// Unwrap gives the cause.
func (e *Unreachable) Unwrap() error { return e.Err }

// Explain is what to print for a person, in "zh" or "en".
func (e *Unreachable) Explain(lang string) string {
	return pos.Text{
		ZH: "无法连接本机收银代理。\n请确认 posagent 正在运行,地址与权限正确",
		EN: "the till's agent cannot be reached.\nsee that posagent is running, and that address and permissions are right",
	}.In(lang)
}

func (c *Client) request(ctx context.Context, k call) (*http.Request, error) {
	var body io.Reader = http.NoBody
	if k.body != nil {
		b, err := json.Marshal(k.body)
		if err != nil {
			return nil, fmt.Errorf("encode request: %w", err)
		}
		body = bytes.NewReader(b)
	}
	req, err := http.NewRequestWithContext(ctx, k.method, c.base+k.path, body)
	if err != nil {
		return nil, fmt.Errorf("make request: %w", err)
	}
	if k.body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	for name, v := range map[string]string{"Idempotency-Key": k.key, "X-Dcpos-Caller": c.caller} {
		if v != "" {
			req.Header.Set(name, v)
		}
	}
	if c.token != "" {
		req.Header.Set("Authorization", "Bearer "+c.token)
	}
	return req, nil
}

func (c *Client) send(ctx context.Context, k call) (body []byte, status int, err error) {
	req, err := c.request(ctx, k)
	if err != nil {
		return nil, 0, err
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return nil, 0, err
	}
	defer resp.Body.Close() //nolint:errcheck // nothing is written
	b, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	if err != nil {
		return nil, 0, fmt.Errorf("read answer: %w", err)
	}
	return b, resp.StatusCode, nil
}

// failure is the error body of the API.
type failure struct {
	pos.Error
	Detail string `json:"detail"`
}

func read(b []byte, status int, out any) error {
	if status >= 400 {
		var f failure
		if err := json.Unmarshal(b, &f); err != nil || f.Code == "" {
			return pos.NewError(pos.ErrInternal, fmt.Errorf("till answered %d without an error body", status))
		}
		e := f.Error
		e.Err = fmt.Errorf("till answered %d", status)
		if f.Detail != "" {
			e.Err = fmt.Errorf("%w: %s", e.Err, f.Detail)
		}
		return &e
	}
	if raw, ok := out.(*[]byte); ok {
		*raw = b
		return nil
	}
	if out == nil || len(b) == 0 {
		return nil
	}
	if err := json.Unmarshal(b, out); err != nil {
		return fmt.Errorf("read answer: %w", err)
	}
	return nil
}
