// Package testbrowser shows a test the pages as people see them: in Chromium, headless, in a
// window of a desk or of a phone, with pictures in the test's folder (DCPOS_SHOTS names
// another). A script that throws fails the test.
package testbrowser

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
)

// Path is the program; Debian's package is chromium.
const Path = "/usr/bin/chromium"

// Patience is for what a loaded machine may need.
const Patience = 2 * time.Minute

// Start starts a browser for a test's pages; without one the test fails.
func Start(t *testing.T) context.Context {
	t.Helper()
	if _, err := os.Stat(Path); err != nil {
		t.Fatalf("%v: install the Debian package chromium", err)
	}
	options := append(chromedp.DefaultExecAllocatorOptions[:],
		chromedp.ExecPath(Path), chromedp.UserDataDir(t.TempDir()), chromedp.NoSandbox, chromedp.DisableGPU,
		chromedp.Flag("disable-quic", true), chromedp.Flag("disable-component-update", true),
		chromedp.Flag("no-proxy-server", true), chromedp.Flag("lang", "zh-CN"))
	ctx, cancel := chromedp.NewExecAllocator(t.Context(), options...)
	t.Cleanup(cancel)
	ctx, end := chromedp.NewContext(ctx)
	t.Cleanup(end)
	if err := chromedp.Do(ctx); err != nil { // the browser lives as long as the first call's context
		t.Fatal(err)
	}
	return ctx
}

// Page is one tab, with cookies of its own.
type Page struct {
	*testing.T
	ctx context.Context //nolint:containedctx // the browser's tab is its context
	dir string
}

// Desk opens a tab as wide as a desk's screen.
func Desk(ctx context.Context, t *testing.T) *Page {
	t.Helper()
	return open(ctx, t, chromedp.EmulateViewport(1280, 900))
}

// Phone opens a tab of 390 by 844 points, as phones are.
func Phone(ctx context.Context, t *testing.T) *Page {
	t.Helper()
	return open(ctx, t, chromedp.EmulateViewport(390, 844, chromedp.EmulateMobile))
}

func open(ctx context.Context, t *testing.T, window chromedp.Action[chromedp.Void]) *Page {
	t.Helper()
	c, cancel := chromedp.NewContext(ctx, chromedp.WithNewBrowserContext())
	t.Cleanup(cancel)
	p := &Page{T: t, ctx: c, dir: os.Getenv("DCPOS_SHOTS")}
	if p.dir == "" {
		p.dir = t.ArtifactDir()
	}
	if err := chromedp.Do(c, window); err != nil { // the tab lives as long as the first call's context
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

// Tab is the tab, for actions that may fail.
func (p *Page) Tab() context.Context { return p.ctx }

// Do carries actions out; what names them where they fail, with a picture.
func (p *Page) Do(what string, actions ...chromedp.Action[chromedp.Void]) {
	p.Helper()
	ctx, cancel := context.WithTimeout(p.ctx, Patience)
	defer cancel()
	if err := chromedp.Do(ctx, actions...); err != nil {
		p.Shot("failed")
		p.Fatalf("%s: %v", what, err)
	}
}

// Leaves carries out actions that lead to another page, and waits until that one is there: a
// step further on would else meet the old one, or abort the new one.
func (p *Page) Leaves(what string, actions ...chromedp.Action[chromedp.Void]) {
	p.Helper()
	Value[bool](p, `window.old = true`)
	p.Do(what, actions...)
	if !p.soon(func(ctx context.Context) bool {
		there, err := chromedp.Run(ctx, chromedp.Evaluate[bool](`!window.old && document.readyState === "complete"`))
		return err == nil && there // an error: the pages are just changing
	}) {
		p.Shot("failed")
		p.Fatalf("%s: the page stays", what)
	}
}

// soon waits until something holds.
func (p *Page) soon(holds func(ctx context.Context) bool) bool {
	ctx, cancel := context.WithTimeout(p.ctx, Patience)
	defer cancel()
	for !holds(ctx) {
		select {
		case <-ctx.Done():
			return false
		case <-time.After(20 * time.Millisecond):
		}
	}
	return true
}

// Value evaluates an expression in the page, a promise too.
func Value[T any](p *Page, expression string) T {
	p.Helper()
	ctx, cancel := context.WithTimeout(p.ctx, Patience)
	defer cancel()
	v, err := chromedp.Run(ctx, chromedp.Evaluate[T](expression, chromedp.EvalAwaitPromise))
	if err != nil {
		p.Shot("failed")
		p.Fatalf("%.80s: %v", expression, err)
	}
	return v
}

// Text is what the page says.
func (p *Page) Text() string { p.Helper(); return Value[string](p, `document.body.innerText`) }

// TextOf is what the first element that a selector finds says; empty where there is none.
func (p *Page) TextOf(selector string) string {
	p.Helper()
	return Value[string](p, fmt.Sprintf(`(document.querySelector(%q)||{}).innerText||""`, selector))
}

// Address is the page's, without its query.
func (p *Page) Address() string {
	p.Helper()
	return Value[string](p, `location.origin+location.pathname`)
}

// Sees waits for the texts, and ends the test where the page goes on lacking one.
func (p *Page) Sees(where string, wants ...string) {
	p.Helper()
	var body string
	lacks := wants
	if p.soon(func(ctx context.Context) bool {
		text, err := chromedp.Run(ctx, chromedp.Evaluate[string](`document.body.innerText`))
		if err == nil { // an error: the pages are just changing
			body = text
			lacks = slices.DeleteFunc(slices.Clone(wants), func(w string) bool { return strings.Contains(body, w) })
		}
		return len(lacks) == 0
	}) {
		return
	}
	p.Shot("missing")
	p.Fatalf("%s lacks %q:\n%s", where, lacks, body)
}

// Shot keeps a picture of the whole page.
func (p *Page) Shot(name string) {
	p.Helper()
	ctx, cancel := context.WithTimeout(p.ctx, Patience)
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
