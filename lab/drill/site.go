package drill

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"dcpos/lab/forgetfs"
	"dcpos/lab/institution"
	"dcpos/lab/institution/api"
	"dcpos/lab/proxy"
	"dcpos/lab/wallet"
	"dcpos/pos"
)

// SiteOptions say what is built.
type SiteOptions struct {
	Bin   string // folder of posagent, poscentral, posctl and poslab
	Dir   string // empty or absent
	Tills int    // 0 is 1, negative is none; their journal keys are sm2-sm3 and ed25519-sha256 by turns
	// Forgetful puts the data of tills and centre on file systems that forget at a power cut.
	Forgetful bool
	Seed      uint64
	// Places, latitude and longitude, put the n-th till into a store of its own there; nil: all tills are in one store
	// of which nobody knows the place.
	Places [][2]float64
	// Till are further keys of the tills' files, such as devices.
	Till map[string]any
}

// The one merchant of a site, and its first store.
const (
	shop     = "SZ01"
	merchant = "M100"
)

// store is where the n-th till is.
func (o SiteOptions) store(n int) string {
	if n < len(o.Places) {
		return fmt.Sprintf("SZ%02d", n+1)
	}
	return shop
}

// readyPatience is how long a program may take until it answers.
const readyPatience = 30 * time.Second

// Site is a shop, its centre and the outside world, all running.
type Site struct {
	Options SiteOptions
	Centre  *Centre
	Tills   []*Till
	Link    *proxy.Proxy // between tills and centre

	lab     *Program
	labURL  string
	keys    map[string]string
	sockets string
}

// Centre is the running poscentral.
type Centre struct {
	Program
	Data string
	Disk *forgetfs.Mount // nil: an ordinary folder

	config  string
	address string // file with the HTTP address
}

// Open builds a site and waits until every till is enrolled and online. Close ends it.
func Open(ctx context.Context, o SiteOptions) (s *Site, err error) {
	if o.Tills == 0 {
		o.Tills = 1
	}
	if o.Dir, err = filepath.Abs(o.Dir); err != nil {
		return nil, err
	}
	s = &Site{Options: o}
	defer func() {
		if err != nil {
			err = errors.Join(err, s.Close())
		}
	}()
	if err := os.MkdirAll(s.path("logs"), 0o700); err != nil {
		return s, err
	}
	// A Unix socket's path is limited to 107 bytes.
	if s.sockets, err = os.MkdirTemp("", "drill"); err != nil {
		return s, err
	}
	if err := s.openLab(ctx); err != nil {
		return s, fmt.Errorf("institutions: %w", err)
	}
	if err := s.openCentre(ctx); err != nil {
		return s, fmt.Errorf("centre: %w", err)
	}
	for i := range max(o.Tills, 0) {
		t, err := s.openTill(ctx, i)
		if t != nil {
			s.Tills = append(s.Tills, t)
		}
		if err != nil {
			return s, fmt.Errorf("till %d: %w", i, err)
		}
	}
	return s, nil
}

func (s *Site) path(parts ...string) string {
	return filepath.Join(append([]string{s.Options.Dir}, parts...)...)
}

func (s *Site) bin(name string) string { return filepath.Join(s.Options.Bin, name) }

func (s *Site) program(name, binary string, args ...string) Program {
	return Program{Name: name, Path: s.bin(binary), Args: args, Log: s.path("logs", name+".log")}
}

// folder makes a data folder, on a forgetting file system if the site has them.
func (s *Site) folder(ctx context.Context, name string, seed uint64) (string, *forgetfs.Mount, error) {
	if !s.Options.Forgetful {
		return s.path(name), nil, os.MkdirAll(s.path(name), 0o700)
	}
	// A machine that loses its power may leave a random part of what was not synced, and
	// names of files are durable only after an fsync of them or of their folder.
	m, err := forgetfs.Start(ctx, s.bin("poslab"), s.path("disks", name), s.path("mounts", name),
		forgetfs.Torn, forgetfs.StrictDirs, forgetfs.Seed(seed))
	if err != nil {
		return "", nil, err
	}
	return filepath.Join(m.Path, "data"), m, os.MkdirAll(filepath.Join(m.Path, "data"), 0o700)
}

func (s *Site) openLab(ctx context.Context) error {
	address := s.path("lab.addr")
	p := s.program("institutions", "poslab", "institutions", "--dir", s.path("lab"), "--address-file", address)
	s.lab = &p
	if err := s.lab.Start(ctx); err != nil {
		return err
	}
	err := until(ctx, readyPatience, func() error {
		b, err := os.ReadFile(address)
		if err != nil {
			return err
		}
		s.labURL = strings.TrimSpace(string(b))
		_, err = get(ctx, s.labURL+"/healthz", "")
		return err
	})
	if err != nil {
		return err
	}
	if s.keys, err = institution.ReadKeys(s.path("lab", institution.KeysFile)); err != nil {
		return err
	}
	trust, err := get(ctx, s.labURL+"/lab/trust", "")
	if err != nil {
		return err
	}
	return os.WriteFile(s.path("trust.json"), trust, 0o600)
}

// freePort is a port that was free a moment ago.
func freePort(ctx context.Context) (string, error) {
	var c net.ListenConfig
	l, err := c.Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	return l.Addr().String(), l.Close()
}

func (s *Site) openCentre(ctx context.Context) (err error) {
	c := &Centre{config: s.path("centre.yaml"), address: s.path("centre.addr")}
	if c.Data, c.Disk, err = s.folder(ctx, "centre", s.Options.Seed); err != nil {
		return err
	}
	s.Centre = c
	nats, err := freePort(ctx)
	if err != nil {
		return err
	}
	if s.Link, err = proxy.New(context.WithoutCancel(ctx), nats, proxy.Options{}); err != nil {
		return err
	}
	institutions := map[string]any{}
	for _, i := range institution.Institutions() {
		institutions[i.Code] = map[string]string{"base_url": s.labURL + "/" + i.Code + "/v1", "api_key": s.keys[i.Code]}
	}
	if err := writeConfig(c.config, map[string]any{
		"env": "lab", "data": c.Data, "trust": s.path("trust.json"),
		"http":         map[string]any{"listen": "127.0.0.1:0", "address_file": c.address},
		"nats":         map[string]any{"listen": nats, "advertise": "nats://" + s.Link.Addr()},
		"institutions": institutions, "reconcile": map[string]any{"at": ""},
	}); err != nil {
		return err
	}
	for n := range max(1, len(s.Options.Places)) {
		args := []string{"--config", c.config, "shop", s.Options.store(n), "--merchant", merchant, "--name-zh", "演练店", "--name-en", "Drill"}
		if n < len(s.Options.Places) {
			at := s.Options.Places[n]
			args = append(args, fmt.Sprintf("--lat=%f", at[0]), fmt.Sprintf("--lon=%f", at[1]))
		}
		if _, err := must(ctx, s.bin("poscentral"), args...); err != nil {
			return err
		}
	}
	c.Program = s.program("centre", "poscentral", "--config", c.config)
	return s.StartCentre(ctx)
}

// writeConfig writes YAML, of which JSON is a part.
func writeConfig(path string, v any) error {
	b, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		return err
	}
	return os.WriteFile(path, append(b, '\n'), 0o600)
}

// StartCentre starts the centre and waits until it answers.
func (s *Site) StartCentre(ctx context.Context) error {
	c := s.Centre
	if err := os.Remove(c.address); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	if err := c.Start(ctx); err != nil {
		return err
	}
	return until(ctx, readyPatience, func() error {
		if !c.Running() {
			return fatal{c.gone()}
		}
		url, err := c.URL()
		if err != nil {
			return err
		}
		_, err = get(ctx, url+"/healthz", "")
		return err
	})
}

// URL is where the centre's pages and the enrolment are.
func (c *Centre) URL() (string, error) {
	b, err := os.ReadFile(c.address)
	return "http://" + strings.TrimSpace(string(b)), err
}

// Central runs a command of poscentral.
func (s *Site) Central(ctx context.Context, args ...string) (out []byte, code int, err error) {
	return command(ctx, s.bin("poscentral"), append([]string{"--config", s.Centre.config}, args...)...)
}

// AddAccount adds an account of the centre's console.
func (s *Site) AddAccount(ctx context.Context, name, role, password string) error {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, s.bin("poscentral"), "--config", s.Centre.config, "account", "add", name, "--role", role)
	cmd.Stdin = strings.NewReader(password + "\n")
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("account %s: %w: %s", name, err, out)
	}
	return nil
}

// Code makes an enrolment code of the first store; terminal names one whose next epoch is opened.
func (s *Site) Code(ctx context.Context, args ...string) (string, error) {
	return s.code(ctx, shop, args...)
}

func (s *Site) code(ctx context.Context, store string, args ...string) (string, error) {
	out, err := must(ctx, s.bin("poscentral"), append([]string{"--config", s.Centre.config, "code", store, "--json"}, args...)...)
	if err != nil {
		return "", err
	}
	var code struct{ Code string }
	return code.Code, json.Unmarshal(out, &code)
}

// Wallet opens a wallet with play money at an institution.
func (s *Site) Wallet(ctx context.Context, code string, balance pos.Money) (*wallet.Wallet, error) {
	return wallet.Create(ctx, s.WalletClient(code), wallet.Opening{Institution: code, Name: "drill", Balance: balance})
}

// WalletClient is how wallets reach an institution.
func (s *Site) WalletClient(code string) wallet.Client {
	return wallet.Client{Base: s.labURL + "/" + code + "/v1", Key: s.keys[code]}
}

// Revoke has an institution revoke a wallet and hands the new trust to the centre, as
// whoever keeps the list does.
func (s *Site) Revoke(ctx context.Context, w *wallet.Wallet) error {
	url := s.labURL + "/" + w.Institution() + "/v1/wallets/" + w.ID() + "/revoke"
	if _, err := request(ctx, http.MethodPost, url, s.keys[w.Institution()], nil); err != nil {
		return err
	}
	trust, err := get(ctx, s.labURL+"/lab/trust", "")
	if err != nil {
		return err
	}
	next := s.path("trust.json.new")
	if err := os.WriteFile(next, trust, 0o600); err != nil {
		return err
	}
	return os.Rename(next, s.path("trust.json"))
}

// Fault orders a fault at an institution.
func (s *Site) Fault(ctx context.Context, code string, f api.Fault) error {
	b, err := json.Marshal(f)
	if err != nil {
		return err
	}
	_, err = request(ctx, http.MethodPost, s.labURL+"/"+code+"/v1/faults", s.keys[code], b)
	return err
}

// ClearFaults takes every ordered fault back.
func (s *Site) ClearFaults(ctx context.Context) error {
	for code, key := range s.keys {
		if _, err := request(ctx, http.MethodDelete, s.labURL+"/"+code+"/v1/faults", key, nil); err != nil {
			return err
		}
	}
	return nil
}

// Close ends everything that runs. Programs are killed, not stopped: what must be
// checked after a clean stop is stopped before.
func (s *Site) Close() error {
	var errs []error
	for _, t := range s.Tills {
		if t.Running() {
			errs = append(errs, t.Kill())
		}
		if t.Disk != nil {
			errs = append(errs, t.Disk.Stop())
		}
	}
	if c := s.Centre; c != nil {
		if c.Running() {
			errs = append(errs, c.Kill())
		}
		if c.Disk != nil {
			errs = append(errs, c.Disk.Stop())
		}
	}
	if s.Link != nil {
		errs = append(errs, s.Link.Close())
	}
	if s.lab != nil && s.lab.Running() {
		errs = append(errs, s.lab.Kill())
	}
	if s.sockets != "" {
		errs = append(errs, os.RemoveAll(s.sockets))
	}
	return errors.Join(errs...)
}

// fatal is an error that waiting does not mend.
type fatal struct{ error }

func (f fatal) Unwrap() error { return f.error }

// until tries f until it succeeds, is fatal, or the patience is over.
func until(ctx context.Context, patience time.Duration, f func() error) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	for {
		err := f()
		if err == nil {
			return nil
		}
		if _, over := errors.AsType[fatal](err); over {
			return err
		}
		if !pause(ctx, 5*time.Millisecond) {
			return fmt.Errorf("gave up after %s: %w", patience, err)
		}
	}
}

// pause waits; false when ctx ended first.
func pause(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return true
	}
}

func get(ctx context.Context, url, key string) ([]byte, error) {
	return request(ctx, http.MethodGet, url, key, nil)
}

// request calls the lab or the centre's pages; any status but 200 is an error.
func request(ctx context.Context, method, url, key string, body []byte) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, method, url, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	req.Header.Set(api.KeyHeader, key)
	return send(http.DefaultClient, req)
}
