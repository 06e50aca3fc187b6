package statement

import (
	"fmt"
	"testing"

	"pgregory.net/rapid"
)

// The quick readers of numbers and times are held to the slow ones.
func TestDigitsAtOnceAreDigitsOneByOne(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		before := rapid.StringMatching(`[ -~]{0,9}`).Draw(rt, "before")
		field := rapid.OneOf(rapid.StringMatching(`[0-9]{0,10}`), rapid.StringMatching(`[0-9/:;,?. -]{0,9}`),
			rapid.Map(rapid.SliceOfN(rapid.Byte(), 0, 9), func(b []byte) string { return string(b) })).Draw(rt, "field")
		data := []byte(before + field + ",x")
		to := len(before) + len(field)
		if len(field) < 1 || len(field) > wordBytes || to < wordBytes {
			return
		}
		got, ok := eightDigits(word(data[to-wordBytes:]), uint32(len(field)))
		want, wantOK := parseFen([]byte(field))
		if wantOK = wantOK && field[0] != '-'; ok != wantOK || ok && got != want {
			rt.Fatalf("%q after %q: %d %v, want %d %v", field, before, got, ok, want, wantOK)
		}
	})
}

func TestTimesAtOnceAreTimesOneByOne(t *testing.T) {
	slow := func(b []byte) bool {
		c := b[10:20]
		if c[3] != ':' || c[6] != ':' {
			return false
		}
		h1, h2, m1, m2, s1, s2 := c[1]-'0', c[2]-'0', c[4]-'0', c[5]-'0', c[7]-'0', c[8]-'0'
		return h1 <= 1 && h2 <= 9 && h1*10+h2 < 16 && m1 <= 5 && m2 <= 9 && s1 <= 5 && s2 <= 9
	}
	for h := range 26 {
		for m := range 62 {
			for _, s := range []int{0, 1, 9, 10, 59, 60, 61, 99} {
				b := fmt.Appendf(nil, "2021-02-10T%02d:%02d:%02dZ", h, m, s)
				if dayTime(word(b[11:])) != slow(b) {
					t.Fatalf("%s: %v", b, dayTime(word(b[11:])))
				}
			}
		}
	}
	for at := 10; at < 20; at++ {
		for c := range 256 {
			b := []byte("2021-02-10T13:59:07Z")
			if b[at] = byte(c); dayTime(word(b[11:])) != slow(b) {
				t.Fatalf("%q: %v", b, dayTime(word(b[11:])))
			}
		}
	}
}
