package scanner

import (
	"context"
	"errors"
	"fmt"
	"time"

	"dcpos/drivers"
	"dcpos/drivers/scanner/framing"
	"dcpos/drivers/scanner/hidpos"
	"dcpos/drivers/scanner/symbology"
	"dcpos/drivers/transport"
	"dcpos/drivers/transport/hid"
	profiles "dcpos/firmware-profiles"
)

// HIDPOS is a bar code scanner in HID-POS mode: codes come whole, with their symbology,
// and its beeper and trigger are the host's too.
type HIDPOS struct {
	*Scanner
}

var (
	_ drivers.Scanner       = (*HIDPOS)(nil)
	_ drivers.ToneIndicator = (*HIDPOS)(nil)
)

// reporter is a connection that carries HID reports: hid.Conn, or a test's.
type reporter interface {
	transport.Conn
	Descriptor() hid.Descriptor
	SetFeature(ctx context.Context, report []byte) error
}

var errNoReports = errors.New("the connection carries no HID reports")

// featureLimit is how long a scanner may take for a feature report.
const featureLimit = 2 * time.Second

// NewHIDPOS makes a closed scanner in HID-POS mode. dial gives a hid.Conn.
func NewHIDPOS(p profiles.Scanner, dial transport.Dial, o Options) *HIDPOS {
	s := build(p, dial, o, func(c transport.Conn) decoder {
		d := &reports{rules: p.Framing, honeywell: p.HID.Symbology == "honeywell"}
		d.joiner.MaxBytes = p.Framing.MaxBytes
		if r, ok := c.(reporter); ok {
			d.joiner.Layout = hidpos.LayoutOf(r.Descriptor())
		}
		return d
	})
	s.prepare = func(ctx context.Context, c transport.Conn) error {
		r, ok := c.(reporter)
		if !ok {
			return errNoReports
		}
		report := p.HID.FeatureReport()
		if len(report) == 0 {
			return nil
		}
		ctx, cancel := context.WithTimeout(ctx, featureLimit)
		defer cancel()
		return r.SetFeature(ctx, report)
	}
	return &HIDPOS{s}
}

// Sound implements drivers.ToneIndicator with the scanner's own beeper: the good read
// beep, the error beep, and for attention the not-on-file beep, or the error beep where
// there is none. ErrIllegal: the profile or the report descriptor has no beeps.
func (h *HIDPOS) Sound(ctx context.Context, tone drivers.Tone) error {
	usages := map[drivers.Tone][]hid.Usage{
		drivers.ToneGood:      {hidpos.UsageGoodBeep},
		drivers.ToneBad:       {hidpos.UsageBadBeep},
		drivers.ToneAttention: {hidpos.UsageMissBeep, hidpos.UsageBadBeep},
	}[tone]
	if !h.profile.HID.Beeps {
		usages = nil
	}
	return h.output(ctx, "sound", true, usages...)
}

// Trigger starts or ends a scan as if its button was pressed. ErrIllegal: the report
// descriptor has no trigger.
func (h *HIDPOS) Trigger(ctx context.Context, on bool) error {
	return h.output(ctx, "trigger", on, hidpos.UsageTrigger)
}

// output sends the output report in which only the first usage that the scanner has is set.
func (h *HIDPOS) output(ctx context.Context, what string, on bool, usages ...hid.Usage) error {
	if err := h.life.NeedEnabled(); err != nil {
		return h.trouble(what, err, nil)
	}
	h.mu.Lock()
	conn, ok := h.conn.(reporter)
	h.mu.Unlock()
	if !ok {
		return h.trouble(what, drivers.ErrClosed, nil)
	}
	report, ok := outputReport(conn.Descriptor(), on, usages...)
	if !ok {
		return h.trouble(what, drivers.ErrIllegal, nil)
	}
	ctx, cancel := context.WithTimeout(ctx, triggerLimit)
	defer cancel()
	if _, err := conn.Write(ctx, report); err != nil {
		return h.trouble(what, drivers.ErrOffline, err)
	}
	return nil
}

// outputReport is the report with its id first (0 where there are none: so the kernel
// wants it) and the bit of the usage.
func outputReport(d hid.Descriptor, on bool, usages ...hid.Usage) ([]byte, bool) {
	for _, u := range usages {
		f, bit, ok := d.Find(hid.Output, u)
		if !ok {
			continue
		}
		report := make([]byte, 1+d.Bytes(hid.Output, f.ReportID))
		report[0] = f.ReportID
		if on {
			report[1+bit/8] |= 1 << (bit % 8)
		}
		return report, true
	}
	return nil, false
}

// reports is the decoder of HID-POS: each read is one report.
type reports struct {
	joiner    hidpos.Joiner
	rules     profiles.Framing
	honeywell bool
	last      time.Time
	dropped   int
}

func (r *reports) Waiting() time.Duration {
	if !r.joiner.Joining() {
		return 0
	}
	return r.rules.Stale()
}

func (r *reports) Silence(now time.Time) []drivers.ScanEvent {
	if r.joiner.Joining() && now.Sub(r.last) >= r.rules.Stale() {
		r.joiner.Drop()
		r.dropped++
	}
	return nil
}

func (r *reports) Feed(report []byte, at time.Time) []drivers.ScanEvent {
	r.Silence(at)
	r.last = at
	code, whole, err := r.joiner.Take(report)
	switch {
	case errors.Is(err, hidpos.ErrTooBig):
		err = fmt.Errorf("%w: %w", drivers.ErrTooBig, err)
	case err != nil:
		err = fmt.Errorf("%w: %w", drivers.ErrBadFormat, err)
	case !whole:
		return nil
	}
	e := drivers.ScanEvent{Data: drivers.ScanData{At: at}, Err: err}
	if err == nil {
		aim := code.AIM
		if aim == "" && r.honeywell {
			aim, _ = symbology.Honeywell(code.Vendor) // empty when it is not in the table
		}
		e.Data, e.Err = framing.Opened(code.Data, aim, r.rules.AIM)
		e.Data.At = at
	}
	return []drivers.ScanEvent{e}
}

func (r *reports) Known() framing.Known { return framing.Known{Dropped: r.dropped} }
