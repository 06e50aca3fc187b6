package dcep_test

import (
	"bytes"
	"encoding/json"
	"flag"
	"os"
	"strings"
	"testing"
	"time"

	"dcpos/pos"
	"dcpos/pos/dcep"
)

var update = flag.Bool("update", false, "write testdata/orders-*.json anew")

// vector is what another implementation must read, and write byte for byte but for SM2's
// random signatures. testdata/README.md explains it.
type vector struct {
	Suite     string        `json:"suite"`
	CentreKey []byte        `json:"centre_key"` // PKIX DER
	Policy    pos.Policy    `json:"policy"`
	Sealed    dcep.Sealed   `json:"policy_sealed"`
	Catalogue pos.Catalogue `json:"catalogue"`
	SealedCat dcep.Sealed   `json:"catalogue_sealed"`
	Challenge string        `json:"challenge"` // of version 2
	Evidence  string        `json:"evidence"`  // its answer, signed by the centre's key here, with no certificate
}

func newVector(t *testing.T, name string) vector {
	t.Helper()
	suite, err := dcep.SuiteByName(name)
	if err != nil {
		t.Fatal(err)
	}
	key, err := suite.Generate()
	if err != nil {
		t.Fatal(err)
	}
	hash := bytes.Repeat([]byte{0xC5}, 32)
	v := vector{
		Suite: name, CentreKey: key.Public(),
		Policy: pos.Policy{
			Env: pos.Lab, Version: 7, Store: "SZ01", FromMS: 1_800_000_000_000, ExpiresMS: 1_800_604_800_000,
			IssuedMS: 1_799_999_000_000, Limits: pos.DefaultLimits(),
		},
		Catalogue: pos.Catalogue{Env: pos.Lab, Terminal: "SZ01-001", IssuedMS: 1_799_999_000_000, Campaigns: []pos.CampaignScope{{
			Campaign: "wangfujing-2021", Hash: hash, Merchant: true, Channels: []string{"in_store", "online"}, Categories: []string{"*"},
			FromMS: 1_612_962_000_000, UntilMS: 1_613_577_600_000,
		}}},
	}
	if v.Sealed, err = dcep.SealPolicy(key, v.Policy); err != nil {
		t.Fatal(err)
	}
	if v.SealedCat, err = dcep.SealCatalogue(key, v.Catalogue); err != nil {
		t.Fatal(err)
	}
	at := time.UnixMilli(1_800_000_000_000)
	c := dcep.Challenge{
		Env: pos.Lab, Terminal: "SZ01-001", Merchant: "M1", Payment: pos.NewPaymentID(at, [10]byte{1, 2, 3}), Amount: 300_00,
		Nonce: []byte("0123456789abcdef"), AtMS: at.UnixMilli(), ExpiresMS: at.Add(2 * time.Minute).UnixMilli(), Category: "books",
	}
	if v.Challenge, err = dcep.EncodeChallenge(c); err != nil {
		t.Fatal(err)
	}
	e, err := dcep.SignEvidence(key, nil, c, 5, at, pos.EnvelopeUse{Envelope: "ICBC-1", Campaign: "wangfujing-2021", Hash: hash, Amount: 200_00})
	if err != nil {
		t.Fatal(err)
	}
	if v.Evidence, err = dcep.EncodeEvidence(e); err != nil {
		t.Fatal(err)
	}
	return v
}

// The bytes of orders and of version 2 never change under their domains.
func TestVectors(t *testing.T) {
	for _, name := range []string{dcep.SM2SM3, dcep.Ed25519SHA256} {
		file := "testdata/orders-" + name + ".json"
		if *update {
			b, err := json.MarshalIndent(newVector(t, name), "", "  ")
			if err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(file, append(b, '\n'), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		b, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		var v vector
		if err := json.Unmarshal(b, &v); err != nil {
			t.Fatal(err)
		}
		checkVector(t, v)
	}
}

func checkVector(t *testing.T, v vector) {
	t.Helper()
	suite, err := dcep.SuiteByName(v.Suite)
	if err != nil {
		t.Fatal(err)
	}
	centre, err := suite.Verifier(v.CentreKey)
	if err != nil {
		t.Fatal(err)
	}
	if body, err := dcep.Marshal(v.Policy); err != nil || !bytes.Equal(body, v.Sealed.Body) {
		t.Errorf("%s: the policy's bytes are %x", v.Suite, body)
	}
	if p, err := dcep.OpenPolicy(centre, v.Sealed); err != nil || p.Version != 7 || p.Scope() != "store SZ01" {
		t.Errorf("%s: %+v %v", v.Suite, p, err)
	}
	if body, err := dcep.Marshal(v.Catalogue); err != nil || !bytes.Equal(body, v.SealedCat.Body) {
		t.Errorf("%s: the catalogue's bytes are %x", v.Suite, body)
	}
	if c, err := dcep.OpenCatalogue(centre, v.SealedCat); err != nil || len(c.Campaigns) != 1 || c.Campaigns[0].Store {
		t.Errorf("%s: %+v %v", v.Suite, c, err)
	}
	c, err := dcep.DecodeChallenge(v.Challenge)
	if err != nil || c.Category != "books" || !strings.HasPrefix(v.Challenge, dcep.ChallengePrefix2) {
		t.Errorf("%s: %+v %v", v.Suite, c, err)
	}
	e, err := dcep.DecodeEvidence(v.Evidence)
	if err != nil || len(e.Envelopes) != 1 || e.Envelopes[0].Amount != 200_00 || e.Counter != 5 {
		t.Fatalf("%s: %+v %v", v.Suite, e, err)
	}
	sig := e.Sig
	e.Sig = nil
	message, err := dcep.Marshal(e)
	if err != nil {
		t.Fatal(err)
	}
	if err := centre.Verify(dcep.DomainEvidence2, message, sig); err != nil {
		t.Errorf("%s: %v", v.Suite, err)
	}
	if centre.Verify(dcep.DomainEvidence, message, sig) == nil {
		t.Errorf("%s: it also verifies as version 1", v.Suite)
	}
}
