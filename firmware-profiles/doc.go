// Package profiles is the models of devices and the classes of terminals as data:
// <kind>/<model>.yaml says how a model is recognised, what it can do and where it
// lies, each with source and confidence; <class>.yaml says which devices and which
// screen a class of terminal has, and its defaults.
//
// A profile never names a port: which box hangs where is the terminal's own
// configuration (drivers.DeviceConfig).
//
// To add a model: copy <kind>/_blueprint.yaml, fill it in, and run this package's
// tests: they open every file and build its driver. Files that begin with "_" are
// blueprints and are not shipped.
package profiles
