package dcep_test

import (
	"bytes"
	"testing"

	"dcpos/pos"
	"dcpos/pos/dcep"
)

func slipOf(tb testing.TB, suite string) (dcep.Slip, dcep.Verifier) {
	tb.Helper()
	s, err := dcep.SuiteByName(suite)
	if err != nil {
		tb.Fatal(err)
	}
	key, err := s.Generate()
	if err != nil {
		tb.Fatal(err)
	}
	v, err := s.Verifier(key.Public())
	if err != nil {
		tb.Fatal(err)
	}
	slip := dcep.Slip{
		Env: pos.Lab, Terminal: "SZ01-001", Epoch: 3, Seq: 1234, Head: bytes.Repeat([]byte{7}, 32),
		Payment: pos.PaymentID{1, 2}, Amount: 1250, State: pos.Paid, AtMS: 1_700_000_000_000,
	}
	if err := slip.Sign(key); err != nil {
		tb.Fatal(err)
	}
	return slip, v
}

func TestASlipIsReadAsItWasSigned(t *testing.T) {
	for _, suite := range []string{dcep.SM2SM3, dcep.Ed25519SHA256} {
		slip, v := slipOf(t, suite)
		text, err := slip.Text()
		if err != nil {
			t.Fatal(err)
		}
		t.Logf("%s: %d bytes", suite, len(text))
		got, err := dcep.ParseSlip(text)
		if err != nil || got.Verify(v) != nil {
			t.Fatalf("%+v %v", got, err)
		}
		got.Amount++
		if got.Verify(v) == nil {
			t.Error("another amount verifies")
		}
	}
	long, _ := slipOf(t, dcep.SM2SM3)
	long.Terminal = string(bytes.Repeat([]byte("T"), 200))
	if _, err := long.Text(); err == nil {
		t.Error("a slip that no paper holds")
	}
}

// FuzzSlip: whatever is scanned, what is read says the same again.
func FuzzSlip(f *testing.F) {
	slip, _ := slipOf(f, dcep.Ed25519SHA256)
	text, err := slip.Text()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(text)
	f.Add(text[:40])
	f.Add("01020000-0000-0000-0000-000000000000.")
	f.Fuzz(func(t *testing.T, text string) {
		s, err := dcep.ParseSlip(text)
		if err != nil {
			return
		}
		again, err := s.Text()
		if err != nil || again != text {
			t.Fatalf("%q is read and written as %q (%v)", text, again, err)
		}
	})
}

func TestAContentKeyIsOpenedByItsOwnerAlone(t *testing.T) {
	for _, name := range []string{dcep.SM2SM3, dcep.Ed25519SHA256} {
		suite, err := dcep.SuiteByName(name)
		if err != nil {
			t.Fatal(err)
		}
		for range 8 { // the conversion of Ed25519 keys has two signs
			owner, err := suite.Generate()
			if err != nil {
				t.Fatal(err)
			}
			key := dcep.ContentKey(suite)
			wrapped, err := dcep.WrapKey(suite, owner.Public(), key)
			if err != nil {
				t.Fatal(err)
			}
			if got, err := dcep.UnwrapKey(owner, wrapped); err != nil || !bytes.Equal(got, key) {
				t.Fatalf("%s: %x %v", name, got, err)
			}
			other, err := suite.Generate()
			if err != nil {
				t.Fatal(err)
			}
			if _, err := dcep.UnwrapKey(other, wrapped); err == nil {
				t.Fatalf("%s: opened by another", name)
			}
			wrapped[len(wrapped)-1] ^= 1
			if _, err := dcep.UnwrapKey(owner, wrapped); err == nil {
				t.Fatalf("%s: a changed wrap was opened", name)
			}
		}
	}
}
