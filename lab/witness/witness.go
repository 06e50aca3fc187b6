// Package witness is a witness of public logs: a party of its own, with her own key and
// clock, who co-signs a log's checkpoint only when it continues the last one she saw. It
// speaks C2SP tlog-witness (POST /add-checkpoint) and signs as C2SP tlog-cosignature v1.
//
// It shares no code with the draw that it watches.
package witness

import (
	"bytes"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

// What a witness refuses.
var (
	ErrUnknownLog = errors.New("the log is not known here, or its signature does not fit")
	ErrStale      = errors.New("the old size is not the one that was seen last")
	ErrForked     = errors.New("the checkpoint does not continue the last one seen")
	ErrMalformed  = errors.New("the request cannot be read")
)

// head is the last tree seen of a log.
type head struct {
	Size int64  `json:"size"`
	Root []byte `json:"root"`
}

// state is what the witness must not forget: kept in one file.
type state struct {
	Name string            `json:"name"`
	Seed []byte            `json:"seed"` // of the Ed25519 key
	Keys map[string]string `json:"keys"` // origin → the log's verifier key
	Logs map[string]head   `json:"logs"` // origin → last head
}

// Witness co-signs. It is safe for concurrent use.
type Witness struct {
	path string
	now  func() time.Time

	mu    sync.Mutex
	state state
}

// Open reads the witness's file, or makes one with a new key. Mode 0600. now is her
// clock; nil is the machine's.
func Open(path, name string, now func() time.Time) (*Witness, error) {
	if now == nil {
		now = time.Now
	}
	w := &Witness{path: path, now: now, state: state{Name: name, Keys: map[string]string{}, Logs: map[string]head{}}}
	b, err := os.ReadFile(path) //nolint:gosec // the caller's file
	switch {
	case errors.Is(err, fs.ErrNotExist):
		_, key, err := ed25519.GenerateKey(rand.Reader)
		if err != nil {
			return nil, fmt.Errorf("make witness key: %w", err)
		}
		w.state.Seed = key.Seed()
		return w, w.save(w.state)
	case err != nil:
		return nil, fmt.Errorf("open witness: %w", err)
	}
	if err := json.Unmarshal(b, &w.state); err != nil {
		return nil, fmt.Errorf("open witness %s: %w", path, err)
	}
	if len(w.state.Seed) != ed25519.SeedSize {
		return nil, fmt.Errorf("open witness %s: its key is damaged", path)
	}
	return w, nil
}

// save replaces the file and is durable before it returns.
func (w *Witness) save(s state) error {
	b, err := json.Marshal(s)
	if err != nil {
		return fmt.Errorf("keep witness: %w", err)
	}
	tmp, err := os.CreateTemp(filepath.Dir(w.path), ".witness-*") // mode 0600
	if err != nil {
		return fmt.Errorf("keep witness: %w", err)
	}
	_, err = tmp.Write(b)
	if err = errors.Join(err, tmp.Sync(), tmp.Close()); err == nil {
		err = os.Rename(tmp.Name(), w.path)
	}
	if err != nil {
		_ = os.Remove(tmp.Name()) // the first error is the telling one
		return fmt.Errorf("keep witness: %w", err)
	}
	return nil
}

func (w *Witness) key() ed25519.PrivateKey { return ed25519.NewKeyFromSeed(w.state.Seed) }

func (w *Witness) keyHash() uint32 {
	public := w.key().Public().(ed25519.PublicKey)
	sum := sha256.Sum256(append([]byte(w.state.Name+"\n\x04"), public...))
	return binary.BigEndian.Uint32(sum[:])
}

// VerifierKey is the witness's public key as text: name, hash, and 04h before the key.
func (w *Witness) VerifierKey() string {
	public := w.key().Public().(ed25519.PublicKey)
	return fmt.Sprintf("%s+%08x+%s", w.state.Name, w.keyHash(), base64.StdEncoding.EncodeToString(append([]byte{4}, public...)))
}

// Watch tells the witness of a log: its origin and its verifier key. Another key for an
// origin that is known is refused.
func (w *Witness) Watch(origin, vkey string) error {
	if _, err := note.NewVerifier(vkey); err != nil {
		return fmt.Errorf("watch %s: %w", origin, err)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if old, ok := w.state.Keys[origin]; ok {
		if old != vkey {
			return fmt.Errorf("watch %s: it is known with another key", origin)
		}
		return nil
	}
	w.state.Keys[origin] = vkey
	return w.save(w.state)
}

// Add looks at a checkpoint that grew from old records to more, by a proof, and returns
// the witness's signature line. What was seen is durable before the line is given out.
func (w *Witness) Add(old int64, proof tlog.TreeProof, checkpoint []byte) ([]byte, int64, error) {
	origin, _, _ := strings.Cut(string(checkpoint), "\n")
	w.mu.Lock()
	defer w.mu.Unlock()
	vkey, ok := w.state.Keys[origin]
	if !ok {
		return nil, 0, ErrUnknownLog
	}
	verifier, err := note.NewVerifier(vkey)
	if err != nil {
		return nil, 0, ErrUnknownLog
	}
	n, err := note.Open(checkpoint, note.VerifierList(verifier))
	if err != nil {
		return nil, 0, fmt.Errorf("%w: %w", ErrUnknownLog, err)
	}
	tree, err := parseTree(n.Text)
	if err != nil {
		return nil, 0, err
	}
	last := w.state.Logs[origin]
	if last.Size != old {
		return nil, last.Size, ErrStale
	}
	if err := grows(last, proof, tree); err != nil {
		return nil, last.Size, err
	}
	next := w.state
	next.Logs = map[string]head{}
	for k, v := range w.state.Logs {
		next.Logs[k] = v
	}
	next.Logs[origin] = head{tree.N, tree.Hash[:]}
	if err := w.save(next); err != nil {
		return nil, last.Size, err
	}
	w.state = next
	return w.sign(n.Text), tree.N, nil
}

func grows(last head, proof tlog.TreeProof, tree tlog.Tree) error {
	switch {
	case tree.N < last.Size:
		return ErrForked
	case last.Size == 0:
		return nil
	case tree.N == last.Size:
		if !bytes.Equal(tree.Hash[:], last.Root) {
			return ErrForked
		}
		return nil
	}
	if err := tlog.CheckTree(proof, tree.N, tree.Hash, last.Size, tlog.Hash(last.Root)); err != nil {
		return fmt.Errorf("%w: %w", ErrForked, err)
	}
	return nil
}

func parseTree(text string) (tlog.Tree, error) {
	lines := strings.Split(text, "\n")
	if len(lines) < 4 {
		return tlog.Tree{}, ErrMalformed
	}
	size, err := strconv.ParseInt(lines[1], 10, 64)
	if err != nil || size < 0 || strconv.FormatInt(size, 10) != lines[1] {
		return tlog.Tree{}, ErrMalformed
	}
	hash, err := tlog.ParseHash(lines[2])
	if err != nil {
		return tlog.Tree{}, ErrMalformed
	}
	return tlog.Tree{N: size, Hash: hash}, nil
}

// sign makes the line "— name base64(hash ‖ time ‖ signature)".
func (w *Witness) sign(text string) []byte {
	at := uint64(w.now().Unix()) //nolint:gosec // after 1970
	message := fmt.Sprintf("cosignature/v1\ntime %d\n%s", at, text)
	b := binary.BigEndian.AppendUint32(nil, w.keyHash())
	b = binary.BigEndian.AppendUint64(b, at)
	b = append(b, ed25519.Sign(w.key(), []byte(message))...)
	return []byte("— " + w.state.Name + " " + base64.StdEncoding.EncodeToString(b) + "\n")
}
