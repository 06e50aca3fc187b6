// Package campaign knows what a red-envelope campaign is: who may register and when,
// how many envelopes of which face, when and where they can be spent, and whose money
// it is.
//
// A campaign is data. The six of the pilot are embedded from definitions/; to add one,
// write a YAML file of the same shape. Windows differ from source to source, so they
// are never constants in code; each definition names its sources.
package campaign
