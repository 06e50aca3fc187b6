package bench

import (
	"fmt"
	"io"
	"strconv"
	"strings"
	"text/tabwriter"
)

// Print writes the figures as a table, the meaning of each in the language ("zh" or "en").
func Print(out io.Writer, figures []Figure, lang string) error {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	bench := ""
	for _, f := range figures {
		if f.Bench != bench {
			bench = f.Bench
			if _, err := fmt.Fprintf(w, "%s\t\t\t\t\n", bench); err != nil {
				return err
			}
		}
		peer, ratio := "", ""
		if f.Peer != nil {
			peer, ratio = number(f.Peer.Value)+" "+f.Peer.Name, "×"+number(f.Ratio)
		}
		cells := []string{"  " + f.Name, number(f.Value) + " " + f.Unit, ratio, peer, f.Means.In(lang)}
		if _, err := fmt.Fprintln(w, strings.Join(cells, "\t")); err != nil {
			return err
		}
	}
	return w.Flush()
}

// number has three digits that count.
func number(v float64) string {
	switch {
	case v >= 1000:
		return group(strconv.FormatFloat(v, 'f', 0, 64))
	case v >= 100:
		return strconv.FormatFloat(v, 'f', 0, 64)
	case v >= 10:
		return strconv.FormatFloat(v, 'f', 1, 64)
	default:
		return strconv.FormatFloat(v, 'f', 2, 64)
	}
}

// group puts a comma before every three digits.
func group(digits string) string {
	if len(digits) <= 3 {
		return digits
	}
	return group(digits[:len(digits)-3]) + "," + digits[len(digits)-3:]
}
