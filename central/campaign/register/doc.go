// Package register takes registrations for a campaign: one person, one phone, one
// entry, and a signed receipt by which an entrant can prove that her ticket must be in
// the list of the draw, without anybody learning who she is.
//
// The way: Register checks window, document, phone, institution and place, and sends a
// confirmation code by SMS; Confirm turns code into entry, ticket and receipt; Locate
// takes a better position while the place is open; Find answers whoever has the query
// code; Freeze writes the list when the window has closed; Destroy forgets who it was.
//
// All that names a person hangs on one random key of the campaign: keyed hashes of
// identity and phone, the encrypted personal data, the codes. Destroying it leaves
// tickets that nobody can connect with anybody, and a draw that still verifies.
//
// Plausibility scores stand beside the entry with their reasons. They change neither
// verdict nor odds: who is refused is refused openly, with a reason.
//
// To add a document, add its form to ParseIdentity and its kind to campaign.Documents.
package register
