package config_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"dcpos/internal/config"
)

type sample struct {
	Env  string `yaml:"env"`
	Port int    `yaml:"port"`
	API  struct {
		Unix string `yaml:"unix"`
	} `yaml:"api"`
}

func TestParse(t *testing.T) {
	for name, c := range map[string]struct{ text, want string }{
		"all is well":       {"env: lab\napi:\n  unix: /run/x\n", ""},
		"empty is defaults": {"", ""},
		"unknown key":       {"env: lab\nprot: 8\n", `x.yaml: line 2: unknown key "prot"`},
		"unknown key below": {"api:\n  tcp: 1\n", `x.yaml: line 2: unknown key "tcp"`},
		"wrong type":        {"port: many\n", "x.yaml: line 1: cannot unmarshal"},
		"broken yaml":       {"env: [\n", "x.yaml: line"},
		"two documents":     {"env: lab\n---\nenv: live\n", "x.yaml: holds more than one YAML document"},
		"same key twice":    {"env: lab\nenv: live\n", `mapping key "env" already defined`},
	} {
		v := sample{Port: 7}
		err := config.Parse("x.yaml", []byte(c.text), &v)
		if c.want == "" && (err != nil || v.Port != 7) {
			t.Errorf("%s: %v, port %d", name, err, v.Port)
		}
		if c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
			t.Errorf("%s: got %v, want %s", name, err, c.want)
		}
	}
}

func TestLoadSaysWhyAFileCannotBeRead(t *testing.T) {
	var v sample
	missing := filepath.Join(t.TempDir(), "no.yaml")
	if err := config.Load(missing, &v); err == nil || !strings.Contains(err.Error(), "no such file") {
		t.Errorf("missing file: %v", err)
	}
	big := filepath.Join(t.TempDir(), "big.yaml")
	if err := os.WriteFile(big, []byte("# "+strings.Repeat("x", 2<<20)), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := config.Load(big, &v); err == nil || !strings.Contains(err.Error(), "larger than") {
		t.Errorf("big file: %v", err)
	}
}
