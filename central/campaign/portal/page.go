package portal

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"html/template"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/skip2/go-qrcode"

	"dcpos/central/campaign"
	"dcpos/central/campaign/draw"
	"dcpos/central/campaign/fence"
	"dcpos/central/campaign/office"
	"dcpos/central/campaign/register"
	"dcpos/pos"
	"dcpos/web"
)

// view is what every page's template gets.
type view struct {
	Lab  bool
	Path string
	Name string // of the campaign
	Body any
}

// show renders into memory first: half a page is never sent.
func (p *Portal) show(w http.ResponseWriter, r *http.Request, status int, page string, body any) {
	lang := web.Language(w, r)
	var b bytes.Buffer
	v := view{Lab: p.cfg.Env != pos.Live, Path: r.URL.Path, Name: r.PathValue("name"), Body: body}
	if err := p.pages[lang+" "+page].Execute(&b, v); err != nil {
		p.cfg.Log.ErrorContext(r.Context(), "page not rendered", "page", page, "err", err)
		http.Error(w, "internal error", http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.Header().Set("Content-Language", lang)
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_, _ = w.Write(b.Bytes()) // the browser may be gone: nobody to tell
}

// fail shows an error that has no form of its own.
func (p *Portal) fail(w http.ResponseWriter, r *http.Request, err error) {
	problem := p.problem(r.Context(), err)
	p.show(w, r, problem.status, "problem", problem)
}

func (p *Portal) index(w http.ResponseWriter, r *http.Request) {
	all, err := p.listCampaigns(r.Context())
	if err != nil {
		p.fail(w, r, err)
		return
	}
	p.show(w, r, http.StatusOK, "index", all.Body)
}

// campaignBody is the campaign's page; Form and Wrong are those of a try that failed.
type campaignBody struct {
	Summary
	Tiers []campaign.Tier
	Fence bool
	Form  form
	Wrong *Problem
}

// form is what was typed, to be shown again. It goes to nobody but who typed it.
type form struct {
	Name, Document, Country, Number, Phone, Institution string
	Datum, Lat, Lon, Accuracy                           string
}

func formOf(r *http.Request) form {
	v := r.PostFormValue
	return form{
		v("name"), v("document"), v("country"), v("number"), v("phone"), v("institution"),
		v("datum"), v("lat"), v("lon"), v("accuracy"),
	}
}

// fix is the position of a form; nil where there is none that can be read.
func (f form) fix() *fence.Fix {
	lat, err1 := strconv.ParseFloat(f.Lat, 64)
	lon, err2 := strconv.ParseFloat(f.Lon, 64)
	accuracy, err3 := strconv.ParseFloat(f.Accuracy, 64)
	if errors.Join(err1, err2, err3) != nil {
		return nil
	}
	return &fence.Fix{Datum: fence.Datum(f.Datum), Lat: lat, Lon: lon, Accuracy: accuracy}
}

func (p *Portal) body(ctx context.Context, name string) (campaignBody, error) {
	c, err := p.cfg.Office.Campaign(ctx, name)
	if err != nil {
		return campaignBody{}, err
	}
	return campaignBody{Summary: summary(c, p.cfg.Office.Now()), Tiers: c.Definition.Tiers, Fence: c.Definition.Fence != ""}, nil
}

func (p *Portal) campaign(w http.ResponseWriter, r *http.Request) {
	b, err := p.body(r.Context(), r.PathValue("name"))
	if err != nil {
		p.fail(w, r, err)
		return
	}
	p.show(w, r, http.StatusOK, "campaign", b)
}

// codeBody asks for the code that was sent.
type codeBody struct {
	register.Answer
	Wrong *Problem
}

// register takes the form. What is wrong is shown at its field, with all that was typed.
func (p *Portal) register(w http.ResponseWriter, r *http.Request) {
	name := r.PathValue("name")
	if err := r.ParseForm(); err != nil {
		p.fail(w, r, pos.NewError(pos.ErrBadRequest, err))
		return
	}
	b, err := p.body(r.Context(), name)
	if err != nil {
		p.fail(w, r, err)
		return
	}
	desk, err := p.cfg.Office.Desk(r.Context(), name)
	if err != nil {
		p.fail(w, r, err)
		return
	}
	f := formOf(r)
	answer, err := desk.Register(r.Context(), register.Request{
		Name: f.Name, Document: campaign.Document(f.Document), Country: f.Country, Number: f.Number, Phone: f.Phone,
		Institution: f.Institution, Fix: f.fix(), Source: p.source(r.RemoteAddr, r.Header.Get("X-Forwarded-For")),
	})
	if err != nil {
		b.Form, b.Wrong = f, p.problem(r.Context(), err)
		p.show(w, r, b.Wrong.status, "campaign", b)
		return
	}
	p.show(w, r, http.StatusOK, "code", codeBody{Answer: answer})
}

// confirm takes the code and shows the entry.
func (p *Portal) confirm(w http.ResponseWriter, r *http.Request) {
	desk, err := p.cfg.Office.Desk(r.Context(), r.PathValue("name"))
	if err != nil {
		p.fail(w, r, err)
		return
	}
	ref := r.PostFormValue("ref")
	e, err := desk.Confirm(r.Context(), ref, r.PostFormValue("code"))
	if err != nil {
		b := codeBody{Wrong: p.problem(r.Context(), err)}
		b.Ref = ref
		p.show(w, r, b.Wrong.status, "code", b)
		return
	}
	p.entry(w, r, e)
}

// locate takes another position for an entry whose place is open.
func (p *Portal) locate(w http.ResponseWriter, r *http.Request) {
	desk, err := p.cfg.Office.Desk(r.Context(), r.PathValue("name"))
	if err != nil {
		p.fail(w, r, err)
		return
	}
	fix := formOf(r).fix()
	if fix == nil {
		fix = new(fence.Fix) // no datum: refused with what to do
	}
	e, err := desk.Locate(r.Context(), strings.TrimSpace(r.PostFormValue("query")), *fix, register.Signals{})
	if err != nil {
		p.fail(w, r, err)
		return
	}
	p.entry(w, r, e)
}

// entryBody is what an entrant takes home.
type entryBody struct {
	Entry
	Institution string
	QR          template.URL // a PNG
	File        template.URL // the entry as JSON
}

func (p *Portal) entry(w http.ResponseWriter, r *http.Request, e register.Entry) {
	out := entryOf(e)
	png, err := qrcode.Encode(out.Receipt, qrcode.Low, 480)
	if err != nil {
		p.fail(w, r, fmt.Errorf("receipt as QR: %w", err))
		return
	}
	file, err := json.MarshalIndent(out, "", "  ")
	if err != nil {
		p.fail(w, r, fmt.Errorf("entry as JSON: %w", err))
		return
	}
	encoded := base64.StdEncoding.EncodeToString
	p.show(w, r, http.StatusOK, "entry", entryBody{
		Entry: out, Institution: e.Receipt.Entry.Institution,
		QR:   template.URL("data:image/png;base64," + encoded(png)),                       //nolint:gosec // base64 of our own
		File: template.URL("data:application/json;charset=utf-8;base64," + encoded(file)), //nolint:gosec // base64 of our own
	})
}

// resultBody asks for a query code, or shows what it found.
type resultBody struct {
	Query string
	Found *Found
	Wrong *Problem
}

func (p *Portal) resultForm(w http.ResponseWriter, r *http.Request) {
	if _, err := p.cfg.Office.Campaign(r.Context(), r.PathValue("name")); err != nil {
		p.fail(w, r, err)
		return
	}
	p.show(w, r, http.StatusOK, "result", resultBody{})
}

func (p *Portal) result(w http.ResponseWriter, r *http.Request) {
	query := strings.ToUpper(strings.Join(strings.Fields(r.PostFormValue("query")), ""))
	f, err := p.find(r.Context(), r.PathValue("name"), query, p.source(r.RemoteAddr, r.Header.Get("X-Forwarded-For")))
	if err != nil {
		problem := p.problem(r.Context(), err)
		p.show(w, r, problem.status, "result", resultBody{Query: query[:min(len(query), 64)], Wrong: problem})
		return
	}
	p.show(w, r, http.StatusOK, "result", resultBody{Query: query, Found: &f})
}

// drawBody is the page of the verifier.
type drawBody struct {
	Summary
	Files     []published
	Publisher string // fingerprints
	Witness   string
}

func (p *Portal) draw(w http.ResponseWriter, r *http.Request) {
	c, err := p.cfg.Office.Campaign(r.Context(), r.PathValue("name"))
	if err != nil {
		p.fail(w, r, err)
		return
	}
	files, err := p.files(c)
	if err != nil {
		p.fail(w, r, err)
		return
	}
	p.show(w, r, http.StatusOK, "draw", drawBody{
		Summary: summary(c, p.cfg.Office.Now()), Files: files,
		Publisher: draw.Fingerprint(c.Terms.Publisher), Witness: draw.Fingerprint(c.Terms.Witness),
	})
}

// funcs are the portal's own template functions.
func funcs(lang string) template.FuncMap {
	say := func(zh, en string) string { return pos.Text{ZH: zh, EN: en}.In(lang) }
	return template.FuncMap{
		"when":         func(t time.Time) string { return t.In(pos.Shanghai()).Format("2006-01-02 15:04") },
		"last":         func(t time.Time) string { return t.Add(-time.Second).In(pos.Shanghai()).Format("2006-01-02 15:04:05") },
		"second":       func(t time.Time) string { return t.In(pos.Shanghai()).Format("2006-01-02 15:04:05") },
		"documentText": func(d campaign.Document) string { return d.Text().In(lang) },
		"institutionText": func(code string) string {
			if name, ok := map[string]pos.Text{
				"ICBC": {ZH: "工商银行", EN: "ICBC"}, "ABC": {ZH: "农业银行", EN: "Agricultural Bank"}, "BOC": {ZH: "中国银行", EN: "Bank of China"},
				"CCB": {ZH: "建设银行", EN: "Construction Bank"}, "BOCOM": {ZH: "交通银行", EN: "Bank of Communications"},
				"PSBC": {ZH: "邮储银行", EN: "Postal Savings Bank"},
			}[code]; ok {
				return name.In(lang)
			}
			return code
		},
		"wrong": func(e *Problem, field string) string {
			if e == nil || e.Field != field {
				return ""
			}
			return e.Text.In(lang) + say("。", ". ") + e.Hint.In(lang)
		},
		"size": func(n int64) string {
			if n < 1<<20 {
				return fmt.Sprintf("%d KB", (n+1023)>>10)
			}
			return fmt.Sprintf("%d MB", (n+1<<20-1)>>20)
		},
		"stateTone": func(s office.State) string {
			return map[office.State]string{office.Published: "info", office.Registering: "ok", office.Closed: "warn", office.Drawn: "ok", office.Void: "bad"}[s]
		},
		"spaced": func(code string) string {
			var parts []string
			for len(code) > 4 {
				parts, code = append(parts, code[:4]), code[4:]
			}
			return strings.Join(append(parts, code), " ")
		},
	}
}
