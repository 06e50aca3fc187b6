package console_test

import (
	"bufio"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"dcpos/internal/testbin"
)

// demo plays the day, keeps everything up, and returns the console's address.
func demo(t *testing.T) string {
	t.Helper()
	cmd := exec.Command(filepath.Join(testbin.Dir(t), "poslab"), "demo", "--dir", filepath.Join(t.TempDir(), "day")) //nolint:noctx // ended below, with a word first
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
			t.Error(err)
		}
		if err := cmd.Wait(); err != nil {
			t.Errorf("demo: %v", err)
		}
	})
	found := make(chan string, 1)
	go func() {
		for lines := bufio.NewScanner(out); lines.Scan(); {
			if f := strings.Fields(lines.Text()); len(f) == 2 && f[0] == "console" {
				found <- f[1]
			}
		}
		close(found)
	}()
	select {
	case url := <-found:
		if url == "" {
			t.Fatal("the demo ended without showing its screens")
		}
		return url
	case <-time.After(3 * time.Minute):
		t.Fatal("the demo did not come up")
		return ""
	}
}
