package gs1_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

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
func TestWhatIsWrittenIsRead(t *testing.T) {
	fixed := map[string]func(*rapid.T) string{
		"01":   func(t *rapid.T) string { return checked(rapid.StringMatching(`[0-9]{13}`).Draw(t, "gtin")) },
		"17":   func(t *rapid.T) string { return rapid.StringMatching(`[0-9]{6}`).Draw(t, "date") },
		"3103": func(t *rapid.T) string { return rapid.StringMatching(`[0-9]{6}`).Draw(t, "weight") },
	}
	free := map[string]string{"10": `[A-Z0-9-]{1,20}`, "21": `[a-z0-9/]{1,20}`, "30": `[0-9]{1,8}`, "240": `[A-Z]{1,30}`}
	rapid.Check(t, func(t *rapid.T) {
		ais := rapid.Permutation([]string{"01", "17", "3103", "10", "21", "30", "240"}).Draw(t, "order")
		ais = ais[:rapid.IntRange(1, len(ais)).Draw(t, "how many")]
		var want gs1.Elements
		var code strings.Builder
		for i, ai := range ais {
			var value string
			if draw, ok := fixed[ai]; ok {
				value = draw(t)
			} else {
				value = rapid.StringMatching(free[ai]).Draw(t, ai)
			}
			code.WriteString(ai + value)
			if _, ok := fixed[ai]; !ok && (i < len(ais)-1 || rapid.Bool().Draw(t, "ends with FNC1")) {
				code.WriteByte(gs1.FNC1)
			}
			want = append(want, gs1.Element{AI: ai, Value: value})
		}
		got, err := gs1.Parse(code.String())
		if diff := cmp.Diff(want, got); err != nil || diff != "" {
			t.Fatalf("%q: %v\n%s", code.String(), err, diff)
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
