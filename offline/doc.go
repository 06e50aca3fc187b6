// Package offline is the till's memory: one SQLite file with an append-only,
// hash-chained, signed journal that is also the outbox to the centre.
//
// Nothing is acknowledged before it is on the disk: Update returns after the
// commit's fsync or returns an error. DESIGN.md tells why one table is enough, what
// the order of a commit guarantees and what happens on each failure. To add a kind of
// entry, add it to pos and pos/dcep; to add a column, add a migration to file/schema
// and raise projectionVersion.
package offline
