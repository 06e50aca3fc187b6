// Package salvage is the file in which the readable entries of a damaged journal travel
// to the centre, with the gaps named. Entries prove themselves by hash and signature;
// the file's own hash only tells a file that was cut or changed on the way.
package salvage
