package campaign_test

import (
	"context"
	"testing"

	"golang.org/x/mod/sumdb/note"

	"dcpos/central/campaign/office"
	"dcpos/central/campaign/register"
)

// nobody is an office's store where only files are served.
type nobody struct{ office.Store }

// Campaigns implements office.Store.
func (nobody) Campaigns(context.Context, map[string]int64) ([]office.Kept, error) { return nil, nil }

func deskOf(t *testing.T) register.Config {
	t.Helper()
	secret, _, err := note.GenerateKey(nil, "publisher.example")
	if err != nil {
		t.Fatal(err)
	}
	signer, err := note.NewSigner(secret)
	if err != nil {
		t.Fatal(err)
	}
	return register.Config{Publisher: signer}
}
