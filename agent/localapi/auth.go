package localapi

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"

	"dcpos/pos"
)

// Scope is what a client may do.
type Scope string

// The scopes.
const (
	ScopeRead   Scope = "read"   // look at payments, status, events
	ScopePay    Scope = "pay"    // take payments, scan, print, sign operators in
	ScopeRefund Scope = "refund" // ask for refunds
	ScopeAdmin  Scope = "admin"  // everything
)

// Valid reports whether s is a scope.
func (s Scope) Valid() bool {
	return s == ScopeRead || s == ScopePay || s == ScopeRefund || s == ScopeAdmin
}

// Token lets a client in over TCP. The configuration holds only its hash.
type Token struct {
	Name   string  `json:"name" yaml:"name"`     // the caller of what it does; its keys are its own
	Hash   string  `json:"hash" yaml:"hash"`     // TokenHash of the secret
	Scopes []Scope `json:"scopes" yaml:"scopes"` // what it may do
}

// NewToken draws a secret of 256 bits and its hash.
func NewToken() (secret, hash string, err error) {
	var b [32]byte
	if _, err := rand.Read(b[:]); err != nil {
		return "", "", fmt.Errorf("draw token: %w", err)
	}
	secret = "dcpos_" + base64.RawURLEncoding.EncodeToString(b[:])
	return secret, TokenHash(secret), nil
}

// TokenHash is the SHA-256 of a token's secret in hexadecimal. A fast hash is enough:
// the secret is drawn, not chosen.
func TokenHash(secret string) string {
	sum := sha256.Sum256([]byte(secret))
	return hex.EncodeToString(sum[:])
}

// Names of the principals that have no token, and the headers and cookies.
const (
	CallerScreen = "screen"
	CallerLocal  = "local"
	// HeaderCaller lets programs on the Unix socket have idempotency keys of their own.
	HeaderCaller = "X-Dcpos-Caller"
	// HeaderCSRF repeats the value of the cookie CookieCSRF in every request of a page that changes something.
	HeaderCSRF = "X-Dcpos-Csrf"
	CookieCSRF = "dcpos_csrf"
	// CookieSession begins the name of the session's cookie; the port follows, because
	// browsers send the cookies of one host to all its ports, and a host may have several tills.
	CookieSession = "dcpos_till_"
	// EnterPath gives a browser its session: /enter?key=<Options.ScreenKey>.
	EnterPath = "/enter"
)

// principal is who makes a request.
type principal struct {
	name   string
	scopes []Scope
}

func (p principal) may(s Scope) bool {
	return slices.Contains(p.scopes, s) || slices.Contains(p.scopes, ScopeAdmin)
}

type principalKey struct{}

func who(ctx context.Context) principal {
	p, _ := ctx.Value(principalKey{}).(principal)
	return p
}

func as(r *http.Request, p principal) *http.Request {
	return r.WithContext(context.WithValue(r.Context(), principalKey{}, p))
}

var callerForm = regexp.MustCompile(`^[a-z0-9_-]{1,32}$`)

// Unix is the handler for the Unix socket: whoever may open the socket's file may do
// everything.
func (a *API) Unix() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		p := principal{name: CallerLocal, scopes: []Scope{ScopeAdmin}}
		if c := r.Header.Get(HeaderCaller); c != "" {
			if !callerForm.MatchString(c) {
				writeError(w, http.StatusBadRequest, pos.FieldError(pos.ErrBadRequest, HeaderCaller, fmt.Errorf("want %s", callerForm)))
				return
			}
			p.name += ":" + c
		}
		a.mux.ServeHTTP(w, as(r, p))
	})
}

// Loopback is the handler for TCP on a loopback address. It answers only requests
// that name this machine as their host and come from no other origin, so that a page
// of the internet cannot reach it through the user's browser (DNS rebinding).
func (a *API) Loopback() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if err := a.checkOrigin(r); err != nil {
			writeError(w, http.StatusForbidden, pos.NewError(pos.ErrForbidden, err))
			return
		}
		if r.URL.Path == EnterPath && a.screen != nil {
			a.enter(w, r)
			return
		}
		p, err := a.authenticate(r)
		if err != nil {
			w.Header().Set("WWW-Authenticate", "Bearer")
			writeError(w, http.StatusUnauthorized, pos.NewError(pos.ErrForbidden, err))
			return
		}
		if a.key == "" && p.name == "" && a.screen != nil && r.Method == http.MethodGet && !strings.HasPrefix(r.URL.Path, "/v1/") {
			a.giveSession(w, r)
		}
		a.mux.ServeHTTP(w, as(r, p))
	})
}

func (a *API) checkOrigin(r *http.Request) error {
	host := r.Host
	if h, _, err := net.SplitHostPort(r.Host); err == nil {
		host = h
	}
	host = strings.Trim(host, "[]")
	if !slices.Contains(a.hosts, strings.ToLower(host)) {
		return fmt.Errorf("host %q is not this machine", host)
	}
	if site := r.Header.Get("Sec-Fetch-Site"); site == "cross-site" || site == "same-site" {
		return fmt.Errorf("request from another site")
	}
	origin := r.Header.Get("Origin")
	if origin == "" {
		return nil
	}
	u, err := url.Parse(origin)
	if err != nil || u.Host == "" || !strings.EqualFold(u.Host, r.Host) {
		return fmt.Errorf("origin %q is not this host", origin)
	}
	return nil
}

var (
	errToken   = errors.New("unknown token")
	errSession = errors.New("session is not known; open the page again")
	errCSRF    = errors.New("the page did not repeat " + CookieCSRF + " in " + HeaderCSRF)
)

// authenticate gives the principal; without any credentials one that may nothing.
func (a *API) authenticate(r *http.Request) (principal, error) {
	if secret, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer "); ok {
		return a.byToken(secret)
	}
	c, err := r.Cookie(CookieSession + port(r))
	if err != nil {
		return principal{}, nil //nolint:nilerr // no cookie, no rights
	}
	if !a.knows(c.Value) {
		if r.Method == http.MethodGet && !strings.HasPrefix(r.URL.Path, "/v1/") {
			return principal{}, nil // a page with an old cookie gets a new one
		}
		return principal{}, errSession
	}
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		// The origin is checked already; that the page could read the cookie is a second proof.
		c, err := r.Cookie(CookieCSRF)
		if err != nil || len(c.Value) < 16 || subtle.ConstantTimeCompare([]byte(r.Header.Get(HeaderCSRF)), []byte(c.Value)) != 1 {
			return principal{}, errCSRF
		}
	}
	return principal{name: CallerScreen, scopes: []Scope{ScopeRead, ScopePay, ScopeRefund}}, nil
}

func (a *API) byToken(secret string) (principal, error) {
	hash := []byte(TokenHash(secret))
	found := principal{}
	for _, t := range a.tokens { // all of them, so that the time tells nothing
		if subtle.ConstantTimeCompare(hash, []byte(strings.ToLower(t.Hash))) == 1 {
			found = principal{name: t.Name, scopes: t.Scopes}
		}
	}
	if found.name == "" {
		return found, errToken
	}
	return found, nil
}

// A session is a nonce with its MAC; nothing is kept of it.
func (a *API) mac(nonce string) string {
	m := hmac.New(sha256.New, a.secret)
	_, _ = m.Write([]byte("session\x00" + nonce))
	return base64.RawURLEncoding.EncodeToString(m.Sum(nil))
}

func (a *API) knows(session string) bool {
	nonce, mac, ok := strings.Cut(session, ".")
	return ok && subtle.ConstantTimeCompare([]byte(mac), []byte(a.mac(nonce))) == 1
}

func (a *API) giveSession(w http.ResponseWriter, r *http.Request) {
	nonce := rand.Text()
	for _, c := range []http.Cookie{
		{Name: CookieSession + port(r), Value: nonce + "." + a.mac(nonce), HttpOnly: true},
		{Name: CookieCSRF, Value: rand.Text()}, // read by the page's script
	} {
		c.Path, c.SameSite = "/", http.SameSiteStrictMode
		http.SetCookie(w, &c) //nolint:gosec // loopback HTTP; there is no TLS to demand
	}
}

// port is the port that the browser called; "80" when its address names none.
func port(r *http.Request) string {
	if _, p, err := net.SplitHostPort(r.Host); err == nil && p != "" {
		return p
	}
	return "80"
}

func (a *API) enter(w http.ResponseWriter, r *http.Request) {
	if a.key != "" && subtle.ConstantTimeCompare([]byte(r.URL.Query().Get("key")), []byte(a.key)) != 1 {
		writeError(w, http.StatusForbidden, pos.NewError(pos.ErrForbidden, errors.New("wrong key")))
		return
	}
	a.giveSession(w, r)
	w.Header().Set("Referrer-Policy", "no-referrer")
	http.Redirect(w, r, "/", http.StatusSeeOther)
}
