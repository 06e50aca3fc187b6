package reconcile

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"

	"dcpos/central/reconcile/segment"
)

// A run in parts is a sequence of pure steps over immutable data: every input is cut into
// portions, every portion is partitioned into a segment, every shard of all segments is
// joined into a result, and the results are merged. A step is named by a hash of all that
// goes into it. Whoever carries it out, however often, and wherever it is killed: the first
// outcome that is noted counts, and a step that has one is not done again, in this run or
// in a later one. DESIGN.md tells more.

// Notes are the manifest: small values by name of which the first that is kept stays.
type Notes interface {
	// Load returns a note, nil where there is none.
	Load(ctx context.Context, key string) ([]byte, error)
	// Keep writes a note unless there is one, and returns the one that stays: compare and set.
	Keep(ctx context.Context, key string, value []byte) ([]byte, error)
}

// Depot is where runs in parts keep what they are made of: data in Store, what was done in
// Notes. Both hold lines of payments and the key of their hashes; who may write to them may
// forge a result.
type Depot struct {
	Store segment.Store
	Notes Notes
	// InPlace leaves texts where they are instead of copying them into the store; workers
	// then have to run in this process.
	InPlace bool

	// Tests cut small inputs into many parts; 0 lets the planner choose.
	portion       int64
	depth, shards int
	blind         int // bits of bodies that are left out, so that pairs that differ look equal
}

// Task is one step for a worker.
type Task struct {
	Key  string `json:"key"`  // of the note that keeps its outcome
	Do   string `json:"do"`   // doPartition or doJoin
	Spec string `json:"spec"` // object that says all that a worker has to know
	N    int    `json:"n"`    // portion or shard
}

const (
	doPartition = "partition"
	doJoin      = "join"
	doTotals    = "totals" // done by whoever prepares, never a task
)

// Crew carries out tasks. When Do returns nil each of them has a note of its outcome.
type Crew interface {
	Do(ctx context.Context, tasks []Task) error
}

// partsVersion is part of the name of every step: it changes whenever a step's outcome does.
const partsVersion = 6

// The kinds of objects and notes.
const (
	kindText    = "text"
	kindSpec    = "spec"
	kindSegment = "segment"
	kindResult  = "result"
	kindSecret  = "secret"
	kindLayout  = "layout"
	kindStep    = "step"
)

// nameOf names a thing by all that goes into it.
func nameOf(kind string, of ...any) (string, error) {
	b, err := json.Marshal(append([]any{partsVersion}, of...))
	if err != nil {
		return "", err
	}
	sum := sha256.Sum256(b)
	return segment.Name(kind, sum[:]), nil
}

const secretBytes = 8 * secretWords

// secret is the depot's key of hashes and fingerprints. Segments of different days can only
// be compared under one key, so it is made once per depot; like a run's own it is random and
// leaves the depot never.
func (d *Depot) secret(ctx context.Context) ([]byte, error) {
	name, err := nameOf(kindSecret)
	if err != nil {
		return nil, err
	}
	kept, err := d.Notes.Load(ctx, name)
	if err == nil && kept == nil {
		fresh := make([]byte, secretBytes+segment.PrintKeySize)
		_, _ = rand.Read(fresh) // never fails
		kept, err = d.Notes.Keep(ctx, name, fresh)
	}
	if err != nil {
		return nil, fmt.Errorf("read the depot's key: %w", err)
	}
	if len(kept) != secretBytes+segment.PrintKeySize {
		return nil, fmt.Errorf("the depot's key has %d bytes: %w", len(kept), segment.ErrDamaged)
	}
	return kept, nil
}

func secretOf(b []byte) *secret {
	var s secret
	for i := range s {
		s[i] = binary.LittleEndian.Uint64(b[8*i:])
	}
	return &s
}

// secretID names a secret without telling it: what was made under another one is of no use.
func secretID(b []byte) string {
	sum := sha256.Sum256(append([]byte("dcpos reconcile secret "), b...))
	return hex.EncodeToString(sum[:])
}

func printKey(b []byte) (segment.Key, error) { return segment.NewKey(b[secretBytes:]) }

// outcome is the note of a step.
type outcome struct {
	Segment *segment.Ref `json:"segment,omitempty"`
	Result  *segment.Ref `json:"result,omitempty"`
	Fault   *inputFault  `json:"fault,omitempty"`
}

// inputFault is an InputError as it is noted.
type inputFault struct {
	Line   int64  `json:"line"` // within the portion, from 1; 0 for the file as a whole
	Number int    `json:"number"`
	Column string `json:"column"`
	EN     string `json:"en"`
	ZH     string `json:"zh"`
}

// load reads a step's outcome: nil where there is none, or where what it made is lost.
func (d *Depot) load(ctx context.Context, key string) (*outcome, error) {
	b, err := d.Notes.Load(ctx, key)
	if err != nil || b == nil {
		return nil, err
	}
	var o outcome
	if err := json.Unmarshal(b, &o); err != nil {
		return nil, fmt.Errorf("read note %s: %w", key, errors.Join(err, segment.ErrDamaged))
	}
	for _, ref := range []*segment.Ref{o.Segment, o.Result} {
		if ref == nil || ref.Inline != nil {
			continue
		}
		size, err := d.Store.Size(ctx, ref.Object)
		if errors.Is(err, fs.ErrNotExist) || err == nil && size != ref.Size {
			return nil, nil
		}
		if err != nil {
			return nil, err
		}
	}
	return &o, nil
}

var errUndone = errors.New("a part of the run has no outcome")
