package draw

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"time"

	"golang.org/x/mod/sumdb/tlog"
)

// RecordKind is what a record of the log says.
type RecordKind string

// The kinds, in the order in which they come: each version of the terms, list, result;
// advances may follow.
const (
	RecordTerms   RecordKind = "terms"   // the terms are these, instead of any before
	RecordList    RecordKind = "list"    // the list is this
	RecordResult  RecordKind = "result"  // the result is this
	RecordAdvance RecordKind = "advance" // a winner dropped out and the next on the waiting list moved up
)

// Record is one decision. Only the fields of its kind are set.
type Record struct {
	Kind RecordKind `json:"kind"`
	// SHA256 is the hash of terms.json (terms) or of transcript.json (result), hexadecimal.
	SHA256 string `json:"sha256,omitempty"`
	// Root and Size are the list's (list).
	Root string `json:"root,omitempty"`
	Size int64  `json:"size,omitempty"`
	// Out and In are tickets, Reason a word (advance). In is empty when nobody waited any more.
	Out    string `json:"out,omitempty"`
	In     string `json:"in,omitempty"`
	Reason string `json:"reason,omitempty"`
}

// MaxVersions bounds the versions of a campaign's terms.
const MaxVersions = 99

// maxRecords bounds a campaign's log: its versions, list, result, and an advance for each
// envelope.
const maxRecords = MaxVersions + 2 + maxCount

// Line is the record as a line of log.jsonl, with its line feed: what the tree is over.
func (r Record) Line() ([]byte, error) { return encodeJSON(r) }

// Log is one campaign's decisions so far. Its tree (RFC 6962) is over the records'
// canonical bytes.
type Log struct {
	Records []Record

	hashes   []tlog.Hash // stored hashes of the tree, in tlog's order
	leaves   int64
	versions int64
}

// Versions is how many versions of the terms it begins with; the last one is in force.
func (l *Log) Versions() int64 { return l.versions }

// List is the record of the list, if it is there.
func (l *Log) List() (Record, bool) { return l.after(1) }

// Result is the record of the result, if it is there.
func (l *Log) Result() (Record, bool) { return l.after(2) }

// after is the n-th record that follows the terms.
func (l *Log) after(n int64) (Record, bool) {
	if at := l.versions + n; l.versions > 0 && at <= l.leaves {
		return l.Records[at-1], true
	}
	return Record{}, false
}

// Advances are the records after the result, in order.
func (l *Log) Advances() []Record {
	return l.Records[min(l.leaves, l.versions+2):]
}

// Clone is a log of its own with the same records.
func (l *Log) Clone() *Log {
	c := *l
	c.Records, c.hashes = slices.Clone(l.Records), slices.Clone(l.hashes)
	return &c
}

// Append adds a record and returns the tree with it.
func (l *Log) Append(r Record) (tlog.Tree, error) {
	if err := l.fits(r); err != nil {
		return tlog.Tree{}, err
	}
	b, err := encodeJSON(r)
	if err != nil {
		return tlog.Tree{}, err
	}
	more, err := tlog.StoredHashes(l.leaves, b, tlog.HashReaderFunc(l.read))
	if err != nil {
		return tlog.Tree{}, fmt.Errorf("append to log: %w", err)
	}
	l.hashes = append(l.hashes, more...)
	l.leaves++
	if r.Kind == RecordTerms {
		l.versions++
	}
	l.Records = append(l.Records, r)
	return l.Tree(l.leaves)
}

// next is the kind that follows the last record; after terms others may follow too.
func (l *Log) next() RecordKind {
	if l.leaves == 0 {
		return RecordTerms
	}
	switch l.Records[l.leaves-1].Kind {
	case RecordTerms:
		return RecordList
	case RecordList:
		return RecordResult
	case RecordResult, RecordAdvance:
	}
	return RecordAdvance
}

// fits holds the records to their order: terms, list, result, then advances.
func (l *Log) fits(r Record) error {
	n, want := len(l.Records), l.next()
	if n >= maxRecords {
		return fmt.Errorf("log: more than %d records", maxRecords)
	}
	if another := r.Kind == RecordTerms && l.versions == l.leaves && l.versions < MaxVersions; r.Kind != want && !another {
		return fmt.Errorf("log: record %d is %.20q, want %s", n+1, r.Kind, want)
	}
	blank := Record{Kind: r.Kind}
	switch r.Kind {
	case RecordTerms, RecordResult:
		blank.SHA256 = r.SHA256
		if !hashForm.MatchString(r.SHA256) {
			return fmt.Errorf("log: record %d: sha256: want 64 hexadecimal digits", n+1)
		}
	case RecordList:
		blank.Root, blank.Size = r.Root, r.Size
		if !hashForm.MatchString(r.Root) || r.Size < 0 || r.Size > MaxEntries {
			return fmt.Errorf("log: record %d: root and size", n+1)
		}
	case RecordAdvance:
		blank.Out, blank.In, blank.Reason = r.Out, r.In, r.Reason
		if !hashForm.MatchString(r.Out) || r.In != "" && !hashForm.MatchString(r.In) || !nameForm.MatchString(r.Reason) {
			return fmt.Errorf("log: record %d: out, in and reason", n+1)
		}
	}
	if r != blank {
		return fmt.Errorf("log: record %d has fields of another kind", n+1)
	}
	return nil
}

func (l *Log) read(indexes []int64) ([]tlog.Hash, error) {
	out := make([]tlog.Hash, len(indexes))
	for i, x := range indexes {
		if x < 0 || x >= int64(len(l.hashes)) {
			return nil, errors.New("no such hash")
		}
		out[i] = l.hashes[x]
	}
	return out, nil
}

// Tree is the tree over the first n records.
func (l *Log) Tree(n int64) (tlog.Tree, error) {
	if n < 0 || n > l.leaves {
		return tlog.Tree{}, fmt.Errorf("log: tree of %d records, there are %d", n, l.leaves)
	}
	h, err := tlog.TreeHash(n, tlog.HashReaderFunc(l.read))
	if err != nil {
		return tlog.Tree{}, fmt.Errorf("log: tree of %d records: %w", n, err)
	}
	return tlog.Tree{N: n, Hash: h}, nil
}

// Grown proves that the tree of n records continues the one of m: what a witness asks for.
func (l *Log) Grown(m, n int64) (tlog.TreeProof, error) {
	if m == 0 || m == n {
		return nil, nil
	}
	p, err := tlog.ProveTree(n, m, tlog.HashReaderFunc(l.read))
	if err != nil {
		return nil, fmt.Errorf("log: prove %d from %d: %w", n, m, err)
	}
	return p, nil
}

// Encode gives log.jsonl: a record a line.
func (l *Log) Encode() ([]byte, error) {
	var b bytes.Buffer
	for _, r := range l.Records {
		line, err := encodeJSON(r)
		if err != nil {
			return nil, err
		}
		b.Write(line)
	}
	return b.Bytes(), nil
}

// DecodeLog reads log.jsonl.
func DecodeLog(b []byte) (*Log, error) {
	l := &Log{}
	return l, l.Extend(b)
}

// Extend appends lines of log.jsonl. After an error the log holds those before it.
func (l *Log) Extend(b []byte) error {
	for len(b) > 0 {
		n := l.leaves + 1
		end := bytes.IndexByte(b, '\n') + 1
		if end == 0 {
			return fmt.Errorf("log.jsonl:%d: no line feed at its end", n)
		}
		var r Record
		if err := decodeJSON(b[:end], &r); err != nil {
			return fmt.Errorf("log.jsonl:%d: %w", n, err)
		}
		if _, err := l.Append(r); err != nil {
			return fmt.Errorf("log.jsonl:%d: %w", n, err)
		}
		b = b[end:]
	}
	return nil
}

// Origin is the first line of the log's checkpoints (C2SP tlog-checkpoint): what the
// witness is to watch.
func Origin(campaign string) string { return "dcpos/draw/" + campaign }

// Witnessed is when a tree was seen by the witness.
type Witnessed struct {
	Tree tlog.Tree
	At   time.Time // by the witness's clock, to the second
}
