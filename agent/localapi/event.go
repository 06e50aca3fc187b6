package localapi

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"

	"dcpos/agent/checkout"
)

// Event is checkout.Event with the words of its payment.
type Event struct {
	checkout.Event
	Payment *Payment `json:"payment,omitempty"`
	Scan    *Scan    `json:"scan,omitempty"`
}

const (
	heartbeat = 15 * time.Second // below the idle time of the proxies and browsers in between
	eventWait = 10 * time.Second // a reader that takes longer is gone
)

type eventsInput struct {
	LastEventID string `header:"Last-Event-ID" maxLength:"64" doc:"Go on after this event; reset is the first event when that is not possible"`
	After       string `query:"after" maxLength:"64" doc:"The same, for clients that cannot set the header"`
}

func (a *API) events(_ context.Context, in *eventsInput) (*huma.StreamResponse, error) {
	after := in.LastEventID
	if after == "" {
		after = in.After
	}
	return &huma.StreamResponse{Body: func(ctx huma.Context) { a.stream(ctx, after) }}, nil
}

func (a *API) stream(ctx huma.Context, after string) {
	_, w := humago.Unwrap(ctx)
	ctx.SetHeader("Content-Type", "text/event-stream")
	ctx.SetHeader("Cache-Control", "no-store")
	ctx.SetStatus(http.StatusOK)
	control := http.NewResponseController(w)
	send := func(format string, args ...any) bool {
		_ = control.SetWriteDeadline(time.Now().Add(eventWait)) // not every writer has one
		if _, err := fmt.Fprintf(w, format, args...); err != nil {
			return false
		}
		return control.Flush() == nil
	}
	_ = control.SetReadDeadline(time.Time{}) // the server's limit is for requests with an end
	events, stop := a.till.Events(after)
	defer stop()
	beat := time.NewTicker(heartbeat)
	defer beat.Stop()
	if !send("retry: 2000\n\n") {
		return
	}
	for {
		select {
		case <-ctx.Context().Done():
			return
		case <-beat.C:
			if !send(": beat\n\n") {
				return
			}
		case e, ok := <-events:
			if !ok || !send("id: %s\nevent: %s\ndata: %s\n\n", e.ID, e.Kind, eventData(e)) {
				return
			}
		}
	}
}

func eventData(e checkout.Event) []byte {
	out := Event{Event: e}
	if e.Payment != nil {
		p := present(*e.Payment)
		out.Payment = &p
	}
	if e.Scan != nil {
		s := scanOf(*e.Scan)
		out.Scan = &s
	}
	b, err := json.Marshal(out)
	if err != nil {
		return []byte("{}") // no type here can fail
	}
	return b
}

func (a *API) registerEvents() {
	operation(a, "events", http.MethodGet, "/v1/events", ScopeRead, "Changes as server-sent events (text/event-stream), with heartbeats", a.events)
}
