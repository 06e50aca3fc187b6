package sign

import (
	"bytes"
	"crypto/ed25519"
	"crypto/x509"
	"encoding/base64"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

// TestBaseOfRFC9421 holds the signature base to the example of RFC 9421 B.2.6.
func TestBaseOfRFC9421(t *testing.T) {
	r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "http://example.com/foo?param=Value&Pet=dog", strings.NewReader(`{"hello": "world"}`))
	r.Header.Set("Date", "Tue, 20 Apr 2021 02:07:55 GMT")
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("Content-Length", "18")
	parts := []string{"date", "@method", "@path", "@authority", "content-type", "content-length"}
	der, err := base64.StdEncoding.DecodeString("MCowBQYDK2VwAyEAJrQLj5P/89iXES9+vFgrIy29clF9CC/oPPsw3c5D0bs=")
	if err != nil {
		t.Fatal(err)
	}
	key, err := x509.ParsePKIXPublicKey(der)
	if err != nil {
		t.Fatal(err)
	}
	sig, err := base64.StdEncoding.DecodeString("wqcAqbmYJ2ji2glfAMaRy4gruYYnx2nEFN2HN6jrnDnQCK1u02Gb04v9EDgwUPiu4A0w6vuQv5lIp5WPpBKRCw==")
	if err != nil {
		t.Fatal(err)
	}
	got := base(r, parts, inner(parts)+`;created=1618884473;keyid="test-key-ed25519"`)
	public, ok := key.(ed25519.PublicKey)
	if !ok || !ed25519.Verify(public, []byte(got), sig) {
		t.Fatalf("the example does not verify:\n%s", got)
	}
}

func pair() (ed25519.PublicKey, ed25519.PrivateKey) {
	private := ed25519.NewKeyFromSeed(bytes.Repeat([]byte{7}, ed25519.SeedSize))
	public, _ := private.Public().(ed25519.PublicKey)
	return public, private
}

const sent = `{"amount_fen":100}`

func signed(tb testing.TB) *http.Request {
	tb.Helper()
	_, private := pair()
	r := httptest.NewRequestWithContext(tb.Context(), http.MethodPost, "https://centre.example:8443/shop/v1/payments?x=1", strings.NewReader(sent))
	r.Header.Set(KeyHeader, "order-1")
	Sign(r, []byte(sent), Signature{KeyID: "k1", Nonce: "0123456789abcdef", Tag: "dcpos-shop-1", Created: time.Unix(1_800_000_000, 0)}, private)
	return r
}

func check(r *http.Request) error {
	s, err := Parse(r)
	if err != nil {
		return err
	}
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return err
	}
	public, _ := pair()
	return s.Verify(r, body, public)
}

func TestGoldenSignature(t *testing.T) {
	r := signed(t)
	for name, want := range map[string]string{
		DigestHeader: "sha-256=:32kPlkypE9aFWv8Lk13xQeoEuYpIioLvXHKO4FFJD2U=:",
		InputHeader:  `dcpos=("@method" "@authority" "@path" "@query" "content-digest" "idempotency-key");created=1800000000;nonce="0123456789abcdef";alg="ed25519";keyid="k1";tag="dcpos-shop-1"`,
	} {
		if got := r.Header.Get(name); got != want {
			t.Errorf("%s\n got %s\nwant %s", name, got, want)
		}
	}
	want := "\"@method\": POST\n\"@authority\": centre.example:8443\n\"@path\": /shop/v1/payments\n\"@query\": ?x=1\n\"content-digest\": " +
		r.Header.Get(DigestHeader) + "\n\"idempotency-key\": order-1\n\"@signature-params\": " + strings.TrimPrefix(r.Header.Get(InputHeader), "dcpos=")
	if got := base(r, covered(r), strings.TrimPrefix(r.Header.Get(InputHeader), "dcpos=")); got != want {
		t.Errorf("base\n got %s\nwant %s", got, want)
	}
	if err := check(r); err != nil {
		t.Fatal(err)
	}
}

// TestEveryChangeIsSeen changes each covered part, and what the signature says of itself.
func TestEveryChangeIsSeen(t *testing.T) {
	input := func(old, after string) func(*http.Request) {
		return func(r *http.Request) {
			r.Header.Set(InputHeader, strings.Replace(r.Header.Get(InputHeader), old, after, 1))
		}
	}
	for name, change := range map[string]func(r *http.Request){
		"method":            func(r *http.Request) { r.Method = http.MethodPut },
		"host":              func(r *http.Request) { r.Host = "other.example:8443" },
		"port":              func(r *http.Request) { r.Host = "centre.example" },
		"path":              func(r *http.Request) { r.URL.Path = "/shop/v1/payments/" },
		"query":             func(r *http.Request) { r.URL.RawQuery = "x=2" },
		"no query":          func(r *http.Request) { r.URL.RawQuery = "" },
		"body":              func(r *http.Request) { r.Body = io.NopCloser(strings.NewReader(`{"amount_fen":101}`)) },
		"empty body":        func(r *http.Request) { r.Body = http.NoBody },
		"digest":            func(r *http.Request) { r.Header.Set(DigestHeader, digest([]byte("x"))) },
		"digest twice":      func(r *http.Request) { r.Header.Add(DigestHeader, r.Header.Get(DigestHeader)) },
		"digest md5":        func(r *http.Request) { r.Header.Set(DigestHeader, "md5=:AAAA:") },
		"no digest":         func(r *http.Request) { r.Header.Del(DigestHeader) },
		"other key":         func(r *http.Request) { r.Header.Set(KeyHeader, "order-2") },
		"second key":        func(r *http.Request) { r.Header.Add(KeyHeader, "order-2") },
		"key taken out":     func(r *http.Request) { r.Header.Del(KeyHeader) },
		"no input":          func(r *http.Request) { r.Header.Del(InputHeader) },
		"two inputs":        func(r *http.Request) { r.Header.Add(InputHeader, r.Header.Get(InputHeader)) },
		"no signature":      func(r *http.Request) { r.Header.Del(SignatureHeader) },
		"two signatures":    func(r *http.Request) { r.Header.Add(SignatureHeader, "dcpos=:AAAA:") },
		"short signature":   func(r *http.Request) { r.Header.Set(SignatureHeader, "dcpos=:AAAA:") },
		"other label":       func(r *http.Request) { r.Header.Set(SignatureHeader, "sig=:AAAA:") },
		"created later":     input("1800000000", "1800000001"),
		"created negative":  input("1800000000", "-1"),
		"created as text":   input("1800000000", `"1800000000"`),
		"created too long":  input("1800000000", "01800000000"),
		"nonce":             input("0123456789abcdef", "0123456789abcdeg"),
		"nonce too short":   input("0123456789abcdef", "0123"),
		"nonce with escape": input("0123456789abcdef", `0123456789abcde\"`),
		"algorithm":         input("ed25519", "hmac-sha256"),
		"no algorithm":      input(`;alg="ed25519"`, ""),
		"keyid":             input("k1", "k2"),
		"no keyid":          input(`;keyid="k1"`, ""),
		"keyid twice":       input(`;keyid="k1"`, `;keyid="k1";keyid="k2"`),
		"tag":               input("dcpos-shop-1", "dcpos-hook-1"),
		"expires added":     input(`;keyid`, `;expires=1;keyid`),
		"digest uncovered":  input(` "content-digest"`, ""),
		"method uncovered":  input(`"@method" `, ""),
		"order of parts":    input(`"@method" "@authority"`, `"@authority" "@method"`),
		"part added":        input(`"idempotency-key"`, `"idempotency-key" "host"`),
		"second signature":  input(`dcpos=`, `a=(),dcpos=`),
		"very long":         input("k1", strings.Repeat("k", 2000)),
	} {
		t.Run(name, func(t *testing.T) {
			r := signed(t)
			change(r)
			if err := check(r); err == nil {
				t.Error("was believed")
			}
		})
	}
}

// TestAuthorityIsAsRFC9421Says: lower case, without the scheme's own port.
func TestAuthorityIsAsRFC9421Says(t *testing.T) {
	for host, want := range map[string]string{
		"Centre.Example": "centre.example", "centre.example:443": "centre.example", "centre.example:80": "centre.example",
		"[::1]:8443": "[::1]:8443", "centre.example:8080": "centre.example:8080",
	} {
		if got := authority(&http.Request{Host: host}); got != want {
			t.Errorf("%s is %s, want %s", host, got, want)
		}
	}
}

// FuzzParse: strangers' headers never panic, and what is believed is what was signed.
func FuzzParse(f *testing.F) {
	r := signed(f)
	f.Add(r.Header.Get(InputHeader), r.Header.Get(SignatureHeader))
	f.Add("dcpos=()", "dcpos=::")
	f.Add(`dcpos=("@method");created=1;;;`, `dcpos=:AAAA`)
	f.Fuzz(func(t *testing.T, input, signature string) {
		r := signed(t)
		same := input == r.Header.Get(InputHeader)
		r.Header[InputHeader], r.Header[SignatureHeader] = []string{input}, []string{signature}
		s, err := Parse(r)
		if err != nil {
			return
		}
		public, _ := pair()
		if err := s.Verify(r, []byte(sent), public); err == nil && !same {
			t.Fatalf("believed %q", input)
		}
	})
}
