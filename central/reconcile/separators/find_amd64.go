package separators

import "golang.org/x/sys/cpu"

var vectors = cpu.X86.HasAVX2 && cpu.X86.HasBMI1 && cpu.X86.HasPOPCNT

// find writes the positions of a text of whole steps. All and ends have room for every byte
// and eight more.
func find(text []byte, all, ends []uint32, odd []uint64) (nAll, nEnds int) {
	if !vectors {
		return findPlain(text, all, ends, odd)
	}
	return findAVX2(&text[0], len(odd), &all[0], &ends[0], &odd[0])
}

//go:noescape
func findAVX2(text *byte, steps int, all, ends *uint32, odd *uint64) (nAll, nEnds int)
