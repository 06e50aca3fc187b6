// Package dial makes a till's connection to the centre's NATS: sign-in by nkey,
// reconnecting for ever with backoff and jitter, and nothing buffered while the line
// is down, so that "not sent" is the truth.
package dial

import (
	"context"
	"crypto/tls"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nkeys"

	"dcpos/sync/wire"
)

// Config says where to, as whom.
type Config struct {
	URL      string // nats:// or tls://, one or several separated by commas
	Terminal string
	Seed     []byte      // nkey user seed ("SU…"); stays in memory, never logged
	TLS      *tls.Config // nil: plain, for loopback
	Log      *slog.Logger
	// OnLink is called when the connection comes (true) and when it goes (false).
	OnLink func(up bool)
}

// The waits between attempts: doubled from the first to the last, each with up to half of jitter.
const (
	firstWait = 250 * time.Millisecond
	lastWait  = 15 * time.Second
)

// Wait is how long attempt n (from 1) waits before it dials, jitter included.
func Wait(n int) time.Duration {
	d := lastWait
	if n < 10 {
		d = min(lastWait, firstWait<<max(0, n-1))
	}
	return d/2 + rand.N(d/2+1)
}

// Connect starts the connection and returns at once, connected or not: a till boots
// without a network. The caller closes the connection.
func Connect(ctx context.Context, c Config) (*nats.Conn, error) {
	if err := wire.CheckTerminal(c.Terminal); err != nil {
		return nil, err
	}
	pair, err := nkeys.FromSeed(c.Seed)
	if err != nil {
		return nil, fmt.Errorf("read nkey seed: %w", err)
	}
	public, err := pair.PublicKey()
	if err != nil {
		return nil, fmt.Errorf("read nkey seed: %w", err)
	}
	report := func(up bool) {
		if c.OnLink != nil {
			c.OnLink(up)
		}
	}
	opts := []nats.Option{
		nats.Name("posagent " + c.Terminal),
		nats.Nkey(public, pair.Sign),
		nats.CustomInboxPrefix(wire.InboxPrefix(c.Terminal)),
		nats.Timeout(5 * time.Second),
		nats.PingInterval(5 * time.Second), nats.MaxPingsOutstanding(2),
		nats.MaxReconnects(-1), nats.RetryOnFailedConnect(true), nats.CustomReconnectDelay(Wait),
		nats.ReconnectBufSize(-1), // a question written while the line is down must fail, not wait
		nats.IgnoreAuthErrorAbort(),
		nats.ConnectHandler(func(*nats.Conn) { report(true) }),
		nats.ReconnectHandler(func(*nats.Conn) { report(true) }),
		nats.DisconnectErrHandler(func(_ *nats.Conn, err error) {
			c.Log.InfoContext(ctx, "link down", "err", err)
			report(false)
		}),
		nats.ErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) {
			c.Log.WarnContext(ctx, "nats", "err", err)
		}),
	}
	if c.TLS != nil {
		opts = append(opts, nats.Secure(c.TLS))
	}
	nc, err := nats.Connect(c.URL, opts...)
	if err != nil {
		return nil, fmt.Errorf("connect to %s: %w", c.URL, err)
	}
	return nc, nil
}
