package separators

import (
	"bytes"
	"math/rand/v2"
	"slices"
	"testing"
)

func FuzzFind(f *testing.F) {
	f.Add([]byte("a,b,c\nd\x00\x1f\x20\x7f\x80\xff\r\n"))
	f.Add(bytes.Repeat([]byte(",\n"), 70))
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, text []byte) { sameAsPlain(t, new(Found), text, ',') })
}

// TestFindAgrees looks at texts of all lengths and densities with memory that is used again;
// behind a text stands what must not be seen.
func TestFindAgrees(t *testing.T) {
	const longest, seed = 700, 7
	r := rand.New(rand.NewPCG(seed, seed))
	found := new(Found)
	for n := range longest {
		text := make([]byte, n)
		for i := range text {
			text[i] = ",\n\r\x00é x"[r.IntN(8)]
			if r.IntN(n) > 50 {
				text[i] = byte('a' + r.IntN(26))
			}
		}
		for _, behind := range []byte{',', '\n', 0} {
			sameAsPlain(t, found, text, behind)
		}
	}
}

func sameAsPlain(t *testing.T, found *Found, text []byte, behind byte) {
	t.Helper()
	whole := append(slices.Clone(text), bytes.Repeat([]byte{behind}, Padding)...)
	found.Find(whole[:len(text)])
	var all, ends []uint32
	odd := make([]uint64, (len(text)+step-1)/step)
	for i, b := range text {
		switch {
		case b == ',':
			all = append(all, uint32(i))
		case b == '\n':
			all, ends = append(all, uint32(i)), append(ends, uint32(i))
		case b < ' ' || b >= 0x80:
			odd[i/step] |= 1 << (i % step)
		}
	}
	if !slices.Equal(found.All, all) || !slices.Equal(found.Ends, ends) || !slices.Equal(found.Odd(text), odd) {
		t.Fatalf("%q\n got %d %d %x\nwant %d %d %x", text, found.All, found.Ends, found.Odd(text), all, ends, odd)
	}
	steps := len(text) / step
	if steps == 0 {
		return
	}
	plain := [2][]uint32{make([]uint32, len(text)+8), make([]uint32, len(text)+8)}
	n, m := findPlain(text[:steps*step], plain[0], plain[1], odd[:steps])
	if !slices.Equal(plain[0][:n], all[:n]) || !slices.Equal(plain[1][:m], ends[:m]) || !slices.Equal(odd[:steps], found.Odd(text)[:steps]) {
		t.Fatalf("%q: without vectors %d, with them %d", text, plain[0][:n], all)
	}
}

func BenchmarkFind(b *testing.B) {
	line := []byte("0123456789abcdef0123456789abcdef,886012345,T7,ICBC,123456,123,S,2021-02-10T13:00:00Z\n")
	text := bytes.Repeat(line, 1500)
	text = append(text, make([]byte, Padding)...)[:len(text)]
	b.SetBytes(int64(len(text)))
	found := new(Found)
	for b.Loop() {
		found.Find(text)
	}
}
