package institution

import (
	"crypto/rand"
	"crypto/subtle"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"

	"dcpos/lab/institution/api"
	"dcpos/lab/institution/authority"
	"dcpos/pos"
)

// KeysFile is the file in the simulator's folder that holds the API keys, mode 0600:
// a JSON object of institution code to key.
const KeysFile = "keys.json"

// KeyHeader carries the API key of a request.
const KeyHeader = api.KeyHeader

// KeyVariable is the environment variable that replaces an institution's key.
func KeyVariable(institution string) string { return "DCPOS_LAB_KEY_" + institution }

// ReadKeys reads a keys file.
func ReadKeys(path string) (map[string]string, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("read API keys: %w", err)
	}
	var keys map[string]string
	if err := json.Unmarshal(b, &keys); err != nil {
		return nil, pos.FieldError(pos.ErrConfig, path, err)
	}
	return keys, nil
}

// loadKeys reads the file, draws the keys it lacks and writes it back; override
// replaces keys for this run only.
func loadKeys(path string, institutions []string, override map[string]string) (map[string]string, error) {
	keys, err := ReadKeys(path)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, err
	}
	if keys == nil {
		keys = map[string]string{}
	}
	drawn := false
	for _, name := range institutions {
		if keys[name] == "" {
			var b [24]byte
			_, _ = rand.Read(b[:]) // never returns an error (crypto/rand)
			keys[name], drawn = hex.EncodeToString(b[:]), true
		}
	}
	if drawn {
		b, err := json.MarshalIndent(keys, "", "  ")
		if err != nil {
			return nil, fmt.Errorf("encode API keys: %w", err)
		}
		if err := authority.WriteFile(path, append(b, '\n'), 0o600); err != nil {
			return nil, err
		}
	}
	for name, key := range override {
		if key != "" {
			keys[name] = key
		}
	}
	return keys, nil
}

func sameKey(got, want string) bool {
	return want != "" && subtle.ConstantTimeCompare([]byte(got), []byte(want)) == 1
}
