package link

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/nats-io/nkeys"

	"dcpos/pos"
	"dcpos/sync/wire"
)

// The queue of a reconciliation's shards and the manifest of what is done. The queue says
// what is due, the manifest alone what is done: a task that is handed out twice does no
// harm, because its first outcome stays.
const (
	shardStream   = "DCPOS_SHARDS"
	shardConsumer = "workers"
	shardSubject  = wire.Root + ".shards.task."
	shardTrouble  = wire.Root + ".shards.trouble"
	shardBucket   = "dcpos-shards"
)

// Bounds of the queue and the manifest.
const (
	defaultLease = 30 * time.Second
	noteLife     = 45 * 24 * time.Hour // what is older is done again when it is asked for
	maxNote      = 256 << 10
	shardTasks   = 1 << 20
	maxTroubles  = 5 // of one task, before its run fails
	recheckEvery = 5 * time.Second
)

// Shards is the queue and the manifest, as a centre or a worker sees them.
type Shards struct {
	nc       *nats.Conn
	owned    bool // the connection is closed with it
	js       jetstream.JetStream
	consumer jetstream.Consumer
	kv       jetstream.KeyValue
	lease    time.Duration
	log      *slog.Logger
}

// ShardsConfig of a centre's Shards.
type ShardsConfig struct {
	// Lease is how long a worker may be silent before its task goes to another; 30 s when 0.
	Lease time.Duration
}

// Shards makes queue and manifest where there are none. They are carried like everything
// else: each message is on the disk of as many servers as the conveyor has replicas.
func (l *Link) Shards(ctx context.Context, cfg ShardsConfig) (*Shards, error) {
	if cfg.Lease <= 0 {
		cfg.Lease = defaultLease
	}
	js, err := jetstream.New(l.road.nc)
	if err != nil {
		return nil, fmt.Errorf("open shards: %w", err)
	}
	c := l.road.conveyor
	stream, err := js.CreateOrUpdateStream(ctx, jetstream.StreamConfig{
		Name: shardStream, Subjects: []string{shardSubject + "*"}, Retention: jetstream.WorkQueuePolicy,
		Storage: jetstream.FileStorage, Replicas: c.Replicas, MaxMsgSize: maxNote, MaxMsgs: shardTasks,
		// One task has one message: offering it again changes nothing.
		MaxMsgsPerSubject: 1, Discard: jetstream.DiscardNew, DiscardNewPerSubject: true,
	})
	if err != nil {
		return nil, fmt.Errorf("make stream %s: %w", shardStream, err)
	}
	s := &Shards{nc: l.road.nc, js: js, lease: cfg.Lease, log: l.log}
	s.consumer, err = stream.CreateOrUpdateConsumer(ctx, jetstream.ConsumerConfig{
		Durable: shardConsumer, AckPolicy: jetstream.AckExplicitPolicy, AckWait: cfg.Lease, MaxDeliver: -1,
		MaxAckPending: shardTasks, Replicas: c.Replicas,
	})
	if err != nil {
		return nil, fmt.Errorf("make consumer %s: %w", shardConsumer, err)
	}
	s.kv, err = js.CreateOrUpdateKeyValue(ctx, jetstream.KeyValueConfig{
		Bucket: shardBucket, History: 1, TTL: noteLife, MaxValueSize: maxNote, Storage: jetstream.FileStorage,
		Replicas: c.Replicas, MaxBytes: c.MaxBytes / 8,
	})
	if err != nil {
		return nil, fmt.Errorf("make bucket %s: %w", shardBucket, err)
	}
	return s, nil
}

// WorkerRoad is how a worker reaches the centre's conveyor.
type WorkerRoad struct {
	URL  string
	Seed []byte // nkey seed of a user whose public key the centre lists in Config.Workers
	TLS  *tls.Config
	Log  *slog.Logger
}

// DialShards connects a worker. The centre has to have made the queue: until then, and while
// it is away, the error is temporary.
func DialShards(ctx context.Context, cfg WorkerRoad) (*Shards, error) {
	user, err := nkeys.FromSeed(cfg.Seed)
	if err != nil {
		return nil, pos.FieldError(pos.ErrConfig, "seed", err)
	}
	key, err := user.PublicKey()
	if err != nil {
		return nil, pos.FieldError(pos.ErrConfig, "seed", err)
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	opts := append(options(ctx, cfg.Log, user, key), nats.Name("dcpos-worker"), nats.CustomInboxPrefix(workerInbox(key)))
	if cfg.TLS != nil {
		opts = append(opts, nats.Secure(cfg.TLS))
	}
	s := &Shards{owned: true, log: cfg.Log}
	if s.nc, err = nats.Connect(cfg.URL, opts...); err != nil {
		return nil, fmt.Errorf("connect to %s: %w", redacted(cfg.URL), err)
	}
	if err := s.bind(ctx); err != nil {
		s.Close()
		return nil, err
	}
	return s, nil
}

func (s *Shards) bind(ctx context.Context) (err error) {
	if s.js, err = jetstream.New(s.nc); err != nil {
		return fmt.Errorf("open shards: %w", err)
	}
	if s.consumer, err = s.js.Consumer(ctx, shardStream, shardConsumer); err != nil {
		return fmt.Errorf("open queue of shards: %w", err)
	}
	if s.kv, err = s.js.KeyValue(ctx, shardBucket); err != nil {
		return fmt.Errorf("open manifest of shards: %w", err)
	}
	s.lease = s.consumer.CachedInfo().Config.AckWait
	return nil
}

// Close ends a worker's connection; a centre's belongs to its Link.
func (s *Shards) Close() {
	if s.owned {
		s.nc.Close()
	}
}

// workerInbox keeps workers out of one another's answers.
func workerInbox(key string) string { return "_INBOX_worker." + key }

// workerPermissions are the subjects that a worker may publish to and subscribe: it takes
// tasks, acknowledges them, and reads and writes the manifest. It can neither offer tasks nor
// see anything of tills.
func workerPermissions(key string) (publish, subscribe []string) {
	stream := "KV_" + shardBucket
	return []string{
		"$JS.API.CONSUMER.INFO." + shardStream + "." + shardConsumer,
		"$JS.API.CONSUMER.MSG.NEXT." + shardStream + "." + shardConsumer,
		"$JS.ACK." + shardStream + "." + shardConsumer + ".>",
		"$JS.API.STREAM.INFO." + stream, "$JS.API.DIRECT.GET." + stream + ".>", "$KV." + shardBucket + ".>",
		shardTrouble,
	}, []string{workerInbox(key) + ".>"}
}

// Load returns a note, nil where there is none.
func (s *Shards) Load(ctx context.Context, key string) ([]byte, error) {
	entry, err := s.kv.Get(ctx, key)
	if errors.Is(err, jetstream.ErrKeyNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read manifest: %w", err)
	}
	return entry.Value(), nil
}

// Keep writes a note unless there is one, by compare and set, and returns the one that stays.
func (s *Shards) Keep(ctx context.Context, key string, value []byte) ([]byte, error) {
	_, err := s.kv.Create(ctx, key, value)
	if errors.Is(err, jetstream.ErrKeyExists) {
		return s.Load(ctx, key)
	}
	if err != nil {
		return nil, fmt.Errorf("write manifest: %w", err)
	}
	return value, nil
}

// trouble is what a worker says that could not do a task.
type trouble struct {
	Key  string `json:"key"`
	What string `json:"what"`
}

// Offer puts tasks into the queue, by the key of the note that says that a task is done, and
// waits until each has its note; done is told how many have. What a task says means nothing
// to the road. A task that workers fail at again and again ends it with what they said.
func (s *Shards) Offer(ctx context.Context, tasks map[string][]byte, done func(n int)) error {
	missing := maps.Clone(tasks)
	troubles, quiet, err := s.troubles()
	if err != nil {
		return fmt.Errorf("offer shards: %w", err)
	}
	defer quiet()
	watch, err := s.kv.WatchAll(ctx, jetstream.UpdatesOnly(), jetstream.MetaOnly())
	if err != nil {
		return fmt.Errorf("watch manifest: %w", err)
	}
	defer func() { _ = watch.Stop() }()
	if err := s.offer(ctx, missing); err != nil {
		return err
	}
	failed := map[string]int{}
	recheck := time.NewTicker(recheckEvery)
	defer recheck.Stop()
	for len(missing) > 0 {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case entry, open := <-watch.Updates():
			if !open {
				return errors.New("the conveyor was closed while shards were under way")
			}
			if entry != nil {
				delete(missing, entry.Key())
			}
		case t := <-troubles:
			if _, due := missing[t.Key]; due {
				failed[t.Key]++
			}
			if failed[t.Key] >= maxTroubles {
				return fmt.Errorf("workers failed %d times at one task: %s", maxTroubles, t.What)
			}
		case <-recheck.C: // a watch may miss what happens while the connection is down
			s.recheck(ctx, missing)
		}
		done(len(tasks) - len(missing))
	}
	return nil
}

// troubles is what workers say that could not do a task, until end is called.
func (s *Shards) troubles() (said <-chan trouble, end func(), err error) {
	heard := make(chan trouble, 64)
	sub, err := s.nc.Subscribe(shardTrouble, func(m *nats.Msg) {
		var t trouble
		if json.Unmarshal(m.Data, &t) == nil {
			select {
			case heard <- t:
			default: // there are enough already
			}
		}
	})
	return heard, func() { _ = sub.Unsubscribe() }, err
}

func (s *Shards) offer(ctx context.Context, tasks map[string][]byte) error {
	for key, body := range tasks {
		_, err := s.js.Publish(ctx, shardSubject+key, body)
		if api, ok := errors.AsType[*jetstream.APIError](err); ok && strings.Contains(api.Description, perSubject) {
			continue // it is in the queue already
		}
		if err != nil {
			return fmt.Errorf("offer shard: %w", err)
		}
	}
	return nil
}

// perSubject is in the server's words for a subject that has its one message already; their
// code 10077 also stands for other refusals of the store.
const perSubject = "per subject"

// recheck asks the manifest for every task that is missing and offers it again: an offer may
// have been lost with the queue's disk. What fails is tried at the next one.
func (s *Shards) recheck(ctx context.Context, missing map[string][]byte) {
	for key := range missing {
		note, err := s.Load(ctx, key)
		if err != nil {
			s.log.WarnContext(ctx, "manifest is not readable", "err", err)
			return
		}
		if note != nil {
			delete(missing, key)
		}
	}
	if err := s.offer(ctx, missing); err != nil {
		s.log.WarnContext(ctx, "shards are not offered again", "err", err)
	}
}

// Serve does tasks, so many at once, until ctx ends. A task whose worker is silent for the
// lease goes to another; one that cannot be done here is given back.
func (s *Shards) Serve(ctx context.Context, atOnce int, do func(ctx context.Context, body []byte) error) {
	var group sync.WaitGroup
	for range atOnce {
		group.Go(func() {
			for ctx.Err() == nil {
				s.serveOne(ctx, do)
			}
		})
	}
	group.Wait()
}

const (
	giveBack  = time.Second
	awayPause = time.Second
)

func (s *Shards) serveOne(ctx context.Context, do func(ctx context.Context, body []byte) error) {
	m, err := s.consumer.Next(jetstream.FetchContext(ctx))
	if err != nil {
		if ctx.Err() == nil && !errors.Is(err, nats.ErrTimeout) && !errors.Is(err, jetstream.ErrNoMessages) {
			s.log.WarnContext(ctx, "no task", "err", err)
			pause(ctx, awayPause)
		}
		return
	}
	stop := s.keepLease(ctx, m)
	err = do(ctx, m.Data())
	stop()
	switch {
	case err == nil:
		s.log.DebugContext(ctx, "task is done", "task", m.Subject()[len(shardSubject):])
		err = m.Ack() // one that is lost brings the task again, which is done by then
	case ctx.Err() != nil:
		err = m.Nak()
	default:
		s.log.WarnContext(ctx, "task is not done", "err", err)
		b, _ := json.Marshal(trouble{m.Subject()[len(shardSubject):], err.Error()}) // strings only
		err = errors.Join(s.nc.Publish(shardTrouble, b), m.NakWithDelay(giveBack))
	}
	if err != nil {
		s.log.WarnContext(ctx, "task is not acknowledged", "err", err)
	}
}

func pause(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
	case <-t.C:
	}
}

// keepLease tells the queue that the task is under way, until stop.
func (s *Shards) keepLease(ctx context.Context, m jetstream.Msg) (stop func()) {
	ctx, cancel := context.WithCancel(ctx)
	var group sync.WaitGroup
	group.Go(func() {
		ticker := time.NewTicker(max(s.lease/3, time.Millisecond))
		defer ticker.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-ticker.C:
				if err := m.InProgress(); err != nil {
					s.log.WarnContext(ctx, "lease is not extended", "err", err)
				}
			}
		}
	})
	return func() { cancel(); group.Wait() }
}
