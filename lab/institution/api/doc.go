// Package api holds what travels between a simulated operating institution and
// its callers: requests, answers, faults, and the strict reading of both.
//
// Bodies are JSON in UTF-8, amounts integers of fen, times Unix milliseconds. The
// interfaces of real institutions are not public; this one is ours and stands in
// for them. To add an operation, add its request with a Check and its answer here,
// then its booking in books and its route in institution.
package api

// KeyHeader carries the institution's API key in every request under its path.
const KeyHeader = "X-Dcpos-Key"
