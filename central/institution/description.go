package institution

import (
	"bytes"
	"embed"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/url"
	"os"
	"path"
	"regexp"
	"slices"
	"time"

	"go.yaml.in/yaml/v3"

	"dcpos/pos"
)

//go:embed descriptions/*.yaml
var shipped embed.FS

const maxDescription = 64 << 10

// Description is one institution as data. Money is in fen, times in Asia/Shanghai.
type Description struct {
	Code        string          `yaml:"code"` // [A-Z0-9]{2,12}
	Name        pos.Text        `yaml:"name"`
	Env         pos.Environment `yaml:"env"`
	BaseURL     string          `yaml:"base_url"`     // without a slash at the end; Access may override it
	APIKeyEnv   string          `yaml:"api_key_env"`  // name of the environment variable that holds the key
	APIKeyFile  string          `yaml:"api_key_file"` // or the file, for systemd credentials
	Routes      []string        `yaml:"routes"`       // digits 3 to 5 of its payment codes
	Timeouts    Timeouts        `yaml:"timeouts"`
	Concurrency Concurrency     `yaml:"concurrency"`
	Breaker     Breaker         `yaml:"breaker"`
	Limits      Limits          `yaml:"limits"`
	Forwardable []Instrument    `yaml:"forwardable"`
	FeePer10000 int64           `yaml:"fee_per_10000"` // merchant fee, 1/10000 of the amount
	Cutover     Clock           `yaml:"cutover"`       // a settlement day ends here
	Statement   Statement       `yaml:"statement"`
	Settlement  Settlement      `yaml:"settlement"`
}

// Timeouts bound one call each.
type Timeouts struct {
	Ask       Duration `yaml:"ask"`
	Query     Duration `yaml:"query"`
	Statement Duration `yaml:"statement"`
}

// Concurrency bounds what is in flight; queries have slots of their own.
type Concurrency struct {
	Ask   int `yaml:"ask"`
	Query int `yaml:"query"`
}

// Breaker says after how many consecutive failures questions fail fast, and for how long.
type Breaker struct {
	Failures int      `yaml:"failures"`
	Rest     Duration `yaml:"rest"`
}

// Limits are the institution's own; tills have theirs.
type Limits struct {
	PerPayment pos.Money `yaml:"per_payment_fen"`
}

// Instrument may be stored at the till and charged later, for as long as Validity.
type Instrument struct {
	Name     string   `yaml:"name"`
	Validity Duration `yaml:"validity"`
}

// instrumentForm is that of the names in dcep.ForwardCode.
var instrumentForm = regexp.MustCompile(`^[a-z0-9-]{1,12}$`)

// maxValidity bounds how long a code may lie at a till: longer is a slip of the pen.
const maxValidity = 7 * 24 * time.Hour

// Instrument finds a forwardable instrument by its name.
func (d Description) Instrument(name string) (Instrument, bool) {
	i := slices.IndexFunc(d.Forwardable, func(i Instrument) bool { return i.Name == name })
	if i < 0 {
		return Instrument{}, false
	}
	return d.Forwardable[i], true
}

// Statement says what the daily file looks like and when it is there.
type Statement struct {
	Format     string   `yaml:"format"`      // of posctl statement formats; dcpos: docs/PROTOCOL.md, "reconcile"
	ReadyAfter Duration `yaml:"ready_after"` // after the cut-over
}

// Settlement says what the net credit of a settlement date has in it already. Netted, the usual, is
// what stands for a key that is left out.
type Settlement struct {
	Fees    string `yaml:"fees"`    // netted: deducted; billed: the credit is gross of them, an invoice follows
	Refunds string `yaml:"refunds"` // netted: deducted; apart: debited elsewhere
}

// What the keys of Settlement may say.
const (
	Netted       = "netted"
	FeesBilled   = "billed"
	RefundsApart = "apart"
)

// Apart is what of a day's fees and refunds is settled by itself, not in the net credit.
func (s Settlement) Apart(fees, refunds pos.Money) (apart pos.Money) {
	if s.Fees == FeesBilled {
		apart += fees
	}
	if s.Refunds == RefundsApart {
		apart += refunds
	}
	return apart
}

// Duration is a time.Duration written as "8s" or "2h".
type Duration struct{ time.Duration }

// UnmarshalText reads what time.ParseDuration reads.
func (d *Duration) UnmarshalText(b []byte) error {
	v, err := time.ParseDuration(string(b))
	if err != nil {
		return fmt.Errorf("duration: %w", err)
	}
	d.Duration = v
	return nil
}

// Clock is a time of day as a distance from midnight, written "23:00".
type Clock struct{ time.Duration }

// UnmarshalText reads "hh:mm".
func (c *Clock) UnmarshalText(b []byte) error {
	t, err := time.Parse("15:04", string(b))
	if err != nil {
		return fmt.Errorf("time of day %q: want hh:mm", b)
	}
	c.Duration = time.Duration(t.Hour())*time.Hour + time.Duration(t.Minute())*time.Minute
	return nil
}

var (
	codeForm   = regexp.MustCompile(`^[A-Z0-9]{2,12}$`)
	formatForm = regexp.MustCompile(`^[A-Za-z0-9_-]{1,32}$`)
	routeForm  = regexp.MustCompile(`^[0-9]{3}$`)
)

// ParseDescription reads one description. A key that is not known is an error naming it.
func ParseDescription(b []byte) (Description, error) {
	var d Description
	if len(b) > maxDescription {
		return d, configError("", fmt.Errorf("%d bytes, at most %d", len(b), maxDescription))
	}
	dec := yaml.NewDecoder(bytes.NewReader(b))
	dec.KnownFields(true)
	if err := dec.Decode(&d); err != nil {
		return Description{}, configError("", err)
	}
	if err := dec.Decode(new(any)); !errors.Is(err, io.EOF) {
		return Description{}, configError("", errors.New("more than one document"))
	}
	return d, d.check()
}

func (d Description) check() error {
	switch {
	case !codeForm.MatchString(d.Code):
		return configError("code", fmt.Errorf("%q: want 2 to 12 of A-Z 0-9", d.Code))
	case d.Name.ZH == "" || d.Name.EN == "":
		return configError("name", errors.New("want zh and en"))
	case !d.Env.Valid():
		return configError("env", fmt.Errorf("%q: want live or lab", d.Env))
	case d.Timeouts.Ask.Duration <= 0 || d.Timeouts.Query.Duration <= 0 || d.Timeouts.Statement.Duration <= 0:
		return configError("timeouts", errors.New("want ask, query and statement above 0"))
	case d.Concurrency.Ask < 1 || d.Concurrency.Query < 1 || d.Concurrency.Ask > 4096 || d.Concurrency.Query > 4096:
		return configError("concurrency", errors.New("want ask and query from 1 to 4096"))
	case d.Breaker.Failures < 1 || d.Breaker.Rest.Duration <= 0:
		return configError("breaker", errors.New("want failures and rest above 0"))
	case d.Limits.PerPayment < 1 || d.Limits.PerPayment > pos.MaxAmount:
		return configError("limits.per_payment_fen", fmt.Errorf("want 1 to %d", pos.MaxAmount))
	case d.FeePer10000 < 0 || d.FeePer10000 > 10000:
		return configError("fee_per_10000", errors.New("want 0 to 10000"))
	case !formatForm.MatchString(d.Statement.Format):
		return configError("statement.format", fmt.Errorf("%q: want a name that posctl statement formats lists", d.Statement.Format))
	}
	if s := d.Settlement; !slices.Contains([]string{"", Netted, FeesBilled}, s.Fees) || !slices.Contains([]string{"", Netted, RefundsApart}, s.Refunds) {
		return configError("settlement", fmt.Errorf("fees %q, refunds %q: want netted or billed, and netted or apart", s.Fees, s.Refunds))
	}
	for _, r := range d.Routes {
		if !routeForm.MatchString(r) {
			return configError("routes", fmt.Errorf("%q: want three digits", r))
		}
	}
	for _, f := range d.Forwardable {
		if !instrumentForm.MatchString(f.Name) || f.Validity.Duration <= 0 || f.Validity.Duration > maxValidity {
			return configError("forwardable", fmt.Errorf("want a name of 1 to 12 of a-z 0-9 - and a validity above 0, at most %s", maxValidity))
		}
	}
	return d.checkURL(d.BaseURL)
}

func (d Description) checkURL(s string) error {
	u, err := url.Parse(s)
	if err != nil || (u.Scheme != "http" && u.Scheme != "https") || u.Host == "" || s[len(s)-1] == '/' {
		return configError("base_url", fmt.Errorf("%q: want http(s)://host/path without a slash at the end", s))
	}
	if d.Env == pos.Live && u.Scheme != "https" {
		return configError("base_url", errors.New("live money goes over https only"))
	}
	return nil
}

// Fee is the merchant fee of an amount, rounded half up to a fen.
func (d Description) Fee(amount pos.Money) pos.Money {
	q, r := amount/10000, amount%10000
	return q*pos.Money(d.FeePer10000) + (r*pos.Money(d.FeePer10000)+5000)/10000
}

// SettlementDate is the institution's accounting day of the moment t.
func (d Description) SettlementDate(t time.Time) pos.Date { return pos.DateOf(t, d.Cutover.Duration) }

// Shipped returns the descriptions that come with the program, sorted by code.
func Shipped() ([]Description, error) {
	dir, err := fs.Sub(shipped, "descriptions")
	if err != nil {
		return nil, fmt.Errorf("open shipped descriptions: %w", err)
	}
	return loadFS(dir)
}

// LoadDir reads every *.yaml of a directory, in the order of names.
func LoadDir(dir string) ([]Description, error) { return loadFS(os.DirFS(dir)) }

func loadFS(dir fs.FS) ([]Description, error) {
	names, err := fs.Glob(dir, "*.yaml")
	if err != nil {
		return nil, fmt.Errorf("list descriptions: %w", err)
	}
	var all []Description
	for _, name := range names {
		b, err := fs.ReadFile(dir, name)
		if err != nil {
			return nil, fmt.Errorf("read description: %w", err)
		}
		d, err := ParseDescription(b)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", path.Base(name), err)
		}
		all = append(all, d)
	}
	return all, nil
}

func configError(field string, err error) error {
	if field == "" {
		return pos.NewError(pos.ErrConfig, err)
	}
	return pos.FieldError(pos.ErrConfig, field, err)
}
