package gs1_test

import (
	"errors"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"dcpos/drivers/scanner/gs1"
)

func pairs(e gs1.Elements) string {
	var out []string
	for _, x := range e {
		out = append(out, x.AI+"="+x.Value)
	}
	return strings.Join(out, " ")
}

func TestParse(t *testing.T) {
	for code, want := range map[string]string{
		"0106901028075862" + "6":                        "", // one digit too many
		"0106901028075862":                              "01=06901028075862",
		"\x1d0106901028075862":                          "01=06901028075862",
		"]C10106901028075862":                           "01=06901028075862",
		"010690102807586217261231" + "10ABC-1\x1d21SN7": "01=06901028075862 17=261231 10=ABC-1 21=SN7",
		"0106901028075862310300125015260101":            "01=06901028075862 3103=001250 15=260101",
		"10LOT\x1d0106901028075862":                     "10=LOT 01=06901028075862",
		"010690102807586210LOT\x1d":                     "01=06901028075862 10=LOT",
		"0206901028075862" + "3712\x1d" + "3025":        "02=06901028075862 37=12 30=25",
		"00069010280758623453":                          "", // its check digit is wrong
		"0106901028075863":                              "", // likewise
		"01069010280758":                                "", // cut short
		"17261":                                         "",
		"10":                                            "",
		"10\x1d0106901028075862":                        "",
		"10THIS-BATCH-IS-FAR-TOO-LONG":                  "",
		"10has space":                                   "",
		"1526ABCD":                                      "",
		"3106":                                          "",
		"04":                                            "",
		"hello":                                         "",
		"":                                              "",
		"\x1d":                                          "",
		"1026\x1d1027":                                  "", // one AI, two values
		"99ANYTHING%GOES":                               "99=ANYTHING%GOES",
		"8008261231235959\x1d2012":                      "8008=261231235959 20=12",
		"3922" + "1999\x1d" + "0106901028075862":        "3922=1999 01=06901028075862",
	} {
		got, err := gs1.Parse(code)
		if pairs(got) != want || (err == nil) != (want != "") || err != nil && !errors.Is(err, gs1.ErrFormat) {
			t.Errorf("%q: got %s, %v; want %s", code, pairs(got), err, want)
		}
	}
}

func TestDigitalLink(t *testing.T) {
	for link, want := range map[string]string{
		"https://id.gs1.org/01/06901028075862":                             "01=06901028075862",
		"https://id.gs1.org/01/6901028075862/10/LOT%2F7/21/S?17=261231":    "01=06901028075862 10=LOT/7 21=S 17=261231",
		"HTTPS://shop.example/some/path/01/06901028075862/?utm=x&3103=001": "",
		"HTTPS://shop.example/some/path/01/06901028075862/?utm=x":          "01=06901028075862",
		"http://shop.example/01/96385074":                                  "01=00000096385074",
		"https://id.gs1.org/01/06901028075863":                             "",
		"https://id.gs1.org/01/06901028075862/10":                          "",
		"https://id.gs1.org/01/06901028075862?01=06901028075862":           "",
		"https://id.gs1.org/01/06901028075862/zz/1":                        "",
		"https://id.gs1.org/gtin/06901028075862":                           "",
		"https:///01/06901028075862":                                       "",
		"ftp://id.gs1.org/01/06901028075862":                               "",
		"https://example.com":                                              "",
		"://":                                                              "",
	} {
		got, err := gs1.DigitalLink(link)
		if pairs(got) != want || (err == nil) != (want != "") || err != nil && !errors.Is(err, gs1.ErrFormat) {
			t.Errorf("%q: got %s, %v; want %s", link, pairs(got), err, want)
		}
	}
}

// What is written by the rules is read as it was written, in every order.
func FuzzWrittenIsRead(f *testing.F) {
	fields := []struct {
		ai, of   string
		min, max int // max 0: a fixed length, which no FNC1 ends
	}{
		{"01", "0123456789", 13, 0},
		{"17", "0123456789", 6, 0},
		{"3103", "0123456789", 6, 0},
		{"10", "ABCXYZ0189-", 1, 20},
		{"21", "abcxyz0189/", 1, 20},
		{"30", "0123456789", 1, 8},
		{"240", "ABCXYZ", 1, 30},
	}
	for seed := range uint64(200) {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, seed uint64) {
		dice := rand.New(rand.NewPCG(seed, 0)) //nolint:gosec // a test's choices
		order := dice.Perm(len(fields))[:1+dice.IntN(len(fields))]
		var want gs1.Elements
		var code strings.Builder
		for i, k := range order {
			field := fields[k]
			value := make([]byte, max(field.min, dice.IntN(field.max+1)))
			for j := range value {
				value[j] = field.of[dice.IntN(len(field.of))]
			}
			e := gs1.Element{AI: field.ai, Value: string(value)}
			if field.ai == "01" {
				e.Value = checked(e.Value)
			}
			want = append(want, e)
			code.WriteString(e.AI + e.Value)
			if field.max > 0 && (i < len(order)-1 || dice.IntN(2) == 0) {
				code.WriteByte(gs1.FNC1)
			}
		}
		got, err := gs1.Parse(code.String())
		if err != nil || !slices.Equal(want, got) {
			t.Fatalf("%q: got %+v, %v; want %+v", code.String(), got, err, want)
		}
	})
}

func checked(number string) string {
	for c := '0'; c <= '9'; c++ {
		if gs1.CheckDigit(number + string(c)) {
			return number + string(c)
		}
	}
	return ""
}

func FuzzParse(f *testing.F) {
	for _, s := range []string{"010690102807586210ABC\x1d21X", "]C1\x1d3103001250", "https://id.gs1.org/01/06901028075862/10/A?17=261231", "https://a/01/%"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, code string) {
		if len(code) > 128 {
			return // longer ones only take longer
		}
		for _, read := range []func(string) (gs1.Elements, error){gs1.Parse, gs1.DigitalLink} {
			e, err := read(code)
			if err != nil {
				if !errors.Is(err, gs1.ErrFormat) || e != nil {
					t.Fatalf("%v with %v", e, err)
				}
				continue
			}
			for _, x := range e {
				if x.Value == "" || strings.ContainsRune(x.Value, gs1.FNC1) {
					t.Fatalf("%q gives %+v", code, x)
				}
			}
			if g := e.GTIN(); g != "" && (len(g) != 14 || !gs1.CheckDigit(g)) {
				t.Fatalf("%q gives GTIN %q", code, g)
			}
		}
	})
}
