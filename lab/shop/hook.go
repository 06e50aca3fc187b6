package shop

import (
	"crypto/ed25519"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"time"

	"dcpos/pos"
)

// Event is what the centre tells.
type Event struct {
	ID       string    `json:"id"`
	Number   int64     `json:"number"`
	Kind     string    `json:"kind"`
	Env      string    `json:"env"`
	Shop     string    `json:"shop"`
	Payment  string    `json:"payment"`
	Order    string    `json:"order_id"`
	Refund   string    `json:"refund"`
	Amount   pos.Money `json:"amount_fen"`
	Envelope pos.Money `json:"envelope_fen"`
	Own      pos.Money `json:"own_fen"`      // of a refund
	Recalled pos.Money `json:"recalled_fen"` // of a refund
}

// hookWindow is how far a webhook's signature may be from now.
const hookWindow = 10 * time.Minute

var hookInput = regexp.MustCompile(`^dcpos=\([^)]*\)(;created=([0-9]{1,12});nonce="[^"]+";alg="ed25519";keyid="([^"]+)";tag="dcpos-hook-1")$`)

// Receiver takes webhooks: it believes what the centre's key has signed, and takes each
// event once, however often it comes.
type Receiver struct {
	KeyID  string
	Key    ed25519.PublicKey
	Now    func() time.Time
	Handle func(Event) error // a returned error lets the event come again

	mu   sync.Mutex
	seen map[string]int
}

// Seen tells how often an event has come.
func (r *Receiver) Seen(id string) int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.seen[id]
}

// ServeHTTP takes one webhook: 204 taken, 401 not the centre's, 503 to be sent again.
func (r *Receiver) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	body, err := io.ReadAll(http.MaxBytesReader(w, req.Body, 64<<10))
	if err == nil {
		err = r.verify(req, body)
	}
	if err != nil {
		http.Error(w, err.Error(), http.StatusUnauthorized)
		return
	}
	var e Event
	if err := json.Unmarshal(body, &e); err != nil || e.ID == "" {
		http.Error(w, "want an event", http.StatusBadRequest)
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.seen == nil {
		r.seen = map[string]int{}
	}
	if r.seen[e.ID] == 0 && r.Handle != nil {
		if err := r.Handle(e); err != nil {
			http.Error(w, err.Error(), http.StatusServiceUnavailable)
			return
		}
	}
	r.seen[e.ID]++
	w.WriteHeader(http.StatusNoContent)
}

func (r *Receiver) verify(req *http.Request, body []byte) error {
	found := hookInput.FindStringSubmatch(req.Header.Get("Signature-Input"))
	if found == nil {
		return errors.New("Signature-Input is not the centre's")
	}
	seconds, err := strconv.ParseInt(found[2], 10, 64)
	if err != nil || found[3] != r.KeyID {
		return fmt.Errorf("signed by %q", found[3])
	}
	now := time.Now
	if r.Now != nil {
		now = r.Now
	}
	if off := now().Sub(time.Unix(seconds, 0)); off > hookWindow || off < -hookWindow {
		return fmt.Errorf("signed %s ago", off)
	}
	if req.Header.Get("Content-Digest") != bodyDigest(body) {
		return errors.New("the body is another")
	}
	params, text := signed(req, found[1])
	if req.Header.Get("Signature-Input") != "dcpos="+params {
		return errors.New("other parts are signed")
	}
	code, _ := strings.CutPrefix(req.Header.Get("Signature"), "dcpos=:")
	sig, err := base64.StdEncoding.DecodeString(strings.TrimSuffix(code, ":"))
	if err != nil || !ed25519.Verify(r.Key, []byte(text), sig) {
		return errors.New("the signature does not hold")
	}
	return nil
}
