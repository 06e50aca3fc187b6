package link

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nkeys"

	"dcpos/pos"
)

// Conveyor says which NATS carries the messages.
type Conveyor struct {
	// URL of an external cluster; empty starts the embedded server.
	URL string

	// CentreSeed is the nkey seed of the centre's user, IssuerSeed that of the account key
	// that signs the tills' permissions, SystemSeed that of a user of the system account
	// (for the audit of sync_interval and for cutting connections). External only: the
	// embedded server makes its own at each start.
	CentreSeed, IssuerSeed, SystemSeed []byte
	// Account is where the tills live, "$G" when empty. External only.
	Account string

	// Listen is where the embedded server takes tills, "127.0.0.1:4222" when empty; port
	// 0 takes a free one.
	Listen string
	// StoreDir is the embedded server's directory.
	StoreDir string
	// MaxStore is what JetStream may use of the disk; 0 is 8 GiB.
	MaxStore int64
	// TLS, when set, is what tills must speak.
	TLS *tls.Config

	// Replicas of the stream; 0 is 1. An external cluster of three wants 3.
	Replicas int
	// MaxBytes and MaxAge bound the stream; 0 is half of MaxStore and 14 days. A full
	// stream refuses what is new.
	MaxBytes int64
	MaxAge   time.Duration
	// Duplicates is how long JetStream itself drops a repeated message id: a courtesy,
	// 2 minutes when 0.
	Duplicates time.Duration
}

const (
	defaultListen   = "127.0.0.1:4222"
	defaultMaxStore = 8 << 30
	defaultMaxAge   = 14 * 24 * time.Hour
	defaultWindow   = 2 * time.Minute
	startTime       = 30 * time.Second
	maxPayload      = 1 << 20
)

func (c Conveyor) withDefaults() Conveyor {
	if c.Listen == "" {
		c.Listen = defaultListen
	}
	if c.MaxStore == 0 {
		c.MaxStore = defaultMaxStore
	}
	if c.MaxBytes == 0 {
		c.MaxBytes = c.MaxStore / 2
	}
	if c.MaxAge == 0 {
		c.MaxAge = defaultMaxAge
	}
	if c.Duplicates == 0 {
		c.Duplicates = defaultWindow
	}
	if c.Replicas == 0 {
		c.Replicas = 1
	}
	if c.Account == "" {
		c.Account = "$G"
	}
	return c
}

// road is an open way to NATS: the centre's own connection and, when it is ours, the server.
type road struct {
	conveyor Conveyor
	nc       *nats.Conn
	system   *nats.Conn     // nil without a system user
	server   *server.Server // nil when external
	issuer   nkeys.KeyPair
	url      string
}

func openRoad(ctx context.Context, c Conveyor, log *slog.Logger) (*road, error) {
	r := &road{conveyor: c.withDefaults()}
	var err error
	if c.URL == "" {
		err = r.embed(ctx, log)
	} else {
		err = r.dial(ctx, log)
	}
	if err != nil {
		r.close()
		return nil, err
	}
	return r, nil
}

// embed starts the server inside this process. Its two keys live as long as it does.
func (r *road) embed(ctx context.Context, log *slog.Logger) error {
	issuer, err := nkeys.CreateAccount()
	if err != nil {
		return fmt.Errorf("make issuer key: %w", err)
	}
	r.issuer = issuer
	issuerKey, err := issuer.PublicKey()
	if err != nil {
		return fmt.Errorf("make issuer key: %w", err)
	}
	user, err := nkeys.CreateUser()
	if err != nil {
		return fmt.Errorf("make centre's key: %w", err)
	}
	userKey, err := user.PublicKey()
	if err != nil {
		return fmt.Errorf("make centre's key: %w", err)
	}
	host, port, err := splitListen(r.conveyor.Listen)
	if err != nil {
		return err
	}
	if r.conveyor.StoreDir == "" {
		return pos.FieldError(pos.ErrConfig, "store_dir", errors.New("the embedded conveyor needs a directory"))
	}
	r.server, err = server.NewServer(&server.Options{
		ServerName: "dcpos-centre", Host: host, Port: port,
		NoSigs: true, // the server must not end this process by itself
		NoLog:  true, DontListen: false, MaxPayload: maxPayload,
		TLS: r.conveyor.TLS != nil, TLSConfig: r.conveyor.TLS,
		JetStream: true, StoreDir: r.conveyor.StoreDir, JetStreamMaxStore: r.conveyor.MaxStore,
		JetStreamMaxMemory: 64 << 20,
		SyncAlways:         true, // the default of two minutes loses what it has acknowledged
		Nkeys:              []*server.NkeyUser{{Nkey: userKey}},
		AuthCallout:        &server.AuthCallout{Issuer: issuerKey, Account: "$G", AuthUsers: []string{userKey}},
	})
	if err != nil {
		return fmt.Errorf("configure conveyor: %w", err)
	}
	r.server.SetLoggerV2(serverLog{log}, false, false, false)
	r.server.Start()
	if !r.server.ReadyForConnections(startTime) {
		return pos.NewError(pos.ErrConfig, fmt.Errorf("conveyor is not ready after %s on %s", startTime, r.conveyor.Listen))
	}
	r.url = r.server.ClientURL()
	r.nc, err = nats.Connect("", append(options(ctx, log, user, userKey), nats.InProcessServer(r.server))...)
	if err != nil {
		return fmt.Errorf("connect to the embedded conveyor: %w", err)
	}
	return nil
}

func splitListen(listen string) (host string, port int, err error) {
	host, text, err := net.SplitHostPort(listen)
	if err == nil {
		port, err = strconv.Atoi(text)
	}
	if err != nil {
		return "", 0, pos.FieldError(pos.ErrConfig, "listen", err)
	}
	if port == 0 {
		port = server.RANDOM_PORT
	}
	return host, port, nil
}

// dial connects to an external cluster.
func (r *road) dial(ctx context.Context, log *slog.Logger) error {
	var err error
	if r.issuer, err = nkeys.FromSeed(r.conveyor.IssuerSeed); err != nil {
		return pos.FieldError(pos.ErrConfig, "issuer_seed", err)
	}
	r.url = r.conveyor.URL
	if r.nc, err = r.connect(ctx, log, "centre_seed", r.conveyor.CentreSeed); err != nil {
		return err
	}
	if len(r.conveyor.SystemSeed) > 0 {
		r.system, err = r.connect(ctx, log, "system_seed", r.conveyor.SystemSeed)
	}
	return err
}

func (r *road) connect(ctx context.Context, log *slog.Logger, field string, seed []byte) (*nats.Conn, error) {
	user, err := nkeys.FromSeed(seed)
	if err != nil {
		return nil, pos.FieldError(pos.ErrConfig, field, err)
	}
	key, err := user.PublicKey()
	if err != nil {
		return nil, pos.FieldError(pos.ErrConfig, field, err)
	}
	opts := options(ctx, log, user, key)
	if r.conveyor.TLS != nil {
		opts = append(opts, nats.Secure(r.conveyor.TLS))
	}
	nc, err := nats.Connect(r.conveyor.URL, opts...)
	if err != nil {
		return nil, pos.FieldError(pos.ErrConfig, "url", fmt.Errorf("connect to %s: %w", redacted(r.conveyor.URL), err))
	}
	return nc, nil
}

func redacted(text string) string {
	u, err := url.Parse(text)
	if err != nil {
		return "the conveyor"
	}
	return u.Redacted()
}

func options(ctx context.Context, log *slog.Logger, user nkeys.KeyPair, key string) []nats.Option {
	return []nats.Option{
		nats.Name("dcpos-centre"), nats.MaxReconnects(-1), nats.IgnoreAuthErrorAbort(),
		nats.Nkey(key, user.Sign), nats.Timeout(10 * time.Second),
		nats.ErrorHandler(func(_ *nats.Conn, sub *nats.Subscription, err error) {
			subject := ""
			if sub != nil {
				subject = sub.Subject
			}
			log.WarnContext(ctx, "conveyor error", "subject", subject, "err", err)
		}),
		nats.DisconnectErrHandler(func(_ *nats.Conn, err error) {
			if err != nil {
				log.WarnContext(ctx, "conveyor disconnected", "err", err)
			}
		}),
	}
}

// close ends connections and waits for the embedded server to have written everything.
func (r *road) close() {
	if r.nc != nil {
		_ = r.nc.FlushTimeout(time.Second) // answers under way; nothing is lost without
		r.nc.Close()
	}
	if r.system != nil {
		r.system.Close()
	}
	if r.server != nil {
		r.server.Shutdown()
		r.server.WaitForShutdown()
	}
}

// serverLog passes what the embedded server warns of.
type serverLog struct{ log *slog.Logger }

func (l serverLog) Noticef(string, ...any) {}
func (l serverLog) Debugf(string, ...any)  {}
func (l serverLog) Tracef(string, ...any)  {}

func (l serverLog) Warnf(format string, v ...any) {
	l.log.Warn("conveyor warns", "detail", clean(format, v)) //nolint:sloglint // the server gives no context
}

func (l serverLog) Errorf(format string, v ...any) {
	l.log.Error("conveyor reports", "detail", clean(format, v)) //nolint:sloglint // the server gives no context
}

func (l serverLog) Fatalf(format string, v ...any) {
	l.log.Error("conveyor fails", "detail", clean(format, v)) //nolint:sloglint // the server gives no context
}

func clean(format string, v []any) string {
	s := fmt.Sprintf(format, v...)
	return strings.ToValidUTF8(s[:min(len(s), 500)], "?")
}
