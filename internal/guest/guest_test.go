package guest

import (
	"bytes"
	"encoding/binary"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// entries reads a cpio archive of the format newc.
func entries(t *testing.T, b []byte) (names []string, contents map[string]string) {
	t.Helper()
	contents = map[string]string{}
	for {
		if len(b) < 110 || string(b[:6]) != "070701" {
			t.Fatalf("no header: %q", b[:min(len(b), 20)])
		}
		field := func(n int) int {
			v, err := strconv.ParseUint(string(b[6+8*n:14+8*n]), 16, 32)
			if err != nil {
				t.Fatal(err)
			}
			return int(v)
		}
		size, length := field(6), field(11)
		name := string(b[110 : 110+length-1])
		at := (110 + length + 3) &^ 3
		if name == "TRAILER!!!" {
			return names, contents
		}
		names, contents[name] = append(names, name), string(b[at:at+size])
		b = b[(at+size+3)&^3:]
	}
}

func TestArchive(t *testing.T) {
	file := filepath.Join(t.TempDir(), "five")
	if err := os.WriteFile(file, []byte("five5"), 0o600); err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	a := newArchive(&out)
	a.bytes("etc/deep/a", []byte("x"))
	for range 2 { // a library of two programs is there once
		if err := a.copy("etc/five", file); err != nil {
			t.Fatal(err)
		}
	}
	if err := a.copy("etc/none", file+"none"); err == nil {
		t.Error("a file that is not there was added")
	}
	if err := a.close(); err != nil {
		t.Fatal(err)
	}
	names, contents := entries(t, out.Bytes())
	if diff := cmp.Diff([]string{"etc", "etc/deep", "etc/deep/a", "etc/five"}, names); diff != "" {
		t.Error(diff)
	}
	if contents["etc/deep/a"] != "x" || contents["etc/five"] != "five5" {
		t.Errorf("%q", contents)
	}
}

func TestAProgramComesWithItsLibraries(t *testing.T) {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	sh, err := exec.LookPath("sh")
	if err != nil {
		t.Fatal(err)
	}
	for _, program := range []string{self, sh} {
		list, err := libraries(t.Context(), program)
		if err != nil && program == self {
			continue // a test binary without cgo has none, and ldd says so
		}
		if err != nil || !slices.ContainsFunc(list, func(l string) bool { return strings.Contains(l, "/libc.so") }) {
			t.Errorf("%s: %v, %v", program, list, err)
		}
	}
}

func TestWhatIsNoKernelIsRefused(t *testing.T) {
	header := func(payload uint32, length uint32) []byte {
		b := make([]byte, 0x1000)
		copy(b[0x202:], "HdrS")
		binary.LittleEndian.PutUint32(b[0x248:], payload)
		binary.LittleEndian.PutUint32(b[0x24c:], length)
		return b
	}
	for name, b := range map[string][]byte{
		"empty": nil, "no magic": make([]byte, 0x1000), "nothing in it": header(0, 0),
		"longer than the file": header(0x10, 0xffffffff), "not xz": header(0x10, 0x100),
	} {
		file := filepath.Join(t.TempDir(), "vmlinuz")
		if err := os.WriteFile(file, b, 0o600); err != nil {
			t.Fatal(err)
		}
		if err := decompress(t.Context(), file, file+".out"); err == nil {
			t.Errorf("%s was taken for a kernel", name)
		}
	}
}

func TestWhatIsNoModuleIsRefused(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "bad_one.ko"), []byte("no"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"bad-one", "absent"} {
		if list, err := moduleFiles(dir, []string{name}); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: %v, %v", name, list, err)
		}
	}
}

// A process that is not number 1 goes on, and is not in a guest.
func TestMainIsForProcessOne(t *testing.T) {
	Main()
	if Inside() {
		t.Error("this is no guest")
	}
}
