package devices

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"dcpos/drivers"
	profiles "dcpos/firmware-profiles"
	"dcpos/pos"
)

// Memory keeps small values over a restart of the program; offline.Store is one.
type Memory interface {
	Meta(ctx context.Context, key string) (value string, ok bool, err error)
	SetMeta(ctx context.Context, key, value string) error
}

// memoryLimit bounds a wait for the memory's turn: sales go first.
const memoryLimit = 5 * time.Second

// Where a framing comes from.
const (
	FramingConfigured = "configured" // named in the configuration
	FramingLearned    = "learned"    // found out by listening
)

// Framing is how a scanner on a serial line frames its codes, where that is not its
// profile's to say.
type Framing struct {
	drivers.Framing

	// From is one of Framing…
	From string `json:"from"`
	// Codes is after how many codes it was learned, and AtMS when.
	Codes int   `json:"codes,omitempty"`
	AtMS  int64 `json:"at_ms,omitempty"`
}

// learnedFraming is what is kept of one scanner.
type learnedFraming struct {
	drivers.LearnedFraming

	AtMS int64 `json:"at_ms"`
}

// memoryKey is where a scanner's framing is kept: by what the device is known again, so
// that another scanner in its place is not taken for it. st.mu is held.
func (st *station) memoryKey() string { return "scanner.framing " + st.bound() }

// learns reports whether the scanner's framing is its driver's to find out. st.mu is held.
func (st *station) learns() bool {
	p, err := profiles.FindScanner(st.config.Profile)
	return st.kind == profiles.KindScanner && st.config.Framing == nil && err == nil && p.Framing.Learn
}

// recall reads what was learned of the scanner before it is opened. What cannot be read
// is learned again.
func (st *station) recall(ctx context.Context) {
	st.keeping.Lock()
	defer st.keeping.Unlock()
	st.mu.Lock()
	key, learns := st.memoryKey(), st.learns()
	st.mu.Unlock()
	if !learns || st.set.o.Memory == nil {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, memoryLimit)
	defer cancel()
	text, ok, err := st.set.o.Memory.Meta(ctx, key)
	if err != nil {
		st.log.WarnContext(ctx, "what was learned of the scanner cannot be read", "err", err)
		return
	}
	var f *learnedFraming
	if ok && text != "" {
		f = &learnedFraming{}
		if err := errors.Join(json.Unmarshal([]byte(text), f), f.Check()); err != nil {
			st.log.WarnContext(ctx, "what was learned of the scanner cannot be understood", "err", err)
			f = nil
		}
	}
	st.mu.Lock()
	st.framing = f
	st.mu.Unlock()
}

// keep remembers what the scanner's driver has learned, when it is news. What cannot be
// kept is learned again after the next start.
func (st *station) keep(ctx context.Context, d drivers.Device) {
	learner, ok := d.(drivers.FramingLearner)
	if !ok {
		return
	}
	st.keeping.Lock() // a framing that was forgotten meanwhile is not written again
	defer st.keeping.Unlock()
	got, sure := learner.Learned()
	st.mu.Lock()
	key, learns := st.memoryKey(), st.learns()
	news := sure && learns && (st.framing == nil || st.framing.Framing != got.Framing)
	if news {
		st.framing = &learnedFraming{LearnedFraming: got, AtMS: time.Now().UnixMilli()}
	}
	f := st.framing
	st.mu.Unlock()
	if !news {
		return
	}
	st.log.InfoContext(ctx, "the scanner's framing is learned", "end", got.End, "prefix", got.Prefix, "codes", got.Codes)
	st.remember(ctx, key, f)
}

// remember writes what was learned; nil is nothing.
func (st *station) remember(ctx context.Context, key string, f *learnedFraming) {
	if st.set.o.Memory == nil {
		return
	}
	text := ""
	if f != nil {
		b, err := json.Marshal(f)
		if err != nil {
			st.log.WarnContext(ctx, "what was learned of the scanner cannot be kept", "err", err)
			return
		}
		text = string(b)
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), memoryLimit)
	defer cancel()
	if err := st.set.o.Memory.SetMeta(ctx, key, text); err != nil {
		st.log.WarnContext(ctx, "what was learned of the scanner cannot be kept", "err", err)
	}
}

// ForgetFraming has a scanner learn anew how its codes end, from the next code on, and
// forgets what was kept of it. Doing it twice does no harm. Errors: pos.ErrNotFound when
// there is no device of that name; drivers.ErrIllegal when its framing is fixed by its
// profile or by the configuration.
func (s *Set) ForgetFraming(ctx context.Context, name string) error {
	st, err := s.named(name)
	if err != nil {
		return err
	}
	st.keeping.Lock()
	defer st.keeping.Unlock()
	st.mu.Lock()
	learns, key, d := st.learns(), st.memoryKey(), st.device
	st.mu.Unlock()
	if !learns {
		return fixedFraming(st)
	}
	if learner, ok := d.(drivers.FramingLearner); ok {
		learner.Forget()
	}
	st.mu.Lock()
	st.framing = nil
	st.mu.Unlock()
	st.remember(ctx, key, nil)
	return nil
}

// fixedFraming is the error of a device that learns no framing.
func fixedFraming(st *station) error {
	e := drivers.Trouble(category(st.kind), "forget the framing of "+st.name, drivers.ErrIllegal, fmt.Errorf("it is not learned"))
	e.Code = pos.ErrBadRequest
	e.Field = "name"
	e.Text = pos.Text{ZH: "该设备的条码格式不是自动学习的", EN: "this device's framing is not learned"}
	e.Hint = pos.Text{
		ZH: "只有型号为 serial-auto 的串口扫码枪会自动学习;写在 posagent.yaml 中的 framing 请在那里修改",
		EN: "only serial scanners with the profile serial-auto learn; what posagent.yaml fixes by framing is changed there",
	}
	return e
}

// framed is what is told of the scanner's framing; nil where its profile says it. st.mu is held.
func (st *station) framed() *Framing {
	switch {
	case st.kind != profiles.KindScanner:
	case st.config.Framing != nil:
		return &Framing{Framing: *st.config.Framing, From: FramingConfigured}
	case st.framing != nil && st.learns():
		return &Framing{Framing: st.framing.Framing, From: FramingLearned, Codes: st.framing.Codes, AtMS: st.framing.AtMS}
	}
	return nil
}
