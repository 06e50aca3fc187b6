// Package issuance gives red envelopes out, books what is spent of them, and takes back
// what is not.
//
// envelope.go and split.go are pure rules, those of the published notices (Luohu 2020,
// Futian 2021): envelopes are spent before own money, over as many payments as it takes; a
// refund gives own money back first, then the envelopes, the one spent last first; what
// comes back after expiry is recalled. The Desk does the work in rounds that go on where
// a killed process stopped. DESIGN.md tells the whole.
package issuance
