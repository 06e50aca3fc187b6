package escpos

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"dcpos/drivers/escpos/answer"
	"dcpos/drivers/transport"
)

// maxPiece is the most that is written at once, so that a stuck printer is noticed
// after a few kilobytes and a flush of the port ends the write.
const maxPiece = 4096

// maxRecent is longer than any status report of a printer.
const maxRecent = 64

// errSilent is returned by ask when no answer came in time.
var errSilent = errors.New("the printer does not answer")

// link is one claimed connection: it listens all the time and hands answers to
// whoever asked.
type link struct {
	conn    transport.Conn
	heard   func(asb []byte)   // called for every report, before changed is signalled
	ended   func()             // called when the line is lost, not when we close it
	answers chan answer.Answer // all but reports
	changed chan struct{}      // a report came; holds one token
	lost    chan struct{}      // closed when listening ended
	stop    context.CancelFunc

	mu   sync.Mutex
	err  error  // why listening ended
	last []byte // what came since the last question, up to maxRecent
}

func newLink(conn transport.Conn, heard func(asb []byte), ended func()) *link {
	ctx, stop := context.WithCancel(context.Background())
	l := &link{
		conn:    conn,
		heard:   heard,
		ended:   ended,
		answers: make(chan answer.Answer, 64),
		changed: make(chan struct{}, 1),
		lost:    make(chan struct{}),
		stop:    stop,
	}
	go l.listen(ctx)
	return l
}

func (l *link) listen(ctx context.Context) {
	defer close(l.lost)
	var d answer.Decoder
	buf := make([]byte, 512)
	for {
		n, err := l.conn.Read(ctx, buf)
		if err != nil {
			l.mu.Lock()
			l.err = err
			l.mu.Unlock()
			if ctx.Err() == nil {
				l.ended()
			}
			return
		}
		l.keep(buf[:n])
		for _, a := range d.Feed(buf[:n]) {
			l.deliver(a)
		}
	}
}

func (l *link) keep(b []byte) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.last = append(l.last, b[:min(len(b), maxRecent-len(l.last))]...)
}

// recent is what came since the last drain, whether it was understood or not.
func (l *link) recent() []byte {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Clone(l.last)
}

func (l *link) deliver(a answer.Answer) {
	if a.Kind == answer.ASB {
		l.heard(a.Data)
		select {
		case l.changed <- struct{}{}:
		default:
		}
		return
	}
	select {
	case l.answers <- a:
	default: // nobody asked for so many; a full queue only holds stale ones
	}
}

// failure is why the link was lost, nil while it listens.
func (l *link) failure() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.err
}

// close ends the link and waits for the listener.
func (l *link) close() error {
	l.stop()
	err := l.conn.Close()
	<-l.lost
	return err
}

// write sends one piece within the limit. An error that is context.DeadlineExceeded
// means that the printer does not take data.
func (l *link) write(ctx context.Context, p []byte, limit time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	_, err := l.conn.Write(ctx, p)
	return err
}

// drain forgets answers to earlier questions.
func (l *link) drain() {
	l.mu.Lock()
	l.last = nil
	l.mu.Unlock()
	for {
		select {
		case <-l.answers:
		case <-l.changed:
		default:
			return
		}
	}
}

// ask writes a question and waits for the first answer that fits.
func (l *link) ask(ctx context.Context, question []byte, limit time.Duration, fits func(answer.Answer) bool) (answer.Answer, error) {
	l.drain()
	if err := l.write(ctx, question, limit); err != nil {
		return answer.Answer{}, l.why(ctx, err)
	}
	return l.await(ctx, limit, fits)
}

// await waits for an answer to what has been written.
func (l *link) await(ctx context.Context, limit time.Duration, fits func(answer.Answer) bool) (answer.Answer, error) {
	timer := time.NewTimer(limit)
	defer timer.Stop()
	for {
		select {
		case a := <-l.answers:
			if fits(a) {
				return a, nil
			}
		case <-timer.C:
			return answer.Answer{}, errSilent
		case <-l.lost:
			return answer.Answer{}, l.failure()
		case <-ctx.Done():
			return answer.Answer{}, ctx.Err()
		}
	}
}

// awaitReport waits for the next report.
func (l *link) awaitReport(ctx context.Context, limit time.Duration) error {
	timer := time.NewTimer(limit)
	defer timer.Stop()
	select {
	case <-l.changed:
		return nil
	case <-timer.C:
		return errSilent
	case <-l.lost:
		return l.failure()
	case <-ctx.Done():
		return ctx.Err()
	}
}

// why turns the time limit of one write into errSilent, unless the caller's own context ended.
func (l *link) why(ctx context.Context, err error) error {
	if ctx.Err() == nil && errors.Is(err, context.DeadlineExceeded) {
		return fmt.Errorf("%w: it takes no data", errSilent)
	}
	return err
}

func isKind(k answer.Kind) func(answer.Answer) bool {
	return func(a answer.Answer) bool { return a.Kind == k }
}
