package device

import "testing"

func FuzzPrinter(f *testing.F) {
	f.Add([]byte("\x1b@\x1c&\xd4\xaa\n\x1d!\x11ab\n\x1dv0\x00\x02\x00\x02\x00abcd\x1dV\x00\x10\x04\x01\x1d(H\x06\x0000abcd"))
	f.Add([]byte("\x1d(L\x0e\x000\x700\x01\x011\x10\x00\x02\x00abcd\x1d(L\x02\x0002\x1b*\x21\x02\x00abcdef\n\x1dV\x00"))
	f.Add([]byte("\x1d(k\x03\x001E1\x1d(k\x04\x001P0x\x1d(k\x03\x001Q0\x10\x05\x01\x10\x05\x02\x1bB\x01\x01\x1dV\x00"))
	f.Add([]byte("\x1dv0\x00\xff\xff\xff\xff\x09\x09\x1bd\xff\x1bp\x00\x19\x19"))
	font, err := OpenFont("")
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, in []byte) {
		if len(in) > 64 {
			return // longer ones only take longer
		}
		p, err := NewPrinter(PrinterOptions{Font: font})
		if err != nil {
			t.Fatal(err)
		}
		if p.arrive(in) {
			t.Fatal("the line broke by itself")
		}
		for _, r := range p.Receipts() {
			if r.Image.Bounds().Dx() != 640 || len(r.Lines) == 0 {
				t.Fatalf("receipt %d: %v, %d lines", r.N, r.Image.Bounds(), len(r.Lines))
			}
		}
	})
}
