package main

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"text/tabwriter"
	"time"

	"dcpos/central/console"
	"dcpos/central/httpapi"
	"dcpos/central/webshop"
	"dcpos/central/webshop/api"
	"dcpos/internal/cli"
	"dcpos/internal/secret"
	"dcpos/pos"
)

// webshopSettings are the keys of the online channel.
type webshopSettings struct {
	Listen      string `yaml:"listen"`
	AddressFile string `yaml:"address_file"`
	TLSCert     string `yaml:"tls_cert"`
	TLSKey      string `yaml:"tls_key"`
}

func (s webshopSettings) check() error {
	if (s.TLSCert == "") != (s.TLSKey == "") {
		return errors.New("webshop: tls_cert and tls_key belong together")
	}
	return nil
}

// hookKey loads the key that signs webhooks, making it at the first use.
func hookKey(folder string) (ed25519.PrivateKey, error) {
	text, err := secret.Load(filepath.Join(folder, "hook.pem"), func() ([]byte, error) {
		_, private, err := ed25519.GenerateKey(rand.Reader)
		if err != nil {
			return nil, err
		}
		return encodeKey(private)
	})
	if err != nil {
		return nil, err
	}
	block, _ := pem.Decode(text)
	if block == nil {
		return nil, errors.New("hook.pem: holds no PEM")
	}
	parsed, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		return nil, fmt.Errorf("hook.pem: %w", err)
	}
	key, ok := parsed.(ed25519.PrivateKey)
	if !ok {
		return nil, errors.New("hook.pem: want an Ed25519 key")
	}
	return key, nil
}

func encodeKey(private ed25519.PrivateKey) ([]byte, error) {
	der, err := x509.MarshalPKCS8PrivateKey(private)
	return pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), err
}

// webshopRoom makes the online channel over the payment room.
func (c *centre) webshopRoom() (*webshop.Desk, error) {
	key, err := hookKey(c.settings.Data)
	if err != nil {
		return nil, err
	}
	return webshop.New(webshop.Config{
		Env: c.settings.Env, Store: c.store.Webshops(), Payments: c.desk, HookKey: key, Log: c.log,
	})
}

// shops are the parts of the daemon that the online channel needs. Events are delivered
// also where no listener is configured: another centre of the same database may have it.
func (c *centre) shops(ctx context.Context) (parts []func(context.Context) error, err error) {
	s := c.settings.Webshop
	parts = append(parts, c.online.Run)
	if s.Listen == "" {
		return parts, nil
	}
	handler, err := api.New(api.Config{Version: version, Env: c.settings.Env, Desk: c.online, Log: c.log})
	if err != nil {
		return nil, err
	}
	l, certificate, err := front{"webshop", s.Listen, s.AddressFile, s.TLSCert, s.TLSKey}.open(ctx)
	if err != nil {
		return nil, err
	}
	c.log.InfoContext(ctx, "web shops are served", "http", l.Addr().String(), "tls", certificate != nil)
	return append(parts, func(ctx context.Context) error { return httpapi.Serve(ctx, handler, l, certificate) }), nil
}

// listWebshops gives the console what it shows.
func (c *centre) listWebshops(ctx context.Context) ([]console.Webshop, error) {
	all, err := c.online.List(ctx, shownDeliveries)
	var out []console.Webshop
	for _, s := range all {
		w := console.Webshop{
			ID: s.ID, Merchant: s.Merchant, Name: s.Name, Categories: s.Categories, PerPayment: s.PerPayment, PerDay: s.PerDay,
			Hook: s.Hook, HookOn: s.HookOn, Suspended: s.Suspended, Waiting: s.Waiting,
		}
		for _, k := range s.Keys {
			w.Keys = append(w.Keys, console.WebshopKey{ID: k.ID, CreatedMS: k.CreatedMS, RevokedMS: k.RevokedMS})
		}
		for _, d := range s.Deliveries {
			w.Deliveries = append(w.Deliveries, console.WebshopDelivery{
				Event: d.Event, Try: d.Try, AtMS: d.AtMS, TookMS: d.TookMS, Status: d.Status, Error: d.Error,
			})
		}
		out = append(out, w)
	}
	return out, err
}

const shownDeliveries = 20

// switchWebshop is the console's hand on a shop or a key.
func (c *centre) switchWebshop(ctx context.Context, id, change, by string) error {
	if change == "revoke" {
		return c.online.RevokeKey(ctx, id, by)
	}
	return c.online.Switch(ctx, id, webshop.Change(change), by)
}

type webshopCmd struct {
	Add    webshopAddCmd    `cmd:"" help:"Register a merchant's web shop, or change it. 登记或修改网店。"`
	Key    webshopKeyCmd    `cmd:"" help:"Put a key of a web shop in force; a private one is shown once. 签发网店密钥。"`
	List   webshopListCmd   `cmd:"" help:"List web shops, their keys and what waits. 列出网店。"`
	Revoke webshopRevokeCmd `cmd:"" help:"End a key at once. 吊销密钥。"`
	Switch webshopSwitchCmd `cmd:"" help:"Suspend or resume a shop, its webhooks off or on, or send again. 停用或启用。"`
}

type webshopAddCmd struct {
	ID          string    `arg:"" help:"Short name: a-z, 0-9 and -. 网店编号。"`
	Merchant    string    `required:"" help:"The registered merchant that is paid. 商户号。"`
	NameZH      string    `name:"name-zh" required:"" help:"Name in Chinese. 中文名。"`
	NameEN      string    `name:"name-en" required:"" help:"Name in English. 英文名。"`
	Category    []string  `help:"A category that it sells; any without it. 可售类别。"`
	Institution string    `help:"Whose QR its customers scan; the centre's default without it. 收款机构。"`
	PerPayment  pos.Money `name:"per-payment-fen" help:"The most of one payment, in fen; 5000000 without it. 单笔限额(分)。"`
	PerDay      pos.Money `name:"per-day-fen" help:"The most of a day, in fen; 500000000 without it. 单日限额(分)。"`
	PerMinute   int       `name:"per-minute" default:"600" help:"Requests a minute. 每分钟请求数。"`
	Hook        string    `help:"https://… that events are posted to. 通知地址。"`
}

// Run registers.
func (a webshopAddCmd) Run(ctx context.Context, g *grammar, out *cli.Streams) error {
	s := webshop.Shop{
		ID: a.ID, Merchant: a.Merchant, Name: pos.Text{ZH: a.NameZH, EN: a.NameEN}, Institution: a.Institution, Categories: a.Category,
		PerPayment: a.PerPayment, PerDay: a.PerDay, PerMinute: a.PerMinute, Hook: a.Hook, HookOn: a.Hook != "",
	}
	if len(s.Categories) == 0 {
		s.Categories = []string{"*"}
	}
	if s.PerPayment == 0 {
		s.PerPayment = webshop.DefaultPerPayment
	}
	if s.PerDay == 0 {
		s.PerDay = webshop.DefaultPerDay
	}
	return with(ctx, g, out, func(c *centre) error {
		if _, known := c.banks.Member(s.Institution); s.Institution != "" && !known {
			return cli.Exit(cli.Usage, pos.FieldError(pos.ErrBadRequest, "institution", fmt.Errorf("%q is not connected", s.Institution)))
		}
		if err := c.online.AddShop(ctx, s, actor()); err != nil {
			return err
		}
		_, err := fmt.Fprintf(out.Out, "web shop %s is registered; give it a key: poscentral webshop key %s 网店已登记\n", s.ID, s.ID)
		return err
	})
}

type webshopKeyCmd struct {
	Shop   string `arg:"" help:"The web shop. 网店编号。"`
	Public string `type:"path" help:"The shop's own public key, PEM; then nothing secret is made here. 网店自有公钥文件。"`
	Out    string `type:"path" help:"Write the key to this new file, mode 0600, instead of showing it. 写入文件。"`
}

// shopKey is a key as the shop gets it.
type shopKey struct {
	Format  string `json:"format"`
	Shop    string `json:"shop"`
	KeyID   string `json:"keyid"`
	Alg     string `json:"alg"`
	Private string `json:"private_key,omitempty"`
}

// Run makes the key, or takes the shop's own.
func (k webshopKeyCmd) Run(ctx context.Context, g *grammar, out *cli.Streams) error {
	public, err := k.public()
	if err != nil {
		return cli.Exit(cli.Usage, err)
	}
	if k.Out != "" {
		if _, err := os.Lstat(k.Out); err == nil {
			return cli.Exit(cli.Usage, pos.FieldError(pos.ErrBadRequest, "out", fmt.Errorf("%s is there already", k.Out)))
		}
	}
	return with(ctx, g, out, func(c *centre) error {
		key, private, err := c.online.AddKey(ctx, k.Shop, public, actor())
		if err != nil {
			return err
		}
		file := shopKey{Format: "dcpos.shop-key-1", Shop: k.Shop, KeyID: key.ID, Alg: "ed25519"}
		if private != nil {
			text, err := encodeKey(private)
			if err != nil {
				return err
			}
			file.Private = string(text)
		}
		b, err := json.MarshalIndent(file, "", "  ")
		if err != nil {
			return err
		}
		if k.Out == "" {
			_, err = fmt.Fprintln(out.Out, string(b))
			return err
		}
		if err := secret.Save(k.Out, append(b, '\n')); err != nil {
			return err
		}
		_, err = fmt.Fprintf(out.Out, "key %s is in %s; it is nowhere else 密钥已写入,别处不保存\n", key.ID, k.Out)
		return err
	})
}

func (k webshopKeyCmd) public() (ed25519.PublicKey, error) {
	if k.Public == "" {
		return nil, nil
	}
	b, err := os.ReadFile(k.Public)
	if err != nil {
		return nil, err
	}
	block, _ := pem.Decode(b)
	if block == nil {
		return nil, pos.FieldError(pos.ErrBadRequest, "public", errors.New("holds no PEM"))
	}
	parsed, err := x509.ParsePKIXPublicKey(block.Bytes)
	if err != nil {
		return nil, pos.FieldError(pos.ErrBadRequest, "public", err)
	}
	key, ok := parsed.(ed25519.PublicKey)
	if !ok {
		return nil, pos.FieldError(pos.ErrBadRequest, "public", errors.New("want an Ed25519 key"))
	}
	return key, nil
}

type webshopListCmd struct {
	JSON bool `name:"json" help:"Print JSON. 以 JSON 输出。"`
}

// Run lists.
func (l webshopListCmd) Run(ctx context.Context, g *grammar, out *cli.Streams) error {
	return with(ctx, g, out, func(c *centre) error {
		all, err := c.listWebshops(ctx)
		if err != nil {
			return err
		}
		if l.JSON {
			return json.NewEncoder(out.Out).Encode(all)
		}
		w := tabwriter.NewWriter(out.Out, 0, 4, 2, ' ', 0)
		_, _ = fmt.Fprintln(w, "shop 网店\tmerchant 商户\tcategories 类别\tper payment 单笔\tper day 单日\tkeys 密钥\twebhook 通知\twaiting 待送\tstate 状态")
		for _, s := range all {
			hook, state := s.Hook, "active 启用"
			if hook == "" || !s.HookOn {
				hook = "off 关闭"
			}
			if s.Suspended {
				state = "suspended 停用"
			}
			var keys []string
			for _, k := range s.Keys {
				if k.RevokedMS > 0 {
					continue
				}
				keys = append(keys, k.ID)
			}
			_, _ = fmt.Fprintf(w, "%s\t%s\t%s\t¥%s\t¥%s\t%s\t%s\t%d\t%s\n", s.ID, s.Merchant, strings.Join(s.Categories, ","),
				s.PerPayment, s.PerDay, strings.Join(keys, ","), hook, s.Waiting, state)
		}
		return w.Flush()
	})
}

type webshopRevokeCmd struct {
	Key string `arg:"" help:"Id of the key. 密钥编号。"`
}

// Run revokes.
func (r webshopRevokeCmd) Run(ctx context.Context, g *grammar, out *cli.Streams) error {
	return with(ctx, g, out, func(c *centre) error {
		if err := c.online.RevokeKey(ctx, r.Key, actor()); err != nil {
			return err
		}
		_, err := fmt.Fprintf(out.Out, "key %s is revoked since %s 密钥已吊销\n", r.Key, time.Now().In(pos.Shanghai()).Format(time.DateTime))
		return err
	})
}

type webshopSwitchCmd struct {
	Shop   string `arg:"" help:"The web shop. 网店编号。"`
	Change string `arg:"" enum:"suspend,resume,hook_off,hook_on,resend" help:"suspend, resume, hook_off, hook_on, or resend what was not taken. 操作。"`
}

// Run switches.
func (s webshopSwitchCmd) Run(ctx context.Context, g *grammar, out *cli.Streams) error {
	return with(ctx, g, out, func(c *centre) error {
		if err := c.online.Switch(ctx, s.Shop, webshop.Change(s.Change), actor()); err != nil {
			return err
		}
		_, err := fmt.Fprintf(out.Out, "%s: %s 已完成\n", s.Shop, s.Change)
		return err
	})
}
