package statement

// separatorsOf is separators without vector instructions: for other processors, and
// what the tests hold the fast one to.
func separatorsOf(data []byte, commas, ends, odd []uint64) {
	for w := range commas {
		var c, e, o uint64
		for i, b := range data[w*64 : w*64+64] {
			bit := uint64(1) << i
			switch {
			case b == ',':
				c |= bit
			case b == '\n':
				e |= bit
			case b < ' ' || b >= 0x80:
				o |= bit
			}
		}
		commas[w], ends[w], odd[w] = c, e, o
	}
}
