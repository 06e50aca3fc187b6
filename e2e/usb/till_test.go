package usb_test

import (
	"encoding/json"
	"errors"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"dcpos/lab/drill"
	"dcpos/lab/wallet"
	"dcpos/sdk"
)

// till is an agent in the guest whose centre and institutions run on the host.
type till struct {
	*sdk.Client
	agent  *drill.Program
	socket string
	wallet *wallet.Wallet
}

// openTill starts an agent with its data in a folder and further keys in its file, enrols
// it if it is not enrolled, and waits until it is online. It stops with the test, and
// must not have complained.
func openTill(t *testing.T, w world, dir string, keys map[string]any) *till {
	t.Helper()
	work := t.TempDir() // a Unix socket's path is limited
	file := filepath.Join(work, "posagent.yaml")
	a := &till{
		socket: filepath.Join(work, "api.sock"),
		agent:  &drill.Program{Name: "posagent", Path: "/bin/posagent", Args: []string{"--config", file}, Log: filepath.Join(work, "posagent.log")},
	}
	all := map[string]any{
		"env": "lab", "data": dir, "class": "counter", "sign_in": false, "api": map[string]any{"unix": a.socket, "listen": ""},
	}
	maps.Copy(all, keys)
	b, err := json.Marshal(all) // JSON is YAML
	ok(t, err)
	ok(t, os.WriteFile(file, b, 0o600))
	began := time.Now()
	ok(t, a.agent.Start(t.Context()))
	t.Cleanup(func() {
		if err := a.agent.Stop(); err != nil {
			t.Error(err)
		}
		a.complaints(t)
	})
	a.Client, err = sdk.New(sdk.Options{Socket: a.socket, Caller: "guest"})
	ok(t, err)
	eventually(t, "the till is online", func() error {
		st, err := a.Status(t.Context())
		if err == nil && st.Connected {
			return nil
		}
		if err == nil && st.Terminal != "" {
			return errors.New("not connected")
		}
		_, enrolling := a.Enroll(t.Context(), w.Centre, w.Code)
		return errors.Join(errors.New("not enrolled"), err, enrolling)
	})
	t.Logf("the till is online after %v", time.Since(began).Round(time.Millisecond))
	a.wallet, err = wallet.Create(t.Context(), wallet.Client{Base: w.Wallets, Key: w.Key},
		wallet.Opening{Institution: institution, Name: "guest", Balance: 1000_00})
	ok(t, err)
	return a
}

func ok(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// complaints looks for races and panics in what the agent wrote.
func (a *till) complaints(t *testing.T) {
	t.Helper()
	b, err := os.ReadFile(a.agent.Log)
	ok(t, err)
	for _, sign := range []string{"WARNING: DATA RACE", "\npanic: ", "\nfatal error: "} {
		if strings.Contains(string(b), sign) {
			t.Errorf("the agent wrote %q", strings.TrimSpace(sign))
		}
	}
	if t.Failed() {
		t.Logf("posagent.log:\n%s", b[max(0, len(b)-20_000):])
	}
}
