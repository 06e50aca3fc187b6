package main

import (
	"crypto/rand"
	"fmt"
	"os"
	"path/filepath"

	"dcpos/internal/secret"
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
	pem, err := secret.Load(filepath.Join(folder, "centre.pem"), func() ([]byte, error) {
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
	questions, err := secret.Load(filepath.Join(folder, "questions.key"), func() ([]byte, error) {
		b := make([]byte, 32)
		_, err := rand.Read(b)
		return b, err
	})
	return keys{centre: centre, questions: questions}, err
}
