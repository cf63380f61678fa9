//go:build linux

package web

import (
	"context"
	"fmt"
	"math"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
)

// picture is a page that is taken, as wide as the telephone too if it is narrow.
type picture struct {
	name, path string
	does       []chromedp.Action[chromedp.Void] // before it is taken
	narrow     bool
	high       int64 // of what is shown, in pixels; 0: as a screen
}

const foundingBounce = "../../../test/stories/founding/filter.eml"

func (s *scene) pictures() []picture {
	message := func(which string) string { return "/message/" + s.asked[which] }
	return []picture{
		{name: "today", path: "/", narrow: true, high: 1500},
		{name: "find", path: "/find"},
		{name: "found", path: "/find?q=finance@northwind.example"},
		{name: "message", path: message("silent"), narrow: true, high: 1250},
		{name: "returned", path: message("back")},
		{name: "delivered", path: message("gone")},
		{name: "order", path: message("late") + "/order?order=life&more=3d"},
		{name: "destinations", path: "/destinations", high: 1150},
		{name: "pause", path: "/destinations/pause?name=northwind.example", high: 700},
		{name: "rules", path: "/rules", high: 1150},
		{name: "override", path: "/rules/allow/QX7M2K", high: 1000},
		{name: "explain", path: "/explain", high: 1250, does: []chromedp.Action[chromedp.Void]{
			chromedp.SetUploadFiles(chromedp.CSS("#file"), []string{must(filepath.Abs(foundingBounce))}), chromedp.Click(chromedp.CSS("main button.main")), chromedp.WaitVisible(chromedp.CSS(".verdict")),
		}},
		{name: "simulate", path: presets[0].Link, high: 1150},
		{name: "receiver", path: "/simulate/receiver?down=63h", high: 1150},
		{name: "configuration", path: "/configuration", high: 1150},
	}
}

func must(s string, err error) string {
	if err != nil {
		panic(err)
	}
	return s
}

// TestPictures takes those of docs/pictures: scripts/pictures.sh. With
// POSTRIDER_PICTURES_AS=png they can be looked at anywhere.
func TestPictures(t *testing.T) {
	dir := os.Getenv("POSTRIDER_PICTURES")
	if dir == "" {
		t.Skip("scripts/pictures.sh takes the pictures")
	}
	chromium, err := exec.LookPath("chromium")
	if err != nil {
		t.Fatal(err)
	}
	s := newScene(t)
	const secret = "a-token-for-the-pictures"
	server := httptest.NewServer(s.desk(secret))
	defer server.Close()
	opts := append(chromedp.DefaultExecAllocatorOptions[:], chromedp.ExecPath(chromium), chromedp.UserDataDir(t.TempDir()), chromedp.DisableGPU, chromedp.NoSandbox)
	alloc, stop := chromedp.NewExecAllocator(context.Background(), opts...)
	defer stop()
	ctx, end := chromedp.NewContext(alloc)
	defer end()
	do := func(steps ...chromedp.Action[chromedp.Void]) {
		t.Helper()
		if err := chromedp.Do(ctx, steps...); err != nil {
			t.Fatal(err)
		}
	}
	take := func(p picture, name string, wide int64) {
		t.Helper()
		high := p.high
		if high == 0 {
			high = 900
		}
		do(chromedp.EmulateViewport(wide, high), chromedp.Navigate(server.URL+p.path))
		do(p.does...)
		time.Sleep(300 * time.Millisecond) // until what is live has come
		whole, err := chromedp.Run(ctx, chromedp.Evaluate[float64]("document.documentElement.scrollHeight"))
		if err != nil {
			t.Fatal(err)
		}
		quality, clip := int64(66), page.Viewport{Width: float64(wide), Height: math.Min(whole, float64(high)), Scale: 1}
		shot := page.CaptureScreenshotParams{Format: page.CaptureScreenshotFormatWebp, Quality: &quality, Clip: &clip}
		ext := ".webp"
		if os.Getenv("POSTRIDER_PICTURES_AS") == "png" {
			shot.Format, shot.Quality, ext = page.CaptureScreenshotFormatPng, nil, ".png"
		}
		got, err := chromedp.Call(ctx, page.CaptureScreenshot, shot)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, name+ext), got.Data, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	dress := func(scheme string) {
		t.Helper()
		p := emulation.SetEmulatedMediaParams{Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: scheme}}}
		if _, err := chromedp.Call(ctx, emulation.SetEmulatedMedia, p); err != nil {
			t.Fatal(err)
		}
	}
	do(chromedp.Navigate("about:blank"))
	for _, scheme := range []string{"light", "dark"} {
		dress(scheme)
		if scheme == "light" {
			for _, scheme := range []string{"dark", "light"} {
				dress(scheme)
				take(picture{path: "/login", high: 520}, "login-"+scheme, 1280)
			}
			do(chromedp.SendKeys(chromedp.CSS("#token"), secret+kb.Enter), chromedp.WaitVisible(chromedp.CSS("nav")))
		}
		do(chromedp.Navigate(server.URL + "/"))
		time.Sleep(3 * time.Second) // until the first look through what waits has ended
		for _, p := range s.pictures() {
			if only := os.Getenv("POSTRIDER_PICTURE"); only != "" && only != p.name {
				continue
			}
			take(p, p.name+"-"+scheme, 1280)
			if p.narrow {
				take(picture{path: p.path, high: 844, does: p.does}, fmt.Sprintf("%s-telephone-%s", p.name, scheme), 390)
			}
		}
	}
}
