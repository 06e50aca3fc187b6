// Package drivers holds the contracts of the devices at a till, in the terms of
// UnifiedPOS: a device is opened, claimed, enabled, used, released and closed;
// it tells its State, its health and its statistics; its errors are ErrorCodes.
// Categories: Scanner, POSPrinter, CashDrawer, LineDisplay, SmartCardRW, ToneIndicator.
//
// Three things are kept apart. A driver (a folder below this one) knows a
// language, such as ESC/POS. A profile (firmware-profiles) knows a model: what it
// can do and where it lies. A DeviceConfig says which box stands here and which
// port it hangs on.
//
// To add a driver: a folder named after the language or the category, a type that
// implements the contract, the suite of package drivertest in its test, and its
// line in package all. To add a category: its contract in a file here, named
// after the noun, with the numbers of the standard.
package drivers
