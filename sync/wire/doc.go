// Package wire holds the subjects and messages between till and centre, version 1.
//
// Every message is canonical CBOR (pos/dcep) of one of the types here; a map key
// that a reader does not know is ignored, so that fields can be added. A change of
// meaning is a new version in the subject. docs/PROTOCOL.md is the prose of it.
package wire
