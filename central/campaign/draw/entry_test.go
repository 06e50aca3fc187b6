package draw

import (
	"bytes"
	"encoding/hex"
	"testing"
)

// TestParseHexTakesOneSpelling: each byte at each place, against encoding/hex.
func TestParseHexTakesOneSpelling(t *testing.T) {
	text := []byte("00112233445566778899aabbccddeeff0f1e2d3c4b5a69788796a5b4c3d2e1f0")
	for at := range text {
		was := text[at]
		for b := range 256 {
			text[at] = byte(b)
			var want, got Ticket
			_, err := hex.Decode(want[:], text)
			good := err == nil && bytes.Equal(text, bytes.ToLower(text))
			if ok := parseHex(&got, text); ok != good || ok && got != want {
				t.Fatalf("%q: %t %x, want %t %x", text, ok, got, good, want)
			}
		}
		text[at] = was
	}
}
