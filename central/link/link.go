package link

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"dcpos/pos"
	"dcpos/pos/dcep"
)

// Config is what a Link needs.
type Config struct {
	Store    Store
	Env      pos.Environment
	Signer   dcep.Signer // the centre's key: receipts and marks
	Conveyor Conveyor
	// Asks answers tills' questions; Observer, which may be nil, hears of new entries.
	Asks     Asks
	Observer Observer
	// Trust is what tills are to believe; nil says nothing.
	Trust func() dcep.Trust
	// Instruments are the forwardable ones, for the catalogue.
	Instruments []pos.Instrument
	// Workers are the public nkeys of those that may take shards of reconciliations.
	Workers []string
	// InFlight bounds the questions that are being answered at once; 0 is 256.
	InFlight int
	Log      *slog.Logger
	Now      func() time.Time
}

// Link is the running end of the road. Start makes one, Close ends it.
type Link struct {
	cfg   Config
	store Store
	log   *slog.Logger
	now   func() time.Time
	road  *road
	gate  *gate
	keys  *keyring

	consumer jetstream.Consumer
	subs     []*nats.Subscription
	asking   chan struct{}
	marking  chan struct{}
	nudges   chan string
	idle     idleness
	heard    contacts

	ctx       context.Context //nolint:containedctx // the life of the goroutines that Start makes
	cancel    context.CancelFunc
	group     sync.WaitGroup
	startedMS int64 // the descriptions of this process hold since then

	once    sync.Once
	err     error        // of Close
	closing sync.RWMutex // held while goroutines are begun, and by Close when none may be any longer
}

// Bounds of what runs at once.
const (
	defaultInFlight = 256
	marksInFlight   = 64
	nudgeQueue      = 4096
	contactFlush    = time.Second
)

// Start opens the conveyor, audits it, and takes in journals, marks and questions until
// Close. When a durability setting is not as required nothing flows and the error
// (pos.ErrConfig) names each setting with what it is and what is wanted.
func Start(ctx context.Context, cfg Config) (*Link, error) {
	l := &Link{
		cfg: cfg, store: cfg.Store, log: cfg.Log, now: cfg.Now, keys: newKeyring(),
		nudges: make(chan string, nudgeQueue), marking: make(chan struct{}, marksInFlight),
	}
	if l.log == nil {
		l.log = slog.New(slog.DiscardHandler)
	}
	if l.now == nil {
		l.now = time.Now
	}
	l.startedMS = l.now().UnixMilli()
	if cfg.InFlight <= 0 {
		cfg.InFlight = defaultInFlight
	}
	l.asking = make(chan struct{}, cfg.InFlight)
	l.gate = &gate{link: l, open: make(map[string][]visit)}
	l.heard.latest = make(map[string]Contact)
	l.ctx, l.cancel = context.WithCancel(context.WithoutCancel(ctx))
	if err := l.start(ctx); err != nil {
		return nil, errors.Join(err, l.Close())
	}
	return l, nil
}

func (l *Link) start(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, startTime)
	defer cancel()
	var err error
	if l.road, err = openRoad(l.ctx, l.cfg.Conveyor, l.log); err != nil {
		return fmt.Errorf("open conveyor: %w", err)
	}
	js, err := jetstream.New(l.road.nc)
	if err != nil {
		return fmt.Errorf("open JetStream: %w", err)
	}
	if l.consumer, err = l.road.prepare(ctx, js); err != nil {
		return err
	}
	for _, listen := range []func() ([]*nats.Subscription, error){l.gate.listen, l.listenMarks, l.listenAsks} {
		subs, err := listen()
		l.subs = append(l.subs, subs...)
		if err != nil {
			return err
		}
	}
	l.spawn(l.ingest)
	l.spawn(l.sendNudges)
	l.spawn(l.keepContacts)
	l.spawn(l.watchPolicies)
	return nil
}

// spawn runs fn in a goroutine that Close waits for; after Close it runs nothing.
func (l *Link) spawn(fn func()) {
	l.closing.RLock()
	defer l.closing.RUnlock()
	if l.ctx.Err() == nil {
		l.group.Go(fn)
	}
}

// URL is where tills connect.
func (l *Link) URL() string { return l.road.url }

// Changed tells that a terminal's rights or keys changed: connections that would not
// be let in now are cut, at every centre.
func (l *Link) Changed(terminal string) {
	if err := l.road.nc.Publish(changedPrefix+terminal, nil); err != nil {
		l.log.WarnContext(l.ctx, "change is not told", "terminal", terminal, "err", err)
	}
}

// Close stops taking in, lets questions under way be answered, and waits until the
// embedded server has written everything. Entries that are not committed come again.
func (l *Link) Close() error {
	l.once.Do(func() { l.err = l.close() })
	return l.err
}

func (l *Link) close() error {
	var errs []error
	for _, sub := range l.subs {
		if err := sub.Unsubscribe(); err != nil && !errors.Is(err, nats.ErrConnectionClosed) {
			errs = append(errs, fmt.Errorf("stop %s: %w", sub.Subject, err))
		}
	}
	l.drainAsks()
	l.closing.Lock()
	l.cancel()
	l.closing.Unlock()
	l.group.Wait()
	if l.road != nil {
		l.road.close()
	}
	return errors.Join(errs...)
}

// drainTime bounds how long Close waits for questions under way.
const drainTime = 10 * time.Second

// drainAsks fills every place of the questions under way, so that none is left.
func (l *Link) drainAsks() {
	timeout := time.After(drainTime)
	for range cap(l.asking) {
		select {
		case l.asking <- struct{}{}:
		case <-timeout:
			return
		}
	}
}
