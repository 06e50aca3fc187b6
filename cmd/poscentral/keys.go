package main

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"dcpos/pos/dcep"
)

// keys are the centre's own secrets, made at the first start with mode 0600.
type keys struct {
	centre    dcep.Signer // signs receipts and marks; tills pin its public half
	questions []byte      // makes the fingerprints of questions
}

func loadKeys(folder, suiteName string) (keys, error) {
	if err := os.MkdirAll(folder, 0o700); err != nil {
		return keys{}, fmt.Errorf("make data folder: %w", err)
	}
	pem, err := secret(folder, "centre.pem", func() ([]byte, error) {
		suite, err := dcep.SuiteByName(suiteName)
		if err != nil {
			return nil, err
		}
		signer, err := suite.Generate()
		if err != nil {
			return nil, err
		}
		return dcep.MarshalKey(signer)
	})
	if err != nil {
		return keys{}, err
	}
	centre, err := dcep.ParseKey(pem)
	if err != nil {
		return keys{}, fmt.Errorf("centre.pem: %w", err)
	}
	questions, err := secret(folder, "questions.key", func() ([]byte, error) {
		b := make([]byte, 32)
		_, err := rand.Read(b)
		return b, err
	})
	return keys{centre: centre, questions: questions}, err
}

// secret reads a file that only its owner may read, making it durably the first time.
func secret(folder, name string, create func() ([]byte, error)) ([]byte, error) {
	path := filepath.Join(folder, name)
	info, err := os.Stat(path)
	if err == nil {
		if info.Mode().Perm()&0o077 != 0 {
			return nil, fmt.Errorf("%s has mode %04o, want 0600", path, info.Mode().Perm())
		}
		return os.ReadFile(path)
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	b, err := create()
	if err != nil {
		return nil, fmt.Errorf("make %s: %w", name, err)
	}
	tmp, err := os.CreateTemp(folder, "."+name+"-*") // mode 0600
	if err != nil {
		return nil, fmt.Errorf("make %s: %w", name, err)
	}
	defer func() { _ = os.Remove(tmp.Name()) }() // gone after the rename
	_, err = tmp.Write(b)
	if err = errors.Join(err, tmp.Sync(), tmp.Close()); err == nil {
		err = os.Rename(tmp.Name(), path)
	}
	if err != nil {
		return nil, fmt.Errorf("make %s: %w", name, err)
	}
	return b, nil
}
