package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"dcpos/agent/devices/doctor"
	"dcpos/agent/devices/sysfs/sysfstest"
	profiles "dcpos/firmware-profiles"
	"dcpos/internal/cli"
	"dcpos/pos"
	"dcpos/sdk"
)

func TestDevicesForPeople(t *testing.T) {
	text, hint := pos.Text{ZH: "打印纸用完", EN: "out of paper"}, pos.Text{ZH: "请换纸", EN: "load paper"}
	now := time.UnixMilli(1_800_000_000_000)
	yes, no := sdk.Reading{Value: "yes"}, sdk.Reading{Value: "no"}
	var unknown sdk.UnknownDevice
	if err := json.Unmarshal([]byte(`{"port":"1-6","vid":"1a86","pid":"7523","product":"USB Serial","candidates":[{"Profile":"serial-cr"}]}`), &unknown); err != nil {
		t.Fatal(err)
	}
	list := sdk.DeviceList{
		Devices: []sdk.Device{
			{
				Name: "printer", Maker: "EPSON", Model: "TM-T88V", Port: "usb:04b8:0202", State: "READY", StateText: pos.Text{ZH: "就绪", EN: "ready"},
				SinceMS: now.Add(-90 * time.Minute).UnixMilli(), Printer: &sdk.PrinterStatus{PaperEnd: no, CoverOpen: no, PaperNearEnd: no},
			},
			{
				Name: "printer-2", Profile: "pos58", Bound: "port 1-1 0416:5011", State: "ERROR", StateText: pos.Text{ZH: "故障", EN: "fault"},
				Text: &text, Hint: &hint, SinceMS: now.UnixMilli(), Printer: &sdk.PrinterStatus{PaperEnd: yes},
			},
			{Name: "nfc", Model: "ACR122U", State: "READY", StateText: pos.Text{ZH: "就绪", EN: "ready"}, Owner: "kernel"},
		},
		Unknown: []sdk.UnknownDevice{unknown, {Port: "1-7", VID: "1234", PID: "5678", Product: "Thing"}},
	}
	t.Setenv("LC_ALL", "zh_CN.UTF-8")
	var out bytes.Buffer
	if err := devicesForPeople(&out, list, now); err != nil {
		t.Fatal(err)
	}
	want := `   名称       型号           接口                状态  详情             时长
✓  printer    EPSON TM-T88V  usb:04b8:0202       就绪  有纸,盖子合上    1h30m
✗  printer-2  pos58          port 1-1 0416:5011  故障  打印纸用完       0s
              → 请换纸
✓  nfc        ACR122U                            就绪  kernel 正在使用

未使用的设备
   VID:PID    名称        接口  怎么办
?  1a86:7523  USB Serial  1-6   在 posagent.yaml 中写明 profile: serial-cr
?  1234:5678  Thing       1-7   posctl devices --draft 1234:5678
`
	if out.String() != want {
		t.Errorf("got\n%s\nwant\n%s", out.String(), want)
	}
	out.Reset()
	if err := devicesForPeople(&out, sdk.DeviceList{}, now); err != nil || !strings.Contains(out.String(), "没有外设") {
		t.Error(out.String(), err)
	}
}

func TestDraftOfAPluggedDevice(t *testing.T) {
	tree := sysfstest.Plant(t, sysfstest.Counter)
	var out bytes.Buffer
	if err := draft(&out, tree, "1A86:7523"); err != nil {
		t.Fatal(err)
	}
	if _, err := profiles.Check("printer/draft.yaml", out.Bytes()); err != nil || !strings.Contains(out.String(), "1a86") {
		t.Errorf("%v\n%s", err, out.String())
	}
	if err := draft(&out, tree, "dead:beef"); cli.Code(err) != cli.Usage {
		t.Errorf("a device that is not there: %v", err)
	}
}

func TestDoctorWithoutAnAgent(t *testing.T) {
	t.Setenv("LC_ALL", "en_US.UTF-8")
	var out, errs bytes.Buffer
	code := run([]string{"doctor", "--socket", filepath.Join(t.TempDir(), "none"), "--json"}, &cli.Streams{Out: &out, Err: &errs})
	var findings []doctor.Finding
	if err := json.Unmarshal(out.Bytes(), &findings); err != nil || code != cli.Negative || len(findings) == 0 || findings[0].Code != "agent" {
		t.Fatalf("exit %d, %v: %s %s", code, err, out.String(), errs.String())
	}
	out.Reset()
	if code := run([]string{"doctor", "--class", "tractor"}, &cli.Streams{Out: &out, Err: &errs}); code != cli.Usage {
		t.Errorf("exit %d", code)
	}
}

func TestDoctorForPeople(t *testing.T) {
	t.Setenv("LC_ALL", "en_US.UTF-8")
	all, err := doctor.Examine(doctor.Bench{Tree: sysfstest.Plant(t, sysfstest.Counter, "/dev/hidraw0")})
	if err != nil {
		t.Fatal(err)
	}
	all = append(examine(sdk.Status{Connected: true, Terminal: "T1", TimeMS: time.Now().UnixMilli()}, time.Now()), all...)
	var out bytes.Buffer
	if err := (DoctorCmd{}).forPeople(&out, all); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"✗ this user may not open the device", "/dev/hidraw0", "→ posctl profile udev | sudo tee", "! ModemManager", "pid 640", "errors", "5 well"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("%q is not said:\n%s", want, out.String())
		}
	}
	if strings.Contains(out.String(), "✓") {
		t.Error("what is well is listed without being asked for")
	}
}

func TestSelftestForPeople(t *testing.T) {
	t.Setenv("LC_ALL", "en_US.UTF-8")
	hint := pos.Text{ZH: "换纸", EN: "load paper"}
	printed := func(state string, ok bool) sdk.DeviceHealth {
		var h sdk.DeviceHealth
		if err := json.Unmarshal([]byte(`{"print":{"state":"`+state+`"}}`), &h); err != nil {
			t.Fatal(err)
		}
		h.OK = ok
		return h
	}
	var out bytes.Buffer
	err := healthForPeople(&out, []string{"a", "b", "c", "d"}, map[string]sdk.DeviceHealth{
		"a": printed("CONFIRMED", true), "b": printed("UNKNOWN", false), "c": {Text: &hint, Hint: &hint}, "d": {OK: true},
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"✓ a  the self-test ticket is printed", "? b  sent and not confirmed", "✗ c  load paper\n  → load paper", "✓ d  well"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("%q is not said:\n%s", want, out.String())
		}
	}
	full := errors.Join(healthForPeople(full{}, []string{"d"}, map[string]sdk.DeviceHealth{"d": {OK: true}}))
	if !errors.Is(full, os.ErrClosed) {
		t.Error("an output that is closed goes unnoticed")
	}
}

// full is an output that takes nothing.
type full struct{}

func (full) Write([]byte) (int, error) { return 0, os.ErrClosed }
