// Package identity keeps who a till is: the keys that it made itself and what the
// centre said at enrolment. Files lie in one folder, all with mode 0600:
// key.pem (journal key, PKCS #8), nats.seed (nkey), code.key, screen.key, identity.json.
package identity

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/nats-io/nkeys"

	"dcpos/pos"
	"dcpos/pos/dcep"
)

// Identity is what the centre said when it made the device a terminal.
type Identity struct {
	Env       pos.Environment `json:"env"`
	Class     string          `json:"class"`
	Terminal  string          `json:"terminal"`
	Merchant  string          `json:"merchant"`
	Store     string          `json:"store"`
	StoreName pos.Text        `json:"store_name"`
	Epoch     uint32          `json:"epoch"`
	CentreKey []byte          `json:"centre_key"` // PKIX DER, pinned
	Suite     string          `json:"suite"`      // of the centre's key
	NATSURL   string          `json:"nats_url"`
	Limits    pos.Limits      `json:"limits"`
	Trust     dcep.Trust      `json:"trust"`
}

// Keys are what the device makes once and never gives away.
type Keys struct {
	Journal dcep.Signer
	NATS    []byte // nkey user seed
	Code    []byte // secret under which payment codes are hashed
	Screen  []byte // secret that opens the screens: sessions survive a restart
}

// NATSPublic is the public half of the NATS key, "U…".
func (k Keys) NATSPublic() (string, error) {
	pair, err := nkeys.FromSeed(k.NATS)
	if err != nil {
		return "", fmt.Errorf("read nkey seed: %w", err)
	}
	return pair.PublicKey()
}

// ErrNone is returned by Load for a device that is not enrolled.
var ErrNone = errors.New("not enrolled")

// The files of a Folder.
const (
	keyFile      = "key.pem"
	seedFile     = "nats.seed"
	codeFile     = "code.key"
	screenFile   = "screen.key"
	identityFile = "identity.json"
	// JournalFile is where the till's journal lies, beside the identity.
	JournalFile = "journal.db"
)

// Folder is where a till keeps itself.
type Folder string

// Keys reads the device's keys, making them with the suite the first time, durably,
// so that a repeated enrolment shows the same ones.
func (f Folder) Keys(suite dcep.Suite) (Keys, error) {
	if err := os.MkdirAll(string(f), 0o700); err != nil {
		return Keys{}, fmt.Errorf("make data folder: %w", err)
	}
	pem, err := f.readOrMake(keyFile, func() ([]byte, error) {
		signer, err := suite.Generate()
		if err != nil {
			return nil, err
		}
		return dcep.MarshalKey(signer)
	})
	if err != nil {
		return Keys{}, err
	}
	signer, err := dcep.ParseKey(pem)
	if err != nil {
		return Keys{}, fmt.Errorf("%s: %w", f.path(keyFile), err)
	}
	seed, err := f.readOrMake(seedFile, func() ([]byte, error) {
		pair, err := nkeys.CreateUser()
		if err != nil {
			return nil, err
		}
		return pair.Seed()
	})
	if err != nil {
		return Keys{}, err
	}
	code, err := f.readOrMake(codeFile, func() ([]byte, error) {
		b := make([]byte, 32)
		_, err := rand.Read(b)
		return b, err
	})
	if err != nil {
		return Keys{}, err
	}
	screen, err := f.readOrMake(screenFile, func() ([]byte, error) { return []byte(rand.Text()), nil })
	return Keys{Journal: signer, NATS: seed, Code: code, Screen: screen}, err
}

func (f Folder) readOrMake(name string, create func() ([]byte, error)) ([]byte, error) {
	b, err := os.ReadFile(f.path(name))
	if err == nil {
		return b, f.private(name)
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("read key: %w", err)
	}
	if b, err = create(); err != nil {
		return nil, fmt.Errorf("make %s: %w", name, err)
	}
	return b, f.write(name, b)
}

// private refuses a secret that others can read.
func (f Folder) private(name string) error {
	info, err := os.Stat(f.path(name))
	if err != nil {
		return fmt.Errorf("look at key: %w", err)
	}
	if info.Mode().Perm()&0o077 != 0 {
		return pos.NewError(pos.ErrConfig, fmt.Errorf("%s has mode %04o, want 0600", f.path(name), info.Mode().Perm()))
	}
	return nil
}

// Load reads the identity, or ErrNone.
func (f Folder) Load() (Identity, error) {
	b, err := os.ReadFile(f.path(identityFile))
	if errors.Is(err, fs.ErrNotExist) {
		return Identity{}, ErrNone
	}
	if err != nil {
		return Identity{}, fmt.Errorf("read identity: %w", err)
	}
	var id Identity
	if err := json.Unmarshal(b, &id); err != nil {
		return Identity{}, fmt.Errorf("%s: %w", f.path(identityFile), err)
	}
	return id, nil
}

// Save keeps the identity durably: whole or not at all.
func (f Folder) Save(_ context.Context, id Identity) error {
	b, err := json.MarshalIndent(id, "", "  ")
	if err != nil {
		return fmt.Errorf("encode identity: %w", err)
	}
	return f.write(identityFile, append(b, '\n'))
}

// Journal is the path of the journal.
func (f Folder) Journal() string { return f.path(JournalFile) }

func (f Folder) path(name string) string { return filepath.Join(string(f), name) }

// write puts a file in place by rename, fsynced, so that a power cut leaves the old or the new one.
func (f Folder) write(name string, b []byte) error {
	tmp, err := os.CreateTemp(string(f), "."+name+"-*") // mode 0600
	if err != nil {
		return fmt.Errorf("write %s: %w", name, err)
	}
	defer func() { _ = os.Remove(tmp.Name()) }() // gone after the rename
	_, err = tmp.Write(b)
	err = errors.Join(err, tmp.Sync(), tmp.Close())
	if err == nil {
		err = os.Rename(tmp.Name(), f.path(name))
	}
	if err == nil {
		err = f.syncFolder()
	}
	if err != nil {
		return fmt.Errorf("write %s: %w", name, err)
	}
	return nil
}

func (f Folder) syncFolder() error {
	d, err := os.Open(string(f))
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
