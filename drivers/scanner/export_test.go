package scanner

import (
	"time"

	"dcpos/drivers/scanner/framing"
	profiles "dcpos/firmware-profiles"
)

// Typed gives the good codes of events that are read in pieces of the lengths that cut
// chooses from what is left.
func Typed(in []byte, cut func(rest int) int) []string {
	k := &keyboard{Framer: framing.New(profiles.Framing{End: []string{"\r"}, MaxBytes: 4096, StaleMS: 5000}, nil)}
	at := time.Unix(1, 0)
	var out []string
	for len(in) > 0 {
		n := cut(len(in))
		for _, e := range k.Feed(in[:n], at) {
			if e.Err == nil {
				out = append(out, e.Data.Text())
			}
		}
		in = in[n:]
	}
	return out
}
