package profiles_test

import (
	"bytes"
	"flag"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	profiles "dcpos/firmware-profiles"
)

// go test ./firmware-profiles -update
var update = flag.Bool("update", false, "write the generated files anew")

// golden compares with a committed file, or writes it with -update.
func golden(t *testing.T, file string, got []byte) {
	t.Helper()
	if *update {
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil { //nolint:gosec // a folder of the sources
			t.Fatal(err)
		}
		if err := os.WriteFile(file, got, 0o644); err != nil { //nolint:gosec // a file of the sources
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), string(got)); diff != "" {
		t.Errorf("%s is not current; look at the difference, then go test ./firmware-profiles -update (-file +now):\n%s", file, diff)
	}
}

func rules(t *testing.T) string {
	t.Helper()
	var b bytes.Buffer
	if err := profiles.WriteUdev(&b); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func TestUdevRulesAreThoseOfTheProfiles(t *testing.T) {
	golden(t, "testdata/70-dcpos.rules", []byte(rules(t)))
	var b bytes.Buffer
	if err := profiles.WriteModprobe(&b); err != nil {
		t.Fatal(err)
	}
	golden(t, "testdata/dcpos.conf", b.Bytes())
}

// condition is one part of a rule: udev(7), "RULES FILES".
var condition = regexp.MustCompile(`^([A-Z_]+)(\{[A-Za-z_]+\})?(==|!=|=|\+=)"([^"]*)"$`)

// The keys and operators are those of udev(7) that the rules need; a key or an operator
// that udev does not know switches a rule off without a word at run time.
func TestUdevRulesAreWellFormed(t *testing.T) {
	allowed := []string{
		`ACTION==`, `SUBSYSTEM==`, `SUBSYSTEM!=`, `SUBSYSTEMS==`, `KERNEL==`, `ENV{DEVTYPE}==`, `ENV{ID_USB_INTERFACES}==`,
		`ATTR{idVendor}==`, `ATTR{idProduct}==`, `ATTR{product}==`, `ATTRS{idVendor}==`, `ATTRS{idProduct}==`, `ATTRS{product}==`,
		`IMPORT{builtin}=`, `GROUP=`, `MODE=`, `TAG+=`, `SYMLINK+=`, `ENV{ID_MM_DEVICE_IGNORE}=`, `ENV{LIBINPUT_IGNORE_DEVICE}=`, `GOTO=`, `LABEL=`,
	}
	n := 0
	for i, line := range strings.Split(rules(t), "\n") {
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		for part := range strings.SplitSeq(line, ", ") {
			m := condition.FindStringSubmatch(part)
			if m == nil || !slices.Contains(allowed, strings.Replace(m[1]+m[2]+m[3], `=="`, "", 1)) && !slices.Contains(allowed, m[1]+m[2]+m[3]) {
				t.Errorf("line %d: %s", i+1, part)
			}
		}
		if strings.Contains(line, "GROUP=") {
			n++
			checkGrant(t, line)
		}
	}
	if n < 40 {
		t.Errorf("%d rules", n)
	}
}

// checkGrant: every rule that gives a device away gives it to the one group, names a
// maker, and tells the other programs to keep off.
func checkGrant(t *testing.T, line string) {
	t.Helper()
	for _, want := range []string{`GROUP="posagent"`, `MODE="0660"`, `TAG+="systemd"`, `{idVendor}=="`, `SYMLINK+="pos/`} {
		if !strings.Contains(line, want) {
			t.Errorf("no %s in %s", want, line)
		}
	}
	if !strings.Contains(line, "{idProduct}") && !strings.Contains(line, "ID_USB_INTERFACES") {
		t.Errorf("everything of a maker: %s", line)
	}
	if strings.HasPrefix(line, `SUBSYSTEM=="tty"`) != strings.Contains(line, `ENV{ID_MM_DEVICE_IGNORE}="1"`) {
		t.Errorf("ModemManager: %s", line)
	}
	if strings.HasPrefix(line, `SUBSYSTEM=="input"`) != strings.Contains(line, `ENV{LIBINPUT_IGNORE_DEVICE}="1"`) {
		t.Errorf("libinput: %s", line)
	}
}

func TestEveryIdentityThatADriverOpensHasItsRule(t *testing.T) {
	text := rules(t)
	all, err := profiles.Catalogue()
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range all {
		for _, m := range e.Match.USB {
			opened := e.Driver != "" && e.Driver != "pcsc" && m.VID != "*"
			has := strings.Contains(text, `{idVendor}=="`+m.VID+`"`) && (m.PID == "*" || strings.Contains(text, `{idVendor}=="`+m.VID+`", ATTR{idProduct}=="`+m.PID+`"`) ||
				strings.Contains(text, `{idVendor}=="`+m.VID+`", ATTRS{idProduct}=="`+m.PID+`"`))
			if opened && !has {
				t.Errorf("%s: no rule for %s:%s", e.Name, m.VID, m.PID)
			}
		}
	}
	if strings.Contains(text, "0666") || strings.Contains(text, `"*"`) {
		t.Error("a rule is too wide")
	}
}
