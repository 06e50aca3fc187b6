package statement

import "io"

// Window reads a text again at positions that mostly ascend. Where one follows closely on another,
// all that lies there is read at once, so that many lines cost no more than reading the text
// a second time; where they are far apart, nothing is read for nothing. One goroutine uses it.
type Window struct {
	text io.ReaderAt
	b    []byte
	from int64 // of b in the text
	last int64 // where the last read ended
}

const (
	windowBytes = 64 << 10
	windowNear  = 4 << 10
)

// NewWindow opens a window on a text.
func NewWindow(text io.ReaderAt) *Window { return &Window{text: text} }

// ReadAt implements io.ReaderAt.
func (w *Window) ReadAt(b []byte, at int64) (int, error) {
	if from := at - w.from; from >= 0 && from+int64(len(b)) <= int64(len(w.b)) {
		return copy(b, w.b[from:]), nil
	}
	near := at >= w.from && at < w.last+windowNear
	if w.last = at + int64(len(b)); !near || len(b) > windowBytes {
		return w.text.ReadAt(b, at)
	}
	if w.b == nil {
		w.b = make([]byte, 0, windowBytes)
	}
	n, err := w.text.ReadAt(w.b[:windowBytes], at)
	w.b, w.from = w.b[:n], at
	if n = copy(b, w.b); n < len(b) {
		return n, err
	}
	return n, nil
}
