// Package nfc drives contactless readers (UnifiedPOS SmartCardRW): the life cycle, taps,
// follow-up of APDUs, lights and sounds, and healing are here once; a Port below says how
// a reader is spoken to: nfc/ccid (USB chip card interface), nfc/pcsc (the PC/SC daemon),
// nfc/pn532 (the chip on a serial line).
//
// SelectApplication finds the application on a card that a wallet kernel can talk to.
//
// To add a language: a folder with a type that implements Port and a func that makes a
// Dial of a profile, the suite drivertest.RunNFCReader in its test, and its line in
// package all.
package nfc
