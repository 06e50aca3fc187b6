package tpm

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
)

// Find tells whether a data folder's key is in a TPM, and gives the keeper of its kind for the device and PIN.
func Find(folder, device string, pin []byte) (Keeper, bool, error) {
	path := filepath.Join(folder, File)
	if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
		return Keeper{}, false, nil
	}
	for _, sealed := range []bool{false, true} {
		k := Keeper{Device: device, PIN: pin, Sealed: sealed}
		if b, err := k.read(path); err == nil && b != nil {
			return k, true, nil
		}
	}
	_, err := Keeper{}.read(path)
	return Keeper{}, true, err
}
