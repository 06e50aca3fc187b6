package dcep_test

import (
	"bytes"
	"testing"
	"time"

	"dcpos/pos"
	"dcpos/pos/dcep"
)

// A policy opens as it was sealed, in both suites; any changed bit, another key, another
// domain or no signature at all is refused with its reason.
func TestPolicySeal(t *testing.T) {
	for _, name := range []string{dcep.SM2SM3, dcep.Ed25519SHA256} {
		suite, err := dcep.SuiteByName(name)
		if err != nil {
			t.Fatal(err)
		}
		key, err := suite.Generate()
		if err != nil {
			t.Fatal(err)
		}
		centre, err := suite.Verifier(key.Public())
		if err != nil {
			t.Fatal(err)
		}
		p := pos.Policy{Env: pos.Lab, Version: 7, Store: "S1", FromMS: 5, ExpiresMS: 9, Limits: pos.DefaultLimits()}
		s, err := dcep.SealPolicy(key, p)
		if err != nil {
			t.Fatal(err)
		}
		got, err := dcep.OpenPolicy(centre, s)
		if err != nil || got.Version != 7 || got.Store != "S1" || len(got.Limits.Tiers) != 3 || got.Limits.ClockMax != 2*time.Minute {
			t.Fatalf("%+v %v", got, err)
		}
		for i := range s.Body {
			bent := dcep.Sealed{Body: bytes.Clone(s.Body), Sig: s.Sig}
			bent.Body[i] ^= 1
			if _, err := dcep.OpenPolicy(centre, bent); pos.CodeOf(err) != pos.ErrPolicyForged {
				t.Fatalf("%s: byte %d changed: %v", name, i, err)
			}
		}
		for _, sig := range [][]byte{nil, make([]byte, dcep.SignatureSize), s.Sig[1:]} {
			if _, err := dcep.OpenPolicy(centre, dcep.Sealed{Body: s.Body, Sig: sig}); pos.CodeOf(err) != pos.ErrPolicyForged {
				t.Fatalf("%s: signature %x: %v", name, sig, err)
			}
		}
		cat, err := dcep.SealCatalogue(key, pos.Catalogue{Env: pos.Lab, Terminal: "T1"})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := dcep.OpenPolicy(centre, cat); pos.CodeOf(err) != pos.ErrPolicyForged {
			t.Fatalf("a catalogue is no policy: %v", err)
		}
		if _, err := dcep.OpenCatalogue(centre, s); err == nil {
			t.Fatal("a policy is no catalogue")
		}
		p.Limits.NearPercent = 0
		if _, err := dcep.SealPolicy(key, p); err == nil {
			t.Fatal("limits that contradict themselves are signed")
		}
	}
}

func FuzzOpenPolicy(f *testing.F) {
	suite, err := dcep.SuiteByName(dcep.Ed25519SHA256)
	if err != nil {
		f.Fatal(err)
	}
	key, err := suite.Generate()
	if err != nil {
		f.Fatal(err)
	}
	centre, err := suite.Verifier(key.Public())
	if err != nil {
		f.Fatal(err)
	}
	s, err := dcep.SealPolicy(key, pos.Policy{Env: pos.Lab, Version: 1, Limits: pos.DefaultLimits()})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(s.Body)
	f.Fuzz(func(t *testing.T, body []byte) {
		// Whatever the centre's key may have signed, what opens is canonical and consistent.
		sig, err := key.Sign(dcep.DomainPolicy, body)
		if err != nil {
			t.Fatal(err)
		}
		p, err := dcep.OpenPolicy(centre, dcep.Sealed{Body: body, Sig: sig})
		if err != nil {
			return
		}
		again, err := dcep.Marshal(p)
		if err != nil || !bytes.Equal(again, body) || p.Check() != nil {
			t.Fatalf("%+v %v", p, err)
		}
	})
}

// Version 2 is told apart by prefix and domain; version 1 is as it was, byte for byte.
func TestEvidenceWithEnvelopes(t *testing.T) {
	suite, err := dcep.SuiteByName(dcep.SM2SM3)
	if err != nil {
		t.Fatal(err)
	}
	key, err := suite.Generate()
	if err != nil {
		t.Fatal(err)
	}
	now := time.UnixMilli(1_800_000_000_000)
	c := dcep.Challenge{
		Env: pos.Lab, Terminal: "T1", Merchant: "M1", Payment: pos.NewPaymentID(now, [10]byte{1}), Amount: 300,
		Nonce: make([]byte, dcep.NonceSize), AtMS: 1, ExpiresMS: 2,
	}
	use := pos.EnvelopeUse{Envelope: "e1", Campaign: "wangfujing-2021", Hash: make([]byte, 32), Amount: 200}
	one, err := dcep.SignEvidence(key, []byte("cert"), c, 1, now)
	if err != nil {
		t.Fatal(err)
	}
	if b, err := dcep.Marshal(one); err != nil || bytes.Contains(b, []byte("ae")) && one.Envelopes != nil {
		t.Fatal(err)
	}
	text, err := dcep.EncodeEvidence(one)
	if err != nil || text[:10] != dcep.EvidencePrefix {
		t.Fatal(text, err)
	}
	c.Category = "books"
	two, err := dcep.SignEvidence(key, []byte("cert"), c, 1, now, use)
	if err != nil {
		t.Fatal(err)
	}
	text2, err := dcep.EncodeEvidence(two)
	if err != nil || text2[:10] != dcep.EvidencePrefix2 {
		t.Fatal(text2, err)
	}
	got, err := dcep.DecodeEvidence(text2)
	if err != nil || len(got.Envelopes) != 1 || got.Envelopes[0].Amount != 200 || got.Challenge.Category != "books" {
		t.Fatalf("%+v %v", got, err)
	}
	asked, err := dcep.EncodeChallenge(c)
	if err != nil || asked[:10] != dcep.ChallengePrefix2 {
		t.Fatal(asked, err)
	}
	if back, err := dcep.DecodeChallenge(asked); err != nil || back.Category != "books" {
		t.Fatal(back, err)
	}
	for name, bad := range map[string]string{
		"1 as 2": dcep.EvidencePrefix2 + text[10:], "2 as 1": dcep.EvidencePrefix + text2[10:],
	} {
		if _, err := dcep.DecodeEvidence(bad); err == nil {
			t.Errorf("%s is read", name)
		}
	}
	smuggled := one
	smuggled.Envelopes = []pos.EnvelopeUse{use}
	b, err := dcep.Marshal(smuggled)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := dcep.ParseEvidence(b); err == nil {
		t.Error("version 1 with envelopes is read")
	}
	too := two
	too.Envelopes = []pos.EnvelopeUse{{Envelope: "e1", Campaign: "c", Amount: 301}}
	if b, err = dcep.Marshal(too); err != nil {
		t.Fatal(err)
	}
	if _, err := dcep.ParseEvidence(b); pos.CodeOf(err) != pos.ErrEnvelopeSum {
		t.Errorf("more than the payment: %v", err)
	}
	plain := c
	plain.Category = ""
	if err := two.Answers(plain, now); pos.CodeOf(err) != pos.ErrEvidenceReplay {
		t.Errorf("envelopes for a challenge that offered none: %v", err)
	}
}
