//go:build !amd64

package separators

func find(text []byte, all, ends []uint32, odd []uint64) (nAll, nEnds int) {
	return findPlain(text, all, ends, odd)
}
