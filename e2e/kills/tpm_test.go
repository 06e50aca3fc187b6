package kills_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"dcpos/lab/drill"
	"dcpos/pos"
	"dcpos/sdk"
)

// softTPM starts a software TPM (Debian's swtpm) and gives its socket. Its state outlives stop.
func (s *shop) softTPM(dir string) (socket string, stop func()) {
	s.t.Helper()
	socket = filepath.Join(dir, "tpm")
	_ = os.Remove(socket)
	p := drill.Program{
		Name: "swtpm", Path: "/usr/bin/swtpm", Log: filepath.Join(dir, "swtpm.log"),
		Args: []string{
			"socket", "--tpm2", "--tpmstate", "dir=" + dir, "--server", "type=unixio,path=" + socket,
			"--ctrl", "type=unixio,path=" + socket + ".ctrl", "--flags", "not-need-init,startup-clear",
		},
	}
	s.must(p.Start(s.t.Context())) // tools/setup.sh installs it
	s.t.Cleanup(func() { _ = p.Kill() })
	s.eventually("software TPM", func() error {
		c, err := new(net.Dialer).DialContext(s.t.Context(), "unix", socket)
		if err == nil {
			err = c.Close()
		}
		return err
	})
	return socket, func() { s.must(p.Kill()) }
}

// posctl runs the hand tool.
func (s *shop) posctl(args ...string) (string, error) {
	out, err := exec.CommandContext(s.t.Context(), filepath.Join(programs, "posctl"), args...).CombinedOutput() //nolint:gosec // our own program
	if err != nil {
		err = fmt.Errorf("posctl %s: %w: %s", args[0], err, out)
	}
	return string(out), err
}

// TestEnrolledByPosctlWithAKeyInATPM is a till's first day where its key is made in a TPM: enrolled by
// posctl enroll, it sells, is killed, sells again when the TPM was restarted, and its journal verifies
// by the key that the centre knows.
func TestEnrolledByPosctlWithAKeyInATPM(t *testing.T) {
	t.Parallel()
	s := &shop{t: t, book: drill.NewNotebook(), began: time.Now()}
	var err error
	s.Site, err = drill.Open(t.Context(), drill.SiteOptions{Bin: programs, Dir: t.TempDir(), Seed: *seed, Tills: -1})
	s.must(err)
	t.Cleanup(func() { s.must(s.Close()) })
	s.wallet, err = s.Wallet(t.Context(), "ICBC", 100_00)
	s.must(err)
	short, err := os.MkdirTemp("", "tpm") //nolint:usetesting // a socket's path is short
	s.must(err)
	t.Cleanup(func() { _ = os.RemoveAll(short) })
	chip, stop := s.softTPM(short)
	data, api, file := filepath.Join(s.Options.Dir, "till"), filepath.Join(short, "api"), filepath.Join(s.Options.Dir, "till.yaml")
	config, err := json.Marshal(map[string]any{
		"env": "lab", "data": data, "class": "counter", "key": map[string]any{"kind": "tpm", "device": chip},
		"api": map[string]any{"unix": api, "listen": ""}, "sign_in": false, "receipt": "never", "devices": map[string]any{"auto": false},
	})
	s.must(err)
	s.must(os.WriteFile(file, config, 0o600))
	agent := drill.Program{
		Name: "till", Path: filepath.Join(programs, "posagent"), Args: []string{"--config", file}, Log: filepath.Join(s.Options.Dir, "logs", "till.log"),
	}
	s.must(agent.Start(t.Context()))
	t.Cleanup(func() { _ = agent.Kill() })
	url, err := s.Centre.URL()
	s.must(err)
	code, err := s.Code(t.Context())
	s.must(err)
	s.eventually("enrolment", func() error {
		out, err := s.posctl("enroll", "--socket", api, "--centre", url, "--code", code)
		if err == nil && !strings.Contains(out, "SZ01") {
			err = errors.New(out)
		}
		return err
	})
	if _, err := os.Stat(filepath.Join(data, "key.pem")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a key lies in a file: %v", err)
	}
	if info, err := os.Stat(filepath.Join(data, "key.tpm")); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v %v", info, err)
	}
	s.sellsBy(api, "first")
	s.must(agent.Kill())
	stop()
	s.softTPM(short)
	s.must(agent.Start(t.Context()))
	s.sellsBy(api, "second")
	s.must(agent.Stop())
	if out, err := s.posctl("journal", "verify", filepath.Join(data, "journal.db")); err != nil {
		t.Error(err, out)
	}
}

// sellsBy takes a payment by the local API and waits until the centre has receipted it.
func (s *shop) sellsBy(socket, key string) {
	s.t.Helper()
	ctx := s.t.Context()
	till, err := sdk.New(sdk.Options{Socket: socket, Caller: "e2e"})
	s.must(err)
	s.eventually("online", func() error {
		st, err := till.Status(ctx)
		if err == nil && !st.Connected {
			err = errors.New("not connected")
		}
		return err
	})
	p, err := till.Start(ctx, sdk.StartRequest{Key: key, OrderID: key, Amount: 1_23, Mode: pos.BScanC})
	s.must(err)
	code, err := s.wallet.Code(ctx)
	s.must(err)
	if p, err = till.SubmitCode(ctx, p.ID, code); err == nil && p.State != pos.Paid {
		p, err = till.Wait(ctx, p.ID)
	}
	if err != nil || p.State != pos.Paid {
		s.t.Fatalf("payment is %s: %v", p.State, err)
	}
	s.eventually("receipt", func() error {
		st, err := till.Status(ctx)
		if err == nil && st.Outbox.Unsent > 0 {
			err = fmt.Errorf("%d unsent", st.Outbox.Unsent)
		}
		return err
	})
}
