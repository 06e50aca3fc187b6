// Package scanner reads bar code scanners that hang on a serial line (or on USB as
// one) and says what a code is for.
//
// Framing is data (profiles.Framing): how a code begins and ends differs from model
// to model and by the setting of the box. The router's table of payment codes is
// Rules; a further scheme is a further row.
package scanner
