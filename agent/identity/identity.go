// Package identity keeps who a till is: the keys that it made itself and what the
// centre said at enrolment. Files lie in one folder, all with mode 0600:
// key.pem (journal key, PKCS #8; or key.tpm where a TPM keeps it), nats.seed (nkey),
// code.key, screen.key, identity.json.
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

	"dcpos/internal/secret"
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
	Policies  []dcep.Sealed   `json:"policies"` // as enrolled; agent/policy keeps what came since
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

// Keeper keeps the journal's key: in a file (FileKeeper), or in a device (package tpm).
type Keeper interface {
	// Key opens the folder's key, making it with the suite the first time, durably.
	Key(folder string, suite dcep.Suite) (dcep.Signer, error)
}

// FileKeeper keeps the key in a file of mode 0600.
type FileKeeper struct{}

// Key implements Keeper.
func (FileKeeper) Key(folder string, suite dcep.Suite) (dcep.Signer, error) {
	f := Folder(folder)
	pem, err := f.readOrMake(keyFile, func() ([]byte, error) {
		signer, err := suite.Generate()
		if err != nil {
			return nil, err
		}
		return dcep.MarshalKey(signer)
	})
	if err != nil {
		return nil, err
	}
	signer, err := dcep.ParseKey(pem)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", f.path(keyFile), err)
	}
	return signer, nil
}

// Keys reads the device's keys, making them the first time, durably, so that a
// repeated enrolment shows the same ones.
func (f Folder) Keys(suite dcep.Suite, journal Keeper) (Keys, error) {
	if err := os.MkdirAll(string(f), 0o700); err != nil {
		return Keys{}, fmt.Errorf("make data folder: %w", err)
	}
	signer, err := journal.Key(string(f), suite)
	if err != nil {
		return Keys{}, err
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
	b, err := secret.Load(f.path(name), create)
	if _, loose := errors.AsType[*secret.Loose](err); loose {
		return nil, pos.NewError(pos.ErrConfig, err)
	}
	return b, err
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
	return secret.Save(f.path(identityFile), append(b, '\n'))
}

// Journal is the path of the journal.
func (f Folder) Journal() string { return f.path(JournalFile) }

func (f Folder) path(name string) string { return filepath.Join(string(f), name) }
