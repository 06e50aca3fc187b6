package wallet

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"dcpos/lab/institution/api"
	"dcpos/pos"
	"dcpos/pos/dcep"
)

// The files in a wallet's folder, mode 0600.
const (
	stateFile = "wallet.json"
	keyFile   = "key.pem"
)

// state is what a wallet remembers.
type state struct {
	ID          string `json:"wallet_id"`
	Name        string `json:"name"`
	Institution string `json:"institution"`
	Suite       string `json:"suite"`
	Certificate []byte `json:"certificate"`       // DER
	Counter     uint64 `json:"counter"`           // of the last payment that was signed
	Answers     []kept `json:"answers,omitempty"` // the last promises of a card, oldest first
	// Envelopes are those that it holds, in the order of spending, less what was promised since.
	Envelopes []api.HeldEnvelope `json:"envelopes,omitempty"`
}

func (w *Wallet) saveState() error {
	b, err := json.MarshalIndent(w.state, "", "  ")
	if err != nil {
		return fmt.Errorf("encode wallet: %w", err)
	}
	return w.save(stateFile, append(b, '\n'))
}

// save writes a file whole or not at all; a wallet without a folder keeps nothing.
func (w *Wallet) save(name string, b []byte) error {
	if w.dir == "" {
		return nil
	}
	f, err := os.CreateTemp(w.dir, "."+name+".*") // mode 0600
	if err != nil {
		return fmt.Errorf("save wallet: %w", err)
	}
	_, err = f.Write(b)
	err = errors.Join(err, f.Sync(), f.Close())
	if err == nil {
		err = os.Rename(f.Name(), filepath.Join(w.dir, name))
	}
	if err != nil {
		return errors.Join(fmt.Errorf("save wallet: %w", err), os.Remove(f.Name()))
	}
	d, err := os.Open(w.dir)
	if err != nil {
		return fmt.Errorf("save wallet: %w", err)
	}
	return errors.Join(d.Sync(), d.Close())
}

// Open reads the wallet in dir. With the zero Client it is a phone without network.
func Open(dir string, c Client) (*Wallet, error) {
	w := &Wallet{dir: dir, client: c}
	b, err := os.ReadFile(filepath.Join(dir, stateFile))
	if err != nil {
		return nil, pos.FieldError(pos.ErrNotFound, "wallet", err)
	}
	if err := json.Unmarshal(b, &w.state); err != nil {
		return nil, pos.FieldError(pos.ErrStorage, stateFile, err)
	}
	pem, err := os.ReadFile(filepath.Join(dir, keyFile))
	if err != nil {
		return nil, pos.FieldError(pos.ErrNotFound, "wallet", err)
	}
	if w.key, err = dcep.ParseKey(pem); err != nil {
		return nil, pos.FieldError(pos.ErrStorage, keyFile, err)
	}
	return w, nil
}
