// Package device models the devices at a till: a receipt printer that understands
// ESC/POS and draws what is on its paper, bar code scanners on a serial line, in HID-POS
// mode and as a keyboard, contactless readers with cards, customer displays. One model
// serves the fast tests (in memory, by Pipe), the benches and the demo (on a pty, by
// NewPTY; by Socket where it is plugged and pulled), the kernel guest, and for HID devices
// any Linux that lets a program play them (ServeUHID).
//
// The models are oracles: they share no code with the drivers, only what the standards
// say. The printer answers truthfully for its state, and its state can be made bad: no
// paper, cover open, silent, stalled.
//
// To add a device: a type with a Serve method that talks on an io.ReadWriteCloser
// until the context ends; a HID device is a HIDModel.
package device
