// Package office runs campaigns: it publishes a definition, closes registration, draws
// and hands the bundle out, each step with the witness's signature at its time.
//
// A step writes down what it decided before anybody outside is told, and may be taken
// again after any interruption: the same step gives the same bytes. Times are the
// witness's: what she saw too late is refused here already, for no draw would verify.
//
//	Publish  definition, terms and budget in one transaction; terms co-signed before
//	         registration opens, or it never does
//	Close    list of entries frozen and co-signed after the close and before the round
//	Draw     result from the beacon's round, co-signed, and the bundle sealed
//
// Run does what needs no decision: it closes in time, makes up for a witness that could
// not be reached, and destroys personal data when it is due. DESIGN.md gives the reasons.
package office
