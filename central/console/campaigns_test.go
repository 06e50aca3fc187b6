package console_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"

	"dcpos/central/console"
	"dcpos/pos"
)

// fair is one campaign whose envelopes are given out, and what was done to it.
type fair struct {
	done []string
	line console.CampaignLine
	by   string // who has proposed to cancel it
	next bool   // the next version waits
}

func (f *fair) changes() []console.VersionChange {
	return []console.VersionChange{{Field: "tiers[0].count", Text: pos.Text{ZH: "红包档位", EN: "tiers of envelopes"}, Old: "10", New: "5"}}
}

func newFair() *fair {
	return &fair{by: "operator", line: console.CampaignLine{
		Name: "wfj", Title: pos.Text{ZH: "王府井", EN: "Wangfujing"}, City: pos.Text{ZH: "北京", EN: "Beijing"}, State: "drawn",
		StateText: pos.Text{ZH: "已抽签", EN: "drawn"}, Standing: "issuing", StandingText: pos.Text{ZH: "发放中", EN: "being given out"},
		RegisterMS: [2]int64{1612627200000, 1612800000000}, SpendMS: [2]int64{1612962000000, 1613577600000}, Envelopes: 10, Budget: 2000_00,
	}}
}

func (f *fair) did(format string, args ...any) error {
	f.done = append(f.done, fmt.Sprintf(format, args...))
	return nil
}

func (f *fair) find(name string) error {
	if name != "wfj" {
		return pos.FieldError(pos.ErrNotFound, "campaign", errors.New("no such"))
	}
	return nil
}

func (f *fair) Campaigns(context.Context) ([]console.CampaignLine, error) {
	return []console.CampaignLine{f.line}, nil
}

func (f *fair) Campaign(_ context.Context, name string) (console.CampaignFile, error) {
	lates, open, _ := f.Waiting(context.Background())
	c := console.CampaignFile{
		CampaignLine: f.line, Lates: lates, Open: open,
		Steps:    []console.CampaignStep{{Text: pos.Text{ZH: "公布", EN: "published"}, AtMS: 1612600000000}},
		Facts:    []console.CampaignFact{{Text: pos.Text{ZH: "红包", EN: "envelopes"}, Value: pos.Text{ZH: "10 × ¥200.00", EN: "10 × ¥200.00"}}},
		Versions: []console.CampaignVersion{{Version: 1, Hash: "abcd", Text: "{\"<b>\": 1}"}},
		Changing: f.line.State == "published",
	}
	if f.next {
		c.Next = &console.ProposedVersion{Number: 9, Version: 2, Reason: "<half>", By: f.by, More: -1000_00, Changes: f.changes()}
	}
	if f.line.Standing != "" {
		c.Progress = &console.CampaignProgress{
			Envelopes: 10, Offered: 8, Claimed: 5, Activated: 1000_00, Spent: 300_00, Left: 700_00, Failing: 2, Example: "order: failed busy",
			States: []console.EnvelopeState{{State: "offered", Text: pos.Text{ZH: "待领取", EN: "to be claimed"}, Count: 3, Faces: 600_00}},
			Banks:  []console.BankProgress{{Institution: "ICBC", Envelopes: 10, Waiting: 2, Offered: 8, Claimed: 5, PerSecond: 500}},
		}
	}
	return c, f.find(name)
}

func (f *fair) Waiting(context.Context) ([]console.LateEnvelope, []console.CampaignProposal, error) {
	return []console.LateEnvelope{{Payment: "p-late", Terminal: "S1-001", Campaign: "wfj", Amount: 10_00}},
		[]console.CampaignProposal{{Number: 7, What: "cancel", Text: pos.Text{ZH: "取消发放", EN: "cancel"}, Campaign: "wfj", Reason: "<fraud>", By: f.by}}, nil
}

func (f *fair) Drafts() []string { return []string{"suzhou", "wfj"} }

func (f *fair) Draft(name string) (console.CampaignDraft, error) {
	return console.CampaignDraft{Definition: "name: " + name}, f.find(name)
}

func (f *fair) Check(_ context.Context, d console.CampaignDraft) (console.CheckedDraft, error) {
	if strings.Contains(d.Definition, "face_fen: 0") {
		return console.CheckedDraft{}, pos.FieldError(pos.ErrConfig, "tiers[0].face_fen", errors.New("0: want more than nothing"))
	}
	if strings.Contains(d.Definition, "next") {
		return console.CheckedDraft{Name: "wfj", Version: 2, More: 500_00, Changes: f.changes()}, nil
	}
	return console.CheckedDraft{Name: "wfj", Envelopes: 10, Total: 2000_00, Round: 99, Hash: "abcd"}, nil
}

func (f *fair) Publish(_ context.Context, d console.CampaignDraft, by string) error {
	return f.did("publish %s practice=%v by %s", d.Definition, d.Practice, by)
}

func (f *fair) Published(_ context.Context, name string) (console.CampaignDraft, error) {
	return console.CampaignDraft{Definition: "name: " + name + " # published"}, f.find(name)
}

func (f *fair) ProposeVersion(_ context.Context, d console.CampaignDraft, reason, by string) error {
	return f.did("propose version %s because %s by %s", d.Definition, reason, by)
}

func (f *fair) DecideVersion(_ context.Context, number int64, confirm bool, by string) error {
	return f.did("decide version %d %v by %s", number, confirm, by)
}

func (f *fair) Offer(_ context.Context, name string, t console.OfferTerms, by string) error {
	return errors.Join(f.find(name), f.did("offer %s until %s grace %s by %s", name, t.ClaimUntil.In(pos.Shanghai()).Format("01-02 15:04"), t.Grace, by))
}

func (f *fair) Suspend(_ context.Context, name, by string) error {
	return f.did("suspend %s by %s", name, by)
}

func (f *fair) Resume(_ context.Context, name, by string) error {
	return f.did("resume %s by %s", name, by)
}

func (f *fair) Pace(_ context.Context, bank string, n int, by string) error {
	return f.did("pace %s %d by %s", bank, n, by)
}

func (f *fair) Propose(_ context.Context, what, name, payment, reason, by string) error {
	return f.did("propose %s %s%s because %s by %s", what, name, payment, reason, by)
}

func (f *fair) Decide(_ context.Context, number int64, confirm bool, by string) error {
	return f.did("decide %d %v by %s", number, confirm, by)
}

func (f *fair) Plausibility(_ context.Context, name string) (console.Plausibility, error) {
	return console.Plausibility{
		CampaignLine: f.line, Scores: []console.ScoreCount{{Count: 7, Confirmed: 5}, {From: 30, To: 59, Count: 2}},
		Reasons: []console.DoubtCount{{Doubt: "mock_location", Text: pos.Text{ZH: "位置来自模拟定位", EN: "from a mock provider"}, Points: 40, Count: 2}},
	}, f.find(name)
}

func (f *fair) Statement(_ context.Context, name string) (console.CampaignStatement, error) {
	g := console.StatementGroup{Key: "district", Title: pos.Text{ZH: "按区域", EN: "by district"}}
	for i := range 600 {
		g.Rows = append(g.Rows, console.StatementRow{Name: fmt.Sprint(i), Label: pos.Text{ZH: fmt.Sprintf("district-%03d", i), EN: fmt.Sprintf("district-%03d", i)}, Payments: 1, Price: 200_00, Envelope: 50_00, Own: 150_00})
	}
	return console.CampaignStatement{
		CampaignLine: f.line, Figures: []console.StatementFigure{{Name: "spent_fen", Text: pos.Text{ZH: "红包净支出", EN: "net payout"}, Value: "¥300.00"}},
		Groups: []console.StatementGroup{g},
	}, f.find(name)
}

func (f *fair) Export(_ context.Context, w io.Writer, name, format, lang string) error {
	if err := f.find(name); err != nil {
		return err
	}
	_, err := io.WriteString(w, name+format+lang)
	return err
}

func TestCampaignPagesInBothLanguages(t *testing.T) {
	f := newFair()
	b := newDesk(t, func(c *console.Config) { c.Campaigns = f }).sign("approver")
	for path, wants := range map[string][2][]string{
		"/console/campaigns":                  {{"红包活动", "王府井", "发放中", "等待双人裁定", "迟到支付"}, {"Wangfujing", "being given out", "Two people decide"}},
		"/console/campaigns/wfj":              {{"已通知 / 红包", "各机构进度与速度", "ICBC", "失败重试", "待第二人裁定", "暂停发放", "&lt;fraud&gt;", "已公布的版本"}, {"By institution", "order: failed busy", "Confirm", "to be claimed"}},
		"/console/campaigns/wfj/plausibility": {{"报名可信度", "不影响能否报名", "30–59", "位置来自模拟定位"}, {"Plausibility", "never a verdict", "from a mock provider", "40"}},
		"/console/campaigns/wfj/statement":    {{"结算表", "红包净支出", "按区域", "district-000", "Excel", "100"}, {"net payout", "by district", "The rest is in the files"}},
		"/console/draft?from=wfj":             {{"活动草案", "name: wfj", "发布后不可更改", "演练信标"}, {"Draft a campaign", "Publish for good"}},
	} {
		for i, lang := range []string{"zh", "en"} {
			w := b.do(http.MethodGet, path, nil, "Accept-Language", lang)
			if w.Code != http.StatusOK {
				t.Errorf("%s: %d %s", path, w.Code, w.Body)
			}
			for _, want := range wants[i] {
				if !strings.Contains(w.Body.String(), want) {
					t.Errorf("%s in %s lacks %q", path, lang, want)
				}
			}
			if strings.Contains(w.Body.String(), "<fraud>") {
				t.Errorf("%s: a person's words are taken for markup", path)
			}
		}
	}
	page := b.get("/console/campaigns/wfj/statement").Body.String()
	if !strings.Contains(page, `width="250" height="14"`) || !strings.Contains(page, `x="250" width="750"`) || strings.Contains(page, "district-500") {
		t.Error("the chart is not to scale, or has too many rows")
	}
	f.line.Standing = ""
	if page := b.get("/console/campaigns/wfj").Body.String(); !strings.Contains(page, "grace_hours") {
		t.Error("a drawn campaign cannot be begun")
	}
	if w := b.get("/console/campaigns/nope"); w.Code != http.StatusNotFound {
		t.Errorf("unknown: %d", w.Code)
	}
	w := b.do(http.MethodGet, "/console/campaigns/wfj", nil, "Accept", "application/json")
	if !strings.Contains(w.Body.String(), `"state":"drawn"`) || strings.Contains(w.Body.String(), "Versions") {
		t.Errorf("JSON: %s", w.Body)
	}
}

func TestTheNextVersionOfACampaign(t *testing.T) {
	f := newFair()
	f.line.State, f.line.Standing = "published", ""
	d := newDesk(t, func(c *console.Config) { c.Campaigns = f })
	b := d.sign("approver")
	sees := func(path string, form url.Values, wants ...[2]string) {
		t.Helper()
		for i, lang := range []string{"zh", "en"} {
			method := http.MethodGet
			if form != nil {
				method = http.MethodPost
				form.Set("csrf", b.token())
			}
			page := b.do(method, path, form, "Accept-Language", lang).Body.String()
			for _, want := range wants {
				if !strings.Contains(page, want[i]) {
					t.Errorf("%s in %s lacks %q", path, lang, want[i])
				}
			}
		}
	}
	sees("/console/campaigns/wfj", nil, [2]string{"提议新版本", "Propose a next version"}, [2]string{"draft?revise=wfj", "draft?revise=wfj"})
	sees("/console/draft?revise=wfj", nil, [2]string{"name: wfj # published", "name: wfj # published"})
	sees("/console/draft", url.Values{"definition": {"next"}, "do": {"check"}}, [2]string{"与现行版本的差异", "What differs from the version in force"},
		[2]string{"预算增加", "more of the budget"}, [2]string{"红包档位", "tiers of envelopes"}, [2]string{`value="propose"`, `value="propose"`})
	f.next = true
	sees("/console/campaigns/wfj", nil, [2]string{"新版本待第二人确认", "waits for a second person"}, [2]string{"预算减少", "less of the budget"},
		[2]string{"tiers[0].count", "&lt;half&gt;"}, [2]string{"确认并发布", "Confirm and publish"})
	f.by = "approver"
	if page := b.get("/console/campaigns/wfj").Body.String(); strings.Contains(page, "确认并发布") {
		t.Error("who proposed it is offered to confirm it")
	}
	if w := b.get("/console/draft?revise=nope"); w.Code != http.StatusNotFound {
		t.Errorf("unknown: %d", w.Code)
	}
}

func TestACampaignIsMovedByThoseWhoMay(t *testing.T) {
	f := newFair()
	d := newDesk(t, func(c *console.Config) { c.Campaigns = f })
	post := func(who, path string, form url.Values) int {
		t.Helper()
		b := d.sign(who)
		form.Set("csrf", b.token())
		return b.do(http.MethodPost, path, form).Code
	}
	at := "/console/campaigns/wfj/"
	for _, c := range []struct {
		who, path string
		form      url.Values
		want      int
		done      string
	}{
		{"operator", at + "offer", url.Values{"grace_hours": {"96"}}, http.StatusForbidden, ""},
		{"approver", at + "offer", url.Values{"grace_hours": {"96"}, "claim_until": {"2021-02-12T18:00"}}, http.StatusSeeOther, "offer wfj until 02-12 18:00 grace 96h0m0s by approver"},
		{"approver", at + "offer", url.Values{"grace_hours": {"-1"}}, http.StatusBadRequest, ""},
		{"approver", at + "offer", url.Values{"grace_hours": {"1"}, "claim_until": {"soon"}}, http.StatusBadRequest, ""},
		{"viewer", at + "suspend", url.Values{}, http.StatusForbidden, ""},
		{"operator", at + "suspend", url.Values{}, http.StatusSeeOther, "suspend wfj by operator"},
		{"operator", at + "resume", url.Values{}, http.StatusForbidden, ""},
		{"approver", at + "resume", url.Values{}, http.StatusSeeOther, "resume wfj by approver"},
		{"operator", at + "pace", url.Values{"institution": {"ICBC"}, "per_second": {" 50 "}}, http.StatusSeeOther, "pace ICBC 50 by operator"},
		{"operator", at + "pace", url.Values{"institution": {"ICBC"}, "per_second": {"fast"}}, http.StatusBadRequest, ""},
		{"operator", at + "propose", url.Values{"what": {"cancel"}, "reason": {"r"}}, http.StatusSeeOther, "propose cancel wfj because r by operator"},
		{"operator", at + "decide", url.Values{"number": {"7"}, "answer": {"confirm"}}, http.StatusForbidden, ""},
		{"approver", at + "decide", url.Values{"number": {"7"}, "answer": {"confirm"}}, http.StatusSeeOther, "decide 7 true by approver"},
		{"approver", at + "decide", url.Values{"number": {"7"}, "answer": {"reject"}}, http.StatusSeeOther, "decide 7 false by approver"},
		{"approver", at + "decide", url.Values{"number": {"7"}, "answer": {"perhaps"}}, http.StatusBadRequest, ""},
		{"approver", at + "decide", url.Values{"number": {"seven"}, "answer": {"confirm"}}, http.StatusBadRequest, ""},
		{"operator", at + "version", url.Values{"number": {"9"}, "answer": {"confirm"}}, http.StatusForbidden, ""},
		{"approver", at + "version", url.Values{"number": {"9"}, "answer": {"confirm"}}, http.StatusSeeOther, "decide version 9 true by approver"},
		{"approver", at + "version", url.Values{"number": {"9"}, "answer": {"reject"}}, http.StatusSeeOther, "decide version 9 false by approver"},
		{"approver", at + "version", url.Values{"number": {"9"}}, http.StatusBadRequest, ""},
		{"viewer", "/console/draft", url.Values{"definition": {"next"}, "do": {"propose"}, "reason": {"r"}}, http.StatusForbidden, ""},
		{"operator", "/console/draft", url.Values{"definition": {"next"}, "do": {"propose"}, "reason": {"r"}}, http.StatusSeeOther, "propose version next because r by operator"},
		{"viewer", "/console/draft", url.Values{"definition": {"x"}}, http.StatusForbidden, ""},
		{"operator", "/console/draft", url.Values{"definition": {"x"}, "do": {"check"}}, http.StatusOK, ""},
		{"operator", "/console/draft", url.Values{"definition": {"x"}, "do": {"publish"}}, http.StatusForbidden, ""},
		{"approver", "/console/draft", url.Values{"definition": {"face_fen: 0"}, "do": {"publish"}}, http.StatusBadRequest, ""},
		{"approver", "/console/draft", url.Values{"definition": {"x"}, "do": {"publish"}, "draw_at": {"never"}}, http.StatusBadRequest, ""},
		{"approver", "/console/draft", url.Values{"definition": {"x"}, "do": {"publish"}, "practice": {"1"}}, http.StatusSeeOther, "publish x practice=true by approver"},
	} {
		f.done = nil
		if got := post(c.who, c.path, c.form); got != c.want {
			t.Errorf("%s %s %v: %d, want %d", c.who, c.path, c.form, got, c.want)
		}
		if done := strings.Join(f.done, "; "); done != c.done {
			t.Errorf("%s %s: did %q, want %q", c.who, c.path, done, c.done)
		}
	}
	f.done = nil
	b := d.sign("approver")
	for _, path := range []string{at + "offer", at + "decide", "/console/draft"} {
		if w := b.do(http.MethodPost, path, url.Values{"csrf": {"forged"}, "do": {"publish"}}); w.Code != http.StatusForbidden || len(f.done) > 0 {
			t.Errorf("without a token %s: %d %v", path, w.Code, f.done)
		}
	}
	page := b.do(http.MethodPost, "/console/draft", url.Values{"csrf": {b.token()}, "definition": {"face_fen: 0"}}).Body.String()
	for _, want := range []string{"tiers[0].face_fen", "want more than nothing", "face_fen: 0</textarea>"} {
		if !strings.Contains(page, want) {
			t.Errorf("a refused draft lacks %q", want)
		}
	}
	f.by = "approver"
	if page := b.get(at[:len(at)-1]).Body.String(); strings.Contains(page, `value="confirm"`) {
		t.Error("who proposed it is offered to confirm it")
	}
}

func TestAStatementIsExportedAndNoted(t *testing.T) {
	f := newFair()
	d := newDesk(t, func(c *console.Config) { c.Campaigns = f })
	b := d.sign("viewer")
	for format, kind := range map[string]string{"csv": "text/csv", "xlsx": "spreadsheetml", "pdf": "application/pdf", "json": "application/json"} {
		w := b.do(http.MethodGet, "/console/campaigns/wfj/statement/statement."+format, nil, "Accept-Language", "zh")
		if w.Code != http.StatusOK || w.Body.String() != "wfj"+format+"zh" || !strings.Contains(w.Header().Get("Content-Type"), kind) ||
			w.Header().Get("Content-Disposition") != `attachment; filename="wfj.zh.`+format+`"` {
			t.Errorf("%s: %d %v", format, w.Code, w.Header())
		}
	}
	for _, path := range []string{"wfj/statement/statement.exe", "wfj/statement/other.pdf", "nope/statement/statement.pdf", "nope/statement"} {
		if w := b.get("/console/campaigns/" + path); w.Code != http.StatusNotFound {
			t.Errorf("%s: %d", path, w.Code)
		}
	}
	if !slices.Contains(d.trail(), "viewer statement_exported") {
		t.Error("the export is not in the trail")
	}
	none := newDesk(t, nil).sign("viewer")
	if w := none.get("/console/campaigns"); w.Code != http.StatusNotFound {
		t.Errorf("a centre without campaigns: %d", w.Code)
	}
}
