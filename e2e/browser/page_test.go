package browser_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"

	"dcpos/agent/checkout"
	"dcpos/agent/checkout/checkouttest"
	"dcpos/agent/devices"
	"dcpos/agent/localapi"
	"dcpos/agent/screen"
	"dcpos/drivers"
	"dcpos/pos"
)

// shop is a till with its API and pages.
type shop struct {
	*checkouttest.Shop
	till    *checkout.Till
	devices atomic.Pointer[[]devices.Status]
	lose    atomic.Bool // the answer to the next payment that is started is lost on its way
	url     string
}

// losing carries requests out and loses their answers when it is told to.
func (s *shop) losing(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodPost || r.URL.Path != "/v1/payments" || !s.lose.CompareAndSwap(true, false) {
			next.ServeHTTP(w, r)
			return
		}
		next.ServeHTTP(httptest.NewRecorder(), r)
		// Half of it, for without a byte the browser itself sends the request again.
		w.Header().Set("Content-Length", "1000")
		w.WriteHeader(http.StatusOK)
		_ = http.NewResponseController(w).Flush()
		panic(http.ErrAbortHandler)
	})
}

// shown are the devices that a test sets, without their drivers.
type shown struct{ *shop }

// Status implements localapi.Devices.
func (s shown) Status() []devices.Status { return *s.devices.Load() }

// Unknown implements localapi.Devices.
func (shown) Unknown() []devices.Unknown { return nil }

// Detail implements localapi.Devices.
func (shown) Detail(string) (devices.Detail, error) {
	return devices.Detail{}, pos.NewError(pos.ErrNotFound, nil)
}

// CheckHealth implements localapi.Devices.
func (shown) CheckHealth(context.Context, string, string, drivers.HealthLevel) (drivers.Health, error) {
	return drivers.Health{}, pos.NewError(pos.ErrNotFound, nil)
}

// SelfTest implements localapi.Devices.
func (shown) SelfTest(context.Context, string, string) (drivers.Health, *drivers.PrintResult, error) {
	return drivers.Health{}, nil, pos.NewError(pos.ErrNotFound, nil)
}

// ForgetFraming implements localapi.Devices.
func (shown) ForgetFraming(context.Context, string) error { return pos.NewError(pos.ErrNotFound, nil) }

func (s *shop) set(list []devices.Status) { s.devices.Store(&list) }

const key = "0123456789abcdef"

// open starts a till whose pages have the layout.
func open(t *testing.T, o screen.Options, change ...func(*checkout.Config)) *shop {
	t.Helper()
	s := &shop{Shop: checkouttest.NewShop(t)}
	s.till, _ = s.Start(t, change...)
	s.set([]devices.Status{})
	o.Env = pos.Lab
	api, err := localapi.New(localapi.Options{Till: s.till, Devices: shown{s}, Screen: screen.New(o), ScreenKey: key})
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(s.losing(api.Loopback()))
	t.Cleanup(server.CloseClientConnections)
	s.url = server.URL
	t.Cleanup(func() { go server.Close() }) // event streams end with the browser
	return s
}

// page is a tab of the browser.
type page struct {
	*testing.T
	ctx  context.Context
	dir  string
	name string
	n    int
}

// tab opens a page with a session of the till, of the size.
func tab(ctx context.Context, t *testing.T, s *shop, name, path string, width, height int64) *page {
	t.Helper()
	c, cancel := chromedp.NewContext(ctx, chromedp.WithNewBrowserContext())
	t.Cleanup(cancel)
	c, stop := context.WithTimeout(c, 3*time.Minute)
	t.Cleanup(stop)
	p := &page{T: t, ctx: c, dir: t.ArtifactDir(), name: name}
	p.do(chromedp.EmulateViewport(width, height), chromedp.Navigate(s.url+localapi.EnterPath+"?key="+key))
	exceptions := chromedp.Events(c, runtime.ExceptionThrown)
	go func() {
		for e, err := range exceptions {
			if err != nil {
				return
			}
			t.Errorf("%s: script: %s %v", name, e.ExceptionDetails.Text, e.ExceptionDetails.Exception)
		}
	}()
	if path != "/" {
		p.do(chromedp.Navigate(s.url + path))
	}
	return p
}

func (p *page) do(steps ...chromedp.Action[chromedp.Void]) {
	p.Helper()
	if err := chromedp.Do(p.ctx, steps...); err != nil {
		p.shot("failed")
		p.Fatalf("%s: %v", p.name, err)
	}
}

// js evaluates an expression to a string.
func (p *page) js(expression string) string {
	p.Helper()
	v, err := chromedp.Run(p.ctx, chromedp.Evaluate[string](expression))
	if err != nil {
		p.Fatalf("%s: %s: %v", p.name, expression, err)
	}
	return v
}

// see waits until the element's text contains the words.
func (p *page) see(selector string, words ...string) {
	p.Helper()
	text := ""
	look := chromedp.Evaluate[string](fmt.Sprintf(`[...document.querySelectorAll(%q)].filter(e => e.checkVisibility())
		.map(e => e.innerText + " " + (e.value ?? "")).join("\n")`, selector))
	for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline); time.Sleep(40 * time.Millisecond) {
		var err error
		if text, err = chromedp.Run(p.ctx, look); err != nil {
			continue // the page is being loaded
		}
		missing := false
		for _, w := range words {
			missing = missing || !strings.Contains(text, w)
		}
		if text != "" && !missing {
			return
		}
	}
	p.shot("failed")
	p.Fatalf("%s: %s says %q, want %q", p.name, selector, text, words)
}

// gone waits until no such element is shown.
func (p *page) gone(selector string) {
	p.Helper()
	text := ""
	for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline); time.Sleep(40 * time.Millisecond) {
		text = p.js(fmt.Sprintf(`[...document.querySelectorAll(%q)].filter(e => e.checkVisibility()).map(e => e.innerText || "an empty one").join()`, selector))
		if text == "" {
			return
		}
	}
	p.shot("failed")
	p.Fatalf("%s: %s is still there: %s", p.name, selector, text)
}

// click waits until what it is to hit stands still: a page whose size has just changed moves
// its buttons away from under a click.
func (p *page) click(selector string) {
	p.Helper()
	p.do(chromedp.Evaluate[chromedp.Void](fmt.Sprintf(`(async () => {
  for (let was = ''; ;) {
    const e = document.querySelector(%q), is = e ? JSON.stringify(e.getBoundingClientRect()) : '';
    if (is && is === was) return;
    was = is;
    await new Promise((f) => { requestAnimationFrame(() => requestAnimationFrame(f)); });
  }
})()`, selector), chromedp.EvalAwaitPromise))
	p.do(chromedp.Click(chromedp.CSS(selector), chromedp.NodeEnabled))
}

func (p *page) fill(selector, text string) {
	p.Helper()
	p.do(chromedp.SendKeys(chromedp.CSS(selector), text))
}

// scan types as a scanner does that is a keyboard: faster than the browser's own
// protocol could on a busy machine.
func (p *page) scan(code string) {
	p.Helper()
	p.js(fmt.Sprintf(`(() => {
  for (const key of [...%q, 'Enter']) {
    const field = document.activeElement, e = new KeyboardEvent('keydown', { key, bubbles: true, cancelable: true });
    if (!field.dispatchEvent(e) || !field.matches('input')) continue;
    if (key === 'Enter') { field.form?.requestSubmit(); continue; }
    field.value += key;
    field.dispatchEvent(new InputEvent('input', { bubbles: true }));
  }
  return '';
})()`, code))
}

// press types on the page as a whole, wherever the focus is.
func (p *page) press(keys string) { p.Helper(); p.do(chromedp.KeyEvent(keys)) }

// shot takes a screenshot and checks that everything fits.
func (p *page) shot(what string) {
	p.Helper()
	if what != "failed" {
		defer p.fits(what)
		p.do(chromedp.Evaluate[chromedp.Void](`Promise.all([...document.querySelectorAll("img.qr")].map(i => i.decode()))`, chromedp.EvalAwaitPromise))
	}
	p.n++
	b, err := chromedp.Run(p.ctx, chromedp.CaptureScreenshot())
	if err != nil {
		p.Errorf("screenshot: %v", err)
		return
	}
	if err := os.WriteFile(filepath.Join(p.dir, fmt.Sprintf("%s-%02d-%s.png", p.name, p.n, what)), b, 0o600); err != nil {
		p.Error(err)
	}
}

// fits finds what does not fit: text that is cut off, a page that is wider than its
// screen, a button that is too small for a finger.
func (p *page) fits(what string) {
	p.Helper()
	if wrong := p.js(misfits); wrong != "" {
		p.Errorf("%s %s: %s", p.name, what, wrong)
	}
}

// sizes takes a screenshot on every screen that the pages are made for, checks that
// the other language fits too, and comes back to the first.
func (p *page) sizes(what string, sizes ...[2]int64) {
	p.Helper()
	other := chromedp.Evaluate[chromedp.Void](`document.getElementById("language").click()`)
	for _, s := range sizes {
		name := fmt.Sprintf("%s-%dx%d", what, s[0], s[1])
		p.do(chromedp.EmulateViewport(s[0], s[1]))
		p.shot(name)
		p.do(other)
		p.fits(name + " in the other language")
		p.do(other)
	}
	p.do(chromedp.EmulateViewport(sizes[0][0], sizes[0][1]))
}

// counters and stands are the screens of cashiers and of customers.
func counters() [][2]int64 { return [][2]int64{{1280, 800}, {1024, 768}, {390, 844}} }
func stands() [][2]int64   { return [][2]int64{{1080, 1920}, {1280, 800}, {1024, 768}} }

const misfits = `(() => {
  const wrong = [], w = innerWidth, h = innerHeight, root = document.documentElement;
  if (root.scrollWidth > w) wrong.push('page is ' + root.scrollWidth + ' wide on ' + w);
  for (const e of document.querySelectorAll('button, input, h1, h2, .badge, .banner, .qr, .result, .problem, .sum, .amount')) {
    if (!e.checkVisibility() || e.classList.contains("sr-only") || e.closest('#payments')?.contains(e) && e.getBoundingClientRect().top > h) continue;
    const r = e.getBoundingClientRect(), name = e.tagName + '#' + e.id + '.' + e.className + ' "' + (e.innerText ?? '').slice(0, 20) + '"';
    if (r.left < -1 || r.right > w + 1) wrong.push(name + ' leaves the screen sideways');
    if (!e.closest('#payments') && (r.top < -1 || r.bottom > h + 1)) wrong.push(name + ' is below or above the screen: ' + Math.round(r.top) + '–' + Math.round(r.bottom));
    if (e.tagName === 'BUTTON' && (r.height < 47.5 || r.width < 47.5)) wrong.push(name + ' is only ' + Math.round(r.width) + '×' + Math.round(r.height));
    if (e.tagName !== 'INPUT' && e.scrollWidth > e.clientWidth + 1 && getComputedStyle(e).display !== 'inline') wrong.push(name + ' is cut off');
  }
  const panel = document.getElementById('panel');
  if (panel?.checkVisibility() && panel.scrollHeight > panel.clientHeight + 1) wrong.push('the panel scrolls: ' + panel.scrollHeight + ' in ' + panel.clientHeight);
  const stage = document.getElementById('stage');
  if (stage && stage.scrollHeight > stage.clientHeight + 1) wrong.push('the stage overflows: ' + stage.scrollHeight + ' in ' + stage.clientHeight);
  return wrong.join('; ');
})()`

func contains(text, part string) bool { return strings.Contains(text, part) }
