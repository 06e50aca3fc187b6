package dcep_test

import (
	"bytes"
	"encoding/hex"
	"errors"
	"reflect"
	"testing"
	"time"

	"pgregory.net/rapid"

	"dcpos/pos"
	"dcpos/pos/dcep"
)

func suite(tb testing.TB, name string) dcep.Suite {
	tb.Helper()
	s, err := dcep.SuiteByName(name)
	if err != nil {
		tb.Fatal(err)
	}
	return s
}

func entry(tb testing.TB) pos.Entry {
	tb.Helper()
	body, err := dcep.Marshal(pos.DrawerOpened{Reason: "sale"})
	if err != nil {
		tb.Fatal(err)
	}
	return pos.Entry{
		Position: pos.Position{Terminal: "T1", Epoch: 2, Seq: 7}, Env: pos.Lab, Kind: pos.KindDrawer,
		Payment:  pos.NewPaymentID(time.UnixMilli(1_700_000_000_000), [10]byte{1, 2, 3}),
		Operator: "1001", At: pos.Instant{WallMS: 5, MonoMS: 6, BootID: "boot", CentreMS: 4},
		BusinessDate: "2026-01-02", Body: body, Prev: bytes.Repeat([]byte{9}, dcep.HashSize),
	}
}

// TestHashVectors fixes the bytes: a second implementation must reach the same hashes.
func TestHashVectors(t *testing.T) {
	for name, want := range map[string]string{
		dcep.SM2SM3:        "315e1edf280815e32c9cf4afd9d96e26093a981ef24bc862cb1b400648e00d07",
		dcep.Ed25519SHA256: "03090c1daba97f256bee34e378d725a9058a7b7fc5dd5973b5cf868932c6eb48",
	} {
		h, err := dcep.HashEntry(suite(t, name), entry(t))
		if err != nil {
			t.Fatal(err)
		}
		if got := hex.EncodeToString(h); got != want {
			t.Errorf("%s: got %s, want %s", name, got, want)
		}
	}
}

func TestNoHeadBeforeTheFirstEntryIsOneThing(t *testing.T) {
	a, b := entry(t), entry(t)
	a.Prev, b.Prev = nil, []byte{}
	x, err := dcep.HashEntry(suite(t, dcep.SM2SM3), a)
	if err != nil {
		t.Fatal(err)
	}
	if y, err := dcep.HashEntry(suite(t, dcep.SM2SM3), b); err != nil || !bytes.Equal(x, y) {
		t.Errorf("nil and empty differ: %v", err)
	}
}

// TestTheHashCoversEveryField changes each field in turn.
func TestTheHashCoversEveryField(t *testing.T) {
	s := suite(t, dcep.SM2SM3)
	base, err := dcep.HashEntry(s, entry(t))
	if err != nil {
		t.Fatal(err)
	}
	var walk func(path string, v reflect.Value, whole *pos.Entry)
	walk = func(path string, v reflect.Value, whole *pos.Entry) {
		switch v.Kind() { //nolint:exhaustive // the kinds that an Entry has
		case reflect.Struct:
			for i := range v.NumField() {
				walk(path+"."+v.Type().Field(i).Name, v.Field(i), whole)
			}
			return
		case reflect.String:
			v.SetString(v.String() + "x")
		case reflect.Int64:
			v.SetInt(v.Int() + 1)
		case reflect.Uint32, reflect.Uint64:
			v.SetUint(v.Uint() + 1)
		case reflect.Array:
			v.Index(0).SetUint(v.Index(0).Uint() ^ 1)
		case reflect.Slice:
			v.SetBytes(append(bytes.Clone(v.Bytes()), 1))
		default:
			t.Fatalf("%s: kind %s", path, v.Kind())
		}
		h, err := dcep.HashEntry(s, *whole)
		if err != nil {
			t.Fatal(err)
		}
		covered := path != ".Hash" && path != ".Sig"
		if bytes.Equal(h, base) == covered {
			t.Errorf("%s: covered is %v", path, !covered)
		}
	}
	e := entry(t)
	v := reflect.ValueOf(&e).Elem()
	for i := range v.NumField() {
		e = entry(t)
		if f := v.Field(i); f.Kind() == reflect.Struct {
			for k := range f.NumField() {
				e = entry(t)
				walk("."+v.Type().Field(i).Name+"."+f.Type().Field(k).Name, v.Field(i).Field(k), &e)
			}
			continue
		}
		walk("."+v.Type().Field(i).Name, v.Field(i), &e)
	}
}

func TestAChainHoldsOnlyAsWritten(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		signer, err := suite(t, rapid.SampledFrom([]string{dcep.SM2SM3, dcep.Ed25519SHA256}).Draw(rt, "suite")).Generate()
		if err != nil {
			rt.Fatal(err)
		}
		v, err := signer.Suite().Verifier(signer.Public())
		if err != nil {
			rt.Fatal(err)
		}
		n := rapid.IntRange(2, 6).Draw(rt, "n")
		var chain []pos.Entry
		var prev []byte
		for i := range n {
			e := entry(t)
			e.Seq = uint64(i + 1)
			if err := dcep.Seal(signer, prev, &e); err != nil {
				rt.Fatal(err)
			}
			prev = e.Hash
			chain = append(chain, e)
		}
		check := func(chain []pos.Entry) error {
			var prev []byte
			for i, e := range chain {
				if err := dcep.CheckLink(signer.Suite(), uint64(i), prev, e); err != nil {
					return err
				}
				prev = e.Hash
			}
			return dcep.CheckHead(v, chain[len(chain)-1])
		}
		if err := check(chain); err != nil {
			rt.Fatal(err)
		}
		i := rapid.IntRange(0, n-1).Draw(rt, "where")
		chain[i].Operator = "someone else"
		if err := check(chain); !errors.Is(err, dcep.ErrChain) {
			rt.Fatalf("entry %d was changed: %v", i+1, err)
		}
	})
}

func TestReceiptsAreSigned(t *testing.T) {
	signer, err := suite(t, dcep.SM2SM3).Generate()
	if err != nil {
		t.Fatal(err)
	}
	v, err := signer.Suite().Verifier(signer.Public())
	if err != nil {
		t.Fatal(err)
	}
	r := dcep.Receipt{Env: pos.Lab, Terminal: "T1", Epoch: 1, Seq: 9, Head: []byte{1}, CentreMS: 5}
	if err := r.Sign(signer); err != nil {
		t.Fatal(err)
	}
	if err := r.Verify(v); err != nil {
		t.Fatal(err)
	}
	for what, change := range map[string]func(*dcep.Receipt){
		"seq": func(r *dcep.Receipt) { r.Seq++ }, "epoch": func(r *dcep.Receipt) { r.Epoch++ },
		"terminal": func(r *dcep.Receipt) { r.Terminal = "T2" }, "generation": func(r *dcep.Receipt) { r.Generation++ },
		"head": func(r *dcep.Receipt) { r.Head = []byte{2} }, "environment": func(r *dcep.Receipt) { r.Env = pos.Live },
	} {
		bad := r
		change(&bad)
		if err := bad.Verify(v); !errors.Is(err, dcep.ErrSignature) {
			t.Errorf("%s was changed: %v", what, err)
		}
	}
}

func TestKeysGoThroughTheirFiles(t *testing.T) {
	for _, name := range []string{dcep.SM2SM3, dcep.Ed25519SHA256} {
		signer, err := suite(t, name).Generate()
		if err != nil {
			t.Fatal(err)
		}
		pem, err := dcep.MarshalKey(signer)
		if err != nil {
			t.Fatal(err)
		}
		again, err := dcep.ParseKey(pem)
		if err != nil || !bytes.Equal(again.Public(), signer.Public()) || again.Suite().Name() != name {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := dcep.ParseKey([]byte("no key")); err == nil {
		t.Error("nonsense was taken for a key")
	}
	if _, err := dcep.SuiteByName("rot13"); !errors.Is(err, dcep.ErrUnknownSuite) {
		t.Errorf("unknown suite: %v", err)
	}
}

func TestApplyRefusesWhatNoTillMayWrite(t *testing.T) {
	body, err := dcep.Marshal(pos.PaymentMoved{From: pos.Created, To: pos.Paid})
	if err != nil {
		t.Fatal(err)
	}
	e := entry(t)
	e.Kind, e.Body = pos.KindPaymentMoved, body
	if _, changed, err := dcep.Apply(pos.Payment{State: pos.Created}, true, e); changed || err == nil {
		t.Error("created became paid")
	}
	if _, changed, err := dcep.Apply(pos.Payment{}, false, e); changed || err == nil {
		t.Error("a payment that was never created moved")
	}
	e.Kind = "of the future"
	if _, changed, err := dcep.Apply(pos.Payment{}, false, e); changed || err != nil {
		t.Errorf("an unknown kind: %v", err)
	}
}

func FuzzBody(f *testing.F) {
	for _, v := range []any{pos.PaymentCreated{OrderID: "1"}, pos.PaymentMoved{}, pos.RefundMoved{}, pos.EpochOpened{}} {
		b, err := dcep.Marshal(v)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(string(pos.KindPaymentMoved), b)
	}
	f.Fuzz(func(t *testing.T, kind string, b []byte) {
		v, err := dcep.Body(pos.Entry{Kind: pos.Kind(kind), Body: b})
		if err != nil || v == nil {
			return
		}
		again, err := dcep.Marshal(v)
		if err != nil || !bytes.Equal(again, b) {
			t.Errorf("%s: decoded body encodes otherwise", kind)
		}
	})
}

func BenchmarkSeal(b *testing.B) {
	for _, name := range []string{dcep.SM2SM3, dcep.Ed25519SHA256} {
		b.Run(name, func(b *testing.B) {
			signer, err := suite(b, name).Generate()
			if err != nil {
				b.Fatal(err)
			}
			e := entry(b)
			for b.Loop() {
				if err := dcep.Seal(signer, e.Prev, &e); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
