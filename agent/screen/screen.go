// Package screen serves the till's own pages: the cashier's at / (and /cashier) and
// the customer's at /kiosk, which a kiosk has at / too. The pages are embedded files
// without a build step; they load nothing from elsewhere, speak Chinese and English,
// take what they show from the local API and are kept live by its event stream.
//
// To add a sentence: its line in text.go, and t('its_key') in a script or data-t in
// a page. A test finds keys that one of the two lacks.
package screen

import (
	"bytes"
	"embed"
	"html/template"
	"io/fs"
	"net/http"
	"time"

	"dcpos/pos"
	"dcpos/web"
)

//go:embed assets pages
var embedded embed.FS

// The layouts that have pages, as the terminal profiles name them.
const (
	LayoutCashier  = "cashier"  // the cashier's side
	LayoutKiosk    = "kiosk"    // the customer's own
	LayoutHandheld = "handheld" // small, upright
	LayoutTwin     = "twin"     // the cashier's at /, the customer's at /kiosk
)

// Options are what differs from terminal to terminal.
type Options struct {
	// Layout decides what is at /: the kiosk's page for LayoutKiosk, else the cashier's.
	Layout string
	// Language is the one before anybody has chosen, "zh" or "en"; else Chinese. A kiosk
	// comes back to it after each customer.
	Language string
	// Env is the till's; in the lab the pages say 测试 TEST, and /kiosk?amount=12.34 starts
	// a payment for a demonstration.
	Env pos.Environment
	// IdleReset takes a result off the screen after so long without a touch. 0: never at the
	// cashier's, DefaultIdle at a kiosk.
	IdleReset time.Duration
}

// DefaultIdle is how long a kiosk shows a result.
const DefaultIdle = 60 * time.Second

// config is what a page's script starts with.
type config struct {
	Env      pos.Environment              `json:"env"`
	Layout   string                       `json:"layout"`
	First    string                       `json:"first"`
	Language string                       `json:"lang"`
	IdleS    int                          `json:"idle_s"`
	Texts    map[string]pos.Text          `json:"texts"`
	States   map[pos.State]word           `json:"states"`
	Refunds  map[pos.RefundState]pos.Text `json:"refunds"`
}

// word is a state's name and the tone of its badge.
type word struct {
	Text pos.Text `json:"text"`
	Tone string   `json:"tone"`
}

type page struct {
	HTMLLang string
	Layout   string
	Notice   string
	Config   config
}

// New makes the handler of every page and file; give it to localapi.Options.Screen.
func New(o Options) http.Handler {
	if o.Language != "en" {
		o.Language = "zh"
	}
	files, err := fs.Sub(embedded, "assets")
	if err != nil {
		panic(err) //nolint:forbidigo // the folder is embedded above
	}
	pages := template.Must(template.ParseFS(embedded, "pages/*.html"))
	cashier, kiosk := o.show(pages.Lookup("cashier.html")), o.show(pages.Lookup("kiosk.html"))
	first := cashier
	if o.Layout == LayoutKiosk {
		first = kiosk
	}
	mux := http.NewServeMux()
	mux.Handle("GET /assets/", http.StripPrefix("/assets/", web.Handler()))
	mux.Handle("GET /screen/", http.StripPrefix("/screen/", web.Files(files)))
	mux.Handle("GET /{$}", first)
	mux.Handle("GET /cashier", cashier)
	mux.Handle("GET /kiosk", kiosk)
	return web.Secure(mux)
}

// show answers with a page, rendered into memory first: half a page is never sent.
func (o Options) show(t *template.Template) http.Handler {
	states, refunds := map[pos.State]word{}, map[pos.RefundState]pos.Text{}
	for _, s := range pos.States() {
		states[s] = word{Text: s.Text(), Tone: web.Tone(s)}
	}
	for _, s := range pos.RefundStates() {
		refunds[s] = s.Text()
	}
	idle := o.IdleReset
	if idle == 0 && t.Name() == "kiosk.html" {
		idle = DefaultIdle
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		lang, chosen := web.Chosen(w, r)
		if !chosen || t.Name() == "kiosk.html" {
			lang = o.Language
		}
		p := page{HTMLLang: "zh-CN", Layout: o.Layout, Notice: o.Env.Notice().Both(), Config: config{
			Env: o.Env, Layout: o.Layout, First: o.Language, Language: lang, IdleS: int(idle.Seconds()),
			Texts: texts(), States: states, Refunds: refunds,
		}}
		if lang == "en" {
			p.HTMLLang = "en"
		}
		var b bytes.Buffer
		if err := t.Execute(&b, p); err != nil {
			http.Error(w, "internal error", http.StatusInternalServerError)
			return
		}
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		w.Header().Set("Cache-Control", "no-store")
		_, _ = w.Write(b.Bytes()) // the browser may be gone: nobody to tell
	})
}
