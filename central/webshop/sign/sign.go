package sign

import (
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
)

// The headers of the profile.
const (
	DigestHeader    = "Content-Digest"
	InputHeader     = "Signature-Input"
	SignatureHeader = "Signature"
	KeyHeader       = "Idempotency-Key"
)

// Label names the signature in both headers.
const Label = "dcpos"

// Limits of what a caller may send.
const (
	maxInput = 1024
	minNonce = 16
	maxNonce = 64
	maxKeyID = 64
)

// Signature is what a request says of its own signature. Nothing of it is proven before
// Verify.
type Signature struct {
	KeyID   string
	Nonce   string
	Tag     string
	Created time.Time // to the second

	input string // the signature parameters as they came
	parts []string
	bytes []byte
}

// Sign adds digest and signature to a request whose URL, host and headers are complete.
func Sign(r *http.Request, body []byte, s Signature, key ed25519.PrivateKey) {
	r.Header.Set(DigestHeader, digest(body))
	s.parts = covered(r)
	s.input = inner(s.parts) + ";created=" + strconv.FormatInt(s.Created.Unix(), 10) + `;nonce="` + s.Nonce +
		`";alg="ed25519";keyid="` + s.KeyID + `";tag="` + s.Tag + `"`
	sig := ed25519.Sign(key, []byte(base(r, s.parts, s.input)))
	r.Header.Set(InputHeader, Label+"="+s.input)
	r.Header.Set(SignatureHeader, Label+"=:"+base64.StdEncoding.EncodeToString(sig)+":")
}

// Parse reads the signature of a request and refuses what is not of the profile.
func Parse(r *http.Request) (Signature, error) {
	text, err := single(r, InputHeader, maxInput)
	if err != nil {
		return Signature{}, err
	}
	input, ok := strings.CutPrefix(text, Label+"=")
	if !ok {
		return Signature{}, fmt.Errorf("%s: want %s=(…)", InputHeader, Label)
	}
	s := Signature{input: input, parts: covered(r)}
	params, ok := strings.CutPrefix(input, inner(s.parts))
	if !ok {
		return Signature{}, fmt.Errorf("%s: want exactly %s", InputHeader, inner(s.parts))
	}
	if err := s.read(params); err != nil {
		return Signature{}, fmt.Errorf("%s: %w", InputHeader, err)
	}
	text, err = single(r, SignatureHeader, maxInput)
	if err != nil {
		return Signature{}, err
	}
	code, ok := strings.CutPrefix(text, Label+"=:")
	code, end := strings.CutSuffix(code, ":")
	if !ok || !end {
		return Signature{}, fmt.Errorf("%s: want %s=:…: with base64", SignatureHeader, Label)
	}
	if s.bytes, err = base64.StdEncoding.Strict().DecodeString(code); err != nil || len(s.bytes) != ed25519.SignatureSize {
		return Signature{}, fmt.Errorf("%s: want %d bytes in base64", SignatureHeader, ed25519.SignatureSize)
	}
	return s, nil
}

// read takes the parameters, each once, in any order: created, nonce, alg, keyid, tag.
func (s *Signature) read(params string) error {
	seen := map[string]string{}
	for part := range strings.SplitSeq(strings.TrimPrefix(params, ";"), ";") {
		name, value, _ := strings.Cut(part, "=")
		if _, twice := seen[name]; twice {
			return fmt.Errorf("parameter %.20q is named twice", name)
		}
		if name != "created" {
			inside, ok := strings.CutPrefix(value, `"`)
			if inside, ok = cutEnd(inside, ok); !ok || strings.ContainsFunc(inside, outside) {
				return fmt.Errorf("parameter %.20q: want a plain quoted text", name)
			}
			value = inside
		}
		seen[name] = value
	}
	seconds, err := strconv.ParseInt(seen["created"], 10, 64)
	switch {
	case err != nil || seconds < 0 || len(seen["created"]) > 12 || strconv.FormatInt(seconds, 10) != seen["created"]:
		return errors.New("created: want Unix seconds")
	case seen["alg"] != "ed25519":
		return errors.New(`alg: want "ed25519"`)
	case seen["keyid"] == "" || len(seen["keyid"]) > maxKeyID:
		return errors.New("keyid: want the id of a key")
	case len(seen["nonce"]) < minNonce || len(seen["nonce"]) > maxNonce:
		return fmt.Errorf("nonce: want %d to %d characters", minNonce, maxNonce)
	case seen["tag"] == "":
		return errors.New("tag: want one")
	case len(seen) != 5:
		return errors.New("want created, nonce, alg, keyid, tag and nothing else")
	}
	s.Created, s.KeyID, s.Nonce, s.Tag = time.Unix(seconds, 0), seen["keyid"], seen["nonce"], seen["tag"]
	return nil
}

func cutEnd(s string, ok bool) (string, bool) {
	s, end := strings.CutSuffix(s, `"`)
	return s, ok && end
}

// outside are characters that a quoted text of the profile does not have: it needs no escapes.
func outside(r rune) bool { return r <= ' ' || r > '~' || r == '"' || r == '\\' }

// Verify reports why the request is not what the key's owner signed; nil when it is.
func (s Signature) Verify(r *http.Request, body []byte, public ed25519.PublicKey) error {
	text, err := single(r, DigestHeader, maxInput)
	if err != nil {
		return err
	}
	if text != digest(body) {
		return fmt.Errorf("%s: the body is another", DigestHeader)
	}
	if len(public) != ed25519.PublicKeySize || !ed25519.Verify(public, []byte(base(r, s.parts, s.input)), s.bytes) {
		return fmt.Errorf("%s: does not verify with key %s", SignatureHeader, s.KeyID)
	}
	return nil
}

// covered are the parts that the profile signs: an idempotency key where there is one.
func covered(r *http.Request) []string {
	parts := []string{"@method", "@authority", "@path", "@query", "content-digest"}
	if len(r.Header.Values(KeyHeader)) > 0 {
		parts = append(parts, "idempotency-key")
	}
	return parts
}

// inner is the list of parts as RFC 9421 §2.3 writes it.
func inner(parts []string) string { return `("` + strings.Join(parts, `" "`) + `")` }

// base is the signature base, RFC 9421 §2.5.
func base(r *http.Request, parts []string, input string) string {
	var b strings.Builder
	for _, p := range parts {
		b.WriteString(`"` + p + `": ` + part(r, p) + "\n")
	}
	b.WriteString(`"@signature-params": ` + input)
	return b.String()
}

// part is one covered value, RFC 9421 §2.1 and §2.2.
func part(r *http.Request, name string) string {
	switch name {
	case "@method":
		return r.Method
	case "@authority":
		return authority(r)
	case "@path":
		if p := r.URL.EscapedPath(); p != "" {
			return p
		}
		return "/"
	case "@query":
		return "?" + r.URL.RawQuery
	}
	values := slices.Clone(r.Header.Values(name))
	for i := range values {
		values[i] = strings.TrimSpace(values[i])
	}
	return strings.Join(values, ", ")
}

// authority is the host that the request was sent to, without the scheme's own port.
func authority(r *http.Request) string {
	host := r.Host
	if host == "" {
		host = r.URL.Host
	}
	host = strings.ToLower(host)
	host = strings.TrimSuffix(host, ":443")
	return strings.TrimSuffix(host, ":80")
}

// digest is the Content-Digest of a body, RFC 9530 §2.
func digest(body []byte) string {
	sum := sha256.Sum256(body)
	return "sha-256=:" + base64.StdEncoding.EncodeToString(sum[:]) + ":"
}

// single reads a header that must be there once.
func single(r *http.Request, name string, limit int) (string, error) {
	values := r.Header.Values(name)
	if len(values) != 1 || len(values[0]) > limit {
		return "", fmt.Errorf("%s: want it once, at most %d bytes", name, limit)
	}
	return values[0], nil
}
