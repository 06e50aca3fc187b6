package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"dcpos/internal/cli"
	"dcpos/lab/institution"
	"dcpos/lab/institution/api"
	"dcpos/lab/institution/authority"
	"dcpos/lab/wallet"
	"dcpos/pos"
)

// WalletCmd is a simulated customer's wallet, used by hand.
type WalletCmd struct {
	Create     walletCreate     `cmd:"" help:"Open a wallet with play money at an institution. 开立测试钱包。"`
	Claim      walletClaim      `cmd:"" help:"Take the envelopes that its holder has won since it was opened. 领取中签红包。"`
	Code       walletCode       `cmd:"" help:"Show a payment code: 19 digits, one minute, single use. 显示付款码。"`
	Pass       walletPass       `cmd:"" help:"Show a simulated forwardable code: a till without a network may store it, to be charged later. 显示可先记后扣的模拟凭证。"`
	Scan       walletScan       `cmd:"" help:"Pay the order whose QR text is given. 扫码支付订单。"`
	Answer     walletAnswer     `cmd:"" help:"Sign a till's offline challenge; needs no network. 离线签署挑战码。"`
	Revoke     walletRevoke     `cmd:"" help:"Have the institution revoke the wallet, as one that was lost. 挂失、吊销钱包。"`
	Behaviours walletBehaviours `cmd:"" help:"List how a wallet can misbehave, by QR and as a card. 列出钱包的异常行为。"`
	Show       walletShow       `cmd:"" help:"Show what the wallet is and holds. 查看钱包。"`
}

// walletAt says where the wallet is kept.
type walletAt struct {
	Wallet string `required:"" type:"path" env:"DCPOS_WALLET" help:"Folder of the wallet. 钱包目录。"`
	JSON   bool   `name:"json" help:"Print JSON. 以 JSON 输出。"`
}

// walletLab says where the simulated institutions answer.
type walletLab struct {
	Lab string `env:"DCPOS_LAB_DIR" help:"Folder of poslab institutions (its address and keys.json). 模拟器目录。"`
	URL string `name:"url" help:"Instead of --lab: the simulator's URL. 模拟器网址。"`
	Key string `env:"DCPOS_LAB_KEY" help:"Instead of --lab: the institution's API key. 机构密钥。"`
}

func (l walletLab) client(code string) (wallet.Client, error) {
	url, key := l.URL, l.Key
	if l.Lab != "" {
		b, err := os.ReadFile(filepath.Join(l.Lab, labAddressFile))
		if err != nil {
			return wallet.Client{}, cli.Exit(cli.Unreachable, pos.FieldError(pos.ErrInstitution, "lab", err))
		}
		keys, err := institution.ReadKeys(filepath.Join(l.Lab, institution.KeysFile))
		if err != nil {
			return wallet.Client{}, cli.Exit(cli.Usage, err)
		}
		if url == "" {
			url = strings.TrimSpace(string(b))
		}
		if key == "" {
			key = keys[code]
		}
		if v := os.Getenv(institution.KeyVariable(code)); l.Key == "" && v != "" {
			key = v
		}
	}
	if url == "" || key == "" {
		return wallet.Client{}, cli.Exit(cli.Usage, pos.FieldError(pos.ErrBadRequest, "lab", errors.New("give --lab DIR, or --url and --key")))
	}
	return wallet.Client{Base: strings.TrimSuffix(url, "/") + "/" + code + "/v1", Key: key}, nil
}

// open reads the wallet and connects it to its institution.
func (l walletLab) open(dir string) (*wallet.Wallet, error) {
	w, err := wallet.Open(dir, wallet.Client{})
	if err != nil {
		return nil, cli.Exit(cli.Usage, err)
	}
	c, err := l.client(w.Institution())
	if err != nil {
		return nil, err
	}
	return wallet.Open(dir, c)
}

type walletCreate struct {
	walletAt
	walletLab
	Institution string `default:"ICBC" help:"ICBC, ABC, BOC, CCB, BOCOM or PSBC. 机构。"`
	Name        string `default:"测试" help:"A name for people. 名称。"`
	Balance     string `default:"500.00" help:"Own money in yuan. 余额(元)。"`
	Envelope    string `default:"0" help:"Red-envelope part in yuan, spent first. 红包(元),先用。"`
	Phone       string `help:"The holder's, such as 13900000001: it claims the envelopes that she has won at this institution. 手机号,用于领取中签红包。"`
	Tier        int    `default:"0" help:"Class of the wallet, 1 to 4, in its certificate; 0 tells none. 钱包类别。"`
	Suite       string `default:"sm2-sm3" enum:"sm2-sm3,ed25519-sha256" help:"Suite of the wallet's key. 签名算法。"`

	Valid time.Duration `default:"0" placeholder:"TIME" help:"For how long its certificate is good, such as 10m; below 0 it has expired already, such as -1m. 证书有效期;负值为已过期。"`
}

// Run implements the command.
func (c walletCreate) Run(ctx context.Context, out *cli.Streams) error {
	known := func(i institution.Institution) bool { return i.Code == c.Institution }
	if !slices.ContainsFunc(institution.Institutions(), known) {
		return cli.Exit(cli.Usage, pos.FieldError(pos.ErrBadRequest, "institution", fmt.Errorf("no institution %q", c.Institution)))
	}
	own, err := pos.ParseMoney(c.Balance)
	if err != nil {
		return cli.Exit(cli.Usage, pos.FieldError(pos.ErrBadRequest, "balance", err))
	}
	envelope, err := pos.ParseMoney(c.Envelope)
	if err != nil {
		return cli.Exit(cli.Usage, pos.FieldError(pos.ErrBadRequest, "envelope", err))
	}
	client, err := c.client(c.Institution)
	if err != nil {
		return err
	}
	w, err := wallet.Create(ctx, client, wallet.Opening{
		Dir: c.Wallet, Institution: c.Institution, Name: c.Name, Balance: own, Envelope: envelope, Suite: c.Suite, Tier: c.Tier,
		Phone: c.Phone, Valid: c.Valid,
	})
	if err == nil && c.Phone != "" {
		_, err = w.Balance(ctx) // what was claimed is remembered for payments without a network
	}
	if err != nil {
		return walletExit(err)
	}
	return walletSay(out, c.JSON, map[string]any{"wallet_id": w.ID(), "institution": w.Institution()},
		"测试钱包已开立 test wallet opened: %s (%s)", w.ID(), w.Institution())
}

type walletCode struct {
	walletAt
	walletLab
}

// Run implements the command.
func (c walletCode) Run(ctx context.Context, out *cli.Streams) error {
	w, err := c.open(c.Wallet)
	if err != nil {
		return err
	}
	code, err := w.Code(ctx)
	if err != nil {
		return walletExit(err)
	}
	return walletSay(out, c.JSON, map[string]any{"code": code}, "%s\n付款码一分钟内有效,仅可使用一次 valid for one minute, once", code)
}

type walletClaim struct {
	walletAt
	walletLab
}

// Run implements the command; again it takes what has come since.
func (c walletClaim) Run(ctx context.Context, out *cli.Streams) error {
	w, err := c.open(c.Wallet)
	if err != nil {
		return err
	}
	if err := w.Claim(ctx); err != nil {
		return walletExit(err)
	}
	b, err := w.Balance(ctx)
	if err != nil {
		return walletExit(err)
	}
	return walletSay(out, c.JSON, b, "%s", holds(b).Both())
}

// holds says what is in a wallet, its envelopes in the order of spending.
func holds(b api.Balance) pos.Text {
	t := pos.Text{
		ZH: fmt.Sprintf("余额 ¥%s,红包 ¥%s", b.Balance, b.Envelope),
		EN: fmt.Sprintf("own ¥%s, envelope ¥%s", b.Balance, b.Envelope),
	}
	for _, e := range b.Envelopes {
		until := time.UnixMilli(e.UntilMS).In(pos.Shanghai()).Format(time.DateTime)
		t.ZH += fmt.Sprintf(";%s ¥%s,%s 前有效", e.Campaign, e.Left, until)
		t.EN += fmt.Sprintf("; %s ¥%s, good before %s", e.Campaign, e.Left, until)
	}
	return t
}

type walletPass struct {
	walletAt
	walletLab
}

// Run implements the command.
func (c walletPass) Run(ctx context.Context, out *cli.Streams) error {
	w, err := c.open(c.Wallet)
	if err != nil {
		return err
	}
	code, err := w.Pass(ctx)
	if err != nil {
		return walletExit(err)
	}
	return walletSay(out, c.JSON, map[string]any{"code": code},
		"%s\n模拟凭证,仅可使用一次;真实机构尚无此类公开凭证 simulated, once; no real institution has published such a code", code)
}

type walletScan struct {
	walletAt
	walletLab
	QR string `arg:"" help:"Text of the order's QR. 订单二维码内容。"`
}

// Run implements the command: exit 1 when the institution refuses.
func (c walletScan) Run(ctx context.Context, out *cli.Streams) error {
	w, err := c.open(c.Wallet)
	if err != nil {
		return err
	}
	r, err := w.Scan(ctx, c.QR)
	if err != nil {
		return walletExit(err)
	}
	text := pos.Text{ZH: "支付成功", EN: "paid"}
	if r.Status != api.Success {
		text = pos.Text{ZH: "未支付", EN: "not paid"}
	}
	if err := walletSay(out, c.JSON, r, "%s (%s)", text.Both(), r.Reason); err != nil || r.Status == api.Success {
		return err
	}
	return cli.Exit(cli.Negative, nil)
}

type walletAnswer struct {
	walletAt
	Challenge   string `arg:"" help:"Text of the till's challenge QR. 挑战码内容。"`
	Behaviour   string `placeholder:"NAME" help:"Misbehave so; poslab wallet behaviours lists them. 异常行为。"`
	DoubleSpend bool   `help:"The same as --behaviour=rewinds: the last counter once more, as a cloned wallet would. 重复使用计数(测试双花)。"`
}

// Run implements the command; it calls nobody.
func (c walletAnswer) Run(_ context.Context, out *cli.Streams) error {
	w, err := wallet.Open(c.Wallet, wallet.Client{})
	if err != nil {
		return cli.Exit(cli.Usage, err)
	}
	if c.DoubleSpend && c.Behaviour == "" {
		c.Behaviour = string(wallet.Rewinds)
	}
	f, err := wallet.ParseFault(c.Behaviour)
	if err != nil {
		return cli.Exit(cli.Usage, err)
	}
	text, err := w.AnswerAs(f, c.Challenge, time.Now())
	if err != nil {
		return cli.Exit(cli.Usage, err)
	}
	return walletSay(out, c.JSON, map[string]any{"evidence": text, "counter": w.Counter()}, "%s", text)
}

type walletRevoke struct {
	walletAt
	walletLab
	Trust string `type:"path" placeholder:"FILE" help:"Write what is to be believed now into this file, which poscentral's trust names: within seconds online tills know. 同时更新中心的信任文件。"`
}

// Run implements the command.
func (c walletRevoke) Run(ctx context.Context, out *cli.Streams) error {
	w, err := c.open(c.Wallet)
	if err != nil {
		return err
	}
	if err := w.Revoke(ctx); err != nil {
		return walletExit(err)
	}
	told := pos.Text{ZH: "终端尚不知情:用 --trust 更新中心的信任文件", EN: "no till knows yet: --trust FILE tells the centre"}
	if c.Trust != "" {
		trust, err := w.Trust(ctx)
		if err != nil {
			return walletExit(err)
		}
		if err := authority.WriteFile(c.Trust, trust, 0o600); err != nil {
			return cli.Exit(cli.Usage, err)
		}
		told = pos.Text{ZH: "信任文件已更新", EN: "the trust file is updated"}
	}
	return walletSay(out, c.JSON, map[string]any{"wallet_id": w.ID(), "revoked": true, "trust": c.Trust},
		"钱包已吊销 revoked: %s\n%s", w.ID(), told.Both())
}

type walletBehaviours struct {
	JSON bool `name:"json" help:"Print JSON. 以 JSON 输出。"`
}

// Run implements the command.
func (c walletBehaviours) Run(_ context.Context, out *cli.Streams) error {
	type line struct {
		Name  string   `json:"name"`
		Phone bool     `json:"phone"`
		Text  pos.Text `json:"text"`
	}
	var all []line
	var b strings.Builder
	for _, x := range wallet.Behaviours() {
		all = append(all, line{string(x.Fault), x.Phone, x.Text})
		where := "卡 card"
		if x.Phone {
			where = "手机与卡 phone and card"
		}
		_, _ = fmt.Fprintf(&b, "%-13s %s %s (%s)\n", x.Fault, x.Text.ZH, x.Text.EN, where)
	}
	b.WriteString(`手机 phone: poslab wallet answer --behaviour NAME CHALLENGE
卡 card: poslab till, :wallet DIR NAME, :tap; 抽卡 torn at the N-th command: :tear after N
已过期 expired: poslab wallet create --valid=-1m
已吊销 revoked: poslab wallet revoke --trust FILE`)
	return walletSay(out, c.JSON, all, "%s", b.String())
}

type walletShow struct {
	walletAt
	walletLab
}

// Run implements the command; without an institution in reach it shows what the wallet knows by itself.
func (c walletShow) Run(ctx context.Context, out *cli.Streams) error {
	w, err := wallet.Open(c.Wallet, wallet.Client{})
	if err != nil {
		return cli.Exit(cli.Usage, err)
	}
	known := map[string]any{
		"wallet_id": w.ID(), "name": w.Name(), "institution": w.Institution(), "counter": w.Counter(), "online": false,
	}
	balance := pos.Text{ZH: "离线,余额未知", EN: "offline, balance unknown"}
	if c.Lab != "" || c.URL != "" {
		if w, err = c.open(c.Wallet); err != nil {
			return err
		}
		b, err := w.Balance(ctx)
		if err != nil {
			return walletExit(err)
		}
		known["online"], known["balance_fen"], known["envelope_fen"] = true, b.Balance, b.Envelope
		known["envelopes"], balance = b.Envelopes, holds(b)
	}
	return walletSay(out, c.JSON, known, "测试 TEST %s %s (%s)\n%s\n离线计数 offline counter: %d",
		w.ID(), w.Name(), w.Institution(), balance.Both(), w.Counter())
}

// walletExit gives an error of the wallet its exit code.
func walletExit(err error) error {
	unreachable := []pos.Code{pos.ErrInstitution, pos.ErrOffline}
	if slices.Contains(unreachable, pos.CodeOf(err)) {
		return cli.Exit(cli.Unreachable, err)
	}
	return cli.Exit(cli.Usage, err)
}

// walletSay prints a result for a person, or as JSON for a program.
func walletSay(out *cli.Streams, asJSON bool, v any, format string, args ...any) error {
	if !asJSON {
		_, err := fmt.Fprintf(out.Out, format+"\n", args...)
		return err
	}
	if err := json.NewEncoder(out.Out).Encode(v); err != nil {
		return fmt.Errorf("print JSON: %w", err)
	}
	return nil
}
