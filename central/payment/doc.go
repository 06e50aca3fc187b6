// Package payment asks the operating institutions for money, once per payment, and
// queries until the answer is final.
//
// A payment is written down before its institution is asked, so that a centre that
// dies at any moment goes on where it was: what is not final has a time at which it
// is asked about again (1, 2, 3, 5, 8 … 60 s, kept in the store). Everything that an
// answer changes — state, ledger, verdict to the till — is one transaction, and a
// second answer changes nothing.
//
// What happens to a payment whose row stands here:
//
//	asking   → paid | declined | unknown | abandoned
//	unknown  → paid | declined | abandoned
//	abandoned: watched until its validity plus a margin; money that comes is late,
//	           lies in suspense and is refunded by itself
//	accepted_evidence → credited | refused | conflict
//
// A payment that a till names but that has no row here was never started by this
// database. All institutions are asked about it (the database may have been
// restored), and its row keeps a belated question from being started.
//
// The refund of a late payment has the id LateRefund(payment): whoever does it, and
// however often, it is the same refund.
package payment
