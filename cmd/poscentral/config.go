package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"dcpos/central/institution"
	"dcpos/internal/config"
	"dcpos/pos"
	"dcpos/pos/dcep"
)

// settings are the keys of the centre's file. Every key has a line in configHelp.
type settings struct {
	Env      pos.Environment `yaml:"env"`
	Data     string          `yaml:"data"`
	Reports  string          `yaml:"reports"`
	Database string          `yaml:"database"`
	Suite    string          `yaml:"suite"`
	Log      string          `yaml:"log"`
	HTTP     httpSettings    `yaml:"http"`
	NATS     natsSettings    `yaml:"nats"`

	Trust              string                        `yaml:"trust"`
	InstitutionFolder  string                        `yaml:"institution_folder"`
	Institutions       map[string]institution.Access `yaml:"institutions"`
	DefaultInstitution string                        `yaml:"default_institution"`

	Reconcile reconcileSettings `yaml:"reconcile"`
	Campaign  campaignSettings  `yaml:"campaign"`
	Webshop   webshopSettings   `yaml:"webshop"`
}

type httpSettings struct {
	Listen       string `yaml:"listen"`
	AddressFile  string `yaml:"address_file"`
	MetricsToken string `yaml:"metrics_token"`
}

type natsSettings struct {
	Listen     string `yaml:"listen"`
	Advertise  string `yaml:"advertise"`
	URL        string `yaml:"url"`
	CentreSeed string `yaml:"centre_seed_file"`
	IssuerSeed string `yaml:"issuer_seed_file"`
	SystemSeed string `yaml:"system_seed_file"`
	Account    string `yaml:"account"`
	Replicas   int    `yaml:"replicas"`
	MaxStore   int64  `yaml:"max_store"`
	TLSCert    string `yaml:"tls_cert"`
	TLSKey     string `yaml:"tls_key"`
}

type reconcileSettings struct {
	At     string `yaml:"at"`
	Memory int64  `yaml:"memory"`

	Segments   string   `yaml:"segments"`
	Prepare    int      `yaml:"prepare_minutes"`
	Token      string   `yaml:"segments_token_file"`
	WorkerKeys []string `yaml:"worker_keys"`
	Lease      int      `yaml:"lease_seconds"`
	Rules      string   `yaml:"rules"`
	Splits     string   `yaml:"splits"`

	FourEyes pos.Money `yaml:"four_eyes_fen"`
}

// configHelp documents every key; a test holds it to settings.
const configHelp = `# poscentral: every key, its default and what it means. 所有配置项、默认值与含义。
env: live                      # live or lab; fixed when the database is made. 正式或测试环境
data: /var/lib/poscentral      # folder of keys, database, stream and statements, mode 0700. 数据目录
reports: ""                    # folder of statements/ and reconcile/; empty: data. 对账单与对账结果目录
database: ""                   # sqlite:PATH or postgres://…; empty: sqlite in data. 数据库
suite: sm2-sm3                 # of the centre's key when it is made. 签名算法
log: info                      # debug, info, warn or error. 日志级别
http:
  listen: 127.0.0.1:8700       # enrolment, console, health, metrics; port 0 picks one. 网页与注册接口
  address_file: ""             # write the address that was picked to this file. 地址写入此文件
  metrics_token: ""            # lets others than this machine read /metrics. 监控令牌
nats:
  listen: 127.0.0.1:4222       # of the embedded server. 内置 NATS 监听地址
  advertise: ""                # what tills are told to connect to; empty: listen. 告知终端的地址
  url: ""                      # an external cluster instead of the embedded server. 外部集群
  centre_seed_file: ""         # external: nkey seed of the centre's user. 中心用户密钥文件
  issuer_seed_file: ""         # external: nkey seed of the account key that signs permissions. 签发密钥文件
  system_seed_file: ""         # external: nkey seed of a system-account user, for the audit. 系统账号密钥文件
  account: ""                  # external: where the tills live. 账号
  replicas: 1                  # of the stream; an external cluster of three wants 3. 副本数
  max_store: 8589934592        # bytes that the stream may use. 最大占用
  tls_cert: ""                 # PEM certificate of the embedded server; then advertise tls://HOST:PORT. 证书
  tls_key: ""                  # its PEM key. 私钥
trust: ""                      # JSON of roots, institutions' certificates and revoked wallets. 信任列表
institution_folder: ""         # descriptions beside the six that ship. 其他机构描述目录
institutions: {}               # CODE: {base_url, api_key}; one without a key is not connected. 机构接入
default_institution: ""        # of a QR for which the till names none; empty: the first connected. 默认机构
reconcile:
  at: "01:00"                  # in Shanghai, for the settlement date before; empty: only when asked. 每日对账时间
  memory: 268435456            # bytes. 内存上限
  segments: ""                 # folder, or s3+https://HOST/BUCKET, that keeps what runs have done; empty: segments in data; none: nothing. 增量目录
  prepare_minutes: 60          # how often our lines are partitioned before the statements come; 0: not. 预先切分间隔(分钟)
  segments_token_file: ""      # lets workers reach that folder at /segments/ of the HTTP address. 分段令牌文件
  worker_keys: []              # nkeys of machines that may take shards (poscentral worker --new-key); none: all is done here. 工作节点公钥
  lease_seconds: 30            # how long a worker may be silent before its shard goes to another. 工作节点租约(秒)
  rules: ""                    # matching rules (YAML); empty: those that ship. 匹配规则文件
  splits: ""                   # rules that split a date into shards (YAML); empty: by the id's hash. By fields: in this process alone. 分片规则文件
  four_eyes_fen: 10000         # a remedy above this wants a second person, in fen. 复核限额(分)
campaign:
  listen: ""                   # page and API of campaigns, for citizens; empty: off. 活动页面监听地址
  address_file: ""             # write the address that was picked to this file. 地址写入此文件
  tls_cert: ""                 # PEM certificate; phones give a position to https pages only. 证书
  tls_key: ""                  # its PEM key. 私钥
  folder: ""                   # of published files; empty: campaigns in data. 公布文件目录
  publisher: publisher         # name in signatures, fixed when the key is made. 发布方名称
  witness: ""                  # the witness's verifier key; empty: no campaigns. 见证方公钥
  witness_url: ""              # where she answers. 见证方地址
  sms: ""                      # https://… that takes {phone, text}; file:PATH in the lab. 短信接口
  sms_token: ""                # bearer token of it. 短信接口令牌
  authority: ""                # https://… that answers {real, resident}; campaigns of residents need it. 身份核验接口
  authority_token: ""          # bearer token of it. 身份核验令牌
  proxies: []                  # networks whose X-Forwarded-For is believed. 可信代理
  per_source: 60               # submissions a minute of one network (/24, /56) or device. 每网段每分钟提交数
  look_ups: 120                # results a minute of one network. 每网段每分钟查询数
  clock: ""                    # lab: file with the duration that is added to the clock. 测试时钟偏移文件
webshop:
  listen: ""                   # API of merchants' web shops; empty: off. 网店接口监听地址
  address_file: ""             # write the address that was picked to this file. 地址写入此文件
  tls_cert: ""                 # PEM certificate; without it a proxy must end TLS. 证书
  tls_key: ""                  # its PEM key. 私钥
`

// load reads the file; no file is all defaults.
func load(path string) (settings, error) {
	s := settings{
		Env: pos.Live, Data: "/var/lib/poscentral", Suite: dcep.SM2SM3, Log: "info",
		HTTP: httpSettings{Listen: "127.0.0.1:8700"},
		NATS: natsSettings{Listen: "127.0.0.1:4222", Replicas: 1, MaxStore: 8 << 30},
		Reconcile: reconcileSettings{
			At: "01:00", Memory: 256 << 20, FourEyes: 100_00, Prepare: 60, Lease: 30,
		},
		Campaign: campaignSettings{Publisher: "publisher", PerSource: 60, LookUps: 120},
	}
	if path = config.Find(path, "/etc/dcpos/poscentral.yaml"); path != "" {
		if err := config.Load(path, &s); err != nil {
			return s, err
		}
	}
	if s.Reports == "" {
		s.Reports = s.Data
	}
	switch s.Reconcile.Segments {
	case "":
		s.Reconcile.Segments = filepath.Join(s.Data, "segments")
	case "none":
		s.Reconcile.Segments = ""
	}
	if s.Campaign.Folder == "" {
		s.Campaign.Folder = filepath.Join(s.Data, "campaigns")
	}
	if s.Database == "" {
		s.Database = "sqlite:" + filepath.Join(s.Data, "centre.db")
	}
	if err := s.check(); err != nil {
		return s, &config.Error{File: path, What: []string{err.Error()}}
	}
	return s, nil
}

func (s settings) check() error {
	if !s.Env.Valid() {
		return fmt.Errorf("env: %q: want live or lab", s.Env)
	}
	if _, err := dcep.SuiteByName(s.Suite); err != nil {
		return fmt.Errorf("suite: %w", err)
	}
	if s.Reconcile.At != "" {
		if _, err := time.Parse("15:04", s.Reconcile.At); err != nil {
			return fmt.Errorf("reconcile.at: %q: want hh:mm", s.Reconcile.At)
		}
	}
	if len(s.Reconcile.WorkerKeys) > 0 && s.Reconcile.Segments == "" {
		return errors.New("reconcile.worker_keys: workers need reconcile.segments")
	}
	if s.Reconcile.Lease < 1 || s.Reconcile.Lease > 3600 {
		return errors.New("reconcile.lease_seconds: want 1 to 3600")
	}
	if s.Reconcile.Prepare < 0 {
		return errors.New("reconcile.prepare_minutes: want 0 or more")
	}
	if s.Reconcile.FourEyes < 0 {
		return errors.New("reconcile.four_eyes_fen: want 0 or more")
	}
	if s.NATS.URL != "" && (s.NATS.CentreSeed == "" || s.NATS.IssuerSeed == "") {
		return errors.New("nats: an external cluster needs centre_seed_file and issuer_seed_file")
	}
	if (s.NATS.TLSCert == "") != (s.NATS.TLSKey == "") {
		return errors.New("nats: tls_cert and tls_key belong together")
	}
	if err := s.Webshop.check(); err != nil {
		return err
	}
	return s.Campaign.check(s.Env)
}

// trustOf reads the trust file; without one nobody's wallet is believed.
func (s settings) trustOf() (dcep.Trust, error) {
	none := dcep.Trust{Env: s.Env, IssuedMS: time.Now().UnixMilli()}
	if s.Trust == "" {
		return none, nil
	}
	b, err := os.ReadFile(s.Trust)
	if err != nil {
		return none, fmt.Errorf("trust: %w", err)
	}
	var t dcep.Trust
	if err := json.Unmarshal(b, &t); err != nil {
		return none, fmt.Errorf("trust: %s: %w", s.Trust, err)
	}
	if t.Env != s.Env {
		return none, pos.NewError(pos.ErrEnvironment, fmt.Errorf("trust: %s is %q, this centre is %q", s.Trust, t.Env, s.Env))
	}
	t.IssuedMS = none.IssuedMS
	return t, nil
}

// connect makes the clients of the institutions for which there is a key.
func (s settings) connect(now func() time.Time) (*institution.Set, error) {
	all, err := institution.Shipped()
	if err != nil {
		return nil, err
	}
	if s.InstitutionFolder != "" {
		more, err := institution.LoadDir(s.InstitutionFolder)
		if err != nil {
			return nil, err
		}
		all = append(all, more...)
	}
	var connected []institution.Description
	for _, d := range all {
		if s.hasKey(d) {
			connected = append(connected, d)
		}
	}
	return institution.Connect(s.Env, connected, s.Institutions, os.LookupEnv, now)
}

func (s settings) hasKey(d institution.Description) bool {
	if s.Institutions[d.Code].APIKey != "" || d.APIKeyFile != "" {
		return true
	}
	_, ok := os.LookupEnv(d.APIKeyEnv)
	return ok
}
