// Package usbip is the device side of USB, spoken in the USB/IP protocol: a modelled
// device of lab/device is wrapped into a USB function (printer class, CDC-ACM, HID,
// CCID) and plugged into the kernel's virtual host controller, vhci-hcd. The kernel's
// own drivers and libusb then find a device that they cannot tell from a real one; it
// can be pulled out at any moment.
//
// Like every model it shares no code with what it judges: descriptors, requests and
// packets are written down from the standards.
//
// To add a device class: a type that implements Function. To plug one in: Plug (it
// needs root and vhci-hcd, so in the kernel guest of e2e/usb), or Serve on any stream
// whose other end speaks the host's side.
//
// Sources: Documentation/usb/usbip_protocol.rst of the Linux kernel; USB 2.0 chapter 9;
// the class documents that each file names.
package usbip
