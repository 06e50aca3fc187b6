// Package ledger is the centre's double entry: every transaction's postings sum to
// zero, a key is posted once, and what is written stays.
//
// Amounts are fen; a claim of ours is positive, a debt of ours negative. The rules
// (rules.go) are pure: from a payment and what happened to it they say what to post.
// To add one: a function that returns a Transaction with a key of its own, and its
// line in docs/PROTOCOL.md.
package ledger
