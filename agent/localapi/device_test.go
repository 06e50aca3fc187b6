package localapi_test

import (
	"context"
	"encoding/json"
	"net/http"
	"testing"
	"time"

	"dcpos/agent/checkout"
	"dcpos/agent/devices"
	"dcpos/agent/devices/sysfs"
	"dcpos/agent/localapi"
	"dcpos/drivers"
	"dcpos/pos"
)

// shelf is a printer that tests make ill.
type shelf struct {
	asked  []string
	forgot []string
	err    error
}

func (s *shelf) Status() []devices.Status {
	return []devices.Status{{Name: "printer", Role: "printer", State: devices.StateReady, StateText: devices.StateReady.Text()}}
}

func (s *shelf) Unknown() []devices.Unknown {
	return []devices.Unknown{{Device: sysfs.Device{Port: "1-1", VID: "1234", PID: "5678"}}}
}

func (s *shelf) Detail(name string) (devices.Detail, error) {
	if name != "printer" {
		return devices.Detail{}, pos.NewError(pos.ErrNotFound, nil)
	}
	return devices.Detail{
		Status: s.Status()[0], Statistics: map[drivers.StatisticName]int64{drivers.HoursPoweredCount: 7}, Healing: devices.Healing{Hung: 1},
	}, nil
}

func (s *shelf) CheckHealth(_ context.Context, name, owner string, level drivers.HealthLevel) (drivers.Health, error) {
	s.asked = append(s.asked, name+" "+owner)
	code := drivers.ErrPaperEnd
	return drivers.Health{Level: level, Code: code, Text: code.Text(), Hint: code.Hint(), At: time.Now()}, s.err
}

func (s *shelf) SelfTest(_ context.Context, name, owner string) (drivers.Health, *drivers.PrintResult, error) {
	s.asked = append(s.asked, name+" "+owner)
	return drivers.Health{OK: true, Level: drivers.HealthExternal, At: time.Now()}, &drivers.PrintResult{State: drivers.PrintConfirmed}, s.err
}

func (s *shelf) ForgetFraming(_ context.Context, name string) error {
	s.forgot = append(s.forgot, name)
	return s.err
}

func TestDevicesOverTheAPI(t *testing.T) {
	s := &shelf{}
	r := newRig(t, func(o *localapi.Options) { o.Devices = s })
	read := func(req *http.Request) { req.Header.Set("Authorization", "Bearer "+r.secret[localapi.ScopeRead]) }
	var list localapi.DeviceList
	if a := r.do("GET", "/v1/devices", "", read); json.Unmarshal(a.body, &list) != nil || len(list.Devices) != 1 || len(list.Unknown) != 1 || list.Unknown[0].VID != "1234" {
		t.Fatalf("%s", a.body)
	}
	var d struct {
		Name       string           `json:"name"`
		State      string           `json:"state"`
		Statistics map[string]int64 `json:"statistics"`
		Healing    map[string]int64 `json:"healing"`
	}
	if a := r.do("GET", "/v1/devices/printer", "", read); json.Unmarshal(a.body, &d) != nil || d.Name != "printer" || d.State != "READY" || d.Statistics["HoursPoweredCount"] != 7 || d.Healing["hung"] != 1 {
		t.Fatalf("%s", a.body)
	}
	r.want(r.do("GET", "/v1/devices/nobody", "", read), http.StatusNotFound, pos.ErrNotFound)
	r.want(r.do("POST", "/v1/devices/printer/selftest", "", read), http.StatusForbidden, pos.ErrForbidden)
	r.want(r.do("POST", "/v1/devices/printer/health", `{"level":"internal"}`, read), http.StatusForbidden, pos.ErrForbidden)
	r.want(r.do("POST", "/v1/devices/printer/forget-framing", "", read), http.StatusForbidden, pos.ErrForbidden)
	if a := r.do("POST", "/v1/devices/printer/forget-framing", ""); json.Unmarshal(a.body, &d) != nil || d.Name != "printer" || len(s.forgot) != 1 {
		t.Fatalf("%s %q", a.body, s.forgot)
	}
	r.want(r.do("POST", "/v1/devices/printer/health", `{"level":"deep"}`), http.StatusUnprocessableEntity, pos.ErrBadRequest)
	var h localapi.DeviceHealth
	if a := r.do("POST", "/v1/devices/printer/health", `{"level":"interactive"}`); json.Unmarshal(a.body, &h) != nil || h.OK || h.Level != "interactive" || h.Code != "EPTR_REC_EMPTY" || h.Hint == nil {
		t.Fatalf("%s", a.body)
	}
	h = localapi.DeviceHealth{}
	if a := r.do("POST", "/v1/devices/printer/selftest", ""); json.Unmarshal(a.body, &h) != nil || !h.OK || h.Print == nil || h.Print.State != drivers.PrintConfirmed {
		t.Fatalf("%s", a.body)
	}
	for _, a := range s.asked {
		if a != "printer api:client-admin" {
			t.Fatalf("borrowed as %s", a)
		}
	}
	s.err = drivers.Trouble(drivers.CategoryPOSPrinter, "take printer", drivers.ErrBusy, nil)
	r.want(r.do("POST", "/v1/devices/printer/selftest", ""), http.StatusServiceUnavailable, pos.ErrPrinter)
	s.err = drivers.Trouble(drivers.CategoryScanner, "take scanner", drivers.ErrBusy, nil)
	r.want(r.do("POST", "/v1/devices/printer/health", `{"level":"internal"}`), http.StatusServiceUnavailable, drivers.CodeDevice)
}

func TestNoDevices(t *testing.T) {
	r := newRig(t)
	r.want(r.do("GET", "/v1/devices/printer", ""), http.StatusNotFound, pos.ErrNotFound)
	r.want(r.do("POST", "/v1/devices/printer/selftest", ""), http.StatusNotFound, pos.ErrNotFound)
}

func TestAChangedDeviceIsAnEvent(t *testing.T) {
	r := newRig(t)
	text := pos.Text{ZH: "打印纸用完", EN: "out of paper"}
	names, _ := events(t, r, "", 1, func() {
		r.till.DeviceChanged(checkout.Device{Name: "printer", State: "ERROR", Text: &text})
	})
	if len(names) != 1 || names[0] != "device" {
		t.Fatal(names)
	}
}
