// Package testbin finds the four programs for tests of whole programs: in the folder
// that DCPOS_BIN names, else it builds them once for the test binary.
package testbin

import (
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
)

var build = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "dcpos-bin-")
	if err != nil {
		return "", err
	}
	out, err := exec.Command("go", "build", "-race", "-o", dir+string(filepath.Separator), "dcpos/cmd/...").CombinedOutput()
	if err != nil {
		_, _ = os.Stderr.Write(out)
	}
	return dir, err
})

// Dir is the folder of posagent, poscentral, posctl and poslab.
func Dir(tb testing.TB) string {
	tb.Helper()
	if dir := os.Getenv("DCPOS_BIN"); dir != "" {
		return dir
	}
	dir, err := build()
	if err != nil {
		tb.Fatalf("build the programs: %v", err)
	}
	return dir
}
