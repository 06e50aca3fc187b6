package localapi

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net/http"
	"path"
	"reflect"
	"strings"
	"sync"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"

	"dcpos/agent/checkout"
	"dcpos/pos"
)

// Options are what an API is made of.
type Options struct {
	Till    *checkout.Till
	Devices Devices // nil: none
	Tokens  []Token
	// Hosts are names of this machine besides 127.0.0.1, ::1 and localhost.
	Hosts []string
	// Screen serves every path that the API does not; nil: nothing.
	Screen http.Handler
	// ScreenKey is what a browser needs once to open the screens over TCP, by EnterPath.
	// Empty: whoever reaches the loopback port may use the screens.
	ScreenKey string
	// FontFile draws previews of receipts; empty: the fonts of Debian's packages.
	FontFile string
	// Version is the program's, for status and description.
	Version string
}

// API is the local interface of one till.
type API struct {
	till    *checkout.Till
	devices Devices
	tokens  []Token
	hosts   []string
	screen  http.Handler
	key     string
	secret  []byte // of the sessions
	version string

	fontFile string
	drawing  sync.Mutex
	mux      *http.ServeMux
	api      huma.API
}

// maxBody bounds a request's body: a wallet's answer is the longest thing in one.
const maxBody = 16 << 10

// New makes the API. It fails on tokens that cannot be meant.
func New(o Options) (*API, error) {
	if o.Till == nil {
		return nil, errors.New("local api: no till")
	}
	for _, t := range o.Tokens {
		if err := checkToken(t); err != nil {
			return nil, pos.NewError(pos.ErrConfig, fmt.Errorf("token %q: %w", t.Name, err))
		}
	}
	a := &API{
		till: o.Till, devices: o.Devices, tokens: o.Tokens, screen: o.Screen, key: o.ScreenKey, version: o.Version, fontFile: o.FontFile,
		hosts: []string{"127.0.0.1", "::1", "localhost"}, secret: []byte(o.ScreenKey), mux: http.NewServeMux(),
	}
	for _, h := range o.Hosts {
		a.hosts = append(a.hosts, strings.ToLower(h))
	}
	if o.ScreenKey == "" {
		a.secret = []byte(rand.Text() + rand.Text())
	}
	config := huma.DefaultConfig("dcpos local API", "1")
	config.Info.Description = "Takes digital-yuan payments at this till. Amounts are integers of fen, times Unix milliseconds."
	config.DocsPath, config.SchemasPath, config.CreateHooks = "", "", nil
	config.Transformers = []huma.Transformer{ourErrors}
	config.Components.Schemas = huma.NewMapRegistry("#/components/schemas/", schemaName)
	config.Components.SecuritySchemes = map[string]*huma.SecurityScheme{"token": {Type: "http", Scheme: "bearer"}}
	a.api = humago.New(a.mux, config)
	a.api.UseMiddleware(a.demandScope)
	a.registerPayments()
	a.registerPrints()
	a.registerReceipts()
	a.registerTill()
	a.registerDevices()
	a.registerEvents()
	a.mux.Handle("/", a.rest())
	return a, nil
}

// schemaName keeps types of one name in several packages apart in the description.
func schemaName(t reflect.Type, hint string) string {
	name := huma.DefaultSchemaNamer(t, hint)
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	room := path.Base(t.PkgPath())
	if t.Name() == "" || room == "localapi" || room == "." {
		return name
	}
	return strings.ToUpper(room[:1]) + room[1:] + name
}

func checkToken(t Token) error {
	switch {
	case !callerForm.MatchString(t.Name) || t.Name == CallerScreen || t.Name == CallerLocal:
		return fmt.Errorf("want a name of its own like %s", callerForm)
	case len(t.Hash) != 64:
		return errors.New("want a SHA-256 in hexadecimal as its hash")
	case len(t.Scopes) == 0:
		return errors.New("want a scope")
	}
	for _, s := range t.Scopes {
		if !s.Valid() {
			return fmt.Errorf("scope %q: want read, pay, refund or admin", s)
		}
	}
	return nil
}

// rest serves the screens, and an error of our form where there is nothing.
func (a *API) rest() http.Handler {
	nothing := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		writeError(w, http.StatusNotFound, pos.NewError(pos.ErrNotFound, fmt.Errorf("no resource %s %s", r.Method, r.URL.Path)))
	})
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if a.screen == nil || strings.HasPrefix(r.URL.Path, "/v1/") {
			nothing(w, r)
			return
		}
		a.screen.ServeHTTP(w, r)
	})
}

// OpenAPI is the description as JSON (OpenAPI 3.1).
func (a *API) OpenAPI() ([]byte, error) { return a.api.OpenAPI().MarshalJSON() }

const scopeKey = "scope"

// demandScope refuses a principal that lacks the operation's scope.
func (a *API) demandScope(ctx huma.Context, next func(huma.Context)) {
	scope, ok := ctx.Operation().Metadata[scopeKey].(Scope)
	if !ok {
		next(ctx)
		return
	}
	p := who(ctx.Context())
	_, w := humago.Unwrap(ctx)
	switch {
	case p.name == "":
		w.Header().Set("WWW-Authenticate", "Bearer")
		writeError(w, http.StatusUnauthorized, pos.NewError(pos.ErrForbidden, errors.New("no token")))
	case !p.may(scope):
		writeError(w, http.StatusForbidden, pos.NewError(pos.ErrForbidden, fmt.Errorf("%s lacks the scope %s", p.name, scope)))
	default:
		next(ctx)
	}
}

// operation registers one operation: its name, method and path, scope and summary.
func operation[I, O any](a *API, id, method, resource string, scope Scope, summary string, f func(context.Context, *I) (*O, error)) {
	operationUpTo(a, maxBody, id, method, resource, scope, summary, f)
}

// operationUpTo is operation for requests of at most so many bytes.
func operationUpTo[I, O any](a *API, limit int64, id, method, resource string, scope Scope, summary string, f func(context.Context, *I) (*O, error)) {
	huma.Register(a.api, huma.Operation{
		OperationID: id, Method: method, Path: resource, Summary: summary, MaxBodyBytes: limit,
		Metadata: map[string]any{scopeKey: scope}, Security: []map[string][]string{{"token": {string(scope)}}},
		Responses: map[string]*huma.Response{"default": {
			Description: "Error",
			Content: map[string]*huma.MediaType{"application/json": {
				Schema: huma.SchemaFromType(a.api.OpenAPI().Components.Schemas, errorType()),
			}},
		}},
	}, func(ctx context.Context, in *I) (*O, error) {
		out, err := f(ctx, in)
		if err != nil {
			return nil, fail(err)
		}
		return out, nil
	})
}
