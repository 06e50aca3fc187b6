package ccid

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"dcpos/drivers"
	"dcpos/drivers/transport"
)

// slotBusyPause is between two tries while the slot still works on a command that was given up.
const slotBusyPause = 20 * time.Millisecond

// link is the conversation on the bulk endpoints: one command, one answer, told apart from
// stale ones by its sequence number (6, bSeq).
type link struct {
	conn transport.Conn
	turn chan struct{} // holds one token while a command is under way

	answers chan message
	stop    context.CancelFunc
	ended   chan struct{} // closed when listening ended

	mu  sync.Mutex
	err error // why it ended
	dec decoder

	seq byte // guarded by turn
}

func newLink(conn transport.Conn) *link {
	ctx, stop := context.WithCancel(context.Background())
	l := &link{conn: conn, turn: make(chan struct{}, 1), answers: make(chan message, 16), stop: stop, ended: make(chan struct{})}
	go l.listen(ctx)
	return l
}

func (l *link) listen(ctx context.Context) {
	defer close(l.ended)
	buf := make([]byte, 4096)
	for {
		n, err := l.conn.Read(ctx, buf)
		if err != nil {
			l.mu.Lock()
			l.err = err
			l.mu.Unlock()
			return
		}
		l.mu.Lock()
		messages := l.dec.feed(buf[:n]) // noise answers nothing: the command times out
		l.mu.Unlock()
		for _, m := range messages {
			l.deliver(m)
		}
	}
}

// deliver queues an answer; a full queue only holds stale ones, and the oldest makes room.
func (l *link) deliver(m message) {
	for {
		select {
		case l.answers <- m:
			return
		default:
		}
		select {
		case <-l.answers:
		default:
		}
	}
}

func (l *link) close() error {
	l.stop()
	err := l.conn.Close()
	<-l.ended
	return err
}

// failure is why listening ended, nil while it goes on: the port is closed, or gone,
// whatever ended it.
func (l *link) failure() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case l.err == nil, errors.Is(l.err, transport.ErrGone), errors.Is(l.err, transport.ErrClosed):
		return l.err
	case errors.Is(l.err, context.Canceled):
		return transport.ErrClosed
	}
	return fmt.Errorf("%w: %w", transport.ErrGone, l.err)
}

// ask sends one command and waits for its answer; limit is for each sign of life. A
// failed outcome is an error that names the fault; the answer comes with it.
func (l *link) ask(ctx context.Context, command message, limit time.Duration) (message, error) {
	select {
	case l.turn <- struct{}{}:
		defer func() { <-l.turn }()
	case <-ctx.Done():
		return message{}, ctx.Err()
	}
	for {
		answer, err := l.once(ctx, command, limit)
		if err != nil || answer.outcome() != commandFailed {
			return answer, err
		}
		f := answer.fault()
		if f != faultBusy || command.kind == xfrBlock {
			return answer, fmt.Errorf("%w: %s", f.code(), f)
		}
		if err := pause(ctx, slotBusyPause); err != nil { // it does not keep busy longer than ctx
			return answer, fmt.Errorf("%w: %s: %w", f.code(), f, err)
		}
	}
}

func pause(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// answerOf is which message answers which (table 6.1-2).
func answerOf(k kind) kind {
	switch k { //nolint:exhaustive // answers are not asked
	case powerOn, xfrBlock:
		return dataBlock
	case escape:
		return escaped
	default:
		return slotStatus
	}
}

func (l *link) once(ctx context.Context, command message, limit time.Duration) (message, error) {
	if err := l.failure(); err != nil {
		return message{}, err
	}
	l.mu.Lock()
	l.dec.buf = nil // half an answer belongs to a command that was given up
	l.mu.Unlock()
	l.seq++
	command.seq = l.seq
	writing, cancel := context.WithTimeout(ctx, limit)
	_, err := l.conn.Write(writing, command.encode())
	cancel()
	if err != nil {
		return message{}, err
	}
	timer := time.NewTimer(limit)
	defer timer.Stop()
	for {
		select {
		case m := <-l.answers:
			if m.seq != command.seq || m.slot != command.slot {
				continue // to a command that was given up
			}
			if m.outcome() == commandMoreTime {
				timer.Reset(limit)
				continue
			}
			// a command that the reader does not know may be answered by a slot status (6.2.6)
			if m.kind != answerOf(command.kind) && m.outcome() != commandFailed {
				return m, fmt.Errorf("%w: %w: answer %02x to %02x", drivers.ErrFailure, errNotCCID, byte(m.kind), byte(command.kind))
			}
			return m, nil
		case <-timer.C:
			return message{}, fmt.Errorf("%w: no answer in %v", context.DeadlineExceeded, limit)
		case <-l.ended:
			return message{}, l.failure()
		case <-ctx.Done():
			return message{}, ctx.Err()
		}
	}
}
