package device

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"
)

// UHIDPath is where the kernel takes HID devices that a program plays (module uhid,
// linux/uhid.h). Opening it needs root, and the module.
const UHIDPath = "/dev/uhid"

// HIDIdentity is what the kernel is told of a played device.
type HIDIdentity struct {
	Name            string
	Vendor, Product uint16
	// Serial is the device's own serial number; by it Nodes finds the device's files.
	Serial string
}

// Events of linux/uhid.h: enum uhid_event_type.
const (
	uhidOutput         = 6
	uhidGetReport      = 9
	uhidGetReportReply = 10
	uhidCreate2        = 11
	uhidInput2         = 12
	uhidSetReport      = 13
	uhidSetReportReply = 14

	uhidDataMax   = 4096                                        // UHID_DATA_MAX and HID_MAX_DESCRIPTOR_SIZE
	uhidEventSize = 4 + 128 + 64 + 64 + 2*2 + 4*4 + uhidDataMax // the largest: type and uhid_create2_req
	busUSB        = 3                                           // linux/input.h
)

// OpenUHID opens the kernel's side. fs.ErrNotExist: the kernel has no module uhid loaded;
// fs.ErrPermission: only root may.
func OpenUHID() (io.ReadWriteCloser, error) {
	f, err := os.OpenFile(UHIDPath, os.O_RDWR|syscall.O_NONBLOCK|syscall.O_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("play a HID device: %w", err)
	}
	return f, nil
}

// ServeUHID plays a HID device to the kernel until ctx ends, which unplugs it. It closes
// kernel.
func ServeUHID(ctx context.Context, kernel io.ReadWriteCloser, m HIDModel, id HIDIdentity) error {
	if len(m.ReportDescriptor()) > uhidDataMax {
		return errors.Join(fmt.Errorf("report descriptor of %d bytes", len(m.ReportDescriptor())), kernel.Close())
	}
	if _, err := kernel.Write(uhidCreate(m.ReportDescriptor(), id)); err != nil {
		return errors.Join(fmt.Errorf("create HID device: %w", err), kernel.Close())
	}
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	undo := context.AfterFunc(ctx, func() { _ = kernel.Close() }) // ends the read below, and unplugs
	defer undo()
	var sending sync.WaitGroup
	sending.Go(func() {
		defer stop()
		uhidReports(ctx, kernel, m.Reports())
	})
	err := uhidHost(kernel, m)
	ended := ctx.Err() != nil
	stop()
	sending.Wait()
	_ = kernel.Close() // it may be closed already
	if ended || errors.Is(err, io.EOF) || errors.Is(err, os.ErrClosed) {
		return nil
	}
	return err
}

// pollEvery is how often a USB host asks a full-speed HID device (bInterval of 4 ms). One that
// reports faster than any USB device overruns the input layer's queue of 64 events.
const pollEvery = 4 * time.Millisecond

// uhidReports sends the device's reports to the kernel, no faster than a host would ask.
func uhidReports(ctx context.Context, kernel io.Writer, reports <-chan []byte) {
	poll := time.NewTicker(pollEvery)
	defer poll.Stop()
	for {
		select {
		case <-poll.C:
		case <-ctx.Done():
			return
		}
		select {
		case r := <-reports:
			r = r[:min(len(r), uhidDataMax)]
			event := binary.NativeEndian.AppendUint32(nil, uhidInput2)
			event = binary.NativeEndian.AppendUint16(event, uint16(len(r))) //nolint:gosec // at most 4096
			if _, err := kernel.Write(append(event, r...)); err != nil {
				return
			}
		case <-ctx.Done():
			return
		}
	}
}

// uhidHost answers what the host asks.
func uhidHost(kernel io.ReadWriter, m HIDModel) error {
	buf := make([]byte, uhidEventSize)
	for {
		n, err := kernel.Read(buf)
		if err != nil {
			return fmt.Errorf("hear the kernel: %w", err)
		}
		if reply := uhidAct(buf[:n], m); reply != nil {
			if _, err := kernel.Write(reply); err != nil {
				return fmt.Errorf("answer the kernel: %w", err)
			}
		}
	}
}

// uhidAct acts on one event of the kernel; the reply is nil where none is due.
func uhidAct(event []byte, m HIDModel) (reply []byte) {
	if len(event) < 4 {
		return nil
	}
	kind, body := binary.NativeEndian.Uint32(event), event[4:]
	switch {
	case kind == uhidOutput && len(body) >= uhidDataMax+3:
		n := min(int(binary.NativeEndian.Uint16(body[uhidDataMax:])), uhidDataMax)
		m.Output(bytes.Clone(body[:n]))
	case kind == uhidSetReport && len(body) >= 8:
		id := body[4]
		n := min(int(binary.NativeEndian.Uint16(body[6:])), len(body)-8)
		data := body[8 : 8+n]
		if id != 0 && len(data) > 0 && data[0] == id { // the kernel puts the id before the data
			data = data[1:]
		}
		m.SetFeature(id, bytes.Clone(data))
		reply = binary.NativeEndian.AppendUint32(nil, uhidSetReportReply)
		reply = binary.NativeEndian.AppendUint16(append(reply, body[:4]...), 0)
	case kind == uhidGetReport && len(body) >= 4: // none of the models has something to tell
		reply = binary.NativeEndian.AppendUint32(nil, uhidGetReportReply)
		reply = binary.NativeEndian.AppendUint16(append(reply, body[:4]...), uint16(syscall.EIO))
		reply = binary.NativeEndian.AppendUint16(reply, 0)
	}
	return reply
}

// uhidCreate is struct uhid_create2_req after its type.
func uhidCreate(descriptor []byte, id HIDIdentity) []byte {
	name := func(s string, room int) []byte {
		field := make([]byte, room)
		copy(field[:room-1], s)
		return field
	}
	e := binary.NativeEndian.AppendUint32(nil, uhidCreate2)
	e = append(e, name(id.Name, 128)...)
	e = append(e, name("dcpos-lab", 64)...)
	e = append(e, name(id.Serial, 64)...)
	e = binary.NativeEndian.AppendUint16(e, uint16(len(descriptor))) //nolint:gosec // checked by ServeUHID
	e = binary.NativeEndian.AppendUint16(e, busUSB)
	for _, n := range []uint32{uint32(id.Vendor), uint32(id.Product), 0x0100, 0} { // version 1.00, country 0
		e = binary.NativeEndian.AppendUint32(e, n)
	}
	return append(e, descriptor...)
}

// HIDNodes are the device files below /dev of the HID device with a serial number: of
// hidraw, and of the input layer where it is a keyboard. root is "/" on a real machine.
func HIDNodes(root, serial string) []string {
	var nodes []string
	events, _ := filepath.Glob(filepath.Join(root, "sys/bus/hid/devices/*/uevent")) // the pattern is right
	for _, file := range events {
		b, err := os.ReadFile(file) //nolint:gosec // of the kernel
		if err != nil || !strings.Contains(string(b), "HID_UNIQ="+serial+"\n") {
			continue
		}
		for pattern, folder := range map[string]string{"hidraw/hidraw*": "/dev", "input/input*/event*": "/dev/input"} {
			found, _ := filepath.Glob(filepath.Join(filepath.Dir(file), pattern)) // likewise
			for _, f := range found {
				nodes = append(nodes, filepath.Join(folder, filepath.Base(f)))
			}
		}
	}
	return nodes
}
