// Package profiles is the models of devices and the classes of terminals as data:
// <kind>/<model>.yaml says how a model is recognised, what it can do and where it
// lies, each with source and confidence; <class>.yaml says which devices and which
// screen a class of terminal has, and its defaults.
//
// A profile never names a port: which box hangs where is the terminal's own
// configuration (drivers.DeviceConfig). Identify tells which profiles may be right for a
// plugged device, Draft begins one for a device that is not known, WriteUdev and
// WriteModprobe make what the operating system needs to hand the devices over.
//
// To add a model: README.md. Files that begin with "_" are blueprints and are not
// shipped; schema/ and testdata/ are generated (go test -update).
package profiles
