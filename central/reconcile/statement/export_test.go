package statement

import (
	"bufio"
	"io"
)

// asStream makes a plain file be read the way a pipe is.
func (f *File) asStream() {
	f.Plain = false
	f.stream = bufio.NewReaderSize(io.NewSectionReader(f.file, f.start, f.Size-f.start), MaxLine+4)
}
