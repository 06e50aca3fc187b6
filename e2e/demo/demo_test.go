package demo_test

import (
	"encoding/json"
	"image/png"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"dcpos/internal/testbin"
	"dcpos/internal/testpg"
	"dcpos/internal/testqr"
	"dcpos/pos"
	"dcpos/pos/dcep"
)

type report struct {
	OK     bool
	Checks []struct {
		ID        string
		OK        bool
		Want, Got any
	}
	Screens map[string]string
}

func TestADayAtAShop(t *testing.T) {
	t.Run("SQLite", func(t *testing.T) {
		t.Parallel()
		playDay(t)
	})
	t.Run("PostgreSQL", func(t *testing.T) {
		t.Parallel()
		playDay(t, "--database", testpg.Start(t))
	})
}

func playDay(t *testing.T, args ...string) {
	t.Helper()
	bin := testbin.Dir(t)
	dir := filepath.Join(t.TempDir(), "day")
	cmd := exec.CommandContext(t.Context(), filepath.Join(bin, "poslab"), append([]string{"demo", "--once", "--dir", dir}, args...)...)
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Errorf("demo: %v\n%s", err, out)
		showLogs(t, filepath.Join(dir, "logs"))
	}
	b, err := os.ReadFile(filepath.Join(dir, "demo.json"))
	if err != nil {
		t.Fatal(err)
	}
	var r report
	if err := json.Unmarshal(b, &r); err != nil {
		t.Fatal(err)
	}
	if !r.OK || len(r.Checks) < 45 {
		t.Errorf("ok is %v with %d checks", r.OK, len(r.Checks))
	}
	for _, c := range r.Checks {
		if !c.OK {
			t.Errorf("%s: want %v, got %v", c.ID, c.Want, c.Got)
		}
	}
	for _, name := range []string{"counter", "self-checkout", "smart-pos", "all-in-one", "console", "institutions"} {
		if !strings.HasPrefix(r.Screens[name], "http://127.0.0.1:") {
			t.Errorf("screen %s is %q", name, r.Screens[name])
		}
	}
	for _, class := range []string{"counter", "self-checkout", "smart-pos", "all-in-one"} {
		t.Run(class, func(t *testing.T) { lookAtReceipts(t, filepath.Join(dir, "tills", class)) })
	}
	for _, file := range []string{
		"reconcile/summary.json", "reconcile/breaks.csv", "reconcile/totals.csv", "reconcile/plan.json",
	} {
		if _, err := os.Stat(filepath.Join(dir, file)); err != nil {
			t.Error(err)
		}
	}
	noSecretsInLogs(t, filepath.Join(dir, "logs"))
}

// lookAtReceipts reads every printed picture's QR with an independent decoder: it must
// name a payment, and the text beside it must be Chinese that one can read.
func lookAtReceipts(t *testing.T, till string) {
	t.Helper()
	pictures, err := filepath.Glob(filepath.Join(till, "receipts", "*.png"))
	if err != nil || len(pictures) == 0 {
		t.Fatalf("no receipts: %v", err)
	}
	for _, path := range pictures {
		f, err := os.Open(path)
		if err != nil {
			t.Fatal(err)
		}
		img, err := png.Decode(f)
		if err := f.Close(); err != nil {
			t.Error(err)
		}
		if err != nil {
			t.Fatal(err)
		}
		code, err := testqr.Read(img)
		if err != nil {
			t.Errorf("%s: no QR: %v", path, err)
			continue
		}
		proof, ok := strings.CutPrefix(code, "dcpos:pay:")
		if s, err := dcep.ParseSlip(proof); !ok || err != nil || s.Env != pos.Lab || s.Terminal == "" {
			t.Errorf("%s: QR says %q", path, code)
		}
		text, err := os.ReadFile(strings.TrimSuffix(path, ".png") + ".txt")
		if err != nil {
			t.Fatal(err)
		}
		for _, want := range []string{"测试", "王府井一店", "数字人民币", "金额", "￥"} {
			if !strings.Contains(string(text), want) {
				t.Errorf("%s lacks %s:\n%s", path, want, text)
			}
		}
	}
}

// noSecretsInLogs looks for payment codes, evidence and keys in what the programs logged.
func noSecretsInLogs(t *testing.T, dir string) {
	t.Helper()
	logs, err := filepath.Glob(filepath.Join(dir, "*.log"))
	if err != nil || len(logs) < 6 {
		t.Fatalf("%d logs: %v", len(logs), err)
	}
	for _, path := range logs {
		b, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		for _, secret := range []string{"dcpos:ev1:", "PRIVATE KEY", "SUAC", "SUAG", "SUAM", "\"code\":\"01"} {
			if strings.Contains(string(b), secret) {
				t.Errorf("%s holds %q", path, secret)
			}
		}
		if strings.Contains(string(b), "DATA RACE") {
			t.Errorf("%s tells a data race:\n%s", path, b)
		}
	}
}

func showLogs(t *testing.T, dir string) {
	t.Helper()
	logs, err := filepath.Glob(filepath.Join(dir, "*.log"))
	if err != nil {
		t.Error(err)
	}
	for _, path := range logs {
		b, err := os.ReadFile(path)
		if err != nil {
			t.Error(err)
			continue
		}
		if len(b) > 4000 {
			b = b[len(b)-4000:]
		}
		t.Logf("%s:\n%s", filepath.Base(path), b)
	}
}

func TestAFolderThatHoldsSomethingIsRefused(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "mine"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), filepath.Join(testbin.Dir(t), "poslab"), "demo", "--once", "--dir", dir)
	out, err := cmd.CombinedOutput()
	if cmd.ProcessState.ExitCode() != 2 || !strings.Contains(string(out), "not empty") {
		t.Errorf("%v\n%s", err, out)
	}
}
