package console

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"html/template"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"dcpos/pos"
	"dcpos/web"
)

// Breaks is the work on what reconciliation found; whoever runs it implements it. Errors are *pos.Error.
type Breaks interface {
	Cases(ctx context.Context, f pos.BreakFilter) ([]pos.BreakCase, error)
	Case(ctx context.Context, id string) (BreakFile, error)
	// Proposals lists remedies that wait for a second person.
	Proposals(ctx context.Context, limit int) ([]pos.Remedy, []pos.BreakCase, error)
	Aging(ctx context.Context) ([]pos.BreakAge, error)
	Settlements(ctx context.Context, date pos.Date, limit int) ([]pos.Settlement, error)
	// FourEyes is the amount above which a second person decides.
	FourEyes() pos.Money
	// Remedies lists what fits the case.
	Remedies(c *pos.BreakCase) []pos.RemedyKind

	Assign(ctx context.Context, id, to string, by Person) error
	Explain(ctx context.Context, id string, cause pos.BreakCause, note string, by Person) error
	CarryOver(ctx context.Context, id string, until pos.Date, by Person) error
	Propose(ctx context.Context, id string, kind pos.RemedyKind, reason string, by Person) (pos.Remedy, error)
	Decide(ctx context.Context, remedy string, approve bool, reason string, by Person) (pos.Remedy, error)

	// WriteCSV and WriteExcel export cases; on is the day by which ages are counted.
	WriteCSV(w io.Writer, cases []pos.BreakCase, on pos.Date) error
	WriteExcel(w io.Writer, cases []pos.BreakCase, on pos.Date, lang string) error
}

// Person acts on a break.
type Person struct {
	Name     string
	Approves bool
}

func person(s Session) Person { return Person{Name: s.Account, Approves: s.Role.May(Approver)} }

// BreakFile is a case with its remedies and its history.
type BreakFile struct {
	Case     pos.BreakCase    `json:"break"`
	Remedies []pos.Remedy     `json:"remedies"`
	Events   []pos.BreakEvent `json:"history"`
}

// BreaksAnswer is the list of breaks for programs.
type BreaksAnswer struct {
	Breaks      []pos.BreakCase  `json:"breaks"`
	Proposals   []pos.Remedy     `json:"proposals"`
	Aging       []pos.BreakAge   `json:"aging"`
	Settlements []pos.Settlement `json:"settlements"`
	FourEyes    pos.Money        `json:"four_eyes_fen"`
	CSRF        string           `json:"csrf"`
}

func (c *Console) breakRoutes() {
	c.mux.Handle("GET /console/breaks", c.page(Viewer, c.breaks))
	c.mux.Handle("GET /console/breaks/export.csv", c.page(Viewer, c.exportBreaks))
	c.mux.Handle("GET /console/breaks/export.xlsx", c.page(Viewer, c.exportBreaks))
	c.mux.Handle("GET /console/breaks/{id}", c.page(Viewer, c.breakPage))
	c.mux.Handle("POST /console/breaks/{id}/{what}", c.form(Operator, c.workOnBreak))
	c.mux.Handle("POST /console/remedies/{id}", c.form(Operator, c.decide))
}

// breakList is what the page of breaks shows.
type breakList struct {
	Filter    pos.BreakFilter
	All       bool
	Query     template.URL // encoded already: escaped once more the exports would not know the filter
	Next      string
	Cases     []pos.BreakCase
	Proposals []proposal
	Ages      []pos.BreakAge
	Legs      []pos.Settlement
	FourEyes  pos.Money
	Today     pos.Date
}

type proposal struct {
	pos.Remedy
	On pos.BreakCase
}

// mostExported bounds an export.
const mostExported = 100_000

// wantsJSON tells programs from browsers.
func wantsJSON(r *http.Request) bool {
	return strings.Contains(r.Header.Get("Accept"), "application/json")
}

// breakFilter reads the filter; what is not ended is shown unless all=1 or a state is named.
func breakFilter(q url.Values, limit int) (f pos.BreakFilter, all bool, err error) {
	f = pos.BreakFilter{
		Date: pos.Date(q.Get("date")), Bank: q.Get("bank"), Kind: pos.BreakKind(q.Get("kind")), State: pos.BreakState(q.Get("state")),
		Txn: strings.TrimSpace(q.Get("txn")), Assignee: q.Get("assignee"), After: q.Get("after"), Limit: limit,
	}
	all = q.Get("all") != ""
	f.Unended = !all && f.State == "" && f.Txn == ""
	if _, bad := pos.ParseDate(string(f.Date)); f.Date != "" && bad != nil {
		return f, all, pos.FieldError(pos.ErrBadRequest, "date", bad)
	}
	for _, s := range []string{f.Bank, string(f.Kind), string(f.State), f.Txn, f.Assignee, f.After} {
		if len(s) > 64 {
			return f, all, pos.FieldError(pos.ErrBadRequest, "filter", errors.New("at most 64 bytes each"))
		}
	}
	return f, all, nil
}

func (c *Console) breaks(w http.ResponseWriter, r *http.Request, s Session) {
	if c.cfg.Breaks == nil {
		c.refuse(w, r, s, pos.NewError(pos.ErrNotFound, nil))
		return
	}
	f, all, err := breakFilter(r.URL.Query(), pageSize)
	if err != nil {
		c.refuse(w, r, s, pos.AsError(err))
		return
	}
	body, err := c.breakList(r.Context(), f, all)
	if err != nil {
		c.broken(w, r, err)
		return
	}
	if !wantsJSON(r) {
		c.show(w, r, http.StatusOK, "breaks", s, body)
		return
	}
	a := BreaksAnswer{Breaks: body.Cases, Aging: body.Ages, Settlements: body.Legs, FourEyes: body.FourEyes, CSRF: s.CSRF}
	for _, p := range body.Proposals {
		a.Proposals = append(a.Proposals, p.Remedy)
	}
	c.json(w, r, a)
}

// problem tells a program what went wrong, and why as far as it is the caller's to know.
func (c *Console) problem(w http.ResponseWriter, r *http.Request, status int, e *pos.Error) {
	said := *e
	if said.Err != nil && said.Hint == said.Code.Hint() { // a hint of its own says it in both languages
		said.Text = pos.Text{ZH: e.Text.ZH + ":" + e.Err.Error(), EN: e.Text.EN + ": " + e.Err.Error()}
	}
	b, err := json.Marshal(&said)
	if err != nil {
		c.cfg.Log.ErrorContext(r.Context(), "answer not encoded", "err", err)
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_, _ = w.Write(append(b, '\n')) // a caller that went away asks again
}

func (c *Console) json(w http.ResponseWriter, r *http.Request, v any) {
	b, err := json.Marshal(v)
	if err != nil {
		c.broken(w, r, err)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	_, _ = w.Write(append(b, '\n')) // a caller that went away asks again
}

func (c *Console) breakList(ctx context.Context, f pos.BreakFilter, all bool) (body breakList, err error) {
	work := c.cfg.Breaks
	body = breakList{Filter: f, All: all, FourEyes: work.FourEyes(), Today: pos.DateOf(c.cfg.Now(), 0), Query: filterQuery(f, all)}
	if body.Cases, err = work.Cases(ctx, f); err != nil {
		return body, err
	}
	if len(body.Cases) == f.Limit {
		body.Next = body.Cases[f.Limit-1].ID
	}
	remedies, cases, err := work.Proposals(ctx, pageSize)
	if err != nil {
		return body, err
	}
	for i := range remedies {
		body.Proposals = append(body.Proposals, proposal{remedies[i], cases[i]})
	}
	if body.Ages, err = work.Aging(ctx); err != nil {
		return body, err
	}
	const legs = 30
	body.Legs, err = work.Settlements(ctx, f.Date, legs)
	return body, err
}

// filterQuery is the filter as the exports' address has it.
func filterQuery(f pos.BreakFilter, all bool) template.URL {
	q := url.Values{}
	for k, v := range map[string]string{
		"date": string(f.Date), "bank": f.Bank, "kind": string(f.Kind), "state": string(f.State), "txn": f.Txn, "assignee": f.Assignee,
	} {
		if v != "" {
			q.Set(k, v)
		}
	}
	if all {
		q.Set("all", "1")
	}
	return template.URL(q.Encode()) //nolint:gosec // just encoded
}

type breakBody struct {
	BreakFile
	Fits     []pos.RemedyKind
	Live     bool // a remedy is proposed or under way: no other one can be
	FourEyes pos.Money
	Today    pos.Date
}

func (c *Console) breakPage(w http.ResponseWriter, r *http.Request, s Session) {
	if c.cfg.Breaks == nil {
		c.refuse(w, r, s, pos.NewError(pos.ErrNotFound, nil))
		return
	}
	file, err := c.cfg.Breaks.Case(r.Context(), r.PathValue("id"))
	if err != nil {
		c.fail(w, r, s, err)
		return
	}
	if wantsJSON(r) {
		c.json(w, r, file)
		return
	}
	c.show(w, r, http.StatusOK, "break", s, breakBody{
		BreakFile: file, Fits: c.cfg.Breaks.Remedies(&file.Case), FourEyes: c.cfg.Breaks.FourEyes(), Today: pos.DateOf(c.cfg.Now(), 0),
		Live: slices.ContainsFunc(file.Remedies, func(r pos.Remedy) bool { return r.State.Live() }),
	})
}

// workOnBreak does what the form says and shows the case again.
func (c *Console) workOnBreak(w http.ResponseWriter, r *http.Request, s Session) {
	if c.cfg.Breaks == nil {
		c.refuse(w, r, s, pos.NewError(pos.ErrNotFound, nil))
		return
	}
	id, field := r.PathValue("id"), func(name string) string { return strings.TrimSpace(r.PostFormValue(name)) }
	var err error
	switch r.PathValue("what") {
	case "assign":
		err = c.assign(r.Context(), id, field("assignee"), s)
	case "explain":
		err = c.cfg.Breaks.Explain(r.Context(), id, pos.BreakCause(field("cause")), field("note"), person(s))
	case "carry":
		err = c.cfg.Breaks.CarryOver(r.Context(), id, pos.Date(field("until")), person(s))
	case "remedy":
		_, err = c.cfg.Breaks.Propose(r.Context(), id, pos.RemedyKind(field("kind")), field("reason"), person(s))
	default:
		err = pos.NewError(pos.ErrNotFound, nil)
	}
	c.worked(w, r, s, id, err)
}

// assign takes the name of an account, or nobody's for oneself.
func (c *Console) assign(ctx context.Context, id, to string, s Session) error {
	if to == "" {
		to = s.Account
	}
	a, found, err := c.cfg.Store.Account(ctx, to)
	if err != nil {
		return err
	}
	if !found || a.Disabled || !a.Role.May(Operator) {
		return noAccount()
	}
	return c.cfg.Breaks.Assign(ctx, id, to, person(s))
}

func noAccount() error {
	e := pos.FieldError(pos.ErrBadRequest, "assignee", errors.New("no account of this name may work on breaks"))
	e.Hint = pos.Text{ZH: "没有可处理差异的同名账号", EN: "No account of this name may work on breaks."}
	return e
}

// decide approves or rejects what another has proposed.
func (c *Console) decide(w http.ResponseWriter, r *http.Request, s Session) {
	if c.cfg.Breaks == nil {
		c.refuse(w, r, s, pos.NewError(pos.ErrNotFound, nil))
		return
	}
	id := r.PathValue("id")
	approve, err := strconv.ParseBool(r.PostFormValue("approve"))
	if err != nil {
		c.refuse(w, r, s, pos.FieldError(pos.ErrBadRequest, "approve", err))
		return
	}
	_, err = c.cfg.Breaks.Decide(r.Context(), id, approve, strings.TrimSpace(r.PostFormValue("reason")), person(s))
	if pos.CodeOf(err) == pos.ErrForbidden {
		c.audit(r.Context(), s.Account, "refused", "remedy "+id)
	}
	of, _, _ := strings.Cut(id, "-")
	c.worked(w, r, s, of, err)
}

func (c *Console) worked(w http.ResponseWriter, r *http.Request, s Session, id string, err error) {
	switch {
	case err != nil:
		c.fail(w, r, s, err)
	case wantsJSON(r):
		file, err := c.cfg.Breaks.Case(r.Context(), id)
		if err != nil {
			c.fail(w, r, s, err)
			return
		}
		c.json(w, r, file)
	default:
		http.Redirect(w, r, "/console/breaks/"+url.PathEscape(id), http.StatusSeeOther)
	}
}

// exportBreaks sends the filtered list as a file.
func (c *Console) exportBreaks(w http.ResponseWriter, r *http.Request, s Session) {
	if c.cfg.Breaks == nil {
		c.refuse(w, r, s, pos.NewError(pos.ErrNotFound, nil))
		return
	}
	f, _, err := breakFilter(r.URL.Query(), mostExported)
	if err != nil {
		c.refuse(w, r, s, pos.AsError(err))
		return
	}
	cases, err := c.cfg.Breaks.Cases(r.Context(), f)
	if err != nil {
		c.broken(w, r, err)
		return
	}
	c.audit(r.Context(), s.Account, "breaks_exported", strconv.Itoa(len(cases)))
	c.export(w, r, cases)
}

func (c *Console) export(w http.ResponseWriter, r *http.Request, cases []pos.BreakCase) {
	today := pos.DateOf(c.cfg.Now(), 0)
	kind, name := "text/csv; charset=utf-8", "breaks-"+string(today)+".csv"
	write := func(b io.Writer) error { return c.cfg.Breaks.WriteCSV(b, cases, today) }
	if strings.HasSuffix(r.URL.Path, ".xlsx") {
		kind, name = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet", "breaks-"+string(today)+".xlsx"
		lang := web.Language(w, r)
		write = func(b io.Writer) error { return c.cfg.Breaks.WriteExcel(b, cases, today, lang) }
	}
	var b bytes.Buffer
	if err := write(&b); err != nil {
		c.broken(w, r, err)
		return
	}
	w.Header().Set("Content-Type", kind)
	w.Header().Set("Content-Disposition", `attachment; filename="`+name+`"`)
	w.Header().Set("Cache-Control", "no-store")
	_, _ = w.Write(b.Bytes()) // a browser that went away asks again
}
