package demo

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"

	"dcpos/agent/identity"
	"dcpos/agent/localapi"
	"dcpos/lab/device"
	"dcpos/pos"
	"dcpos/sdk"
)

// till is one terminal on its bench: a scanner and a printer on serial lines, the agent
// between them, and a client that presses its keys.
type till struct {
	class   string
	folder  string
	socket  string
	config  string
	printer *device.Printer
	scanner *device.Scanner
	lines   []*device.Bench
	agent   *process
	client  *sdk.Client
	name    string // the terminal's, once enrolled
}

// paperOf says which printer a class has, and how wide its paper is in millimetres.
func paperOf(class string) (profile string, width int) {
	if class == "smart-pos" {
		return "pos-5890", 58
	}
	return "escpos-80mm-gb18030", 80
}

const sdkToken = "sdk-client"

// newTill makes the bench and the configuration; token is the hash of the SDK client's secret.
func newTill(ctx context.Context, root, sockets, class, tokenHash string) (*till, error) {
	t := &till{class: class, folder: filepath.Join(root, "tills", class), socket: filepath.Join(sockets, class+".sock")}
	receipts := filepath.Join(t.folder, "receipts")
	if err := os.MkdirAll(receipts, 0o700); err != nil {
		return nil, fmt.Errorf("make till: %w", err)
	}
	printer, width := paperOf(class)
	paper, err := device.NewPrinter(device.PrinterOptions{WidthMM: width, Directory: receipts, NoCutter: width == 58})
	if err != nil {
		return nil, err
	}
	t.printer, t.scanner = paper, device.NewScanner(device.ScannerOptions{})
	var paths []string
	for _, d := range []device.Served{t.printer, t.scanner} {
		bench, err := device.Start(ctx, d)
		if err != nil {
			return nil, errors.Join(err, t.unplug())
		}
		t.lines = append(t.lines, bench)
		paths = append(paths, bench.Path)
	}
	return t, t.writeConfig(map[string]string{"printer": printer, "scanner": "serial-cr"}, paths, tokenHash)
}

func (t *till) writeConfig(profile map[string]string, paths []string, tokenHash string) error {
	line := func(kind, path string) map[string]any {
		return map[string]any{"profile": profile[kind], "transport": map[string]any{"kind": "serial", "path": path}}
	}
	b, err := yaml.Marshal(map[string]any{
		"env": "lab", "data": t.folder, "class": t.class,
		"api": map[string]any{
			"unix": t.socket, "listen": "127.0.0.1:0",
			"tokens": []localapi.Token{{
				Name: sdkToken, Hash: tokenHash,
				Scopes: []localapi.Scope{localapi.ScopeRead, localapi.ScopePay, localapi.ScopeRefund},
			}},
		},
		"devices": map[string]any{"auto": false}, // what hangs on this machine is not the demo's
		"printer": line("printer", paths[0]), "scanner": line("scanner", paths[1]),
		"drawer": t.class == "counter" || t.class == "all-in-one", "sign_in": t.class != "self-checkout",
		"timing": map[string]any{"query": "500ms", "fast": "20s", "answer": "3s"},
	})
	if err != nil {
		return err
	}
	t.config = filepath.Join(t.folder, "posagent.yaml")
	if err := os.WriteFile(t.config, b, 0o600); err != nil {
		return err
	}
	t.client, err = sdk.New(sdk.Options{Socket: t.socket, Caller: "demo"})
	return err
}

// start runs the agent and waits until it answers.
func (t *till) start(ctx context.Context, p programs) (err error) {
	if t.agent, err = p.start(ctx, "till-"+t.class, "posagent", "--config", t.config); err != nil {
		return err
	}
	return until(ctx, 20*time.Second, "till "+t.class+" answers", func() bool {
		_, err := t.client.Status(ctx)
		return err == nil
	})
}

// enrol makes it a terminal, adds its cashier and signs her in.
func (t *till) enrol(ctx context.Context, p programs, centre, code string) error {
	who, err := t.client.Enroll(ctx, centre, code)
	if err != nil {
		return err
	}
	t.name = who.Terminal
	if err := until(ctx, 20*time.Second, "till "+t.class+" is connected", func() bool {
		s, err := t.client.Status(ctx)
		return err == nil && s.Connected && s.Terminal == t.name
	}); err != nil {
		return err
	}
	if _, err := p.run(ctx, "4711", "posagent", "--config", t.config, "operator", "add", "1001",
		"--name", "李雷", "--role", "supervisor"); err != nil {
		return err
	}
	return t.signIn(ctx)
}

// journal is where the till's journal lies.
func (t *till) journal() string { return filepath.Join(t.folder, identity.JournalFile) }

func (t *till) signIn(ctx context.Context) error {
	_, err := t.client.SignIn(ctx, "1001", "4711")
	return err
}

// address is where the screen and the loopback API are; entry opens the screen.
func (t *till) address() (base, entry string, err error) {
	b, err := os.ReadFile(filepath.Join(t.folder, "screen.url"))
	if err != nil {
		return "", "", err
	}
	entry = strings.TrimSpace(string(b))
	base, _, _ = strings.Cut(entry, localapi.EnterPath)
	return base, entry, nil
}

// sale starts a payment of the mode.
func (t *till) sale(ctx context.Context, order string, amount pos.Money, mode pos.Mode) (sdk.Payment, error) {
	return t.client.Start(ctx, sdk.StartRequest{OrderID: order, Amount: amount, Mode: mode})
}

// scan holds a code to the scanner and waits until the payment is in one of the states.
func (t *till) scan(ctx context.Context, code string, id pos.PaymentID, states ...pos.State) (sdk.Payment, error) {
	if err := t.scanner.Scan(code, ""); err != nil {
		return sdk.Payment{}, err
	}
	return t.await(ctx, id, states...)
}

// await waits until the payment is in one of the states.
func (t *till) await(ctx context.Context, id pos.PaymentID, states ...pos.State) (p sdk.Payment, err error) {
	what := fmt.Sprintf("payment %s at %s becomes %v", id, t.class, states)
	waited := until(ctx, 30*time.Second, what, func() bool {
		if p, err = t.client.Payment(ctx, id); err != nil {
			return false
		}
		for _, s := range states {
			if p.State == s {
				return true
			}
		}
		return false
	})
	return p, errors.Join(err, waited)
}

func (t *till) unplug() error {
	var all error
	for _, l := range t.lines {
		all = errors.Join(all, l.Unplug())
	}
	return all
}
