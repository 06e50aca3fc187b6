package apdu_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"strings"
	"testing"

	"dcpos/drivers/nfc/apdu"
)

func unhex(tb testing.TB, s string) []byte {
	tb.Helper()
	b, err := hex.DecodeString(strings.ReplaceAll(s, " ", ""))
	if err != nil {
		tb.Fatal(err)
	}
	return b
}

// The seven forms of ISO/IEC 7816-4, 5.1, table 1.
func TestFormsOfACommand(t *testing.T) {
	for _, tc := range []struct {
		name, bytes string
		nc, ne      int
	}{
		{"1", "00 70 80 01", 0, 0},
		{"2 short", "00 84 00 00 08", 0, 8},
		{"2 short, all", "00 C0 00 00 00", 0, 256},
		{"3 short", "00 A4 04 00 02 3F00", 2, 0},
		{"4 short", "00 A4 04 00 07 A0000003330101 00", 7, 256},
		{"2 extended", "00 B0 00 00 00 0101", 0, 257},
		{"2 extended, all", "00 B0 00 00 00 0000", 0, 65_536},
		{"3 extended", "00 D6 00 00 00 0100" + strings.Repeat("AA", 256), 256, 0},
		{"4 extended", "00 D6 00 00 00 0100" + strings.Repeat("AA", 256) + "0000", 256, 65_536},
	} {
		c, err := apdu.Parse(unhex(t, tc.bytes))
		if err != nil || len(c.Data) != tc.nc || c.Ne != tc.ne {
			t.Errorf("%s: got %d data, %d wanted, %v", tc.name, len(c.Data), c.Ne, err)
			continue
		}
		if again, err := c.Bytes(); err != nil || !bytes.Equal(again, unhex(t, tc.bytes)) {
			t.Errorf("%s: encoded % x, %v", tc.name, again, err)
		}
	}
	for _, bad := range []string{
		"", "00A404", "00A40400 02 3F", "00A40400 02 3F00 00 00", "00A40400 00 00", "00A40400 00 0000 00", "00A40400 00 0002 AA",
		"00A40400 00 0001 AA 00",
	} {
		if c, err := apdu.Parse(unhex(t, bad)); !errors.Is(err, apdu.ErrMalformed) {
			t.Errorf("%s: got %+v, %v", bad, c, err)
		}
	}
	for _, c := range []apdu.Command{{Data: make([]byte, 65_536)}, {Ne: 65_537}, {Ne: -1}} {
		if _, err := c.Bytes(); !errors.Is(err, apdu.ErrMalformed) {
			t.Errorf("%d data, %d wanted: %v", len(c.Data), c.Ne, err)
		}
	}
}

func FuzzEncodedIsReadBack(f *testing.F) {
	for _, size := range []int{0, 1, 255, 256, 300} {
		for _, ne := range []int{0, 1, 255, 256, 257, 65_535, 65_536} {
			f.Add(uint32(0x00A40400), make([]byte, size), ne)
		}
	}
	f.Fuzz(func(t *testing.T, head uint32, data []byte, ne int) {
		if len(data) > 300 || ne < 0 || ne > 65_536 {
			return
		}
		h := binary.BigEndian.AppendUint32(nil, head)
		c := apdu.Command{CLA: h[0], INS: h[1], P1: h[2], P2: h[3], Data: data, Ne: ne}
		b, err := c.Bytes()
		if err != nil {
			t.Fatal(err)
		}
		got, err := apdu.Parse(b)
		if err != nil || got.CLA != c.CLA || got.INS != c.INS || got.P1 != c.P1 || got.P2 != c.P2 || !bytes.Equal(got.Data, c.Data) || got.Ne != c.Ne {
			t.Fatalf("% x: got %+v, %v", b, got, err)
		}
	})
}

func FuzzParse(f *testing.F) {
	f.Add(unhex(f, "00A4040007A000000333010100"))
	f.Add(unhex(f, "00D6000000000100"))
	f.Fuzz(func(t *testing.T, b []byte) {
		if len(b) > 300 {
			return // longer ones only take longer
		}
		c, err := apdu.Parse(b)
		if err != nil {
			return
		}
		again, err := c.Bytes()
		if err != nil {
			t.Fatalf("% x: %v", b, err)
		}
		if back, err := apdu.Parse(again); err != nil || !bytes.Equal(back.Data, c.Data) || back.Ne != c.Ne {
			t.Fatalf("% x: %+v became %+v, %v", b, c, back, err)
		}
		_, _, _ = apdu.Split(b)
	})
}

// script is a card that answers in order and remembers what it was asked.
type script struct {
	answers []string
	asked   []string
}

func (s *script) carry(t *testing.T) apdu.Carry {
	t.Helper()
	return func(_ context.Context, command []byte) ([]byte, error) {
		s.asked = append(s.asked, hex.EncodeToString(command))
		if len(s.answers) == 0 {
			return nil, errors.New("torn")
		}
		a := s.answers[0]
		s.answers = s.answers[1:]
		return unhex(t, a), nil
	}
}

func TestFollowUps(t *testing.T) {
	long := "00d60000000100" + strings.Repeat("aa", 256)
	ff := strings.Repeat("aa", 255)
	for _, tc := range []struct {
		name, command string
		extended      bool
		answers       []string
		asked         []string
		want          string
	}{
		{"plain", "00840000 08", false, []string{"9000"}, []string{"0084000008"}, "9000"},
		{"refused", "00840000 08", false, []string{"6985"}, []string{"0084000008"}, "6985"},
		{"other length", "00840000 00", false, []string{"6c02", "aabb9000"}, []string{"0084000000", "0084000002"}, "aabb9000"},
		{"other length twice is the answer", "00840000 00", false, []string{"6c02", "6c03"}, []string{"0084000000", "0084000002"}, "6c03"},
		{"more to come", "00a4040000", false, []string{"016102", "aabb9000"}, []string{"00a4040000", "00c0000002"}, "01aabb9000"},
		{"much more to come", "00a4040000", false, []string{"6100", "aa6101", "bb9000"}, []string{"00a4040000", "00c0000000", "00c0000001"}, "aabb9000"},
		{"more, then an error", "00a4040000", false, []string{"aa6101", "6f00"}, []string{"00a4040000", "00c0000001"}, "aa6f00"},
		{"on its channel", "01a4040000", false, []string{"6101", "aa9000"}, []string{"01a4040000", "01c0000001"}, "aa9000"},
		{"other length, then more", "00840000 00", false, []string{"6c01", "6101", "aa9000"}, []string{"0084000000", "0084000001", "00c0000001"}, "aa9000"},
		{"extended as it is", long, true, []string{"9000"}, []string{long}, "9000"},
		{"extended as a chain", long, false, []string{"9000", "9000"}, []string{"10d60000ff" + ff, "00d6000001aa"}, "9000"},
		{"a chain that is refused", long, false, []string{"6884"}, []string{"10d60000ff" + ff}, "6884"},
		{"extended answer on a short reader", "00b00000000200", false, []string{"aa9000"}, []string{"00b0000000"}, "aa9000"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			s := &script{answers: tc.answers}
			got, err := apdu.Exchange(t.Context(), s.carry(t), unhex(t, tc.command), tc.extended)
			if err != nil || hex.EncodeToString(got) != tc.want {
				t.Errorf("got %x, %v; want %s", got, err, tc.want)
			}
			if strings.Join(s.asked, " ") != strings.Join(tc.asked, " ") {
				t.Errorf("asked %v\nwant  %v", s.asked, tc.asked)
			}
		})
	}
}

func TestExchangesThatFail(t *testing.T) {
	for _, tc := range []struct {
		name, command string
		answers       []string
		asked         int
		want          error
	}{
		{"no command", "00", nil, 0, apdu.ErrMalformed},
		{"a class without chain", "80d60000000100" + strings.Repeat("aa", 256), nil, 0, apdu.ErrTooLong},
		{"a response without status", "00840000", []string{"90"}, 1, apdu.ErrMalformed},
		{"promises for ever", "00840000", []string{"6100", "6100"}, 2, apdu.ErrEndless},
		{"torn", "00840000", nil, 1, nil},
		{"torn in the middle", "00840000", []string{"6101"}, 2, nil},
	} {
		s := &script{answers: tc.answers}
		got, err := apdu.Exchange(t.Context(), s.carry(t), unhex(t, tc.command), false)
		if err == nil || got != nil || tc.want != nil && !errors.Is(err, tc.want) || len(s.asked) != tc.asked {
			t.Errorf("%s: got % x, %v, asked %d times", tc.name, got, err, len(s.asked))
		}
	}
	many := &script{}
	for range 300 {
		many.answers = append(many.answers, strings.Repeat("aa", 256)+"6100")
	}
	if _, err := apdu.Exchange(t.Context(), many.carry(t), unhex(t, "00840000"), false); !errors.Is(err, apdu.ErrEndless) {
		t.Errorf("more than an APDU may have: %v", err)
	}
}

func TestSelect(t *testing.T) {
	b, err := apdu.Select([]byte("2PAY.SYS.DDF01")).Bytes()
	if want := "00a404000e325041592e5359532e444446303100"; err != nil || hex.EncodeToString(b) != want {
		t.Errorf("got %x, %v", b, err)
	}
	if apdu.NotFound.String() != "6A82" {
		t.Error(apdu.NotFound)
	}
}
