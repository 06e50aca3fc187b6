// Package operator signs people in at the till by number and PIN.
//
// PINs are kept as argon2id (RFC 9106) in the PHC string form. Five wrong ones lock
// a number for a time that doubles with each further five.
package operator

import (
	"crypto/rand"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
	"time"

	"golang.org/x/crypto/argon2"

	"dcpos/pos"
)

// Role is what an operator may do.
type Role string

// The roles.
const (
	Cashier    Role = "cashier"    // sells; refunds where the shop allows it
	Supervisor Role = "supervisor" // sells and refunds
)

// Valid reports whether r is a role.
func (r Role) Valid() bool { return r == Cashier || r == Supervisor }

// Operator is a person who may sign in.
type Operator struct {
	Number string `json:"number"`
	Name   string `json:"name"`
	Role   Role   `json:"role"`

	PINHash       string `json:"-"` // the PHC string of Hash
	Active        bool   `json:"-"` // false: barred from signing in
	Failures      int    `json:"-"` // wrong PINs since the last right one
	LockedUntilMS int64  `json:"-"` // Unix milliseconds; 0 when not locked
}

// Limits of a PIN, and of what leads to a lock.
const (
	MinPIN      = 4
	MaxPIN      = 12
	MaxNumber   = 16
	Failures    = 5
	lockFirst   = 30 * time.Second
	lockLongest = time.Hour
)

// The cost: OWASP's second recommendation for argon2id, which a 1 GHz till computes
// in about a tenth of a second.
const (
	memoryKiB = 19 * 1024
	passes    = 2
	threads   = 1
	saltSize  = 16
	keySize   = 32
)

// Hash makes the PHC string of a PIN.
func Hash(pin string) (string, error) {
	if err := checkPIN(pin); err != nil {
		return "", err
	}
	var salt [saltSize]byte
	if _, err := rand.Read(salt[:]); err != nil {
		return "", fmt.Errorf("draw salt: %w", err)
	}
	key := argon2.IDKey([]byte(pin), salt[:], passes, memoryKiB, threads, keySize)
	b := base64.RawStdEncoding
	return fmt.Sprintf("$argon2id$v=%d$m=%d,t=%d,p=%d$%s$%s", argon2.Version, memoryKiB, passes, threads,
		b.EncodeToString(salt[:]), b.EncodeToString(key)), nil
}

func checkPIN(pin string) error {
	if len(pin) < MinPIN || len(pin) > MaxPIN || strings.ContainsFunc(pin, func(r rune) bool { return r < '0' || r > '9' }) {
		return pos.FieldError(pos.ErrBadRequest, "pin", fmt.Errorf("want %d to %d digits", MinPIN, MaxPIN))
	}
	return nil
}

var errPHC = errors.New("not an argon2id string")

// Verify reports whether the PIN is that of the PHC string. An error means that the
// string cannot be used, not that the PIN is wrong.
func Verify(phc, pin string) (bool, error) {
	var version, memory, rounds, lanes int
	parts := strings.Split(phc, "$")
	if len(parts) != 6 || parts[1] != "argon2id" {
		return false, errPHC
	}
	if _, err := fmt.Sscanf(parts[2], "v=%d", &version); err != nil || version != argon2.Version {
		return false, fmt.Errorf("version: %w", errPHC)
	}
	if _, err := fmt.Sscanf(parts[3], "m=%d,t=%d,p=%d", &memory, &rounds, &lanes); err != nil ||
		memory < 8 || memory > 1<<20 || rounds < 1 || rounds > 16 || lanes < 1 || lanes > 16 {
		return false, fmt.Errorf("cost: %w", errPHC)
	}
	salt, err := base64.RawStdEncoding.DecodeString(parts[4])
	if err != nil || len(salt) < 8 || len(salt) > 64 {
		return false, fmt.Errorf("salt: %w", errPHC)
	}
	want, err := base64.RawStdEncoding.DecodeString(parts[5])
	if err != nil || len(want) < 16 || len(want) > 64 {
		return false, fmt.Errorf("key: %w", errPHC)
	}
	got := argon2.IDKey([]byte(pin), salt, uint32(rounds), uint32(memory), uint8(lanes), uint32(len(want)))
	return subtle.ConstantTimeCompare(got, want) == 1, nil
}

// LockUntil is the moment until which a number is locked after so many wrong PINs in
// a row, in Unix milliseconds; 0 when the last one locks nothing.
func LockUntil(wrong int, now time.Time) int64 {
	if wrong < Failures || wrong%Failures != 0 {
		return 0
	}
	wait := lockLongest
	if n := wrong/Failures - 1; n < 7 { // 30 s doubled seven times is over an hour
		wait = min(lockLongest, lockFirst<<n)
	}
	return now.Add(wait).UnixMilli()
}
