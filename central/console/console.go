package console

import (
	"bytes"
	"context"
	"embed"
	"fmt"
	"html/template"
	"log/slog"
	"net/http"
	"strings"
	"time"

	"dcpos/central/ledger"
	"dcpos/pos"
	"dcpos/web"
)

//go:embed pages/*.html files
var embedded embed.FS

// maxForm bounds a posted form.
const maxForm = 16 << 10

// maxStreams bounds open event streams.
const maxStreams = 64

// Config is what a Console needs.
type Config struct {
	Env    pos.Environment
	Store  Store
	Ledger ledger.Book
	// Suspense is what waits for a person; nil: nothing does.
	Suspense ledger.Suspense
	Runs     Runs   // nil: none yet
	Breaks   Breaks // nil: none
	Webshops Webshops
	// Campaigns are those of red envelopes; nil: none here.
	Campaigns Campaigns
	Actions   Actions
	// Secure marks the session cookie as for TLS only; set when a proxy ends TLS.
	Secure bool
	// MaxExport bounds an uploaded file of entries, in bytes; 0 is 512 MiB.
	MaxExport int64
	Log       *slog.Logger
	Now       func() time.Time
}

// Console serves everything under /console/. It is safe for concurrent use.
type Console struct {
	cfg     Config
	mux     *http.ServeMux
	handler http.Handler
	pages   map[string]*template.Template // by language and page
	tries   *throttle
	hashing chan struct{}
	streams chan struct{}
	taking  chan struct{} // one file at a time
	dummy   string
}

// New parses the pages and builds the routes.
func New(cfg Config) (*Console, error) {
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.MaxExport == 0 {
		cfg.MaxExport = maxExport
	}
	c := &Console{
		cfg: cfg, mux: http.NewServeMux(), pages: map[string]*template.Template{},
		tries: &throttle{used: map[string]*allowance{}}, hashing: make(chan struct{}, 2),
		streams: make(chan struct{}, maxStreams), taking: make(chan struct{}, 1),
	}
	var err error
	if c.dummy, err = hashPassword("", standard()); err != nil {
		return nil, err
	}
	names := []string{"login", "overview", "payments", "payment", "ledger", "account", "runs", "run", "breaks", "break", "suspense", "wallets", "take", "enrol", "policies", "webshops", "campaigns", "campaign", "plausibility", "statement", "draft", "audit", "error"}
	for _, lang := range []string{"zh", "en"} {
		for _, name := range names {
			t, err := template.New("layout.html").Funcs(web.Funcs(lang)).Funcs(c.funcs(lang)).
				ParseFS(embedded, "pages/layout.html", "pages/changes.html", "pages/"+name+".html")
			if err != nil {
				return nil, fmt.Errorf("page %s: %w", name, err)
			}
			c.pages[lang+" "+name] = t
		}
	}
	c.routes()
	c.handler = web.Secure(http.NewCrossOriginProtection().Handler(c.mux))
	return c, nil
}

func (c *Console) routes() {
	c.mux.HandleFunc("GET /console/login", c.loginPage)
	c.mux.HandleFunc("POST /console/login", c.login)
	c.mux.Handle("POST /console/logout", c.form(Viewer, c.logout))
	c.mux.Handle("GET /console/{$}", c.page(Viewer, c.overview))
	c.mux.Handle("GET /console/events", c.page(Viewer, c.events))
	c.mux.Handle("GET /console/payments", c.page(Viewer, c.payments))
	c.mux.Handle("GET /console/payments/{id}", c.page(Viewer, c.payment))
	c.mux.Handle("GET /console/ledger", c.page(Viewer, c.ledger))
	c.mux.Handle("GET /console/ledger/{account}", c.page(Viewer, c.account))
	c.runRoutes()
	c.mux.Handle("GET /console/policies", c.page(Viewer, c.policies))
	c.mux.Handle("POST /console/policies", c.form(Approver, c.publish))
	c.breakRoutes()
	c.webshopRoutes()
	c.campaignRoutes()
	c.mux.Handle("GET /console/suspense", c.page(Viewer, c.suspense))
	c.mux.Handle("POST /console/suspense/propose", c.form(Operator, c.proposeFor))
	c.mux.Handle("POST /console/suspense/decide", c.form(Approver, c.decideHeld))
	c.mux.Handle("GET /console/wallets", c.page(Viewer, c.wallets))
	c.mux.Handle("POST /console/wallets/propose", c.form(Operator, c.proposeRevocation))
	c.mux.Handle("POST /console/wallets/decide", c.form(Approver, c.decideRevocation))
	c.mux.Handle("GET /console/take", c.page(Operator, c.takePage))
	c.mux.Handle("POST /console/take", c.page(Operator, c.take)) // it looks at its token itself: the file is no short form
	c.mux.Handle("GET /console/audit", c.page(Viewer, c.auditPage))
	c.mux.Handle("GET /console/enrol", c.page(Operator, c.enrolPage))
	c.mux.Handle("POST /console/enrol", c.form(Operator, c.enrol))
	c.mux.Handle("POST /console/tills/{id}/release", c.form(Approver, c.release))
	c.mux.Handle("GET /console/files/", http.StripPrefix("/console/", http.FileServerFS(embedded)))
}

// ServeHTTP serves the console.
func (c *Console) ServeHTTP(w http.ResponseWriter, r *http.Request) { c.handler.ServeHTTP(w, r) }

// signed is a handler of a signed-in account.
type signed func(w http.ResponseWriter, r *http.Request, s Session)

// page lets accounts of the role see a page; others are asked to sign in.
func (c *Console) page(role Role, next signed) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s, found, err := c.session(r)
		switch {
		case err != nil:
			c.broken(w, r, err)
		case !found:
			http.Redirect(w, r, "/console/login", http.StatusSeeOther)
		case !s.Role.May(role):
			c.audit(r.Context(), s.Account, "refused", r.URL.Path)
			c.refuse(w, r, s, pos.NewError(pos.ErrForbidden, nil))
		default:
			next(w, r, s)
		}
	})
}

// form is page for what changes something: the form must carry the session's token.
func (c *Console) form(role Role, next signed) http.Handler {
	return c.page(role, func(w http.ResponseWriter, r *http.Request, s Session) {
		r.Body = http.MaxBytesReader(w, r.Body, maxForm)
		if !genuine(r, s) {
			c.audit(r.Context(), s.Account, "refused", r.URL.Path+" without token")
			c.refuse(w, r, s, pos.FieldError(pos.ErrForbidden, "csrf", nil))
			return
		}
		next(w, r, s)
	})
}

// view is what every page's template gets.
type view struct {
	Path   string
	Lab    bool
	Signed bool
	Name   string
	Role   Role
	CSRF   string
	NowMS  int64
	Body   any
}

// show renders into memory first: half a page is never sent.
func (c *Console) show(w http.ResponseWriter, r *http.Request, status int, name string, s Session, body any) {
	lang := web.Language(w, r)
	var b bytes.Buffer
	err := c.pages[lang+" "+name].Execute(&b, view{
		Path: r.URL.Path, Lab: c.cfg.Env != pos.Live, Signed: s.Account != "", Name: s.Account, Role: s.Role,
		CSRF: s.CSRF, NowMS: c.cfg.Now().UnixMilli(), Body: body,
	})
	if err != nil {
		c.cfg.Log.ErrorContext(r.Context(), "page not rendered", "page", name, "err", err)
		http.Error(w, "internal error", http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_, _ = w.Write(b.Bytes()) // the browser may be gone: nobody to tell
}

// refuse shows what a person did wrong; broken what we did.
func (c *Console) refuse(w http.ResponseWriter, r *http.Request, s Session, e *pos.Error) {
	status := http.StatusBadRequest
	if e.Code == pos.ErrForbidden {
		status = http.StatusForbidden
	}
	if e.Code == pos.ErrNotFound {
		status = http.StatusNotFound
	}
	if wantsJSON(r) {
		c.problem(w, r, status, e)
		return
	}
	c.show(w, r, status, "error", s, e)
}

func (c *Console) broken(w http.ResponseWriter, r *http.Request, err error) {
	c.cfg.Log.ErrorContext(r.Context(), "console request failed", "path", r.URL.Path, "err", err)
	if wantsJSON(r) {
		c.problem(w, r, http.StatusInternalServerError, pos.NewError(pos.ErrInternal, nil))
		return
	}
	c.show(w, r, http.StatusInternalServerError, "error", Session{}, pos.NewError(pos.ErrInternal, nil))
}

// fail shows an error of a noun: the person's if it says so, else ours.
func (c *Console) fail(w http.ResponseWriter, r *http.Request, s Session, err error) {
	e := pos.AsError(err)
	if e.Code == pos.ErrInternal || e.Code == pos.ErrStorage {
		c.broken(w, r, err)
		return
	}
	c.refuse(w, r, s, e)
}

func (c *Console) audit(ctx context.Context, actor, what, detail string) {
	if err := c.cfg.Store.Audit(ctx, actor, what, "console", detail); err != nil {
		c.cfg.Log.ErrorContext(ctx, "audit not written", "what", what, "err", err)
	}
}

// funcs are the console's own template functions.
func (c *Console) funcs(lang string) template.FuncMap {
	return template.FuncMap{
		"when": func(ms int64) string {
			if ms == 0 {
				return "—"
			}
			return time.UnixMilli(ms).In(pos.Shanghai()).Format("2006-01-02 15:04:05")
		},
		"ago": func(nowMS, ms int64) string { return ago(lang, nowMS, ms) },
		"stateText": func(s pos.State) string {
			if s == "" {
				return "—"
			}
			return s.Text().In(lang)
		},
		"refundText": func(s pos.RefundState) string { return s.Text().In(lang) },
		"breakText":  func(k pos.BreakKind) string { return k.Text().In(lang) },
		"codeText": func(code pos.Code) string {
			if code == "" {
				return ""
			}
			return code.Text().In(lang)
		},
		"may":     func(have, need Role) bool { return have.May(need) },
		"short":   func(id string) string { return id[max(0, len(id)-8):] },
		"section": func(path, prefix string) bool { return strings.HasPrefix(path, "/console/"+prefix) },
		"states":  pos.States,

		"lineStatus": func(s string) string { return pos.LineStatus(s).In(lang) },
		"happened":   func(e pos.BreakEvent) string { return e.Text().In(lang) },
		"who": func(actor string) string {
			if actor == "rule" {
				return pos.Text{ZH: "规则", EN: "rule"}.In(lang)
			}
			return actor
		},
		"breakStates": pos.BreakStates, "breakCauses": pos.BreakCauses,
		"shortTxn": func(b pos.BreakCase) string {
			if b.Kind == pos.CreditMismatch {
				return b.Txn
			}
			return b.Txn[max(0, len(b.Txn)-8):]
		},
		"expected":   func(s pos.Settlement) pos.Money { return s.Expected() },
		"held":       func(b pos.BreakCase) pos.Money { return b.Outstanding() },
		"age":        func(b pos.BreakCase, on pos.Date) int { return b.Age(on) },
		"breakTone":  breakTone,
		"lifeTone":   lifeTone,
		"percent":    percent,
		"legTone":    legTone,
		"remedyTone": remedyTone,
	}
}

func breakTone(s pos.BreakState) string {
	switch s {
	case pos.BreakOpen:
		return "bad"
	case pos.BreakAssigned, pos.BreakExplained:
		return "warn"
	case pos.BreakCarried:
		return "info"
	case pos.BreakResolved, pos.BreakAdjusted, pos.BreakWrittenOff:
		return "ok"
	}
	return ""
}

func legTone(s pos.SettlementState) string {
	switch s {
	case pos.SettlementSettled:
		return "ok"
	case pos.SettlementDiffers:
		return "bad"
	case pos.SettlementWaiting:
		return "warn"
	}
	return ""
}

func remedyTone(s pos.RemedyState) string {
	switch s {
	case pos.RemedyDone, pos.RemedyReversed:
		return "ok"
	case pos.RemedyProposed, pos.RemedyExecuting:
		return "warn"
	case pos.RemedyFailed, pos.RemedyRejected:
		return "bad"
	}
	return ""
}

func ago(lang string, nowMS, ms int64) string {
	if ms == 0 {
		return pos.Text{ZH: "从未", EN: "never"}.In(lang)
	}
	d := time.Duration(max(0, nowMS-ms)) * time.Millisecond
	for _, u := range []struct {
		size time.Duration
		text pos.Text
	}{
		{24 * time.Hour, pos.Text{ZH: "天前", EN: "d ago"}},
		{time.Hour, pos.Text{ZH: "小时前", EN: "h ago"}},
		{time.Minute, pos.Text{ZH: "分钟前", EN: "min ago"}},
	} {
		if d >= u.size {
			return fmt.Sprintf("%d %s", d/u.size, u.text.In(lang))
		}
	}
	return fmt.Sprintf("%d %s", d/time.Second, pos.Text{ZH: "秒前", EN: "s ago"}.In(lang))
}
