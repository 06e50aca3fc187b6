package drivers

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"dcpos/pos"
)

// State is the UnifiedPOS state of a device (JposConst.java, JPOS_S_*).
type State int

// The states.
const (
	StateClosed State = 1 // not opened, or closed again
	StateIdle   State = 2 // opened; ready for the next call
	StateBusy   State = 3 // doing something that was asked
	StateError  State = 4 // the last thing failed and the device has not answered since
)

// String is the state's name in the standard.
func (s State) String() string {
	switch s {
	case StateClosed:
		return "CLOSED"
	case StateIdle:
		return "IDLE"
	case StateBusy:
		return "BUSY"
	case StateError:
		return "ERROR"
	}
	return fmt.Sprintf("STATE_%d", int(s))
}

// HealthLevel says how deep CheckHealth looks (JposConst.java, JPOS_CH_*).
type HealthLevel int

// The levels.
const (
	HealthInternal    HealthLevel = 1 // look without making the device do anything a person notices
	HealthExternal    HealthLevel = 2 // also make it act: a printer prints a test slip
	HealthInteractive HealthLevel = 3 // also ask a person
)

// Health is the answer of CheckHealth.
type Health struct {
	OK    bool
	Level HealthLevel
	Code  ErrorCode // what is wrong; 0 when OK
	Text  pos.Text  // for a person
	Hint  pos.Text  // what to do; empty when OK
	// Question is what to ask a person, of HealthInteractive; the device is well when the
	// answer is yes and OK is true as well. Empty: there is nothing to ask.
	Question pos.Text
	At       time.Time
}

// DeviceInfo says which device this is.
type DeviceInfo struct {
	Category string // "POSPrinter", "Scanner": the UnifiedPOS category
	Name     string // the name in this till's configuration
	Profile  string // the profile's name
	Port     string // the transport's name; empty until claimed
	Maker    string // as the device says itself; empty when it does not
	Model    string // likewise
	Firmware string // likewise
	// Chinese is the encoding of a printer's Chinese font: gb2312, gbk, gb18030, or none when
	// Chinese is drawn; as the printer says, else as the profile does. Empty for others.
	Chinese string
}

// Device is what all categories share. The order is Open, Claim, Enable, use,
// Release, Close; a call out of order returns the code that names the missing step
// (ErrClosed, ErrNotClaimed, ErrDisabled) and does nothing. Repeating a step that is
// done is a success. Methods may be called from several goroutines.
type Device interface {
	// Info says which device this is.
	Info() DeviceInfo
	// State is the device's state now.
	State() State
	// Open prepares the driver; it touches no hardware.
	Open(ctx context.Context) error
	// Claim takes the port for this program alone. ErrNoHardware: no such port;
	// ErrClaimed: another program has it.
	Claim(ctx context.Context) error
	// Enable makes the device usable, and fails when it does not answer although its
	// profile says that it does (ErrOffline).
	Enable(ctx context.Context) error
	// Release disables the device and gives the port back. What is under way ends first.
	Release(ctx context.Context) error
	// Close releases what is still claimed and ends the driver. It never hangs: a
	// call under way is interrupted.
	Close() error
	// CheckHealth looks at the device. The error is about the question (closed, level
	// not supported), the Health about the device.
	CheckHealth(ctx context.Context, level HealthLevel) (Health, error)
	// Statistics are the counters since Open, under their UnifiedPOS names.
	Statistics() map[StatisticName]int64
}

// Reporter is a device that tells of changes without being asked, so that nobody needs
// to ask it now and then.
type Reporter interface {
	// Changed gives a token after changes of what the device's status or Snapshot say, and
	// when its port is lost; several changes may make one token. It is the same channel for
	// the driver's whole life, never closed, and for one reader.
	Changed() <-chan struct{}

	// Reports tells whether every change of status is told. False: only the loss of the
	// port is, as with a printer that knows no automatic status.
	Reports() bool
}

// Resetter is implemented by devices that can be reset through their port, the step of
// healing between closing and opening anew: on USB the port's reset, after which the
// device has forgotten everything, as if it had been plugged in again.
//
// Reset interrupts what is under way, resets the device and leaves it opened and
// released: Claim and Enable follow. It works on an opened device in any later state, and
// doing it twice does no harm. Errors: ErrClosed; ErrIllegal when the port knows no reset
// (serial, TCP, PC/SC); ErrNoHardware or ErrClaimed when the port cannot be opened for it;
// ErrFailure when the reset itself did not work.
type Resetter interface {
	Reset(ctx context.Context) error
}

// Trouble makes the error that drivers return: code is what errors.Is finds, cause
// (may be nil) is kept for the log, and text and hint are the code's, unless the cause
// is an Advice that knows better.
func Trouble(category, operation string, code ErrorCode, cause error) *pos.Error {
	reason := CodeDevice
	if category == CategoryPOSPrinter {
		reason = pos.ErrPrinter
	}
	err := fmt.Errorf("%s: %w", operation, code)
	if cause != nil {
		err = fmt.Errorf("%s: %w: %w", operation, code, cause)
	}
	text, hint := code.Text(), code.Hint()
	if a, ok := errors.AsType[*Advice](cause); ok {
		text, hint = a.Text, a.Hint
	}
	return &pos.Error{Code: reason, Text: text, Hint: hint, Err: err}
}

// Advice is a cause that knows more exactly than its ErrorCode what is wrong and what to
// do, such as which service to start. Trouble passes its words on.
type Advice struct {
	Text, Hint pos.Text
	Err        error
}

// Error implements error.
func (a *Advice) Error() string { return fmt.Sprintf("%v (%s)", a.Err, a.Text.EN) }

// Unwrap gives the cause.
func (a *Advice) Unwrap() error { return a.Err }

// Names of the categories of UnifiedPOS that have a driver here.
const (
	CategoryPOSPrinter = "POSPrinter"
	CategoryScanner    = "Scanner"
	CategoryCashDrawer = "CashDrawer"
)

// Lifecycle keeps the steps of one device in order; drivers embed none of it but
// hold one. The zero value is a closed device.
type Lifecycle struct {
	mu      sync.Mutex
	step    step
	working int
	failed  bool
}

type step int

const (
	stepClosed step = iota
	stepOpen
	stepClaimed
	stepEnabled
)

// State tells the standard's state from step, work under way and the last outcome.
func (l *Lifecycle) State() State {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case l.step == stepClosed:
		return StateClosed
	case l.working > 0:
		return StateBusy
	case l.failed:
		return StateError
	default:
		return StateIdle
	}
}

// Opened marks the device as open.
func (l *Lifecycle) Opened() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.step == stepClosed {
		l.step, l.failed = stepOpen, false
	}
}

// Claimed marks it as claimed; Enabled as enabled; Released and Closed as their names say.
func (l *Lifecycle) Claimed() { l.set(stepClaimed) }

// Enabled marks the device as enabled.
func (l *Lifecycle) Enabled() { l.set(stepEnabled) }

// Disabled takes an enabled device back to claimed.
func (l *Lifecycle) Disabled() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.step = min(l.step, stepClaimed)
}

// Released takes a claimed or enabled device back to open.
func (l *Lifecycle) Released() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.step = min(l.step, stepOpen)
}

// Closed ends the device.
func (l *Lifecycle) Closed() { l.set(stepClosed) }

func (l *Lifecycle) set(s step) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.step = s
}

// NeedOpen returns ErrClosed unless the device is open.
func (l *Lifecycle) NeedOpen() error { return l.need(stepOpen) }

// NeedClaimed returns ErrClosed or ErrNotClaimed unless the device is claimed.
func (l *Lifecycle) NeedClaimed() error { return l.need(stepClaimed) }

// NeedEnabled returns the code of the first missing step unless the device is enabled.
func (l *Lifecycle) NeedEnabled() error { return l.need(stepEnabled) }

func (l *Lifecycle) need(s step) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case l.step >= s:
		return nil
	case l.step == stepClosed:
		return ErrClosed
	case l.step == stepOpen:
		return ErrNotClaimed
	default:
		return ErrDisabled
	}
}

// Is reports whether the device is claimed, and whether it is enabled.
func (l *Lifecycle) Is() (claimed, enabled bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.step >= stepClaimed, l.step >= stepEnabled
}

// Begin marks the start of work; the returned func marks its end and outcome.
func (l *Lifecycle) Begin() (end func(failed bool)) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.working++
	return func(failed bool) {
		l.mu.Lock()
		defer l.mu.Unlock()
		l.working--
		l.failed = failed
	}
}
