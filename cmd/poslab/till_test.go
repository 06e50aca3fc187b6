package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"dcpos/internal/cli"
)

func TestTheBenchTakesCodesAndCommandsByHand(t *testing.T) {
	dir := t.TempDir()
	var out, errs bytes.Buffer
	in := strings.NewReader(":paper out\n:paper in\n:cover open\n:cover shut\n:jam on\n:paper maybe\n:quit\n")
	if code := run([]string{"till", "--dir", dir}, &cli.Streams{In: in, Out: &out, Err: &errs}); code != cli.OK {
		t.Fatalf("exit %d: %s", code, errs.String())
	}
	for _, name := range []string{"printer", "scanner", "display"} {
		path, err := os.Readlink(filepath.Join(dir, name))
		if err != nil || !strings.HasPrefix(path, "/dev/pts/") {
			t.Errorf("%s leads to %q: %v", name, path, err)
		}
	}
	if n := strings.Count(errs.String(), "unknown command"); n != 2 {
		t.Errorf("%d unknown commands were told:\n%s", n, errs.String())
	}
}
