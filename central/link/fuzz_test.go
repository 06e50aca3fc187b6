package link

import (
	"context"
	"testing"

	"dcpos/pos"
	"dcpos/pos/dcep"
	"dcpos/sync/wire"
)

// oneKey is a registry that knows one terminal's key.
type oneKey struct {
	Reader
	terminal string
	key      Key
}

func (o oneKey) Read(_ context.Context, fn func(r Reader) error) error { return fn(o) }

func (o oneKey) Write(context.Context, func(tx Tx) error) error { return nil }

func (o oneKey) Key(_ context.Context, terminal string, epoch uint32) (Key, bool, error) {
	return o.key, terminal == o.terminal && epoch == 1, nil
}

// FuzzExamine feeds the intake with bytes: nothing panics, every refusal has a reason,
// and nothing but the till's own batch, to the byte of what it signs, is accepted.
func FuzzExamine(f *testing.F) {
	suite, err := dcep.SuiteByName(dcep.Ed25519SHA256)
	if err != nil {
		f.Fatal(err)
	}
	signer, err := suite.Generate()
	if err != nil {
		f.Fatal(err)
	}
	body, err := dcep.Marshal(pos.Shift{Operator: "1", In: true})
	if err != nil {
		f.Fatal(err)
	}
	e := pos.Entry{
		Position: pos.Position{Terminal: "t1", Epoch: 1, Seq: 1}, Env: pos.Lab, Kind: pos.KindShift, Operator: "1",
		BusinessDate: "2021-02-10", Body: body,
	}
	if err := dcep.Seal(signer, nil, &e); err != nil {
		f.Fatal(err)
	}
	batch, err := wire.NewBatch(signer, []pos.Entry{e}, 1)
	if err != nil {
		f.Fatal(err)
	}
	good, err := dcep.Marshal(batch)
	if err != nil {
		f.Fatal(err)
	}
	for _, seed := range [][]byte{good, good[:len(good)/2], {}, {0xa0}, []byte("dcpos")} {
		f.Add("dcpos.v1.journal.t1", seed)
	}
	f.Add("dcpos.v1.journal.t2", good)
	f.Add("x", good)
	l := &Link{
		cfg: Config{Env: pos.Lab}, keys: newKeyring(),
		store: oneKey{terminal: "t1", key: Key{dcep.Ed25519SHA256, signer.Public()}},
	}
	f.Fuzz(func(t *testing.T, subject string, data []byte) {
		x := l.examine(t.Context(), message{subject, data})
		if x.reason != "" {
			if x.err == nil {
				t.Fatalf("refused as %s without a cause", x.reason)
			}
			return
		}
		if x.err != nil || x.terminal != "t1" || x.batch.Entries[0].Seq != 1 || string(x.batch.Head) != string(e.Hash) {
			t.Fatalf("accepted: %+v", x)
		}
	})
}

// FuzzParse feeds questions of every verb: nothing panics, and what is accepted has ids
// and an expiry where money would move.
func FuzzParse(f *testing.F) {
	for _, v := range []any{
		pos.AskPay{Env: pos.Lab, Payment: pos.PaymentID{1}, ExpiresMS: 9},
		pos.AskQuery{Env: pos.Lab, Payment: pos.PaymentID{1}},
		pos.AskRefund{Env: pos.Lab, Payment: pos.PaymentID{1}},
	} {
		b, err := dcep.Marshal(v)
		if err != nil {
			f.Fatal(err)
		}
		for _, verb := range []wire.Verb{wire.VerbPay, wire.VerbPresent, wire.VerbQuery, wire.VerbAbandon, wire.VerbRefund, "x"} {
			f.Add(string(verb), b)
		}
	}
	l := &Link{}
	f.Fuzz(func(t *testing.T, verb string, data []byte) {
		q, err := l.parse(wire.Verb(verb), data)
		if err != nil {
			return
		}
		switch wire.Verb(verb) {
		case wire.VerbPay, wire.VerbPresent, wire.VerbRefund:
			if q.expires <= 0 {
				t.Fatal("money without expiry")
			}
		case wire.VerbQuery, wire.VerbAbandon:
		default:
			t.Fatalf("verb %q is accepted", verb)
		}
	})
}
