package shop

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"

	"dcpos/pos"
)

// Bounds of one call.
const (
	callTimeout = 30 * time.Second
	maxAnswer   = 1 << 20
)

// KeyFile is what `poscentral webshop key` writes.
type KeyFile struct {
	Format  string `json:"format"`
	Shop    string `json:"shop"`
	KeyID   string `json:"keyid"`
	Private string `json:"private_key"` // PKCS #8, PEM
}

// ReadKey opens the shop's key.
func ReadKey(path string) (KeyFile, ed25519.PrivateKey, error) {
	var f KeyFile
	b, err := os.ReadFile(path)
	if err != nil {
		return f, nil, err
	}
	if err := json.Unmarshal(b, &f); err != nil || f.Format != "dcpos.shop-key-1" {
		return f, nil, fmt.Errorf("%s: want the file of poscentral webshop key", path)
	}
	block, _ := pem.Decode([]byte(f.Private))
	if block == nil {
		return f, nil, fmt.Errorf("%s: holds no PEM", path)
	}
	parsed, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		return f, nil, fmt.Errorf("%s: %w", path, err)
	}
	key, ok := parsed.(ed25519.PrivateKey)
	if !ok {
		return f, nil, fmt.Errorf("%s: want an Ed25519 key", path)
	}
	return f, key, nil
}

// Client calls the centre in the shop's name. It is safe for concurrent use.
type Client struct {
	Base  string // such as https://centre.example
	KeyID string
	Key   ed25519.PrivateKey
	HTTP  *http.Client // nil is http.DefaultClient
	Now   func() time.Time
}

// Line is a line of an order.
type Line struct {
	Name     string    `json:"name"`
	Category string    `json:"category"`
	Quantity int       `json:"quantity"`
	Amount   pos.Money `json:"amount_fen"`
}

// PayRequest asks to be paid.
type PayRequest struct {
	Order       string    `json:"order_id"`
	Amount      pos.Money `json:"amount_fen"`
	Lines       []Line    `json:"lines"`
	Institution string    `json:"institution,omitempty"`
	ValidMS     int64     `json:"valid_ms,omitempty"`
}

// Payment is how a payment stands.
type Payment struct {
	ID           string    `json:"id"`
	Order        string    `json:"order_id"`
	Status       string    `json:"status"`
	Final        bool      `json:"final"`
	Amount       pos.Money `json:"amount_fen"`
	Envelope     pos.Money `json:"envelope_fen"`
	Refunded     pos.Money `json:"refunded_fen"`
	QR           string    `json:"qr"`
	ValidUntilMS int64     `json:"valid_until_ms"`
	Institution  string    `json:"institution"`
	Reason       string    `json:"reason"`
	Text         pos.Text  `json:"text"`
	Refunds      []Refund  `json:"refunds"`
}

// Refund is a refund of a payment.
type Refund struct {
	ID       string    `json:"id"`
	Status   string    `json:"status"`
	Amount   pos.Money `json:"amount_fen"`
	Own      pos.Money `json:"own_fen"`
	Envelope pos.Money `json:"envelope_fen"`
	Recalled pos.Money `json:"recalled_fen"`
	Auto     bool      `json:"auto"`
}

// Problem is the centre's error.
type Problem struct {
	Status int      `json:"-"`
	Code   string   `json:"code"`
	Field  string   `json:"field"`
	Detail string   `json:"detail"`
	Text   pos.Text `json:"text"`
	Hint   pos.Text `json:"hint"`
}

// Error implements error.
func (p *Problem) Error() string {
	return fmt.Sprintf("%d %s %s: %s (%s)", p.Status, p.Code, p.Field, p.Text.EN, p.Detail)
}

// Pay asks for a QR under the shop's key; the same key again is the same payment.
func (c *Client) Pay(ctx context.Context, key string, r PayRequest) (p Payment, err error) {
	return p, c.call(ctx, http.MethodPost, "/shop/v1/payments", key, r, &p)
}

// Find tells how a payment stands.
func (c *Client) Find(ctx context.Context, id string) (p Payment, err error) {
	return p, c.call(ctx, http.MethodGet, "/shop/v1/payments/"+url.PathEscape(id), "", nil, &p)
}

// FindOrder lists the payments of an order.
func (c *Client) FindOrder(ctx context.Context, order string) ([]Payment, error) {
	var out struct {
		Payments []Payment `json:"payments"`
	}
	err := c.call(ctx, http.MethodGet, "/shop/v1/payments?order_id="+url.QueryEscape(order), "", nil, &out)
	return out.Payments, err
}

// Cancel gives a payment up.
func (c *Client) Cancel(ctx context.Context, id string) (p Payment, err error) {
	return p, c.call(ctx, http.MethodPost, "/shop/v1/payments/"+url.PathEscape(id)+"/cancel", "", struct{}{}, &p)
}

// Refund gives money back under a key of its own.
func (c *Client) Refund(ctx context.Context, key, id string, amount pos.Money) (Refund, Payment, error) {
	var out struct {
		Refund  Refund  `json:"refund"`
		Payment Payment `json:"payment"`
	}
	err := c.call(ctx, http.MethodPost, "/shop/v1/payments/"+url.PathEscape(id)+"/refunds", key, map[string]pos.Money{"amount_fen": amount}, &out)
	return out.Refund, out.Payment, err
}

// Events fetches what webhooks say, above a number.
func (c *Client) Events(ctx context.Context, after int64) (all []Event, more bool, err error) {
	var out struct {
		Events []Event `json:"events"`
		More   bool    `json:"more"`
	}
	err = c.call(ctx, http.MethodGet, fmt.Sprintf("/shop/v1/events?after=%d", after), "", nil, &out)
	return out.Events, out.More, err
}

// HookKey fetches the key that signs webhooks.
func (c *Client) HookKey(ctx context.Context) (id string, key ed25519.PublicKey, err error) {
	var out struct {
		KeyID  string `json:"keyid"`
		Public []byte `json:"public_key"`
	}
	if err := c.call(ctx, http.MethodGet, "/shop/v1/hook-key", "", nil, &out); err != nil {
		return "", nil, err
	}
	parsed, err := x509.ParsePKIXPublicKey(out.Public)
	if err != nil {
		return "", nil, err
	}
	key, ok := parsed.(ed25519.PublicKey)
	if !ok {
		return "", nil, errors.New("the centre's key is not Ed25519")
	}
	return out.KeyID, key, nil
}

// Request makes a signed request. Each call signs anew, with another nonce.
func (c *Client) Request(ctx context.Context, method, path, key string, body []byte) (*http.Request, error) {
	req, err := http.NewRequestWithContext(ctx, method, strings.TrimSuffix(c.Base, "/")+path, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	req.Header.Set("Content-Type", "application/json")
	if key != "" {
		req.Header.Set("Idempotency-Key", key)
	}
	now := time.Now
	if c.Now != nil {
		now = c.Now
	}
	var nonce [18]byte
	_, _ = rand.Read(nonce[:]) // never returns an error (crypto/rand)
	signRequest(req, body, c.KeyID, base64.RawURLEncoding.EncodeToString(nonce[:]), "dcpos-shop-1", now().Unix(), c.Key)
	return req, nil
}

func (c *Client) call(ctx context.Context, method, path, key string, in, out any) error {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	var body []byte
	if in != nil {
		var err error
		if body, err = json.Marshal(in); err != nil {
			return err
		}
	}
	req, err := c.Request(ctx, method, path, key, body)
	if err != nil {
		return err
	}
	client := c.HTTP
	if client == nil {
		client = http.DefaultClient
	}
	res, err := client.Do(req)
	if err != nil {
		return err
	}
	defer func() { _ = res.Body.Close() }() // only read from
	b, err := io.ReadAll(io.LimitReader(res.Body, maxAnswer))
	if err != nil {
		return err
	}
	if res.StatusCode != http.StatusOK {
		p := &Problem{Status: res.StatusCode}
		if err := json.Unmarshal(b, p); err != nil {
			return fmt.Errorf("the centre answered %d without a reason", res.StatusCode)
		}
		return p
	}
	return json.Unmarshal(b, out)
}

// signRequest is docs/PROTOCOL.md §10.1.
func signRequest(r *http.Request, body []byte, keyID, nonce, tag string, created int64, key ed25519.PrivateKey) {
	r.Header.Set("Content-Digest", bodyDigest(body))
	params, text := signed(r, fmt.Sprintf(`;created=%d;nonce="%s";alg="ed25519";keyid="%s";tag="%s"`, created, nonce, keyID, tag))
	r.Header.Set("Signature-Input", "dcpos="+params)
	r.Header.Set("Signature", "dcpos=:"+base64.StdEncoding.EncodeToString(ed25519.Sign(key, []byte(text)))+":")
}

// signed is what is signed: the parts that the protocol names, one a line.
func signed(r *http.Request, rest string) (params, text string) {
	host := r.Host
	if host == "" {
		host = r.URL.Host
	}
	path := r.URL.EscapedPath()
	if path == "" {
		path = "/"
	}
	lines := [][2]string{
		{"@method", r.Method},
		{"@authority", strings.TrimSuffix(strings.TrimSuffix(strings.ToLower(host), ":443"), ":80")},
		{"@path", path},
		{"@query", "?" + r.URL.RawQuery},
		{"content-digest", r.Header.Get("Content-Digest")},
	}
	if key := r.Header.Get("Idempotency-Key"); key != "" {
		lines = append(lines, [2]string{"idempotency-key", key})
	}
	var names []string
	for _, l := range lines {
		names = append(names, `"`+l[0]+`"`)
		text += `"` + l[0] + `": ` + l[1] + "\n"
	}
	params = "(" + strings.Join(names, " ") + ")" + rest
	return params, text + `"@signature-params": ` + params
}

func bodyDigest(body []byte) string {
	sum := sha256.Sum256(body)
	return "sha-256=:" + base64.StdEncoding.EncodeToString(sum[:]) + ":"
}
