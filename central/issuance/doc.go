// Package issuance knows a red envelope's life and how payments and refunds are split
// between envelopes and a wallet's own money.
//
// Everything here is pure: it changes values and does no I/O. The rules are those of
// the published notices (Luohu 2020, Futian 2021): envelopes are spent before own
// money, over as many payments as it takes; a refund gives own money back first, then
// the envelopes, the one spent last first; what comes back after expiry is recalled.
package issuance
