// Package store keeps what the centre knows in SQL: SQLite (embedded default) or
// PostgreSQL and what speaks its protocol.
//
// It is the only room that imports the nouns of the centre; a noun states the store it
// needs as an interface and never imports this package. To add a noun: a file named
// after it here, its tables in migrations/NNNN_noun.sql (numbers once used never
// change), its methods on *Tx when other nouns call them inside their own transaction,
// otherwise on an adapter that an accessor on Store returns. DESIGN.md has the rules.
package store
