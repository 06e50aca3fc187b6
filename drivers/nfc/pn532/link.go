package pn532

import (
	"context"
	"errors"
	"fmt"
	"time"

	"dcpos/drivers"
	"dcpos/drivers/nfc/pn532/wire"
	"dcpos/drivers/transport"
)

// mostTries is how often a command about the chip, or a question for a repetition, is sent.
const mostTries = 3

// link is the conversation with the chip: command, acknowledgement, answer, one at a time.
type link struct {
	*transport.Listener[wire.Frame]
	conn   transport.Conn
	answer time.Duration // the chip's own time for an acknowledgement or an answer
	turn   chan struct{} // holds one token while a command is under way

	dirty bool // a command was given up: its answer may still come; guarded by turn
}

func newLink(conn transport.Conn, answer time.Duration) *link {
	return &link{Listener: transport.Listen(conn, 64, &wire.Decoder{}), conn: conn, answer: answer, turn: make(chan struct{}, 1)}
}

func (l *link) write(ctx context.Context, b []byte) error {
	ctx, cancel := context.WithTimeout(ctx, l.answer)
	defer cancel()
	_, err := l.conn.Write(ctx, b)
	return err
}

// await waits for the next frame within the limit.
func (l *link) await(ctx context.Context, limit time.Duration) (wire.Frame, error) {
	timer := time.NewTimer(limit)
	defer timer.Stop()
	select {
	case f := <-l.Heard():
		return f, nil
	case <-timer.C:
		return wire.Frame{}, errSilent
	case <-l.Ended():
		return wire.Frame{}, l.Failure()
	case <-ctx.Done():
		return wire.Frame{}, ctx.Err()
	}
}

// errSilent is returned when the chip said nothing in time, errNoACK when it did not even
// acknowledge the command.
var (
	errSilent = fmt.Errorf("%w: the chip does not answer", context.DeadlineExceeded)
	errNoACK  = fmt.Errorf("%w: the chip does not acknowledge", context.DeadlineExceeded)
)

// errSyntax is returned when the chip answers with its error frame.
var errSyntax = errors.New("the chip does not understand the command")

// take waits for the turn to talk.
func (l *link) take(ctx context.Context) (give func(), err error) {
	select {
	case l.turn <- struct{}{}:
		return func() { <-l.turn }, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// ask sends a command about the chip itself, which may be repeated, and returns its
// answer without the code.
func (l *link) ask(ctx context.Context, command ...byte) ([]byte, error) {
	return l.settled(ctx, func() ([]byte, error) { return l.repeat(ctx, command) })
}

// greet is the first command to a chip that may sleep: nothing is settled before it.
func (l *link) greet(ctx context.Context, command ...byte) ([]byte, error) {
	give, err := l.take(ctx)
	if err != nil {
		return nil, err
	}
	defer give()
	l.dirty = true
	return l.repeat(ctx, command)
}

func (l *link) repeat(ctx context.Context, command []byte) ([]byte, error) {
	var err error
	for range mostTries {
		var response []byte
		response, err = l.once(ctx, append(wire.WakeUp(), mustEncode(command)...), command[0], l.answer, true)
		if !errors.Is(err, errSilent) && !errors.Is(err, errNoACK) {
			return response, err
		}
	}
	return nil, err
}

// mustEncode frames a command of this package's own, all of which fit.
func mustEncode(command []byte) []byte {
	b, _ := wire.Encode(command) // checked by the callers' lengths
	return b
}

// tell sends a command for the card once and waits up to limit for its answer.
func (l *link) tell(ctx context.Context, limit time.Duration, command []byte) ([]byte, error) {
	b, err := wire.Encode(command)
	if err != nil {
		return nil, err
	}
	return l.settled(ctx, func() ([]byte, error) { return l.once(ctx, b, command[0], limit, false) })
}

// watch sends a command that waits for the world, up to limit. It is repeated as long as
// the chip does not acknowledge it.
func (l *link) watch(ctx context.Context, limit time.Duration, command ...byte) ([]byte, error) {
	return l.settled(ctx, func() (response []byte, err error) {
		for range mostTries {
			if response, err = l.once(ctx, mustEncode(command), command[0], limit, true); !errors.Is(err, errNoACK) {
				break
			}
		}
		return response, err
	})
}

// settled does something in turn, with nothing old on the line.
func (l *link) settled(ctx context.Context, do func() ([]byte, error)) ([]byte, error) {
	give, err := l.take(ctx)
	if err != nil {
		return nil, err
	}
	defer give()
	if err := l.settle(ctx); err != nil {
		return nil, err
	}
	return do()
}

// once sends one framed command and waits for acknowledgement and answer. Whatever ends
// it before the answer leaves the line dirty. With mayRepeat a missing acknowledgement ends
// it at once; without, the answer is waited for all the same.
func (l *link) once(ctx context.Context, b []byte, code byte, limit time.Duration, mayRepeat bool) ([]byte, error) {
	if err := l.Failure(); err != nil {
		return nil, err
	}
	wasDirty := l.dirty
	l.Drain()
	l.dirty = true
	if err := l.write(ctx, b); err != nil {
		return nil, err
	}
	response, err := l.hear(ctx, code, limit, mayRepeat)
	if err == nil || errors.Is(err, errSyntax) {
		l.dirty = wasDirty
	}
	return response, err
}

// hear waits for the acknowledgement, then for the answer to code. An answer without an
// acknowledgement before it counts: the acknowledgement was lost.
func (l *link) hear(ctx context.Context, code byte, limit time.Duration, mayRepeat bool) ([]byte, error) {
	wait, acked, asked := l.answer, false, 0
	started := time.Now()
	for {
		f, err := l.await(ctx, wait)
		switch {
		case errors.Is(err, errSilent) && !acked && mayRepeat:
			return nil, errNoACK
		case errors.Is(err, errSilent) && !acked:
			acked, wait = true, max(limit-time.Since(started), 0) // perhaps it was lost
			if wait > 0 {
				continue
			}
			return nil, err
		case err != nil:
			return nil, err
		}
		switch f.Kind {
		case wire.Acknowledged:
			acked, wait = true, limit
		case wire.SyntaxError:
			return nil, errSyntax
		case wire.Answer:
			if f.Data[0] == code+1 {
				return f.Data[1:], nil
			}
		case wire.Damaged:
			if asked++; asked > mostTries {
				return nil, fmt.Errorf("%w: the line damages every answer", drivers.ErrFailure)
			}
			if err := l.write(ctx, wire.NACK()); err != nil {
				return nil, err
			}
		case wire.Refused:
		}
	}
}

// settle makes sure that no answer to an older command can come any more: an ACK ends
// what the chip does (6.2.1.3), and when GetFirmwareVersion is answered, everything older
// has been said.
func (l *link) settle(ctx context.Context) error {
	if !l.dirty {
		return nil
	}
	if err := l.Failure(); err != nil {
		return err
	}
	if err := l.write(ctx, wire.ACK()); err != nil {
		return err
	}
	if _, err := l.repeat(ctx, []byte{cmdGetFirmwareVersion}); err != nil {
		return err
	}
	l.dirty = false
	return nil
}
