// Package salvage is the file in which entries of a journal travel to the centre when the till cannot: the
// readable ones of a damaged journal with the gaps named (plain), or all that the centre lacks of a till that will
// never come online again (sealed: a plain file inside, encrypted to the centre and signed by the terminal).
// Entries prove themselves by hash and signature; a plain file's own hash only tells a file that was cut or
// changed on the way.
package salvage
