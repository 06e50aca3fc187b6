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
	v := reflect.ValueOf(s)
	for i := range v.NumField() {
		key := v.Type().Field(i).Tag.Get("yaml")
		if !strings.Contains("\n"+configHelp, "\n"+key+":") {
			t.Errorf("key %s is not in --help-config", key)
		}
	}
	for _, group := range []reflect.Type{reflect.TypeFor[apiSettings](), reflect.TypeFor[timingSettings](), reflect.TypeFor[deviceSettings]()} {
		for i := range group.NumField() {
			if key := group.Field(i).Tag.Get("yaml"); !strings.Contains(configHelp, "\n  "+key+":") {
				t.Errorf("key %s of %s is not in --help-config", key, group.Name())
			}
		}
	}
}

func TestBadConfigurationIsNamed(t *testing.T) {
	for name, c := range map[string]struct{ text, want string }{
		"unknown key":        {"env: lab\ncolour: red\n", `line 2: unknown key "colour"`},
		"printer on itself":  {"printer: {profile: epson-tm-t88, transport: {kind: printer}}\n", "printer: transport.kind printer: only a display"},
		"display that types": {"display: {profile: cd5220, transport: {kind: printer}}\n", "display: transport.kind printer: profile cd5220"},
		"framing":            {"scanner: {profile: serial-cr, framing: {end: tab}, transport: {kind: serial, path: /dev/x}}\n", "scanner: framing.end"},
		"framing's prefix":   {"scanner: {profile: serial-cr, framing: {end: cr, prefix: \"41\"}, transport: {kind: serial, path: /dev/x}}\n", "scanner: framing.prefix"},
		"unknown class":      {"class: tractor\n", "class:"},
		"unknown suite":      {"suite: rot13\n", "suite:"},
		"unknown env":        {"env: staging\n", `env: "staging": want live or lab`},
		"printer without":    {"printer: {profile: pos-5890}\n", "printer: transport.kind"},
		"scanner without":    {"scanners: [{profile: serial-cr, transport: {kind: serial, path: /dev/x}}, {profile: x}]\n", "scanners.1: transport.kind"},
		"reader half named":  {"nfc: {profile: acr122u, transport: {kind: usb, vid: 072f}}\n", "nfc: transport.vid"},
		"receipt nonsense":   {"receipt: sometimes\n", "want always, ask or never"},
		"nobody could reach": {"api: {unix: \"\", listen: \"\"}\n", "nobody could reach"},
		"cut-over of a day":  {"cutover: 25h\n", "cutover: 25h0m0s: want 0s to 24h"},
		"log level":          {"env: lab\nlog: loud\n", "log:"},
	} {
		path := filepath.Join(t.TempDir(), "posagent.yaml")
		if err := os.WriteFile(path, []byte(c.text), 0o600); err != nil {
			t.Fatal(err)
		}
		var out, errs bytes.Buffer
		code := run([]string{"--config", path}, &cli.Streams{In: strings.NewReader(""), Out: &out, Err: &errs})
		if code != cli.Usage || !strings.Contains(errs.String(), c.want) || !strings.Contains(errs.String(), path) {
			t.Errorf("%s: exit %d, %s", name, code, errs.String())
		}
	}
	var out, errs bytes.Buffer
	if code := run([]string{"--config", "/nowhere.yaml"}, &cli.Streams{Out: &out, Err: &errs}); code != cli.Usage {
		t.Errorf("missing file: exit %d, %s", code, errs.String())
	}
}
