package drill

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"path/filepath"
	"strconv"
	"time"

	"dcpos/lab/forgetfs"
	"dcpos/pos"
	"dcpos/pos/dcep"
)

// Till is one running posagent and the client of its local API.
type Till struct {
	Program
	ID     string // of the terminal
	Data   string
	Disk   *forgetfs.Mount // nil: an ordinary folder
	Config string

	client *http.Client
}

// callPatience bounds one call of the local API; a till answers sooner.
const callPatience = 30 * time.Second

func (s *Site) openTill(ctx context.Context, n int) (t *Till, err error) {
	name := "till" + strconv.Itoa(n)
	t = &Till{Config: s.path(name + ".yaml")}
	if t.Data, t.Disk, err = s.folder(ctx, name, s.Options.Seed+uint64(n)+1); err != nil {
		return nil, err
	}
	if err := s.configure(t, name, n); err != nil {
		return t, err
	}
	if err := t.Start(ctx); err != nil {
		return t, err
	}
	code, err := s.code(ctx, s.Options.store(n))
	if err != nil {
		return t, err
	}
	return t, s.Enrol(ctx, t, code)
}

// configure writes the till's file and makes the client of its socket.
func (s *Site) configure(t *Till, name string, n int) error {
	socket := filepath.Join(s.sockets, name)
	t.Program = s.program(name, "posagent", "--config", t.Config)
	t.client = &http.Client{Transport: &http.Transport{
		MaxIdleConnsPerHost: 8,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			var d net.Dialer
			return d.DialContext(ctx, "unix", socket)
		},
	}}
	suites := []string{dcep.SM2SM3, dcep.Ed25519SHA256}
	config := map[string]any{
		"env": "lab", "data": t.Data, "class": "smart-pos", "suite": suites[n%len(suites)],
		"api": map[string]any{"unix": socket, "listen": ""}, "sign_in": false, "receipt": "never",
		"devices": map[string]any{"auto": false}, // what hangs on this machine is not the drill's
		// Shorter than at a shop, so that what is undecided is decided within a drill.
		"timing": map[string]any{"expiry": "3s", "answer": "5s", "query": "300ms", "fast": "10m", "qr_valid": "10s"},
	}
	maps.Copy(config, s.Options.Till)
	return writeConfig(t.Config, config)
}

// Enrol makes the device a terminal and waits until it is online.
func (s *Site) Enrol(ctx context.Context, t *Till, code string) error {
	url, err := s.Centre.URL()
	if err != nil {
		return err
	}
	var who struct {
		Terminal string `json:"terminal"`
	}
	err = until(ctx, readyPatience, func() error {
		return t.call(ctx, http.MethodPost, "/v1/enroll", map[string]string{"centre": url, "code": code}, &who)
	})
	if err != nil {
		return fmt.Errorf("enrol: %w", err)
	}
	t.ID = who.Terminal
	return t.Ready(ctx, true)
}

// Ready waits until the till answers, and is online if that is asked for.
func (t *Till) Ready(ctx context.Context, online bool) error {
	return until(ctx, readyPatience, func() error {
		if !t.Running() {
			return fatal{t.gone()}
		}
		s, err := t.Status(ctx)
		if err == nil && online && !s.Connected {
			err = errors.New("till is not connected")
		}
		return err
	})
}

// Restart starts the till after Kill or Stop and waits until it answers.
func (t *Till) Restart(ctx context.Context) error {
	if err := t.Start(ctx); err != nil {
		return err
	}
	t.client.CloseIdleConnections()
	return t.Ready(ctx, false)
}

// Status is what the drill reads of a till's status.
type Status struct {
	Terminal  string     `json:"terminal"`
	Connected bool       `json:"connected"`
	Outbox    pos.Outbox `json:"outbox"`
	Room      pos.Room   `json:"room"`
	Rules     struct {
		Version     uint64 `json:"version"`
		NextVersion uint64 `json:"next_version"`
	} `json:"rules"`
	Findings []struct {
		Code   string   `json:"code"`
		Text   pos.Text `json:"text"`
		Detail string   `json:"detail"`
	} `json:"findings"`
	Notices []struct {
		Payment pos.PaymentID `json:"payment"`
		Text    pos.Text      `json:"text"`
	} `json:"notices"`
}

// Finding reports that the till says that something is wrong.
func (s Status) Finding(code string) bool {
	for _, f := range s.Findings {
		if f.Code == code {
			return true
		}
	}
	return false
}

// Status asks how the till stands.
func (t *Till) Status(ctx context.Context) (s Status, err error) {
	return s, t.call(ctx, http.MethodGet, "/v1/status", nil, &s)
}

// Start is the request that names a payment.
type Start struct {
	Key            string    `json:"key"`
	OrderID        string    `json:"order_id"`
	OrderAmount    pos.Money `json:"order_amount,omitempty"`
	Amount         pos.Money `json:"amount"`
	Mode           pos.Mode  `json:"mode"`
	Institution    string    `json:"institution,omitempty"`
	ConfirmUnknown bool      `json:"confirm_unknown,omitempty"`
}

// Pay names a payment.
func (t *Till) Pay(ctx context.Context, r Start) (p pos.Payment, err error) {
	return p, t.call(ctx, http.MethodPost, "/v1/payments", r, &p)
}

// Payment reads a payment.
func (t *Till) Payment(ctx context.Context, id pos.PaymentID) (p pos.Payment, err error) {
	return p, t.call(ctx, http.MethodGet, "/v1/payments/"+id.String(), nil, &p)
}

// Do posts a step of a payment: code, present, cancel, evidence, refresh.
func (t *Till) Do(ctx context.Context, id pos.PaymentID, step string, body any) (p pos.Payment, err error) {
	return p, t.call(ctx, http.MethodPost, "/v1/payments/"+id.String()+"/"+step, body, &p)
}

// Challenge asks for what a wallet signs offline.
func (t *Till) Challenge(ctx context.Context, id pos.PaymentID) (string, error) {
	var c struct {
		Text string `json:"text"`
	}
	return c.Text, t.call(ctx, http.MethodPost, "/v1/payments/"+id.String()+"/challenge", nil, &c)
}

// Refund asks to give money back.
func (t *Till) Refund(ctx context.Context, id pos.PaymentID, key string, amount pos.Money) (pos.Refund, error) {
	var r struct {
		Refund pos.Refund `json:"refund"`
	}
	err := t.call(ctx, http.MethodPost, "/v1/payments/"+id.String()+"/refunds",
		map[string]any{"key": key, "amount": amount}, &r)
	return r.Refund, err
}

// Journal is the file of the till's journal.
func (t *Till) Journal() string { return filepath.Join(t.Data, "journal.db") }

// refused is an answer of the API that is no success.
type refused struct {
	Code   pos.Code `json:"code"`
	Detail string   `json:"detail"`
	status int
}

func (r *refused) Error() string { return fmt.Sprintf("%d %s: %s", r.status, r.Code, r.Detail) }

// CodeOf is the code of a refusal; empty when there was no answer at all.
func CodeOf(err error) pos.Code {
	if r, ok := errors.AsType[*refused](err); ok {
		return r.Code
	}
	return ""
}

// call sends one request once. An error without a code means that it is not known
// whether the till got it.
func (t *Till) call(ctx context.Context, method, path string, body, out any) error {
	ctx, cancel := context.WithTimeout(ctx, callPatience)
	defer cancel()
	var b []byte
	if body != nil {
		var err error
		if b, err = json.Marshal(body); err != nil {
			return err
		}
	}
	req, err := http.NewRequestWithContext(ctx, method, "http://till"+path, bytes.NewReader(b))
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/json")
	answer, err := send(t.client, req)
	if err != nil {
		return err
	}
	return json.Unmarshal(answer, out)
}

// maxAnswer bounds what is read of an answer.
const maxAnswer = 64 << 20

func send(c *http.Client, req *http.Request) ([]byte, error) {
	resp, err := c.Do(req)
	if err != nil {
		return nil, err
	}
	defer func() { _ = resp.Body.Close() }() // only read from
	b, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	if err != nil {
		return nil, err
	}
	if resp.StatusCode != http.StatusOK {
		r := &refused{status: resp.StatusCode}
		if json.Unmarshal(b, r) != nil || r.Code == "" {
			r.Code = pos.ErrInternal
			r.Detail = string(b[:min(len(b), 300)])
		}
		return nil, r
	}
	return b, nil
}
