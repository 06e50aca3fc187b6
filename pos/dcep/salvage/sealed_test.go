package salvage_test

import (
	"bytes"
	"testing"

	"dcpos/pos"
	"dcpos/pos/dcep"
	"dcpos/pos/dcep/salvage"
)

func keyOf(tb testing.TB, name string) dcep.Signer {
	tb.Helper()
	suite, err := dcep.SuiteByName(name)
	if err != nil {
		tb.Fatal(err)
	}
	k, err := suite.Generate()
	if err != nil {
		tb.Fatal(err)
	}
	return k
}

func seal(tb testing.TB, plain []byte, till, centre dcep.Signer) []byte {
	tb.Helper()
	var b bytes.Buffer
	s, err := salvage.NewSealer(&b, salvage.Header{Env: pos.Lab, Terminal: "T-1", Epoch: 1}, till, centre.Suite(), centre.Public())
	if err != nil {
		tb.Fatal(err)
	}
	for len(plain) > 0 { // in pieces of any size
		n := min(len(plain), 10_007)
		if _, err := s.Write(plain[:n]); err != nil {
			tb.Fatal(err)
		}
		plain = plain[n:]
	}
	if err := s.Close(); err != nil {
		tb.Fatal(err)
	}
	return b.Bytes()
}

func TestASealedFileOfManyChunks(t *testing.T) {
	var entries []pos.Entry
	for seq := uint64(1); seq <= 1000; seq++ {
		entries = append(entries, entry(1, seq))
	}
	plain, _ := written(t, entries...)
	for _, name := range []string{dcep.SM2SM3, dcep.Ed25519SHA256} {
		till, centre := keyOf(t, name), keyOf(t, name)
		data := seal(t, plain, till, centre)
		if len(data) < 3*64<<10 {
			t.Fatalf("%d bytes: want several chunks", len(data))
		}
		v, err := till.Suite().Verifier(till.Public())
		if err != nil {
			t.Fatal(err)
		}
		if _, err := salvage.CheckSealed(bytes.NewReader(data), till.Suite(), v); err != nil {
			t.Fatal(err)
		}
		n := 0
		in, err := salvage.Unseal(bytes.NewReader(data), centre)
		if err != nil {
			t.Fatal(err)
		}
		if end, err := salvage.Read(in, func(pos.Entry) error { n++; return nil }); err != nil || n != 1000 || end.Entries != 1000 {
			t.Fatalf("%d entries, %+v, %v", n, end, err)
		}
	}
}

// FuzzSealed: no bytes make the reader fall, and none of another's pass for the terminal's.
func FuzzSealed(f *testing.F) {
	till, centre := keyOf(f, dcep.Ed25519SHA256), keyOf(f, dcep.Ed25519SHA256)
	plain, _ := written(f, entry(1, 1))
	good := seal(f, plain, till, centre)
	f.Add(good)
	f.Add(good[:len(good)-1])
	f.Add([]byte(salvage.SealedMagic))
	v, err := till.Suite().Verifier(till.Public())
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		_, err := salvage.CheckSealed(bytes.NewReader(data), till.Suite(), v)
		if err == nil && !bytes.Equal(data, good) {
			t.Fatal("another file passed")
		}
		in, err := salvage.Unseal(bytes.NewReader(data), centre)
		if err != nil {
			return
		}
		_, _ = salvage.Read(in, func(pos.Entry) error { return nil }) // it must only come to an end
	})
}
