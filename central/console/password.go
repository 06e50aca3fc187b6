package console

import (
	"crypto/rand"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"

	"golang.org/x/crypto/argon2"
)

// cost is what a guess costs. It stands in every hash, so that it can grow.
type cost struct {
	passes  uint32
	memory  uint32 // KiB
	threads uint8
}

// standard is the second recommended option of RFC 9106 §4.
func standard() cost { return cost{passes: 3, memory: 64 << 10, threads: 4} }

const (
	saltSize = 16
	hashSize = 32
)

// errHash is returned for a stored hash that cannot be read.
var errHash = errors.New("password hash is not understood")

// hashPassword gives the PHC string: $argon2id$v=19$m=…,t=…,p=…$salt$hash.
func hashPassword(password string, c cost) (string, error) {
	salt := make([]byte, saltSize)
	if _, err := rand.Read(salt); err != nil {
		return "", fmt.Errorf("draw salt: %w", err)
	}
	sum := argon2.IDKey([]byte(password), salt, c.passes, c.memory, c.threads, hashSize)
	b64 := base64.RawStdEncoding
	return fmt.Sprintf("$argon2id$v=%d$m=%d,t=%d,p=%d$%s$%s", argon2.Version, c.memory, c.passes, c.threads,
		b64.EncodeToString(salt), b64.EncodeToString(sum)), nil
}

// checkHash reports whether the password is the hashed one.
func checkHash(hash, password string) (bool, error) {
	parts := strings.Split(hash, "$")
	if len(parts) != 6 || parts[1] != "argon2id" || parts[2] != fmt.Sprintf("v=%d", argon2.Version) {
		return false, errHash
	}
	var c cost
	if _, err := fmt.Sscanf(parts[3], "m=%d,t=%d,p=%d", &c.memory, &c.passes, &c.threads); err != nil {
		return false, errHash
	}
	if c.memory < 8 || c.memory > 1<<20 || c.passes < 1 || c.passes > 16 || c.threads < 1 {
		return false, errHash
	}
	salt, err := base64.RawStdEncoding.DecodeString(parts[4])
	if err != nil {
		return false, errHash
	}
	want, err := base64.RawStdEncoding.DecodeString(parts[5])
	if err != nil || len(want) != hashSize {
		return false, errHash
	}
	got := argon2.IDKey([]byte(password), salt, c.passes, c.memory, c.threads, hashSize)
	return subtle.ConstantTimeCompare(got, want) == 1, nil
}
