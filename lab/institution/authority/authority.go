// Package authority is the lab's own certificate authority: one root and one
// issuing certificate per institution, made at the first start and kept in a folder.
//
// Every certificate carries the environment lab; no live build believes them.
package authority

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"dcpos/pos"
	"dcpos/pos/dcep"
)

// The validity of certificates. They begin a day early, for tills whose clock is behind.
const (
	early          = 24 * time.Hour
	authorityYears = 20
	walletYears    = 5
)

type issuer struct {
	key         dcep.Signer
	certificate []byte
}

// Authority issues wallet certificates in the institutions' names. It is safe for
// concurrent use.
type Authority struct {
	root    issuer
	issuers map[string]issuer
	order   []string
	now     func() time.Time
}

// Open reads the authority in dir, and makes what is missing: NAME.key.pem (PKCS #8,
// mode 0600) and NAME.der for "root" and each institution. suite names the suite of
// keys that are made; keys that are there keep theirs.
func Open(dir string, institutions []string, suite string, now func() time.Time) (*Authority, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("make authority: %w", err)
	}
	s, err := dcep.SuiteByName(suite)
	if err != nil {
		return nil, err
	}
	a := &Authority{issuers: map[string]issuer{}, order: institutions, now: now}
	if a.root, err = a.load(dir, "root", dcep.Template{Name: "dcpos lab root"}, s, nil); err != nil {
		return nil, err
	}
	for _, name := range institutions {
		t := dcep.Template{Name: name + " lab wallets", Institution: name}
		if a.issuers[name], err = a.load(dir, name, t, s, &a.root); err != nil {
			return nil, err
		}
	}
	return a, nil
}

// load reads one key and certificate, or makes them; parent is nil for the root.
func (a *Authority) load(dir, name string, t dcep.Template, s dcep.Suite, parent *issuer) (issuer, error) {
	key, err := loadKey(filepath.Join(dir, name+".key.pem"), s)
	if err != nil {
		return issuer{}, err
	}
	path := filepath.Join(dir, name+".der")
	der, err := os.ReadFile(path)
	if !errors.Is(err, os.ErrNotExist) {
		if err != nil {
			return issuer{}, fmt.Errorf("read certificate: %w", err)
		}
		return issuer{key: key, certificate: der}, nil
	}
	now := a.now()
	t.Env, t.Authority, t.From, t.Until = pos.Lab, true, now.Add(-early), now.AddDate(authorityYears, 0, 0)
	if parent == nil {
		der, err = dcep.Certify(t, key.Public(), key, nil)
	} else {
		der, err = dcep.Certify(t, key.Public(), parent.key, parent.certificate)
	}
	if err != nil {
		return issuer{}, err
	}
	return issuer{key: key, certificate: der}, WriteFile(path, der, 0o644)
}

func loadKey(path string, s dcep.Suite) (dcep.Signer, error) {
	b, err := os.ReadFile(path)
	if err == nil {
		return dcep.ParseKey(b)
	}
	if !errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("read key: %w", err)
	}
	key, err := s.Generate()
	if err != nil {
		return nil, err
	}
	if b, err = dcep.MarshalKey(key); err != nil {
		return nil, err
	}
	return key, WriteFile(path, b, 0o600)
}

// Trust is what tills and institutions are to believe, without the revoked serials,
// which the books know.
func (a *Authority) Trust() dcep.Trust {
	t := dcep.Trust{Env: pos.Lab, Roots: [][]byte{a.root.certificate}, Revoked: []string{}, IssuedMS: a.now().UnixMilli()}
	for _, name := range a.order {
		t.Institutions = append(t.Institutions, a.issuers[name].certificate)
	}
	return t
}

// Certify issues a wallet certificate for the public key (PKIX DER) in the
// institution's name and gives its serial number, as evidence will carry it. valid is for how long it is
// good from now: 0 for years, below 0, by less than a day, it has expired already.
func (a *Authority) Certify(institution, wallet string, tier int, valid time.Duration, public []byte) (der []byte, serial string, err error) {
	by, ok := a.issuers[institution]
	if !ok {
		return nil, "", fmt.Errorf("certify %s: no institution %q", wallet, institution)
	}
	now := a.now()
	until := now.AddDate(walletYears, 0, 0)
	if valid != 0 {
		until = now.Add(valid)
	}
	der, err = dcep.Certify(dcep.Template{
		Env: pos.Lab, Name: wallet, Institution: institution, Tier: tier, From: now.Add(-early), Until: until,
	}, public, by.key, by.certificate)
	if err != nil {
		return nil, "", err
	}
	serial, err = dcep.WalletSerial(der)
	return der, serial, err
}

// WriteFile writes a file whole or not at all: beside it, to the disk, then in its place.
func WriteFile(path string, b []byte, mode os.FileMode) error {
	f, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+".*")
	if err != nil {
		return fmt.Errorf("write %s: %w", filepath.Base(path), err)
	}
	_, err = f.Write(b)
	err = errors.Join(err, f.Chmod(mode), f.Sync(), f.Close())
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		return errors.Join(fmt.Errorf("write %s: %w", filepath.Base(path), err), os.Remove(f.Name()))
	}
	return nil
}
