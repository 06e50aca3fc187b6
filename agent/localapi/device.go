package localapi

import (
	"context"
	"errors"
	"fmt"
	"net/http"

	"dcpos/agent/devices"
	"dcpos/drivers"
	"dcpos/pos"
)

// Devices are what the API tells and does about devices; *devices.Set is one.
type Devices interface {
	Status() []devices.Status
	Unknown() []devices.Unknown
	Detail(name string) (devices.Detail, error)
	CheckHealth(ctx context.Context, name, owner string, level drivers.HealthLevel) (drivers.Health, error)
	SelfTest(ctx context.Context, name, owner string) (drivers.Health, *drivers.PrintResult, error)
	ForgetFraming(ctx context.Context, name string) error
}

func (a *API) deviceList() []devices.Status {
	if a.devices == nil {
		return []devices.Status{}
	}
	return a.devices.Status()
}

// DeviceList is the answer to a list of devices.
type DeviceList struct {
	Devices []devices.Status  `json:"devices"`
	Unknown []devices.Unknown `json:"unknown" doc:"Plugged in, perhaps of a till, and not used"`
}

type devicesOutput struct{ Body DeviceList }

func (a *API) listDevices(context.Context, *struct{}) (*devicesOutput, error) {
	out := DeviceList{Devices: a.deviceList(), Unknown: []devices.Unknown{}}
	if a.devices != nil {
		out.Unknown = a.devices.Unknown()
	}
	return &devicesOutput{Body: out}, nil
}

type deviceInput struct {
	Name string `path:"name" maxLength:"64"`
}

type deviceOutput struct{ Body devices.Detail }

func (a *API) device(_ context.Context, in *deviceInput) (*deviceOutput, error) {
	if a.devices == nil {
		return nil, noDevice(in.Name)
	}
	d, err := a.devices.Detail(in.Name)
	if err != nil {
		return nil, err
	}
	return &deviceOutput{Body: d}, nil
}

func noDevice(name string) error { return pos.NewError(pos.ErrNotFound, fmt.Errorf("device %q", name)) }

// DeviceHealth is the answer to a health check.
type DeviceHealth struct {
	OK    bool                 `json:"ok"`
	Level string               `json:"level"`
	Code  string               `json:"code,omitempty" doc:"UnifiedPOS name of what is wrong"`
	Text  *pos.Text            `json:"text,omitempty"`
	Hint  *pos.Text            `json:"hint,omitempty"`
	AtMS  int64                `json:"at_ms"`
	Print *drivers.PrintResult `json:"print,omitempty" doc:"What became of the self-test ticket; of printers only"`
}

func levels() map[string]drivers.HealthLevel {
	return map[string]drivers.HealthLevel{
		"internal": drivers.HealthInternal, "external": drivers.HealthExternal, "interactive": drivers.HealthInteractive,
	}
}

func healthOf(h drivers.Health) DeviceHealth {
	out := DeviceHealth{OK: h.OK, AtMS: h.At.UnixMilli()}
	for name, level := range levels() {
		if level == h.Level {
			out.Level = name
		}
	}
	if !h.OK && h.Code != 0 {
		out.Code, out.Text, out.Hint = h.Code.Name(), &h.Text, &h.Hint
	}
	return out
}

type healthInput struct {
	Name string `path:"name" maxLength:"64"`
	Body struct {
		Level string `json:"level" enum:"internal,external,interactive" doc:"internal disturbs nobody; external makes the device act; interactive also waits half a minute for a scan or a card"`
	}
}

type healthOutput struct{ Body DeviceHealth }

func (a *API) checkDevice(ctx context.Context, in *healthInput) (*healthOutput, error) {
	owner, err := a.owner(ctx, in.Name)
	if err != nil {
		return nil, err
	}
	h, err := a.devices.CheckHealth(ctx, in.Name, owner, levels()[in.Body.Level])
	if err != nil {
		return nil, err
	}
	return &healthOutput{Body: healthOf(h)}, nil
}

func (a *API) testDevice(ctx context.Context, in *deviceInput) (*healthOutput, error) {
	owner, err := a.owner(ctx, in.Name)
	if err != nil {
		return nil, err
	}
	h, printed, err := a.devices.SelfTest(ctx, in.Name, owner)
	if err != nil {
		return nil, err
	}
	out := healthOf(h)
	out.Print = printed
	return &healthOutput{Body: out}, nil
}

func (a *API) forgetFraming(ctx context.Context, in *deviceInput) (*deviceOutput, error) {
	if a.devices == nil {
		return nil, noDevice(in.Name)
	}
	if err := a.devices.ForgetFraming(ctx, in.Name); err != nil {
		return nil, err
	}
	return a.device(ctx, in)
}

// owner is the name under which a caller borrows a device.
func (a *API) owner(ctx context.Context, device string) (string, error) {
	switch name := who(ctx).name; {
	case a.devices == nil:
		return "", noDevice(device)
	case name == "":
		return "", pos.NewError(pos.ErrForbidden, errors.New("nobody"))
	default:
		return "api:" + name, nil
	}
}

func (a *API) registerDevices() {
	post, get := http.MethodPost, http.MethodGet
	operation(a, "devices", get, "/v1/devices", ScopeRead, "The devices, and what is plugged in and not used", a.listDevices)
	operation(a, "device", get, "/v1/devices/{name}", ScopeRead, "One device with its UnifiedPOS statistics and what was done to heal it", a.device)
	operation(a, "checkDevice", post, "/v1/devices/{name}/health", ScopePay, "Check a device's health", a.checkDevice)
	operation(a, "testDevice", post, "/v1/devices/{name}/selftest", ScopePay, "Have a device show what it can: a printer prints its self-test ticket", a.testDevice)
	operation(a, "forgetFraming", post, "/v1/devices/{name}/forget-framing", ScopeAdmin, "Have a serial scanner learn anew how its codes end", a.forgetFraming)
}
