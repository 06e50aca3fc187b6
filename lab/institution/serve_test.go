package institution_test

import (
	"context"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"dcpos/lab/institution"
)

func TestServeStopsWhenTheContextEnds(t *testing.T) {
	sim, err := institution.Open(institution.Options{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = sim.Close() }()
	var config net.ListenConfig
	l, err := config.Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- sim.Serve(ctx, l) }()
	url := "http://" + l.Addr().String() + "/healthz"
	ask := func() error {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
		if err != nil {
			return err
		}
		res, err := http.DefaultClient.Do(req)
		if err != nil {
			return err
		}
		return res.Body.Close()
	}
	if err := ask(); err != nil {
		t.Fatal(err)
	}
	slow, gone := l.Addr().String(), make(chan error, 1)
	go func() { gone <- waiting(t, sim, slow) }()
	for sim.Totals()[0].OpenOrders == 0 {
		time.Sleep(time.Millisecond)
	}
	stop()
	if err := <-gone; err == nil {
		t.Error("an answer that was not waited for came all the same")
	}
	select {
	case err := <-ended:
		if err != nil {
			t.Error(err)
		}
	case <-time.After(time.Minute):
		t.Fatal("still serving")
	}
	if ask() == nil {
		t.Error("answered after the end")
	}
}

// waiting opens an order whose answer is ordered to take two minutes.
func waiting(t *testing.T, sim *institution.Simulator, host string) error {
	t.Helper()
	if err := send(t, sim, host, "faults", `{"op":"orders","kind":"slow","delay_ms":120000}`); err != nil {
		return err
	}
	return send(t, sim, host, "orders", `{"request_id":"0195c1a0-0000-7000-8000-000000000001",`+
		`"merchant":"M","terminal":"T","amount_fen":1,"valid_until_ms":99999999999999}`)
}

func send(t *testing.T, sim *institution.Simulator, host, path, body string) error {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://"+host+"/ICBC/v1/"+path, strings.NewReader(body))
	if err != nil {
		return err
	}
	req.Header.Set(institution.KeyHeader, sim.Key("ICBC"))
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	return res.Body.Close()
}
