package scanner

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"dcpos/drivers"
	"dcpos/drivers/scanner/framing"
	"dcpos/drivers/transport"
	profiles "dcpos/firmware-profiles"
	"dcpos/pos"
)

const (
	queueLength  = 32                    // codes waiting to be taken; nobody scans faster
	drainFor     = 30 * time.Millisecond // silence that says that nothing old is left in the line
	drainAtMost  = 300 * time.Millisecond
	triggerLimit = time.Second
	bufferSize   = 4096 // whole reports and events fit
)

// Options are what a scanner needs besides its profile and port.
type Options struct {
	// Name is the device's name in this till. Default: the profile's name.
	Name string
	// Now stamps codes. Default: time.Now.
	Now func() time.Time
}

// Scanner is a bar code scanner: on a serial line, or what types.
type Scanner struct {
	name    string
	profile profiles.Scanner
	dial    transport.Dial
	now     func() time.Time
	decode  func(transport.Conn) decoder
	prepare func(context.Context, transport.Conn) error // before listening; may be nil

	life     drivers.Lifecycle
	counters drivers.Counters
	steps    sync.Mutex // one change of the life cycle at a time

	mu     sync.Mutex
	conn   transport.Conn
	events chan drivers.ScanEvent
	stop   context.CancelFunc
	done   chan struct{} // closed when reading and delivering have ended
	lost   error
	known  framing.Known
	past   *drivers.LearnedFraming // what was learned in an earlier life
	anew   bool                    // the reader is to learn anew
}

var (
	_ drivers.Scanner        = (*Scanner)(nil)
	_ drivers.FramingLearner = (*Scanner)(nil)
)

// decoder cuts what a port gives into codes. It is for one goroutine.
type decoder interface {
	// Feed takes what was read at a time and returns the codes that are now whole.
	Feed(p []byte, at time.Time) []drivers.ScanEvent
	// Silence tells that nothing came up to now.
	Silence(now time.Time) []drivers.ScanEvent
	// Waiting is after how much silence it wants to hear of it; 0: never.
	Waiting() time.Duration
	// Known tells what it found out besides codes.
	Known() framing.Known
}

// New makes a closed scanner that hangs on a serial line.
func New(p profiles.Scanner, dial transport.Dial, o Options) *Scanner {
	var s *Scanner
	s = build(p, dial, o, func(transport.Conn) decoder {
		s.mu.Lock()
		defer s.mu.Unlock()
		return framing.New(p.Framing, s.past)
	})
	return s
}

func build(p profiles.Scanner, dial transport.Dial, o Options, decode func(transport.Conn) decoder) *Scanner {
	if o.Name == "" {
		o.Name = p.Name
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	none := make(chan drivers.ScanEvent)
	close(none)
	return &Scanner{name: o.Name, profile: p, dial: dial, now: o.Now, decode: decode, events: none}
}

func (s *Scanner) trouble(operation string, err, cause error) error {
	code, ok := errors.AsType[drivers.ErrorCode](err)
	if !ok {
		code = drivers.ErrFailure
	}
	return drivers.Trouble(drivers.CategoryScanner, operation+" "+s.name, code, cause)
}

// Info implements drivers.Device.
func (s *Scanner) Info() drivers.DeviceInfo {
	s.mu.Lock()
	defer s.mu.Unlock()
	info := drivers.DeviceInfo{Category: drivers.CategoryScanner, Name: s.name, Profile: s.profile.Name}
	if s.conn != nil {
		info.Port = s.conn.String()
	}
	return info
}

// State implements drivers.Device.
func (s *Scanner) State() drivers.State { return s.life.State() }

// Statistics implements drivers.Device.
func (s *Scanner) Statistics() map[drivers.StatisticName]int64 { return s.counters.All() }

// Events implements drivers.Scanner. Before Enable it is a closed channel.
func (s *Scanner) Events() <-chan drivers.ScanEvent {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.events
}

// Open implements drivers.Device.
func (s *Scanner) Open(context.Context) error {
	s.life.Opened()
	return nil
}

// Claim implements drivers.Device.
func (s *Scanner) Claim(ctx context.Context) error {
	s.steps.Lock()
	defer s.steps.Unlock()
	if err := s.life.NeedOpen(); err != nil {
		return s.trouble("claim", err, nil)
	}
	if claimed, _ := s.life.Is(); claimed {
		return nil
	}
	conn, err := s.dial(ctx)
	if err != nil {
		return s.notClaimed(err)
	}
	s.mu.Lock()
	s.conn, s.lost = conn, nil
	s.mu.Unlock()
	s.life.Claimed()
	return nil
}

// notClaimed says why the port could not be had, and what to do about it.
func (s *Scanner) notClaimed(err error) error {
	if errors.Is(err, transport.ErrInUse) {
		return s.trouble("claim", drivers.ErrClaimed, err)
	}
	trouble := drivers.Trouble(drivers.CategoryScanner, "claim "+s.name, drivers.ErrNoHardware, err)
	if said, ok := errors.AsType[*pos.Error](err); ok {
		trouble.Text, trouble.Hint = said.Text, said.Hint
	}
	if errors.Is(err, transport.ErrAccess) {
		trouble.Text = pos.Text{ZH: "没有权限打开扫码枪", EN: "this program may not open the scanner"}
		trouble.Hint = pos.Text{
			ZH: "请安装本机的 udev 规则,再重新插拔扫码枪",
			EN: "install this till's udev rules, then plug the scanner in again",
		}
	}
	return trouble
}

// Enable implements drivers.Device. What was scanned before is thrown away.
func (s *Scanner) Enable(ctx context.Context) error {
	s.steps.Lock()
	defer s.steps.Unlock()
	if err := s.life.NeedClaimed(); err != nil {
		return s.trouble("enable", err, nil)
	}
	if _, enabled := s.life.Is(); enabled {
		return nil
	}
	s.mu.Lock()
	conn := s.conn
	s.known = framing.Known{}
	s.mu.Unlock()
	if s.prepare != nil {
		if err := s.prepare(ctx, conn); err != nil {
			return s.trouble("enable", drivers.ErrOffline, err)
		}
	}
	if err := drain(ctx, conn); err != nil {
		return s.trouble("enable", drivers.ErrOffline, err)
	}
	run, stop := context.WithCancel(context.Background())
	events, done := make(chan drivers.ScanEvent), make(chan struct{})
	s.mu.Lock()
	s.events, s.stop, s.done = events, stop, done
	s.mu.Unlock()
	queue := make(chan drivers.ScanEvent, queueLength)
	go s.read(run, conn, queue)
	go s.deliver(run, queue, events, done)
	s.life.Enabled()
	return nil
}

// drain reads away what came before.
func drain(ctx context.Context, conn transport.Conn) error {
	buf := make([]byte, 512)
	whole, cancel := context.WithTimeout(ctx, drainAtMost)
	defer cancel()
	for {
		quiet, stop := context.WithTimeout(whole, drainFor)
		_, err := conn.Read(quiet, buf)
		stop()
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case errors.Is(err, context.DeadlineExceeded), whole.Err() != nil:
			return nil
		case err != nil:
			return err
		}
	}
}

// read cuts what comes into codes and queues them until the port ends.
func (s *Scanner) read(ctx context.Context, conn transport.Conn, queue chan<- drivers.ScanEvent) {
	defer close(queue)
	d := s.decode(conn)
	buf := make([]byte, bufferSize)
	for {
		n, err := readFor(ctx, conn, buf, d.Waiting())
		if s.forgets() {
			d = s.decode(conn)
		}
		now := s.now()
		var events []drivers.ScanEvent
		switch {
		case err == nil:
			events = d.Feed(buf[:n], now)
		case ctx.Err() != nil:
			return
		case errors.Is(err, context.DeadlineExceeded):
			events = d.Silence(now)
		default:
			s.mu.Lock()
			s.lost = err
			s.mu.Unlock()
			s.counters.Add(drivers.CommunicationErrorCount, 1)
			events = []drivers.ScanEvent{{Data: drivers.ScanData{At: now}, Err: s.trouble("read", drivers.ErrOffline, err)}}
		}
		events = append(events, s.learn(d.Known(), now)...)
		for _, e := range events {
			s.queue(queue, e)
		}
		if err != nil && !errors.Is(err, context.DeadlineExceeded) {
			return
		}
	}
}

// learn keeps what the decoder found out, and says a new finding once.
func (s *Scanner) learn(k framing.Known, now time.Time) []drivers.ScanEvent {
	s.mu.Lock()
	before := s.known
	s.known = k
	s.mu.Unlock()
	s.counters.Add(drivers.FailedReadCount, int64(k.Dropped-before.Dropped))
	if k.Finding.Name == "" || k.Finding.Name == before.Finding.Name {
		return nil
	}
	return []drivers.ScanEvent{{Data: drivers.ScanData{At: now}, Err: s.finding(k.Finding)}}
}

// finding is a finding as an error for a person.
func (s *Scanner) finding(f framing.Finding) error {
	text, hint := f.Text(s.Info().Port)
	return &pos.Error{
		Code: drivers.CodeDevice, Text: text, Hint: hint,
		Err: fmt.Errorf("read %s: %s: %w", s.name, f.Name, drivers.ErrExtended),
	}
}

// Learned implements drivers.FramingLearner.
func (s *Scanner) Learned() (drivers.LearnedFraming, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.known.Framing, s.known.Sure
}

// Recall implements drivers.FramingLearner.
func (s *Scanner) Recall(f drivers.LearnedFraming) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.past = &f
}

// Forget implements drivers.FramingLearner.
func (s *Scanner) Forget() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.past, s.known, s.anew = nil, framing.Known{}, true
}

// forgets reports, once, that Forget was called.
func (s *Scanner) forgets() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	anew := s.anew
	s.anew = false
	return anew
}

func readFor(ctx context.Context, conn transport.Conn, buf []byte, limit time.Duration) (int, error) {
	if limit > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, limit)
		defer cancel()
	}
	return conn.Read(ctx, buf)
}

func (s *Scanner) queue(queue chan<- drivers.ScanEvent, e drivers.ScanEvent) {
	if e.Err != nil {
		s.counters.Add(drivers.FailedReadCount, 1)
	}
	select {
	case queue <- e:
	default:
		s.counters.Add(drivers.FailedReadCount, 1)
	}
}

// deliver hands the codes out one at a time and drops those that got old.
func (s *Scanner) deliver(ctx context.Context, queue <-chan drivers.ScanEvent, events chan<- drivers.ScanEvent, done chan<- struct{}) {
	defer close(done)
	defer close(events)
	for e := range queue {
		left := s.profile.Framing.Stale() - s.now().Sub(e.Data.At)
		timer := time.NewTimer(max(left, 0))
		select {
		case events <- e:
			if e.Err == nil {
				s.counters.Add(drivers.GoodScanCount, 1)
			}
		case <-timer.C:
			s.counters.Add(drivers.FailedReadCount, 1)
		case <-ctx.Done():
		}
		timer.Stop()
	}
}

// Trigger switches the scanner's light on or off, as the profile says. ErrIllegal: the
// profile has no trigger.
func (s *Scanner) Trigger(ctx context.Context, on bool) error {
	if err := s.life.NeedEnabled(); err != nil {
		return s.trouble("trigger", err, nil)
	}
	command := s.profile.Trigger.Off
	if on {
		command = s.profile.Trigger.On
	}
	if command == "" {
		return s.trouble("trigger", drivers.ErrIllegal, nil)
	}
	s.mu.Lock()
	conn := s.conn
	s.mu.Unlock()
	if conn == nil {
		return s.trouble("trigger", drivers.ErrClosed, nil)
	}
	ctx, cancel := context.WithTimeout(ctx, triggerLimit)
	defer cancel()
	if _, err := conn.Write(ctx, []byte(command)); err != nil {
		return s.trouble("trigger", drivers.ErrOffline, err)
	}
	return nil
}

// CheckHealth implements drivers.Device. A scanner answers nothing, so HealthInternal
// tells whether its port is still there and whether what came from it shows that it is
// set wrongly (ErrExtended, with what to do).
func (s *Scanner) CheckHealth(_ context.Context, level drivers.HealthLevel) (drivers.Health, error) {
	h := drivers.Health{Level: level, At: s.now()}
	if err := s.life.NeedEnabled(); err != nil {
		return h, s.trouble("check health of", err, nil)
	}
	if level != drivers.HealthInternal {
		return h, s.trouble("check health of", drivers.ErrIllegal, fmt.Errorf("level %d", level))
	}
	s.mu.Lock()
	lost, finding := s.lost, s.known.Finding
	s.mu.Unlock()
	switch {
	case lost != nil:
		h.Code, h.Text, h.Hint = drivers.ErrOffline, drivers.ErrOffline.Text(), drivers.ErrOffline.Hint()
	case finding.Name != "":
		h.Code = drivers.ErrExtended
		h.Text, h.Hint = finding.Text(s.Info().Port)
	default:
		h.OK = true
	}
	return h, nil
}

// Release implements drivers.Device.
func (s *Scanner) Release(context.Context) error {
	s.steps.Lock()
	defer s.steps.Unlock()
	if err := s.life.NeedOpen(); err != nil {
		return s.trouble("release", err, nil)
	}
	return s.disconnect()
}

// Close implements drivers.Device.
func (s *Scanner) Close() error {
	s.steps.Lock()
	defer s.steps.Unlock()
	err := s.disconnect()
	s.life.Closed()
	return err
}

func (s *Scanner) disconnect() error {
	s.life.Released()
	s.mu.Lock()
	conn, stop, done := s.conn, s.stop, s.done
	s.conn, s.stop, s.done = nil, nil, nil
	s.mu.Unlock()
	if stop != nil {
		stop()
	}
	var err error
	if conn != nil {
		err = conn.Close()
	}
	if done != nil {
		<-done
	}
	if err != nil {
		return s.trouble("release", drivers.ErrFailure, err)
	}
	return nil
}
