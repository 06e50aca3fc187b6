package draw

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

// Ask takes checkpoints to a witness.
type Ask struct {
	URL    string // of the witness, without /add-checkpoint
	Client *http.Client
}

// askLimit bounds one question to the witness.
const askLimit = 10 * time.Second

// Stale says that the witness has seen another size than the old one, and which: an answer
// of hers was lost, or somebody else asked.
type Stale struct{ Size int64 }

func (s *Stale) Error() string { return fmt.Sprintf("the witness has seen %d records", s.Size) }

// Cosign sends the checkpoint of the log's first n records, of which the witness saw old
// before, and returns it with her signature added. Asking again is safe: where her answer
// was lost it is a *Stale, and she signs the same tree again for old = n.
func (a Ask) Cosign(ctx context.Context, l *Log, old, n int64, campaign string, publisher note.Signer) ([]byte, error) {
	tree, err := l.Tree(n)
	if err != nil {
		return nil, err
	}
	checkpoint, err := Checkpoint(campaign, tree, publisher)
	if err != nil {
		return nil, err
	}
	proof, err := l.Grown(old, n)
	if err != nil {
		return nil, err
	}
	line, err := a.post(ctx, request(old, proof, checkpoint))
	if err != nil {
		return nil, fmt.Errorf("ask witness: %w", err)
	}
	return append(checkpoint, line...), nil
}

// request is the body of C2SP tlog-witness: "old N", the proof, an empty line, the checkpoint.
func request(old int64, proof tlog.TreeProof, checkpoint []byte) []byte {
	var b bytes.Buffer
	fmt.Fprintf(&b, "old %d\n", old)
	for _, h := range proof {
		fmt.Fprintf(&b, "%s\n", h)
	}
	b.WriteByte('\n')
	b.Write(checkpoint)
	return b.Bytes()
}

func (a Ask) post(ctx context.Context, body []byte) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, askLimit)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, a.URL+"/add-checkpoint", bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	client := a.Client
	if client == nil {
		client = http.DefaultClient
	}
	answer, err := client.Do(r)
	if err != nil {
		return nil, err
	}
	defer func() { _ = answer.Body.Close() }() // read whole or given up
	b, err := io.ReadAll(io.LimitReader(answer.Body, 4096))
	if err != nil {
		return nil, err
	}
	if answer.StatusCode == http.StatusConflict {
		size, err := strconv.ParseInt(strings.TrimSpace(string(b)), 10, 64) // C2SP tlog-witness: the body is her size
		if err != nil || size < 0 {
			return nil, fmt.Errorf("%s without her size", answer.Status)
		}
		return nil, &Stale{size}
	}
	if answer.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("%s: %s", answer.Status, strings.TrimSpace(string(b)))
	}
	if !bytes.HasPrefix(b, []byte("— ")) || !bytes.HasSuffix(b, []byte("\n")) {
		return nil, errors.New("the answer is no signature line")
	}
	return b, nil
}
