package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
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

// What is known of a printer's paper, cover and drawer is said, and what is not known is
// never said to be one or the other.
func TestDetailsOfAPrinterAndAScanner(t *testing.T) {
	tri := func(v string) sdk.Reading { return sdk.Reading{Value: v} }
	printer := func(paperEnd, nearEnd, cover, drawer string) sdk.Device {
		return sdk.Device{State: "READY", Printer: &sdk.PrinterStatus{
			PaperEnd: tri(paperEnd), PaperNearEnd: tri(nearEnd), CoverOpen: tri(cover), DrawerOpen: tri(drawer),
		}}
	}
	scanner := func(f sdk.Framing) sdk.Device { return sdk.Device{State: "READY", Framing: &f} }
	broken := printer("yes", "yes", "yes", "yes")
	broken.State, broken.Text = "ERROR", &pos.Text{ZH: "打印纸用完", EN: "out of paper"}
	used := printer("no", "no", "no", "no")
	used.Owner = "checkout"
	for _, tc := range []struct {
		d      sdk.Device
		en, zh string
	}{
		{printer("no", "no", "no", "yes"), "paper in, cover shut, drawer open", "有纸,盖子合上,钱箱打开"},
		{printer("no", "no", "no", "no"), "paper in, cover shut, drawer shut", "有纸,盖子合上,钱箱关闭"},
		{printer("no", "no", "no", "unknown"), "paper in, cover shut", "有纸,盖子合上"},
		{printer("", "", "", ""), "paper unknown, cover unknown", "纸张未知,盖子未知"},
		{printer("no", "yes", "yes", "no"), "paper low, cover open, drawer shut", "纸将尽,盖子打开,钱箱关闭"},
		{printer("yes", "yes", "no", "unknown"), "no paper, cover shut", "缺纸,盖子合上"},
		{broken, "out of paper", "打印纸用完"},
		{used, "paper in, cover shut, drawer shut, in use by checkout", "有纸,盖子合上,钱箱关闭,checkout 正在使用"},
		{scanner(sdk.Framing{End: "crlf", From: "learned"}), "codes end with CRLF (learned)", "条码以 CRLF 结束(自动学习)"},
		{scanner(sdk.Framing{End: "idle", Prefix: "02", From: "configured"}), "codes end with a pause, prefix 02 (configured)", "条码以 停顿,前缀 02 结束(配置)"},
	} {
		t.Setenv("LC_ALL", "en_US.UTF-8")
		if got := details(tc.d, "en"); got != tc.en {
			t.Errorf("got %q, want %q", got, tc.en)
		}
		t.Setenv("LC_ALL", "zh_CN.UTF-8")
		if got := details(tc.d, "zh"); got != tc.zh {
			t.Errorf("got %q, want %q", got, tc.zh)
		}
	}
}

func TestSince(t *testing.T) {
	now := time.UnixMilli(1_800_000_000_000)
	for age, want := range map[time.Duration]string{
		-time.Minute: "0s", 59 * time.Second: "59s", 61 * time.Second: "1m01s", 90 * time.Minute: "1h30m", 49 * time.Hour: "2d01h",
	} {
		if got := since(now.Add(-age).UnixMilli(), now); got != want {
			t.Errorf("%v: got %q, want %q", age, got, want)
		}
	}
	if got := since(0, now); got != "" {
		t.Errorf("never: got %q", got)
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

// agent is a local API that answers each operation with what stands for it here.
func agent(t *testing.T, answers map[string]string) (socket string) {
	t.Helper()
	socket = filepath.Join(t.TempDir(), "api.sock")
	var c net.ListenConfig
	l, err := c.Listen(t.Context(), "unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		answer, ok := answers[r.Method+" "+r.URL.Path]
		if !ok {
			http.NotFound(w, r)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		_, _ = io.WriteString(w, answer) // a client that is gone fails by itself
	}))
	_ = s.Listener.Close() // the one that it came with
	s.Listener = l
	s.Start()
	t.Cleanup(s.Close)
	return socket
}

const (
	aPrinter = `{"name":"printer","role":"printer","category":"POSPrinter","state":"READY","state_text":{"zh":"就绪","en":"ready"},
		"printer":{"paper_end":{"value":"no"},"cover_open":{"value":"no"},"drawer_open":{"value":"yes"}}`
	aScanner = `{"name":"scanner","role":"scanner","category":"Scanner","state":"ABSENT","state_text":{"zh":"不在","en":"absent"}`
	counters = `,"statistics":{"ReceiptLinePrintedCount":7},"healing":{"hung":2}}`
)

func TestDevicesOfAnAgent(t *testing.T) {
	t.Setenv("LC_ALL", "en_US.UTF-8")
	socket := agent(t, map[string]string{
		"GET /v1/devices":                         `{"devices":[` + aPrinter + `}],"unknown":[]}`,
		"GET /v1/devices/printer":                 aPrinter + counters,
		"POST /v1/devices/scanner/forget-framing": aScanner + counters,
		"POST /v1/devices/printer/selftest":       `{"ok":true,"level":"external","print":{"state":"CONFIRMED"}}`,
		"POST /v1/devices/printer/health":         `{"ok":false,"level":"internal","text":{"zh":"缺纸","en":"no paper"},"hint":{"zh":"请换纸","en":"load paper"}}`,
	})
	ill := agent(t, map[string]string{
		"GET /v1/devices":                 `{"devices":[` + aPrinter + `},` + aScanner + `}],"unknown":[]}`,
		"POST /v1/devices/scanner/health": `{"ok":true,"level":"interactive"}`,
	})
	for _, tc := range []struct {
		socket string
		args   []string
		code   int
		want   string
	}{
		{socket, []string{"devices"}, cli.OK, "paper in, cover shut, drawer open"},
		{ill, []string{"devices"}, cli.Negative, "✗  scanner"},
		{socket, []string{"devices", "--json"}, cli.OK, `"drawer_open"`},
		{socket, []string{"devices", "--statistics", "printer"}, cli.OK, `"ReceiptLinePrintedCount": 7`},
		{socket, []string{"devices", "--forget", "scanner"}, cli.OK, "printer"},
		{socket, []string{"selftest"}, cli.OK, "✓ printer  the self-test ticket is printed"},
		{socket, []string{"selftest", "printer", "--level", "internal"}, cli.Negative, "✗ printer  no paper\n  → load paper"},
		{ill, []string{"selftest", "scanner"}, cli.OK, "✓ scanner  well"},
		{ill, []string{"selftest", "nobody"}, cli.Negative, ""},
	} {
		var out, errs bytes.Buffer
		code := run(append(tc.args, "--socket", tc.socket), &cli.Streams{Out: &out, Err: &errs})
		if code != tc.code || !strings.Contains(out.String(), tc.want) {
			t.Errorf("%v: exit %d, want %d with %q: %s%s", tc.args, code, tc.code, tc.want, out.String(), errs.String())
		}
	}
}

// The doctor asks a device that works how it is, and tells what heals it.
func TestDoctorAsksTheAgent(t *testing.T) {
	t.Setenv("LC_ALL", "en_US.UTF-8")
	c, err := sdk.New(sdk.Options{Caller: "posctl", Tries: 1, Socket: agent(t, map[string]string{
		"GET /v1/devices":                 `{"devices":[` + aPrinter + `},` + aScanner + `}],"unknown":[]}`,
		"GET /v1/devices/printer":         aPrinter + counters,
		"GET /v1/devices/scanner":         aScanner + counters,
		"POST /v1/devices/printer/health": `{"ok":false,"level":"internal","text":{"zh":"盖子打开","en":"cover open"},"hint":{"zh":"请合上","en":"shut it"}}`,
	})})
	if err != nil {
		t.Fatal(err)
	}
	got, err := asked(t.Context(), c)
	if err != nil || len(got) != 2 {
		t.Fatalf("%+v, %v", got, err)
	}
	if got[0].Ill.EN != "cover open" || got[0].Advice.EN != "shut it" || got[0].Hung != 2 {
		t.Errorf("the printer: %+v", got[0])
	}
	if got[1].Ill.EN != "" || got[1].State != "ABSENT" {
		t.Errorf("a scanner that is not there was asked: %+v", got[1])
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

// A till that is not enrolled uses no device yet: that is said, and nothing of a clock or a
// network that it has not asked.
func TestDoctorBeforeEnrolment(t *testing.T) {
	t.Setenv("LC_ALL", "en_US.UTF-8")
	socket := agent(t, map[string]string{"GET /v1/status": `{"terminal":"","connected":false}`})
	var out, errs bytes.Buffer
	if code := run([]string{"doctor", "--socket", socket}, &cli.Streams{Out: &out, Err: &errs}); code != cli.Negative {
		t.Errorf("exit %d: %s", code, errs.String())
	}
	for _, want := range []string{"✗ enrolment", "posctl enroll", "devices are used once the till is enrolled"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("%q is not said:\n%s", want, out.String())
		}
	}
	for _, wrong := range []string{"clock", "no agent", "NATS"} {
		if strings.Contains(out.String(), wrong) {
			t.Errorf("%q is said:\n%s", wrong, out.String())
		}
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
	for _, want := range []string{"✗ this user may not open the device", "/dev/hidraw0", "posctl profile udev | sudo tee", "dialout", "! ModemManager", "pid 640", "errors", "5 well"} {
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
