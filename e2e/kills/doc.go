// Package kills holds tests only: whole programs that are killed, forked, restored
// from a backup or answered too late while customers pay, judged from outside by
// lab/drill. They need no root. DCPOS_BIN names a folder with the four programs;
// without it they are built. Each test prints the seed that repeats its choices;
// -seed gives one. "poslab kill" is the long form.
package kills
