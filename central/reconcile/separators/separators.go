// Package separators finds the commas and line ends of text, 64 bytes a step: what every
// reader of CSV begins with, and so a package of its own, which the bare scan of the
// benchmark uses as well.
package separators

// Padding is how many bytes behind a text must be readable: Find looks at whole steps.
const Padding = step

const step = 64

// Found is what a text holds. Its memory is used again by the next Find.
type Found struct {
	// All are the positions of every comma and LF, ascending.
	All []uint32
	// Ends are the positions of the LFs among them.
	Ends []uint32

	odd []uint64
}

// Find looks through the text. Its capacity must be Padding above its length, and
// its length below 4 GiB.
func (f *Found) Find(text []byte) {
	steps := (len(text) + step - 1) / step
	if len(f.odd) < steps || len(f.odd) == 0 {
		const behind = 8                        // positions are written eight at a time
		f.odd = make([]uint64, steps+steps/8+1) // the next text may be a little longer
		f.All = make([]uint32, 0, len(f.odd)*step+behind)
		f.Ends = make([]uint32, 0, len(f.odd)*step+behind)
	}
	f.All, f.Ends = f.All[:cap(f.All)], f.Ends[:cap(f.Ends)]
	all, ends := 0, 0
	if steps > 0 {
		all, ends = find(text[:steps*step], f.All, f.Ends, f.odd[:steps])
	}
	f.All, f.Ends = within(f.All[:all], len(text)), within(f.Ends[:ends], len(text))
	if rest := len(text) % step; rest != 0 {
		f.odd[steps-1] &= 1<<rest - 1
	}
}

// Odd has a word for every 64 bytes of the text: bit i of it says that byte i is not a
// printable ASCII character nor a LF.
func (f *Found) Odd(text []byte) []uint64 { return f.odd[:(len(text)+step-1)/step] }

// within drops the positions behind the text.
func within(positions []uint32, n int) []uint32 {
	for len(positions) > 0 && int(positions[len(positions)-1]) >= n {
		positions = positions[:len(positions)-1]
	}
	return positions
}

// findPlain is find without vector instructions: for other processors, and what the tests
// hold the fast one to.
func findPlain(text []byte, all, ends []uint32, odd []uint64) (nAll, nEnds int) {
	for w := range odd {
		odd[w] = 0
		for i, b := range text[w*step : w*step+step] {
			switch at := uint32(w*step + i); {
			case b == ',':
				all[nAll] = at
				nAll++
			case b == '\n':
				all[nAll], ends[nEnds] = at, at
				nAll++
				nEnds++
			case b < ' ' || b >= 0x80:
				odd[w] |= 1 << i
			}
		}
	}
	return nAll, nEnds
}
