package api_test

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"dcpos/lab/institution/api"
	"dcpos/pos"
)

const uuid = "0195c1a0-0000-7000-8000-000000000001"

func TestDecodeNamesTheField(t *testing.T) {
	good := `{"request_id":"` + uuid + `","orig_request_id":"` + uuid + `","amount_fen":5}`
	for name, c := range map[string]struct{ body, field string }{
		"good":              {good, ""},
		"unknown":           {`{"requestid":"x"}`, "requestid"},
		"type":              {strings.Replace(good, "5}", `"5"}`, 1), "amount_fen"},
		"no original":       {`{"request_id":"` + uuid + `","amount_fen":5}`, "orig_request_id"},
		"upper case id":     {strings.Replace(good, "a0", "A0", 1), "request_id"},
		"more than int64":   {strings.Replace(good, "5}", "99999999999999999999}", 1), "amount_fen"},
		"exponent":          {strings.Replace(good, "5}", "5e2}", 1), "amount_fen"},
		"depth without end": {strings.Repeat("[", 20000), "body"},
	} {
		t.Run(name, func(t *testing.T) {
			err := api.Decode(strings.NewReader(c.body), new(api.Refund))
			got := ""
			if err != nil {
				got = pos.AsError(err).Field
			}
			if got != c.field {
				t.Errorf("field %q, want %q: %v", got, c.field, err)
			}
		})
	}
}

func TestEveryPairOfFaultAndOperation(t *testing.T) {
	posts := "payments orders refunds evidence"
	fits := map[api.Kind]string{
		api.Slow: posts + " query statements", api.LostAnswer: posts + " query statements",
		api.Unavailable: posts + " query statements", api.Duplicate: posts, api.Decline: posts,
		api.ExpiredCode: "payments", api.Late: "statements", api.Planted: "statements", "other": "",
	}
	for kind, ops := range fits {
		for _, op := range strings.Fields(posts + " query statements wallets") {
			f := api.Fault{Op: api.Op(op), Kind: kind}
			want := strings.Contains(" "+ops+" ", " "+op+" ")
			if err := f.Check(); (err == nil) != want {
				t.Errorf("%s of %s: %v, want ok %v", kind, op, err, want)
			}
		}
	}
	for _, f := range []api.Fault{
		{Op: api.OpQuery, Kind: api.Slow, DelayMS: api.MaxDelayMS + 1},
		{Op: api.OpQuery, Kind: api.Slow, DelayMS: -1},
		{Op: api.OpQuery, Kind: api.Slow, Count: -1},
		{Op: api.OpQuery, Kind: api.Slow, Count: api.MaxCount + 1},
		{Op: api.OpQuery, Kind: api.Slow, Amount: 1},
		{Op: api.OpPayments, Kind: api.Slow, Amount: -1},
		{Op: api.OpStatements, Kind: api.Planted, Reason: "burn"},
		{Op: api.OpPayments, Kind: api.Decline, Reason: strings.Repeat("x", 65)},
	} {
		if f.Check() == nil {
			t.Errorf("accepted %+v", f)
		}
	}
}

// FuzzDecode looks for bodies that crash, or that pass their check and then do not
// read back as the same request.
func FuzzDecode(f *testing.F) {
	for _, s := range []string{
		`{"request_id":"` + uuid + `","merchant":"M","terminal":"T","amount_fen":1,"code":"0100112345678901234","expires_ms":1}`,
		`{"request_id":"` + uuid + `","merchant":"M","terminal":"T","amount_fen":1,"valid_until_ms":1}`,
		`{"request_id":"` + uuid + `","orig_request_id":"` + uuid + `","amount_fen":1}`,
		`{"request_id":"` + uuid + `","evidence":"oWFhAQ=="}`,
		`{"name":"n","balance_fen":1,"envelope_fen":1,"suite":"ed25519-sha256","public_key":"MCowBQYDK2VwAyEA"}`,
		`{"qr":"dcpos-lab:pay:ICBC:x"}`, `{"op":"payments","kind":"slow","count":3}`, `null`, `[`, `{"a":{"b":[1e400]}}`,
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		for _, blank := range []func() api.Checker{
			func() api.Checker { return new(api.Payment) }, func() api.Checker { return new(api.Order) },
			func() api.Checker { return new(api.Refund) }, func() api.Checker { return new(api.Evidence) },
			func() api.Checker { return new(api.NewWallet) }, func() api.Checker { return new(api.Scan) },
			func() api.Checker { return new(api.Fault) },
		} {
			v := blank()
			if err := api.Decode(strings.NewReader(string(b)), v); err != nil {
				if e := pos.AsError(err); e.Code != pos.ErrBadRequest && e.Code != pos.ErrTooLarge {
					t.Errorf("%T: code %s", v, e.Code)
				}
				continue
			}
			again, err := json.Marshal(v)
			if err != nil {
				t.Fatal(err)
			}
			w := blank()
			if err := api.Decode(strings.NewReader(string(again)), w); err != nil {
				t.Errorf("%T: written again it is refused: %v", v, err)
			}
			if d := cmp.Diff(v, w, cmpopts.IgnoreUnexported(api.Evidence{})); d != "" {
				t.Errorf("%T read back differs:\n%s", v, d)
			}
		}
	})
}
