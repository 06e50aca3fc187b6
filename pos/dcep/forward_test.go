package dcep_test

import (
	"bytes"
	"strings"
	"testing"

	"dcpos/pos"
	"dcpos/pos/dcep"
)

func TestForwardCodeIsReadBackAndNothingElseIs(t *testing.T) {
	c := dcep.NewForward("ICBC", "lab-pass")
	if got, err := dcep.ParseForward(c.String()); err != nil || got != c || len(c.String()) > 64 {
		t.Fatalf("%v %v", got, err)
	}
	longest := dcep.NewForward("ABCDEFGHIJKL", "abcdefghijkl")
	if _, err := dcep.ParseForward(longest.String()); err != nil || len(longest.String()) != 62 {
		t.Errorf("%d characters: %v", len(longest.String()), err)
	}
	secret := strings.Repeat("A", 26)
	for name, text := range map[string]string{
		"empty": "", "payment code": "0100112345678901234", "no secret": "dcpos:fw1:ICBC:lab-pass:", "short": "dcpos:fw1:ICBC:lab-pass:" + secret[1:],
		"long": "dcpos:fw1:ICBC:lab-pass:A" + secret, "lower case": "dcpos:fw1:icbc:lab-pass:" + secret, "newline": c.String() + "\n",
		"other version": "dcpos:fw2:ICBC:lab-pass:" + secret, "no instrument": "dcpos:fw1:ICBC::" + secret,
	} {
		if _, err := dcep.ParseForward(text); pos.CodeOf(err) != pos.ErrBadCode {
			t.Errorf("%s: %v", name, err)
		} else if strings.Contains(err.Error(), secret[:20]) {
			t.Errorf("%s: the error holds the code", name)
		}
	}
}

// TestSealedCodeOpensForItsPaymentAlone: each flipped bit, another payment, another key and
// another suite give nothing.
func TestSealedCodeOpensForItsPaymentAlone(t *testing.T) {
	for _, name := range []string{dcep.SM2SM3, dcep.Ed25519SHA256} {
		suite, err := dcep.SuiteByName(name)
		if err != nil {
			t.Fatal(err)
		}
		key, id, other := bytes.Repeat([]byte{7}, 32), pos.PaymentID{1}, pos.PaymentID{2}
		code := dcep.NewForward("ICBC", "lab-pass").String()
		sealed, err := dcep.SealCode(suite, key, id, code)
		if err != nil || bytes.Contains(sealed, []byte(code[:20])) {
			t.Fatalf("%s: %v", name, err)
		}
		if got, err := dcep.OpenCode(suite, key, id, sealed); err != nil || got != code {
			t.Errorf("%s: %v", name, err)
		}
		if again, err := dcep.SealCode(suite, key, id, code); err != nil || bytes.Equal(again, sealed) {
			t.Errorf("%s: sealed twice alike: %v", name, err)
		}
		for i := range sealed {
			bad := bytes.Clone(sealed)
			bad[i] ^= 1
			if _, err := dcep.OpenCode(suite, key, id, bad); err == nil {
				t.Fatalf("%s: byte %d changed and it opened", name, i)
			}
		}
		for what, open := range map[string]func() (string, error){
			"another payment": func() (string, error) { return dcep.OpenCode(suite, key, other, sealed) },
			"another key":     func() (string, error) { return dcep.OpenCode(suite, key[1:], id, sealed) },
			"cut short":       func() (string, error) { return dcep.OpenCode(suite, key, id, sealed[:5]) },
		} {
			if _, err := open(); err == nil {
				t.Errorf("%s: %s opened it", name, what)
			}
		}
	}
}

func FuzzParseForward(f *testing.F) {
	f.Add("dcpos:fw1:ICBC:lab-pass:" + strings.Repeat("A", 26))
	f.Add("dcpos:fw1:::")
	f.Fuzz(func(t *testing.T, text string) {
		if c, err := dcep.ParseForward(text); err == nil && c.String() != text {
			t.Errorf("%q reads as %q", text, c.String())
		}
	})
}
