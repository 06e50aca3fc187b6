package evdev

import "testing"

// FuzzBitmap reads what the kernel may write of a device's keys: no key beyond the text.
func FuzzBitmap(f *testing.F) {
	for _, s := range []string{"", "0", "120013", "402000000 3803078f800d001 feffffdfffefffff fffffffffffffffe", "-1", "g", "fffffffffffffffff"} {
		f.Add(s, 28)
	}
	f.Fuzz(func(t *testing.T, text string, key int) {
		if len(text) > 256 || key < 0 {
			return
		}
		n := node{keys: bitmap(text)}
		if n.has(key) && key >= 64*len(text) {
			t.Fatalf("%q has key %d", text, key)
		}
		_, _ = n.keyboard(), n.types() // they must not panic
	})
}
