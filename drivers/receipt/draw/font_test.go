package draw

import (
	"bytes"
	"testing"

	"dcpos/drivers/receipt"
)

// FuzzFont reads files that are none and draws with them: nothing may panic.
func FuzzFont(f *testing.F) {
	f.Add([]byte("ttcf\x00\x01\x00\x00\x00\x00\x00\x01\x00\x00\x00\x10\x00\x01\x00\x00\x00\x01\x00\x00\x00\x00\x00\x00head\x00\x00\x00\x00\x00\x00\x00\x01\x00\x00\x00\x04abcdef"))
	f.Fuzz(func(_ *testing.T, data []byte) {
		if len(data) > 512 {
			return // longer ones only take longer
		}
		o, err := outlinesIn(bytes.NewReader(data))
		if err != nil {
			return
		}
		font := &Font{open: []*outlines{o}, cells: map[rune]cell{}, known: map[rune]*outlines{}}
		_, _, _ = font.Line(receipt.Line{Text: "元A"})
	})
}
