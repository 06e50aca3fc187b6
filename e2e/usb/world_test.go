package usb_test

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/url"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"dcpos/internal/guest"
	"dcpos/internal/testbin"
	"dcpos/lab/drill"
	"dcpos/lab/proxy"
)

// institution is where the guest's wallet is.
const institution = "ICBC"

// world is what runs on the host for the till in the guest: a centre and the
// institutions, which an emulated processor would take a minute to start.
type world struct {
	Centre  string   `json:"centre"`  // URL
	Code    string   `json:"code"`    // to enrol one till
	Wallets string   `json:"wallets"` // URL of the institution's wallets
	Key     string   `json:"key"`     // of that
	Forward []string `json:"forward"` // addresses of the host that the guest has as its own

	cables []*proxy.Proxy // in the guest: the way to each of them
}

// worldVariable tells the guest at which of the host's ports it gets the world.
const worldVariable = "DCPOS_WORLD"

// serveWorld starts the world when the guest asks for it, and ends it with the test.
func serveWorld(t *testing.T) (variable string) {
	t.Helper()
	variable, _ = serveSite(t)
	return variable
}

// serveSite is serveWorld that also gives the world once it was asked for.
func serveSite(t *testing.T) (variable string, world func() *drill.Site) {
	t.Helper()
	var c net.ListenConfig
	l, err := c.Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	bin, dir := testbin.Dir(t), t.TempDir()
	var site *drill.Site
	var told sync.Mutex // guards site
	served := make(chan struct{})
	t.Cleanup(func() {
		_ = l.Close() // ends the goroutine
		<-served
		if site == nil {
			return
		}
		if err := site.Close(); err != nil {
			t.Error(err)
		}
	})
	go func() {
		defer close(served)
		for {
			asks, err := l.Accept()
			if err != nil {
				return
			}
			told.Lock()
			if site == nil {
				began := time.Now()
				s, err := drill.Open(context.WithoutCancel(t.Context()), drill.SiteOptions{Bin: bin, Dir: dir, Tills: -1})
				if err != nil {
					t.Errorf("open the world: %v", err)
					_ = asks.Close() // the guest sees that there is nothing
					told.Unlock()
					continue
				}
				site = s
				t.Logf("institutions and centre are up after %v", time.Since(began).Round(time.Millisecond))
			}
			told.Unlock()
			if err := tell(t.Context(), asks, site); err != nil {
				t.Errorf("tell of the world: %v", err)
			}
		}
	}()
	return worldVariable + "=" + l.Addr().String(), func() *drill.Site {
		told.Lock()
		defer told.Unlock()
		return site
	}
}

// tell answers one who asks for the world.
func tell(ctx context.Context, asks io.WriteCloser, s *drill.Site) (err error) {
	defer func() { err = errors.Join(err, asks.Close()) }()
	var w world
	if w.Centre, err = s.Centre.URL(); err != nil {
		return err
	}
	if w.Code, err = s.Code(ctx); err != nil {
		return err
	}
	wallets := s.WalletClient(institution)
	w.Wallets, w.Key = wallets.Base, wallets.Key
	w.Forward = []string{s.Link.Addr()}
	for _, u := range []string{w.Centre, w.Wallets} {
		parsed, err := url.Parse(u)
		if err != nil {
			return err
		}
		w.Forward = append(w.Forward, parsed.Host)
	}
	return json.NewEncoder(asks).Encode(w)
}

// readWorld is the guest's side: the host's addresses become the guest's own.
func readWorld(t *testing.T) (w world) {
	t.Helper()
	_, port, _ := strings.Cut(os.Getenv(worldVariable), ":")
	var d net.Dialer
	host, err := d.DialContext(t.Context(), "tcp", net.JoinHostPort(guest.HostAddress, port))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = host.Close() }() // only read from
	if err := json.NewDecoder(host).Decode(&w); err != nil {
		t.Fatal(err)
	}
	for _, a := range w.Forward {
		w.cables = append(w.cables, forward(t, a))
	}
	return w
}

// forward takes connections on a loopback address and carries them to the same port of
// the host, until the test has cleaned up.
func forward(t *testing.T, address string) *proxy.Proxy {
	t.Helper()
	_, port, _ := strings.Cut(address, ":")
	p, err := proxy.New(context.WithoutCancel(t.Context()), net.JoinHostPort(guest.HostAddress, port), proxy.Options{Listen: address})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := p.Close(); err != nil {
			t.Error(err)
		}
	})
	return p
}
