package demo

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"

	"dcpos/agent/localapi"
	"dcpos/lab/institution"
	"dcpos/lab/proxy"
	"dcpos/lab/wallet"
	"dcpos/pos"
	"dcpos/sdk"
)

// classes are the four tills of the demo, in the order of its story.
func classes() []string { return []string{"counter", "self-checkout", "smart-pos", "all-in-one"} }

// world is everything that runs: six institutions, the centre, a network that can be
// cut, four tills, customers' wallets, and the SDK client of a vendor.
type world struct {
	programs programs
	root     string
	sockets  string // Unix sockets: their paths may not be long

	banks    *process
	bankURL  string
	bankKeys map[string]string
	centre   *process
	centreIs string // the centre's configuration file
	database string // the centre's; "" is SQLite
	httpURL  string
	network  *proxy.Proxy
	tills    map[string]*till
	wallets  map[string]*wallet.Wallet
	vendor   *sdk.Client // drives the smart POS by loopback and token
	secret   string      // the vendor's token
}

// waitUp bounds the start of one program.
const waitUp = 30 * time.Second

// build starts everything; the caller ends it with close, also after an error.
func (w *world) build(ctx context.Context, tell *teller) error {
	for _, step := range []func(context.Context) error{
		w.startBanks, w.prepareCentre, w.startCentre, w.openWallets,
	} {
		if err := step(ctx); err != nil {
			return err
		}
	}
	tell.tell("六家模拟运营机构与中心已启动(内置 NATS,数据库 %[1]s)", "six simulated institutions and the centre are up (embedded NATS, database %[1]s)", w.engine())
	secret, hash, err := localapi.NewToken()
	if err != nil {
		return err
	}
	for _, class := range classes() {
		if err := w.openTill(ctx, class, hash); err != nil {
			return fmt.Errorf("till %s: %w", class, err)
		}
		tell.tell("终端 %[1]s 已注册为 %[2]s", "till %[1]s is enrolled as %[2]s", class, w.tills[class].name)
	}
	w.secret = secret
	return w.openVendor()
}

// openVendor connects the vendor's software to the smart POS, by loopback and token.
func (w *world) openVendor() error {
	base, _, err := w.tills["smart-pos"].address()
	if err != nil {
		return err
	}
	w.vendor, err = sdk.New(sdk.Options{URL: base, Token: w.secret})
	return err
}

// engine names the kind of database.
func (w *world) engine() string {
	if w.database == "" {
		return "SQLite"
	}
	return "PostgreSQL"
}

func (w *world) startBanks(ctx context.Context) (err error) {
	folder := filepath.Join(w.root, "lab")
	address := filepath.Join(folder, "address")
	if w.banks, err = w.programs.start(ctx, "institutions", "poslab", "institutions", "--dir", folder); err != nil {
		return err
	}
	if err := until(ctx, waitUp, "institutions answer", func() bool {
		b, err := os.ReadFile(address)
		w.bankURL = strings.TrimSpace(string(b))
		return err == nil && w.bankURL != ""
	}); err != nil {
		return err
	}
	if w.bankKeys, err = institution.ReadKeys(filepath.Join(folder, "keys.json")); err != nil {
		return err
	}
	trust, err := w.get(ctx, w.bankURL+"/lab/trust", "")
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(folder, "trust.json"), trust, 0o600)
}

// prepareCentre writes the configuration and registers the store.
func (w *world) prepareCentre(ctx context.Context) error {
	port, err := freePort(ctx)
	if err != nil {
		return err
	}
	if w.network, err = proxy.New(ctx, port, proxy.Options{}); err != nil {
		return err
	}
	banks := map[string]any{}
	for code, key := range w.bankKeys {
		banks[code] = map[string]string{"base_url": w.bankURL + "/" + code + "/v1", "api_key": key}
	}
	b, err := yaml.Marshal(map[string]any{
		"env": "lab", "data": filepath.Join(w.root, "central"), "reports": w.root, "database": w.database,
		"http":  map[string]any{"listen": "127.0.0.1:0", "address_file": filepath.Join(w.root, "lab", "centre.address")},
		"nats":  map[string]any{"listen": port, "advertise": "nats://" + w.network.Addr()},
		"trust": filepath.Join(w.root, "lab", "trust.json"), "institutions": banks, "default_institution": "ICBC",
		"reconcile": map[string]any{"at": ""},
	})
	if err != nil {
		return err
	}
	w.centreIs = filepath.Join(w.root, "lab", "poscentral.yaml")
	if err := os.WriteFile(w.centreIs, b, 0o600); err != nil {
		return err
	}
	_, err = w.programs.run(ctx, "", "poscentral", "--config", w.centreIs, "shop", "WFJ01", "--merchant", "M100",
		"--name-zh", "王府井一店", "--name-en", "Wangfujing Store 1")
	if err != nil {
		return err
	}
	for who, role := range map[string]string{"admin": "approver", "zhao": "operator"} {
		if _, err := w.programs.run(ctx, passwordOf(who), "poscentral", "--config", w.centreIs, "account", "add", who, "--role", role); err != nil {
			return err
		}
	}
	return nil
}

func (w *world) startCentre(ctx context.Context) (err error) {
	address := filepath.Join(w.root, "lab", "centre.address")
	_ = os.Remove(address) // of an earlier start
	if w.centre, err = w.programs.start(ctx, "centre", "poscentral", "--config", w.centreIs); err != nil {
		return err
	}
	return until(ctx, waitUp, "centre answers", func() bool {
		b, err := os.ReadFile(address)
		if err != nil || len(b) == 0 {
			return false
		}
		w.httpURL = "http://" + strings.TrimSpace(string(b))
		_, err = w.get(ctx, w.httpURL+"/readyz", "")
		return err == nil
	})
}

func (w *world) openWallets(ctx context.Context) error {
	w.wallets = map[string]*wallet.Wallet{}
	for code, key := range w.bankKeys {
		wal, err := wallet.Create(ctx, wallet.Client{Base: w.bankURL + "/" + code + "/v1", Key: key}, wallet.Opening{
			Institution: code, Name: "王芳", Balance: 2000_00, Envelope: 200_00,
		})
		if err != nil {
			return fmt.Errorf("open wallet at %s: %w", code, err)
		}
		w.wallets[code] = wal
	}
	return nil
}

func (w *world) openTill(ctx context.Context, class, tokenHash string) error {
	out, err := w.programs.run(ctx, "", "poscentral", "--config", w.centreIs, "code", "WFJ01", "--class", class, "--json")
	if err != nil {
		return err
	}
	var code struct{ Code string }
	if err := json.Unmarshal([]byte(out), &code); err != nil {
		return fmt.Errorf("enrolment code: %w", err)
	}
	t, err := newTill(ctx, w.root, w.sockets, class, tokenHash)
	if t != nil {
		w.tills[class] = t
	}
	if err != nil {
		return err
	}
	if err := t.start(ctx, w.programs); err != nil {
		return err
	}
	return t.enrol(ctx, w.programs, w.httpURL, code.Code)
}

// fault makes an institution misbehave on demand.
func (w *world) fault(ctx context.Context, code string, fault map[string]any) error {
	b, err := json.Marshal(fault)
	if err != nil {
		return err
	}
	_, err = w.call(ctx, http.MethodPost, w.bankURL+"/"+code+"/v1/faults", w.bankKeys[code], b)
	return err
}

// books are an institution's own totals.
type books struct {
	Paid          pos.Money `json:"paid_fen"`
	PaidCount     int       `json:"paid_count"`
	EvidenceCount int       `json:"evidence_count"`
	Refunded      pos.Money `json:"refunded_fen"`
	RefundedCount int       `json:"refunded_count"`
}

// allBooks adds up the books of the six.
func (w *world) allBooks(ctx context.Context) (sum books, err error) {
	for code, key := range w.bankKeys {
		b, err := w.get(ctx, w.bankURL+"/"+code+"/v1/books", key)
		if err != nil {
			return sum, err
		}
		var one books
		if err := json.Unmarshal(b, &one); err != nil {
			return sum, err
		}
		sum.Paid += one.Paid
		sum.Refunded += one.Refunded
		sum.PaidCount += one.PaidCount
		sum.EvidenceCount += one.EvidenceCount
		sum.RefundedCount += one.RefundedCount
	}
	return sum, nil
}

func (w *world) get(ctx context.Context, url, key string) ([]byte, error) {
	return w.call(ctx, http.MethodGet, url, key, nil)
}

const maxAnswer = 8 << 20

func (w *world) call(ctx context.Context, method, url, key string, body []byte) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, method, url, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	if key != "" {
		req.Header.Set("X-Dcpos-Key", key)
	}
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, err
	}
	defer func() { _ = resp.Body.Close() }() // read only
	b, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	if err == nil && resp.StatusCode >= 300 {
		err = fmt.Errorf("%s %s: %s: %s", method, url, resp.Status, b)
	}
	return b, err
}

// close ends what runs, the tills first, each with a word before.
func (w *world) close() error {
	var all error
	for _, class := range classes() {
		t := w.tills[class]
		if t == nil {
			continue
		}
		all = errors.Join(all, t.agent.stop(), t.unplug())
	}
	all = errors.Join(all, w.centre.stop(), w.banks.stop())
	if w.network != nil {
		all = errors.Join(all, w.network.Close())
	}
	return errors.Join(all, os.RemoveAll(w.sockets))
}

// freePort finds an address that is free now.
func freePort(ctx context.Context) (string, error) {
	var c net.ListenConfig
	l, err := c.Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	return l.Addr().String(), l.Close()
}

// consolePassword is of the demo's own operations account. The account exists in the
// demo's folder only; the product has no default password.
const consolePassword = "wangfujing-2021"

// passwordOf is of the demo's accounts: admin, who approves, and zhao, who works on breaks.
func passwordOf(who string) string {
	if who == "admin" {
		return consolePassword
	}
	return consolePassword + "-desk"
}

func newWorld(dir, executables string) (*world, error) {
	if executables == "" {
		self, err := os.Executable()
		if err != nil {
			return nil, err
		}
		executables = filepath.Dir(self)
	}
	sockets, err := os.MkdirTemp("", "dcpos-")
	if err != nil {
		return nil, err
	}
	w := &world{
		programs: programs{folder: executables, logs: filepath.Join(dir, "logs")},
		root:     dir, sockets: sockets, tills: map[string]*till{},
	}
	for _, d := range []string{"logs", "lab"} {
		if err := os.MkdirAll(filepath.Join(dir, d), 0o700); err != nil {
			return nil, err
		}
	}
	return w, nil
}

// screens are the addresses of every page.
func (w *world) screens() map[string]string {
	s := map[string]string{}
	for class, t := range w.tills {
		if _, entry, err := t.address(); err == nil {
			s[class] = entry
		}
	}
	if w.httpURL != "" {
		s["console"] = w.httpURL + "/console/"
	}
	if w.bankURL != "" {
		s["institutions"] = w.bankURL + "/"
	}
	return s
}

func sorted(names []string) []string {
	slices.Sort(names)
	return names
}
