package sdk

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"dcpos/pos"
)

// Scan is what a scanned code was, and what was done with it.
type Scan struct {
	Kind    string   `json:"kind"`
	Code    string   `json:"code"` // masked unless it is a goods code or a link
	Payment *Payment `json:"payment,omitempty"`
	Text    pos.Text `json:"text"`
}

// Scan hands any code to the till: a payment code to the payment that waits for one,
// a wallet's answer, a receipt's QR. symbology is the AIM identifier; it may be empty.
func (c *Client) Scan(ctx context.Context, code, symbology string) (Scan, error) {
	var out Scan
	body := map[string]string{"code": code}
	if symbology != "" {
		body["symbology"] = symbology
	}
	err := c.do(ctx, call{method: http.MethodPost, path: "/v1/scan", body: body}, &out)
	return out, err
}

// Operator is who is signed in.
type Operator struct {
	Number string `json:"number"`
	Name   string `json:"name"`
	Role   string `json:"role"`
}

// SignIn signs an operator in by number and PIN. It is sent once: wrong PINs are counted.
func (c *Client) SignIn(ctx context.Context, number, pin string) (Operator, error) {
	var out Operator
	body := map[string]string{"number": number, "pin": pin}
	err := c.do(ctx, call{method: http.MethodPost, path: "/v1/session", body: body, once: true}, &out)
	return out, err
}

// SignOut ends the operator's shift.
func (c *Client) SignOut(ctx context.Context) error {
	return c.do(ctx, call{method: http.MethodDelete, path: "/v1/session"}, nil)
}

// OpenDrawer opens the cash drawer and has the reason journaled. It is sent once.
func (c *Client) OpenDrawer(ctx context.Context, reason string) error {
	return c.do(ctx, call{method: http.MethodPost, path: "/v1/drawer", body: map[string]string{"reason": reason}, once: true}, nil)
}

// Finding is something that is wrong with the till.
type Finding struct {
	Code     string   `json:"code"`
	Severity string   `json:"severity"` // info, warning, stop
	Text     pos.Text `json:"text"`
	Hint     pos.Text `json:"hint"`
	Detail   string   `json:"detail,omitempty"`
	SinceMS  int64    `json:"since_ms"`
}

// Notice is something that happened without the cashier and that the cashier must know.
type Notice struct {
	AtMS    int64         `json:"at_ms"`
	Payment pos.PaymentID `json:"payment"`
	Text    pos.Text      `json:"text"`
}

// Rules are what decides about offline payments at the till.
type Rules struct {
	Version     uint64       `json:"version"` // of the policy in force; 0: none is
	Scope       string       `json:"scope"`
	ExpiresMS   int64        `json:"expires_ms,omitempty"`
	NextVersion uint64       `json:"next_version,omitempty"`
	NextMS      int64        `json:"next_ms,omitempty"` // when the next policy comes in force
	CatalogueMS int64        `json:"catalogue_ms,omitempty"`
	At          pos.Interval `json:"at"` // where the true time lies, as the till can prove it
}

// Gate is how a till stands of which every tap pays the same.
type Gate struct {
	Amount pos.Money  `json:"amount"`
	Open   bool       `json:"open"` // the next tap would be taken
	Why    *pos.Error `json:"why,omitempty"`
}

// Status is how the till stands.
type Status struct {
	Env       pos.Environment `json:"env"`
	Notice    pos.Text        `json:"env_notice"`
	Terminal  string          `json:"terminal"`
	Merchant  string          `json:"merchant"`
	Store     string          `json:"store"`
	StoreName pos.Text        `json:"store_name"`
	Connected bool            `json:"connected"`
	SignIn    bool            `json:"sign_in"`
	Operator  *Operator       `json:"operator,omitempty"`
	Outbox    pos.Outbox      `json:"outbox"`
	Room      pos.Room        `json:"room"`
	Rules     Rules           `json:"rules"`
	Fare      *Gate           `json:"fare,omitempty"` // where the till is a gate
	Current   *Payment        `json:"current,omitempty"`
	Findings  []Finding       `json:"findings"`
	Notices   []Notice        `json:"notices"`
	Prints    []PrintJob      `json:"prints"` // what is owed on paper, in the order of the queue
	Devices   []Device        `json:"devices"`
	Version   string          `json:"version,omitempty"`
	TimeMS    int64           `json:"time_ms"`
}

// Status looks at the till.
func (c *Client) Status(ctx context.Context) (Status, error) {
	var out Status
	err := c.do(ctx, call{method: http.MethodGet, path: "/v1/status"}, &out)
	return out, err
}

// EventKind says what an Event tells.
type EventKind string

// The kinds of event.
const (
	EventPayment  EventKind = "payment"
	EventLink     EventKind = "link"
	EventOperator EventKind = "operator"
	EventScan     EventKind = "scan"
	EventNotice   EventKind = "notice"
	EventPrint    EventKind = "print"
	EventDevice   EventKind = "device"
	EventTap      EventKind = "tap"
	EventReset    EventKind = "reset" // events were missed: read everything again
)

// Event is one change at the till.
type Event struct {
	ID        string    `json:"id"`
	Kind      EventKind `json:"kind"`
	AtMS      int64     `json:"at_ms"`
	Payment   *Payment  `json:"payment,omitempty"`
	Connected *bool     `json:"connected,omitempty"`
	Operator  *Operator `json:"operator,omitempty"`
	Scan      *Scan     `json:"scan,omitempty"`
	Notice    *Notice   `json:"notice,omitempty"`
	Print     *PrintJob `json:"print,omitempty"`
	Device    *Device   `json:"device,omitempty"` // name, role, category, state and words
	Tap       *Tap      `json:"tap,omitempty"`
}

// Tap is how a card or phone at the reader is getting on: what to tell the customer.
type Tap struct {
	Payment pos.PaymentID `json:"payment"`
	Signal  string        `json:"signal"` // ready, working, done, refused, off
	Text    pos.Text      `json:"text"`
	Hint    *pos.Text     `json:"hint,omitempty"`
	Code    pos.Code      `json:"code,omitempty"` // why it was not taken
}

// maxEvent bounds one line of the stream.
const maxEvent = 1 << 20

// Events hands every change to f, one at a time, until f returns an error or ctx ends;
// that error is returned. after is the id of the last event that is known, or empty.
// An interrupted stream is taken up again after the last event; EventReset tells that
// some are lost. open, if not nil, is called whenever the stream has been opened:
// what is read then and what the events tell together miss nothing.
func (c *Client) Events(ctx context.Context, after string, open func() error, f func(Event) error) error {
	wait := c.wait
	for {
		stop := error(nil)
		err := c.stream(ctx, &after, func() error {
			wait = c.wait
			if open != nil {
				stop = open()
			}
			return stop
		}, func(e Event) error {
			stop = f(e)
			return stop
		})
		if stop != nil {
			return stop
		}
		if refused, ok := errors.AsType[*pos.Error](err); ok && refused.Code != pos.ErrInternal {
			return refused
		}
		timer := time.NewTimer(wait)
		select {
		case <-ctx.Done():
			timer.Stop()
			return ctx.Err()
		case <-timer.C:
		}
		wait = min(2*wait, 5*time.Second)
	}
}

func (c *Client) stream(ctx context.Context, after *string, open func() error, f func(Event) error) error {
	req, err := c.request(ctx, call{method: http.MethodGet, path: "/v1/events"})
	if err != nil {
		return err
	}
	if *after != "" {
		req.Header.Set("Last-Event-ID", *after)
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close() //nolint:errcheck // nothing is written
	lines := bufio.NewScanner(resp.Body)
	lines.Buffer(nil, maxEvent)
	if resp.StatusCode != http.StatusOK {
		lines.Scan()
		return read(lines.Bytes(), max(resp.StatusCode, http.StatusBadRequest), nil)
	}
	if err := open(); err != nil {
		return err
	}
	for lines.Scan() {
		data, ok := strings.CutPrefix(lines.Text(), "data: ")
		if !ok {
			continue
		}
		var e Event
		if err := json.Unmarshal([]byte(data), &e); err != nil {
			return fmt.Errorf("read event: %w", err)
		}
		if e.ID != "" {
			*after = e.ID
		}
		if err := f(e); err != nil {
			return err
		}
	}
	return lines.Err()
}
