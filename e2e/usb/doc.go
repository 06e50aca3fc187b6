// Package usb holds tests only: drivers and whole programs on the USB stack of a real
// kernel. One machine is booted (internal/guest) and this test binary runs in it again;
// modelled devices (lab/usbip) are plugged into its kernel and pulled out of it. Every
// sub-test of the guest is a sub-test here.
package usb
