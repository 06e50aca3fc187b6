// Package web holds what all screens share: the style, the event-stream script, the
// choice of language, and the headers that keep a page to itself. Everything is
// embedded; a screen loads nothing from anywhere else.
package web

import (
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"html/template"
	"io/fs"
	"net/http"
	"path"
	"strings"

	"dcpos/pos"
)

//go:embed assets
var assets embed.FS

// Assets is the folder of shared files, without its prefix.
func Assets() fs.FS {
	sub, err := fs.Sub(assets, "assets")
	if err != nil {
		panic(err) //nolint:forbidigo // the folder is embedded above
	}
	return sub
}

// Handler serves the shared files; mount it under a prefix with http.StripPrefix.
func Handler() http.Handler { return Files(Assets()) }

// Files serves the files of an embedded folder; mount it under a prefix with
// http.StripPrefix. Browsers ask each time and hear "not modified" by the entity tag,
// so that a page never runs with the scripts of another version. Folders are not listed.
func Files(folder fs.FS) http.Handler {
	files := http.FileServerFS(folder)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		b, err := fs.ReadFile(folder, strings.TrimPrefix(path.Clean("/"+r.URL.Path), "/"))
		if err != nil {
			http.NotFound(w, r)
			return
		}
		sum := sha256.Sum256(b)
		w.Header().Set("ETag", `"`+hex.EncodeToString(sum[:12])+`"`)
		w.Header().Set("Cache-Control", "no-cache")
		files.ServeHTTP(w, r)
	})
}

// languageCookie keeps a person's choice.
const languageCookie = "dcpos_lang"

// Language is "zh" or "en": ?lang= (which is also remembered), else the cookie, else
// what the browser prefers, else Chinese.
func Language(w http.ResponseWriter, r *http.Request) string {
	if lang, ok := Chosen(w, r); ok {
		return lang
	}
	for part := range strings.SplitSeq(r.Header.Get("Accept-Language"), ",") {
		tag := strings.ToLower(strings.TrimSpace(strings.SplitN(part, ";", 2)[0]))
		if strings.HasPrefix(tag, "zh") {
			return "zh"
		}
		if strings.HasPrefix(tag, "en") {
			return "en"
		}
	}
	return "zh"
}

// Chosen is the language that a person has chosen: ?lang= (which is also remembered),
// else the cookie; false when nobody has.
func Chosen(w http.ResponseWriter, r *http.Request) (string, bool) {
	if lang := r.URL.Query().Get("lang"); lang == "zh" || lang == "en" {
		http.SetCookie(w, &http.Cookie{
			Name: languageCookie, Value: lang, Path: "/", MaxAge: 365 * 24 * 3600,
			HttpOnly: false, SameSite: http.SameSiteStrictMode,
		})
		return lang, true
	}
	if c, err := r.Cookie(languageCookie); err == nil && (c.Value == "zh" || c.Value == "en") {
		return c.Value, true
	}
	return "", false
}

// Funcs are the functions of every page's template: t picks one of two sentences, in
// picks from a pos.Text, yuan writes an amount, tone names a state's colour.
func Funcs(lang string) template.FuncMap {
	return template.FuncMap{
		"lang": func() string { return lang },
		"t":    func(zh, en string) string { return pos.Text{ZH: zh, EN: en}.In(lang) },
		"in":   func(t pos.Text) string { return t.In(lang) },
		"yuan": func(m pos.Money) string { return "¥" + m.String() },
		"tone": Tone,
	}
}

// Tone is the class of a state's badge: ok, warn, bad, info or "".
func Tone(s pos.State) string {
	switch s {
	case pos.Paid, pos.Credited:
		return "ok"
	case pos.Unknown, pos.AcceptedEvidence, pos.Stored:
		return "warn"
	case pos.Refused, pos.Conflict:
		return "bad"
	case pos.Asking:
		return "info"
	case pos.Created, pos.Declined, pos.Abandoned, pos.Cancelled:
		return ""
	}
	return ""
}

// Secure adds the headers that keep a page to itself: no framing, no foreign
// script, no sniffing, no referrer.
func Secure(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Content-Security-Policy",
			"default-src 'self'; img-src 'self' data:; style-src 'self'; script-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'self'")
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Referrer-Policy", "no-referrer")
		h.Set("Cross-Origin-Opener-Policy", "same-origin")
		next.ServeHTTP(w, r)
	})
}
