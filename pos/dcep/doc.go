// Package dcep holds everything that is hashed or signed: canonical bytes, the
// journal's chain, two signature suites, certificates, and offline evidence.
//
// It does no I/O. Two programs that agree on this package agree on money, so each
// format has a version in its domain string and test vectors in testdata; a change
// of bytes is a new domain, never an edit. docs/PROTOCOL.md describes the bytes.
package dcep
