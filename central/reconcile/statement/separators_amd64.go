package statement

// separators looks at words times 64 bytes: bit i of a word of commas, ends and odd
// says that byte i is a comma, a LF, or a control or non-ASCII byte that is not a LF.
//
//go:noescape
func separators(data *byte, words int, commas, ends, odd *uint64)
