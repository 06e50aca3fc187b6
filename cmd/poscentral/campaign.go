package main

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"text/tabwriter"
	"time"

	"dcpos/central/campaign"
	"dcpos/central/campaign/draw"
	"dcpos/central/campaign/office"
	"dcpos/central/campaign/outside"
	"dcpos/central/campaign/portal"
	"dcpos/central/campaign/register"
	"dcpos/central/ledger"
	"dcpos/internal/cli"
	"dcpos/internal/labclock"
	"dcpos/internal/secret"
	"dcpos/pos"
)

// campaignSettings are the keys of campaigns.
type campaignSettings struct {
	Listen         string   `yaml:"listen"`
	AddressFile    string   `yaml:"address_file"`
	TLSCert        string   `yaml:"tls_cert"`
	TLSKey         string   `yaml:"tls_key"`
	Folder         string   `yaml:"folder"`
	Publisher      string   `yaml:"publisher"`
	Witness        string   `yaml:"witness"`
	WitnessURL     string   `yaml:"witness_url"`
	SMS            string   `yaml:"sms"`
	SMSToken       string   `yaml:"sms_token"`
	Authority      string   `yaml:"authority"`
	AuthorityToken string   `yaml:"authority_token"`
	Proxies        []string `yaml:"proxies"`
	PerSource      int      `yaml:"per_source"`
	LookUps        int      `yaml:"look_ups"`
	Clock          string   `yaml:"clock"`
}

func (s campaignSettings) check(env pos.Environment) error {
	switch {
	case (s.TLSCert == "") != (s.TLSKey == ""):
		return errors.New("campaign: tls_cert and tls_key belong together")
	case (s.Witness == "") != (s.WitnessURL == ""):
		return errors.New("campaign: witness and witness_url belong together")
	case s.Listen != "" && (s.Witness == "" || s.SMS == ""):
		return errors.New("campaign: listen needs witness, witness_url and sms")
	case s.Clock != "" && env != pos.Lab:
		return errors.New("campaign.clock: only in the lab")
	case strings.HasPrefix(s.SMS, "file:") && env != pos.Lab:
		return errors.New("campaign.sms: messages go into a file only in the lab")
	case s.PerSource < 0 || s.LookUps < 0:
		return errors.New("campaign: per_source and look_ups: want 0 or more")
	}
	_, err := s.proxies()
	return err
}

func (s campaignSettings) proxies() (all []netip.Prefix, err error) {
	for _, text := range s.Proxies {
		p, err := netip.ParsePrefix(text)
		if err != nil {
			return nil, fmt.Errorf("campaign.proxies: %q: want a network such as 10.0.0.0/8", text)
		}
		all = append(all, p)
	}
	return all, nil
}

// noSMS stands where no operator is configured: publishing and drawing need none.
type noSMS struct{}

// Send implements register.SMS.
func (noSMS) Send(context.Context, string, pos.Text) error {
	return pos.FieldError(pos.ErrConfig, "campaign.sms", errors.New("is not configured"))
}

func (s campaignSettings) sms() (register.SMS, error) {
	if s.SMS == "" {
		return noSMS{}, nil
	}
	if path, ok := strings.CutPrefix(s.SMS, "file:"); ok {
		return &outside.File{Path: path}, nil
	}
	return outside.NewWebhook(s.SMS, s.SMSToken)
}

// office opens the campaigns' room, with its keys.
func (c *centre) office() (*office.Office, error) {
	s := c.settings.Campaign
	desk := register.Config{Store: c.store.Registrations(), PerSource: s.PerSource, Now: time.Now}
	if s.Clock != "" {
		clock, err := labclock.Open(s.Clock)
		if err != nil {
			return nil, cli.Exit(cli.Usage, err)
		}
		desk.Now = clock.Now
	}
	var err error
	if desk.SMS, err = s.sms(); err != nil {
		return nil, cli.Exit(cli.Usage, fmt.Errorf("campaign.sms: %w", err))
	}
	if s.Authority != "" {
		w, err := outside.NewWebhook(s.Authority, s.AuthorityToken)
		if err != nil {
			return nil, cli.Exit(cli.Usage, fmt.Errorf("campaign.authority: %w", err))
		}
		desk.Authority = outside.Authority{Webhook: w}
	}
	public, err := c.campaignKeys(&desk)
	if err != nil {
		return nil, err
	}
	return office.New(office.Config{
		Env: c.settings.Env, Store: c.store.Office(), Desk: desk, PublisherKey: public, Witness: s.Witness,
		Ask: draw.Ask{URL: strings.TrimSuffix(s.WitnessURL, "/")}, Institutions: c.banks.Codes(), Folder: s.Folder, Log: c.log,
	})
}

// campaignKeys loads the publisher's key and the one that wraps the campaigns' own,
// making them at the first use.
func (c *centre) campaignKeys(desk *register.Config) (public string, err error) {
	b, err := secret.Load(filepath.Join(c.settings.Data, "publisher.key"), func() ([]byte, error) {
		private, public, err := office.Publisher(c.settings.Campaign.Publisher)
		return []byte(private + "\n" + public + "\n"), err
	})
	if err != nil {
		return "", err
	}
	private, public, ok := strings.Cut(strings.TrimSpace(string(b)), "\n")
	if !ok {
		return "", errors.New("publisher.key: want two lines, secret and verifier key")
	}
	if desk.Publisher, err = office.OpenPublisher(private); err != nil {
		return "", err
	}
	desk.Master, err = secret.Load(filepath.Join(c.settings.Data, "registration.key"), func() ([]byte, error) {
		b := make([]byte, 32)
		_, err := rand.Read(b)
		return b, err
	})
	return public, err
}

// campaignRooms opens campaigns and issuance; nil where nothing is configured.
func (c *centre) campaignRooms() (*campaignPages, error) {
	if c.settings.Campaign.Witness == "" {
		return nil, nil
	}
	o, err := c.office()
	if err != nil {
		return nil, err
	}
	d, err := c.issuing(o)
	return &campaignPages{c, o, d}, err
}

// campaigns are the parts of the daemon that campaigns need; none where nothing is configured.
func (c *centre) campaigns(ctx context.Context, rooms *campaignPages) (parts []func(context.Context) error, err error) {
	if rooms == nil {
		return nil, nil
	}
	s, o := c.settings.Campaign, rooms.office
	parts = append(parts, o.Run, rooms.desk.Run)
	if s.Listen == "" {
		return parts, nil
	}
	proxies, err := s.proxies()
	if err != nil {
		return nil, err
	}
	pages, err := portal.New(portal.Config{Version: version, Env: c.settings.Env, Office: o, Proxies: proxies, LookUps: s.LookUps, Log: c.log})
	if err != nil {
		return nil, err
	}
	l, certificate, err := front{"campaign", s.Listen, s.AddressFile, s.TLSCert, s.TLSKey}.open(ctx)
	if err != nil {
		return nil, err
	}
	c.log.InfoContext(ctx, "campaigns are up", "http", l.Addr().String(), "tls", certificate != nil)
	return append(parts, func(ctx context.Context) error { return pages.Run(ctx, l, certificate) }), nil
}

type campaignCmd struct {
	Key     campaignKeyCmd     `cmd:"" help:"Print the publisher's key and what a witness is to watch. 显示发布方公钥。"`
	Deposit campaignDepositCmd `cmd:"" help:"Book money that a fund provider has transferred. 登记资金方拨款。"`
	Check   campaignCheckCmd   `cmd:"" help:"Check a definition; nothing is published. 校验活动定义。"`
	Publish campaignPublishCmd `cmd:"" help:"Publish a campaign for good and have it witnessed. 发布活动。"`
	Revise  campaignReviseCmd  `cmd:"" help:"Propose the next version of a published campaign. 提议新版本。"`
	Adopt   campaignAdoptCmd   `cmd:"" help:"Confirm or reject a proposed version; another person than who proposed it. 确认新版本。"`
	Status  campaignStatusCmd  `cmd:"" help:"Where campaigns stand. 活动状态。"`
	Close   campaignCloseCmd   `cmd:"" help:"Freeze the list and have it witnessed; a running centre does it by itself. 截止报名并固定名单。"`
	Draw    campaignDrawCmd    `cmd:"" help:"Draw with the beacon's round and seal the bundle. 抽签。"`

	Offer     campaignOfferCmd     `cmd:"" help:"Begin to give a drawn campaign's envelopes out. 开始发放。"`
	Progress  campaignProgressCmd  `cmd:"" help:"How far issuance, spending and recall are. 发放进度。"`
	Pace      campaignPaceCmd      `cmd:"" help:"How many envelopes an institution is sent in a second. 设定发放速度。"`
	Suspend   campaignSuspendCmd   `cmd:"" help:"Stop offers, or go on with them. 暂停或恢复发放。"`
	Propose   campaignProposeCmd   `cmd:"" help:"Propose what two people decide. 提出须双人裁定的事项。"`
	Decide    campaignDecideCmd    `cmd:"" help:"List what waits for a decision, or decide. 裁定。"`
	Statement campaignStatementCmd `cmd:"" help:"Write the campaign's statement. 导出结算表。"`
}

// withOffice opens the centre and its campaigns for one command.
func withOffice(ctx context.Context, g *grammar, out *cli.Streams, do func(c *centre, o *office.Office) error) error {
	return with(ctx, g, out, func(c *centre) error {
		o, err := c.office()
		if err != nil {
			return err
		}
		return do(c, o)
	})
}

type campaignKeyCmd struct {
	Name string `arg:"" optional:"" help:"A campaign: print what its witness is to watch. 活动名。"`
}

// Run prints the key.
func (k campaignKeyCmd) Run(ctx context.Context, g *grammar, out *cli.Streams) error {
	return with(ctx, g, out, func(c *centre) error {
		public, err := c.campaignKeys(new(register.Config))
		if err != nil {
			return err
		}
		if k.Name != "" {
			public = draw.Origin(k.Name) + "=" + public
		}
		_, err = fmt.Fprintln(out.Out, public)
		return err
	})
}

type campaignDepositCmd struct {
	Provider    string `arg:"" help:"Fund provider, as definitions name it. 资金方。"`
	Amount      string `arg:"" help:"Yuan, such as 10000000.00. 金额(元)。"`
	Institution string `required:"" help:"Institution that holds the money. 收款机构。"`
	Reference   string `required:"" help:"The institution's name of the transfer; booked once. 转账流水号。"`
}

// Run books the deposit; the same reference again is a repeat.
func (d campaignDepositCmd) Run(ctx context.Context, g *grammar, out *cli.Streams) error {
	amount, err := pos.ParseMoney(d.Amount)
	if err == nil && amount <= 0 {
		err = errors.New("want more than nothing")
	}
	if err != nil {
		return cli.Exit(cli.Usage, pos.FieldError(pos.ErrBadRequest, "amount", err))
	}
	return with(ctx, g, out, func(c *centre) error {
		t := ledger.Deposited(d.Provider, d.Institution, d.Reference, amount, pos.DateOf(time.Now(), 0))
		if old, err := c.store.Ledger().Statement(ctx, ledger.Fund(d.Provider), 0, 100_000); err == nil {
			for _, l := range old { // the day of a repeat is the first one's
				if l.Key == t.Key {
					t.Date = l.Date
				}
			}
		}
		posted, err := c.store.Ledger().Post(ctx, t)
		if err != nil {
			return err
		}
		word := "booked 已登记"
		if !posted {
			word = "was booked before 此前已登记"
		}
		balance, err := c.store.Ledger().Balance(ctx, ledger.Fund(d.Provider))
		if err != nil {
			return err
		}
		_, err = fmt.Fprintf(out.Out, "%s; %s: %s\n", word, ledger.Fund(d.Provider), -balance.Amount)
		return err
	})
}

// draftArgs say what is published.
type draftArgs struct {
	Definition string `arg:"" help:"A definition's file, or the name of one that ships. 定义文件或内置活动名。"`
	Area       string `type:"existingfile" help:"GeoJSON of the fence, where the definition names none that ships. 围栏文件。"`
	Beacon     string `default:"quicknet" enum:"quicknet,practice" help:"practice only in the lab: it counts for nothing. 随机信标。"`
	DrawAt     string `help:"'yyyy-mm-dd hh:mm' in Shanghai; the first round after it decides; default: an hour after the close. 抽签时间。"`
}

// draft reads what the arguments name.
func (a draftArgs) draft() (d office.Draft, err error) {
	if d.Definition, err = a.definition(); err != nil {
		return d, err
	}
	switch {
	case a.Area != "":
		d.Area, err = os.ReadFile(a.Area)
	case d.Definition.Fence != "":
		d.Area, err = campaign.ShippedArea(d.Definition.Fence)
	}
	if err != nil {
		return d, err
	}
	d.Chain, d.By = draw.Quicknet, actor()
	if a.Beacon == "practice" {
		d.Chain = draw.PracticeChain
	}
	if a.DrawAt != "" {
		if d.DrawAt, err = campaign.ParseFirst(a.DrawAt); err != nil {
			return d, pos.FieldError(pos.ErrBadRequest, "draw_at", err)
		}
	}
	return d, nil
}

func (a draftArgs) definition() (campaign.Definition, error) {
	all, err := campaign.Shipped()
	if err != nil {
		return campaign.Definition{}, err
	}
	for _, d := range all {
		if d.Name == a.Definition {
			return d, nil
		}
	}
	b, err := os.ReadFile(a.Definition)
	if err != nil {
		return campaign.Definition{}, pos.FieldError(pos.ErrNotFound, "definition", err)
	}
	return campaign.Parse(b)
}

type campaignCheckCmd struct{ draftArgs }

// Run checks a draft.
func (k campaignCheckCmd) Run(ctx context.Context, g *grammar, out *cli.Streams) error {
	d, err := k.draft()
	if err != nil {
		return cli.Exit(cli.Usage, err)
	}
	return withOffice(ctx, g, out, func(_ *centre, o *office.Office) error {
		p, t, err := o.Check(ctx, d)
		if err != nil {
			return cli.Exit(cli.Negative, err)
		}
		at, err := draw.TimeOf(t.Beacon.Chain, t.Beacon.Round)
		if err != nil {
			return err
		}
		_, err = fmt.Fprintf(out.Out, "%s: ok 可发布; %d envelopes 红包, ¥%s; budget 预算 ¥%s of 由 %s; round 轮次 %d at %s; sha256 %s\n",
			d.Definition.Name, d.Definition.Envelopes(), d.Definition.Total(), d.Definition.Budget, d.Definition.Funding, t.Beacon.Round, at.In(pos.Shanghai()).Format(time.DateTime), p.Hash)
		return err
	})
}

type campaignPublishCmd struct {
	draftArgs
	JSON bool `name:"json" help:"Print JSON. 以 JSON 输出。"`
}

// Help says what is final.
func (campaignPublishCmd) Help() string {
	return `What is published never changes: definition, terms and the beacon's round. The budget is reserved from the fund provider's
account in the same step, and the terms are co-signed by the witness, who must watch this campaign's log before
(poscentral campaign key NAME prints what for). Registration opens only when she has signed in time.
发布后不可更改;预算同时冻结;须在报名开始前由见证方签名。`
}

// Run publishes; again is a repeat.
func (k campaignPublishCmd) Run(ctx context.Context, g *grammar, out *cli.Streams) error {
	d, err := k.draft()
	if err != nil {
		return cli.Exit(cli.Usage, err)
	}
	return withOffice(ctx, g, out, func(_ *centre, o *office.Office) error {
		c, err := o.Publish(ctx, d)
		return shown(out.Out, k.JSON, o, err, c)
	})
}

type campaignStatusCmd struct {
	Name string `arg:"" optional:"" help:"Only this campaign. 活动名。"`
	JSON bool   `name:"json" help:"Print JSON. 以 JSON 输出。"`
}

// Run shows where campaigns stand.
func (k campaignStatusCmd) Run(ctx context.Context, g *grammar, out *cli.Streams) error {
	return withOffice(ctx, g, out, func(_ *centre, o *office.Office) error {
		if k.Name != "" {
			c, err := o.Campaign(ctx, k.Name)
			return shown(out.Out, k.JSON, o, err, c)
		}
		all, err := o.Campaigns(ctx)
		return shown(out.Out, k.JSON, o, err, all...)
	})
}

type campaignCloseCmd struct {
	Name string `arg:"" help:"The campaign. 活动名。"`
	JSON bool   `name:"json" help:"Print JSON. 以 JSON 输出。"`
}

// Run closes; again is a repeat.
func (k campaignCloseCmd) Run(ctx context.Context, g *grammar, out *cli.Streams) error {
	return withOffice(ctx, g, out, func(_ *centre, o *office.Office) error {
		c, err := o.Close(ctx, k.Name, actor())
		return shown(out.Out, k.JSON, o, err, c)
	})
}

type campaignDrawCmd struct {
	Name  string `arg:"" help:"The campaign. 活动名。"`
	Round string `type:"existingfile" help:"The beacon's round as drand publishes it (GET /CHAIN/public/ROUND); not with a practice beacon. 随机数文件。"`
	JSON  bool   `name:"json" help:"Print JSON. 以 JSON 输出。"`
}

// Run draws; again gives the same bytes.
func (k campaignDrawCmd) Run(ctx context.Context, g *grammar, out *cli.Streams) error {
	return withOffice(ctx, g, out, func(_ *centre, o *office.Office) error {
		c, err := o.Campaign(ctx, k.Name)
		if err != nil {
			return err
		}
		round, err := k.round(c)
		if err != nil {
			return cli.Exit(cli.Usage, pos.FieldError(pos.ErrBadRequest, "round", err))
		}
		c, err = o.Draw(ctx, k.Name, round, actor())
		return shown(out.Out, k.JSON, o, err, c)
	})
}

// maxRound bounds the file of a round.
const maxRound = 64 << 10

func (k campaignDrawCmd) round(c office.Campaign) (r draw.Round, err error) {
	if c.Terms.Practice {
		if k.Round != "" {
			return r, errors.New("a practice beacon's round is made here, from no file")
		}
		return draw.PracticeRound(c.Terms.Beacon.Round)
	}
	if k.Round == "" {
		return r, fmt.Errorf("want the file of round %d (--round)", c.Terms.Beacon.Round)
	}
	f, err := os.Open(k.Round)
	if err != nil {
		return r, err
	}
	b, err := io.ReadAll(io.LimitReader(f, maxRound))
	if err = errors.Join(err, f.Close()); err != nil {
		return r, err
	}
	if err := json.Unmarshal(b, &r); err != nil {
		return r, fmt.Errorf("%s: not a round: %w", k.Round, err)
	}
	return r, nil
}

// standing is a campaign as commands show it.
type standing struct {
	Name       string       `json:"name"`
	Version    int          `json:"version"` // in force
	State      office.State `json:"state"`
	Register   string       `json:"register_from"`
	Until      string       `json:"register_until"`
	TermsSeen  string       `json:"terms_witnessed,omitempty"`
	ListSeen   string       `json:"list_witnessed,omitempty"`
	ResultSeen string       `json:"result_witnessed,omitempty"`
	Entries    int64        `json:"entries"` // of the frozen list
	Chain      string       `json:"beacon"`
	Round      uint64       `json:"round"`
	RoundAt    string       `json:"round_at"`
	Folder     string       `json:"folder"`
}

func standingOf(c office.Campaign, o *office.Office) standing {
	when := func(t time.Time) string {
		if t.IsZero() {
			return ""
		}
		return t.In(pos.Shanghai()).Format(time.RFC3339)
	}
	s := standing{
		Name: c.Definition.Name, State: c.State(o.Now()), Register: when(c.Definition.Register.From), Until: when(c.Definition.Register.Until),
		TermsSeen: when(c.TermsSeen()), ListSeen: when(c.ListSeen()), ResultSeen: when(c.ResultSeen()),
		Version: c.Version, Entries: c.Entries(), Chain: c.Terms.Beacon.Chain, Round: c.Terms.Beacon.Round, RoundAt: when(c.RoundAt), Folder: o.Dir(c.Definition.Name),
	}
	return s
}

// shown prints campaigns, or passes the error on.
func shown(out io.Writer, asJSON bool, o *office.Office, err error, all ...office.Campaign) error {
	if err != nil {
		return err
	}
	list := make([]standing, 0, len(all))
	for _, c := range all {
		list = append(list, standingOf(c, o))
	}
	if asJSON {
		return json.NewEncoder(out).Encode(list)
	}
	w := tabwriter.NewWriter(out, 0, 4, 2, ' ', 0)
	for i, s := range list {
		if i > 0 {
			_, _ = fmt.Fprintln(w)
		}
		for _, l := range [][2]string{
			{"campaign 活动", s.Name},
			{"version 版本", fmt.Sprint(s.Version)},
			{"state 状态", all[i].State(o.Now()).Text().Both()},
			{"register 报名", s.Register + " – " + s.Until},
			{"terms witnessed 规则见证", s.TermsSeen},
			{"list witnessed 名单见证", s.ListSeen},
			{"result witnessed 结果见证", s.ResultSeen},
			{"entries 参与", fmt.Sprint(s.Entries)},
			{"round 随机数轮次", fmt.Sprintf("%d (%s), %s", s.Round, s.Chain, s.RoundAt)},
			{"files 公布文件", s.Folder},
		} {
			if l[1] != "" {
				_, _ = fmt.Fprintf(w, "%s\t%s\n", l[0], l[1])
			}
		}
	}
	return w.Flush()
}
