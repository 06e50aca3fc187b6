package router_test

import (
	"math/rand/v2"
	"strings"
	"testing"

	"dcpos/drivers/scanner/router"
)

func TestClassify(t *testing.T) {
	for code, want := range map[string]router.Kind{
		"0100320229316139647":      router.KindECNY,
		"010032022931613964":       router.KindUnknown, // 18 digits
		"01003202293161396470":     router.KindUnknown, // 20 digits
		"134567890123456789":       router.KindWeChat,
		"154567890123456789":       router.KindWeChat,
		"164567890123456789":       router.KindUnknown,
		"280000000000000000":       router.KindAlipay,
		"2500000000000000":         router.KindAlipay,
		"300000000000000000000000": router.KindAlipay,
		"310000000000000000":       router.KindUnknown,
		"6200000000000000000":      router.KindUnionPay,
		"620000000000000000":       router.KindUnknown,
		"6901028075862":            router.KindGoods,
		"6901028075863":            router.KindUnknown, // check digit
		"96385074":                 router.KindGoods,
		"036000291452":             router.KindGoods,
		"16901028075869":           router.KindGoods,
		"dcpos:pay:0197f1b2-7c3d-7e11-9a2b-3c4d5e6f7a8b": router.KindPayment,
		"dcpos:ev1:AAAA":                       router.KindEvidence,
		"dcpos:other":                          router.KindUnknown,
		"https://id.gs1.org/x":                 router.KindLink,
		"https://id.gs1.org/01/06901028075862": router.KindGS1,
		"https://id.gs1.org/01/06901028075863": router.KindLink, // check digit
		"dcpos:campaign:wangfujing-2021":       router.KindCampaign,
		"dcpos:campaign:":                      router.KindUnknown,
		"0106901028075862\x1d10ABC":            router.KindGS1,
		"0106901028075862":                     router.KindUnknown, // 16 digits may be anything without a symbology
		"\x1d0100320229316139647":              router.KindUnknown,
		"HTTP://EXAMPLE.COM":                   router.KindLink,
		"":                                     router.KindUnknown,
		"hello":                                router.KindUnknown,
		"0100320229316139647\n":                router.KindUnknown,
		"０１00320229316139647":                  router.KindUnknown, // full-width digits
	} {
		if got := router.Classify(code); got != want {
			t.Errorf("%q: got %s, want %s", code, got, want)
		}
	}
}

func TestGoodsAreNeverTakenForMoney(t *testing.T) {
	code := "0100320229316139647"
	for _, aim := range []string{"]E0", "]E4", "]C1", "]e0", "]d2", "]d5", "]Q3", "]Q4"} {
		if got := router.ClassifyScan(code, aim); got != router.KindGoods {
			t.Errorf("%s: got %s", aim, got)
		}
	}
	for _, aim := range []string{"", "]Q1", "]C0", "]d1", "]d3", "]", "garbage"} {
		if got := router.ClassifyScan(code, aim); got != router.KindECNY {
			t.Errorf("%q: got %s", aim, got)
		}
	}
}

func TestRulesDoNotOverlap(t *testing.T) {
	rules := router.Rules()
	for seed := range uint64(2000) {
		code := digits(seed, 14, 26)
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
		if got := router.Classify(code); got.PaymentCode() != (matches == 1) {
			t.Errorf("%s: got %s", code, got)
		}
	}
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
		if got := router.Mask(code); got != want {
			t.Errorf("%q: got %q, want %q", code, got, want)
		}
	}
	for seed := range uint64(200) {
		code := digits(seed, 16, 24)
		if m := router.Mask(code); strings.Contains(m, code[2:len(code)-4]) || len(m) != len(code) {
			t.Errorf("%s shows %s", m, code)
		}
	}
}

// digits are a code's, as many and whichever the seed says.
func digits(seed uint64, atLeast, atMost int) string {
	dice := rand.New(rand.NewPCG(seed, 0)) //nolint:gosec // a test's choices
	b := make([]byte, atLeast+dice.IntN(atMost-atLeast+1))
	for i := range b {
		b[i] = '0' + byte(dice.IntN(10)) //nolint:gosec // a digit
	}
	return string(b)
}

func TestGS1(t *testing.T) {
	for _, tc := range []struct{ code, aim, gtin string }{
		{"010690102807586217261231", "]C1", "06901028075862"},
		{"0106901028075862", "]e0", "06901028075862"},
		{"0106901028075862310300125010LOT", "]d2", "06901028075862"},
		{"https://id.gs1.org/01/6901028075862/10/A", "]Q3", "06901028075862"},
		{"https://id.gs1.org/01/6901028075862/10/A", "]Q1", "06901028075862"},
		{"10LOT", "]C1", ""},
	} {
		if got := router.ClassifyScan(tc.code, tc.aim); got != router.KindGS1 {
			t.Errorf("%s %s: got %s", tc.aim, tc.code, got)
		}
		if got := router.GTIN(tc.code); got != tc.gtin {
			t.Errorf("%s: GTIN %q, want %q", tc.code, got, tc.gtin)
		}
	}
	for code, want := range map[string]string{"6901028075862": "06901028075862", "96385074": "00000096385074", "hello": "", "6901028075863": ""} {
		if got := router.GTIN(code); got != want {
			t.Errorf("%s: GTIN %q, want %q", code, got, want)
		}
	}
}

func TestCampaignLinks(t *testing.T) {
	const host = "pos.example.cn"
	for code, want := range map[string]bool{
		"https://pos.example.cn/campaigns/wangfujing-2021": true,
		"HTTPS://POS.EXAMPLE.CN/":                          true,
		"http://pos.example.cn/campaigns/x":                false,
		"https://pos.example.cn.evil.example/campaigns/x":  false,
		"https://pos.example.cn@evil.example/campaigns/x":  false,
		"https://evil@pos.example.cn/campaigns/x":          false,
		"https://pos.example.cn:8443/":                     false,
		"https://example.cn/pos.example.cn":                false,
		"pos.example.cn":                                   false,
		"https://%zz":                                      false,
	} {
		if got := router.CampaignLink(code, host); got != want {
			t.Errorf("%s: got %v", code, got)
		}
	}
	if router.CampaignLink("https:///x", "") {
		t.Error("no host has no links")
	}
}

func FuzzClassify(f *testing.F) {
	for _, s := range []string{"0100320229316139647", "6901028075862", "dcpos:ev1:AAAA", "https://id.gs1.org/01/6901028075862", "0106901028075862\x1d10A"} {
		f.Add(s, "]Q1")
		f.Add(s, "]C1")
	}
	f.Fuzz(func(t *testing.T, code, aim string) {
		if len(code) > 128 || len(aim) > 4 {
			return // longer ones only take longer
		}
		kind := router.ClassifyScan(code, aim)
		if router.GoodsSymbology(aim) && kind.PaymentCode() {
			t.Fatalf("%s %q is taken for money", aim, code)
		}
		if kind.PaymentCode() && (len(code) < 16 || len(code) > 24 || strings.Trim(code, "0123456789") != "") {
			t.Fatalf("%q is a %s", code, kind)
		}
		if g := router.GTIN(code); g != "" && len(g) != 14 {
			t.Fatalf("%q has GTIN %q", code, g)
		}
		if m := router.Mask(code); kind.PaymentCode() && strings.Contains(m, code[2:len(code)-4]) {
			t.Fatalf("%q shows as %q", code, m)
		}
	})
}
