//go:build !amd64

package statement

import "unsafe"

// separators looks at words times 64 bytes: bit i of a word of commas, ends and odd
// says that byte i is a comma, a LF, or a control or non-ASCII byte that is not a LF.
func separators(data *byte, words int, commas, ends, odd *uint64) {
	separatorsOf(unsafe.Slice(data, words*64), unsafe.Slice(commas, words), unsafe.Slice(ends, words), unsafe.Slice(odd, words))
}
