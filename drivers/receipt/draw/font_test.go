package draw

import (
	"bytes"
	"testing"

	"dcpos/drivers/receipt"
)

// FuzzFont reads files that are none and draws with them: nothing may panic.
func FuzzFont(f *testing.F) {
	f.Add([]byte("ttcf\x00\x01\x00\x00\x00\x00\x00\x01\x00\x00\x00\x10\x00\x01\x00\x00\x00\x01\x00\x00\x00\x00\x00\x00head\x00\x00\x00\x00\x00\x00\x00\x01\x00\x00\x00\x04abcdef"))
	f.Add([]byte("OTTO\x00\x01\x00\x00\x00\x00\x00\x00CFF \x00\x00\x00\x00\x00\x00\x00\x00\x1f\xff\xff\xf0"))
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

// A few bytes that claim half a gigabyte are refused before it is made ready.
func TestTablesEndWithinTheFile(t *testing.T) {
	const record = "\x00\x01\x00\x00\x00\x01\x00\x00\x00\x00\x00\x00CFF \x00\x00\x00\x00\x00\x00\x00\x1c\x00\x00\x00"
	for length, ok := range map[byte]bool{0: true, 4: true, 5: false, 255: false} {
		_, err := fontsIn(bytes.NewReader([]byte(record + string([]byte{length}) + "abcd")))
		if (err == nil) != ok {
			t.Errorf("a table of %d bytes where there are 4: %v", length, err)
		}
	}
	if _, err := fontsIn(bytes.NewReader([]byte("\x00\x01\x00\x00\x00\x01\x00\x00\x00\x00\x00\x00CFF \x00\x00\x00\x00\x00\x00\x00\x1c\x1f\xff\xff\xf0abcd"))); err == nil {
		t.Error("half a gigabyte is taken")
	}
}
