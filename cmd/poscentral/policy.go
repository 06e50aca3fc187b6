package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"text/tabwriter"
	"time"

	"go.yaml.in/yaml/v3"

	"dcpos/central/fleet"
	"dcpos/internal/cli"
	"dcpos/internal/config"
	"dcpos/pos"
)

type policyCmd struct {
	Show    policyShowCmd    `cmd:"" help:"Print limits as a file to edit: those in force for the fleet, or the defaults. 输出规则文件。"`
	List    policyListCmd    `cmd:"" help:"List what was published, newest first, or what one terminal is to hold. 列出规则。"`
	Publish policyPublishCmd `cmd:"" help:"Sign limits and put them in force from an instant on. 签发规则。"`
}

// policyFile is limits as people write them: amounts in fen, times such as 12h or 90s.
type policyFile struct {
	PerPayment     pos.Money     `yaml:"per_payment_fen"`
	StoredTotal    pos.Money     `yaml:"stored_total_fen"`
	StoredCount    int           `yaml:"stored_count"`
	OldestWarn     time.Duration `yaml:"oldest_warn"`
	OldestStop     time.Duration `yaml:"oldest_stop"`
	WalletTotal    pos.Money     `yaml:"wallet_total_fen"`
	WalletCount    int           `yaml:"wallet_count"`
	SplitWindow    time.Duration `yaml:"split_window"`
	SplitTotal     pos.Money     `yaml:"split_total_fen"`
	Tiers          []policyTier  `yaml:"tiers"`
	RevocationWarn time.Duration `yaml:"revocation_warn"`
	RevocationMax  time.Duration `yaml:"revocation_max"`
	ClockMax       time.Duration `yaml:"clock_max"`
	NearPercent    int           `yaml:"near_percent"`
	CatalogueMax   time.Duration `yaml:"catalogue_max"`
	CatalogueStale pos.Stale     `yaml:"catalogue_stale"`
	FareMax        pos.Money     `yaml:"fare_max_fen"`
	Forward        policyForward `yaml:"forward"`
	Travel         policyTravel  `yaml:"travel"`
}

type policyTier struct {
	Class  int       `yaml:"class"`
	Single pos.Money `yaml:"single_fen"`
	Day    pos.Money `yaml:"day_fen"`
	Year   pos.Money `yaml:"year_fen"`
}

type policyForward struct {
	PerPayment  pos.Money     `yaml:"per_payment_fen"`
	StoredTotal pos.Money     `yaml:"stored_total_fen"`
	StoredCount int           `yaml:"stored_count"`
	OldestStop  time.Duration `yaml:"oldest_stop"`
}

type policyTravel struct {
	SpeedKMH int `yaml:"speed_kmh"`
	SlackKM  int `yaml:"slack_km"`
}

func fileOf(l pos.Limits) policyFile {
	f := policyFile{
		PerPayment: l.PerPayment, StoredTotal: l.StoredTotal, StoredCount: l.StoredCount,
		OldestWarn: l.OldestWarn, OldestStop: l.OldestStop, WalletTotal: l.WalletTotal, WalletCount: l.WalletCount,
		SplitWindow: l.SplitWindow, SplitTotal: l.SplitTotal, RevocationWarn: l.RevocationWarn, RevocationMax: l.RevocationMax,
		ClockMax: l.ClockMax, NearPercent: l.NearPercent, CatalogueMax: l.CatalogueMax, CatalogueStale: l.CatalogueStale,
		FareMax: l.FareMax, Forward: policyForward(l.Forward), Travel: policyTravel(l.Travel),
	}
	for _, t := range l.Tiers {
		f.Tiers = append(f.Tiers, policyTier(t))
	}
	return f
}

func (f policyFile) limits() pos.Limits {
	l := pos.Limits{
		PerPayment: f.PerPayment, StoredTotal: f.StoredTotal, StoredCount: f.StoredCount,
		OldestWarn: f.OldestWarn, OldestStop: f.OldestStop, WalletTotal: f.WalletTotal, WalletCount: f.WalletCount,
		SplitWindow: f.SplitWindow, SplitTotal: f.SplitTotal, RevocationWarn: f.RevocationWarn, RevocationMax: f.RevocationMax,
		ClockMax: f.ClockMax, NearPercent: f.NearPercent, CatalogueMax: f.CatalogueMax, CatalogueStale: f.CatalogueStale,
		FareMax: f.FareMax, Forward: pos.Forward(f.Forward), Travel: pos.Travel(f.Travel),
	}
	for _, t := range f.Tiers {
		l.Tiers = append(l.Tiers, pos.Tier(t))
	}
	return l
}

const policyHead = `# Limits of offline payments. Amounts in fen; times such as 12h, 90s. Publish with
#   poscentral policy publish FILE [--store S | --terminal T] [--from TIME] [--expires TIME]
# 离线收款规则。金额单位为分。编辑后用上面的命令签发。
# split: what one wallet pays here within the window counts as one payment. 拆单识别
# tiers: caps by wallet class; 0 is no cap; a wallet that tells no class is held to the last. 钱包类别限额
# catalogue_stale: empty refuses envelopes when the catalogue is older than catalogue_max, take takes them. 目录过旧时
# fare_max_fen: the most of a fixed-fare tap; 0 allows none. 定额闸机单笔上限
# forward: store-and-forward at the merchant's risk, with totals of its own; per_payment_fen 0 allows none. 先记后扣,商户承担风险
# travel: a wallet that was at two stores faster than this is reported, never refused; speed_kmh 0 reports nothing,
#   slack_km cost no time. 行程不可能的钱包:只提示人工核查,不拒收
`

type policyShowCmd struct {
	Defaults bool `help:"The defaults instead of what is in force. 输出默认值。"`
}

// Run prints limits as YAML.
func (p policyShowCmd) Run(ctx context.Context, g *grammar, out *cli.Streams) error {
	return with(ctx, g, out, func(c *centre) error {
		limits := pos.DefaultLimits()
		if !p.Defaults {
			if err := c.fleet.Begin(ctx); err != nil {
				return err
			}
			list, err := c.fleet.Policies(ctx, maxListed)
			if err != nil {
				return err
			}
			var s pos.Schedule
			for _, r := range list {
				if r.Scope() == (pos.Policy{}).Scope() {
					s = append(s, r.Policy)
				}
			}
			now, err := s.In(pos.IntervalAt(time.Now()))
			if err != nil {
				return err
			}
			limits = now.Limits
		}
		var b bytes.Buffer
		b.WriteString(policyHead)
		e := yaml.NewEncoder(&b)
		e.SetIndent(2)
		if err := e.Encode(fileOf(limits)); err != nil {
			return err
		}
		_, err := out.Out.Write(b.Bytes())
		return err
	})
}

const maxListed = 200

type policyListCmd struct {
	Terminal string `help:"What this terminal is to hold: in force and to come. 该终端应持有的规则。"`
	JSON     bool   `name:"json" help:"Print JSON. 以 JSON 输出。"`
}

// Run lists policies.
func (p policyListCmd) Run(ctx context.Context, g *grammar, out *cli.Streams) error {
	return with(ctx, g, out, func(c *centre) error {
		list, err := c.fleet.Policies(ctx, maxListed)
		if p.Terminal != "" {
			list, err = c.fleet.TerminalPolicies(ctx, p.Terminal)
		}
		if err != nil {
			return err
		}
		if p.JSON {
			return json.NewEncoder(out.Out).Encode(list)
		}
		return policiesForPeople(out.Out, list)
	})
}

func policiesForPeople(out io.Writer, list []fleet.PolicyRecord) error {
	w := tabwriter.NewWriter(out, 0, 4, 2, ' ', 0)
	_, _ = fmt.Fprintln(w, "version 版本\tscope 范围\tfrom 生效\texpires 到期\tper payment 单笔\ttotal 累计\tcount 笔数\tby 签发人")
	for _, r := range list {
		_, _ = fmt.Fprintf(w, "%d\t%s\t%s\t%s\t¥%s\t¥%s\t%d\t%s\n", r.Version, r.Scope(), moment(r.FromMS), moment(r.ExpiresMS),
			r.Limits.PerPayment, r.Limits.StoredTotal, r.Limits.StoredCount, r.By)
	}
	return w.Flush()
}

func moment(ms int64) string {
	if ms <= 1 {
		return "—"
	}
	return time.UnixMilli(ms).In(pos.Shanghai()).Format(time.RFC3339)
}

type policyPublishCmd struct {
	File     string    `arg:"" help:"Limits in YAML, as 'policy show' prints them; what it does not name keeps its default; a key that is not known is an error. 规则文件。"`
	Store    string    `xor:"scope" help:"For this store alone. 仅限该门店。"`
	Terminal string    `xor:"scope" help:"For this terminal alone. 仅限该终端。"`
	From     time.Time `help:"In force from this instant on, RFC 3339; now without it. 生效时刻。"`
	Expires  time.Time `help:"Expires at this instant, RFC 3339; then the wider scope holds, or nothing is accepted offline. 到期时刻。"`
	JSON     bool      `name:"json" help:"Print JSON. 以 JSON 输出。"`
}

// Run publishes.
func (p policyPublishCmd) Run(ctx context.Context, g *grammar, out *cli.Streams) error {
	f := fileOf(pos.DefaultLimits())
	if err := config.Load(p.File, &f); err != nil {
		return cli.Exit(cli.Usage, err)
	}
	policy := pos.Policy{Store: p.Store, Terminal: p.Terminal, FromMS: instant(p.From), ExpiresMS: instant(p.Expires), Limits: f.limits()}
	return with(ctx, g, out, func(c *centre) error {
		version, err := c.fleet.Publish(ctx, policy, actor())
		if err != nil {
			return err
		}
		if p.JSON {
			return json.NewEncoder(out.Out).Encode(map[string]any{"version": version, "scope": policy.Scope()})
		}
		_, err = fmt.Fprintf(out.Out, "version %d for the %s is published; tills take it within a minute 规则第 %d 版已签发\n", version, policy.Scope(), version)
		return err
	})
}

func instant(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixMilli()
}
