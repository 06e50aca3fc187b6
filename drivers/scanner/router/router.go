// Package router says what a scanned code is for: payment, goods, a campaign, our own receipt.
//
// The table of payment codes is Rules; a further scheme is a further row.
package router

import (
	"net/url"
	"strings"
	"unicode/utf8"

	"dcpos/drivers/scanner/gs1"
	"dcpos/drivers/scanner/symbology"
	"dcpos/pos/dcep"
)

// Kind says what a scanned code is for.
type Kind string

// The kinds. A payment code is a bearer secret that lives about a minute: see Mask.
const (
	KindECNY     Kind = "ecny_payment_code"     // digital-yuan wallet's payment code
	KindWeChat   Kind = "wechat_payment_code"   // another scheme's: refuse by name
	KindAlipay   Kind = "alipay_payment_code"   // likewise
	KindUnionPay Kind = "unionpay_payment_code" // likewise
	KindForward  Kind = "forwardable_code"      // a code that its institution may charge later: "dcpos:fw1:…"
	KindPayment  Kind = "payment_reference"     // our own receipt's QR: "dcpos:pay:<uuid>"
	KindEvidence Kind = "wallet_evidence"       // a wallet's answer QR: "dcpos:ev1:…"
	KindGoods    Kind = "goods"                 // EAN or UPC: a number of goods alone
	KindGS1      Kind = "gs1"                   // GS1 element string or Digital Link: goods with batch, date, weight
	KindCampaign Kind = "campaign"              // a campaign: "dcpos:campaign:…", or a CampaignLink
	KindLink     Kind = "link"                  // any other http(s)
	KindUnknown  Kind = "unknown"
)

// Prefixes of the codes that dcpos itself makes (docs/PROTOCOL.md).
const (
	PaymentPrefix  = "dcpos:pay:"
	EvidencePrefix = "dcpos:ev1:"
	// EvidencePrefix2 is of evidence that may name envelopes.
	EvidencePrefix2 = "dcpos:ev2:"
	CampaignPrefix  = "dcpos:campaign:"
	// ForwardPrefix is dcep.ForwardPrefix: what begins so is treated as a bearer secret, readable or not.
	ForwardPrefix = dcep.ForwardPrefix
)

// PaymentCode reports whether the kind is a wallet's payment code of any scheme.
func (k Kind) PaymentCode() bool {
	return k == KindECNY || k == KindForward || k == KindWeChat || k == KindAlipay || k == KindUnionPay
}

// Rule is one row of the router's table: a code of digits alone, of a length in a
// range, that begins with a number in a range.
type Rule struct {
	Kind                 Kind
	FirstTwo, LastTwo    int // range of the first two digits
	MinDigits, MaxDigits int
	Source               string
	Confidence           string // "high": the scheme's documents; "medium": samples
}

// Rules are the payment codes that are told apart, first match wins. The rows are
// facts about other people's systems: they change here, not in code.
func Rules() []Rule {
	return []Rule{
		{KindWeChat, 10, 15, 18, 18, "WeChat Pay, payment code mode: 18 digits beginning 10 to 15", "high"},
		{KindAlipay, 25, 30, 16, 24, "Alipay, face to face payment: 16 to 24 digits beginning 25 to 30", "high"},
		{KindUnionPay, 62, 62, 19, 19, "UnionPay QR, consumer presented: 19 digits beginning 62", "high"},
		{KindECNY, 1, 1, 19, 19, "Agricultural Bank of China, demo UDCAppQRCodePayReq: one sample of 19 digits beginning 01", "medium"},
	}
}

// Classify says what a code is for, from its text alone: goods are recognised by
// length and check digit. Use ClassifyScan when the symbology is known.
func Classify(code string) Kind {
	switch {
	case strings.HasPrefix(code, PaymentPrefix):
		return KindPayment
	case strings.HasPrefix(code, EvidencePrefix), strings.HasPrefix(code, EvidencePrefix2):
		return KindEvidence
	case strings.HasPrefix(code, ForwardPrefix):
		return KindForward
	case len(code) > len(CampaignPrefix) && strings.HasPrefix(code, CampaignPrefix):
		return KindCampaign
	case hasPrefixFold(code, "https://"), hasPrefixFold(code, "http://"):
		return link(code)
	}
	if isDigits(code) {
		for _, r := range Rules() {
			if r.matches(code) {
				return r.Kind
			}
		}
		if goodsDigits(code) {
			return KindGoods
		}
	}
	if strings.ContainsRune(code, gs1.FNC1) {
		if _, err := gs1.Parse(code); err == nil {
			return KindGS1
		}
	}
	return KindUnknown
}

// ClassifyScan is Classify with the help of the AIM identifier (ISO/IEC 15424): a
// symbology that only goods have (EAN, UPC, GS1) is never taken for a payment code,
// whatever its digits.
func ClassifyScan(code, aim string) Kind {
	if !GoodsSymbology(aim) {
		return Classify(code)
	}
	if symbology.GS1(aim) {
		if _, err := gs1.Parse(code); err == nil {
			return KindGS1
		}
		if _, err := gs1.DigitalLink(code); err == nil {
			return KindGS1
		}
	}
	return KindGoods
}

// GoodsSymbology reports whether the AIM identifier is one that only goods carry: EAN and
// UPC, and the GS1 symbologies.
func GoodsSymbology(aim string) bool { return symbology.Retail(aim) || symbology.GS1(aim) }

// CampaignLink reports whether a code is a link to the host of the campaign pages, such as
// "pos.example.cn". Only https counts: a link that anybody on the way can change proves no
// host. An empty host has no links.
func CampaignLink(code, host string) bool {
	u, err := url.Parse(code)
	return err == nil && host != "" && u.User == nil && strings.EqualFold(u.Scheme, "https") && strings.EqualFold(u.Host, host)
}

// link tells a GS1 Digital Link from any other.
func link(code string) Kind {
	if _, err := gs1.DigitalLink(code); err == nil {
		return KindGS1
	}
	return KindLink
}

// GTIN is the number of the goods that a code of KindGoods or KindGS1 is on, in 14 digits
// as GS1 writes it in data; empty when it has none.
func GTIN(code string) string {
	if goodsDigits(code) {
		return strings.Repeat("0", 14-len(code)) + code
	}
	if e, err := gs1.Parse(code); err == nil {
		return e.GTIN()
	}
	if e, err := gs1.DigitalLink(code); err == nil {
		return e.GTIN()
	}
	return ""
}

func (r Rule) matches(digits string) bool {
	if len(digits) < r.MinDigits || len(digits) > r.MaxDigits {
		return false
	}
	two := int(digits[0]-'0')*10 + int(digits[1]-'0')
	return two >= r.FirstTwo && two <= r.LastTwo
}

// goodsDigits reports whether the digits have the length and the check digit of
// EAN-8, UPC-A, EAN-13 or GTIN-14 (GS1 General Specifications, 7.9).
func goodsDigits(digits string) bool {
	switch len(digits) {
	case 8, 12, 13, 14:
	default:
		return false
	}
	return gs1.CheckDigit(digits)
}

// Mask hides a code for logs and screens: the first two and the last four characters
// stay, every other one becomes "*". A code of up to six characters is hidden whole.
func Mask(code string) string {
	n := utf8.RuneCountInString(code)
	if n <= 6 {
		return strings.Repeat("*", n)
	}
	r := []rune(code)
	return string(r[:2]) + strings.Repeat("*", n-6) + string(r[n-4:])
}

func isDigits(s string) bool {
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			return false
		}
	}
	return s != ""
}

func hasPrefixFold(s, prefix string) bool {
	return len(s) >= len(prefix) && strings.EqualFold(s[:len(prefix)], prefix)
}
