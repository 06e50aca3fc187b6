package linedisplay

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"dcpos/drivers"
	"dcpos/drivers/transport"
	profiles "dcpos/firmware-profiles"
)

// writeLimit bounds one message: a full display at 2400 bits a second takes 0.4 s.
const writeLimit = 3 * time.Second

// Options are what a display needs besides its profile and port.
type Options struct {
	// Name is the device's name in this till. Default: the profile's name.
	Name string
	// Now stamps health. Default: time.Now.
	Now func() time.Time
}

// Display is a customer display.
type Display struct {
	name    string
	profile profiles.LineDisplay
	dial    transport.Dial
	now     func() time.Time

	life     drivers.Lifecycle
	counters drivers.Counters
	turn     chan struct{} // holds one token while a call talks to the display or changes the life cycle

	mu    sync.Mutex
	conn  transport.Conn
	shown frame // nil when not known
	lost  error
	done  chan struct{} // closed when listening has ended

	changed chan struct{} // a token when the port was lost
}

var _ drivers.LineDisplay = (*Display)(nil)

// New makes a closed display.
func New(p profiles.LineDisplay, dial transport.Dial, o Options) *Display {
	if o.Name == "" {
		o.Name = p.Name
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	return &Display{name: o.Name, profile: p, dial: dial, now: o.Now, turn: make(chan struct{}, 1), changed: make(chan struct{}, 1)}
}

func (d *Display) trouble(operation string, err, cause error) error {
	code, ok := errors.AsType[drivers.ErrorCode](err)
	if !ok {
		code = drivers.ErrFailure
	}
	return drivers.Trouble(drivers.CategoryLineDisplay, operation+" "+d.name, code, cause)
}

// Info implements drivers.Device.
func (d *Display) Info() drivers.DeviceInfo {
	d.mu.Lock()
	defer d.mu.Unlock()
	info := drivers.DeviceInfo{Category: drivers.CategoryLineDisplay, Name: d.name, Profile: d.profile.Name}
	if d.conn != nil {
		info.Port = d.conn.String()
	}
	return info
}

// State implements drivers.Device.
func (d *Display) State() drivers.State { return d.life.State() }

// Statistics implements drivers.Device.
func (d *Display) Statistics() map[drivers.StatisticName]int64 { return d.counters.All() }

// Changed gives a token when the display's port was lost; nothing else of a display changes.
// It is the same channel for the driver's whole life, never closed, and for one reader.
func (d *Display) Changed() <-chan struct{} { return d.changed }

// Reports is false: a display tells nothing of itself, only the loss of its port is noticed.
func (d *Display) Reports() bool { return false }

// Size implements drivers.LineDisplay.
func (d *Display) Size() (columns, rows int) { return d.profile.Size.Columns, d.profile.Size.Rows }

// Chinese implements drivers.LineDisplay.
func (d *Display) Chinese() bool {
	return d.profile.Language != "led8" && d.profile.CJK.Encoding != "none"
}

// Open implements drivers.Device. ErrNoService: the profile's language has no words here.
func (d *Display) Open(context.Context) error {
	if _, err := speak(d.profile); err != nil {
		return d.trouble("open", drivers.ErrNoService, err)
	}
	d.life.Opened()
	return nil
}

// Claim implements drivers.Device.
func (d *Display) Claim(ctx context.Context) error {
	if err := d.life.NeedOpen(); err != nil {
		return d.trouble("claim", err, nil)
	}
	if err := d.take(ctx, "claim"); err != nil {
		return err
	}
	defer d.give()
	if claimed, _ := d.life.Is(); claimed {
		return nil
	}
	conn, err := d.dial(ctx)
	if err != nil {
		code := drivers.ErrNoHardware
		if errors.Is(err, transport.ErrInUse) {
			code = drivers.ErrClaimed
		}
		return d.trouble("claim", code, err)
	}
	done := make(chan struct{})
	d.mu.Lock()
	d.conn, d.lost, d.shown, d.done = conn, nil, nil, done
	d.mu.Unlock()
	go d.listen(conn, done)
	d.life.Claimed()
	return nil
}

// listen throws away what comes (a display has nothing to say) and notices when the
// port goes away.
func (d *Display) listen(conn transport.Conn, done chan<- struct{}) {
	defer close(done)
	buf := make([]byte, 64)
	for {
		if _, err := conn.Read(context.Background(), buf); err != nil {
			if errors.Is(err, transport.ErrClosed) {
				return
			}
			d.mu.Lock()
			d.lost, d.shown = err, nil
			d.mu.Unlock()
			d.counters.Add(drivers.CommunicationErrorCount, 1)
			select {
			case d.changed <- struct{}{}:
			default: // the last token was not taken yet
			}
			return
		}
	}
}

// Enable implements drivers.Device. The display is initialised and shows nothing.
func (d *Display) Enable(ctx context.Context) error {
	if err := d.life.NeedClaimed(); err != nil {
		return d.trouble("enable", err, nil)
	}
	if err := d.take(ctx, "enable"); err != nil {
		return err
	}
	defer d.give()
	if _, enabled := d.life.Is(); enabled {
		return nil
	}
	words, err := speak(d.profile)
	if err != nil {
		return d.trouble("enable", drivers.ErrNoService, err)
	}
	hello := append(words.hello(), d.profile.CJK.On...)
	none, _ := compose(d.profile, nil)
	if err := d.send(ctx, "enable", hello, none); err != nil {
		return err
	}
	d.life.Enabled()
	d.counters.Add(drivers.OnlineTransitionCount, 1)
	return nil
}

// Show implements drivers.LineDisplay. Only rows that change are sent. A display of
// digits shows the last amount with two decimals that the lines hold; ErrTooBig when it
// has more digits than fit, and then nothing is shown rather than a wrong amount.
func (d *Display) Show(ctx context.Context, lines []string) error {
	const operation = "show on"
	if err := d.life.NeedEnabled(); err != nil {
		return d.trouble(operation, err, nil)
	}
	if err := d.take(ctx, operation); err != nil {
		return err
	}
	defer d.give()
	words, err := speak(d.profile)
	if err != nil {
		return d.trouble(operation, drivers.ErrNoService, err)
	}
	want, tooLong := compose(d.profile, lines)
	if err := d.send(ctx, operation, d.change(words, want), want); err != nil {
		return err
	}
	if tooLong {
		return d.trouble(operation, drivers.ErrTooBig, nil)
	}
	return nil
}

// Clear implements drivers.LineDisplay.
func (d *Display) Clear(ctx context.Context) error { return d.Show(ctx, nil) }

// change is the bytes that make the display show want.
func (d *Display) change(words language, want frame) []byte {
	d.mu.Lock()
	shown := d.shown
	d.mu.Unlock()
	if want.empty() && (shown == nil || !shown.empty()) {
		return words.blank()
	}
	var out []byte
	for n, row := range want {
		if shown == nil || !bytes.Equal(shown[n], row) {
			out = append(out, words.row(n, row)...)
		}
	}
	return out
}

// send writes one message; after it the display shows f, or nobody knows what.
func (d *Display) send(ctx context.Context, operation string, message []byte, f frame) error {
	d.mu.Lock()
	conn, lost := d.conn, d.lost
	d.mu.Unlock()
	if conn == nil {
		return d.trouble(operation, drivers.ErrClosed, nil)
	}
	if lost != nil {
		return d.gone(operation, lost)
	}
	if len(message) == 0 {
		return nil
	}
	if d.profile.Select {
		message = append([]byte{0x1b, '=', 2}, append(message, 0x1b, '=', 1)...) // ESC = n: 2 display, 1 printer
	}
	end := d.life.Begin()
	limited, cancel := context.WithTimeout(ctx, writeLimit)
	defer cancel()
	_, err := conn.Write(limited, message)
	end(err != nil)
	d.mu.Lock()
	defer d.mu.Unlock()
	if err == nil {
		d.shown = f
		return nil
	}
	d.shown = nil
	d.counters.Add(drivers.CommunicationErrorCount, 1)
	return d.gone(operation, err)
}

// gone is the trouble of a display that cannot be reached: ErrNoHardware when its port is
// gone, so that the caller opens it anew, else ErrOffline. ErrOffline is inside both.
func (d *Display) gone(operation string, err error) error {
	if errors.Is(err, transport.ErrGone) {
		return d.trouble(operation, drivers.ErrNoHardware, fmt.Errorf("%w: %w", drivers.ErrOffline, err))
	}
	return d.trouble(operation, drivers.ErrOffline, err)
}

// CheckHealth implements drivers.Device. A display answers nothing, so HealthInternal
// tells only whether its port is still there; HealthExternal shows a test text, which
// stays until the next Show.
func (d *Display) CheckHealth(ctx context.Context, level drivers.HealthLevel) (drivers.Health, error) {
	const operation = "check health of"
	h := drivers.Health{Level: level, At: d.now()}
	if err := d.life.NeedEnabled(); err != nil {
		return h, d.trouble(operation, err, nil)
	}
	switch level {
	case drivers.HealthInternal:
	case drivers.HealthExternal:
		if err := d.Show(ctx, d.test()); err != nil && !errors.Is(err, drivers.ErrOffline) {
			return h, err
		}
	case drivers.HealthInteractive:
		return h, d.trouble(operation, drivers.ErrIllegal, nil)
	default:
		return h, d.trouble(operation, drivers.ErrIllegal, fmt.Errorf("level %d", level))
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	h.OK = d.lost == nil
	if !h.OK {
		h.Code, h.Text, h.Hint = drivers.ErrOffline, drivers.ErrOffline.Text(), drivers.ErrOffline.Hint()
	}
	return h, nil
}

// test is what HealthExternal shows.
func (d *Display) test() []string {
	if d.Chinese() {
		return []string{"显示测试", "合计: 12345.67"}
	}
	return []string{"Display test", "Total: 12345.67"}
}

// Release implements drivers.Device. The display is cleared first, so that the last
// customer's amount does not stay.
func (d *Display) Release(ctx context.Context) error {
	if err := d.life.NeedOpen(); err != nil {
		return d.trouble("release", err, nil)
	}
	if _, enabled := d.life.Is(); enabled {
		_ = d.Clear(ctx) // a display that cannot be cleared is released all the same
	}
	if err := d.take(ctx, "release"); err != nil {
		return err
	}
	defer d.give()
	return d.disconnect()
}

// Close implements drivers.Device.
func (d *Display) Close() error {
	err := d.disconnect() // first, so that a call under way ends
	d.life.Closed()
	return err
}

func (d *Display) disconnect() error {
	d.life.Released()
	d.mu.Lock()
	conn, done := d.conn, d.done
	d.conn, d.done, d.shown = nil, nil, nil
	d.mu.Unlock()
	if conn == nil {
		return nil
	}
	err := conn.Close()
	<-done
	if err != nil {
		return d.trouble("release", drivers.ErrFailure, err)
	}
	return nil
}

// take waits for the display to be free.
func (d *Display) take(ctx context.Context, operation string) error {
	select {
	case d.turn <- struct{}{}:
		return nil
	case <-ctx.Done():
		return d.trouble(operation, drivers.ErrBusy, ctx.Err())
	}
}

func (d *Display) give() { <-d.turn }
