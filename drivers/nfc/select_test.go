package nfc

import (
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"slices"
	"strings"
	"testing"

	"dcpos/drivers"
	"dcpos/lab/device"
	"dcpos/pos"
)

// fakeCard carries APDUs to a func.
type fakeCard struct {
	answer func(command []byte) ([]byte, error)
	asked  [][]byte
}

func (f *fakeCard) Info() drivers.CardInfo { return drivers.CardInfo{} }
func (f *fakeCard) Transmit(_ context.Context, command []byte) ([]byte, error) {
	f.asked = append(f.asked, bytes.Clone(command))
	return f.answer(command)
}
func (f *fakeCard) WaitRemoved(context.Context) error { return nil }
func (f *fakeCard) Close() error                      { return nil }

// onCard is a modelled card.
func onCard(apps []device.Application, noPPSE bool) *fakeCard {
	c := device.NewCard(device.CardOptions{Applications: apps, NoPPSE: noPPSE})
	c.Activate()
	return &fakeCard{answer: func(command []byte) ([]byte, error) {
		response, torn := c.Transmit(command)
		if torn {
			return nil, drivers.ErrTorn
		}
		return response, nil
	}}
}

// applet answers SELECT as it is told; nil lets the card answer.
func applet(answer ...byte) device.Applet {
	return device.AppletFunc(func([]byte) []byte { return slices.Clone(answer) })
}

func app(aid string, priority byte, a device.Applet) device.Application {
	return device.Application{AID: []byte(aid), Label: aid, Priority: priority, Kernel: 7, Applet: a}
}

const (
	debit, credit, quasi = "\xA0\x00\x00\x03\x33\x01\x01\x01", "\xA0\x00\x00\x03\x33\x01\x01\x02", "\xA0\x00\x00\x03\x33\x01\x01\x03"
	other                = "\xA0\x00\x00\x00\x04\x10\x10"
)

func TestSelectApplication(t *testing.T) {
	ok, blocked := applet(), applet(0x62, 0x83)
	partial := []Candidate{{AID: []byte("\xA0\x00\x00\x03\x33"), Partial: true}}
	for _, tc := range []struct {
		name       string
		apps       []device.Application
		noPPSE     bool
		candidates []Candidate
		want       string // AID; empty: none
		asked      int
	}{
		{"the only one", []device.Application{app(debit, 1, ok)}, false, []Candidate{{AID: []byte(debit)}}, debit, 2},
		{"best priority first", []device.Application{app(debit, 3, ok), app(credit, 1, ok), app(quasi, 2, ok)}, false, partial, credit, 2},
		{"none told is last", []device.Application{app(debit, 0, ok), app(credit, 15, ok)}, false, partial, credit, 2},
		{"card's order among equals", []device.Application{app(quasi, 2, ok), app(debit, 2, ok)}, false, partial, quasi, 2},
		{"blocked, then the next", []device.Application{app(debit, 1, blocked), app(credit, 2, ok)}, false, partial, credit, 3},
		{"a better one that nobody knows", []device.Application{app(other, 1, ok), app(debit, 2, ok)}, false, partial, debit, 2},
		{"whole names are not parts", []device.Application{app(debit, 1, ok)}, false, []Candidate{{AID: []byte(debit[:7])}}, "", 1},
		{"nothing known", []device.Application{app(other, 1, ok)}, false, partial, "", 1},
		{"all blocked", []device.Application{app(debit, 1, blocked)}, false, partial, "", 2},
		{"no directory, candidates in turn", []device.Application{app(credit, 1, ok)}, true, []Candidate{{AID: []byte(debit)}, {AID: []byte(credit)}}, credit, 3},
		{"no directory, by a part", []device.Application{app(debit, 1, ok)}, true, partial, debit, 2},
		{"an empty card", nil, false, partial, "", 2},
	} {
		t.Run(tc.name, func(t *testing.T) {
			c := onCard(tc.apps, tc.noPPSE)
			got, err := SelectApplication(t.Context(), c, tc.candidates)
			if string(got.AID) != tc.want || (tc.want == "") != errors.Is(err, drivers.ErrNoExist) {
				t.Errorf("got %x, %v", got.AID, err)
			}
			if tc.want != "" && !bytes.HasPrefix(got.FCI, []byte{0x6F}) {
				t.Errorf("fci % x", got.FCI)
			}
			if len(c.asked) != tc.asked {
				t.Errorf("asked %d times: %x", len(c.asked), c.asked)
			}
		})
	}
}

func TestSelectTellsWhatTheCardTold(t *testing.T) {
	a := device.Application{AID: []byte(debit), Label: "e-CNY\x00\x1b wallet", Priority: 0x81, Kernel: 9, Applet: applet()}
	got, err := SelectApplication(t.Context(), onCard([]device.Application{a}, false), []Candidate{{AID: []byte(debit)}})
	if err != nil || got.Label != "e-CNY wallet" || got.Priority != 1 || !bytes.Equal(got.Kernel, []byte{9}) {
		t.Errorf("got %+v, %v", got, err)
	}
}

func TestSelectErrors(t *testing.T) {
	for _, aid := range []string{"", "\xA0\x00\x00\x03", strings.Repeat("x", 17)} {
		c := onCard(nil, false)
		if _, err := SelectApplication(t.Context(), c, []Candidate{{AID: []byte(aid)}}); !errors.Is(err, drivers.ErrIllegal) || len(c.asked) > 0 {
			t.Errorf("aid %x: %v, asked %d times", aid, err, len(c.asked))
		}
	}
	for torn := range 3 {
		left := torn
		c := onCard([]device.Application{app(debit, 1, applet())}, false)
		answer := c.answer
		c.answer = func(command []byte) ([]byte, error) {
			if left == 0 {
				return nil, drivers.ErrTorn
			}
			left--
			return answer(command)
		}
		_, err := SelectApplication(t.Context(), c, []Candidate{{AID: []byte(debit)}})
		if torn < 2 != errors.Is(err, drivers.ErrTorn) {
			t.Errorf("torn at %d: %v", torn, err)
		}
	}
	_, err := SelectApplication(t.Context(), onCard(nil, false), nil)
	if e, ok := errors.AsType[*pos.Error](err); !ok || e.Hint.IsZero() {
		t.Errorf("%v does not tell what to do", err)
	}
}

func unhex(tb testing.TB, s string) []byte {
	tb.Helper()
	b, err := hex.DecodeString(strings.ReplaceAll(s, " ", ""))
	if err != nil {
		tb.Fatal(err)
	}
	return b
}

func FuzzParseDirectory(f *testing.F) {
	// edge: EMV's example of one entry, and lengths that are too long for anybody
	f.Add(unhex(f, "6F23840E325041592E5359532E4444463031A511BF0C0E610C4F07A0000003330101870101"))
	f.Add(unhex(f, "6F88FFFFFFFFFFFFFFFF00"))
	f.Add(unhex(f, "6F 84 80000000 A5"))
	f.Add(bytes.Repeat([]byte{0x61, 0x7F}, 200))
	f.Fuzz(func(t *testing.T, b []byte) {
		if len(b) > 256 {
			return // longer ones only take longer
		}
		entries, ok := parseDirectory(b)
		if !ok && entries != nil || len(entries) > maxEntries {
			t.Fatalf("%d entries, %v", len(entries), ok)
		}
		for _, e := range choose(entries, []Candidate{{AID: []byte(debit[:5]), Partial: true}}) {
			if len(e.AID) < minAID || len(e.AID) > maxAID || !strings.HasPrefix(string(e.AID), debit[:5]) {
				t.Fatalf("aid %x", e.AID)
			}
		}
		c := &fakeCard{answer: func([]byte) ([]byte, error) { return append(bytes.Clone(b), 0x90, 0x00), nil }}
		if a, err := SelectApplication(context.Background(), c, []Candidate{{AID: []byte(debit[:5]), Partial: true}}); err == nil && !bytes.HasPrefix(a.AID, []byte(debit[:5])) {
			t.Fatalf("selected %x", a.AID)
		}
	})
}
