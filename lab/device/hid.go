package device

import "time"

// HIDModel is a modelled HID device. What plugs it in (a USB gadget of the kernel
// guest, an in-memory hidraw) takes its reports and gives it the host's.
//
// Reports are as hidraw shows them: a report's id is their first byte where the report
// descriptor has ids, and there is none where it has not.
type HIDModel interface {
	// ReportDescriptor is the device's report descriptor (HID 1.11, 6.2.2).
	ReportDescriptor() []byte
	// Reports are the input reports, one by one, in order. The channel is never closed.
	Reports() <-chan []byte
	// SetFeature takes a feature report of the host; data is without the id.
	SetFeature(id byte, data []byte)
	// Output takes an output report of the host, with its id where there are ids.
	Output(report []byte)
}

// reportQueue is how many reports wait for the host before a scan fails.
const reportQueue = 4096

// send queues reports for the host; a device whose host takes none is not connected.
func send(to chan<- []byte, reports ...[]byte) error {
	timer := time.NewTimer(connectWait)
	defer timer.Stop()
	for _, r := range reports {
		select {
		case to <- r:
		case <-timer.C:
			return ErrNotConnected
		}
	}
	return nil
}
