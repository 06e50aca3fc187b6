package usb_test

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"os/exec"
	"slices"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"dcpos/agent/devices/doctor"
	"dcpos/agent/devices/sysfs"
	"dcpos/internal/guest"
	"dcpos/lab/device"
	"dcpos/lab/usbip"
)

// nobody is a user who may do nothing.
const nobody = 65534

// What store IT is told of a bench where the kernel itself is in the way: usblp holds the
// printer, pn533 the reader, and their files are somebody else's.
func testDoctor(t *testing.T) {
	printer := plug(t, usbip.Printer{Identity: epson, Model: newWire()})
	find(t, "/dev/usb/lp*")
	if err := guest.LoadSpare(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(unloadPN533)
	found(t, examine, diagnosis{doctor.Warning, "pn533", []string{"/sys/module/pn533_usb"}})
	model := device.NewCCID(device.CCIDOptions{})
	t.Cleanup(model.Close)
	plug(t, usbip.CCID{Identity: acr122u, Model: chip{model}})
	held := diagnosis{doctor.Error, "pn533", []string{"072f:2200", "→ pn533_usb"}}
	found(t, examine, held)
	node := "/dev/bus/usb/" + busNode(t, printer.Sys)
	find(t, node)
	found(t, asNobody, held,
		diagnosis{doctor.Warning, "usblp", []string{"04b8:0e15", "→ usblp"}},
		diagnosis{doctor.Error, "permission", []string{"04b8:0e15", node}})
}

// unloadPN533 makes room for the tests that want the reader for themselves. Modules that
// stay are seen by those.
func unloadPN533() {
	for _, m := range []string{"pn533_usb", "pn533"} {
		_ = unix.DeleteModule(m, 0)
	}
}

// diagnosis is a finding that is wanted, with parts of its evidence.
type diagnosis struct {
	severity doctor.Severity
	code     string
	evidence []string
}

func (d diagnosis) is(f doctor.Finding) bool {
	for _, e := range d.evidence {
		if !strings.Contains(f.Evidence, e) {
			return false
		}
	}
	return f.Code == d.code && f.Severity == d.severity && f.Hint.ZH != "" && f.Hint.EN != ""
}

// found waits until all that is wanted is found by one look.
func found(t *testing.T, look func(*testing.T) ([]doctor.Finding, error), wanted ...diagnosis) {
	t.Helper()
	eventually(t, "the doctor finds what is in the way", func() error {
		all, err := look(t)
		if err != nil {
			return err
		}
		for _, w := range wanted {
			i := slices.IndexFunc(all, w.is)
			if i < 0 {
				return fmt.Errorf("no %s %s among %+v", w.severity, w.code, all)
			}
			t.Logf("%s %s: %s (%s) → %s", all[i].Severity, all[i].Code, all[i].Text.EN, all[i].Evidence, all[i].Hint.EN)
		}
		return nil
	})
}

func examine(*testing.T) ([]doctor.Finding, error) {
	return doctor.Examine(doctor.Bench{Tree: sysfs.Host()})
}

// asNobody is what posctl doctor tells a user who may open no device, where no agent runs.
func asNobody(t *testing.T) (all []doctor.Finding, err error) {
	t.Helper()
	c := exec.CommandContext(t.Context(), "/bin/posctl", "doctor", "--json", "--socket", "/run/nobody.sock")
	c.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: nobody, Gid: nobody}}
	var told bytes.Buffer
	c.Stderr = &told
	out, err := c.Output()
	if exit, ok := errors.AsType[*exec.ExitError](err); !ok || exit.ExitCode() != 1 {
		return nil, fmt.Errorf("posctl doctor: %w: %s", err, told.Bytes())
	}
	return all, json.Unmarshal(out, &all)
}

// chip is a reader whose chip answers commands that are passed through, as the kernel's
// pn533 sends them: FF 00 00 00 Lc D4 … in an escape, D5 … 90 00 in its answer.
type chip struct{ *device.CCID }

func (c chip) Command(message []byte, reply func([]byte)) {
	const header, escape, escaped = 10, 0x6b, 0x83
	through := []byte{0xff, 0, 0, 0}
	if len(message) < header+7 || message[0] != escape || !bytes.HasPrefix(message[header:], through) || message[header+5] != 0xd4 {
		c.CCID.Command(message, reply)
		return
	}
	command := message[header+6]
	data := []byte{0xd5, command + 1}
	if command == 0x02 { // GetFirmwareVersion: a PN532 1.6 that does ISO 14443 A and B and ISO 18092
		data = append(data, 0x32, 0x01, 0x06, 0x07)
	}
	data = append(data, 0x90, 0x00)
	out := make([]byte, header, header+len(data))
	out[0], out[5], out[6] = escaped, message[5], message[6]
	binary.LittleEndian.PutUint32(out[1:], uint32(len(data)))
	reply(append(out, data...))
}
