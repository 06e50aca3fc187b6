package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"slices"
	"strings"
	"time"

	"dcpos/central/campaign"
	"dcpos/central/campaign/draw"
	"dcpos/central/campaign/office"
	"dcpos/central/campaign/register"
	"dcpos/central/console"
	"dcpos/central/issuance"
	"dcpos/cmd/poscentral/envelopes"
	"dcpos/pos"
)

// campaignPages gives the console the rooms of campaigns and issuance.
type campaignPages struct {
	centre *centre
	office *office.Office
	desk   *issuance.Desk
}

var _ console.Campaigns = (*campaignPages)(nil)

// Campaigns implements console.Campaigns.
func (p *campaignPages) Campaigns(ctx context.Context) (list []console.CampaignLine, err error) {
	all, err := p.office.Campaigns(ctx)
	if err != nil {
		return nil, err
	}
	begun, err := p.desk.Issuances(ctx)
	if err != nil {
		return nil, err
	}
	for _, c := range all {
		l := p.line(c)
		if i := slices.IndexFunc(begun, func(is issuance.Issuance) bool { return is.Campaign == l.Name }); i >= 0 {
			l = issued(l, begun[i])
		}
		list = append(list, l)
	}
	return list, nil
}

func (p *campaignPages) line(c office.Campaign) console.CampaignLine {
	d, now := c.Definition, p.office.Now()
	state := c.State(now)
	return console.CampaignLine{
		Name: d.Name, Title: d.Title, City: d.City, State: string(state), StateText: state.Text(), RegisterMS: window(d.Register), SpendMS: window(d.Spend),
		Envelopes: d.Envelopes(), Budget: d.Budget, Version: c.Version, PublishedMS: c.PublishedMS, Hash: c.Hash, ClockMS: now.UnixMilli(),
	}
}

func window(w campaign.Window) [2]int64 { return [2]int64{w.From.UnixMilli(), w.Until.UnixMilli()} }

func issued(l console.CampaignLine, is issuance.Issuance) console.CampaignLine {
	l.Standing, l.StandingText = string(is.Standing), is.Standing.Text()
	l.ClaimUntilMS, l.GraceUntilMS, l.WinnersSeeded = is.ClaimUntilMS, is.UntilMS+is.GraceMS, is.Seeded
	return l
}

// Campaign implements console.Campaigns.
func (p *campaignPages) Campaign(ctx context.Context, name string) (f console.CampaignFile, err error) {
	c, err := p.office.Campaign(ctx, name)
	if err != nil {
		return f, err
	}
	f.CampaignLine, f.Steps, f.Facts = p.line(c), steps(c), facts(c.Definition)
	if f.Versions, err = p.versions(ctx, name); err != nil {
		return f, err
	}
	f.Changing = c.MayChange(p.office.Now())
	if f.Next, err = p.next(ctx, c); err != nil {
		return f, err
	}
	is, progress, err := p.desk.Progress(ctx, name)
	if pos.CodeOf(err) == pos.ErrNotFound {
		return f, nil // not begun
	}
	if err != nil {
		return f, err
	}
	f.CampaignLine, f.Progress = issued(f.CampaignLine, is), progressPage(is, progress)
	lates, open, err := p.waiting(ctx)
	f.Lates = slices.DeleteFunc(lates, func(l console.LateEnvelope) bool { return l.Campaign != name })
	f.Open = slices.DeleteFunc(open, func(o console.CampaignProposal) bool { return o.Campaign != name })
	return f, err
}

func (p *campaignPages) versions(ctx context.Context, name string) (all []console.CampaignVersion, err error) {
	list, atMS, err := p.centre.store.CampaignVersions(ctx, name)
	for i, v := range list {
		var text bytes.Buffer
		if err := json.Indent(&text, v.Text, "", "  "); err != nil {
			return nil, err
		}
		all = append(all, console.CampaignVersion{Version: v.Version, Hash: v.Hash, PublishedMS: atMS[i], Text: text.String()})
	}
	return all, err
}

// steps are what happened so far, and when the round comes.
func steps(c office.Campaign) (all []console.CampaignStep) {
	seen := func(at time.Time, zh, en, note string) {
		s := console.CampaignStep{Text: pos.Text{ZH: zh, EN: en}, Note: note}
		if !at.IsZero() {
			s.AtMS = at.UnixMilli()
		}
		all = append(all, s)
	}
	entries := ""
	if _, frozen := c.Log.List(); frozen {
		entries = fmt.Sprint(c.Entries())
	}
	for _, e := range append(slices.Clone(c.Former), c.Edition) {
		published := pos.Text{ZH: "公布", EN: "published"}
		if c.Version > 1 {
			published = pos.Text{ZH: fmt.Sprintf("公布第 %d 版", e.Version), EN: fmt.Sprintf("version %d published", e.Version)}
		}
		all = append(all, console.CampaignStep{Text: published, AtMS: e.PublishedMS})
		seen(c.Seen[int64(e.Version)], "规则已见证", "terms witnessed", "")
	}
	seen(c.ListSeen(), "名单已见证", "list witnessed", entries)
	all = append(all, console.CampaignStep{
		Text: pos.Text{ZH: "随机数轮次", EN: "the beacon's round"}, AtMS: c.RoundAt.UnixMilli(), Note: fmt.Sprintf("%d %.16s", c.Terms.Beacon.Round, c.Terms.Beacon.Chain),
	})
	seen(c.ResultSeen(), "结果已见证", "result witnessed", "")
	if n := int64(len(c.Log.Advances())); n > 0 {
		seen(c.Seen[int64(len(c.Log.Records))], "候补递补已见证", "moves of the waiting list witnessed", fmt.Sprint(n))
	}
	return all
}

func progressPage(is issuance.Issuance, p issuance.Progress) *console.CampaignProgress {
	out := &console.CampaignProgress{
		Offered: p.Offered, Claimed: p.Claimed, Activated: p.Activated, Spent: p.Spent, Left: p.Left, Recalled: p.Recalled, Failing: p.Failing,
		Differs: p.Differs, Refused: p.Refused, Held: p.Held, Behind: p.Behind, Example: p.Example,
	}
	for _, s := range issuance.States() {
		out.Envelopes += p.Counts[s]
		if p.Counts[s] > 0 {
			out.States = append(out.States, console.EnvelopeState{State: string(s), Text: s.Text(), Count: p.Counts[s], Faces: p.Faces[s]})
		}
	}
	for _, code := range is.Institutions {
		b := p.Banks[code]
		out.Banks = append(out.Banks, console.BankProgress{
			Institution: code, Envelopes: b.Envelopes, Waiting: b.Counts[issuance.Reserved], Offered: b.Offered, Claimed: b.Claimed,
			Pending: b.Counts[issuance.RecallPending], Back: b.Counts[issuance.Recalled], Activated: b.Activated, Spent: b.Spent, Left: b.Left,
			Recalled: b.Recalled, Failing: b.Failing, Differs: b.Differs, Example: b.Example, PerSecond: b.PerSecond,
		})
	}
	return out
}

// next is the version that waits for a second person; nil: none.
func (p *campaignPages) next(ctx context.Context, c office.Campaign) (*console.ProposedVersion, error) {
	all, err := p.office.Revisions(ctx)
	for _, r := range all {
		if d := r.Published.Definition; d.Name == c.Definition.Name {
			return &console.ProposedVersion{
				Number: r.Number, Version: r.Published.Version, Hash: r.Published.Hash, Reason: r.Reason, By: r.By, AtMS: r.AtMS,
				More: d.Budget - c.Definition.Budget, Changes: changes(c.Published, r.Published),
			}, nil
		}
	}
	return nil, err
}

func changes(from, to campaign.Published) (all []console.VersionChange) {
	for _, x := range campaign.Changes(from, to) {
		all = append(all, console.VersionChange{Field: x.Field, Text: x.Text, Old: x.Old, New: x.New})
	}
	return all
}

// Published implements console.Campaigns.
func (p *campaignPages) Published(ctx context.Context, name string) (d console.CampaignDraft, err error) {
	c, err := p.office.Campaign(ctx, name)
	if err != nil {
		return d, err
	}
	text, err := c.Definition.YAML()
	return console.CampaignDraft{Definition: string(text), Area: string(c.Area), Practice: c.Terms.Practice}, err
}

// ProposeVersion implements console.Campaigns.
func (p *campaignPages) ProposeVersion(ctx context.Context, d console.CampaignDraft, reason, by string) error {
	draft, err := p.draft(d, by)
	if err != nil {
		return err
	}
	return p.office.Propose(ctx, draft, reason)
}

// DecideVersion implements console.Campaigns.
func (p *campaignPages) DecideVersion(ctx context.Context, number int64, confirm bool, by string) error {
	return p.office.Decide(ctx, number, by, confirm)
}

// Waiting implements console.Campaigns.
func (p *campaignPages) Waiting(ctx context.Context) (lates []console.LateEnvelope, open []console.CampaignProposal, err error) {
	if lates, open, err = p.waiting(ctx); err != nil {
		return nil, nil, err
	}
	all, err := p.office.Revisions(ctx)
	for _, r := range all {
		open = append(open, console.CampaignProposal{
			Number: r.Number, What: "version", Campaign: r.Published.Definition.Name, Reason: r.Reason, By: r.By, AtMS: r.AtMS,
			Text: pos.Text{ZH: fmt.Sprintf("发布第 %d 版", r.Published.Version), EN: fmt.Sprintf("publish version %d", r.Published.Version)},
		})
	}
	return lates, open, err
}

// waiting is what issuance asks two people.
func (p *campaignPages) waiting(ctx context.Context) (lates []console.LateEnvelope, open []console.CampaignProposal, err error) {
	late, proposals, err := p.desk.Waiting(ctx)
	for _, l := range late {
		out := console.LateEnvelope{Payment: l.Payment.String(), Terminal: l.Terminal, Campaign: l.Campaign, AtMS: l.AtMS}
		for _, s := range l.Shares {
			out.Amount += s.Amount // bounded: a payment
		}
		lates = append(lates, out)
	}
	for _, x := range proposals {
		out := console.CampaignProposal{Number: x.Number, What: string(x.What), Text: x.What.Text(), Campaign: x.Campaign, Reason: x.Reason, By: x.By, AtMS: x.AtMS}
		if !x.Payment.IsZero() {
			out.Payment = x.Payment.String()
		}
		open = append(open, out)
	}
	return lates, open, err
}

// Plausibility implements console.Campaigns.
func (p *campaignPages) Plausibility(ctx context.Context, name string) (out console.Plausibility, err error) {
	c, err := p.office.Campaign(ctx, name)
	if err != nil {
		return out, err
	}
	groups, err := p.centre.store.Doubts(ctx, name)
	out = console.Plausibility{CampaignLine: p.line(c), Scores: []console.ScoreCount{{}, {From: 1, To: 29}, {From: 30, To: 59}, {From: 60, To: 100}}}
	for _, d := range register.AllDoubts() {
		out.Reasons = append(out.Reasons, console.DoubtCount{Doubt: string(d), Text: d.Text(), Points: d.Weight()})
	}
	for _, g := range groups {
		for i := range out.Scores {
			if s := &out.Scores[i]; s.From <= g.Score && g.Score <= s.To {
				s.Count, s.Confirmed = s.Count+g.Count, s.Confirmed+g.Confirmed
			}
		}
		for i := range out.Reasons {
			if r := &out.Reasons[i]; slices.Contains(strings.Fields(g.Doubts), r.Doubt) {
				r.Count, r.Confirmed = r.Count+g.Count, r.Confirmed+g.Confirmed
			}
		}
	}
	return out, err
}

// Drafts implements console.Campaigns.
func (p *campaignPages) Drafts() []string { return campaign.ShippedNames() }

// Draft implements console.Campaigns.
func (p *campaignPages) Draft(name string) (d console.CampaignDraft, err error) {
	text, err := campaign.ShippedText(name)
	return console.CampaignDraft{Definition: string(text)}, err
}

func (p *campaignPages) draft(d console.CampaignDraft, by string) (out office.Draft, err error) {
	if out.Definition, err = campaign.Parse([]byte(d.Definition)); err != nil {
		return out, err
	}
	out.Area, out.Chain, out.DrawAt, out.By = []byte(d.Area), draw.Quicknet, d.DrawAt, by
	if d.Practice {
		out.Chain = draw.PracticeChain
	}
	if fence := out.Definition.Fence; d.Area == "" && fence != "" {
		if out.Area, err = campaign.ShippedArea(fence); errors.Is(err, fs.ErrNotExist) {
			err = pos.FieldError(pos.ErrConfig, "fence", fmt.Errorf("%s does not ship: give its GeoJSON", fence))
		}
	}
	return out, err
}

// Check implements console.Campaigns.
func (p *campaignPages) Check(ctx context.Context, d console.CampaignDraft) (c console.CheckedDraft, err error) {
	draft, err := p.draft(d, "")
	if err != nil {
		return c, err
	}
	now, published, terms, err := p.office.CheckRevision(ctx, draft)
	if pos.CodeOf(err) == pos.ErrNotFound { // a new campaign
		published, terms, err = p.office.Check(ctx, draft)
	}
	if err != nil {
		return c, err
	}
	if published.Version > 1 {
		c.Version, c.More, c.Changes = published.Version, draft.Definition.Budget-now.Definition.Budget, changes(now.Published, published)
	}
	at, err := draw.TimeOf(terms.Beacon.Chain, terms.Beacon.Round)
	def := draft.Definition
	return console.CheckedDraft{
		Version: c.Version, More: c.More, Changes: c.Changes,
		Name: def.Name, Title: def.Title, Envelopes: def.Envelopes(), Total: def.Total(), Round: terms.Beacon.Round, RoundMS: at.UnixMilli(),
		Hash: published.Hash, Facts: facts(def),
	}, err
}

// Publish implements console.Campaigns.
func (p *campaignPages) Publish(ctx context.Context, d console.CampaignDraft, by string) error {
	draft, err := p.draft(d, by)
	if err == nil {
		_, err = p.office.Publish(ctx, draft)
	}
	return err
}

// Offer implements console.Campaigns.
func (p *campaignPages) Offer(ctx context.Context, name string, t console.OfferTerms, by string) error {
	return envelopes.Begin(ctx, p.office, p.desk, name, envelopes.Terms{ClaimUntil: t.ClaimUntil, Grace: t.Grace}, by)
}

// Suspend implements console.Campaigns.
func (p *campaignPages) Suspend(ctx context.Context, name, by string) error {
	return p.desk.Suspend(ctx, name, by)
}

// Resume implements console.Campaigns.
func (p *campaignPages) Resume(ctx context.Context, name, by string) error {
	return p.desk.Resume(ctx, name, by)
}

// Pace implements console.Campaigns.
func (p *campaignPages) Pace(ctx context.Context, bank string, perSecond int, by string) error {
	return p.desk.Pace(ctx, bank, perSecond, by)
}

// Propose implements console.Campaigns.
func (p *campaignPages) Propose(ctx context.Context, what, name, payment, reason, by string) (err error) {
	var id pos.PaymentID
	switch action := issuance.Action(what); action {
	case issuance.Cancel:
	case issuance.Honour, issuance.Refuse:
		if id, err = pos.ParsePaymentID(payment); err != nil {
			return pos.FieldError(pos.ErrBadRequest, "payment", err)
		}
	default:
		return pos.FieldError(pos.ErrBadRequest, "what", fmt.Errorf("%.20q: want cancel, honour or refuse", what))
	}
	return p.desk.Propose(ctx, issuance.Action(what), name, id, by, reason)
}

// Decide implements console.Campaigns.
func (p *campaignPages) Decide(ctx context.Context, number int64, confirm bool, by string) error {
	return p.desk.Decide(ctx, number, by, confirm)
}

// Statement implements console.Campaigns.
func (p *campaignPages) Statement(ctx context.Context, name string) (out console.CampaignStatement, err error) {
	c, err := p.office.Campaign(ctx, name)
	if err != nil {
		return out, err
	}
	s, err := envelopes.Statement(ctx, p.office, p.desk, p.centre.store, name)
	if err != nil {
		return out, err
	}
	out.CampaignLine = p.line(c)
	for _, f := range s.Figures() {
		out.Figures = append(out.Figures, console.StatementFigure{Name: f.Name, Text: f.Text, Value: f.String()})
	}
	for _, g := range s.Groups {
		group := console.StatementGroup{Key: g.Key, Title: g.Title}
		for _, r := range g.Rows {
			group.Rows = append(group.Rows, console.StatementRow{
				Name: r.Name, Label: g.Label(r.Name), Payments: r.Payments, Price: r.Price, Envelope: r.Envelope, Own: r.Own(), Returned: r.Returned, Basket: r.Basket(),
				Multiplier: r.Multiplier(),
			})
		}
		out.Groups = append(out.Groups, group)
	}
	return out, nil
}

// Export implements console.Campaigns.
func (p *campaignPages) Export(ctx context.Context, w io.Writer, name, format, lang string) error {
	s, err := envelopes.Statement(ctx, p.office, p.desk, p.centre.store, name)
	if err != nil {
		return err
	}
	return s.Export(w, format, lang)
}

// facts are a definition as people read it.
func facts(d campaign.Definition) (all []console.CampaignFact) {
	add := func(zh, en string, value pos.Text) {
		if strings.TrimSpace(value.ZH) != "" {
			all = append(all, console.CampaignFact{Text: pos.Text{ZH: zh, EN: en}, Value: value})
		}
	}
	span := func(w campaign.Window) pos.Text { return same(shanghai(w.From) + " – " + shanghai(w.Until)) }
	presence := d.Presence.Text()
	add("报名", "registration", span(d.Register))
	add("使用", "spending", span(d.Spend))
	add("到场要求", "presence", pos.Text{ZH: presence.ZH + " " + d.Fence, EN: presence.EN + " " + d.Fence})
	for _, t := range d.Tiers {
		add("红包", "envelopes", tierText(t))
	}
	for _, s := range d.Strata {
		who := s.Who.Text()
		add("名额", "quota", pos.Text{ZH: fmt.Sprintf("%s: %d (%s)", s.Name, s.Count, who.ZH), EN: fmt.Sprintf("%s: %d (%s)", s.Name, s.Count, who.EN)})
	}
	if d.Waiting > 0 {
		add("候补", "waiting list", same(fmt.Sprint(d.Waiting)))
	}
	add("渠道", "channels", joined(d.Scope.Channels, campaign.Channel.Text))
	add("商户", "merchants", joined(d.Scope.Merchants, named))
	add("门店", "stores", joined(d.Scope.Stores, named))
	add("品类", "categories", joined(d.Scope.Categories, named))
	add("机构", "institutions", joined(d.Institutions, func(i campaign.Institution) pos.Text {
		if i.Quota > 0 {
			return same(fmt.Sprintf("%s (%d)", i.Code, i.Quota))
		}
		return same(i.Code)
	}))
	add("证件", "documents", joined(d.Registration.Documents, campaign.Document.Text))
	add("预算 / 资金方", "budget / paid by", same("¥"+d.Budget.String()+" / "+d.Funding))
	add("来源", "sources", joined(d.Sources, same))
	add("说明", "note", same(d.Note))
	return all
}

// same is a text that is the same in both languages.
func same(s string) pos.Text { return pos.Text{ZH: s, EN: s} }

// named is a name of a list, in which "*" stands for all.
func named(s string) pos.Text {
	if s == "*" {
		return pos.Text{ZH: "全部", EN: "all"}
	}
	return same(s)
}

func shanghai(t time.Time) string { return t.In(pos.Shanghai()).Format("2006-01-02 15:04:05.999") }

func tierText(t campaign.Tier) pos.Text {
	if t.Coupon != nil {
		return pos.Text{
			ZH: fmt.Sprintf("%d × 满 ¥%s 减 ¥%s", t.Count, t.Coupon.Threshold, t.Coupon.Off), EN: fmt.Sprintf("%d × ¥%s off ¥%s", t.Count, t.Coupon.Off, t.Coupon.Threshold),
		}
	}
	return same(fmt.Sprintf("%d × ¥%s", t.Count, t.Face))
}

// mostListed bounds the names of a list on a page.
const mostListed = 30

// joined is a list in both languages.
func joined[T any](list []T, text func(T) pos.Text) pos.Text {
	var zh, en []string
	for _, x := range list[:min(len(list), mostListed)] {
		t := text(x)
		zh, en = append(zh, t.ZH), append(en, t.EN)
	}
	all := pos.Text{ZH: strings.Join(zh, "、"), EN: strings.Join(en, ", ")}
	if more := len(list) - mostListed; more > 0 {
		all.ZH, all.EN = fmt.Sprintf("%s 等 %d 项", all.ZH, len(list)), fmt.Sprintf("%s and %d more", all.EN, more)
	}
	return all
}
