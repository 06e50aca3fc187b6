package draw

import (
	"bytes"
	"errors"
	"fmt"
	"time"

	"golang.org/x/mod/sumdb/tlog"
)

// RecordKind is what a record of the log says.
type RecordKind string

// The kinds, in the order in which they come; advances may follow.
const (
	RecordTerms   RecordKind = "terms"   // the terms are these
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

// maxRecords bounds a campaign's log: three decisions and an advance for each envelope.
const maxRecords = 3 + maxCount

// Log is one campaign's decisions so far. Its tree (RFC 6962) is over the records'
// canonical bytes.
type Log struct {
	Records []Record

	hashes []tlog.Hash // stored hashes of the tree, in tlog's order
	leaves int64
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
	l.Records = append(l.Records, r)
	return l.Tree(l.leaves)
}

// fits holds the records to their order: terms, list, result, then advances.
func (l *Log) fits(r Record) error {
	n := len(l.Records)
	want := RecordAdvance
	if n < 3 {
		want = []RecordKind{RecordTerms, RecordList, RecordResult}[n]
	}
	if n >= maxRecords {
		return fmt.Errorf("log: more than %d records", maxRecords)
	}
	if r.Kind != want {
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
	for n := 1; len(b) > 0; n++ {
		end := bytes.IndexByte(b, '\n') + 1
		if end == 0 {
			return nil, fmt.Errorf("log.jsonl:%d: no line feed at its end", n)
		}
		var r Record
		if err := decodeJSON(b[:end], &r); err != nil {
			return nil, fmt.Errorf("log.jsonl:%d: %w", n, err)
		}
		if _, err := l.Append(r); err != nil {
			return nil, fmt.Errorf("log.jsonl:%d: %w", n, err)
		}
		b = b[end:]
	}
	return l, nil
}

// Origin is the first line of the log's checkpoints (C2SP tlog-checkpoint): what the
// witness is to watch.
func Origin(campaign string) string { return "dcpos/draw/" + campaign }

// Witnessed is when a tree was seen by the witness.
type Witnessed struct {
	Tree tlog.Tree
	At   time.Time // by the witness's clock, to the second
}
