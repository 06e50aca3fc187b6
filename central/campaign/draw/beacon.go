package draw

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/cloudflare/circl/sign/bls"
)

// Quicknet is the hash of drand's chain of that name, which names it.
const Quicknet = "52db9ba70e0cc0f6eaf7803dd07447a1f5477735fd3f661792ba94600c84e971"

// PracticeChain names the beacon of demos and tests. Its secret is in this file: anybody
// can know its rounds beforehand.
const PracticeChain = "practice"

// practiceSeed makes the practice beacon's key; it is no secret.
const practiceSeed = "dcpos practice beacon: everybody knows this, nothing of value may follow"

// quicknetKey is the chain's public key, of scheme bls-unchained-g1-rfc9380 (drand,
// /52db…e971/info).
const quicknetKey = "83cf0f2896adee7eb8b5f01fcad3912212c437e0073e911fb90022d3e760183c" +
	"8c4b450b6a0a6c3ac6a5776a2d1064510d1fec758c921cc22b0e17e63aaf4bcb" +
	"5ed66304de9cf809bd274ca73bab4af5a6e9c76a4bc09e76eae8991ef5ece45a"

// chain is a public beacon: a signature on the number of each round, at a time that is
// known beforehand.
type chain struct {
	practice bool
	key      *bls.PublicKey[bls.KeyG2SigG1]
	genesis  time.Time
	period   time.Duration
}

// chainOf finds a compiled-in beacon by its hash.
func chainOf(name string) (chain, error) {
	switch name {
	case Quicknet:
		b, err := hex.DecodeString(quicknetKey)
		if err != nil {
			return chain{}, fmt.Errorf("beacon: %w", err)
		}
		key := new(bls.PublicKey[bls.KeyG2SigG1])
		if err := key.UnmarshalBinary(b); err != nil {
			return chain{}, fmt.Errorf("beacon: %w", err)
		}
		return chain{key: key, genesis: time.Unix(1_692_803_367, 0), period: 3 * time.Second}, nil
	case PracticeChain:
		key, err := practiceKey()
		if err != nil {
			return chain{}, err
		}
		// The practice beacon has a round each second, so that a demo need not wait.
		return chain{practice: true, key: key.public, genesis: time.Unix(1_577_808_000, 0), period: time.Second}, nil
	}
	return chain{}, fmt.Errorf("beacon: chain %.70q is not known", name)
}

// practicePair is the practice beacon's key.
type practicePair struct {
	secret *bls.PrivateKey[bls.KeyG2SigG1]
	public *bls.PublicKey[bls.KeyG2SigG1]
}

// practiceKey computes the pair once: it is always the same.
var practiceKey = sync.OnceValues(func() (practicePair, error) { //nolint:gochecknoglobals // a constant that is computed
	key, err := bls.KeyGen[bls.KeyG2SigG1]([]byte(practiceSeed), nil, nil)
	if err != nil {
		return practicePair{}, fmt.Errorf("practice beacon: %w", err)
	}
	return practicePair{key, key.PublicKey()}, nil
})

// timeOf is the moment before which nobody can know the round.
func (c chain) timeOf(round uint64) (time.Time, error) {
	if round < 1 || round > 1<<40 {
		return time.Time{}, fmt.Errorf("beacon: round %d", round)
	}
	return c.genesis.Add(time.Duration(round-1) * c.period), nil //nolint:gosec // bounded above
}

// TimeOf is the moment before which nobody can know the round of the chain.
func TimeOf(chainHash string, round uint64) (time.Time, error) {
	c, err := chainOf(chainHash)
	if err != nil {
		return time.Time{}, err
	}
	return c.timeOf(round)
}

// RoundAfter is the first round of the chain that nobody can know before t.
func RoundAfter(chainHash string, t time.Time) (uint64, error) {
	c, err := chainOf(chainHash)
	if err != nil {
		return 0, err
	}
	since := t.Sub(c.genesis)
	if since < 0 {
		return 1, nil
	}
	return uint64(since/c.period) + 2, nil //nolint:gosec // since is not negative
}

// Round is a beacon's answer as drand publishes it (GET /{chain}/public/{round}), and as
// it is imported by hand where the network is closed.
type Round struct {
	Round      uint64 `json:"round"`
	Randomness string `json:"randomness"`
	Signature  string `json:"signature"`
}

// ErrRound is in every error about a round that is not genuine.
var ErrRound = errors.New("not a genuine round of the beacon")

// Verify checks the signature on the round's number and that the randomness is its hash,
// and returns the randomness.
func (r Round) Verify(chainHash string) ([32]byte, error) {
	var none [32]byte
	c, err := chainOf(chainHash)
	if err != nil {
		return none, err
	}
	signature, err := hex.DecodeString(r.Signature)
	if err != nil || len(signature) != 48 {
		return none, fmt.Errorf("round %d: signature: want 48 bytes in hexadecimal: %w", r.Round, ErrRound)
	}
	if !bls.Verify(c.key, roundMessage(r.Round), signature) {
		return none, fmt.Errorf("round %d: the signature does not fit: %w", r.Round, ErrRound)
	}
	randomness := sha256.Sum256(signature)
	if hexOf(randomness) != r.Randomness {
		return none, fmt.Errorf("round %d: the randomness is not the hash of the signature: %w", r.Round, ErrRound)
	}
	return randomness, nil
}

// roundMessage is what the beacon signs: the SHA-256 of the round's number, eight bytes,
// big-endian (drand, unchained schemes).
func roundMessage(round uint64) []byte {
	var b [8]byte
	binary.BigEndian.PutUint64(b[:], round)
	sum := sha256.Sum256(b[:])
	return sum[:]
}

// PracticeRound makes a round of the practice beacon; everybody can.
func PracticeRound(round uint64) (Round, error) {
	key, err := practiceKey()
	if err != nil {
		return Round{}, err
	}
	signature := bls.Sign(key.secret, roundMessage(round))
	return Round{Round: round, Randomness: hexOf(sha256.Sum256(signature)), Signature: hex.EncodeToString(signature)}, nil
}
