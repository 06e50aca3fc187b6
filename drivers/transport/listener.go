package transport

import (
	"context"
	"errors"
	"fmt"
	"sync"
)

// Decoder cuts what a device says into whole messages.
type Decoder[M any] interface {
	// Feed takes what was read and returns the messages that are now whole.
	Feed(b []byte) []M
	// Forget drops half a message.
	Forget()
}

// Listener reads a connection all the time and keeps the messages that nobody has taken
// yet, the newest of them: a device may say something at any moment, also too late.
type Listener[M any] struct {
	conn  Conn
	heard chan M
	stop  context.CancelFunc
	ended chan struct{}

	mu  sync.Mutex
	dec Decoder[M]
	err error // why it ended
}

// Listen starts listening, and owns the connection: Close closes it. keep is how many
// messages may wait; when one more comes, the oldest is dropped.
func Listen[M any](conn Conn, keep int, dec Decoder[M]) *Listener[M] {
	ctx, stop := context.WithCancel(context.Background())
	l := &Listener[M]{conn: conn, heard: make(chan M, keep), stop: stop, ended: make(chan struct{}), dec: dec}
	go l.listen(ctx)
	return l
}

func (l *Listener[M]) listen(ctx context.Context) {
	defer close(l.ended)
	buf := make([]byte, readSize)
	for {
		n, err := l.conn.Read(ctx, buf)
		l.mu.Lock()
		if err != nil {
			l.err = err
			l.mu.Unlock()
			return
		}
		messages := l.dec.Feed(buf[:n])
		l.mu.Unlock()
		for _, m := range messages {
			l.keep(m)
		}
	}
}

func (l *Listener[M]) keep(m M) {
	for {
		select {
		case l.heard <- m:
			return
		default:
		}
		select {
		case <-l.heard:
		default:
		}
	}
}

// Heard gives the messages in order. It is never closed: see Ended.
func (l *Listener[M]) Heard() <-chan M { return l.heard }

// Ended is closed when nothing more can be heard; Failure says why.
func (l *Listener[M]) Ended() <-chan struct{} { return l.ended }

// Failure is why listening ended, nil while it goes on: ErrClosed after Close, ErrGone
// whatever else ended it.
func (l *Listener[M]) Failure() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case l.err == nil, errors.Is(l.err, ErrGone), errors.Is(l.err, ErrClosed):
		return l.err
	case errors.Is(l.err, context.Canceled):
		return ErrClosed
	}
	return fmt.Errorf("%w: %w", ErrGone, l.err)
}

// Forget drops half a message: what it belonged to was given up. Whole ones stay.
func (l *Listener[M]) Forget() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.dec.Forget()
}

// Drain forgets all that was heard and not taken.
func (l *Listener[M]) Drain() {
	l.Forget()
	for {
		select {
		case <-l.heard:
		default:
			return
		}
	}
}

// Close closes the connection and waits until listening has ended.
func (l *Listener[M]) Close() error {
	l.stop()
	err := l.conn.Close()
	<-l.ended
	return err
}
