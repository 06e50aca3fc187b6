package identity_test

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"dcpos/agent/identity"
	"dcpos/pos"
	"dcpos/pos/dcep"
)

func TestKeysAreMadeOnceAndStayPrivate(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "till")
	suite, err := dcep.SuiteByName(dcep.SM2SM3)
	if err != nil {
		t.Fatal(err)
	}
	f := identity.Folder(dir)
	first, err := f.Keys(suite, identity.FileKeeper{})
	if err != nil {
		t.Fatal(err)
	}
	again, err := f.Keys(suite, identity.FileKeeper{})
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(first.Journal.Public(), again.Journal.Public()) || !bytes.Equal(first.NATS, again.NATS) {
		t.Error("the keys changed")
	}
	if p, err := first.NATSPublic(); err != nil || p[0] != 'U' {
		t.Errorf("nats key %q: %v", p, err)
	}
	key := filepath.Join(dir, "key.pem")
	if info, err := os.Stat(key); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
	if err := os.Chmod(key, 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := f.Keys(suite, identity.FileKeeper{}); !errors.Is(err, &pos.Error{Code: pos.ErrConfig}) {
		t.Errorf("a key that all can read: %v", err)
	}
}

func TestIdentityIsWholeOrAbsent(t *testing.T) {
	f := identity.Folder(t.TempDir())
	if _, err := f.Load(); !errors.Is(err, identity.ErrNone) {
		t.Errorf("no identity: %v", err)
	}
	want := identity.Identity{Env: pos.Lab, Terminal: "T1", Merchant: "M1", Epoch: 1, Policies: []dcep.Sealed{{Body: []byte{1}, Sig: []byte{2}}}}
	if err := f.Save(t.Context(), want); err != nil {
		t.Fatal(err)
	}
	got, err := f.Load()
	if err != nil || got.Terminal != "T1" || len(got.Policies) != 1 || !bytes.Equal(got.Policies[0].Body, want.Policies[0].Body) {
		t.Errorf("%+v, %v", got, err)
	}
	if err := os.WriteFile(filepath.Join(string(f), "identity.json"), []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := f.Load(); err == nil || errors.Is(err, identity.ErrNone) {
		t.Errorf("half an identity: %v", err)
	}
}
