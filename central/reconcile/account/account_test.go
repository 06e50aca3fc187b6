package account

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"dcpos/pos"
)

const good = ":20:DCEP20261122\r\n:25:ICBC/DCEP-SETTLEMENT\r\n:28C:1122/1\r\n:60F:C261122CNY10,00\r\n" +
	":61:2611221122C1234,5NTRFDCEP20261122//ICBC2026112201\r\n:86:/SETT/20261122/\r\nFEES/0,00\r\n" +
	":61:261122D4,50NMSCNONREF\r\n:86:/SETT/20261121\r\n:62F:C261122CNY1240,00\r\n-\r\n"

func TestAStatementOfTheAccount(t *testing.T) {
	s, err := Parse(strings.NewReader(good))
	if err != nil {
		t.Fatal(err)
	}
	want := &Statement{Account: "ICBC/DCEP-SETTLEMENT", Opening: 10_00, Closing: 1240_00, Currency: "CNY", Entries: []Entry{
		{Value: "2026-11-22", Amount: 1234_50, Ref: "ICBC2026112201", Info: "/SETT/20261122/FEES/0,00"},
		{Value: "2026-11-22", Amount: -4_50, Info: "/SETT/20261121"},
	}}
	if diff := cmp.Diff(want, s); diff != "" {
		t.Error(diff)
	}
	if a, b, c := s.Credit("2026-11-22"), s.Credit("2026-11-21"), s.Credit("2026-11-20"); a != 1234_50 || b != -4_50 || c != 0 {
		t.Error(a, b, c)
	}
}

func TestWrongStatementsOfTheAccount(t *testing.T) {
	for name, change := range map[string][2]string{
		"cut":              {":62F:C261122CNY1240,00\r\n-\r\n", ""},
		"closing balance":  {"CNY1240,00", "CNY1240,01"},
		"an entry less":    {":61:261122D4,50NMSCNONREF\r\n:86:/SETT/20261121\r\n", ""},
		"another currency": {"C261122CNY10,00", "C261122USD10,00"},
		"no such day":      {":61:261122D", ":61:261322D"},
		"point for comma":  {"1234,5N", "1234.5N"},
		"nul":              {"NONREF", "NON\x00REF"},
		"opened twice":     {":28C:1122/1", ":60F:C261122CNY10,00"},
		"unknown field":    {":28C:", ":99Z:"},
		"too much":         {"1234,5N", "999999999999999,5N"},
		"no account":       {":25:ICBC/DCEP-SETTLEMENT\r\n", ""},
		"behind the end":   {"-\r\n", ":61:261122D4,50NMSCNONREF\r\n"},
		"long line":        {"NONREF", strings.Repeat("N", 2000)},
	} {
		t.Run(name, func(t *testing.T) {
			bad := strings.Replace(good, change[0], change[1], 1)
			if bad == good {
				t.Fatal("nothing changed")
			}
			if s, err := Parse(strings.NewReader(bad)); pos.CodeOf(err) != pos.ErrBadRequest || s != nil {
				t.Errorf("%+v %v", s, err)
			}
		})
	}
}

func FuzzParse(f *testing.F) {
	f.Add(good)
	f.Add(":20:\n:25:\n:60F:D261122CNY1,\n:62F:D261122CNY1,")
	f.Fuzz(func(t *testing.T, text string) {
		s, err := Parse(strings.NewReader(text))
		if err != nil {
			return
		}
		sum := s.Opening
		for _, e := range s.Entries {
			sum += e.Amount
		}
		if sum != s.Closing {
			t.Fatalf("%+v", s)
		}
	})
}
