// Package sign is HTTP message signatures (RFC 9421) in the one profile that web shops
// speak: Ed25519, the body by its Content-Digest (RFC 9530), fixed covered parts, one
// signature, named "dcpos". docs/PROTOCOL.md §10.1 says it byte by byte.
//
// A reader believes what is covered and nothing else; what is not of the profile is
// refused, with the reason, before any key is looked up.
package sign
