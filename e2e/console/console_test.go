package console_test

import (
	"bufio"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/chromedp/chromedp"

	"dcpos/internal/testbin"
)

const chromium = "/usr/bin/chromium"

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

// page is one tab and what a test does with it.
type page struct {
	*testing.T
	ctx context.Context //nolint:containedctx // the browser's tab is its context
	dir string
}

func open(t *testing.T) page {
	t.Helper()
	if _, err := os.Stat(chromium); err != nil {
		t.Fatalf("%v: install the Debian package chromium", err)
	}
	options := append(chromedp.DefaultExecAllocatorOptions[:],
		chromedp.ExecPath(chromium), chromedp.UserDataDir(t.TempDir()), chromedp.NoSandbox, chromedp.DisableGPU,
		chromedp.Flag("disable-quic", true), chromedp.Flag("disable-component-update", true),
		chromedp.Flag("no-proxy-server", true), chromedp.Flag("lang", "zh-CN"), chromedp.WindowSize(1280, 900))
	ctx, cancel := chromedp.NewExecAllocator(t.Context(), options...)
	t.Cleanup(cancel)
	ctx, end := chromedp.NewContext(ctx)
	t.Cleanup(end)
	if err := chromedp.Do(ctx); err != nil { // the browser lives as long as the first call's context
		t.Fatal(err)
	}
	dir := os.Getenv("DCPOS_SHOTS")
	if dir == "" {
		dir = t.ArtifactDir()
	}
	return page{T: t, ctx: ctx, dir: dir}
}

func (p page) do(what string, actions ...chromedp.Action[chromedp.Void]) {
	p.Helper()
	ctx, cancel := context.WithTimeout(p.ctx, time.Minute)
	defer cancel()
	if err := chromedp.Do(ctx, actions...); err != nil {
		p.shot("failed")
		p.Fatalf("%s: %v", what, err)
	}
}

func (p page) text() string {
	p.Helper()
	s, err := chromedp.Run(p.ctx, chromedp.Text(chromedp.CSS("body")))
	if err != nil {
		p.Fatal(err)
	}
	return s
}

func (p page) sees(where string, wants ...string) {
	p.Helper()
	body := p.text()
	for _, w := range wants {
		if !strings.Contains(body, w) {
			p.shot("missing")
			p.Errorf("%s lacks %q:\n%s", where, w, body)
		}
	}
}

func (p page) shot(name string) {
	p.Helper()
	png, err := chromedp.Run(p.ctx, chromedp.FullScreenshot(100))
	if err != nil {
		p.Error(err)
		return
	}
	if err := os.WriteFile(filepath.Join(p.dir, name+".png"), png, 0o600); err != nil {
		p.Error(err)
	}
}
