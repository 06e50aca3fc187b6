// Package scanner reads bar code scanners. What a code is for, package router says.
//
// A scanner reaches a till in three ways, each with a decoder of its own behind the same
// life cycle:
//
//	New          a serial line, or USB as one: framing is data (profiles.Framing), or learned (package framing)
//	NewHIDPOS    HID-POS, usage page 8C: reports say where a code ends and what it is printed as
//	NewKeyboard  a scanner that types: the kernel's events of a grabbed device
//
// HID-POS is the best of them, the serial line the second best; a keyboard is for boxes
// that can do nothing else.
//
// A scanner that is set wrongly is told from one that is silent: CheckHealth and one
// event say in two languages what was seen and what to set (package framing). A code whose
// middle was lost is never delivered in part: it is dropped and counted.
package scanner
