package wallet_test

import (
	"path/filepath"
	"testing"

	"dcpos/lab/wallet"
	"dcpos/pos"
	"dcpos/pos/dcep"
)

// Every behaviour of a phone gives an answer that the reference checks refuse, or that only
// the list of counters finds; an honest phone's passes them.
func TestPhonesMisbehaveAsOrdered(t *testing.T) {
	sim, client := outside(t)
	text := challenge(same)
	asked, err := dcep.DecodeChallenge(text)
	if err != nil {
		t.Fatal(err)
	}
	names := map[wallet.Fault]bool{}
	for _, b := range wallet.Behaviours() {
		if names[b.Fault] || b.Text.IsZero() {
			t.Errorf("%+v", b)
		}
		names[b.Fault] = true
		if f, err := wallet.ParseFault(string(b.Fault)); err != nil || f != b.Fault {
			t.Errorf("%s: %v", b.Fault, err)
		}
		w := create(t, client, filepath.Join(t.TempDir(), "w"))
		first := challenge(func(c *dcep.Challenge) { c.Nonce = []byte("another nonce---") })
		if _, err := w.AnswerAs(wallet.NoFault, first, now); err != nil || w.Counter() != 1 {
			t.Fatalf("honest: %v", err)
		}
		asked, text := asked, text
		if b.Fault == wallet.Crosses {
			text = challenge(func(c *dcep.Challenge) { c.Env = pos.Live })
			if asked, err = dcep.DecodeChallenge(text); err != nil {
				t.Fatal(err)
			}
		}
		answer, err := w.AnswerAs(b.Fault, text, now)
		if !b.Phone || b.Fault == wallet.Refuses {
			if err == nil {
				t.Errorf("%s: a phone answers %s", b.Fault, answer)
			}
			continue
		}
		if err != nil {
			t.Errorf("%s: %v", b.Fault, err)
			continue
		}
		e, err := dcep.DecodeEvidence(answer)
		if err == nil {
			err = e.Answers(asked, now)
		}
		if err == nil {
			_, err = dcep.VerifyEvidence(sim.Trust(), e, now)
		}
		if good := err == nil; good != (b.Fault == wallet.Rewinds) || good && e.Counter != 1 {
			t.Errorf("%s: counter %d, %v", b.Fault, e.Counter, err)
		}
	}
	if _, err := wallet.ParseFault("nonsense"); pos.CodeOf(err) != pos.ErrBadRequest {
		t.Errorf("%v", err)
	}
}
