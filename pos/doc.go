// Package pos holds the words of the house: the types that cross two rooms.
//
// It imports nothing but the standard library and does no I/O: no clock, no
// randomness, no files. Time and random bytes come in as arguments. To add a
// word, add a file named after the noun and its line in docs/TERMS.md.
package pos
