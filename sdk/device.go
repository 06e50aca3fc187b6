package sdk

import (
	"context"
	"net/http"
	"net/url"

	"dcpos/pos"
)

// Device is how one device stands.
type Device struct {
	Name      string         `json:"name"`
	Role      string         `json:"role"`     // printer, scanner, nfc, display
	Category  string         `json:"category"` // of UnifiedPOS: POSPrinter, Scanner, SmartCardRW, LineDisplay
	Profile   string         `json:"profile"`
	Pinned    bool           `json:"pinned"` // named in the configuration; else found by itself
	Bound     string         `json:"bound,omitempty"`
	Port      string         `json:"port,omitempty"`
	USB       string         `json:"usb,omitempty"` // vid:pid
	Maker     string         `json:"maker,omitempty"`
	Model     string         `json:"model,omitempty"`
	Firmware  string         `json:"firmware,omitempty"`
	State     string         `json:"state"` // ABSENT, PRESENT, CLAIMED, ENABLED, READY, DEGRADED, ERROR, RELEASED
	StateText pos.Text       `json:"state_text"`
	UPOS      string         `json:"upos_state"` // CLOSED, IDLE, BUSY, ERROR
	Reason    string         `json:"reason,omitempty"`
	Text      *pos.Text      `json:"text,omitempty"`
	Hint      *pos.Text      `json:"hint,omitempty"`
	SinceMS   int64          `json:"since_ms"`
	Owner     string         `json:"owner,omitempty"`   // who uses it now
	Framing   *Framing       `json:"framing,omitempty"` // of scanners, where it was learned or is configured
	Printer   *PrinterStatus `json:"printer,omitempty"`
}

// Framing is how a serial scanner's codes end, where its profile leaves that open.
type Framing struct {
	End    string `json:"end"`              // cr, lf, crlf, or idle: only silence
	Prefix string `json:"prefix,omitempty"` // control byte before each code, hexadecimal
	From   string `json:"from"`             // learned or configured
	Codes  int    `json:"codes,omitempty"`  // after how many codes it was learned
	AtMS   int64  `json:"at_ms,omitempty"`  // when
}

// Works reports whether the device does its work now.
func (d Device) Works() bool { return d.State == "READY" || d.State == "DEGRADED" }

// Reading is a printer's answer to one question: yes, no or unknown. Silence is unknown.
type Reading struct {
	Value string `json:"value"`
	At    string `json:"at"` // RFC 3339
}

// PrinterStatus is a printer's last answer to each question.
type PrinterStatus struct {
	Online       Reading `json:"online"`
	CoverOpen    Reading `json:"cover_open"`
	PaperEnd     Reading `json:"paper_end"`
	PaperNearEnd Reading `json:"paper_near_end"`
	CutterError  Reading `json:"cutter_error"`
	HeadHot      Reading `json:"head_hot"`
	Fault        Reading `json:"fault"`
	DrawerOpen   Reading `json:"drawer_open"`
}

// UnknownDevice is plugged in, may be a till's, and is not used.
type UnknownDevice struct {
	Port       string `json:"port"`
	VID        string `json:"vid"`
	PID        string `json:"pid"`
	Maker      string `json:"maker,omitempty"`
	Product    string `json:"product,omitempty"`
	Serial     string `json:"serial,omitempty"`
	Candidates []struct {
		Kind    string `json:"Kind"`
		Profile string `json:"Profile"`
		Reason  string `json:"Reason"`
	} `json:"candidates,omitempty"`
}

// DeviceList is what a till has, and what is plugged in besides.
type DeviceList struct {
	Devices []Device        `json:"devices"`
	Unknown []UnknownDevice `json:"unknown"`
}

// Devices lists the till's devices.
func (c *Client) Devices(ctx context.Context) (DeviceList, error) {
	var out DeviceList
	err := c.do(ctx, call{method: http.MethodGet, path: "/v1/devices"}, &out)
	return out, err
}

// DeviceDetail is one device with its UnifiedPOS counters and what was done to heal it,
// both since the agent began.
type DeviceDetail struct {
	Device

	Statistics map[string]int64 `json:"statistics"`
	Healing    map[string]int64 `json:"healing"` // opened, lost, hung, resets, stuck, refused
}

// Device returns one device; pos.ErrNotFound when there is none of that name.
func (c *Client) Device(ctx context.Context, name string) (DeviceDetail, error) {
	var out DeviceDetail
	err := c.do(ctx, call{method: http.MethodGet, path: "/v1/devices/" + url.PathEscape(name)}, &out)
	return out, err
}

// ForgetFraming has a serial scanner learn anew how its codes end, and returns it as it
// stands then. Calling it twice does no harm.
func (c *Client) ForgetFraming(ctx context.Context, name string) (DeviceDetail, error) {
	var out DeviceDetail
	err := c.do(ctx, call{method: http.MethodPost, path: "/v1/devices/" + url.PathEscape(name) + "/forget-framing"}, &out)
	return out, err
}

// DeviceHealth is the answer to a health check or self-test.
type DeviceHealth struct {
	OK    bool      `json:"ok"`
	Level string    `json:"level"`
	Code  string    `json:"code,omitempty"` // UnifiedPOS name of what is wrong
	Text  *pos.Text `json:"text,omitempty"`
	Hint  *pos.Text `json:"hint,omitempty"`
	AtMS  int64     `json:"at_ms"`
	Print *struct {
		State string   `json:"state"`
		Notes []string `json:"notes,omitempty"`
	} `json:"print,omitempty"` // of printers only
}

// CheckDevice checks a device's health: level internal, external or interactive. It is
// sent once: a printer prints at the outer levels.
func (c *Client) CheckDevice(ctx context.Context, name, level string) (DeviceHealth, error) {
	var out DeviceHealth
	err := c.do(ctx, call{
		method: http.MethodPost, path: "/v1/devices/" + url.PathEscape(name) + "/health", body: map[string]string{"level": level}, once: true,
	}, &out)
	return out, err
}

// TestDevice has a device show what it can: a printer prints its self-test ticket. It is
// sent once.
func (c *Client) TestDevice(ctx context.Context, name string) (DeviceHealth, error) {
	var out DeviceHealth
	err := c.do(ctx, call{method: http.MethodPost, path: "/v1/devices/" + url.PathEscape(name) + "/selftest", once: true}, &out)
	return out, err
}
