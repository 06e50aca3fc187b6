// Package pcsc tests contactless readers behind a real PC/SC daemon with a virtual reader:
// taps, removals, a daemon that is killed, restarted or stopped.
package pcsc
