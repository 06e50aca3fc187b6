package campaign_test

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
)

const chromium = "/usr/bin/chromium"

// patience is for what a loaded machine may need.
const patience = 2 * time.Minute

// launch starts a browser.
func launch(t *testing.T) context.Context {
	t.Helper()
	if _, err := os.Stat(chromium); err != nil {
		t.Fatalf("%v: install the Debian package chromium", err)
	}
	options := append(chromedp.DefaultExecAllocatorOptions[:],
		chromedp.ExecPath(chromium), chromedp.UserDataDir(t.TempDir()), chromedp.NoSandbox, chromedp.DisableGPU,
		chromedp.Flag("disable-quic", true), chromedp.Flag("disable-component-update", true),
		chromedp.Flag("no-proxy-server", true), chromedp.Flag("lang", "zh-CN"))
	ctx, cancel := chromedp.NewExecAllocator(t.Context(), options...)
	t.Cleanup(cancel)
	ctx, end := chromedp.NewContext(ctx)
	t.Cleanup(end)
	if err := chromedp.Do(ctx); err != nil {
		t.Fatal(err)
	}
	return ctx
}

// page is one tab of a phone.
type page struct {
	*testing.T
	ctx context.Context //nolint:containedctx // the browser's tab is its context
	dir string
}

// tab opens a tab of its own browser context, 390 by 844 as phones are.
func tab(ctx context.Context, t *testing.T) *page {
	t.Helper()
	c, cancel := chromedp.NewContext(ctx, chromedp.WithNewBrowserContext())
	t.Cleanup(cancel)
	p := &page{T: t, ctx: c, dir: os.Getenv("DCPOS_SHOTS")}
	if p.dir == "" {
		p.dir = t.ArtifactDir()
	}
	if err := chromedp.Do(c, chromedp.EmulateViewport(390, 844, chromedp.EmulateMobile)); err != nil { // the tab lives as long as the first call's context
		t.Fatal(err)
	}
	exceptions := chromedp.Events(c, runtime.ExceptionThrown)
	go func() {
		for e, err := range exceptions {
			if err != nil {
				return
			}
			t.Errorf("script: %s %v", e.ExceptionDetails.Text, e.ExceptionDetails.Exception)
		}
	}()
	return p
}

func (p *page) do(what string, actions ...chromedp.Action[chromedp.Void]) {
	p.Helper()
	ctx, cancel := context.WithTimeout(p.ctx, patience)
	defer cancel()
	if err := chromedp.Do(ctx, actions...); err != nil {
		p.shot("failed")
		p.Fatalf("%s: %v", what, err)
	}
}

// value evaluates an expression, a promise too.
func value[T any](p *page, expression string) T {
	p.Helper()
	ctx, cancel := context.WithTimeout(p.ctx, patience)
	defer cancel()
	v, err := chromedp.Run(ctx, chromedp.Evaluate[T](expression, chromedp.EvalAwaitPromise))
	if err != nil {
		p.shot("failed")
		p.Fatalf("%.80s: %v", expression, err)
	}
	return v
}

func (p *page) text() string { p.Helper(); return value[string](p, `document.body.innerText`) }

func (p *page) sees(where string, wants ...string) {
	p.Helper()
	body := p.text()
	for _, w := range wants {
		if !strings.Contains(body, w) {
			p.shot("missing")
			p.Fatalf("%s lacks %q:\n%s", where, w, body)
		}
	}
}

func (p *page) shot(name string) {
	p.Helper()
	ctx, cancel := context.WithTimeout(p.ctx, patience)
	defer cancel()
	png, err := chromedp.Run(ctx, chromedp.FullScreenshot(100))
	if err != nil {
		p.Error(err)
		return
	}
	if err := os.WriteFile(filepath.Join(p.dir, name+".png"), png, 0o600); err != nil {
		p.Error(err)
	}
}
