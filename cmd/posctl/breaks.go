package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"golang.org/x/term"

	"dcpos/central/console"
	"dcpos/internal/cli"
	"dcpos/pos"
)

// BreaksCmd is the work on what reconciliation found, under an account of the console: who did
// what stands in the trail, and two pairs of eyes are two accounts here too.
type BreaksCmd struct {
	Centre       string `default:"http://127.0.0.1:8700" env:"DCPOS_CENTRE" placeholder:"URL" help:"The centre's address. 中心地址。"`
	Account      string `required:"" env:"DCPOS_ACCOUNT" placeholder:"NAME" help:"Account of the operations page. 运维账号。"`
	PasswordFile string `placeholder:"FILE" help:"File with its password; else asked for, or read from standard input. 密码文件。"`

	List    breaksListCmd    `cmd:"" help:"List what is not ended (or all). 列出差异。"`
	Show    breaksShowCmd    `cmd:"" help:"One break with its remedies and history. 查看一笔差异。"`
	Assign  breaksAssignCmd  `cmd:"" help:"Give a break to an account, or take it. 分派。"`
	Explain breaksExplainCmd `cmd:"" help:"Note why it is there. 查明原因。"`
	Carry   breaksCarryCmd   `cmd:"" help:"Let it wait for its partner until a date. 继续挂账。"`
	Remedy  breaksRemedyCmd  `cmd:"" help:"Put it right: complete, refund, claim, adjust, write_off. 处理。"`
	Approve breaksDecideCmd  `cmd:"" help:"As the second person, let a remedy happen. 复核同意。"`
	Reject  breaksRejectCmd  `cmd:"" help:"Refuse a remedy, or take one's own back. 驳回。"`
	Export  breaksExportCmd  `cmd:"" help:"Write them into FILE.csv or FILE.xlsx. 导出。"`

	Reconcile breaksReconcileCmd `cmd:"" help:"Have the centre reconcile a settlement date now. 让中心立即对账。"`
}

// Help is the long help text.
func (BreaksCmd) Help() string {
	return `A break lives from open over assigned and explained to its end. Only what is explained can be remedied; above the
centre's limit a second account with the role approver decides. Ids are those that list shows.

Example: posctl breaks --account wang remedy 3f0c… claim --reason "asked ICBC, ticket 118"

Exit codes: 0 done, 1 the centre refused it, 2 usage, 3 the centre cannot be reached or knows no such account.`
}

// most bounds what a centre may answer.
const mostAnswer = 64 << 20

// office is a signed-in session.
type office struct {
	base string
	http *http.Client
	csrf string
}

func (b *BreaksCmd) open(ctx context.Context, out *cli.Streams) (*office, error) {
	password, err := b.password(out)
	if err != nil {
		return nil, cli.Exit(cli.Usage, err)
	}
	jar, err := cookiejar.New(nil)
	if err != nil {
		return nil, err
	}
	o := &office{base: strings.TrimRight(b.Centre, "/"), http: &http.Client{
		Jar: jar, Timeout: 2 * time.Minute, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
	status, _, err := o.send(ctx, http.MethodPost, "/console/login", url.Values{"name": {b.Account}, "password": {password}})
	if err != nil {
		return nil, cli.Exit(cli.Unreachable, err)
	}
	if status != http.StatusSeeOther {
		return nil, cli.Exit(cli.Unreachable, errors.New(pos.Text{ZH: "账号或密码不对", EN: "no such account, or another password"}.In(cli.Language())))
	}
	var list console.BreaksAnswer
	if err := o.get(ctx, "/console/breaks", &list); err != nil {
		return nil, err
	}
	o.csrf = list.CSRF
	return o, nil
}

func (b *BreaksCmd) password(out *cli.Streams) (string, error) {
	const most = 1 << 10
	if b.PasswordFile != "" {
		f, err := os.Open(b.PasswordFile)
		if err != nil {
			return "", err
		}
		defer func() { _ = f.Close() }()
		text, err := io.ReadAll(io.LimitReader(f, most))
		return strings.TrimRight(string(text), "\r\n"), err
	}
	if f, ok := out.In.(*os.File); ok && term.IsTerminal(int(f.Fd())) {
		_, _ = fmt.Fprint(out.Err, "password 密码: ")
		text, err := term.ReadPassword(int(f.Fd()))
		_, _ = fmt.Fprintln(out.Err)
		return string(text), err
	}
	text, err := io.ReadAll(io.LimitReader(out.In, most))
	return strings.TrimRight(string(text), "\r\n"), err
}

func (o *office) send(ctx context.Context, method, path string, form url.Values) (int, []byte, error) {
	r, err := http.NewRequestWithContext(ctx, method, o.base+path, strings.NewReader(form.Encode()))
	if err != nil {
		return 0, nil, err
	}
	r.Header.Set("Accept", "application/json")
	r.Header.Set("Accept-Language", cli.Language())
	if form != nil {
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	res, err := o.http.Do(r)
	if err != nil {
		return 0, nil, err
	}
	b, err := io.ReadAll(io.LimitReader(res.Body, mostAnswer))
	return res.StatusCode, b, errors.Join(err, res.Body.Close())
}

// get reads an answer into v (nil: as it is).
func (o *office) get(ctx context.Context, path string, v any) error {
	return o.answered(v)(o.send(ctx, http.MethodGet, path, nil))
}

// post fills in a form.
func (o *office) post(ctx context.Context, path string, form url.Values, v any) error {
	form.Set("csrf", o.csrf)
	return o.answered(v)(o.send(ctx, http.MethodPost, path, form))
}

func (o *office) answered(v any) func(int, []byte, error) error {
	return func(status int, b []byte, err error) error {
		if err != nil {
			return cli.Exit(cli.Unreachable, err)
		}
		if status == http.StatusOK {
			return json.Unmarshal(b, v)
		}
		var said pos.Error
		if json.Unmarshal(b, &said) == nil && said.Code != "" {
			return cli.Exit(cli.Negative, &said)
		}
		return cli.Exit(cli.Unreachable, fmt.Errorf("the centre answered %d", status))
	}
}

type breaksListCmd struct {
	breakFilter
	JSON bool `name:"json" help:"Print JSON. 以 JSON 输出。"`
}

type breakFilter struct {
	Date  string `placeholder:"D" help:"Settlement date. 清算日。"`
	Bank  string `placeholder:"CODE" help:"Institution. 机构。"`
	State string `placeholder:"STATE" help:"open, assigned, explained, carried, resolved, adjusted or written_off. 状态。"`
	Txn   string `placeholder:"ID" help:"Transaction. 流水号。"`
	All   bool   `help:"Ended ones too. 含已结。"`
}

func (f breakFilter) query() string {
	q := url.Values{}
	for k, v := range map[string]string{"date": f.Date, "bank": f.Bank, "state": f.State, "txn": f.Txn} {
		if v != "" {
			q.Set(k, v)
		}
	}
	if f.All {
		q.Set("all", "1")
	}
	return q.Encode()
}

// Run prints the list.
func (l *breaksListCmd) Run(ctx context.Context, g *grammar, out *cli.Streams) error {
	o, err := g.Breaks.open(ctx, out)
	if err != nil {
		return err
	}
	var list console.BreaksAnswer
	if err := o.get(ctx, "/console/breaks?"+l.query(), &list); err != nil {
		return err
	}
	list.CSRF = ""
	if l.JSON {
		return json.NewEncoder(out.Out).Encode(list)
	}
	lang := cli.Language()
	for i := range list.Breaks {
		if err := printBreak(out.Out, &list.Breaks[i], lang); err != nil {
			return err
		}
	}
	for _, r := range list.Proposals {
		if _, err := fmt.Fprintf(out.Out, "%s  %s ¥%s %s: %s (%s)\n", r.ID, r.Kind.Text().In(lang), r.Amount, r.State.Text().In(lang), r.Reason, r.ProposedBy); err != nil {
			return err
		}
	}
	return nil
}

func printBreak(w io.Writer, c *pos.BreakCase, lang string) error {
	_, err := fmt.Fprintf(w, "%s  %s %-6s %s  %s  ¥%s  %s %s  %s\n", c.ID, c.Date, c.Bank, c.Kind.Text().In(lang), c.Txn, c.Outstanding(),
		c.State.Text().In(lang), c.Assignee, c.Rule)
	return err
}

type breaksShowCmd struct {
	ID string `arg:"" help:"The break. 差异编号。"`
}

// Run prints one break as JSON.
func (s *breaksShowCmd) Run(ctx context.Context, g *grammar, out *cli.Streams) error {
	o, err := g.Breaks.open(ctx, out)
	if err != nil {
		return err
	}
	var file console.BreakFile
	if err := o.get(ctx, "/console/breaks/"+url.PathEscape(s.ID), &file); err != nil {
		return err
	}
	e := json.NewEncoder(out.Out)
	e.SetIndent("", " ")
	return e.Encode(file)
}

// work fills in a form and prints the break as it stands then.
func (b *BreaksCmd) work(ctx context.Context, out *cli.Streams, path string, form url.Values) error {
	o, err := b.open(ctx, out)
	if err != nil {
		return err
	}
	var file console.BreakFile
	if err := o.post(ctx, path, form, &file); err != nil {
		return err
	}
	lang := cli.Language()
	if err := printBreak(out.Out, &file.Case, lang); err != nil {
		return err
	}
	for _, r := range file.Remedies {
		if _, err := fmt.Fprintf(out.Out, "%s  %s ¥%s %s %s\n", r.ID, r.Kind.Text().In(lang), r.Amount, r.State.Text().In(lang), r.Detail); err != nil {
			return err
		}
	}
	return nil
}

type breaksAssignCmd struct {
	ID string `arg:"" help:"The break. 差异编号。"`
	To string `arg:"" optional:"" help:"Account; oneself without it. 处理人。"`
}

// Run assigns.
func (a *breaksAssignCmd) Run(ctx context.Context, g *grammar, out *cli.Streams) error {
	return g.Breaks.work(ctx, out, "/console/breaks/"+url.PathEscape(a.ID)+"/assign", url.Values{"assignee": {a.To}})
}

type breaksExplainCmd struct {
	ID    string `arg:"" help:"The break. 差异编号。"`
	Cause string `required:"" help:"timing, institution, ours, lost_answer, double, fee_terms, fraud or other. 原因。"`
	Note  string `required:"" help:"What was found out. 说明。"`
}

// Run explains.
func (e *breaksExplainCmd) Run(ctx context.Context, g *grammar, out *cli.Streams) error {
	return g.Breaks.work(ctx, out, "/console/breaks/"+url.PathEscape(e.ID)+"/explain", url.Values{"cause": {e.Cause}, "note": {e.Note}})
}

type breaksCarryCmd struct {
	ID    string `arg:"" help:"The break. 差异编号。"`
	Until string `required:"" placeholder:"D" help:"Date, at most 31 days after the break's. 日期。"`
}

// Run carries over.
func (c *breaksCarryCmd) Run(ctx context.Context, g *grammar, out *cli.Streams) error {
	return g.Breaks.work(ctx, out, "/console/breaks/"+url.PathEscape(c.ID)+"/carry", url.Values{"until": {c.Until}})
}

type breaksRemedyCmd struct {
	ID     string `arg:"" help:"The break. 差异编号。"`
	Kind   string `arg:"" enum:"complete,refund,claim,adjust,write_off" help:"complete 补单, refund 退款, claim 追索, adjust 调账, write_off 核销."`
	Reason string `required:"" help:"Why. 理由。"`
}

// Run proposes a remedy, which below the limit is done at once.
func (r *breaksRemedyCmd) Run(ctx context.Context, g *grammar, out *cli.Streams) error {
	return g.Breaks.work(ctx, out, "/console/breaks/"+url.PathEscape(r.ID)+"/remedy", url.Values{"kind": {r.Kind}, "reason": {r.Reason}})
}

type breaksDecideCmd struct {
	Remedy string `arg:"" help:"The remedy. 处理编号。"`
	Reason string `required:"" help:"Why. 理由。"`
}

// Run approves.
func (d *breaksDecideCmd) Run(ctx context.Context, g *grammar, out *cli.Streams) error {
	return g.Breaks.work(ctx, out, "/console/remedies/"+url.PathEscape(d.Remedy), url.Values{"approve": {"true"}, "reason": {d.Reason}})
}

type breaksRejectCmd struct{ breaksDecideCmd }

// Run rejects.
func (d *breaksRejectCmd) Run(ctx context.Context, g *grammar, out *cli.Streams) error {
	return g.Breaks.work(ctx, out, "/console/remedies/"+url.PathEscape(d.Remedy), url.Values{"approve": {"false"}, "reason": {d.Reason}})
}

type breaksReconcileCmd struct {
	Date string `arg:"" help:"Settlement date, yyyy-mm-dd. 清算日。"`
	Wait bool   `help:"Until it has been tried, and print how it ended. 等待结果。"`
	JSON bool   `name:"json" help:"Print JSON. 以 JSON 输出。"`
}

// Help is the long help text.
func (*breaksReconcileCmd) Help() string {
	return `The serving centre fetches the statements, compares, and makes work of what it finds. To ask again is harmless: what is
under way goes on once, and inputs that have not changed cost nothing. While a statement or a credit is missing the centre tries
again every half hour for a day.

Exit codes of --wait: 0 no breaks, 1 breaks, or something is missing yet.`
}

// Run asks, and waits if that is wanted.
func (r *breaksReconcileCmd) Run(ctx context.Context, g *grammar, out *cli.Streams) error {
	o, err := g.Breaks.open(ctx, out)
	if err != nil {
		return err
	}
	var asked console.RunAnswer
	if err := o.post(ctx, "/console/reconcile", url.Values{"date": {r.Date}}, &asked); err != nil {
		return err
	}
	a, run := asked.Ask, console.Run{}
	if r.Wait {
		if a, run, err = o.tried(ctx, a); err != nil {
			return err
		}
	}
	if r.JSON {
		err = json.NewEncoder(out.Out).Encode(map[string]any{"ask": a, "run": run})
	} else {
		err = r.print(out.Out, a, run)
	}
	if err == nil && r.Wait && (run.Breaks > 0 || a.Lacks != (pos.Text{})) {
		return cli.Exit(cli.Negative, nil)
	}
	return err
}

func (r *breaksReconcileCmd) print(w io.Writer, a console.RunAsk, run console.Run) (err error) {
	if !r.Wait {
		_, err = fmt.Fprintf(w, "%s: asked 已受理 (%d)\n", a.Date, a.Number)
		return err
	}
	if run.ID != "" {
		_, err = fmt.Fprintf(w, "%s: matched 匹配 %d, breaks 差异 %d, proof 金额证明 %t; %s\n", run.Date, run.Matched, run.Breaks, run.Closes, run.Rules)
	}
	if lacks := a.Lacks.In(cli.Language()); lacks != "" && err == nil {
		_, err = fmt.Fprintf(w, "%s: %s\n", a.Date, lacks)
	}
	return err
}

// tried waits until the centre has made a try at what was asked for, and gives how it stands then. A
// centre that is away for a moment goes on with it when it is back.
func (o *office) tried(ctx context.Context, a console.RunAsk) (console.RunAsk, console.Run, error) {
	const between = time.Second
	tick := time.NewTicker(between)
	defer tick.Stop()
	for {
		var all console.RunsAnswer
		if err := o.get(ctx, "/console/reconcile", &all); err != nil && ctx.Err() != nil {
			return a, console.Run{}, err
		}
		i := slices.IndexFunc(all.Asks, func(x console.RunAsk) bool { return x.Date == a.Date })
		if i >= 0 && all.Asks[i].Number >= a.Number && (all.Asks[i].DueMS == 0 || all.Asks[i].Lacks != (pos.Text{})) {
			at := slices.IndexFunc(all.Runs, func(x console.Run) bool { return x.Date == a.Date })
			if at < 0 {
				return all.Asks[i], console.Run{}, nil
			}
			return all.Asks[i], all.Runs[at], nil
		}
		select {
		case <-ctx.Done():
			return a, console.Run{}, ctx.Err()
		case <-tick.C:
		}
	}
}

type breaksExportCmd struct {
	breakFilter
	File string `arg:"" help:"FILE.csv or FILE.xlsx. 文件。"`
}

// Run writes the file whole or not at all.
func (e *breaksExportCmd) Run(ctx context.Context, g *grammar, out *cli.Streams) error {
	ending := filepath.Ext(e.File)
	if ending != ".csv" && ending != ".xlsx" {
		return cli.Exit(cli.Usage, fmt.Errorf("%s: want a name that ends in .csv or .xlsx", e.File))
	}
	o, err := g.Breaks.open(ctx, out)
	if err != nil {
		return err
	}
	status, b, err := o.send(ctx, http.MethodGet, "/console/breaks/export"+ending+"?"+e.query(), nil)
	if err != nil || status != http.StatusOK {
		return cli.Exit(cli.Unreachable, errors.Join(err, fmt.Errorf("the centre answered %d", status)))
	}
	tmp := e.File + ".part"
	if err := os.WriteFile(tmp, b, 0o600); err != nil {
		return errors.Join(err, os.Remove(tmp))
	}
	return os.Rename(tmp, e.File)
}
