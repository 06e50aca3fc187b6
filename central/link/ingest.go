package link

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"dcpos/sync/wire"
)

// Bounds of one round of taking in.
const (
	roundMessages = 64
	commitTime    = 45 * time.Second // below ackWait: what is committed is acknowledged in time
	retryWait     = 500 * time.Millisecond
	ackers        = 8
)

// ingest takes in until the link ends. Messages of one terminal are in the order of the
// stream; what a round does not commit comes again.
func (l *Link) ingest() {
	arrived := make(chan jetstream.Msg, roundMessages)
	l.group.Go(func() {
		defer close(arrived)
		l.pull(arrived)
	})
	for first := range arrived {
		messages := gather(first, arrived)
		if err := l.round(messages); err != nil {
			l.pauseAfter(err)
			l.single(messages)
		}
	}
}

// gather takes what has arrived already, up to a round: a commit is shared by all that
// wait, and waits for none.
func gather(first jetstream.Msg, arrived <-chan jetstream.Msg) []jetstream.Msg {
	messages := []jetstream.Msg{first}
	for len(messages) < roundMessages {
		select {
		case m, ok := <-arrived:
			if !ok {
				return messages
			}
			messages = append(messages, m)
		default:
			return messages
		}
	}
	return messages
}

// pull hands over messages until the link ends and what was fetched is handed over.
func (l *Link) pull(arrived chan<- jetstream.Msg) {
	for l.ctx.Err() == nil {
		// What is fetched ahead must be done before ackWait, so it is little.
		messages, err := l.consumer.Messages(jetstream.PullMaxMessages(roundMessages))
		if err != nil {
			l.pauseAfter(err)
			continue
		}
		stop := context.AfterFunc(l.ctx, messages.Drain)
		for {
			m, err := messages.Next()
			if errors.Is(err, jetstream.ErrMsgIteratorClosed) {
				break
			}
			if err != nil { // such as a missed heartbeat: what is buffered is still to come
				l.pauseAfter(err)
				continue
			}
			arrived <- m
		}
		stop()
		messages.Stop()
	}
}

// deadAfter is how many failures in a row mean that the database is the cause.
const deadAfter = 3

// putOff is how long a message waits that the database did not take alone.
const putOff = 30 * time.Second

// single takes in one by one what failed together, so that one message that the
// database does not take holds up no other.
func (l *Link) single(messages []jetstream.Msg) {
	failures := 0
	for i, m := range messages {
		if failures >= deadAfter {
			for _, rest := range messages[i:] {
				_ = rest.Nak() // else it comes again after ackWait
			}
			return
		}
		if err := l.round(messages[i : i+1]); err != nil {
			failures++
			_ = m.NakWithDelay(putOff) // else it comes again after ackWait
			l.pauseAfter(err)
			continue
		}
		failures = 0
	}
}

func (l *Link) pauseAfter(err error) {
	if l.ctx.Err() != nil {
		return
	}
	l.log.ErrorContext(l.ctx, "journals are not taken in", "err", err)
	select {
	case <-l.ctx.Done():
	case <-time.After(retryWait):
	}
}

// round takes in messages: verified, kept in one transaction, acknowledged, receipted.
func (l *Link) round(messages []jetstream.Msg) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(l.ctx), commitTime)
	defer cancel()
	plain := make([]message, len(messages))
	for i, m := range messages {
		plain[i] = message{m.Subject(), m.Data()}
	}
	outcomes, err := l.take(ctx, plain)
	if err != nil {
		return err
	}
	l.acknowledge(ctx, messages)
	l.tell(ctx, outcomes)
	return nil
}

// take verifies and keeps; after it returns nil everything is in the database.
func (l *Link) take(ctx context.Context, messages []message) ([]outcome, error) {
	found, err := l.examineAll(ctx, messages)
	if err != nil {
		return nil, err
	}
	var outcomes []outcome
	err = l.store.Write(ctx, func(tx Tx) error {
		outcomes, err = keepAll(ctx, tx, found)
		return err
	})
	if err != nil {
		return nil, err
	}
	for i, o := range outcomes {
		if o.reject != "" {
			l.log.WarnContext(ctx, "batch is rejected", "terminal", o.terminal, "reason", o.reject, "err", found[i].err)
		}
	}
	return outcomes, nil
}

// acknowledge waits for the server's word on each: an acknowledgement that is lost
// costs a repeat, nothing more.
func (l *Link) acknowledge(ctx context.Context, messages []jetstream.Msg) {
	next := make(chan jetstream.Msg)
	var group sync.WaitGroup
	for range min(ackers, len(messages)) {
		group.Go(func() {
			for m := range next {
				if err := m.DoubleAck(ctx); err != nil && l.ctx.Err() == nil {
					l.log.WarnContext(ctx, "message is not acknowledged", "err", err)
				}
			}
		})
	}
	for _, m := range messages {
		next <- m
	}
	close(next)
	group.Wait()
}

// tell gives the observer what is new and the tills their receipts, the last of each
// branch only.
func (l *Link) tell(ctx context.Context, outcomes []outcome) {
	type place struct {
		terminal string
		epoch    uint32
		branch   int
	}
	last := make(map[place]int)
	for i, o := range outcomes {
		if o.reject != "" {
			continue
		}
		last[place{o.terminal, o.epoch, o.head.Branch}] = i
		if len(o.fresh) > 0 && l.cfg.Observer != nil {
			l.cfg.Observer.Ingested(o.terminal, o.fresh)
		}
	}
	var receipts []outcome
	for i, o := range outcomes {
		if j, ok := last[place{o.terminal, o.epoch, o.head.Branch}]; ok && i == j {
			receipts = append(receipts, o)
		}
	}
	if len(receipts) == 0 {
		return
	}
	marks := make([]wire.Mark, len(receipts))
	err := l.store.Read(ctx, func(r Reader) error {
		for i, o := range receipts {
			var err error
			if marks[i], err = l.receiptMark(ctx, r, o); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		l.log.WarnContext(ctx, "receipts are not made", "err", err)
		return
	}
	for i, o := range receipts {
		if err := l.push(o.terminal, marks[i]); err != nil {
			l.log.WarnContext(ctx, "receipt is not sent", "terminal", o.terminal, "err", err)
		}
	}
}

// receiptMark is what a till is told after a batch: its receipt, unless an earlier epoch
// is not whole, or what to send again.
func (l *Link) receiptMark(ctx context.Context, r Reader, o outcome) (wire.Mark, error) {
	m := l.newMark(o.terminal)
	m.Quarantine = o.fenced
	if o.resend > 0 {
		m.ResendEpoch, m.ResendFrom = o.epoch, o.resend
		return m, nil
	}
	openings, err := r.Openings(ctx, o.terminal)
	if err != nil || len(openings) == 0 {
		return m, err
	}
	top, err := climb(ctx, r, o.terminal, openings, o.epoch)
	if err != nil {
		return m, err
	}
	if top < o.epoch {
		heads, err := r.Heads(ctx, o.terminal, top)
		if err != nil || len(heads) == 0 {
			return m, err
		}
		m.ResendEpoch, m.ResendFrom = top, heads[0].Seq+1
		return m, nil
	}
	m.Receipt, err = l.receipt(ctx, r, o.terminal, o.epoch, o.head)
	return m, err
}

// idleness knows whether the conveyor holds anything that is not taken in.
type idleness struct {
	mu    sync.Mutex
	at    time.Time
	quick bool
}

// infoAge is how old the consumer's state may be.
const infoAge = time.Second

func (i *idleness) quiet(ctx context.Context, c jetstream.Consumer) bool {
	i.mu.Lock()
	defer i.mu.Unlock()
	if time.Since(i.at) < infoAge {
		return i.quick
	}
	info, err := c.Info(ctx)
	i.at = time.Now()
	i.quick = err == nil && info.NumPending == 0 && info.NumAckPending == 0
	return i.quick
}
