package usb_test

import (
	"context"
	"encoding/json"
	"io"
	"net"
	"net/url"
	"os"
	"strings"
	"testing"

	"dcpos/internal/guest"
	"dcpos/internal/testbin"
	"dcpos/lab/drill"
	"dcpos/lab/wallet"
)

// institution is where the guest's wallet is.
const institution = "ICBC"

// world is what runs on the host for the till in the guest: a centre and the
// institutions, which an emulated processor would take a minute to start.
type world struct {
	Centre  string        `json:"centre"`  // URL
	Code    string        `json:"code"`    // to enrol one till
	Wallet  wallet.Client `json:"wallet"`  // of the institution
	Forward []string      `json:"forward"` // addresses of the host that the guest has as its own
}

const worldVariable = "DCPOS_WORLD"

// openWorld starts it on the host until the test ends.
func openWorld(t *testing.T) (w world) {
	t.Helper()
	s, err := drill.Open(t.Context(), drill.SiteOptions{Bin: testbin.Dir(t), Dir: t.TempDir(), Tills: -1})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	if w.Centre, err = s.Centre.URL(); err != nil {
		t.Fatal(err)
	}
	if w.Code, err = s.Code(t.Context()); err != nil {
		t.Fatal(err)
	}
	w.Wallet = s.WalletClient(institution)
	w.Forward = []string{s.Link.Addr()}
	for _, u := range []string{w.Centre, w.Wallet.Base} {
		parsed, err := url.Parse(u)
		if err != nil {
			t.Fatal(err)
		}
		w.Forward = append(w.Forward, parsed.Host)
	}
	return w
}

// variable tells the guest of the world.
func (w world) variable(t *testing.T) string {
	t.Helper()
	b, err := json.Marshal(w)
	if err != nil {
		t.Fatal(err)
	}
	return worldVariable + "=" + string(b)
}

// readWorld is the guest's side: the host's addresses become the guest's own.
func readWorld(t *testing.T) (w world) {
	t.Helper()
	if err := json.Unmarshal([]byte(os.Getenv(worldVariable)), &w); err != nil {
		t.Fatal(err)
	}
	for _, a := range w.Forward {
		forward(t, a)
	}
	return w
}

// forward takes connections on a loopback address and carries them to the same port of
// the host, until the test ends.
func forward(t *testing.T, address string) {
	t.Helper()
	var c net.ListenConfig
	l, err := c.Listen(t.Context(), "tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	_, port, _ := strings.Cut(address, ":")
	go func() {
		for {
			near, err := l.Accept()
			if err != nil {
				return // the test has ended
			}
			go carry(t.Context(), near, net.JoinHostPort(guest.HostAddress, port))
		}
	}()
}

func carry(ctx context.Context, near net.Conn, to string) {
	defer func() { _ = near.Close() }() // nothing is lost that the other end does not see
	var d net.Dialer
	far, err := d.DialContext(ctx, "tcp", to)
	if err != nil {
		return
	}
	defer func() { _ = far.Close() }() // likewise
	go func() {
		_, _ = io.Copy(far, near) // the other end sees what is missing
		_ = far.Close()
	}()
	_, _ = io.Copy(near, far) // likewise
}
