// Package draw decides who gets an envelope, in the open: "draw-v1".
//
// Everything that decides is fixed before the randomness exists, and everything is
// published, so that anybody can do it again (Verify) with nothing but the files:
//
//	terms.json       what is drawn, for whom, with which round of which public beacon
//	entries.csv      one line an entry: ticket, stratum, institution; no personal data
//	log.jsonl        what was decided, in order: terms, list, result, advances
//	checkpoint-N.txt the log's tree after N records, signed by the publisher and
//	                 co-signed by the witness with her clock
//	round.json       the beacon's round
//	winners.csv, waiting.csv, transcript.json
//	manifest.json    name, size and hash of every file; manifest.txt signs it
//
// Order is what makes it fair: the terms are witnessed before registration opens, the
// list before the round exists; neither drawing nor verification goes on without it.
// DESIGN.md gives the reasons, docs/PROTOCOL.md the bytes.
//
// To change the algorithm, add "draw-v2" beside it: what was drawn stays verifiable.
package draw
