package witness

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"

	"golang.org/x/mod/sumdb/tlog"
)

// maxRequest is far above any: 63 hashes of proof and a checkpoint.
const maxRequest = 64 << 10

// Handler serves POST /add-checkpoint (C2SP tlog-witness). The request is a line "old N",
// the proof's hashes a line each, an empty line and the checkpoint; the answer is the
// signature line. 404 and 403: log not known; 409 with the size seen last: stale; 422: it
// does not continue; 400: cannot be read.
func (w *Witness) Handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("POST /add-checkpoint", func(rw http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(http.MaxBytesReader(rw, r.Body, maxRequest))
		if err != nil {
			http.Error(rw, "too large", http.StatusBadRequest)
			return
		}
		old, proof, checkpoint, err := parseRequest(string(body))
		if err != nil {
			http.Error(rw, err.Error(), http.StatusBadRequest)
			return
		}
		line, size, err := w.Add(old, proof, checkpoint)
		switch {
		case err == nil:
			_, _ = rw.Write(line) // the client sees a cut line and asks again
		case errors.Is(err, ErrStale):
			rw.Header().Set("Content-Type", "text/x.tlog.size")
			rw.WriteHeader(http.StatusConflict)
			_, _ = fmt.Fprintf(rw, "%d\n", size) // likewise
		case errors.Is(err, ErrUnknownLog):
			http.Error(rw, err.Error(), http.StatusForbidden)
		case errors.Is(err, ErrForked):
			http.Error(rw, err.Error(), http.StatusUnprocessableEntity)
		case errors.Is(err, ErrMalformed):
			http.Error(rw, err.Error(), http.StatusBadRequest)
		default:
			http.Error(rw, "cannot keep it now", http.StatusServiceUnavailable)
		}
	})
	return mux
}

func parseRequest(body string) (old int64, proof tlog.TreeProof, checkpoint []byte, err error) {
	head, rest, ok := strings.Cut(body, "\n\n")
	if !ok {
		return 0, nil, nil, ErrMalformed
	}
	lines := strings.Split(head, "\n")
	number, ok := strings.CutPrefix(lines[0], "old ")
	if !ok || len(lines) > 64 {
		return 0, nil, nil, ErrMalformed
	}
	if old, err = strconv.ParseInt(number, 10, 64); err != nil || old < 0 {
		return 0, nil, nil, ErrMalformed
	}
	for _, line := range lines[1:] {
		h, err := tlog.ParseHash(line)
		if err != nil {
			return 0, nil, nil, ErrMalformed
		}
		proof = append(proof, h)
	}
	return old, proof, []byte(rest), nil
}
