package main

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"dcpos/agent/checkout"
	"dcpos/agent/identity"
	"dcpos/agent/identity/tpm"
	"dcpos/agent/localapi"
	"dcpos/agent/screen"
	"dcpos/drivers"
	profiles "dcpos/firmware-profiles"
	"dcpos/internal/config"
	"dcpos/internal/secret"
	"dcpos/offline"
	"dcpos/pos"
	"dcpos/pos/dcep"
)

// settings are the keys of the agent's file. Every key has a line in configHelp.
type settings struct {
	Env    pos.Environment `yaml:"env"`
	Data   string          `yaml:"data"`
	Class  string          `yaml:"class"`
	Suite  string          `yaml:"suite"`
	Key    keySettings     `yaml:"key"`
	API    apiSettings     `yaml:"api"`
	Log    string          `yaml:"log"`
	Timing timingSettings  `yaml:"timing"`

	Devices  deviceSettings         `yaml:"devices"`
	Printer  *drivers.DeviceConfig  `yaml:"printer"`
	Scanner  *drivers.DeviceConfig  `yaml:"scanner"`
	Scanners []drivers.DeviceConfig `yaml:"scanners"`
	NFC      *drivers.DeviceConfig  `yaml:"nfc"`
	Display  *drivers.DeviceConfig  `yaml:"display"`
	Drawer   bool                   `yaml:"drawer"`

	SignIn         *bool         `yaml:"sign_in"`
	CashierRefunds bool          `yaml:"cashier_refunds"`
	Receipt        string        `yaml:"receipt"`
	Reprint        string        `yaml:"reprint"`
	Cutover        time.Duration `yaml:"cutover"`
	Keep           time.Duration `yaml:"keep"`
	CampaignHost   string        `yaml:"campaign_host"`
	Category       string        `yaml:"category"`
	Fare           fareSettings  `yaml:"fare"`
}

type fareSettings struct {
	Amount pos.Money     `yaml:"amount_fen"`
	Again  time.Duration `yaml:"again"`
}

type keySettings struct {
	Kind    string `yaml:"kind"`
	Device  string `yaml:"device"`
	PINFile string `yaml:"pin_file"`
}

// The values of key.kind.
const (
	keyFile   = "file"
	keyTPM    = "tpm"
	keySealed = "tpm-sealed"
)

// keeper is where the journal's key is kept.
func (k keySettings) keeper() (identity.Keeper, error) {
	if k.Kind == keyFile {
		return identity.FileKeeper{}, nil
	}
	t := tpm.Keeper{Device: k.Device, Sealed: k.Kind == keySealed}
	if k.PINFile == "" {
		return t, nil
	}
	pin, err := secret.Load(k.PINFile, func() ([]byte, error) { return nil, errors.New("key.pin_file: no such file") })
	if err != nil {
		return nil, pos.FieldError(pos.ErrConfig, "key.pin_file", err)
	}
	t.PIN = bytes.TrimRight(pin, "\r\n")
	return t, nil
}

type deviceSettings struct {
	Auto bool `yaml:"auto"`
}

type apiSettings struct {
	Unix    string           `yaml:"unix"`
	Listen  string           `yaml:"listen"`
	Address string           `yaml:"address_file"`
	Tokens  []localapi.Token `yaml:"tokens"`
}

type timingSettings struct {
	Expiry  time.Duration `yaml:"expiry"`
	Answer  time.Duration `yaml:"answer"`
	Query   time.Duration `yaml:"query"`
	Fast    time.Duration `yaml:"fast"`
	QRValid time.Duration `yaml:"qr_valid"`
	Prompt  time.Duration `yaml:"prompt"`
}

// configHelp documents every key; a test holds it to settings.
const configHelp = `# posagent: every key, its default and what it means. 所有配置项、默认值与含义。
env: live                 # live or lab; a live till trusts no lab certificate. 正式或测试环境
data: /var/lib/posagent   # folder of keys, identity and journal, mode 0700. 数据目录
class: counter            # self-checkout, counter, smart-pos, all-in-one or sdk. 终端类型
suite: sm2-sm3            # of the journal key when it is made: sm2-sm3 or ed25519-sha256. 签名算法
key:
  kind: file              # where the journal key is: file (mode 0600), tpm (made in a TPM 2.0 with SM2), tpm-sealed. 密钥存放
  device: /dev/tpmrm0     # the TPM, or the socket of a software TPM. 安全芯片设备
  pin_file: ""            # file of mode 0600 with the key's PIN; empty: none. PIN 文件
log: info                 # debug, info, warn or error. 日志级别
api:
  unix: /run/posagent/api.sock  # local API for posctl and the vendor's POS, mode 0660. 本地接口
  listen: 127.0.0.1:8620  # screens and the API on loopback; empty: none; port 0 picks one. 本机网页与接口
  address_file: ""        # where the screen's address with its key is written; empty: data/screen.url. 网页地址文件
  tokens: []              # {name, hash: SHA-256 of the token in hexadecimal, scopes: [read, pay, refund, admin]}. 访问令牌
devices:                  # each below may also have a name, and a transport of kind serial, usb, hid, evdev, pcsc or tcp
  auto: true              # use every device that is plugged in and recognised, without naming it. 自动识别外设
printer: {profile: escpos-80mm-gb18030, transport: {kind: serial, path: /dev/ttyUSB0}} # named: always this one. 指定打印机
scanner: {profile: serial-cr, transport: {kind: serial, path: /dev/ttyACM0}}           # likewise; framing: {end: cr, prefix: ""} (cr, lf, crlf, idle) fixes how codes end. 指定扫码枪
scanners: []              # further ones, as scanner. 更多扫码枪
nfc: {profile: acr122u, transport: {kind: pcsc}}                                       # likewise. 指定读卡器
display: {profile: epson-dm-d, transport: {kind: serial, path: /dev/ttyUSB1}}          # likewise; behind the printer: {profile: epson-dm-d-shared, transport: {kind: printer}}. 指定客显
drawer: false             # a cash drawer hangs on the printer. 钱箱
sign_in: true             # an operator must sign in; default by class. 是否需要收银员登录
campaign_host: ""         # host of the campaign pages, such as pos.example.cn: its QR codes are told from other links. 活动页面域名
cashier_refunds: false    # cashiers may refund; else supervisors only. 收银员可否退款
receipt: always           # always, ask or never; default by class. 小票打印
reprint: ask              # when paper may be out: ask a person, or auto; auto is the default at kiosks. 补打
cutover: 0s               # end of the business day after midnight in Shanghai. 营业日切换时间
category: ""              # of the goods sold here, such as books: which red envelopes fit. 商品类别
fare:                     # a gate or bus: every tap pays this amount by evidence, without a keypad. 定额刷卡
  amount_fen: 0           # 0: no gate; at most the policy's fare_max. 每次金额(分)
  again: 10s              # the same wallet pays once in this time; 0s: every time. 防重复刷卡时间
keep: 2160h               # how long entries stay after the centre's receipt; at least 90 days. 回执后保留时长,不少于 90 天
timing:
  expiry: 15s             # the centre starts no question that is older. 请求有效期
  answer: 20s             # an answer is awaited so long, then the result is unknown. 等待应答
  query: 3s               # between queries at first. 查询间隔
  fast: 45s               # so long; then after 1, 5, 15, 60 minutes. 快速查询时长
  qr_valid: 3m            # how long a QR is shown. 收款码有效期
  prompt: 2m              # how long a wallet may answer an offline challenge. 离线挑战码有效期
`

// load reads the file, if there is one, and fills in what the class decides.
func load(path string) (settings, profiles.Class, error) {
	s := settings{
		Env: pos.Live, Data: "/var/lib/posagent", Class: "counter", Suite: dcep.SM2SM3, Log: "info",
		API:     apiSettings{Unix: "/run/posagent/api.sock", Listen: "127.0.0.1:8620"},
		Devices: deviceSettings{Auto: true}, Fare: fareSettings{Again: 10 * time.Second},
		Key: keySettings{Kind: keyFile, Device: tpm.DefaultDevice}, Keep: offline.MinKeep,
	}
	if path = config.Find(path, "/etc/dcpos/posagent.yaml"); path != "" {
		if err := config.Load(path, &s); err != nil {
			return s, profiles.Class{}, err
		}
	}
	class, err := profiles.FindClass(s.Class)
	if err != nil {
		return s, class, &config.Error{File: path, What: []string{"class: " + err.Error()}}
	}
	if s.SignIn == nil {
		s.SignIn = &class.Defaults.OperatorLogin
	}
	if s.Receipt == "" {
		s.Receipt = class.Defaults.Receipt
	}
	if s.Reprint == "" {
		s.Reprint = string(checkout.ReprintAsk)
		if class.Screen.Layout == screen.LayoutKiosk { // nobody is there to ask
			s.Reprint = string(checkout.ReprintAuto)
		}
	}
	if err := s.check(); err != nil {
		return s, class, &config.Error{File: path, What: []string{err.Error()}}
	}
	return s, class, nil
}

func (s settings) check() error {
	if !s.Env.Valid() {
		return fmt.Errorf("env: %q: want live or lab", s.Env)
	}
	if _, err := dcep.SuiteByName(s.Suite); err != nil {
		return fmt.Errorf("suite: %w", err)
	}
	if k := s.Key.Kind; k != keyFile && k != keyTPM && k != keySealed {
		return fmt.Errorf("key.kind: %q: want %s, %s or %s", k, keyFile, keyTPM, keySealed)
	}
	if s.API.Unix == "" && s.API.Listen == "" {
		return errors.New("api: unix and listen are both empty: nobody could reach this till")
	}
	switch s.Receipt {
	case "always", "ask", "never":
	default:
		return fmt.Errorf("receipt: %q: want always, ask or never", s.Receipt)
	}
	switch checkout.Reprint(s.Reprint) {
	case checkout.ReprintAsk, checkout.ReprintAuto:
	default:
		return fmt.Errorf("reprint: %q: want ask or auto", s.Reprint)
	}
	if err := s.checkDevices(); err != nil {
		return err
	}
	if s.Fare.Amount < 0 || s.Fare.Amount > pos.MaxAmount || s.Fare.Again < 0 || s.Fare.Again > time.Hour {
		return errors.New("fare: want an amount in fen and again from 0s to 1h")
	}
	if len(s.Category) > 32 {
		return fmt.Errorf("category: %q: want at most 32 bytes", s.Category)
	}
	if s.Keep < offline.MinKeep {
		return fmt.Errorf("keep: %s: want at least %s", s.Keep, offline.MinKeep)
	}
	if s.Cutover < 0 || s.Cutover >= 24*time.Hour {
		return fmt.Errorf("cutover: %s: want 0s to 24h", s.Cutover)
	}
	return nil
}

func (s settings) checkDevices() error {
	named := map[string]*drivers.DeviceConfig{"printer": s.Printer, "scanner": s.Scanner, "nfc": s.NFC, "display": s.Display}
	for i := range s.Scanners {
		named[fmt.Sprintf("scanners.%d", i)] = &s.Scanners[i]
	}
	for _, name := range slices.Sorted(maps.Keys(named)) {
		if d := named[name]; d != nil {
			if err := d.Check(); err != nil {
				return fmt.Errorf("%s: %w", name, err)
			}
			if err := checkBehind(name, *d); err != nil {
				return fmt.Errorf("%s: transport.kind printer: %w", name, err)
			}
		}
	}
	return nil
}

// checkBehind tells what cannot hang on the printer: it passes bytes on to displays alone,
// and only to those that know when they are spoken to.
func checkBehind(role string, d drivers.DeviceConfig) error {
	if d.Transport.Kind != drivers.TransportPrinter {
		return nil
	}
	if role != "display" {
		return errors.New("only a display may hang on the printer")
	}
	p, err := profiles.FindLineDisplay(d.Profile)
	if err == nil && !p.Select {
		err = fmt.Errorf("profile %s is for a display with a line of its own; take one with select, such as epson-dm-d-shared", d.Profile)
	}
	return err
}
