package usbip

import (
	"bytes"
	"context"
	"encoding/binary"
	"io"
	"testing"
	"testing/synctest"

	"github.com/google/go-cmp/cmp"
)

// echo answers what it gets, in capitals.
type echo struct{}

func (echo) Serve(ctx context.Context, rw io.ReadWriteCloser) error {
	stop := context.AfterFunc(ctx, func() { _ = rw.Close() })
	defer stop()
	buf := make([]byte, 64)
	for {
		n, err := rw.Read(buf)
		if err != nil {
			return nil
		}
		if _, err := rw.Write(bytes.ToUpper(buf[:n])); err != nil {
			return nil
		}
	}
}

func TestPrinterClass(t *testing.T) {
	bubble(t, "device id, port status, bulk both ways, soft reset", func(t *testing.T) {
		t.Helper()
		status := PortSelected | PortNotError
		h := plug(t, Printer{Model: echo{}, Speed: HighSpeed, DeviceID: "MFG:A;", PortStatus: func() byte { return status }})
		if r := h.control(0xa1, 0, 0, 0, 255, nil); string(r.data) != "\x00\x08MFG:A;" {
			t.Errorf("device id: got %q", r.data)
		}
		if r := h.control(0xa1, 0, 0, 0, 2, nil); string(r.data) != "\x00\x08" {
			t.Errorf("the length of the device id: got %q", r.data)
		}
		status = PortPaperEmpty
		if r := h.control(0xa1, 1, 0, 0, 1, nil); !bytes.Equal(r.data, []byte{0x20}) {
			t.Errorf("port status: got % x", r.data)
		}
		if r := h.control(0xa1, 9, 0, 0, 1, nil); r.status != -32 {
			t.Errorf("unknown request: got %+v", r)
		}
		if r := h.control(0x80, 6, 0x0200, 0, 255, nil); r.data[9+9+4] != 0 || r.data[9+9+5] != 2 {
			t.Errorf("at high speed bulk packets are of 512 bytes: % x", r.data)
		}
		h.submit(PrinterOut, 3, nil, []byte("abc"))
		h.result()
		synctest.Wait() // the answer is ready, and nobody has asked for it
		if r := h.control(0x21, 2, 0, 0, 0, nil); r.status != 0 {
			t.Errorf("soft reset: got %+v", r)
		}
		h.submit(PrinterOut, 1, nil, []byte("d"))
		h.result()
		h.submit(PrinterIn, 512, nil, nil)
		if r := h.result(); string(r.data) != "D" {
			t.Errorf("after a soft reset: got %q, want only what came since", r.data)
		}
	})
}

func TestCDCACM(t *testing.T) {
	bubble(t, "line coding, control lines, and nothing said to nobody", func(t *testing.T) {
		t.Helper()
		d := &Serial{Model: echo{}}
		h := plug(t, d)
		coding := []byte{0x80, 0x25, 0, 0, 2, 2, 7}
		h.control(0x21, 0x20, 0, 0, 7, coding)
		if diff := cmp.Diff(LineCoding{9600, 2, 2, 7}, d.Coding()); diff != "" {
			t.Error(diff)
		}
		if r := h.control(0xa1, 0x21, 0, 0, 7, nil); !bytes.Equal(r.data, coding) {
			t.Errorf("line coding: got % x", r.data)
		}
		if r := h.control(0x21, 0x20, 0, 0, 3, coding[:3]); r.status != -32 {
			t.Errorf("half a line coding: got %+v", r)
		}
		h.submit(serialOut, 4, nil, []byte("lost"))
		h.result()
		h.control(0x21, 0x22, 3, 0, 0, nil)
		if dtr, rts := d.Lines(); !dtr || !rts {
			t.Error(dtr, rts)
		}
		h.submit(serialOut, 4, nil, []byte("kept"))
		h.result()
		h.submit(serialIn, 64, nil, nil)
		if r := h.result(); string(r.data) != "KEPT" {
			t.Errorf("got %q", r.data)
		}
	})
}

// keys is a HID model that keeps what the host sets.
type keys struct {
	reports  chan []byte
	features []byte
	outputs  [][]byte
}

func (*keys) ReportDescriptor() []byte { return []byte{0x05, 0x8c, 0xc0} }
func (k *keys) Reports() <-chan []byte { return k.reports }
func (k *keys) Output(report []byte)   { k.outputs = append(k.outputs, bytes.Clone(report)) }
func (k *keys) SetFeature(id byte, data []byte) {
	k.features = append(append(k.features, id), data...)
}

func TestHID(t *testing.T) {
	bubble(t, "descriptors, reports in, features and outputs", func(t *testing.T) {
		t.Helper()
		k := &keys{reports: make(chan []byte, 10)}
		k.reports <- []byte("said before the plug was in")
		h := plug(t, HID{Model: k, Keyboard: true})
		synctest.Wait()
		config := h.control(0x80, 6, 0x0200, 0, 255, nil).data
		if want := []byte{9, 4, 0, 0, 1, 3, 1, 1, 0, 9, 0x21, 0x11, 1, 0, 1, 0x22, 3, 0, 7, 5, 0x81, 3, 64, 0, 10}; !bytes.Equal(config[9:], want) {
			t.Errorf("got % x", config[9:])
		}
		if r := h.control(0x81, 6, 0x2200, 0, 255, nil); !bytes.Equal(r.data, k.ReportDescriptor()) {
			t.Errorf("report descriptor: got % x", r.data)
		}
		if r := h.control(0x81, 6, 0x2100, 0, 9, nil); !bytes.Equal(r.data, config[18:27]) {
			t.Errorf("HID descriptor: got % x", r.data)
		}
		h.submit(hidIn, 64, nil, nil)
		k.reports <- []byte{2, 'A'}
		if r := h.result(); !bytes.Equal(r.data, []byte{2, 'A'}) {
			t.Errorf("report: got %q", r.data)
		}
		h.control(0x21, 0x0a, 0, 0, 0, nil)                     // SET_IDLE
		h.control(0x21, 0x09, 0x03fe, 0, 2, []byte{0xfe, 1})    // feature 254
		h.control(0x21, 0x09, 0x0204, 0, 3, []byte{4, 0x80, 0}) // output 4
		h.control(0x21, 0x09, 0x0200, 0, 1, []byte{7})          // output without an id
		if !bytes.Equal(k.features, []byte{254, 1}) || cmp.Diff([][]byte{{4, 0x80, 0}, {7}}, k.outputs) != "" {
			t.Errorf("features % x, outputs % x", k.features, k.outputs)
		}
		for what, r := range map[string]result{
			"an input report cannot be set": h.control(0x21, 0x09, 0x0100, 0, 1, []byte{7}),
			"no report is told":             h.control(0xa1, 0x01, 0x0100, 0, 8, nil),
		} {
			if r.status != -32 {
				t.Errorf("%s: got %+v", what, r)
			}
		}
	})
}

// slot is a reader's model that answers every message twice.
type slot struct{ notes chan []byte }

func (slot) ClassDescriptor() []byte { return []byte{2, 0x21} }
func (s slot) Notify() <-chan []byte { return s.notes }
func (slot) Command(message []byte, reply func([]byte)) {
	reply([]byte("more time"))
	reply(message[ccidHeader:])
}

func ccidMessage(body string) []byte {
	b := append([]byte{0x6f}, binary.LittleEndian.AppendUint32(nil, uint32(len(body)))...)
	return append(append(b, 0, 1, 0, 0, 0), body...)
}

func TestCCID(t *testing.T) {
	bubble(t, "messages in several transfers, several answers, notifications", func(t *testing.T) {
		t.Helper()
		s := slot{make(chan []byte, 1)}
		h := plug(t, CCID{Model: s})
		m := ccidMessage("card")
		h.submit(ccidOut, 5, nil, m[:5])
		h.result()
		h.submit(ccidOut, len(m)-5, nil, m[5:])
		h.result()
		for _, want := range []string{"more time", "card"} {
			h.submit(ccidIn, 271, nil, nil)
			if r := h.result(); string(r.data) != want {
				t.Errorf("got %q, want %q", r.data, want)
			}
		}
		h.submit(ccidNotify, 8, nil, nil)
		s.notes <- []byte{0x50, 3}
		if r := h.result(); !bytes.Equal(r.data, []byte{0x50, 3}) {
			t.Errorf("got % x", r.data)
		}
		if r := h.control(0x21, 1, 0, 0, 0, nil); r.status != 0 {
			t.Errorf("abort: got %+v", r)
		}
	})
	bubble(t, "a message of gigabytes is not believed", func(t *testing.T) {
		t.Helper()
		h := plug(t, CCID{Model: slot{}})
		m := ccidMessage("")
		m[4] = 0xff
		h.submit(ccidOut, len(m), nil, m)
		if _, err := io.ReadAll(h.conn); err != nil {
			t.Error(err)
		}
		if err := <-h.served; err == nil {
			t.Error("served on")
		}
	})
}
