package console

import (
	"context"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"
)

// A browser is a Chromium, started by the test.
type browser struct {
	t      *testing.T
	ctx    context.Context
	origin string // of the console
}

// chromium returns a browser without a profile, or skips the test where none is
// installed; where CI is set that is a failure.
func chromium(t *testing.T) *browser {
	t.Helper()
	path := ""
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome"} {
		if found, err := exec.LookPath(name); err == nil {
			path = found
			break
		}
	}
	if path == "" {
		if os.Getenv("CI") == "true" {
			t.Fatal("chromium is missing, and this is CI: install Debian's chromium")
		}
		t.Skip("chromium is missing: install Debian's chromium to run the browser tests")
	}
	options := []chromedp.ExecAllocatorOption{
		chromedp.ExecPath(path), chromedp.UserDataDir(t.TempDir()), chromedp.NoFirstRun, chromedp.NoDefaultBrowserCheck,
		chromedp.Headless, chromedp.DisableGPU, chromedp.NoSandbox,
		chromedp.Flag("disable-quic", true), chromedp.Flag("disable-background-networking", true),
		chromedp.Flag("disable-component-update", true), chromedp.Flag("disable-sync", true),
		chromedp.Flag("disable-dev-shm-usage", true), chromedp.Flag("hide-scrollbars", true),
		chromedp.WSURLReadTimeout(60 * time.Second),
	}
	allocator, cancel := chromedp.NewExecAllocator(context.Background(), options...)
	t.Cleanup(cancel)
	ctx, stop := chromedp.NewContext(allocator)
	t.Cleanup(stop)
	ctx, end := context.WithTimeout(ctx, 4*time.Minute)
	t.Cleanup(end)
	b := &browser{t: t, ctx: ctx}
	check(t, chromedp.Do(ctx, chromedp.Navigate("about:blank"))) // starts it; it lives as long as this context
	return b
}

// do runs steps, each of which must succeed within a while.
func (b *browser) do(steps ...chromedp.Action[chromedp.Void]) {
	b.t.Helper()
	for i, step := range steps {
		ctx, cancel := context.WithTimeout(b.ctx, time.Minute)
		err := chromedp.Do(ctx, step)
		cancel()
		if err != nil {
			shoot(b, "failed")
			b.t.Fatalf("step %d in the browser, at %s: %v", i, b.at(), err)
		}
	}
}

func (b *browser) at() string {
	at, _ := chromedp.Run(b.ctx, chromedp.Location())
	return at
}

// open goes to a page of the console.
func (b *browser) open(path string) {
	b.t.Helper()
	if strings.HasPrefix(path, "/") {
		path = b.origin + path
	}
	b.do(chromedp.Navigate(path))
}

// follow does what leads to another page, and waits for it.
func (b *browser) follow(steps ...chromedp.Action[chromedp.Void]) {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.ctx, time.Minute)
	defer cancel()
	if _, err := chromedp.RunResponse(ctx, steps...); err != nil {
		shoot(b, "failed")
		b.t.Fatalf("wait for the next page, at %s: %v", b.at(), err)
	}
}

// text returns the text of the first element that fits, as it is seen.
func (b *browser) text(selector string) string {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.ctx, time.Minute)
	defer cancel()
	words, err := chromedp.Run(ctx, chromedp.Text(selector, chromedp.NodeVisible))
	if err != nil {
		shoot(b, "failed")
		b.t.Fatalf("read %s, at %s: %v", selector, b.at(), err)
	}
	return strings.TrimSpace(words)
}

// sees fails the test unless the page shows the words.
func (b *browser) sees(words string) {
	b.t.Helper()
	if all := evaluate[string](b, "document.body.innerText"); !strings.Contains(all, words) {
		shoot(b, "failed")
		b.t.Errorf("%s does not show %q, but:\n%s", b.at(), words, all)
	}
}

// evaluate runs a script of the test's own, also where the page's are off.
func evaluate[T any](b *browser, script string, options ...chromedp.EvaluateOption) T {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.ctx, time.Minute)
	defer cancel()
	value, err := chromedp.Run(ctx, chromedp.Evaluate[T](script, options...))
	if err != nil {
		b.t.Fatalf("evaluate in %s: %v", b.at(), err)
	}
	return value
}

// login goes through the form.
func (b *browser) login(email string) {
	b.t.Helper()
	b.open("/login")
	b.do(chromedp.SendKeys("#email", email), chromedp.SendKeys("#password", password))
	b.follow(chromedp.Click("main button[type=submit]"))
	b.do(chromedp.WaitVisible(".tabs"))
}

// logout goes through the button.
func (b *browser) logout() {
	b.t.Helper()
	b.open("/settings/account")
	b.follow(chromedp.Click(".who button"))
}

// scripts turns the page's own scripts on or off.
func (b *browser) scripts(on bool) {
	b.t.Helper()
	_, err := chromedp.Call(b.ctx, emulation.SetScriptExecutionDisabled, emulation.SetScriptExecutionDisabledParams{Value: !on})
	check(b.t, err)
}

// open serves the house's console and API on loopback, and tells them so.
func (h *house) open() (origin string) {
	h.t.Helper()
	api := httptest.NewServer(h.api)
	h.t.Cleanup(api.Close)
	var handler http.Handler
	pages := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { handler.ServeHTTP(w, r) }))
	h.t.Cleanup(pages.Close)
	h.console.URL, h.console.APIURL = pages.URL, api.URL+"/v1/contacts"
	var err error
	handler, err = h.console.Handler()
	check(h.t, err)
	h.site = handler.(*site)
	return pages.URL
}

// shoot writes a screenshot to a folder that git ignores.
func shoot(b *browser, name string) {
	image, err := chromedp.Run(b.ctx, chromedp.FullScreenshot(100))
	if err == nil {
		err = os.MkdirAll("../screenshots", 0o755)
	}
	if err == nil {
		err = os.WriteFile(filepath.Join("../screenshots", name+".png"), image, 0o644)
	}
	if err != nil {
		b.t.Logf("no screenshot %s: %v", name, err)
	}
}

// A look is a size of window, and a theme.
type look struct {
	name          string
	width, height int64
	dark          bool
}

var looks = []look{{"light", 1280, 800, false}, {"dark", 1280, 800, true}, {"narrow", 360, 740, false}}

func (b *browser) look(l look) {
	b.t.Helper()
	theme := "light"
	if l.dark {
		theme = "dark"
	}
	b.do(chromedp.EmulateViewport(l.width, l.height))
	_, err := chromedp.Call(b.ctx, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{
		Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: theme}},
	})
	check(b.t, err)
}
