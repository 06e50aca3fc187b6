package main

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"dcpos/internal/cli"
)

func runProfile(t *testing.T, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	var grammar struct {
		Profile ProfileCmd `cmd:""`
	}
	var out, errs bytes.Buffer
	code = cli.Main("posctl", "test", &grammar, append([]string{"profile"}, args...), &cli.Streams{In: strings.NewReader(""), Out: &out, Err: &errs})
	return code, out.String(), errs.String()
}

const shipped = "../../firmware-profiles/"

func TestProfileCheck(t *testing.T) {
	good, err := os.ReadFile(shipped + "printer/pos-5890.yaml")
	if err != nil {
		t.Fatal(err)
	}
	change := func(old, replace string) string {
		t.Helper()
		bad := strings.Replace(string(good), old, replace, 1)
		if bad == string(good) {
			t.Fatalf("%q is not in the file", old)
		}
		file := filepath.Join(t.TempDir(), "x.yaml")
		if err := os.WriteFile(file, []byte(bad), 0o600); err != nil {
			t.Fatal(err)
		}
		return file
	}
	for _, tc := range []struct {
		name, file string
		code       int
		want       []string
	}{
		{"as shipped", shipped + "printer/pos-5890.yaml", 0, []string{"✓ ", ": printer\n", "! ", ": cjk: clones of this class", "(assumed 推测)"}},
		{"a class", shipped + "counter.yaml", 0, []string{": class\n"}},
		{"only recognised", shipped + "printer/star-line.yaml", 0, []string{"unverified 未验证"}},
		{"a wrong key", change("cutter: none", "cuter: none"), 1, []string{"x.yaml:16: unknown key \"cuter\", did you mean \"cutter\"?"}},
		{"a wrong word", change("cutter: none", "cutter: scissors"), 1, []string{"x.yaml:16: cutter: want none, partial, full", `; got "scissors"`}},
		{"a driver that does not ship", change("driver: escpos", "driver: tspl"), 1, []string{"x.yaml:2: driver: want escpos; got \"tspl\""}},
		{"no source", change(`cutter: {source: "tear bar only"`, `cutter: {source: ""`), 1, []string{"facts.cutter.source: want a text"}},
		{"like nobody", change("driver: escpos", "like: nobody\ndriver: escpos"), 1, []string{"x.yaml:2: like: printer profile \"nobody\": no such profile"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			code, stdout, stderr := runProfile(t, "check", tc.file)
			if code != tc.code {
				t.Errorf("exit %d, want %d; %s%s", code, tc.code, stdout, stderr)
			}
			for _, want := range tc.want {
				if !strings.Contains(stdout, want) {
					t.Errorf("no %q in\n%s", want, stdout)
				}
			}
		})
	}
	if code, _, stderr := runProfile(t, "check", "nowhere.yaml"); code != cli.Usage || !strings.Contains(stderr, "文件不存在") {
		t.Errorf("a file that is not there: exit %d, %s", code, stderr)
	}
}

func TestProfileListAndShow(t *testing.T) {
	code, stdout, _ := runProfile(t, "list")
	for _, want := range []string{"KIND", "epson-tm-t88", "name only", "unverified", " of ", "acr122u", "cd5220"} {
		if code != 0 || !strings.Contains(stdout, want) {
			t.Errorf("exit %d, no %q in\n%s", code, want, stdout)
		}
	}
	_, stdout, _ = runProfile(t, "list", "--kind", "nfc", "--json")
	var models []listed
	if err := json.Unmarshal([]byte(stdout), &models); err != nil || len(models) < 5 {
		t.Fatalf("%d models, %v", len(models), err)
	}
	for _, m := range models {
		if m.Kind != "nfc" || m.Name == "" || len(m.Products) == 0 {
			t.Errorf("%+v", m)
		}
	}
	code, stdout, _ = runProfile(t, "show", "printer/xprinter-xp-58")
	for _, want := range []string{"like: pos-5890", "SECTION", "status   assumed     like pos-5890: "} {
		if code != 0 || !strings.Contains(stdout, want) {
			t.Errorf("exit %d, no %q in\n%s", code, want, stdout)
		}
	}
	if code, _, stderr := runProfile(t, "show", "nope"); code != cli.Usage || !strings.Contains(stderr, "no such profile") {
		t.Errorf("exit %d, %s", code, stderr)
	}
	if code, _, _ := runProfile(t, "show", "printer/../counter"); code != cli.Usage {
		t.Errorf("exit %d", code)
	}
}

func TestProfileWritesUdevAndModprobe(t *testing.T) {
	for command, file := range map[string]string{"udev": "70-dcpos.rules", "modprobe": "dcpos.conf"} {
		want, err := os.ReadFile(shipped + "testdata/" + file)
		if err != nil {
			t.Fatal(err)
		}
		if code, stdout, _ := runProfile(t, command); code != 0 || stdout != string(want) {
			t.Errorf("%s: exit %d, not the file that was tested", command, code)
		}
	}
}
