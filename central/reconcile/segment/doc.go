// Package segment keeps what a reconciliation in parts is made of: immutable objects (texts
// of statements, partitioned records, results) under names that follow from their content,
// in a folder or behind an HTTP address, and the fingerprints by which a text is known
// again. Everything that is read is compared with the hash that its name or its index
// promises, whatever lies between.
//
// To add a place where objects are kept, implement Store and run the tests' suite over it.
package segment
