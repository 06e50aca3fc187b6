package authority_test

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"dcpos/lab/institution/authority"
	"dcpos/pos"
	"dcpos/pos/dcep"
)

func TestAuthorityOfEachSuiteCertifiesWalletsOfEach(t *testing.T) {
	suites := []string{dcep.SM2SM3, dcep.Ed25519SHA256}
	for _, of := range suites {
		for _, wallet := range suites {
			t.Run(of+" signs "+wallet, func(t *testing.T) {
				a, err := authority.Open(t.TempDir(), []string{"ICBC", "ABC"}, of, time.Now)
				if err != nil {
					t.Fatal(err)
				}
				suite, err := dcep.SuiteByName(wallet)
				if err != nil {
					t.Fatal(err)
				}
				key, err := suite.Generate()
				if err != nil {
					t.Fatal(err)
				}
				der, serial, err := a.Certify("ABC", "abc-1", 3, 0, key.Public())
				if err != nil {
					t.Fatal(err)
				}
				w, err := a.Trust().VerifyWallet(der, time.Now())
				if err != nil || w.Institution != "ABC" || w.Serial != serial {
					t.Errorf("%+v %v, serial %s", w, err, serial)
				}
				live := a.Trust()
				live.Env = pos.Live
				if _, err := live.VerifyWallet(der, time.Now()); pos.CodeOf(err) != pos.ErrEnvironment {
					t.Errorf("a live till says %v", err)
				}
				if _, _, err := a.Certify("XYZ", "x", 0, 0, key.Public()); err == nil {
					t.Error("certified for an institution that is not there")
				}
			})
		}
	}
}

func TestAuthorityIsMadeOnceAndMadeWhole(t *testing.T) {
	dir := t.TempDir()
	open := func() dcep.Trust {
		a, err := authority.Open(dir, []string{"ICBC", "ABC"}, dcep.SM2SM3, func() time.Time { return time.UnixMilli(1_772_000_000_000) })
		if err != nil {
			t.Fatal(err)
		}
		return a.Trust()
	}
	first := open()
	if d := cmp.Diff(first, open()); d != "" {
		t.Errorf("the second start made another trust:\n%s", d)
	}
	if err := os.Remove(filepath.Join(dir, "ABC.der")); err != nil { // killed between key and certificate
		t.Fatal(err)
	}
	again := open()
	if d := cmp.Diff(first.Roots, again.Roots); d != "" || len(again.Institutions) != 2 {
		t.Errorf("after a half start:\n%s", d)
	}
	if err := os.WriteFile(filepath.Join(dir, "root.key.pem"), []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := authority.Open(dir, nil, dcep.SM2SM3, time.Now); err == nil {
		t.Error("a damaged key was taken or replaced")
	}
}
