package dcep_test

import (
	"bytes"
	"errors"
	"strings"
	"testing"
	"time"

	"dcpos/pos"
	"dcpos/pos/dcep"
)

type pki struct {
	trust  dcep.Trust
	wallet dcep.Signer
	cert   []byte
}

func newPKI(t *testing.T, suiteName string, now time.Time) pki {
	t.Helper()
	suite, err := dcep.SuiteByName(suiteName)
	if err != nil {
		t.Fatal(err)
	}
	must := func(s dcep.Signer, err error) dcep.Signer {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	root, bank, wallet := must(suite.Generate()), must(suite.Generate()), must(suite.Generate())
	cert := func(tpl dcep.Template, pub []byte, by dcep.Signer, byDER []byte) []byte {
		t.Helper()
		tpl.Env, tpl.From, tpl.Until = pos.Lab, now.Add(-time.Hour), now.Add(24*time.Hour)
		der, err := dcep.Certify(tpl, pub, by, byDER)
		if err != nil {
			t.Fatal(err)
		}
		return der
	}
	rootDER := cert(dcep.Template{Name: "lab root", Authority: true}, root.Public(), root, nil)
	bankDER := cert(dcep.Template{Name: "ICBC wallets", Institution: "ICBC", Authority: true}, bank.Public(), root, rootDER)
	walletDER := cert(dcep.Template{Name: "wallet 1", Institution: "ICBC"}, wallet.Public(), bank, bankDER)
	return pki{
		trust:  dcep.Trust{Env: pos.Lab, Roots: [][]byte{rootDER}, Institutions: [][]byte{bankDER}, IssuedMS: now.UnixMilli()},
		wallet: wallet, cert: walletDER,
	}
}

func challenge(now time.Time) dcep.Challenge {
	return dcep.Challenge{
		Env: pos.Lab, Terminal: "T1", Merchant: "M1", Payment: pos.NewPaymentID(now, [10]byte{1}),
		Amount: 1234, Nonce: bytes.Repeat([]byte{7}, dcep.NonceSize),
		AtMS: now.UnixMilli(), ExpiresMS: now.Add(time.Minute).UnixMilli(),
	}
}

func TestEvidenceOfBothSuitesPassesTheTwoCodes(t *testing.T) {
	now := time.Now()
	for _, name := range []string{dcep.SM2SM3, dcep.Ed25519SHA256} {
		t.Run(name, func(t *testing.T) {
			p, c := newPKI(t, name, now), challenge(now)
			shown, err := dcep.EncodeChallenge(c)
			if err != nil {
				t.Fatal(err)
			}
			seen, err := dcep.DecodeChallenge(shown)
			if err != nil {
				t.Fatal(err)
			}
			ev, err := dcep.SignEvidence(p.wallet, p.cert, seen, 5, now)
			if err != nil {
				t.Fatal(err)
			}
			text, err := dcep.EncodeEvidence(ev)
			if err != nil {
				t.Fatal(err)
			}
			got, err := dcep.DecodeEvidence(text)
			if err != nil {
				t.Fatal(err)
			}
			w, err := dcep.VerifyEvidence(p.trust, got, now)
			if err != nil {
				t.Fatal(err)
			}
			if w.Institution != "ICBC" || w.Serial == "" {
				t.Errorf("wallet %+v", w)
			}
			if err := got.Answers(c, now); err != nil {
				t.Error(err)
			}
			t.Logf("challenge %d characters, evidence %d", len(shown), len(text))
		})
	}
}

func TestEvidenceIsRefused(t *testing.T) {
	now := time.Now()
	p, c := newPKI(t, dcep.SM2SM3, now), challenge(now)
	good, err := dcep.SignEvidence(p.wallet, p.cert, c, 5, now)
	if err != nil {
		t.Fatal(err)
	}
	other := newPKI(t, dcep.SM2SM3, now)
	wallet, err := p.trust.VerifyWallet(p.cert, now)
	if err != nil {
		t.Fatal(err)
	}
	revoked := p.trust
	revoked.Revoked = []string{wallet.Serial}
	live := p.trust
	live.Env = pos.Live
	cases := map[string]struct {
		trust  dcep.Trust
		at     time.Time
		change func(*dcep.Evidence)
		want   error
	}{
		"another amount":        {p.trust, now, func(e *dcep.Evidence) { e.Challenge.Amount++ }, dcep.ErrSignature},
		"another counter":       {p.trust, now, func(e *dcep.Evidence) { e.Counter++ }, dcep.ErrSignature},
		"another wallet's cert": {p.trust, now, func(e *dcep.Evidence) { e.Certificate = other.cert }, dcep.ErrCertificate},
		"unknown suite":         {p.trust, now, func(e *dcep.Evidence) { e.Suite = "none" }, dcep.ErrUnknownSuite},
		"foreign root":          {other.trust, now, func(*dcep.Evidence) {}, dcep.ErrCertificate},
		"expired certificate":   {p.trust, now.Add(48 * time.Hour), func(*dcep.Evidence) {}, dcep.ErrCertificate},
		"revoked":               {revoked, now, func(*dcep.Evidence) {}, dcep.ErrCertificate},
		"lab wallet on live":    {live, now, func(*dcep.Evidence) {}, &pos.Error{Code: pos.ErrEnvironment}},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			e := good
			tc.change(&e)
			if _, err := dcep.VerifyEvidence(tc.trust, e, tc.at); !errors.Is(err, tc.want) {
				t.Errorf("got %v, want %v", err, tc.want)
			}
		})
	}
	for name, change := range map[string]func(*dcep.Challenge){
		"nonce":    func(c *dcep.Challenge) { c.Nonce = bytes.Repeat([]byte{8}, dcep.NonceSize) },
		"terminal": func(c *dcep.Challenge) { c.Terminal = "T2" },
		"amount":   func(c *dcep.Challenge) { c.Amount = 1 },
		"expiry":   func(c *dcep.Challenge) { c.ExpiresMS = now.Add(-time.Second).UnixMilli() },
	} {
		t.Run("answers another "+name, func(t *testing.T) {
			mine := c
			change(&mine)
			if err := good.Answers(mine, now); !errors.Is(err, dcep.ErrEvidence) {
				t.Errorf("got %v, want ErrEvidence", err)
			}
		})
	}
}

func FuzzDecodeEvidence(f *testing.F) {
	f.Add(dcep.EvidencePrefix)
	f.Add(dcep.ChallengePrefix + "oWFh")
	f.Add(dcep.EvidencePrefix + strings.Repeat("A", 2000))
	f.Fuzz(func(t *testing.T, s string) {
		if e, err := dcep.DecodeEvidence(s); err == nil {
			again, err := dcep.EncodeEvidence(e)
			if err != nil || again != s {
				t.Errorf("decoded text is not canonical: %q %v", again, err)
			}
		}
		if c, err := dcep.DecodeChallenge(s); err == nil {
			if again, err := dcep.EncodeChallenge(c); err != nil || again != s {
				t.Errorf("decoded text is not canonical: %q %v", again, err)
			}
		}
	})
}
