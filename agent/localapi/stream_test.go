package localapi_test

import (
	"bufio"
	"context"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"dcpos/agent/checkout/checkouttest"
	"dcpos/agent/localapi"
)

// events reads n events' names and the last one's id.
func events(t *testing.T, r *rig, after string, n int, act func()) (names []string, id string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, r.server.URL+"/v1/events", http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+r.secret[localapi.ScopeRead])
	req.Header.Set("Last-Event-ID", after)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close() //nolint:errcheck // nothing is written
	if ct := resp.Header.Get("Content-Type"); ct != "text/event-stream" {
		t.Fatalf("content type %q", ct)
	}
	lines := bufio.NewScanner(resp.Body)
	lines.Scan()
	act()
	for len(names) < n && lines.Scan() {
		if v, ok := strings.CutPrefix(lines.Text(), "id: "); ok {
			id = v
		}
		if v, ok := strings.CutPrefix(lines.Text(), "event: "); ok {
			names = append(names, v)
		}
	}
	return names, id
}

func TestEventStream(t *testing.T) {
	r := newRig(t)
	names, id := events(t, r, "", 1, func() { r.payment(r.do("POST", "/v1/payments", start)) })
	if strings.Join(names, " ") != "payment" {
		t.Fatalf("%v", names)
	}
	p := r.Journal.All()[0]
	r.payment(r.do("POST", "/v1/payments/"+p.ID.String()+"/code", `{"code":"`+checkouttest.Code(1)+`"}`))
	if names, _ = events(t, r, id, 2, func() {}); strings.Join(names, " ") != "payment payment" {
		t.Fatalf("after %s: %v", id, names)
	}
	if names, _ = events(t, r, "another-boot-7", 1, func() {}); strings.Join(names, " ") != "reset" {
		t.Fatalf("%v", names)
	}
}

func TestServeEndsStreamsAndClosesTheSocket(t *testing.T) {
	r := newRig(t)
	path := filepath.Join(t.TempDir(), "agent.sock")
	l, err := localapi.ListenUnix(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := localapi.ListenUnix(t.Context(), path); err == nil {
		// The socket answers only once it is served; the listener's backlog takes the call.
		t.Fatal("two agents on one socket")
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- localapi.Serve(ctx, l, r.api.Loopback()) }()
	tcp, err := localapi.ListenLoopback(ctx, "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	go func() { done <- localapi.Serve(ctx, tcp, r.api.Loopback()) }()
	r.server.URL = "http://" + tcp.Addr().String()
	names, _ := events(t, r, "x-1", 1, func() {})
	if len(names) != 1 {
		t.Fatalf("%v", names)
	}
	open := make(chan struct{})
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		events(t, r, "", 1, func() { close(open) })
	}()
	<-open
	cancel()
	for range 2 {
		if err := <-done; err != nil {
			t.Fatal(err)
		}
	}
	<-ended
}

func TestOnlyLoopbackIsServed(t *testing.T) {
	if l, err := localapi.ListenLoopback(t.Context(), "0.0.0.0:0"); err == nil {
		_ = l.Close()
		t.Fatal("listens on every address")
	}
}
