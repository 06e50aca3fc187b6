package enrol_test

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"dcpos/pos"
	"dcpos/pos/dcep"
	"dcpos/sync/enrol"
	"dcpos/sync/wire"
)

func keys(t *testing.T) dcep.Signer {
	t.Helper()
	suite, err := dcep.SuiteByName(dcep.SM2SM3)
	if err != nil {
		t.Fatal(err)
	}
	s, err := suite.Generate()
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestOnlyAnAnswerThatCanWorkIsTaken(t *testing.T) {
	centre := keys(t)
	good := wire.EnrolAnswer{
		Terminal: "T1", Merchant: "M1", Store: "S1", Epoch: 1, CentreKey: centre.Public(), Suite: dcep.SM2SM3,
		NATSURL: "nats://127.0.0.1:1", Trust: dcep.Trust{Env: pos.Lab},
	}
	for name, c := range map[string]struct {
		change func(*wire.EnrolAnswer)
		want   string
	}{
		"good":             {func(*wire.EnrolAnswer) {}, ""},
		"no terminal":      {func(a *wire.EnrolAnswer) { a.Terminal = "" }, "terminal"},
		"a wild terminal":  {func(a *wire.EnrolAnswer) { a.Terminal = "a.>" }, "terminal"},
		"no epoch":         {func(a *wire.EnrolAnswer) { a.Epoch = 0 }, "lacks"},
		"a foreign suite":  {func(a *wire.EnrolAnswer) { a.Suite = "rot13" }, "centre's key"},
		"no key":           {func(a *wire.EnrolAnswer) { a.CentreKey = nil }, "centre's key"},
		"another world":    {func(a *wire.EnrolAnswer) { a.Trust.Env = pos.Live }, "environment"},
		"no road":          {func(a *wire.EnrolAnswer) { a.NATSURL = "" }, "lacks"},
		"key of the other": {func(a *wire.EnrolAnswer) { a.Suite = dcep.Ed25519SHA256 }, "centre's key"},
	} {
		s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path != wire.EnrolPath || r.Method != http.MethodPost {
				http.NotFound(w, r)
				return
			}
			a := good
			c.change(&a)
			_ = json.NewEncoder(w).Encode(a)
		}))
		_, err := enrol.Client{Base: s.URL + "/"}.Enrol(t.Context(), wire.EnrolRequest{Env: pos.Lab, Code: "X"})
		s.Close()
		if (c.want == "") != (err == nil) || (err != nil && !strings.Contains(err.Error(), c.want)) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestRefusalsKeepTheirCode(t *testing.T) {
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusForbidden)
		_ = json.NewEncoder(w).Encode(pos.NewError(pos.ErrForbidden, nil))
	}))
	defer s.Close()
	_, err := enrol.Client{Base: s.URL}.Enrol(t.Context(), wire.EnrolRequest{Env: pos.Lab})
	if pos.CodeOf(err) != pos.ErrForbidden {
		t.Errorf("refused: %v", err)
	}
	s.Close()
	if _, err = (enrol.Client{Base: s.URL}).Enrol(t.Context(), wire.EnrolRequest{}); pos.CodeOf(err) != pos.ErrOffline {
		t.Errorf("nobody there: %v", err)
	}
	for _, base := range []string{"", "centre", "127.0.0.1:8700", "pos.example.cn", "ftp://x", "http://"} {
		_, err := enrol.Client{Base: base}.Enrol(t.Context(), wire.EnrolRequest{})
		e := pos.AsError(err)
		if e.Code != pos.ErrBadRequest || e.Field != "centre" || !strings.Contains(e.Hint.ZH, "https://") || !strings.Contains(e.Hint.EN, "https://") {
			t.Errorf("address %q: %v, %+v", base, err, e.Hint)
		}
	}
}

func TestTheProofIsOfCodeAndKey(t *testing.T) {
	k := keys(t)
	proof, err := enrol.Proof(k, "CODE")
	if err != nil {
		t.Fatal(err)
	}
	v, err := k.Suite().Verifier(k.Public())
	if err != nil {
		t.Fatal(err)
	}
	if err := v.Verify(wire.DomainEnrol, enrol.ProofMessage("CODE", k.Public()), proof); err != nil {
		t.Error(err)
	}
	if err := v.Verify(wire.DomainEnrol, enrol.ProofMessage("OTHER", k.Public()), proof); err == nil {
		t.Error("the proof is good for another code")
	}
}
