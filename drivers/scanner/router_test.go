package scanner_test

import (
	"strings"
	"testing"

	"pgregory.net/rapid"

	"dcpos/drivers/scanner"
)

func TestClassify(t *testing.T) {
	for code, want := range map[string]scanner.Kind{
		"0100320229316139647":      scanner.KindECNY,
		"010032022931613964":       scanner.KindUnknown, // 18 digits
		"01003202293161396470":     scanner.KindUnknown, // 20 digits
		"134567890123456789":       scanner.KindWeChat,
		"154567890123456789":       scanner.KindWeChat,
		"164567890123456789":       scanner.KindUnknown,
		"280000000000000000":       scanner.KindAlipay,
		"2500000000000000":         scanner.KindAlipay,
		"300000000000000000000000": scanner.KindAlipay,
		"310000000000000000":       scanner.KindUnknown,
		"6200000000000000000":      scanner.KindUnionPay,
		"620000000000000000":       scanner.KindUnknown,
		"6901028075862":            scanner.KindGoods,
		"6901028075863":            scanner.KindUnknown, // check digit
		"96385074":                 scanner.KindGoods,
		"036000291452":             scanner.KindGoods,
		"16901028075869":           scanner.KindGoods,
		"dcpos:pay:0197f1b2-7c3d-7e11-9a2b-3c4d5e6f7a8b": scanner.KindPayment,
		"dcpos:ev1:AAAA":        scanner.KindEvidence,
		"dcpos:other":           scanner.KindUnknown,
		"https://id.gs1.org/x":  scanner.KindLink,
		"HTTP://EXAMPLE.COM":    scanner.KindLink,
		"":                      scanner.KindUnknown,
		"hello":                 scanner.KindUnknown,
		"0100320229316139647\n": scanner.KindUnknown,
		"０１00320229316139647":   scanner.KindUnknown, // full-width digits
	} {
		if got := scanner.Classify(code); got != want {
			t.Errorf("%q: got %s, want %s", code, got, want)
		}
	}
}

func TestGoodsAreNeverTakenForMoney(t *testing.T) {
	code := "0100320229316139647"
	for _, aim := range []string{"]E0", "]C1", "]e0", "]d2", "]Q3"} {
		if got := scanner.ClassifyScan(code, aim); got != scanner.KindGoods {
			t.Errorf("%s: got %s", aim, got)
		}
	}
	for _, aim := range []string{"", "]Q1", "]C0", "]", "garbage"} {
		if got := scanner.ClassifyScan(code, aim); got != scanner.KindECNY {
			t.Errorf("%q: got %s", aim, got)
		}
	}
}

func TestRulesDoNotOverlap(t *testing.T) {
	rules := scanner.Rules()
	rapid.Check(t, func(t *rapid.T) {
		code := rapid.StringMatching(`[0-9]{14,26}`).Draw(t, "code")
		matches := 0
		for _, r := range rules {
			two := int(code[0]-'0')*10 + int(code[1]-'0')
			if two >= r.FirstTwo && two <= r.LastTwo && len(code) >= r.MinDigits && len(code) <= r.MaxDigits {
				matches++
			}
		}
		if matches > 1 {
			t.Errorf("%s fits %d rules", code, matches)
		}
		if got := scanner.Classify(code); got.PaymentCode() != (matches == 1) {
			t.Errorf("%s: got %s", code, got)
		}
	})
	for _, r := range rules {
		if r.Source == "" || r.Confidence == "" {
			t.Errorf("%s without a source", r.Kind)
		}
	}
}

func TestMaskHidesAllButTwoAndFour(t *testing.T) {
	for code, want := range map[string]string{
		"0100320229316139647": "01*************9647",
		"1234567":             "12*4567",
		"123456":              "******",
		"":                    "",
		"王府井大街二五五号":           "王府***二五五号",
	} {
		if got := scanner.Mask(code); got != want {
			t.Errorf("%q: got %q, want %q", code, got, want)
		}
	}
	rapid.Check(t, func(t *rapid.T) {
		code := rapid.StringMatching(`[0-9]{16,24}`).Draw(t, "code")
		if m := scanner.Mask(code); strings.Contains(m, code[2:len(code)-4]) || len(m) != len(code) {
			t.Errorf("%s shows %s", m, code)
		}
	})
}
