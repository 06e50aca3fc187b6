package wire_test

import (
	"bytes"
	"errors"
	"testing"
	"time"

	"dcpos/pos"
	"dcpos/pos/dcep"
	"dcpos/sync/wire"
)

func key(tb testing.TB, name string) (dcep.Signer, dcep.Verifier) {
	tb.Helper()
	suite, err := dcep.SuiteByName(name)
	if err != nil {
		tb.Fatal(err)
	}
	s, err := suite.Generate()
	if err != nil {
		tb.Fatal(err)
	}
	v, err := suite.Verifier(s.Public())
	if err != nil {
		tb.Fatal(err)
	}
	return s, v
}

func chain(tb testing.TB, signer dcep.Signer, n int) []pos.Entry {
	tb.Helper()
	var out []pos.Entry
	var prev []byte
	for i := range n {
		body, err := dcep.Marshal(pos.DrawerOpened{Reason: "sale"})
		if err != nil {
			tb.Fatal(err)
		}
		e := pos.Entry{
			Position: pos.Position{Terminal: "T1", Epoch: 1, Seq: uint64(i + 1)}, Env: pos.Lab, Kind: pos.KindDrawer,
			Operator: "1001", At: pos.Instant{WallMS: time.Now().UnixMilli(), BootID: "b"}, BusinessDate: "2026-01-02", Body: body,
		}
		if err := dcep.Seal(signer, prev, &e); err != nil {
			tb.Fatal(err)
		}
		prev = e.Hash
		out = append(out, e)
	}
	return out
}

func TestABatchThatWasTouchedIsRefused(t *testing.T) {
	for _, name := range []string{dcep.SM2SM3, dcep.Ed25519SHA256} {
		signer, v := key(t, name)
		_, stranger := key(t, name)
		fresh := func() wire.Batch {
			b, err := wire.NewBatch(signer, chain(t, signer, 5), 1)
			if err != nil {
				t.Fatal(err)
			}
			return b
		}
		if err := fresh().Check(signer.Suite(), v); err != nil {
			t.Fatalf("%s: a good batch: %v", name, err)
		}
		if err := fresh().Check(signer.Suite(), stranger); !errors.Is(err, dcep.ErrSignature) {
			t.Errorf("%s: a stranger's key: %v", name, err)
		}
		for what, change := range map[string]func(*wire.Batch){
			"an amount of bytes":  func(b *wire.Batch) { b.Entries[2].Body = append(bytes.Clone(b.Entries[2].Body), 0) },
			"an operator":         func(b *wire.Batch) { b.Entries[1].Operator = "9" },
			"a dropped entry":     func(b *wire.Batch) { b.Entries = append(b.Entries[:2:2], b.Entries[3:]...) },
			"swapped entries":     func(b *wire.Batch) { b.Entries[1], b.Entries[2] = b.Entries[2], b.Entries[1] },
			"no entries":          func(b *wire.Batch) { b.Entries = nil },
			"a cut tail":          func(b *wire.Batch) { b.Entries, b.Last = b.Entries[:4], 4 },
			"another terminal":    func(b *wire.Batch) { b.Terminal = "T2" },
			"another environment": func(b *wire.Batch) { b.Env = pos.Live },
			"the signature":       func(b *wire.Batch) { b.Sig = bytes.Repeat([]byte{1}, dcep.SignatureSize) },
		} {
			b := fresh()
			change(&b)
			if err := b.Check(signer.Suite(), v); err == nil {
				t.Errorf("%s: %s was changed and nobody saw it", name, what)
			}
		}
		// Signed again by the till's own key: the chain itself must tell.
		broken := chain(t, signer, 5)
		broken[2].Operator = "9"
		b, err := wire.NewBatch(signer, broken, 1)
		if err != nil {
			t.Fatal(err)
		}
		if err := b.Check(signer.Suite(), v); !errors.Is(err, dcep.ErrChain) {
			t.Errorf("%s: a broken chain, signed: %v", name, err)
		}
	}
}

func TestAMarkThatTheCentreDidNotSignIsRefused(t *testing.T) {
	signer, v := key(t, dcep.SM2SM3)
	_, stranger := key(t, dcep.SM2SM3)
	data, err := wire.SealMark(signer, wire.Mark{Env: pos.Lab, Terminal: "T1", ResendFrom: 7, ResendEpoch: 1})
	if err != nil {
		t.Fatal(err)
	}
	if m, err := wire.OpenMark(v, data); err != nil || m.ResendFrom != 7 {
		t.Errorf("%+v, %v", m, err)
	}
	if _, err := wire.OpenMark(stranger, data); !errors.Is(err, dcep.ErrSignature) {
		t.Errorf("another key: %v", err)
	}
	for i := range data {
		bad := bytes.Clone(data)
		bad[i] ^= 1
		if _, err := wire.OpenMark(v, bad); err == nil {
			t.Fatalf("bit flipped in byte %d and nobody saw it", i)
		}
	}
}

func TestSubjects(t *testing.T) {
	terminal, verb, err := wire.ParseAsk(wire.AskSubject("till-1", wire.VerbPay))
	if err != nil || terminal != "till-1" || verb != wire.VerbPay {
		t.Errorf("%s %s %v", terminal, verb, err)
	}
	for _, s := range []string{"", "dcpos.v1.ask.T1", "dcpos.v2.ask.T1.pay", "dcpos.v1.ask.*.pay", "dcpos.v1.ask.T 1.pay", "dcpos.v1.ask.T1.pay.x"} {
		if _, _, err := wire.ParseAsk(s); err == nil {
			t.Errorf("%q was taken", s)
		}
	}
	for _, name := range []string{"", "a.b", "*", ">", "a b", "über", "x\n", string(make([]byte, 33))} {
		if wire.CheckTerminal(name) == nil {
			t.Errorf("terminal %q was taken", name)
		}
	}
}

func FuzzBatch(f *testing.F) {
	signer, v := key(f, dcep.Ed25519SHA256)
	b, err := wire.NewBatch(signer, chain(f, signer, 2), 1)
	if err != nil {
		f.Fatal(err)
	}
	data, err := dcep.Marshal(b)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(data)
	f.Fuzz(func(t *testing.T, data []byte) {
		var b wire.Batch
		if dcep.Unmarshal(data, &b) != nil {
			return
		}
		if b.Check(signer.Suite(), v) == nil && (len(b.Entries) != 2 || b.Entries[1].Kind != pos.KindDrawer) {
			t.Error("a batch that nobody signed was taken")
		}
	})
}

func FuzzMark(f *testing.F) {
	signer, v := key(f, dcep.Ed25519SHA256)
	data, err := wire.SealMark(signer, wire.Mark{Terminal: "T1", CentreMS: 5})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(data)
	f.Fuzz(func(t *testing.T, data []byte) {
		if m, err := wire.OpenMark(v, data); err == nil && m.CentreMS != 5 {
			t.Error("a mark that nobody signed was taken")
		}
	})
}
