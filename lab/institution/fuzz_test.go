package institution_test

import (
	"bytes"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"dcpos/lab/institution"
)

// FuzzHandlers sends bodies to every POST: whatever they say, the answer is JSON, no
// server error, and the books balance.
func FuzzHandlers(f *testing.F) {
	sim, err := institution.Open(institution.Options{Dir: f.TempDir()})
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(func() { _ = sim.Close() })
	handler := sim.Handler()
	const id = "0195c1a0-0000-7000-8000-000000000001"
	paths := []string{"payments", "orders", "refunds", "evidence", "wallets", "wallets/x/scan"}
	for i, body := range []string{
		`{"request_id":"` + id + `","merchant":"M","terminal":"T","amount_fen":1,"code":"0100112345678901234","expires_ms":99999999999999}`,
		`{"request_id":"` + strings.Replace(id, "01", "02", 1) + `","merchant":"M","terminal":"T","amount_fen":1,"valid_until_ms":99999999999999}`,
		`{"request_id":"` + strings.Replace(id, "01", "03", 1) + `","orig_request_id":"` + id + `","amount_fen":1}`,
		`{"request_id":"` + id + `","evidence":"oWFhAQ=="}`,
		`{"name":"n","balance_fen":1,"envelope_fen":1,"suite":"ed25519-sha256","public_key":"MCowBQYDK2VwAyEAGb9ECWmEzf6FQbrBZ9w7lshQhqowtrbLDFw4rXAxZuE="}`,
		`{"qr":"dcpos-lab:pay:ICBC:x"}`,
	} {
		f.Add(uint8(i), []byte(body))
	}
	f.Fuzz(func(t *testing.T, which uint8, body []byte) {
		path := "/ICBC/v1/" + paths[int(which)%len(paths)]
		r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, path, bytes.NewReader(body))
		r.Header.Set(institution.KeyHeader, sim.Key("ICBC"))
		w := httptest.NewRecorder()
		handler.ServeHTTP(w, r)
		if !json.Valid(w.Body.Bytes()) || w.Code >= http.StatusInternalServerError {
			t.Errorf("%s answered %d %s", path, w.Code, w.Body)
		}
		for _, b := range sim.Totals() {
			if b.WalletsOwn+b.WalletsEnvelope+b.Merchants+b.Fees != b.Issued {
				t.Errorf("books out of balance: %+v", b)
			}
		}
	})
}
