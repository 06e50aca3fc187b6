package institution_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"dcpos/lab/institution"
	"dcpos/lab/institution/api"
	"dcpos/lab/wallet"
	"dcpos/pos"
	"dcpos/pos/dcep"
)

// lab is a simulator behind a real listener, with a clock that stands still until moved.
type lab struct {
	dir  string
	ms   atomic.Int64
	seq  atomic.Uint32
	fee  int64
	sim  *institution.Simulator
	http *httptest.Server
}

// noon is 12:00 in Shanghai, far from any cut-over.
var noon = time.Date(2026, 3, 2, 12, 0, 0, 0, pos.Shanghai())

const today = pos.Date("2026-03-02")

func newLab(t *testing.T) *lab {
	t.Helper()
	l := &lab{dir: t.TempDir()}
	l.ms.Store(noon.UnixMilli())
	l.start(t)
	t.Cleanup(func() { l.stop(t) })
	return l
}

func (l *lab) now() time.Time            { return time.UnixMilli(l.ms.Load()) }
func (l *lab) advance(by time.Duration)  { l.ms.Add(by.Milliseconds()) }
func (l *lab) in(by time.Duration) int64 { return l.now().Add(by).UnixMilli() }

func (l *lab) start(tb testing.TB) {
	tb.Helper()
	sim, err := institution.Open(institution.Options{Dir: l.dir, Now: l.now, FeeBasisPoints: l.fee})
	if err != nil {
		tb.Fatal(err)
	}
	l.sim, l.http = sim, httptest.NewServer(sim.Handler())
}

func (l *lab) stop(tb testing.TB) {
	tb.Helper()
	l.http.Close()
	if err := l.sim.Close(); err != nil {
		tb.Error(err)
	}
}

func (l *lab) restart(t *testing.T) {
	t.Helper()
	l.stop(t)
	l.start(t)
}

func (l *lab) id() string {
	n := l.seq.Add(1)
	return pos.NewPaymentID(l.now(), [10]byte{0, 0, 0, 0, 0, 0, 0, byte(n >> 16), byte(n >> 8), byte(n)}).String()
}

// try calls an institution; err is that of the connection.
func (l *lab) try(ctx context.Context, method, inst, path string, in any) (int, []byte, error) {
	var body io.Reader
	switch v := in.(type) {
	case nil:
	case string:
		body = strings.NewReader(v)
	default:
		b, err := json.Marshal(v)
		if err != nil {
			return 0, nil, err
		}
		body = bytes.NewReader(b)
	}
	req, err := http.NewRequestWithContext(ctx, method, l.http.URL+"/"+inst+"/v1"+path, body)
	if err != nil {
		return 0, nil, err
	}
	req.Header.Set(institution.KeyHeader, l.sim.Key(inst))
	res, err := l.http.Client().Do(req)
	if err != nil {
		return 0, nil, err
	}
	b, err := io.ReadAll(res.Body)
	return res.StatusCode, b, errorsJoin(err, res.Body.Close())
}

func errorsJoin(a, b error) error {
	if a != nil {
		return a
	}
	return b
}

// do calls ICBC and wants an answer of the status.
func do[T any](t *testing.T, l *lab, want int, method, path string, in any) T {
	t.Helper()
	status, b, err := l.try(t.Context(), method, "ICBC", path, in)
	if err != nil {
		t.Fatal(err)
	}
	if status != want {
		t.Fatalf("%s %s: status %d, want %d: %s", method, path, status, want, b)
	}
	var v T
	if err := json.Unmarshal(b, &v); err != nil {
		t.Fatalf("%s %s: %v: %s", method, path, err, b)
	}
	return v
}

func post[T any](t *testing.T, l *lab, path string, in any) T {
	t.Helper()
	return do[T](t, l, http.StatusOK, http.MethodPost, path, in)
}

func get[T any](t *testing.T, l *lab, path string) T {
	t.Helper()
	return do[T](t, l, http.StatusOK, http.MethodGet, path, nil)
}

func (l *lab) wallet(t *testing.T, own, envelope pos.Money) *wallet.Wallet {
	t.Helper()
	return l.walletAt(t, "ICBC", own, envelope, "")
}

func (l *lab) walletAt(t *testing.T, inst string, own, envelope pos.Money, suite string) *wallet.Wallet {
	t.Helper()
	w, err := wallet.Create(t.Context(), wallet.Client{Base: l.http.URL + "/" + inst + "/v1", Key: l.sim.Key(inst)},
		wallet.Opening{Institution: inst, Name: "test", Balance: own, Envelope: envelope, Suite: suite})
	if err != nil {
		t.Fatal(err)
	}
	return w
}

func (l *lab) payment(t *testing.T, w *wallet.Wallet, amount pos.Money) api.Payment {
	t.Helper()
	code, err := w.Code(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return api.Payment{
		RequestID: l.id(), Merchant: "M1", Terminal: "T1", Amount: amount, Code: code, ExpiresMS: l.in(time.Minute),
	}
}

func (l *lab) order(amount pos.Money) api.Order {
	return api.Order{RequestID: l.id(), Merchant: "M1", Terminal: "T1", Amount: amount, ValidUntilMS: l.in(time.Minute)}
}

func (l *lab) challenge(amount pos.Money) dcep.Challenge {
	id, err := pos.ParsePaymentID(l.id())
	if err != nil {
		panic(err)
	}
	return dcep.Challenge{
		Env: pos.Lab, Terminal: "T1", Merchant: "M1", Payment: id, Amount: amount,
		Nonce: bytes.Repeat([]byte{9}, dcep.NonceSize), AtMS: l.in(0), ExpiresMS: l.in(time.Minute),
	}
}

// signed is a wallet's evidence of the amount as the centre would hand it in.
func (l *lab) signed(tb testing.TB, sign func(string, time.Time) (string, error), amount pos.Money) api.Evidence {
	tb.Helper()
	c := l.challenge(amount)
	shown, err := dcep.EncodeChallenge(c)
	if err != nil {
		tb.Fatal(err)
	}
	text, err := sign(shown, l.now())
	if err != nil {
		tb.Fatal(err)
	}
	e, err := dcep.DecodeEvidence(text)
	if err != nil {
		tb.Fatal(err)
	}
	return handIn(tb, e)
}

func handIn(tb testing.TB, e dcep.Evidence) api.Evidence {
	tb.Helper()
	b, err := dcep.Marshal(e)
	if err != nil {
		tb.Fatal(err)
	}
	return api.Evidence{RequestID: e.Challenge.Payment.String(), Evidence: base64.StdEncoding.EncodeToString(b)}
}

func (l *lab) books(t *testing.T) api.Totals {
	t.Helper()
	b := get[api.Totals](t, l, "/books")
	if sum := b.WalletsOwn + b.WalletsEnvelope + b.Merchants + b.Fees; sum != b.Issued {
		t.Errorf("books hold %s, %s were issued: %+v", sum, b.Issued, b)
	}
	return b
}

// statement gives the lines after the header, split into columns.
func (l *lab) statement(t *testing.T, date pos.Date) [][]string {
	t.Helper()
	status, b, err := l.try(t.Context(), http.MethodGet, "ICBC", "/statements/"+string(date)+".csv", nil)
	if err != nil || status != http.StatusOK {
		t.Fatalf("statement: %d %v %s", status, err, b)
	}
	lines := strings.Split(strings.TrimSuffix(string(b), "\n"), "\n")
	want := "txn_id,merchant_id,terminal_id,bank,amount_fen,fee_fen,status,ts,orig_txn_id,batch_no,settlement_date"
	if lines[0] != want {
		t.Fatalf("header %q, want %q", lines[0], want)
	}
	var out [][]string
	for _, s := range lines[1:] {
		columns := strings.Split(s, ",")
		if len(columns) != 11 {
			t.Fatalf("line %q has %d columns", s, len(columns))
		}
		out = append(out, columns)
	}
	return out
}

func (l *lab) fault(t *testing.T, f api.Fault) {
	t.Helper()
	post[api.Fault](t, l, "/faults", f)
}

func wantBalance(t *testing.T, w *wallet.Wallet, own, envelope pos.Money) {
	t.Helper()
	b, err := w.Balance(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if got, want := fmt.Sprint(b.Balance, b.Envelope), fmt.Sprint(own, envelope); got != want {
		t.Errorf("wallet holds %s (own, envelope), want %s", got, want)
	}
}
