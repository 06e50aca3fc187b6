package main

import (
	"bytes"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"dcpos/internal/cli"
	"dcpos/internal/config"
)

// TestTheHelpNamesEveryKey reads the printed configuration as a configuration.
func TestTheHelpNamesEveryKey(t *testing.T) {
	var s settings
	if err := config.Parse("help", []byte(configHelp), &s); err != nil {
		t.Fatal(err)
	}
	keys := func(t reflect.Type) (out []string) {
		for i := range t.NumField() {
			out = append(out, t.Field(i).Tag.Get("yaml"))
		}
		return out
	}
	for _, key := range keys(reflect.TypeFor[settings]()) {
		if !strings.Contains("\n"+configHelp, "\n"+key+":") {
			t.Errorf("key %s is not in help-config", key)
		}
	}
	for _, group := range []reflect.Type{
		reflect.TypeFor[httpSettings](), reflect.TypeFor[natsSettings](), reflect.TypeFor[reconcileSettings](), reflect.TypeFor[campaignSettings](),
	} {
		for _, key := range keys(group) {
			if !strings.Contains(configHelp, "\n  "+key+":") {
				t.Errorf("key %s of %s is not in help-config", key, group.Name())
			}
		}
	}
}

func TestBadConfigurationIsNamed(t *testing.T) {
	dir := t.TempDir()
	live := filepath.Join(dir, "live-trust.json")
	if err := os.WriteFile(live, []byte(`{"env":"live"}`), 0o600); err != nil {
		t.Fatal(err)
	}
	data := "data: " + filepath.Join(dir, "data") + "\n"
	for name, c := range map[string]struct{ text, want string }{
		"unknown key":       {"prot: 1\n", `line 1: unknown key "prot"`},
		"unknown env":       {"env: test\n", "want live or lab"},
		"trust is absent":   {data + "env: lab\ntrust: /nowhere.json\n", "trust:"},
		"trust of live":     {data + "env: lab\ntrust: " + live + "\n", `is "live", this centre is "lab"`},
		"external, no keys": {"nats: {url: nats://127.0.0.1:1}\n", "centre_seed_file"},
		"page, no witness":  {"campaign: {listen: 127.0.0.1:0}\n", "needs witness"},
		"clock of live":     {"campaign: {clock: x}\n", "only in the lab"},
		"messages of live":  {"campaign: {sms: file:x}\n", "only in the lab"},
		"half of TLS":       {"campaign: {tls_cert: x}\n", "belong together"},
		"proxy":             {"campaign: {proxies: [10.0.0.1]}\n", "want a network"},
		"hour":              {"reconcile: {at: noon}\n", "want hh:mm"},
		"database":          {data + "env: lab\ndatabase: mysql://x\n", "want sqlite:PATH or postgres:"},
	} {
		path := filepath.Join(dir, "poscentral.yaml")
		if err := os.WriteFile(path, []byte(c.text), 0o600); err != nil {
			t.Fatal(err)
		}
		var out, errs bytes.Buffer
		code := run([]string{"--config", path}, &cli.Streams{In: strings.NewReader(""), Out: &out, Err: &errs})
		if code == cli.OK || !strings.Contains(errs.String(), c.want) {
			t.Errorf("%s: exit %d, %s", name, code, errs.String())
		}
	}
}
