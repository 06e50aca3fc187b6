package wallet_test

import (
	"bytes"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"dcpos/lab/institution"
	"dcpos/lab/wallet"
	"dcpos/pos"
	"dcpos/pos/dcep"
)

var now = time.Now()

func outside(t *testing.T) (*institution.Simulator, wallet.Client) {
	t.Helper()
	sim, err := institution.Open(institution.Options{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	srv := httptest.NewServer(sim.Handler())
	t.Cleanup(func() {
		srv.Close()
		if err := sim.Close(); err != nil {
			t.Error(err)
		}
	})
	return sim, wallet.Client{Base: srv.URL + "/CCB/v1", Key: sim.Key("CCB")}
}

func create(t *testing.T, c wallet.Client, dir string) *wallet.Wallet {
	t.Helper()
	w, err := wallet.Create(t.Context(), c, wallet.Opening{Dir: dir, Institution: "CCB", Name: "测试", Balance: 10_00, Envelope: 5_00})
	if err != nil {
		t.Fatal(err)
	}
	return w
}

func challenge(change func(*dcep.Challenge)) string {
	c := dcep.Challenge{
		Env: pos.Lab, Terminal: "T1", Merchant: "M1", Payment: pos.NewPaymentID(now, [10]byte{}), Amount: 1_23,
		Nonce: bytes.Repeat([]byte{1}, dcep.NonceSize), AtMS: now.UnixMilli(), ExpiresMS: now.Add(time.Minute).UnixMilli(),
	}
	change(&c)
	s, err := dcep.EncodeChallenge(c)
	if err != nil {
		panic(err)
	}
	return s
}

func same(*dcep.Challenge) {}

func TestAnswerNeedsNoNetworkAndNeverUsesACounterTwice(t *testing.T) {
	sim, client := outside(t)
	dir := filepath.Join(t.TempDir(), "w")
	create(t, client, dir)
	seen := map[uint64]bool{}
	for range 3 {
		w, err := wallet.Open(dir, wallet.Client{}) // as after a restart, without network
		if err != nil {
			t.Fatal(err)
		}
		for range 2 {
			text, err := w.Answer(challenge(same), now)
			if err != nil {
				t.Fatal(err)
			}
			e, err := dcep.DecodeEvidence(text)
			if err != nil {
				t.Fatal(err)
			}
			if seen[e.Counter] || e.Counter == 0 {
				t.Errorf("counter %d again", e.Counter)
			}
			seen[e.Counter] = true
			if c, err := dcep.VerifyEvidence(sim.Trust(), e, now); err != nil || c.Institution != "CCB" {
				t.Errorf("%+v %v", c, err)
			}
		}
		if _, err := w.Code(t.Context()); pos.CodeOf(err) != pos.ErrOffline {
			t.Errorf("a code without network: %v", err)
		}
	}
	w, err := wallet.Open(dir, wallet.Client{})
	if err != nil {
		t.Fatal(err)
	}
	text, err := w.DoubleSpend(challenge(same), now)
	if err != nil {
		t.Fatal(err)
	}
	if e, err := dcep.DecodeEvidence(text); err != nil || !seen[e.Counter] || w.Counter() != 6 {
		t.Errorf("a double spend with counter %d, wallet at %d: %v", e.Counter, w.Counter(), err)
	}
}

func TestWalletRefusesToSign(t *testing.T) {
	_, client := outside(t)
	w := create(t, client, "")
	for name, c := range map[string]struct {
		text string
		want pos.Code
	}{
		"a live till":         {challenge(func(c *dcep.Challenge) { c.Env = pos.Live }), pos.ErrEnvironment},
		"a challenge of past": {challenge(func(c *dcep.Challenge) { c.ExpiresMS = now.UnixMilli() - 1 }), pos.ErrExpired},
		"no amount":           {challenge(func(c *dcep.Challenge) { c.Amount = 0 }), pos.ErrBadCode},
		"another code":        {"https://example.com/", pos.ErrBadCode},
		"nothing":             {"", pos.ErrBadCode},
	} {
		t.Run(name, func(t *testing.T) {
			if text, err := w.Answer(c.text, now); pos.CodeOf(err) != c.want || text != "" {
				t.Errorf("got %q %v, want %s", text, err, c.want)
			}
		})
	}
	if _, err := w.DoubleSpend(challenge(same), now); pos.CodeOf(err) != pos.ErrIllegalMove {
		t.Errorf("double spend before any: %v", err)
	}
	if w.Counter() != 0 {
		t.Errorf("a refusal used counter %d", w.Counter())
	}
}

func TestWalletSignsNothingThatItCannotRemember(t *testing.T) {
	_, client := outside(t)
	dir := filepath.Join(t.TempDir(), "w")
	w := create(t, client, dir)
	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
	if text, err := w.Answer(challenge(same), now); err == nil || text != "" {
		t.Errorf("signed %q", text)
	}
}

func TestFolderIsKeptAndNotOverwritten(t *testing.T) {
	_, client := outside(t)
	dir := filepath.Join(t.TempDir(), "w")
	w := create(t, client, dir)
	for _, name := range []string{"wallet.json", "key.pem"} {
		if info, err := os.Stat(filepath.Join(dir, name)); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v %v", name, info, err)
		}
	}
	_, err := wallet.Create(t.Context(), client, wallet.Opening{Dir: dir, Institution: "CCB", Name: "x"})
	if pos.CodeOf(err) != pos.ErrBadRequest {
		t.Errorf("a second wallet in one folder: %v", err)
	}
	again, err := wallet.Open(dir, client)
	if err != nil {
		t.Fatal(err)
	}
	b, err := again.Balance(t.Context())
	if err != nil || b.Balance != 10_00 || b.Envelope != 5_00 {
		t.Errorf("balance %+v %v", b, err)
	}
	if d := cmp.Diff([]string{w.ID(), w.Name(), w.Institution()}, []string{again.ID(), again.Name(), again.Institution()}); d != "" {
		t.Error(d)
	}
	if c, err := again.Code(t.Context()); err != nil || !strings.HasPrefix(c, "01004") {
		t.Errorf("code %q %v", c, err)
	}
	if r, err := again.Scan(t.Context(), "dcpos-lab:pay:CCB:nothing"); err != nil || r.Status != "F" || r.Reason != "bad_code" {
		t.Errorf("scan %+v %v", r, err)
	}
	if _, err := wallet.Open(t.TempDir(), client); pos.CodeOf(err) != pos.ErrNotFound {
		t.Errorf("no wallet there: %v", err)
	}
}

func TestErrorsOfTheInstitutionHaveCodes(t *testing.T) {
	_, client := outside(t)
	w := create(t, client, "")
	if w.Counter() != 0 {
		t.Fatal("a new wallet has signed")
	}
	o := wallet.Opening{Institution: "CCB", Name: "x"}
	wrong, gone, nobody := client, client, client
	wrong.Key, gone.Base, nobody.Base = "x", strings.Replace(client.Base, "CCB", "XYZ", 1), "http://127.0.0.1:1/CCB/v1"
	for name, c := range map[string]struct {
		client wallet.Client
		want   pos.Code
	}{
		"wrong key":      {wrong, pos.ErrForbidden},
		"no institution": {gone, pos.ErrNotFound},
		"nobody there":   {nobody, pos.ErrInstitution},
		"no network":     {wallet.Client{}, pos.ErrOffline},
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := wallet.Create(t.Context(), c.client, o); pos.CodeOf(err) != c.want {
				t.Errorf("got %v, want %s", err, c.want)
			}
		})
	}
	o.Balance = -1
	if _, err := wallet.Create(t.Context(), client, o); pos.CodeOf(err) != pos.ErrBadRequest {
		t.Errorf("a balance below nothing: %v", err)
	}
}
