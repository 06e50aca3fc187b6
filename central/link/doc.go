// Package link is the centre's end of the road: the conveyor (NATS JetStream, embedded
// or external), who may use it, the taking in of journals, marks and receipts, and the
// tills' questions.
//
// The conveyor is never the record: a message is acknowledged after the database has
// it, and a till may forget only what a receipt names. DESIGN.md tells the rules.
package link
