package archtest_test

import (
	"encoding/json"
	"errors"
	"io"
	"os/exec"
	"path"
	"slices"
	"strings"
	"testing"
)

const module = "dcpos/"

// room is one row of the import table: a folder and what its packages may import
// of the house, besides their own sub-folders. A pattern ending in "/" is a folder
// with all below it.
type room struct {
	folder string
	may    []string
}

// rooms is docs/ARCHITECTURE.md as data; the first row whose folder fits counts.
func rooms() []room {
	nouns := []string{
		"central/ledger/", "central/institution/", "central/payment/", "central/fleet/", "central/link/",
		"central/reconcile/", "central/campaign/", "central/issuance/", "central/console/", "central/httpapi/", "central/webshop/",
	}
	centre := []string{"pos/", "sync/wire", "firmware-profiles/", "web/", "central/ledger/", "central/institution/"}
	everything := []string{""}
	return []room{
		{"pos/dcep/salvage", []string{"pos", "pos/dcep"}},
		{"pos/dcep", []string{"pos"}},
		{"pos", nil},
		{"firmware-profiles", []string{"pos"}},
		{"drivers", []string{"pos/", "firmware-profiles/"}},
		{"offline", []string{"pos/"}},
		{"sync", []string{"pos/"}},
		{"agent", []string{"pos/", "drivers/", "firmware-profiles/", "web/"}},
		{"central/store", append(slices.Clone(centre), nouns...)},
		{"central", centre},
		{"sdk", []string{"pos"}},
		{"web", []string{"pos"}},
		{"lab", []string{"pos/", "sync/wire", "drivers", "drivers/transport"}},
		{"cmd", everything},
		{"e2e", everything},
		{"internal", []string{"internal/"}},
		{"tools", nil},
	}
}

// guests says which rooms may import a third party.
func guests() map[string][]string {
	return map[string][]string{
		"github.com/mattn/go-sqlite3":         {"offline", "central/store"},
		"github.com/jackc/pgx":                {"central/store"},
		"github.com/nats-io/nats.go":          {"sync", "central/link"},
		"github.com/nats-io/nats-server":      {"central/link"},
		"go.bug.st/serial":                    {"drivers/transport"},
		"github.com/google/gousb":             {"drivers/transport"},
		"github.com/ebfe/scard":               {"drivers/transport"},
		"rafaelmartins.com/p/usbhid":          {"drivers/transport"},
		"github.com/holoplot/go-evdev":        {"drivers/transport"},
		"github.com/fxamacker/cbor":           {"pos/dcep"},
		"github.com/emmansun/gmsm":            {"pos/dcep"},
		"github.com/cloudflare/circl":         {"central/campaign"},
		"github.com/paulmach/orb":             {"central/campaign"},
		"github.com/aws":                      {"central/reconcile/segment"},
		"github.com/xuri/excelize":            {"central/reconcile/breaks", "central/campaign/statement"},
		"golang.org/x/mod":                    {"central/campaign", "lab/witness"},
		"github.com/hanwen/go-fuse":           {"lab"},
		"github.com/google/go-tpm":            {"agent/identity/tpm"},
		"github.com/alecthomas/kong":          {"internal/cli", "cmd"},
		"github.com/prometheus/client_golang": {"central", "agent"},
	}
}

type pkg struct {
	ImportPath, Name, Doc string
	Imports               []string
	GoFiles, TestGoFiles  []string
	XTestGoFiles          []string
}

func packages(t *testing.T) []pkg {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "go", "list", "-json=ImportPath,Name,Doc,Imports,GoFiles,TestGoFiles,XTestGoFiles", "dcpos/...")
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	var all []pkg
	d := json.NewDecoder(strings.NewReader(string(out)))
	for {
		var p pkg
		if err := d.Decode(&p); errors.Is(err, io.EOF) {
			return all
		} else if err != nil {
			t.Fatal(err)
		}
		all = append(all, p)
	}
}

func within(p, folder string) bool { return p == folder || strings.HasPrefix(p, folder+"/") }

func roomOf(p string) (room, bool) {
	for _, r := range rooms() {
		if within(p, r.folder) {
			return r, true
		}
	}
	return room{}, false
}

func allowed(r room, self, imported string) bool {
	if within(imported, r.folder) && r.folder != "central" && imported != "pos/dcep" {
		return true
	}
	if r.folder == "central" && path.Join(strings.Split(self+"//", "/")[:2]...) == path.Join(strings.Split(imported+"//", "/")[:2]...) {
		return true // a noun of the centre and its own sub-folders
	}
	for _, m := range append([]string{"internal/"}, r.may...) {
		if m == "internal/" && (r.folder == "pos" || r.folder == "pos/dcep") {
			continue
		}
		if m == "" || m == imported || (strings.HasSuffix(m, "/") && within(imported, strings.TrimSuffix(m, "/"))) {
			return !within(imported, "cmd")
		}
	}
	return false
}

func TestEveryImportIsOnThePlan(t *testing.T) {
	for _, p := range packages(t) {
		self := strings.TrimPrefix(p.ImportPath, module)
		r, ok := roomOf(self)
		if !ok {
			t.Errorf("%s: this folder is not drawn; draw it in docs/ARCHITECTURE.md and in rooms()", self)
			continue
		}
		for _, i := range p.Imports {
			if imported, ours := strings.CutPrefix(i, module); ours {
				if !allowed(r, self, imported) {
					t.Errorf("%s imports %s: room %s may import %v", self, imported, r.folder, r.may)
				}
				continue
			}
			checkGuest(t, self, i)
		}
	}
}

func checkGuest(t *testing.T, self, imported string) {
	t.Helper()
	if within(self, "pos") && !within(self, "pos/dcep") && strings.Contains(strings.Split(imported, "/")[0], ".") {
		t.Errorf("%s imports %s: pos is standard library only", self, imported)
	}
	if within(self, "cmd") || within(self, "e2e") {
		return
	}
	for guest, hosts := range guests() {
		if within(imported, guest) && !slices.ContainsFunc(hosts, func(h string) bool { return within(self, h) }) {
			t.Errorf("%s imports %s: only %v may", self, imported, hosts)
		}
	}
}

func TestEveryPackageSaysWhatItIs(t *testing.T) {
	for _, p := range packages(t) {
		if len(p.GoFiles) > 0 && p.Doc == "" {
			t.Errorf("%s has no package comment", p.ImportPath)
		}
		if p.Name == "util" || p.Name == "utils" || p.Name == "common" || p.Name == "helpers" || p.Name == "manager" {
			t.Errorf("%s: the name says nothing", p.ImportPath)
		}
	}
}

// TestThePlanIsStrict plants imports that must be refused.
func TestThePlanIsStrict(t *testing.T) {
	for _, c := range []struct{ self, imported string }{
		{"pos", "pos/dcep"},
		{"offline", "sync/wire"},
		{"offline", "agent/checkout"},
		{"sync/host", "offline"},
		{"agent/checkout", "offline"},
		{"agent/checkout", "central/payment"},
		{"central/payment", "central/store"},
		{"central/payment", "central/link"},
		{"central/link", "agent/checkout"},
		{"drivers/escpos", "agent/devices"},
		{"firmware-profiles", "drivers"},
		{"sdk", "pos/dcep"},
		{"lab/institution", "central/institution"},
		{"lab/device", "drivers/escpos"},
		{"e2e/demo", "cmd/posagent"},
		{"pos", "internal/cli"},
	} {
		r, ok := roomOf(c.self)
		if !ok {
			t.Errorf("%s is not drawn", c.self)
		}
		if allowed(r, c.self, c.imported) {
			t.Errorf("%s may import %s", c.self, c.imported)
		}
	}
	for _, c := range []struct{ self, imported string }{
		{"central/payment", "central/ledger"},
		{"central/store", "central/payment"},
		{"central/link", "sync/wire"},
		{"agent/localapi", "agent/checkout"},
		{"drivers/escpos", "firmware-profiles"},
		{"cmd/posagent", "offline"},
	} {
		if r, _ := roomOf(c.self); !allowed(r, c.self, c.imported) {
			t.Errorf("%s may not import %s", c.self, c.imported)
		}
	}
	if _, ok := roomOf("attic"); ok {
		t.Error("a folder that is not drawn was taken for a room")
	}
}
