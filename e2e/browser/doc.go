// Package browser drives the till's pages in a real browser: the local API over a
// test shop on a loopback port, and headless Chromium that types, clicks and reads as
// a cashier or a customer does. Each journey leaves screenshots in the test's
// artifacts (go test -artifacts -outputdir DIR).
package browser
