package statement

import (
	"bytes"
	"errors"
	"io"
	"testing"

	"pgregory.net/rapid"
)

// TestWindowShowsTheText reads at all kinds of positions, ascending and not, near and far.
func TestWindowShowsTheText(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		text := bytes.Repeat([]byte("0123456789abcdefghijklmnopqrstuvwxyz"), rapid.IntRange(0, 8000).Draw(rt, "text"))
		w, plain := NewWindow(bytes.NewReader(text)), bytes.NewReader(text)
		at := int64(0)
		for range 50 {
			at = max(at+rapid.OneOf(rapid.Int64Range(0, 2000), rapid.Int64Range(-100_000, 100_000)).Draw(rt, "step"), 0)
			n := rapid.OneOf(rapid.IntRange(0, 2000), rapid.Just(windowBytes+1)).Draw(rt, "size")
			got, want := make([]byte, n), make([]byte, n)
			gotN, gotErr := w.ReadAt(got, at)
			wantN, wantErr := plain.ReadAt(want, at)
			if gotN != wantN || errors.Is(gotErr, io.EOF) != errors.Is(wantErr, io.EOF) && n > 0 || !bytes.Equal(got, want) {
				rt.Fatalf("%d bytes at %d of %d: %d %v, want %d %v", n, at, len(text), gotN, gotErr, wantN, wantErr)
			}
		}
	})
}
