package usb

import (
	"bytes"
	"context"
	"errors"
	"testing"

	"github.com/google/gousb"

	"dcpos/drivers/transport"
)

func bulk(number int, dir gousb.EndpointDirection) gousb.EndpointDesc {
	return gousb.EndpointDesc{Number: number, Direction: dir, TransferType: gousb.TransferTypeBulk, MaxPacketSize: 64}
}

func setting(number, alternate int, class gousb.Class, protocol gousb.Protocol, endpoints ...gousb.EndpointDesc) gousb.InterfaceSetting {
	s := gousb.InterfaceSetting{Number: number, Alternate: alternate, Class: class, Protocol: protocol, Endpoints: map[gousb.EndpointAddress]gousb.EndpointDesc{}}
	for _, e := range endpoints {
		s.Endpoints[gousb.EndpointAddress(e.Number)|gousb.EndpointAddress(map[bool]int{true: 0x80}[bool(e.Direction)])] = e
	}
	return s
}

func described(settings ...gousb.InterfaceSetting) *gousb.DeviceDesc {
	c := gousb.ConfigDesc{Number: 1}
	for _, s := range settings {
		c.Interfaces = append(c.Interfaces, gousb.InterfaceDesc{Number: s.Number, AltSettings: []gousb.InterfaceSetting{s}})
	}
	return &gousb.DeviceDesc{Vendor: 0x28e9, Product: 0x0289, Configs: map[int]gousb.ConfigDesc{1: c}}
}

func TestEndpointsComeFromTheDescriptors(t *testing.T) {
	const out, in = gousb.EndpointDirectionOut, gousb.EndpointDirectionIn
	both := setting(0, 0, gousb.ClassPrinter, 2, bulk(3, out), bulk(1, in))
	oneWay := setting(1, 0, gousb.ClassPrinter, 1, bulk(2, out))
	vendor := setting(2, 0, gousb.ClassVendorSpec, 0, bulk(4, out))
	keyboard := setting(3, 0, gousb.ClassHID, 1)
	for _, tc := range []struct {
		name string
		desc *gousb.DeviceDesc
		want Want
		out  int
		in   int
		ok   bool
	}{
		{"bidirectional", described(both), Want{}, 3, 1, true},
		{"bidirectional before one-way", described(oneWay, keyboard, both), Want{}, 3, 1, true},
		{"one-way", described(oneWay), Want{}, 2, 0, true},
		{"vendor-specific only when named", described(vendor), Want{}, 4, 0, false},
		{"vendor-specific and named", described(vendor), Want{Config: 1, Interface: 2}, 4, 0, true},
		{"the profile overrides", described(both, oneWay), Want{Config: 1, Interface: 1}, 2, 0, true},
		{"no printer", described(keyboard), Want{}, 0, 0, false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			p, ok := choose(tc.desc, tc.want)
			if p.out != tc.out || p.in != tc.in || ok != tc.ok {
				t.Errorf("got %+v %v", p, ok)
			}
		})
	}
}

func TestMatch(t *testing.T) {
	d := described(setting(0, 0, gousb.ClassPrinter, 2, bulk(3, gousb.EndpointDirectionOut)))
	for _, tc := range []struct {
		ids  []ID
		want bool
	}{
		{nil, true},
		{[]ID{{"28e9", "0289"}}, true},
		{[]ID{{"28E9", "*"}}, true},
		{[]ID{{"04b8", "*"}, {"28e9", "0289"}}, true},
		{[]ID{{"28e9", "0288"}}, false},
		{[]ID{{"zzzz", "0289"}}, false},
	} {
		if got := (Match{IDs: tc.ids}).fits(d, Printer); got != tc.want {
			t.Errorf("%v: got %v", tc.ids, got)
		}
	}
}

func TestErrorsOfTheLibraryAreMapped(t *testing.T) {
	live := &conn{closing: make(chan struct{})}
	for _, err := range []error{gousb.TransferNoDevice, gousb.ErrorNoDevice, gousb.TransferError, gousb.ErrorIO} {
		if got := live.why(t.Context(), err); !errors.Is(got, transport.ErrGone) {
			t.Errorf("%v: got %v, want ErrGone", err, got)
		}
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if got := live.why(ended, gousb.TransferCancelled); !errors.Is(got, context.Canceled) {
		t.Errorf("cancelled: got %v", got)
	}
	if got := live.why(t.Context(), gousb.TransferStall); errors.Is(got, transport.ErrGone) || !errors.Is(got, gousb.TransferStall) {
		t.Errorf("stall: got %v", got)
	}
	if got := live.why(t.Context(), gousb.TransferTimedOut); !errors.Is(got, context.DeadlineExceeded) {
		t.Errorf("timed out: got %v", got)
	}
	close(live.closing)
	if got := live.why(t.Context(), gousb.TransferCancelled); !errors.Is(got, transport.ErrClosed) {
		t.Errorf("closed: got %v", got)
	}
	for err, want := range map[error]error{
		gousb.ErrorAccess: transport.ErrAccess, gousb.ErrorBusy: transport.ErrInUse, gousb.ErrorNoDevice: transport.ErrNotFound,
	} {
		if got := reason(err); !errors.Is(got, want) {
			t.Errorf("%v: got %v", err, got)
		}
	}
}

func TestNoSuchDevice(t *testing.T) {
	_, err := Open(t.Context(), Match{IDs: []ID{{"fffe", "fffe"}}}, Want{})
	if !errors.Is(err, transport.ErrNotFound) {
		t.Errorf("got %v, want ErrNotFound", err)
	}
}

func TestPortIsNamedAsTheKernelDoes(t *testing.T) {
	d := &gousb.DeviceDesc{Bus: 1, Path: []int{1, 4}, Vendor: 0x04b8, Product: 0x0202}
	if got := portName(d); got != "1-1.4" {
		t.Fatal(got)
	}
	m := Match{IDs: []ID{{VID: "04b8", PID: "0202"}}, Port: "1-1.4"}
	if !m.fits(d, Printer) {
		t.Error("the socket that was asked for")
	}
	if m.Port = "1-2"; m.fits(d, Printer) {
		t.Error("another socket")
	}
}

func interrupt(number int) gousb.EndpointDesc {
	return gousb.EndpointDesc{Number: number, Direction: gousb.EndpointDirectionIn, TransferType: gousb.TransferTypeInterrupt, MaxPacketSize: 8}
}

// A box with several functions gives each its own interface.
func TestFunctionsAreToldApart(t *testing.T) {
	const out, in = gousb.EndpointDirectionOut, gousb.EndpointDirectionIn
	printer := setting(0, 0, gousb.ClassPrinter, 2, bulk(1, out), bulk(1, in))
	reader := setting(1, 0, gousb.ClassSmartCard, 0, bulk(2, out), bulk(2, in), interrupt(3))
	oneWay := setting(2, 0, gousb.ClassSmartCard, 0, bulk(4, out))
	vendor := setting(3, 0, gousb.ClassVendorSpec, 0, bulk(5, out), bulk(5, in))
	for _, tc := range []struct {
		name                   string
		desc                   *gousb.DeviceDesc
		want                   Want
		number, out, interrupt int
		ok                     bool
	}{
		{"printer of both", described(reader, printer), Want{}, 0, 1, 0, true},
		{"reader of both", described(printer, reader), Want{Function: ChipCard}, 1, 2, 3, true},
		{"a printer is no reader", described(printer), Want{Function: ChipCard}, 0, 1, 0, false},
		{"a reader is no printer", described(reader), Want{}, 1, 2, 3, false},
		{"a reader answers", described(oneWay), Want{Function: ChipCard}, 0, 0, 0, false},
		{"an old reader where the profile places it", described(vendor), Want{Function: ChipCard, Config: 1, Interface: 3}, 3, 5, 0, true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			p, ok := choose(tc.desc, tc.want)
			if ok != tc.ok || ok && (p.number != tc.number || p.out != tc.out || p.interrupt != tc.interrupt) {
				t.Errorf("got %+v %v", p, ok)
			}
		})
	}
}

func TestClassDescriptors(t *testing.T) {
	configuration := []byte{
		9, 2, 0, 0, 2, 1, 0, 0x80, 50,
		9, 4, 0, 0, 1, 7, 1, 2, 0, 7, 5, 1, 2, 64, 0, 0,
		9, 4, 1, 0, 3, 0x0B, 0, 0, 0, 4, 0x21, 1, 2, 3, 0x24, 9, 7, 5, 0x81, 3, 8, 0, 16, 3, 0x30, 5,
		9, 4, 1, 1, 0, 0x0B, 0, 0, 0, 3, 0x21, 7,
	}
	for _, tc := range []struct {
		number, alternate int
		want              []byte
	}{{1, 0, []byte{4, 0x21, 1, 2, 3, 0x24, 9}}, {1, 1, []byte{3, 0x21, 7}}, {0, 0, nil}, {5, 0, nil}} {
		if got := classDescriptors(configuration, tc.number, tc.alternate); !bytes.Equal(got, tc.want) {
			t.Errorf("%d.%d: got % x", tc.number, tc.alternate, got)
		}
	}
}

func FuzzClassDescriptors(f *testing.F) {
	f.Add([]byte{9, 2, 0, 0, 2, 1, 0, 0x80, 50, 9, 4, 1, 0, 3, 0x0B, 0, 0, 0, 4, 0x21, 1, 2}, 1)
	f.Add([]byte{0, 4}, 0)
	f.Fuzz(func(t *testing.T, b []byte, number int) {
		if len(b) > 256 {
			return // longer ones only take longer
		}
		if got := classDescriptors(b, number, 0); len(got) > len(b) {
			t.Fatalf("%d bytes of %d", len(got), len(b))
		}
	})
}
