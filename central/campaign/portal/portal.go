package portal

import (
	"embed"
	"errors"
	"fmt"
	"html/template"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"time"

	"dcpos/central/campaign/office"
	"dcpos/central/campaign/register"
	"dcpos/pos"
	"dcpos/web"
)

//go:embed pages/*.html files
var embedded embed.FS

// Bounds.
const (
	maxBody      = 16 << 10 // of a form or a request
	maxDownloads = 64       // of published files at once
)

// Config is what a Portal needs.
type Config struct {
	Version string
	Env     pos.Environment
	Office  *office.Office
	// Proxies are those whose X-Forwarded-For is believed.
	Proxies []netip.Prefix
	// LookUps is how many results a minute one source may look up; 0 is 120.
	LookUps int
	Log     *slog.Logger
}

// Portal serves campaigns to citizens. It is safe for concurrent use.
type Portal struct {
	cfg       Config
	mux       *http.ServeMux
	handler   http.Handler
	pages     map[string]*template.Template // by language and page
	limits    register.Limiter
	downloads chan struct{}
}

// New parses the pages and builds the routes.
func New(cfg Config) (*Portal, error) {
	if cfg.Office == nil {
		return nil, pos.NewError(pos.ErrConfig, errors.New("portal: want an office"))
	}
	if cfg.LookUps == 0 {
		cfg.LookUps = 120
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	p := &Portal{cfg: cfg, mux: http.NewServeMux(), pages: map[string]*template.Template{}, downloads: make(chan struct{}, maxDownloads)}
	for _, lang := range []string{"zh", "en"} {
		for _, name := range []string{"index", "campaign", "code", "entry", "result", "draw", "problem"} {
			t, err := template.New("layout.html").Funcs(web.Funcs(lang)).Funcs(funcs(lang)).
				ParseFS(embedded, "pages/layout.html", "pages/"+name+".html")
			if err != nil {
				return nil, fmt.Errorf("page %s: %w", name, err)
			}
			p.pages[lang+" "+name] = t
		}
	}
	if err := p.routes(); err != nil {
		return nil, err
	}
	p.handler = web.Secure(http.NewCrossOriginProtection().Handler(p.mux))
	return p, nil
}

func (p *Portal) routes() error {
	files, err := fs.Sub(embedded, "files")
	if err != nil {
		return fmt.Errorf("embedded files: %w", err)
	}
	p.api()
	p.mux.HandleFunc("GET /{$}", p.index)
	p.mux.HandleFunc("GET /c/{name}", p.campaign)
	p.mux.HandleFunc("POST /c/{name}/register", p.register)
	p.mux.HandleFunc("POST /c/{name}/confirm", p.confirm)
	p.mux.HandleFunc("POST /c/{name}/locate", p.locate)
	p.mux.HandleFunc("GET /c/{name}/result", p.resultForm)
	p.mux.HandleFunc("POST /c/{name}/result", p.result)
	p.mux.HandleFunc("GET /c/{name}/draw", p.draw)
	p.mux.HandleFunc("GET /c/{name}/draw/{file}", p.file)
	p.mux.Handle("GET /assets/", http.StripPrefix("/assets", web.Handler()))
	p.mux.Handle("GET /files/", http.StripPrefix("/files", web.Files(files)))
	p.mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) })
	return nil
}

// ServeHTTP answers one request.
func (p *Portal) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h.Set("Permissions-Policy", "geolocation=(self), camera=(), microphone=()")
	h.Set("X-Frame-Options", "DENY")
	if r.TLS != nil {
		h.Set("Strict-Transport-Security", "max-age=31536000")
	}
	r.Body = http.MaxBytesReader(w, r.Body, maxBody)
	p.handler.ServeHTTP(w, r)
}

// source is the network a request came from, for the limits: a /24, or a /56 in IPv6.
func (p *Portal) source(remote, forwarded string) string {
	ip := address(remote)
	hops := strings.Split(forwarded, ",")
	for i := len(hops) - 1; i >= 0 && p.proxy(ip); i-- { // the last that no proxy of ours has added
		next := address(strings.TrimSpace(hops[i]))
		if !next.IsValid() {
			break
		}
		ip = next
	}
	bits := 24
	if ip.Is6() {
		bits = 56
	}
	network, err := ip.Prefix(bits)
	if err != nil {
		return ""
	}
	return network.String()
}

func (p *Portal) proxy(ip netip.Addr) bool {
	for _, network := range p.cfg.Proxies {
		if network.Contains(ip) {
			return true
		}
	}
	return false
}

func address(s string) netip.Addr {
	if host, _, err := net.SplitHostPort(s); err == nil {
		s = host
	}
	ip, err := netip.ParseAddr(s)
	if err != nil {
		return netip.Addr{}
	}
	return ip.Unmap().WithZone("")
}

// allow bounds how often a source looks results up.
func (p *Portal) allow(source string) error {
	if p.limits.Allow(source, p.cfg.LookUps, time.Minute, p.cfg.Office.Now()) {
		return nil
	}
	return pos.NewError(pos.ErrTooMany, nil)
}
