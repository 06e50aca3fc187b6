package draw

import (
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

// algCosignature is the byte of Ed25519 cosignatures (C2SP tlog-cosignature, v1); a
// cosignature is eight bytes of time, big-endian seconds, and 64 of signature.
const (
	algCosignature  = 4
	cosignatureSize = 8 + ed25519.SignatureSize
)

// witnessKey verifies cosignatures of one witness.
type witnessKey struct {
	name string
	hash uint32
	key  ed25519.PublicKey
}

var _ note.Verifier = witnessKey{}

// parseWitnessKey reads "name+hash+key" whose key begins with the cosignature's byte.
func parseWitnessKey(vkey string) (witnessKey, error) {
	fail := errors.New("witness key: want name+hash+key of an Ed25519 cosigner")
	name, rest, ok := strings.Cut(vkey, "+")
	hash16, key64, ok2 := strings.Cut(rest, "+")
	hash, err1 := strconv.ParseUint(hash16, 16, 32)
	key, err2 := base64.StdEncoding.DecodeString(key64)
	if !ok || !ok2 || len(hash16) != 8 || err1 != nil || err2 != nil || len(key) != 1+ed25519.PublicKeySize || key[0] != algCosignature {
		return witnessKey{}, fail
	}
	w := witnessKey{name: name, hash: uint32(hash), key: key[1:]} //nolint:gosec // parsed as 32 bits
	sum := sha256.Sum256(append([]byte(name+"\n"), key...))
	if name == "" || strings.ContainsAny(name, " \t\n+") || binary.BigEndian.Uint32(sum[:]) != w.hash {
		return witnessKey{}, fail
	}
	return w, nil
}

// Name implements note.Verifier.
func (w witnessKey) Name() string { return w.name }

// KeyHash implements note.Verifier.
func (w witnessKey) KeyHash() uint32 { return w.hash }

// Verify implements note.Verifier.
func (w witnessKey) Verify(text, sig []byte) bool {
	if len(sig) != cosignatureSize {
		return false
	}
	at := binary.BigEndian.Uint64(sig)
	message := append([]byte("cosignature/v1\ntime "+strconv.FormatUint(at, 10)+"\n"), text...)
	return ed25519.Verify(w.key, message, sig[8:])
}

// at reads the time of a cosignature that was verified.
func cosignedAt(s note.Signature) (time.Time, error) {
	b, err := base64.StdEncoding.DecodeString(s.Base64)
	if err != nil || len(b) != 4+cosignatureSize {
		return time.Time{}, errors.New("cosignature: wrong size")
	}
	seconds := binary.BigEndian.Uint64(b[4:])
	if seconds > 1<<40 {
		return time.Time{}, errors.New("cosignature: time out of range")
	}
	return time.Unix(int64(seconds), 0), nil //nolint:gosec // bounded above
}

// checkpointText is what is signed of a tree (C2SP tlog-checkpoint): origin, size, root.
func checkpointText(campaign string, t tlog.Tree) string {
	return fmt.Sprintf("%s\n%d\n%s\n", Origin(campaign), t.N, t.Hash)
}

// Checkpoint signs a tree as its publisher. The witness adds her line to it.
func Checkpoint(campaign string, t tlog.Tree, publisher note.Signer) ([]byte, error) {
	b, err := note.Sign(&note.Note{Text: checkpointText(campaign, t)}, publisher)
	if err != nil {
		return nil, fmt.Errorf("sign checkpoint: %w", err)
	}
	return b, nil
}

// openCheckpoint verifies publisher and witness of a checkpoint and returns what the
// witness saw and when.
func openCheckpoint(b []byte, t Terms) (Witnessed, error) {
	publisher, err := note.NewVerifier(t.Publisher)
	if err != nil {
		return Witnessed{}, fmt.Errorf("publisher key: %w", err)
	}
	witness, err := parseWitnessKey(t.Witness)
	if err != nil {
		return Witnessed{}, err
	}
	n, err := note.Open(b, note.VerifierList(publisher, witness))
	if err != nil {
		return Witnessed{}, fmt.Errorf("signatures: %w", err)
	}
	var seen Witnessed
	signed := false
	for _, s := range n.Sigs {
		switch s.Hash {
		case publisher.KeyHash():
			signed = true
		case witness.KeyHash():
			if seen.At, err = cosignedAt(s); err != nil {
				return Witnessed{}, err
			}
		}
	}
	if !signed || seen.At.IsZero() {
		return Witnessed{}, errors.New("want the signatures of the publisher and of the witness")
	}
	if len(n.UnverifiedSigs) > 0 {
		return Witnessed{}, errors.New("a signature of somebody else")
	}
	lines := strings.Split(n.Text, "\n")
	if len(lines) != 4 || lines[3] != "" {
		return Witnessed{}, errors.New("want three lines: origin, size, root")
	}
	seen.Tree.N, err = strconv.ParseInt(lines[1], 10, 64)
	if err == nil {
		seen.Tree.Hash, err = tlog.ParseHash(lines[2])
	}
	if err != nil || checkpointText(t.Campaign, seen.Tree) != n.Text {
		return Witnessed{}, errors.New("want origin, size and root of this campaign's log")
	}
	return seen, nil
}

// Fingerprint names a verifier key for people: the first 16 hexadecimal digits of the
// SHA-256 of the key as text.
func Fingerprint(vkey string) string {
	sum := sha256.Sum256([]byte(vkey))
	return hexOf(sum)[:16]
}

// Witnessed verifies the checkpoint of the log's first n records: both signatures, and
// that it is this log's tree.
func (l *Log) Witnessed(checkpoint []byte, n int64, t Terms) (Witnessed, error) {
	w, err := openCheckpoint(checkpoint, t)
	if err != nil {
		return w, err
	}
	tree, err := l.Tree(n)
	if err != nil {
		return w, err
	}
	if w.Tree != tree {
		return w, fmt.Errorf("it is not the tree of the log's first %d records", n)
	}
	return w, nil
}
