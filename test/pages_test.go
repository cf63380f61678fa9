//go:build linux

package test

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"

	"github.com/postrider/postrider/test/peers"
)

// chromiums are the names that Debian and others give it.
var chromiums = []string{"chromium", "chromium-browser", "google-chrome", "google-chrome-stable"}

// chromium returns the browser of the machine, else the one that scripts/peers.sh
// unpacked with the libraries that the machine lacks.
func chromium(t *testing.T) (path string, env []string) {
	for _, name := range chromiums {
		if p, err := exec.LookPath(name); err == nil {
			return p, nil
		}
	}
	lib := filepath.Join(peers.Tree(t, "chromium"), "usr/lib")
	more, _ := filepath.Glob(filepath.Join(lib, "*-linux-gnu")) // the pattern is sound
	return filepath.Join(lib, "chromium/chromium"), []string{"LD_LIBRARY_PATH=" + strings.Join(append(more, lib), ":")}
}

// A browser looks at the pages of a rider.
type browser struct {
	t    *testing.T
	ctx  context.Context
	base string

	mu   sync.Mutex
	said []string // what the pages wrote to the console
}

const token = "the-token-of-the-tests"

// web are the sections of a configuration that serves the pages at an address to
// whoever has the token; what waits is not tried again for an hour.
func (r *rider) web(addr string) string {
	file := filepath.Join(r.Dir, "token")
	write(r.t, file, []byte(token+"\n"))
	if err := os.Chmod(file, 0o600); err != nil {
		r.t.Fatal(err)
	}
	return fmt.Sprintf("[[listen]]\nkind = \"http\"\naddress = %q\n[[token]]\nname = \"maria\"\nrole = \"operate\"\nfile = %q\n[schedule.slow]\nretry = [\"1h\"]\nwarn = [\"4h\"]\nexpire = \"2d\"\n", addr, file)
}

// open starts a browser, logged in. Its console must stay silent.
func open(t *testing.T, addr string) *browser {
	t.Helper()
	path, env := chromium(t)
	profile, err := os.MkdirTemp("", "pages-")
	if err != nil {
		t.Fatal(err)
	}
	opts := append(chromedp.DefaultExecAllocatorOptions[:], chromedp.ExecPath(path), chromedp.Env(env...), chromedp.UserDataDir(profile), chromedp.DisableGPU, chromedp.NoSandbox)
	alloc, stop := chromedp.NewExecAllocator(t.Context(), opts...)
	ctx, end := chromedp.NewContext(alloc)
	b := &browser{t: t, ctx: ctx, base: "http://" + addr}
	t.Cleanup(func() {
		end()
		stop()
		// Its processes write for a moment longer.
		for range 50 {
			if err = os.RemoveAll(profile); err == nil {
				break
			}
			time.Sleep(100 * time.Millisecond)
		}
		if err != nil {
			t.Error(err)
		}
		b.mu.Lock()
		defer b.mu.Unlock()
		for _, s := range b.said {
			t.Errorf("the console: %s", s)
		}
	})
	// The browser lives as long as the context of the first step.
	if err := chromedp.Do(ctx, chromedp.Navigate("about:blank")); err != nil {
		t.Fatal(err)
	}
	go func() {
		for m := range chromedp.Console(ctx) {
			if m.Text == "" || strings.Contains(m.Text, "Password forms should have") {
				continue
			}
			b.mu.Lock()
			b.said = append(b.said, m.String())
			b.mu.Unlock()
		}
	}()
	b.to("/login")
	b.do(chromedp.SendKeys(chromedp.CSS("#token"), token+kb.Enter))
	b.sees("Today")
	return b
}

// do does things one after the other; each waits until what it needs is there.
func (b *browser) do(steps ...chromedp.Action[chromedp.Void]) {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.ctx, patience)
	defer cancel()
	if err := chromedp.Do(ctx, steps...); err != nil {
		where, _ := chromedp.Run(b.ctx, chromedp.Location())
		b.t.Fatalf("at %s: %v\n%s", where, err, b.text())
	}
}

// to goes to a page and waits until it is there: Navigate may return before it has a root.
func (b *browser) to(path string) {
	b.t.Helper()
	b.do(chromedp.Navigate(b.base + path))
	for began := time.Now(); !run[bool](b, "!!document.documentElement && document.readyState === 'complete'"); time.Sleep(5 * time.Millisecond) {
		if time.Since(began) > patience {
			b.t.Fatalf("%s is not there after %v", path, patience)
		}
	}
}

// run returns what a script comes to.
func run[T any](b *browser, script string) T {
	b.t.Helper()
	v, err := chromedp.Run(b.ctx, chromedp.Evaluate[T](script))
	if err != nil {
		b.t.Fatalf("%s: %v", script, err)
	}
	return v
}

func (b *browser) text() string {
	s, err := chromedp.Run(b.ctx, chromedp.Evaluate[string]("document.body ? document.body.innerText : ''"))
	if err != nil {
		return err.Error()
	}
	return s
}

// sees waits until the page says something.
func (b *browser) sees(words string) {
	b.t.Helper()
	for deadline := time.Now().Add(patience); !strings.Contains(b.text(), words); time.Sleep(50 * time.Millisecond) {
		if time.Now().After(deadline) {
			where, _ := chromedp.Run(b.ctx, chromedp.Location())
			b.t.Fatalf("%q is not seen at %s, but\n%s", words, where, b.text())
		}
	}
}

// presses presses a key until something is so: a page is seen before its scripts run.
func (b *browser) presses(key, so string) {
	b.t.Helper()
	press := fmt.Sprintf(`document.body.dispatchEvent(new KeyboardEvent("keydown", {key: %q, bubbles: true, cancelable: true})), %s`, key, so)
	for deadline := time.Now().Add(patience); !run[bool](b, press); time.Sleep(50 * time.Millisecond) {
		if time.Now().After(deadline) {
			b.t.Fatalf("%q is pressed in vain", key)
		}
	}
}

// mark is lost when the page is loaded anew.
func (b *browser) mark() { run[int](b, "window.marked = 1") }

func (b *browser) unmoved() {
	b.t.Helper()
	if !run[bool](b, "window.marked === 1") {
		b.t.Error("the page was loaded anew")
	}
}

// TestAMessageIsFoundAndSteered sends a message to where nobody listens, finds it by
// the keyboard alone, holds it, sends it another way, and watches it go.
func TestAMessageIsFoundAndSteered(t *testing.T) {
	r, out, addr := newRider(t), newSink(t), claimAddr(t)
	r.serve(r.web(addr), route("*", "smtp:"+claimAddr(t), `schedule = "slow"`))
	submit(t, r.Addr, "<ann@author.test>", []string{"<bob@dead.test>"}, message("1", "Are you there?", "hello\r\n"))
	r.waitEvent("bob@dead.test", "deferred")
	b := open(t, addr)
	b.sees("1 delivery waits")
	b.sees("no mail service is listening there")
	b.presses("/", `document.activeElement.tagName === "INPUT"`)
	b.do(chromedp.KeyEvent("bob@dead.test" + kb.Enter))
	b.sees("as recipient")
	b.do(chromedp.Click(chromedp.CSS("td .title")))
	b.sees("Ready to forward")
	b.sees("connection refused")

	b.do(chromedp.Click(chromedp.CSS(`button[value="hold"]`)))
	b.sees("With the order")
	if all := r.queue("--state", "held"); len(all) != 0 {
		t.Errorf("held before the yes: %v", all)
	}
	b.do(chromedp.SendKeys(chromedp.CSS("#reason"), "he moves"), chromedp.Click(chromedp.CSS("button.main")))
	b.sees("Held by maria: he moves")
	b.do(chromedp.Click(chromedp.CSS(`button[value="reroute"]`)), chromedp.SendKeys(chromedp.CSS("#via"), "smtp:"+out.Addr+kb.Enter))
	b.sees("With the order")
	b.do(chromedp.Click(chromedp.CSS("button.main")))
	b.sees("Sent by another way")

	b.mark()
	if got, err := exec.Command(r.program, "release", "--all", "--config", r.config()).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, got)
	}
	out.wait(t, 1)
	b.sees("Handed on: the next host has custody now")
	b.sees("250 taken")
	b.unmoved()
}

// TestTodayChangesByItself watches the first page while mail comes.
func TestTodayChangesByItself(t *testing.T) {
	r, addr := newRider(t), claimAddr(t)
	r.serve(r.web(addr), route("*", "smtp:"+claimAddr(t), `schedule = "slow"`))
	b := open(t, addr)
	b.sees("Nothing waits")
	b.mark()
	submit(t, r.Addr, "<ann@author.test>", []string{"<bob@dead.test>"}, message("1", "one", "hello\r\n"))
	b.sees("1 delivery waits")
	submit(t, r.Addr, "<ann@author.test>", []string{"<carl@dead.test>"}, message("2", "two", "hello\r\n"))
	b.sees("2 deliveries wait")
	b.unmoved()
}

// TestADestinationIsPausedAndResumed does it by the pages.
func TestADestinationIsPausedAndResumed(t *testing.T) {
	r, out, addr := newRider(t), newSink(t), claimAddr(t)
	r.serve(r.web(addr), route("dead.test", "smtp:"+claimAddr(t), `schedule = "slow"`), route("*", "smtp:"+out.Addr))
	submit(t, r.Addr, "<ann@author.test>", []string{"<bob@dead.test>"}, message("1", "one", "hello\r\n"))
	r.waitEvent("bob@dead.test", "deferred")
	b := open(t, addr)
	b.to("/destinations")
	b.sees("does not answer")
	b.do(chromedp.Click(chromedp.Search(`//a[text()="Pause"]`)), chromedp.SendKeys(chromedp.CSS("#reason"), "their server moves"), chromedp.Click(chromedp.CSS("button.main")))
	b.sees("their server moves")
	b.do(chromedp.Click(chromedp.Search(`//a[text()="Resume"]`)), chromedp.Click(chromedp.CSS("button.main")))
	b.sees("Pause")
	if got := b.text(); strings.Contains(got, "their server moves") {
		t.Errorf("still paused:\n%s", got)
	}
}

// TestTheFoundingBounceIsExplained hands it in as a file, and a line of it by hand.
func TestTheFoundingBounceIsExplained(t *testing.T) {
	r, addr := newRider(t), claimAddr(t)
	r.serve(r.web(addr))
	file, err := filepath.Abs("stories/founding/filter.eml")
	if err != nil {
		t.Fatal(err)
	}
	b := open(t, addr)
	b.to("/explain")
	b.do(chromedp.SetUploadFiles(chromedp.CSS("#file"), []string{file}), chromedp.Click(chromedp.CSS("button.main")))
	b.sees("gave the message up after 6 days")
	b.sees("The receiving side's mail administrator")
	b.do(chromedp.SetValue(chromedp.CSS("#text"), "550 4.4.7 QUEUE.Expired; message expired"), chromedp.Click(chromedp.CSS("button.main")))
	b.sees("Exchange Server 2007")
}

// TestAnOutageChangesThePicture builds the founding story, and mends it.
func TestAnOutageChangesThePicture(t *testing.T) {
	r, addr := newRider(t), claimAddr(t)
	r.serve(r.web(addr))
	b := open(t, addr)
	b.to("/simulate")
	b.sees("Not delivered: filter gives up after 6d")
	b.mark()
	b.do(chromedp.SetValue(chromedp.CSS("#u0"), "1d"))
	run[bool](b, `document.querySelector("#u0").dispatchEvent(new Event("change", {bubbles: true}))`)
	b.sees("Delivered after 1d")
	b.unmoved()
	if at := run[string](b, "location.search"); !strings.Contains(at, "until=1d") {
		t.Errorf("the address does not tell it: %s", at)
	}
}

// TestForeignTextStaysText looks at a message that would like to be a program.
func TestForeignTextStaysText(t *testing.T) {
	r, addr := newRider(t), claimAddr(t)
	r.serve(r.web(addr), route("*", "smtp:"+claimAddr(t), `schedule = "slow"`))
	subject := "<script>window.stung=1</script><img src=x onerror=window.stung=2> \u202egnp.exe"
	submit(t, r.Addr, "<ann@author.test>", []string{`<"<svg/onload=window.stung=3>"@dead.test>`}, message("1", subject, "hello\r\n"))
	r.waitEvent("ann@author.test", "deferred")
	b := open(t, addr)
	for _, p := range []string{"/", "/find", "/find?q=script", "/message/" + r.queue()[0].Message} {
		b.to(p)
		if p != "/" {
			b.sees("<script>window.stung=1</script>")
			b.sees("‹U+202E›gnp.exe")
		}
		if run[bool](b, "window.stung !== undefined") {
			t.Errorf("%s: stung", p)
		}
	}
}

// dim returns the words of a page that are hard to read on what lies behind them: a
// contrast below 4.5, or 3 of large letters (WCAG 2.2 1.4.3).
const dim = `(() => {
  const parse = (c) => { const m = c.match(/[\d.]+/g).map(Number); return m.length < 4 ? [...m, 1] : m; };
  const lum = ([r, g, b]) => { const f = (v) => (v /= 255) <= .04045 ? v / 12.92 : ((v + .055) / 1.055) ** 2.4; return .2126 * f(r) + .7152 * f(g) + .0722 * f(b); };
  const out = new Set();
  const walk = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  for (let n; (n = walk.nextNode());) {
    const e = n.parentElement;
    if (!n.data.trim() || e.closest("svg, .sr, .skip, option, optgroup") || !e.checkVisibility()) continue;
    const s = getComputedStyle(e);
    let behind = e, bg;
    for (; behind; behind = behind.parentElement) {
      bg = parse(getComputedStyle(behind).backgroundColor);
      if (bg[3] > 0) break;
    }
    const [a, b] = [lum(parse(s.color)), lum(bg)].sort((x, y) => y - x);
    const size = parseFloat(s.fontSize), large = size >= 24 || size >= 18.66 && s.fontWeight >= 700;
    const ratio = (a + .05) / (b + .05);
    if (ratio < (large ? 3 : 4.5)) out.add(ratio.toFixed(2) + " " + n.data.trim().slice(0, 40));
  }
  return [...out];
})()`

// unseen returns the controls that do not show that they have the focus.
const unseen = `(() => {
  const out = [];
  for (const e of document.querySelectorAll("a, button, input:not([type=hidden]), select, textarea, summary")) {
    if (!e.checkVisibility() || e.tabIndex < 0) continue;
    e.focus({focusVisible: true});
    const s = getComputedStyle(e);
    if (document.activeElement !== e || s.outlineStyle === "none" || parseFloat(s.outlineWidth) < 2) out.push(e.outerHTML.slice(0, 80));
  }
  return out;
})()`

// TestEveryPageCanBeReadByEverybody looks at all pages wide and on a telephone, in
// light and in dark.
func TestEveryPageCanBeReadByEverybody(t *testing.T) {
	r, addr := newRider(t), claimAddr(t)
	r.serve(r.web(addr), route("*", "smtp:"+claimAddr(t), `schedule = "slow"`))
	for i := range 3 {
		submit(t, r.Addr, "<ann@author.test>", []string{fmt.Sprintf("<bob%d.with.a.rather.long.name@dead.test>", i)}, message(fmt.Sprint(i), "A subject that is long enough to be broken into several lines on a telephone", "hello\r\n"))
	}
	r.until("attempt", func() bool {
		return slices.ContainsFunc(r.queue(), func(d delivery) bool { return d.Attempts > 0 })
	})
	d := r.queue()[0]
	b := open(t, addr)
	if _, err := chromedp.Call(b.ctx, emulation.SetFocusEmulationEnabled, emulation.SetFocusEmulationEnabledParams{Enabled: true}); err != nil {
		t.Fatal(err)
	}
	pages := []string{"/", "/find", "/find?q=dead.test", "/message/" + d.Message, "/message/" + d.ID + "/order?order=hold", "/message/" + d.ID + "/order?order=giveup",
		"/destinations", "/rules", "/rules/allow", "/rules/try", "/explain", "/simulate", "/simulate/receiver?down=2d", "/configuration", "/no/such/page"}
	for _, scheme := range []string{"light", "dark"} {
		p := emulation.SetEmulatedMediaParams{Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: scheme}}}
		if _, err := chromedp.Call(b.ctx, emulation.SetEmulatedMedia, p); err != nil {
			t.Fatal(err)
		}
		for _, wide := range []int64{1280, 390} {
			b.do(chromedp.EmulateViewport(wide, 900))
			for _, page := range pages {
				b.to(page)
				if got := run[int64](b, "document.documentElement.scrollWidth"); got > wide {
					t.Errorf("%s at %d: %d wide", page, wide, got)
				}
				for _, words := range run[[]string](b, dim) {
					t.Errorf("%s in %s: hard to read: %s", page, scheme, words)
				}
			}
		}
		b.do(chromedp.EmulateViewport(1280, 900))
		for _, page := range pages {
			b.to(page)
			for _, e := range run[[]string](b, unseen) {
				t.Errorf("%s in %s: does not show the focus: %s", page, scheme, e)
			}
		}
	}
	b.mu.Lock() // a page that is not there is told of in the console
	b.said = slices.DeleteFunc(b.said, func(s string) bool { return strings.Contains(s, "404") })
	b.mu.Unlock()
}

// TestWithoutALoginNothingIsTold tries the doors.
func TestWithoutALoginNothingIsTold(t *testing.T) {
	r, addr := newRider(t), claimAddr(t)
	r.serve(r.web(addr), route("*", "smtp:"+claimAddr(t), `schedule = "slow"`))
	submit(t, r.Addr, "<ann@author.test>", []string{"<bob@dead.test>"}, message("1", "Hush", "hello\r\n"))
	b := open(t, addr)
	b.to("/find")
	b.sees("Hush")
	b.do(chromedp.Click(chromedp.Search(`//button[text()="Log out"]`)))
	b.sees("Token")
	for _, p := range []string{"/", "/find", "/destinations", "/rules", "/configuration", "/simulate"} {
		b.to(p)
		if got := b.text(); !strings.Contains(got, "Log in") || strings.Contains(got, "Hush") || strings.Contains(got, "rider.test") {
			t.Errorf("%s:\n%s", p, got)
		}
	}
}
