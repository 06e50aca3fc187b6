package console_test

import (
	"bufio"
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"net/url"
	"path/filepath"
	"reflect"
	"regexp"
	"strings"
	"testing"
	"time"

	"dcpos/central/console"
	"dcpos/central/fleet"
	"dcpos/central/ledger"
	"dcpos/central/payment"
	"dcpos/central/store"
	"dcpos/pos"
)

const password = "correct horse battery"

// desk is a console on a fresh store with one account of each role.
type desk struct {
	t     *testing.T
	store *store.Store
	http  *console.Console
	now   time.Time
	done  []string // what the actions were asked
}

func newDesk(t *testing.T, change func(*console.Config)) *desk {
	t.Helper()
	d := &desk{t: t, now: time.Date(2021, 2, 10, 21, 0, 0, 0, pos.Shanghai())}
	s, err := store.Open(t.Context(), store.Config{
		URL: "sqlite:" + filepath.Join(t.TempDir(), "centre.db"), Env: pos.Lab, Now: func() time.Time { return d.now },
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	d.store = s
	hash, err := console.CheapHash(password)
	if err != nil {
		t.Fatal(err)
	}
	for _, role := range []console.Role{console.Viewer, console.Operator, console.Approver} {
		if err := s.Console().InsertAccount(t.Context(), console.Account{Name: string(role), Role: role, Hash: hash}, "test"); err != nil {
			t.Fatal(err)
		}
	}
	cfg := console.Config{
		Env: pos.Lab, Store: s.Console(), Ledger: s.Ledger(), Now: func() time.Time { return d.now },
		Actions: console.Actions{
			IssueCode: func(_ context.Context, r console.CodeRequest) (string, time.Time, error) {
				if r.Shop == "nowhere" {
					return "", time.Time{}, pos.FieldError(pos.ErrNotFound, "shop", nil)
				}
				d.done = append(d.done, "code "+r.Shop+r.Terminal+" by "+r.By)
				return "ABCD-EFGH", d.now.Add(time.Hour), nil
			},
			Release: func(_ context.Context, terminal, reason, by string) error {
				if terminal == "broken" {
					return errors.New("secret cause")
				}
				d.done = append(d.done, "release "+terminal+" because "+reason+" by "+by)
				return nil
			},
		},
	}
	if change != nil {
		change(&cfg)
	}
	if d.http, err = console.New(cfg); err != nil {
		t.Fatal(err)
	}
	return d
}

// browser is a signed-in (or not) browser.
type browser struct {
	d      *desk
	addr   string
	cookie *http.Cookie
}

func (b *browser) do(method, path string, form url.Values, header ...string) *httptest.ResponseRecorder {
	b.d.t.Helper()
	r := httptest.NewRequestWithContext(b.d.t.Context(), method, path, strings.NewReader(form.Encode()))
	r.RemoteAddr = b.addr
	if form != nil {
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	for i := 0; i+1 < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	if b.cookie != nil {
		r.AddCookie(b.cookie)
	}
	w := httptest.NewRecorder()
	b.d.http.ServeHTTP(w, r)
	for _, c := range w.Result().Cookies() {
		if c.Name == "dcpos_session" {
			b.cookie = c
			if c.MaxAge < 0 {
				b.cookie = nil
			}
		}
	}
	return w
}

func (b *browser) get(path string) *httptest.ResponseRecorder {
	b.d.t.Helper()
	return b.do(http.MethodGet, path, nil, "Accept-Language", "en")
}

// token takes the CSRF token from a page.
func (b *browser) token() string {
	b.d.t.Helper()
	found := regexp.MustCompile(`name="csrf" value="([^"]+)"`).FindStringSubmatch(b.get("/console/").Body.String())
	if found == nil {
		b.d.t.Fatal("the page has no token")
	}
	return found[1]
}

func (d *desk) sign(name string) *browser {
	d.t.Helper()
	b := &browser{d: d, addr: "192.0.2.1:1"}
	w := b.do(http.MethodPost, "/console/login", url.Values{"name": {name}, "password": {password}})
	if w.Code != http.StatusSeeOther || b.cookie == nil {
		d.t.Fatalf("sign in as %s: %d %s", name, w.Code, w.Body)
	}
	return b
}

func (d *desk) trail() []string {
	d.t.Helper()
	lines, err := d.store.Console().AuditLog(d.t.Context(), 0, 1000)
	if err != nil {
		d.t.Fatal(err)
	}
	var all []string
	for _, l := range lines {
		all = append(all, l.Actor+" "+l.What)
	}
	return all
}

func pages() []string {
	return []string{"/console/", "/console/payments", "/console/ledger", "/console/ledger/merchant:M1", "/console/reconcile", "/console/audit"}
}

func TestNothingIsShownWithoutSigningIn(t *testing.T) {
	d := newDesk(t, nil)
	b := &browser{d: d, addr: "192.0.2.1:1"}
	for _, path := range append(pages(), "/console/enrol", "/console/events", "/console/payments/x", "/console/reconcile/x") {
		if w := b.get(path); w.Code != http.StatusSeeOther || w.Header().Get("Location") != "/console/login" {
			t.Errorf("%s: %d to %q", path, w.Code, w.Header().Get("Location"))
		}
	}
	for _, path := range []string{"/console/enrol", "/console/tills/x/release", "/console/logout"} {
		if w := b.do(http.MethodPost, path, url.Values{"csrf": {""}}); w.Code != http.StatusSeeOther {
			t.Errorf("POST %s: %d", path, w.Code)
		}
	}
	b.cookie = &http.Cookie{Name: "dcpos_session", Value: strings.Repeat("A", 43)}
	if w := b.get("/console/"); w.Code != http.StatusSeeOther {
		t.Errorf("invented session: %d", w.Code)
	}
	if len(d.done) != 0 {
		t.Errorf("done: %v", d.done)
	}
}

func TestPagesInBothLanguages(t *testing.T) {
	d := newDesk(t, nil)
	b := d.sign("approver")
	for _, path := range append(pages(), "/console/enrol") {
		for lang, word := range map[string]string{"en": "Sign out", "zh": "退出"} {
			w := b.get(path + "?lang=" + lang)
			body := w.Body.String()
			if w.Code != http.StatusOK || !strings.Contains(body, word) || !strings.Contains(body, "测试 TEST") {
				t.Errorf("%s %s: %d\n%s", path, lang, w.Code, body)
			}
			if w.Header().Get("Cache-Control") != "no-store" || !strings.Contains(w.Header().Get("Content-Security-Policy"), "script-src 'self'") {
				t.Errorf("%s: headers %v", path, w.Header())
			}
			if strings.Contains(body, "<script>") || strings.Contains(body, "style=") || strings.Contains(body, "https://") {
				t.Errorf("%s: the page has what its policy forbids", path)
			}
		}
	}
	live := newDesk(t, func(c *console.Config) { c.Env = pos.Live })
	if w := live.sign("viewer").get("/console/"); strings.Contains(w.Body.String(), "测试") {
		t.Error("a live console says TEST")
	}
	for _, path := range []string{"/console/files/console.css", "/console/files/overview.js"} {
		if w := b.get(path); w.Code != http.StatusOK {
			t.Errorf("%s: %d", path, w.Code)
		}
	}
	if w := b.get("/console/files/../pages/layout.html"); w.Code == http.StatusOK {
		t.Error("the sources of the pages are served")
	}
}

func TestSessionCookie(t *testing.T) {
	d := newDesk(t, nil)
	b := d.sign("viewer")
	if c := b.cookie; !c.HttpOnly || c.SameSite != http.SameSiteStrictMode || c.Path != "/console/" || len(c.Value) != 43 {
		t.Errorf("cookie is %+v", c)
	}
	old := *b.cookie
	if w := b.do(http.MethodPost, "/console/logout", url.Values{"csrf": {b.token()}}); w.Code != http.StatusSeeOther || b.cookie != nil {
		t.Errorf("sign out: %d", w.Code)
	}
	b.cookie = &old
	if w := b.get("/console/"); w.Code != http.StatusSeeOther {
		t.Error("a signed-out session was taken")
	}
	secure := newDesk(t, func(c *console.Config) { c.Secure = true })
	if !secure.sign("viewer").cookie.Secure {
		t.Error("the cookie goes without TLS")
	}
}

func TestSessionsEnd(t *testing.T) {
	d := newDesk(t, nil)
	idle := d.sign("viewer")
	d.now = d.now.Add(29 * time.Minute)
	if w := idle.get("/console/"); w.Code != http.StatusOK {
		t.Errorf("after 29 minutes: %d", w.Code)
	}
	d.now = d.now.Add(30 * time.Minute)
	if w := idle.get("/console/"); w.Code != http.StatusSeeOther {
		t.Errorf("after 30 idle minutes: %d", w.Code)
	}
	busy := d.sign("viewer")
	for range 12*3 - 1 {
		d.now = d.now.Add(20 * time.Minute)
		if w := busy.get("/console/"); w.Code != http.StatusOK {
			t.Fatalf("busy session: %d", w.Code)
		}
	}
	d.now = d.now.Add(20 * time.Minute)
	if w := busy.get("/console/"); w.Code != http.StatusSeeOther {
		t.Errorf("after 12 hours: %d", w.Code)
	}
	shut := d.sign("operator")
	if err := console.Disable(t.Context(), d.store.Console(), "operator", "test"); err != nil {
		t.Fatal(err)
	}
	if w := shut.get("/console/"); w.Code != http.StatusSeeOther {
		t.Errorf("disabled account: %d", w.Code)
	}
	b := &browser{d: d, addr: "192.0.2.1:1"}
	if w := b.do(http.MethodPost, "/console/login", url.Values{"name": {"operator"}, "password": {password}}); w.Code != http.StatusForbidden {
		t.Errorf("disabled account signs in: %d", w.Code)
	}
	changed := d.sign("approver")
	if err := console.SetPassword(t.Context(), d.store.Console(), "approver", "another long password", "test"); err != nil {
		t.Fatal(err)
	}
	if w := changed.get("/console/"); w.Code != http.StatusSeeOther {
		t.Errorf("after a change of password: %d", w.Code)
	}
}

func TestRolesAndTokens(t *testing.T) {
	d := newDesk(t, nil)
	code, epoch := url.Values{"shop": {"S1"}}, url.Values{"terminal": {"S1-001"}, "reason": {"forked"}}
	free := url.Values{"reason": {"checked by phone"}}
	for _, c := range []struct {
		account, path string
		form          url.Values
		want          int
	}{
		{"viewer", "/console/enrol", code, http.StatusForbidden},
		{"operator", "/console/enrol", code, http.StatusOK},
		{"approver", "/console/enrol", code, http.StatusOK},
		{"operator", "/console/enrol", epoch, http.StatusForbidden},
		{"approver", "/console/enrol", epoch, http.StatusOK},
		{"approver", "/console/enrol", url.Values{"terminal": {"S1-001"}, "reason": {"whim"}}, http.StatusBadRequest},
		{"operator", "/console/enrol", url.Values{"shop": {"nowhere"}}, http.StatusNotFound},
		{"operator", "/console/enrol", url.Values{"shop": {"S1"}, "devices": {"-1"}}, http.StatusBadRequest},
		{"viewer", "/console/tills/S1-001/release", free, http.StatusForbidden},
		{"operator", "/console/tills/S1-001/release", free, http.StatusForbidden},
		{"approver", "/console/tills/S1-001/release", free, http.StatusSeeOther},
		{"approver", "/console/tills/S1-001/release", url.Values{}, http.StatusBadRequest},
		{"approver", "/console/tills/broken/release", free, http.StatusInternalServerError},
	} {
		b := d.sign(c.account)
		before := len(d.done)
		for name, token := range map[string]string{"no": "", "another session's": d.sign(c.account).token()} {
			form := url.Values{"csrf": {token}}
			for k, v := range c.form {
				form[k] = v
			}
			if w := b.do(http.MethodPost, c.path, form); w.Code != http.StatusForbidden {
				t.Errorf("%s POST %s with %s token: %d", c.account, c.path, name, w.Code)
			}
		}
		if len(d.done) != before {
			t.Errorf("%s POST %s did something without its token", c.account, c.path)
		}
		form := url.Values{"csrf": {b.token()}}
		for k, v := range c.form {
			form[k] = v
		}
		w := b.do(http.MethodPost, c.path, form)
		if w.Code != c.want || strings.Contains(w.Body.String(), "secret cause") {
			t.Errorf("%s POST %s %v: %d, want %d\n%s", c.account, c.path, c.form, w.Code, c.want, w.Body)
		}
		if c.want >= 400 && len(d.done) != before {
			t.Errorf("%s POST %s did what was refused", c.account, c.path)
		}
		if w := b.do(http.MethodPost, c.path, form, "Sec-Fetch-Site", "cross-site"); w.Code != http.StatusForbidden {
			t.Errorf("a form of another site: %d", w.Code)
		}
	}
	want := []string{
		"code S1 by operator", "code S1 by approver", "code S1-001 by approver",
		"release S1-001 because checked by phone by approver",
	}
	if strings.Join(d.done, "\n") != strings.Join(want, "\n") {
		t.Errorf("done: %q", d.done)
	}
	if w := d.sign("viewer").get("/console/enrol"); w.Code != http.StatusForbidden {
		t.Errorf("viewer sees the enrolment page: %d", w.Code)
	}
	trail := strings.Join(d.trail(), "\n")
	for _, line := range []string{"viewer refused", "operator refused", "approver login", "test account_added"} {
		if !strings.Contains(trail, line) {
			t.Errorf("the trail lacks %q", line)
		}
	}
}

func TestCodeIsShownOnceAndNotCached(t *testing.T) {
	d := newDesk(t, nil)
	b := d.sign("operator")
	w := b.do(http.MethodPost, "/console/enrol", url.Values{"csrf": {b.token()}, "shop": {"S1"}})
	if !strings.Contains(w.Body.String(), "ABCD-EFGH") || w.Header().Get("Cache-Control") != "no-store" {
		t.Errorf("%v %s", w.Header(), w.Body)
	}
	if strings.Contains(b.get("/console/enrol").Body.String(), "ABCD-EFGH") {
		t.Error("the code is shown again")
	}
}

func TestGuessingPasswordsIsSlowedDown(t *testing.T) {
	d := newDesk(t, nil)
	b := &browser{d: d, addr: "192.0.2.1:1"}
	try := func(name, pass string) int {
		return b.do(http.MethodPost, "/console/login", url.Values{"name": {name}, "password": {pass}}).Code
	}
	for range 5 {
		if got := try("viewer", "wrong"); got != http.StatusForbidden {
			t.Fatal(got)
		}
	}
	if got := try("viewer", password); got != http.StatusTooManyRequests {
		t.Errorf("sixth try, with the right password: %d", got)
	}
	other := &browser{d: d, addr: "192.0.2.99:1"}
	if w := other.do(http.MethodPost, "/console/login", url.Values{"name": {"viewer"}, "password": {password}}); w.Code != http.StatusSeeOther {
		t.Errorf("the colleague at another desk is locked out: %d", w.Code)
	}
	d.now = d.now.Add(31 * time.Second)
	if got := try("viewer", password); got != http.StatusSeeOther {
		t.Errorf("after half a minute: %d", got)
	}
	var refused int
	for range 40 {
		if try("nobody"+strings.Repeat("x", refused%7), "wrong") == http.StatusTooManyRequests {
			refused++
		}
	}
	if refused == 0 {
		t.Error("one address may try as many names as it likes")
	}
	if w := b.do(http.MethodPost, "/console/login", url.Values{"name": {"approver"}, "password": {strings.Repeat("x", 1000)}}); w.Code == http.StatusSeeOther {
		t.Error("signed in with nonsense")
	}
	if !strings.Contains(strings.Join(d.trail(), "\n"), "viewer login_refused") {
		t.Error("the trail lacks the refusal")
	}
}

func TestCreateAccount(t *testing.T) {
	d := newDesk(t, nil)
	accounts := d.store.Console()
	for _, c := range []struct {
		name     string
		role     console.Role
		password string
		want     pos.Code
	}{
		{"zhang", console.Operator, "long enough for me", ""},
		{"zhang", console.Operator, "long enough for me", pos.ErrKeyConflict},
		{"li", console.Operator, "too short", pos.ErrBadRequest},
		{"li", console.Operator, "", pos.ErrBadRequest},
		{"li", console.Operator, "aaaaaaaaaaaaaaaa", pos.ErrBadRequest},
		{"wang", console.Operator, "wang's long password", pos.ErrBadRequest},
		{"li", "root", "long enough for me", pos.ErrBadRequest},
		{"Li", console.Operator, "long enough for me", pos.ErrBadRequest},
		{"", console.Operator, "long enough for me", pos.ErrBadRequest},
		{"li<b>", console.Operator, "long enough for me", pos.ErrBadRequest},
	} {
		if err := console.CreateAccount(t.Context(), accounts, c.name, c.role, c.password, "setup"); pos.CodeOf(err) != c.want {
			t.Errorf("create %q %q: %v, want %q", c.name, c.role, err, c.want)
		}
	}
	a, found, err := accounts.Account(t.Context(), "zhang")
	if err != nil || !found || !strings.HasPrefix(a.Hash, "$argon2id$v=19$m=65536,t=3,p=4$") {
		t.Errorf("%+v %t %v", a, found, err)
	}
	if ok, err := console.CheckHash(a.Hash, "long enough for me"); !ok || err != nil {
		t.Errorf("right password: %t %v", ok, err)
	}
	if ok, _ := console.CheckHash(a.Hash, "long enough for mE"); ok {
		t.Error("wrong password")
	}
	for _, bad := range []string{"", "plain", "$argon2i$v=19$m=8,t=1,p=1$AAAA$AAAA", "$argon2id$v=19$m=99999999,t=1,p=1$AAAA$AAAA", "$argon2id$v=19$m=8,t=1,p=0$AA$AA"} {
		if ok, err := console.CheckHash(bad, "x"); ok || err == nil {
			t.Errorf("hash %q: %t %v", bad, ok, err)
		}
	}
	if err := console.SetPassword(t.Context(), accounts, "nobody", "long enough for me", "setup"); pos.CodeOf(err) != pos.ErrNotFound {
		t.Error(err)
	}
}

func TestRoleOrder(t *testing.T) {
	roles := []console.Role{console.Viewer, console.Operator, console.Approver}
	for i, have := range roles {
		for j, need := range roles {
			if have.May(need) != (i >= j) {
				t.Errorf("%s may %s: %t", have, need, have.May(need))
			}
		}
		if have.May("root") || console.Role("root").May(have) || console.Role("").May(have) {
			t.Errorf("%s and no role", have)
		}
	}
}

// fill puts a terminal, payments and postings into the store.
func (d *desk) fill() pos.PaymentID {
	d.t.Helper()
	ctx := d.t.Context()
	err := d.store.Fleet().Write(ctx, func(tx fleet.Tx) error {
		if err := tx.PutMerchant(ctx, fleet.Merchant{ID: "M1"}); err != nil {
			return err
		}
		if err := tx.PutShop(ctx, fleet.Shop{ID: "S1", Merchant: "M1"}); err != nil {
			return err
		}
		return tx.PutTerminal(ctx, fleet.Terminal{
			ID: "S1-001", Merchant: "M1", Shop: "S1", Env: pos.Lab, Class: "counter", NATSKey: "U1",
			State: fleet.Quarantined, Reason: "fork <script>",
		})
	})
	if err != nil {
		d.t.Fatal(err)
	}
	id := pos.NewPaymentID(d.now, [10]byte{9: 1})
	err = d.store.Payments().PaymentTx(ctx, func(tx payment.Tx) error {
		now := d.now.UnixMilli()
		for i, state := range []pos.State{pos.Paid, pos.Unknown} {
			r := payment.Record{
				ID: id, Terminal: "S1-001", Merchant: "M1", Amount: 12345, State: state, Institution: "ICBC", Txn: "T1",
				SettlementDate: "2021-02-10", CreatedMS: now, UpdatedMS: now, Detail: "<b>detail</b>",
			}
			if i > 0 {
				r.ID, r.NextMS = pos.NewPaymentID(d.now, [10]byte{9: 2}), now
			}
			if err := tx.PutPayment(ctx, r); err != nil {
				return err
			}
		}
		if _, err := ledger.Post(ctx, tx, ledger.Paid("M1", pos.Payment{ID: id, Amount: 12345, Institution: "ICBC", SettlementDate: "2021-02-10"})); err != nil {
			return err
		}
		return tx.PutRefund(ctx, payment.Refund{ID: payment.LateRefund(id), Payment: id, Terminal: "S1-001", Amount: 45, State: pos.RefundRefunded, Operator: "07"})
	})
	if err != nil {
		d.t.Fatal(err)
	}
	return id
}

func TestPagesTellWhatIsThere(t *testing.T) {
	d := newDesk(t, func(c *console.Config) { c.Runs = fakeRuns{} })
	id := d.fill()
	b := d.sign("approver")
	for _, c := range []struct {
		path  string
		want  []string
		never []string
	}{
		{"/console/", []string{"S1-001", "quarantined", "fork &lt;script&gt;", "never", "/console/tills/S1-001/release"}, []string{"fork <script>"}},
		{"/console/payments", []string{id.Short(), "¥123.45", "being asked, do not pay again"}, nil},
		{"/console/payments?id=" + id.Short(), []string{id.String()}, []string{"being asked, do not pay again</span>"}},
		{"/console/payments?state=unknown", []string{"being asked, do not pay again"}, []string{id.String()}},
		{"/console/payments?terminal=S1-002", []string{"No payment matches"}, []string{id.String()}},
		{"/console/payments?date=2021-02-09", []string{"No payment matches"}, []string{id.String()}},
		{"/console/payments?date=", []string{id.String()}, nil},
		{"/console/payments/" + id.String(), []string{"¥123.45", "paid", "ICBC", "T1", "¥0.45", "refunded", "&lt;b&gt;detail"}, []string{"<b>detail"}},
		{"/console/ledger", []string{"Balanced", "receivable:ICBC", "¥123.45", "merchant:M1", "¥-123.45", "¥0.00"}, []string{"Not balanced"}},
		{"/console/ledger/receivable:ICBC", []string{"paid:" + id.String(), "¥123.45"}, nil},
		{"/console/reconcile", []string{"2021-02-10", "PSBC", "does not close", "/console/reconcile/r1", "wang", "no statement of &lt;PSBC&gt;", "Reconcile now"}, []string{"the daily hour"}},
		{"/console/reconcile/r1", []string{"amounts differ", "¥1.00", "¥1.01"}, nil},
		{"/console/audit", []string{"login", "account_added"}, nil},
	} {
		w := b.get(c.path)
		body := w.Body.String()
		if w.Code != http.StatusOK {
			t.Errorf("%s: %d %s", c.path, w.Code, body)
		}
		for _, word := range c.want {
			if !strings.Contains(body, word) {
				t.Errorf("%s lacks %q\n%s", c.path, word, body)
			}
		}
		for _, word := range c.never {
			if strings.Contains(body, word) {
				t.Errorf("%s has %q", c.path, word)
			}
		}
	}
	for path, want := range map[string]int{
		"/console/payments?state=nonsense": 400, "/console/payments?id=%27": 400, "/console/payments?date=x": 400,
		"/console/payments/nonsense": 404, "/console/payments/" + pos.NewPaymentID(d.now, [10]byte{9: 9}).String(): 404,
		"/console/reconcile/none": 404, "/console/nonsense": 404,
	} {
		if w := b.get(path); w.Code != want {
			t.Errorf("%s: %d, want %d", path, w.Code, want)
		}
	}
	viewer := d.sign("viewer").get("/console/").Body.String()
	if strings.Contains(viewer, "/release") || strings.Contains(viewer, "/console/enrol") {
		t.Error("a viewer is offered what it may not do")
	}
}

type fakeRuns struct{}

func (fakeRuns) Runs(context.Context, int) ([]console.Run, error) {
	return []console.Run{{ID: "r1", Date: "2021-02-10", Breaks: 1, Waiting: []string{"PSBC"}}}, nil
}

func (fakeRuns) Asks(context.Context, int) ([]console.RunAsk, error) {
	return []console.RunAsk{
		{Date: "2021-02-11", Number: 2, By: "wang", AtMS: 1, DueMS: 2, Tries: 1, Lacks: pos.Text{ZH: "缺对账单:PSBC", EN: "no statement of <PSBC>"}},
		{Date: "2021-02-10", Number: 1, By: "hour", AtMS: 1, Tries: 1},
	}, nil
}

func (f fakeRuns) Breaks(ctx context.Context, id string, _ int) (console.Run, []console.Break, error) {
	runs, _ := f.Runs(ctx, 1)
	if id != "r1" {
		return console.Run{}, nil, pos.NewError(pos.ErrNotFound, nil)
	}
	return runs[0], []console.Break{{Kind: pos.AmountMismatch, Txn: "t", Ours: "1.00", Theirs: "1.01"}}, nil
}

func TestEventsCarryTheTotals(t *testing.T) {
	d := newDesk(t, nil)
	d.fill()
	b := d.sign("viewer")
	srv := httptest.NewServer(d.http)
	defer srv.Close()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, srv.URL+"/console/events", nil)
	if err != nil {
		t.Fatal(err)
	}
	req.AddCookie(b.cookie)
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	lines := bufio.NewScanner(res.Body)
	lines.Scan()
	event := lines.Text()
	lines.Scan()
	data := lines.Text()
	if event != "event: totals" || !strings.Contains(data, `"quarantined":1`) || !strings.Contains(data, `"open":{"payments":1`) {
		t.Errorf("%s\n%s", event, data)
	}
}

func TestPolicies(t *testing.T) {
	var published []pos.Policy
	d := newDesk(t, func(c *console.Config) {
		c.Actions.Policies = func(context.Context) ([]console.Policy, error) {
			l := pos.DefaultLimits()
			l.NearPercent = 77 // what the form does not name stays
			return []console.Policy{{Policy: pos.Policy{Version: 3, Env: pos.Lab, Limits: l}, By: "someone"}}, nil
		}
		c.Actions.Publish = func(_ context.Context, p pos.Policy, by string) (uint64, error) {
			if err := p.Limits.Check(); err != nil {
				return 0, err
			}
			published = append(published, p)
			return 4, nil
		}
	})
	viewer, approver := d.sign("viewer"), d.sign("approver")
	page := viewer.get("/console/policies").Body.String()
	if !strings.Contains(page, "someone") || !strings.Contains(page, "¥500.00") || strings.Contains(page, `name="per_payment"`) {
		t.Fatal("a viewer sees the policies and no form")
	}
	form := url.Values{"csrf": {viewer.token()}}
	if w := viewer.do(http.MethodPost, "/console/policies", form); w.Code != http.StatusForbidden {
		t.Fatalf("a viewer publishes: %d", w.Code)
	}
	page = approver.get("/console/policies").Body.String()
	form = url.Values{"csrf": {approver.token()}, "store": {"S1"}, "from": {"2021-02-11T08:00"}}
	for _, m := range regexp.MustCompile(`name="([a-z_]+)" required maxlength="16" value="([^"]*)"`).FindAllStringSubmatch(page, -1) {
		form.Set(m[1], m[2])
	}
	form.Set("per_payment", "123.45")
	w := approver.do(http.MethodPost, "/console/policies", form)
	if w.Code != http.StatusOK || len(published) != 1 {
		t.Fatalf("%d %s", w.Code, w.Body)
	}
	want := pos.DefaultLimits()
	want.NearPercent, want.PerPayment = 77, 123_45
	got := published[0]
	if got.Store != "S1" || got.FromMS != time.Date(2021, 2, 11, 8, 0, 0, 0, pos.Shanghai()).UnixMilli() || !reflect.DeepEqual(got.Limits, want) {
		t.Fatalf("%+v", got)
	}
	for field, bad := range map[string]string{"per_payment": "1.234", "oldest_warn": "99h", "from": "tomorrow", "stored_count": "-1"} {
		broken := url.Values{}
		for k, v := range form {
			broken[k] = v
		}
		broken.Set(field, bad)
		if w := approver.do(http.MethodPost, "/console/policies", broken); w.Code != http.StatusBadRequest {
			t.Errorf("%s = %q: %d", field, bad, w.Code)
		}
	}
	if len(published) != 1 {
		t.Errorf("%d are published", len(published))
	}
}
