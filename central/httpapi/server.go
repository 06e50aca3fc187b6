package httpapi

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"dcpos/pos"
)

// The server's patience. Event streams lift the write limit for themselves.
const (
	headerWait = 5 * time.Second
	readWait   = 15 * time.Second
	writeWait  = 30 * time.Second
	idleWait   = 2 * time.Minute
	readyWait  = 2 * time.Second
	stopWait   = 10 * time.Second
)

// Config is what a Server needs.
type Config struct {
	Version  string
	Enroller Enroller
	// Ready tells why the centre cannot work now; nil means it can.
	Ready func(ctx context.Context) error
	// Metrics is served on /metrics to this machine, and to others with the token.
	Metrics interface {
		prometheus.Gatherer
		prometheus.Registerer
	}
	MetricsToken string
	// Console is mounted at /console/; may be nil.
	Console http.Handler
	// Assets is mounted at /assets/; may be nil.
	Assets http.Handler
	// Segments is mounted at /segments/, for workers of reconciliations; may be nil.
	Segments http.Handler
	Log      *slog.Logger
	Now      func() time.Time
}

// Server is the centre's HTTP side.
type Server struct {
	cfg      Config
	mux      *http.ServeMux
	tries    *limiter
	requests *prometheus.CounterVec
	refused  prometheus.Counter
}

// New builds the routes. It reads nothing from the network yet.
func New(cfg Config) (*Server, error) {
	if cfg.Enroller == nil || cfg.Metrics == nil {
		return nil, pos.NewError(pos.ErrConfig, errors.New("http server needs an enroller and metrics"))
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	s := &Server{
		cfg: cfg, mux: http.NewServeMux(), tries: newLimiter(10, 10*time.Second, cfg.Now),
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "dcpos_http_requests_total", Help: "Answered HTTP requests by route and status.",
		}, []string{"route", "status"}),
		refused: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "dcpos_enrol_refused_total", Help: "Enrolment tries refused because an address tried too often.",
		}),
	}
	for _, c := range []prometheus.Collector{s.requests, s.refused} {
		if err := cfg.Metrics.Register(c); err != nil {
			return nil, fmt.Errorf("register metric: %w", err)
		}
	}
	s.routes()
	return s, nil
}

func (s *Server) routes() {
	c := huma.DefaultConfig("dcpos centre", s.cfg.Version)
	c.DocsPath, c.SchemasPath, c.CreateHooks = "", "", nil // no page that loads scripts from elsewhere
	c.AllowAdditionalPropertiesByDefault = true            // a newer till may say more
	s.registerEnrol(humago.New(s.mux, c))
	s.mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) {
		writeJSON(w, http.StatusOK, map[string]string{"status": "ok", "version": s.cfg.Version})
	})
	s.mux.HandleFunc("GET /readyz", s.ready)
	s.mux.Handle("GET /metrics", s.guardMetrics(promhttp.HandlerFor(s.cfg.Metrics, promhttp.HandlerOpts{})))
	if s.cfg.Console != nil {
		s.mux.Handle("/console/", s.cfg.Console)
		s.mux.Handle("GET /{$}", http.RedirectHandler("/console/", http.StatusFound))
	}
	if s.cfg.Assets != nil {
		s.mux.Handle("GET /assets/", http.StripPrefix("/assets", s.cfg.Assets))
	}
	if s.cfg.Segments != nil {
		s.mux.Handle("/segments/", http.StripPrefix("/segments", s.cfg.Segments))
	}
}

// ServeHTTP answers one request.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("X-Frame-Options", "DENY")
	h.Set("Referrer-Policy", "same-origin")
	h.Set("Content-Security-Policy", "default-src 'self'; img-src 'self' data:; frame-ancestors 'none'; form-action 'self'; base-uri 'none'")
	seen := &watched{ResponseWriter: w, status: http.StatusOK}
	s.mux.ServeHTTP(seen, r)
	_, route, _ := strings.Cut(r.Pattern, " ")
	if r.Pattern != "" && route == "" {
		route = r.Pattern
	}
	s.requests.WithLabelValues(route, fmt.Sprint(seen.status)).Inc()
}

// watched remembers the status for the metrics.
type watched struct {
	http.ResponseWriter
	status int
}

// WriteHeader notes the status.
func (w *watched) WriteHeader(status int) {
	w.status = status
	w.ResponseWriter.WriteHeader(status)
}

// Unwrap lets http.ResponseController reach the connection.
func (w *watched) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// Run serves on the listener until ctx ends, then lets running requests finish.
func (s *Server) Run(ctx context.Context, l net.Listener) error { return Serve(ctx, s, l, nil) }

// Serve serves a handler with this package's patience until ctx ends, then lets running
// requests finish. With a certificate it speaks TLS 1.2 or newer.
func Serve(ctx context.Context, h http.Handler, l net.Listener, certificate *tls.Certificate) error {
	if certificate != nil {
		l = tls.NewListener(l, &tls.Config{
			Certificates: []tls.Certificate{*certificate}, MinVersion: tls.VersionTLS12, NextProtos: []string{"http/1.1"},
		})
	}
	streams, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	srv := &http.Server{
		Handler: h, ReadHeaderTimeout: headerWait, ReadTimeout: readWait, WriteTimeout: writeWait,
		IdleTimeout: idleWait, MaxHeaderBytes: 32 << 10,
		BaseContext: func(net.Listener) context.Context { return streams },
	}
	done := make(chan error, 1)
	go func() { done <- srv.Serve(l) }()
	select {
	case err := <-done:
		return fmt.Errorf("serve http: %w", err)
	case <-ctx.Done():
	}
	stop() // event streams end by their context
	wait, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopWait)
	defer cancel()
	if err := srv.Shutdown(wait); err != nil {
		return fmt.Errorf("stop http: %w", err)
	}
	return nil
}

func (s *Server) ready(w http.ResponseWriter, r *http.Request) {
	ctx, cancel := context.WithTimeout(r.Context(), readyWait)
	defer cancel()
	if s.cfg.Ready != nil {
		if err := s.cfg.Ready(ctx); err != nil {
			s.cfg.Log.WarnContext(ctx, "not ready", "err", err)
			writeJSON(w, http.StatusServiceUnavailable, map[string]string{"status": "not ready", "code": string(pos.CodeOf(err))})
			return
		}
	}
	writeJSON(w, http.StatusOK, map[string]string{"status": "ready"})
}

// guardMetrics lets this machine in, and whoever has the token.
func (s *Server) guardMetrics(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		token, has := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
		if !loopback(r) && (!has || s.cfg.MetricsToken == "" || !same(token, s.cfg.MetricsToken)) {
			writeJSON(w, http.StatusForbidden, pos.NewError(pos.ErrForbidden, nil))
			return
		}
		next.ServeHTTP(w, r)
	})
}

// same compares two secrets in constant time, also when their lengths differ.
func same(a, b string) bool {
	x, y := sha256.Sum256([]byte(a)), sha256.Sum256([]byte(b))
	return subtle.ConstantTimeCompare(x[:], y[:]) == 1
}

func writeJSON(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(v) // the peer may be gone: nobody to tell
}

func writeProblem(c huma.Context, e *pos.Error) {
	c.SetHeader("Content-Type", "application/json; charset=utf-8")
	c.SetStatus(Status(e.Code))
	_ = json.NewEncoder(c.BodyWriter()).Encode(e) // the peer may be gone: nobody to tell
}
