package console

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"net"
	"net/http"
	"net/netip"
	"sync"
	"time"

	"dcpos/pos"
)

// How long a session lives, at most and without being used.
const (
	sessionLife = 12 * time.Hour
	sessionIdle = 30 * time.Minute
)

const cookieName = "dcpos_session"

// Session is a signed-in browser. The browser holds the token, the store its hash.
type Session struct {
	Hash      []byte
	Account   string
	CSRF      string
	CreatedMS int64
	SeenMS    int64
	Role      Role // of the account now; read only
}

// Sessions keeps sessions.
type Sessions interface {
	PutSession(ctx context.Context, s Session) error
	// Session finds a session of an account that is not disabled.
	Session(ctx context.Context, hash []byte) (Session, bool, error)
	// TouchSession notes that it was used.
	TouchSession(ctx context.Context, hash []byte, nowMS int64) error
	DropSession(ctx context.Context, hash []byte) error
	// Audit notes what a person did that no other store method notes.
	Audit(ctx context.Context, actor, what, subject, detail string) error
}

func secret() (string, error) {
	b := make([]byte, 32)
	if _, err := rand.Read(b); err != nil {
		return "", err
	}
	return base64.RawURLEncoding.EncodeToString(b), nil
}

func tokenHash(token string) []byte {
	sum := sha256.Sum256([]byte(token))
	return sum[:]
}

// session finds the live session of a request.
func (c *Console) session(r *http.Request) (Session, bool, error) {
	k, err := r.Cookie(cookieName)
	if err != nil || len(k.Value) != 43 {
		return Session{}, false, nil //nolint:nilerr // no cookie is no session
	}
	s, found, err := c.cfg.Store.Session(r.Context(), tokenHash(k.Value))
	if err != nil || !found {
		return Session{}, false, err
	}
	now := c.cfg.Now()
	if now.Sub(time.UnixMilli(s.CreatedMS)) >= sessionLife || now.Sub(time.UnixMilli(s.SeenMS)) >= sessionIdle {
		return Session{}, false, c.cfg.Store.DropSession(r.Context(), s.Hash)
	}
	if now.Sub(time.UnixMilli(s.SeenMS)) > time.Minute {
		if err := c.cfg.Store.TouchSession(r.Context(), s.Hash, now.UnixMilli()); err != nil {
			return Session{}, false, err
		}
	}
	return s, true, nil
}

// loginPage shows the form.
func (c *Console) loginPage(w http.ResponseWriter, r *http.Request) {
	c.show(w, r, http.StatusOK, "login", Session{}, loginBody{})
}

type loginBody struct {
	Name  string
	Wrong *pos.Error
}

// login checks name and password. What went wrong is one sentence for all cases, and
// an unknown name costs as much time as a wrong password.
func (c *Console) login(w http.ResponseWriter, r *http.Request) {
	name, password := r.PostFormValue("name"), r.PostFormValue("password")
	if !c.tries.allow(c.cfg.Now(), address(r), name) {
		w.Header().Set("Retry-After", "30")
		c.show(w, r, http.StatusTooManyRequests, "login", Session{}, loginBody{Name: name, Wrong: pos.NewError(pos.ErrTooMany, nil)})
		return
	}
	a, err := c.verify(r.Context(), name, password)
	if err != nil {
		c.broken(w, r, err)
		return
	}
	if a.Name == "" {
		if nameForm.MatchString(name) {
			c.audit(r.Context(), name, "login_refused", address(r))
		}
		c.show(w, r, http.StatusForbidden, "login", Session{}, loginBody{Name: name, Wrong: pos.NewError(pos.ErrForbidden, nil)})
		return
	}
	token, err := c.open(r.Context(), a)
	if err != nil {
		c.broken(w, r, err)
		return
	}
	c.tries.forgive(address(r), name)
	c.audit(r.Context(), a.Name, "login", address(r))
	c.setCookie(w, r, token, int(sessionLife.Seconds()))
	http.Redirect(w, r, "/console/", http.StatusSeeOther)
}

// verify gives the account, or one without a name.
func (c *Console) verify(ctx context.Context, name, password string) (Account, error) {
	if len(password) > maxPassword {
		return Account{}, nil
	}
	a, found, err := c.cfg.Store.Account(ctx, name)
	if err != nil {
		return Account{}, err
	}
	hash := a.Hash
	if !found {
		hash = c.dummy
	}
	select { // each check takes 64 MiB: two at a time
	case c.hashing <- struct{}{}:
		defer func() { <-c.hashing }()
	case <-ctx.Done():
		return Account{}, ctx.Err()
	}
	right, err := checkHash(hash, password)
	if err != nil || !right || !found || a.Disabled {
		return Account{}, err
	}
	return a, nil
}

func (c *Console) open(ctx context.Context, a Account) (token string, err error) {
	if token, err = secret(); err != nil {
		return "", err
	}
	csrf, err := secret()
	if err != nil {
		return "", err
	}
	now := c.cfg.Now().UnixMilli()
	return token, c.cfg.Store.PutSession(ctx, Session{
		Hash: tokenHash(token), Account: a.Name, CSRF: csrf, CreatedMS: now, SeenMS: now,
	})
}

func (c *Console) logout(w http.ResponseWriter, r *http.Request, s Session) {
	if err := c.cfg.Store.DropSession(r.Context(), s.Hash); err != nil {
		c.broken(w, r, err)
		return
	}
	c.audit(r.Context(), s.Account, "logout", address(r))
	c.setCookie(w, r, "", -1)
	http.Redirect(w, r, "/console/login", http.StatusSeeOther)
}

func (c *Console) setCookie(w http.ResponseWriter, r *http.Request, token string, age int) {
	http.SetCookie(w, &http.Cookie{
		Name: cookieName, Value: token, Path: "/console/", MaxAge: age,
		HttpOnly: true, SameSite: http.SameSiteStrictMode, Secure: c.cfg.Secure || r.TLS != nil,
	})
}

// genuine reports that a form was made by a page of this session.
func genuine(r *http.Request, s Session) bool {
	return s.CSRF != "" && subtle.ConstantTimeCompare([]byte(r.PostFormValue("csrf")), []byte(s.CSRF)) == 1
}

func address(r *http.Request) string {
	host, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		return r.RemoteAddr
	}
	return host
}

// The pace of sign-in: so many tries at once, then one per refill. A pair of address
// and name has the smaller allowance, so that nobody can lock a colleague out from
// elsewhere.
const (
	triesAddress = 20
	triesPair    = 5
	triesRefill  = 30 * time.Second
	maxPairs     = 10_000
)

type throttle struct {
	mu   sync.Mutex
	used map[string]*allowance
}

type allowance struct {
	used float64 // tries, not money
	at   time.Time
}

func (t *throttle) allow(now time.Time, addr, name string) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.used) > maxPairs {
		clear(t.used) // a flood: nobody is worse off than with a fresh process
	}
	a, b := t.take(now, network(addr), triesAddress), t.take(now, pair(addr, name), triesPair)
	return a && b
}

func (t *throttle) take(now time.Time, key string, burst float64) bool {
	u, ok := t.used[key]
	if !ok {
		u = &allowance{at: now}
		t.used[key] = u
	}
	u.used = max(0, u.used-now.Sub(u.at).Seconds()/triesRefill.Seconds())
	u.at = now
	if u.used+1 > burst {
		return false
	}
	u.used++
	return true
}

// forgive gives the pair its allowance back after a right password, and the address
// the one try.
func (t *throttle) forgive(addr, name string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.used, pair(addr, name))
	if u, ok := t.used[network(addr)]; ok {
		u.used = max(0, u.used-1)
	}
}

func pair(addr, name string) string {
	return network(addr) + "\x00" + string(tokenHash(name))
}

// network is the address, or its /64 in IPv6: one house has a whole one.
func network(addr string) string {
	ip, err := netip.ParseAddr(addr)
	if err != nil {
		return ""
	}
	if ip = ip.Unmap().WithZone(""); ip.Is4() {
		return ip.String()
	}
	p, err := ip.Prefix(64)
	if err != nil {
		return ""
	}
	return p.String()
}
