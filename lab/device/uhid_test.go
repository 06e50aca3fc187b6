package device

import (
	"bytes"
	"context"
	"encoding/binary"
	"os"
	"path/filepath"
	"slices"
	"testing"
)

// TestAPlayedScannerTalksToTheKernel holds the events against linux/uhid.h, which the test
// spells out on its own.
func TestAPlayedScannerTalksToTheKernel(t *testing.T) {
	kernel, dev := Pipe()
	scanner := NewHIDScanner(HIDScannerOptions{NeedsFeature: true})
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() {
		done <- ServeUHID(ctx, dev, scanner, HIDIdentity{Name: "TEST scanner", Vendor: 0x0c2e, Product: 0x0901, Serial: "LAB1"})
	}()
	buf := make([]byte, 5000)
	read := func() []byte {
		n, err := kernel.Read(buf)
		if err != nil {
			t.Fatal(err)
		}
		return buf[:n]
	}
	e := read()
	descriptor := scanner.ReportDescriptor()
	switch {
	case len(e) != 280+len(descriptor), binary.NativeEndian.Uint32(e) != 11:
		t.Fatalf("created by %d bytes of type %d", len(e), e[0])
	case string(e[4:16]) != "TEST scanner", string(e[4+128+64:][:5]) != "LAB1\x00":
		t.Errorf("names %q", e[4:260])
	case int(binary.NativeEndian.Uint16(e[260:])) != len(descriptor), e[262] != 3:
		t.Errorf("size and bus % x", e[260:264])
	case binary.NativeEndian.Uint32(e[264:]) != 0x0c2e, binary.NativeEndian.Uint32(e[268:]) != 0x0901:
		t.Errorf("identity % x", e[264:272])
	case !bytes.Equal(e[280:], descriptor):
		t.Error("another descriptor")
	}
	event := func(kind uint32, body ...byte) {
		if _, err := kernel.Write(append(binary.NativeEndian.AppendUint32(nil, kind), body...)); err != nil {
			t.Error(err)
		}
	}
	event(2, make([]byte, 8)...)                // START tells nothing that needs an answer
	event(13, 7, 0, 0, 0, 254, 0, 2, 0, 254, 1) // SET_REPORT 7: feature 254 is 1
	if e = read(); !bytes.Equal(e, []byte{14, 0, 0, 0, 7, 0, 0, 0, 0, 0}) {
		t.Errorf("reply % x", e)
	}
	if got := scanner.Features(); !bytes.Equal(got, []byte{254, 1}) {
		t.Errorf("features % x", got)
	}
	output := make([]byte, 4099)
	copy(output, []byte{4, 0x20})
	output[4096] = 2
	event(6, output...)
	event(9, 8, 0, 0, 0, 254, 0) // GET_REPORT 8: it has none, and what came before is handled
	if e = read(); !bytes.Equal(e, []byte{10, 0, 0, 0, 8, 0, 0, 0, 5, 0, 0, 0}) {
		t.Errorf("reply % x", e)
	}
	if err := scanner.Scan("6901028075862", "]E0"); err != nil {
		t.Fatal(err)
	}
	if e = read(); e[0] != 12 || e[4] != 64 || !bytes.Contains(e, []byte("]E06901028075862")) {
		t.Errorf("input % x", e)
	}
	if got := scanner.Outputs(); len(got) != 1 || !bytes.Equal(got[0], []byte{4, 0x20}) {
		t.Errorf("outputs % x", got)
	}
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
}

func FuzzUHIDEvent(f *testing.F) {
	f.Add([]byte{13, 0, 0, 0, 7, 0, 0, 0, 254, 0, 2, 0, 254, 1})
	f.Add([]byte{6, 0, 0, 0})
	f.Fuzz(func(t *testing.T, event []byte) {
		if len(event) > 4+uhidDataMax+3 {
			return // longer than the kernel's
		}
		if reply := uhidAct(event, NewKeyboardScanner(KeyboardScannerOptions{})); len(reply) > 12 {
			t.Errorf("reply % x", reply)
		}
	})
}

func TestHIDNodesAreFoundBySerialNumber(t *testing.T) {
	root := t.TempDir()
	for serial, node := range map[string]string{"LAB1": "hidraw/hidraw3", "LAB2": "input/input7/event9"} {
		folder := filepath.Join(root, "sys/bus/hid/devices", serial)
		if err := os.MkdirAll(filepath.Join(folder, node), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(folder, "uevent"), []byte("HID_NAME=x\nHID_UNIQ="+serial+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if got := HIDNodes(root, "LAB1"); !slices.Equal(got, []string{"/dev/hidraw3"}) {
		t.Errorf("got %v", got)
	}
	if got := HIDNodes(root, "LAB2"); !slices.Equal(got, []string{"/dev/input/event9"}) {
		t.Errorf("got %v", got)
	}
	if got := HIDNodes(root, "LAB"); got != nil {
		t.Errorf("got %v", got)
	}
}
