package drivers_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"dcpos/drivers"
	"dcpos/pos"
)

// The numbers are the standard's (JposConst.java, POSPrinterConst.java): programs of
// others know them.
func TestNumbersOfTheStandard(t *testing.T) {
	for code, want := range map[drivers.ErrorCode]string{
		101: "E_CLOSED", 102: "E_CLAIMED", 103: "E_NOTCLAIMED", 104: "E_NOSERVICE", 105: "E_DISABLED", 106: "E_ILLEGAL",
		107: "E_NOHARDWARE", 108: "E_OFFLINE", 109: "E_NOEXIST", 110: "E_EXISTS", 111: "E_FAILURE", 112: "E_TIMEOUT",
		113: "E_BUSY", 114: "E_EXTENDED", 201: "EPTR_COVER_OPEN", 203: "EPTR_REC_EMPTY", 206: "EPTR_TOOBIG", 207: "EPTR_BADFORMAT",
	} {
		if code.Name() != want {
			t.Errorf("%d: got %s, want %s", int(code), code.Name(), want)
		}
		for _, s := range []string{code.Text().ZH, code.Text().EN, code.Hint().ZH, code.Hint().EN} {
			if s == "" {
				t.Errorf("%s lacks a sentence", want)
			}
		}
	}
	states := []drivers.State{drivers.StateClosed, drivers.StateIdle, drivers.StateBusy, drivers.StateError}
	if got := fmt.Sprint(states); got != "[CLOSED IDLE BUSY ERROR]" || states[3] != 4 {
		t.Errorf("states %s", got)
	}
}

func TestTroubleIsForProgramsAndForPeople(t *testing.T) {
	cause := errors.New("cable")
	err := error(drivers.Trouble(drivers.CategoryPOSPrinter, "print on front", drivers.ErrOffline, cause))
	if !errors.Is(err, drivers.ErrOffline) || errors.Is(err, drivers.ErrBusy) || !errors.Is(err, cause) {
		t.Errorf("%v: not found by code or cause", err)
	}
	e, ok := errors.AsType[*pos.Error](err)
	if !ok || e.Code != pos.ErrPrinter || !strings.Contains(e.Hint.ZH, "电源") {
		t.Errorf("got %+v", e)
	}
	if e := drivers.Trouble(drivers.CategoryScanner, "read", drivers.ErrOffline, nil); e.Code != drivers.CodeDevice {
		t.Errorf("scanner: got %s", e.Code)
	}
}

func TestConfigNamesTheMissingField(t *testing.T) {
	serial := drivers.TransportConfig{Kind: drivers.TransportSerial, Path: "/dev/ttyS0"}
	for _, tc := range []struct {
		cfg  drivers.DeviceConfig
		want string
	}{
		{drivers.DeviceConfig{Profile: "x", Transport: serial}, ""},
		{drivers.DeviceConfig{Profile: "x", Transport: drivers.TransportConfig{Kind: drivers.TransportUSB}}, ""},
		{drivers.DeviceConfig{Transport: serial}, "profile"},
		{drivers.DeviceConfig{Profile: "x"}, "transport.kind"},
		{drivers.DeviceConfig{Profile: "x", Transport: drivers.TransportConfig{Kind: drivers.TransportSerial}}, "transport.path"},
		{drivers.DeviceConfig{Profile: "x", Transport: drivers.TransportConfig{Kind: drivers.TransportUSB, VID: "04b8"}}, "transport.pid"},
		{drivers.DeviceConfig{Profile: "x", Transport: drivers.TransportConfig{Kind: drivers.TransportTCP}}, "transport.address"},
	} {
		err := tc.cfg.Check()
		if (err == nil) != (tc.want == "") || err != nil && !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%+v: got %v, want %q", tc.cfg, err, tc.want)
		}
	}
}

func TestSilenceIsNotNo(t *testing.T) {
	var s drivers.PrinterStatus
	if s.PaperEnd.Value != drivers.Unknown || !s.PaperEnd.At.IsZero() {
		t.Errorf("never asked: %+v", s.PaperEnd)
	}
	data, err := json.Marshal(s)
	if err != nil || !strings.Contains(string(data), `"paper_end":{"value":"unknown"`) {
		t.Errorf("%s, %v", data, err)
	}
	if drivers.TriOf(false) != drivers.No || drivers.TriOf(true) != drivers.Yes {
		t.Error("answers are swapped")
	}
}

func TestLifecycle(t *testing.T) {
	var l drivers.Lifecycle
	if l.State() != drivers.StateClosed || !errors.Is(l.NeedEnabled(), drivers.ErrClosed) {
		t.Error("new")
	}
	l.Opened()
	l.Claimed()
	l.Enabled()
	end := l.Begin()
	if l.State() != drivers.StateBusy || l.NeedEnabled() != nil {
		t.Error("busy")
	}
	end(true)
	if l.State() != drivers.StateError {
		t.Error("failed")
	}
	l.Opened() // open again is no step back
	if l.NeedEnabled() != nil {
		t.Error("opened again")
	}
	l.Disabled()
	if !errors.Is(l.NeedEnabled(), drivers.ErrDisabled) || l.NeedClaimed() != nil {
		t.Error("disabled")
	}
	l.Released()
	if !errors.Is(l.NeedClaimed(), drivers.ErrNotClaimed) {
		t.Error("released")
	}
	l.Closed()
	if !errors.Is(l.NeedOpen(), drivers.ErrClosed) {
		t.Error("closed")
	}
}

func TestPrinterStatusesAreComparedByTheirAnswers(t *testing.T) {
	at := time.Now()
	a := drivers.PrinterStatus{PaperEnd: drivers.Reading{Value: drivers.No, At: at}}
	b := drivers.PrinterStatus{PaperEnd: drivers.Reading{Value: drivers.No, At: at.Add(time.Hour)}}
	if !a.Same(b) || a.Same(drivers.PrinterStatus{}) {
		t.Error("times count, or answers do not")
	}
	b.DrawerOpen.Value = drivers.Yes
	if a.Same(b) {
		t.Error("the last answer does not count")
	}
}
