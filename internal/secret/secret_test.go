package secret_test

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"dcpos/internal/secret"
)

func TestASecretIsMadeOnceAndStaysPrivate(t *testing.T) {
	path := filepath.Join(t.TempDir(), "key")
	made := 0
	create := func() ([]byte, error) { made++; return []byte("s3cret"), nil }
	for range 2 {
		if b, err := secret.Load(path, create); err != nil || string(b) != "s3cret" {
			t.Fatalf("%q, %v", b, err)
		}
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 || made != 1 {
		t.Errorf("mode %v, made %d times, %v", info.Mode(), made, err)
	}
	if err := os.Chmod(path, 0o640); err != nil {
		t.Fatal(err)
	}
	_, err := secret.Load(path, create)
	if _, ok := errors.AsType[*secret.Loose](err); !ok {
		t.Errorf("a file that the group can read: %v", err)
	}
	if _, err := secret.Load(filepath.Join(t.TempDir(), "no", "key"), create); err == nil {
		t.Error("a folder that is not there was no error")
	}
	if _, err := secret.Load(filepath.Join(t.TempDir(), "key"), func() ([]byte, error) { return nil, os.ErrInvalid }); !errors.Is(err, os.ErrInvalid) {
		t.Errorf("a key that could not be made: %v", err)
	}
}
