// Package outside reaches what registration needs of others: the operator that sends
// short messages, and the authority that knows who is real and who is a resident. Each
// is a webhook; messages may also go into a file, in the lab.
//
// To add a provider's own interface, write a type with Send or Look beside these.
package outside

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"sync"
	"time"

	"dcpos/central/campaign"
	"dcpos/central/campaign/register"
	"dcpos/pos"
)

// Bounds of one call.
const (
	wait      = 10 * time.Second
	maxAnswer = 64 << 10
)

// Webhook is an HTTP interface of somebody else: JSON is posted to it, with a bearer
// token where there is one.
type Webhook struct {
	url    string
	token  string
	client *http.Client
}

// NewWebhook checks the address. Plain HTTP goes to this machine only: phone numbers
// and names are in what is posted.
func NewWebhook(address, token string) (*Webhook, error) {
	u, err := url.Parse(address)
	if err != nil || u.Host == "" || (u.Scheme != "https" && (u.Scheme != "http" || !local(u.Hostname()))) {
		return nil, pos.FieldError(pos.ErrConfig, "url", fmt.Errorf("%.80q: want https://…, or http:// on this machine", address))
	}
	return &Webhook{url: address, token: token, client: &http.Client{
		Timeout:       wait,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}, nil
}

func local(host string) bool { return host == "localhost" || host == "127.0.0.1" || host == "::1" }

// post sends and, where into is not nil, reads the answer. Errors do not quote what was
// sent.
func (w *Webhook) post(ctx context.Context, body, into any) error {
	b, err := json.Marshal(body)
	if err != nil {
		return errors.New("encode request")
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, w.url, bytes.NewReader(b))
	if err != nil {
		return err
	}
	r.Header.Set("Content-Type", "application/json")
	if w.token != "" {
		r.Header.Set("Authorization", "Bearer "+w.token)
	}
	answer, err := w.client.Do(r)
	if err != nil {
		return err
	}
	defer func() { _ = answer.Body.Close() }() // read whole or given up
	b, err = io.ReadAll(io.LimitReader(answer.Body, maxAnswer))
	if err != nil {
		return err
	}
	if answer.StatusCode < 200 || answer.StatusCode > 299 {
		return fmt.Errorf("answered %s", answer.Status)
	}
	if into == nil {
		return nil
	}
	if err := json.Unmarshal(b, into); err != nil {
		return errors.New("the answer is not the JSON that was expected")
	}
	return nil
}

// message is what is posted for a short message.
type message struct {
	Phone string   `json:"phone"`
	Text  pos.Text `json:"text"` // the provider sends zh, en, or both
}

// Send implements register.SMS; 2xx means that the operator has taken it over.
func (w *Webhook) Send(ctx context.Context, phone string, text pos.Text) error {
	return w.post(ctx, message{phone, text}, nil)
}

// Authority asks a webhook who people are.
type Authority struct{ *Webhook }

// person is what is posted to the authority.
type person struct {
	Name     string            `json:"name"`
	Document campaign.Document `json:"document"`
	Country  string            `json:"country,omitempty"`
	Number   string            `json:"number"`
	Phone    string            `json:"phone"`
}

// Look implements register.Authority. An answer must say both things.
func (a Authority) Look(ctx context.Context, p register.Personal) (register.Known, error) {
	var answer struct {
		Real     *bool `json:"real"`
		Resident *bool `json:"resident"`
	}
	q := person{p.Name, p.Identity.Document, p.Identity.Country, p.Identity.Number, p.Phone}
	if err := a.post(ctx, q, &answer); err != nil {
		return register.Known{}, err
	}
	if answer.Real == nil || answer.Resident == nil {
		return register.Known{}, errors.New("the answer lacks real or resident")
	}
	return register.Known{Real: *answer.Real, Resident: *answer.Resident}, nil
}

// File appends messages to a file of mode 0600, a JSON object a line, for the lab.
type File struct {
	Path string

	mu sync.Mutex
}

// Send implements register.SMS.
func (f *File) Send(_ context.Context, phone string, text pos.Text) error {
	b, err := json.Marshal(message{phone, text})
	if err != nil {
		return errors.New("encode message")
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	out, err := os.OpenFile(f.Path, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return fmt.Errorf("messages: %w", err)
	}
	_, err = out.Write(append(b, '\n'))
	return errors.Join(err, out.Close())
}
