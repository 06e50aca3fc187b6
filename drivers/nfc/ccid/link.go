package ccid

import (
	"context"
	"fmt"
	"time"

	"dcpos/drivers"
	"dcpos/drivers/transport"
)

// slotBusyPause is between two tries while the slot still works on a command that was given up.
const slotBusyPause = 20 * time.Millisecond

// link is the conversation on the bulk endpoints: one command, one answer, told apart from
// stale ones by its sequence number (6, bSeq).
type link struct {
	*transport.Listener[message]
	conn transport.Conn
	turn chan struct{} // holds one token while a command is under way
	seq  byte          // guarded by turn
}

func newLink(conn transport.Conn) *link {
	return &link{Listener: transport.Listen(conn, 16, &decoder{}), conn: conn, turn: make(chan struct{}, 1)}
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
	if err := l.Failure(); err != nil {
		return message{}, err
	}
	l.Forget() // half an answer belongs to a command that was given up
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
		case m := <-l.Heard():
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
		case <-l.Ended():
			return message{}, l.Failure()
		case <-ctx.Done():
			return message{}, ctx.Err()
		}
	}
}
