// Package linedisplay drives customer displays: the few characters, or the eight
// digits, that face the customer. They hang on a serial line (or a USB bridge) and
// answer nothing, so what is known of one is whether its port is still there.
//
// A display's language is its profile's: epson-dm (DM-D series, ESC/POS for displays),
// cd5220 (the mode that most displays made in Taiwan and China know), led8 (digits).
//
// To add a language: its type beside those in language.go, its line in speak, its name
// in the profile's rules, and its golden bytes in the test.
package linedisplay
