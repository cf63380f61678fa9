package main

import (
	"bytes"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
	"unsafe"

	"golang.org/x/term"
)

// pty opens a terminal of its own and returns both of its ends.
func pty(t *testing.T) (outside, inside *os.File) {
	t.Helper()
	outside, err := os.OpenFile("/dev/ptmx", os.O_RDWR, 0)
	if err != nil {
		t.Skipf("no terminals here: %v", err)
	}
	t.Cleanup(func() { outside.Close() })
	control := func(f *os.File, what uintptr, arg unsafe.Pointer) {
		if _, _, e := syscall.Syscall(syscall.SYS_IOCTL, f.Fd(), what, uintptr(arg)); e != 0 {
			t.Skipf("no terminals here: %v", e)
		}
	}
	var number, unlock int32
	control(outside, syscall.TIOCSPTLCK, unsafe.Pointer(&unlock))
	control(outside, syscall.TIOCGPTN, unsafe.Pointer(&number))
	inside, err = os.OpenFile(fmt.Sprint("/dev/pts/", number), os.O_RDWR|syscall.O_NOCTTY, 0)
	if err != nil {
		t.Skipf("no terminals here: %v", err)
	}
	t.Cleanup(func() { inside.Close() })
	control(inside, syscall.TIOCSWINSZ, unsafe.Pointer(&[4]uint16{24, 80}))
	return outside, inside
}

// Top draws anew each second, says when nobody answers any more, and leaves the
// terminal as it was.
func TestTopRestoresTheTerminal(t *testing.T) {
	for _, key := range []string{"q", "\x03"} {
		t.Run(fmt.Sprintf("%q", key), func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			config := filepath.Join(dir, "p.toml")
			if err := os.WriteFile(config, []byte("hostname = \"mx.test\"\ndata = \""+dir+"\"\n[[listen]]\nkind = \"smtp\"\naddress = \"127.0.0.1:2525\"\n"), 0o600); err != nil {
				t.Fatal(err)
			}
			l, err := net.Listen("unix", filepath.Join(dir, "postrider.sock"))
			if err != nil {
				t.Fatal(err)
			}
			var mu sync.Mutex
			asked := 0
			s := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				mu.Lock()
				defer mu.Unlock()
				asked++
				fmt.Fprintf(w, `{"at":"2026-11-24T12:00:00Z","since":"2026-11-24T11:00:00Z","hostname":"mx%d.test"}`, asked)
			})}
			go s.Serve(l)
			t.Cleanup(func() { s.Close() })

			outside, inside := pty(t)
			before, err := term.GetState(int(inside.Fd()))
			if err != nil {
				t.Fatal(err)
			}
			done := make(chan int, 1)
			go func() { done <- run([]string{"postrider", "top", "-c", config}, streams{inside, inside, inside}) }()
			var drawn bytes.Buffer
			until := func(words string) {
				t.Helper()
				if err := outside.SetReadDeadline(time.Now().Add(10 * time.Second)); err != nil {
					t.Fatal(err)
				}
				for b := make([]byte, 4096); !strings.Contains(drawn.String(), words); {
					n, err := outside.Read(b)
					if err != nil {
						t.Fatalf("no %q in %q: %v", words, drawn.String(), err)
					}
					drawn.Write(b[:n])
				}
			}
			until("mx1.test")
			until("mx2.test")
			s.Close()
			until("does not answer any more")
			outside.WriteString(key)
			until(restored)
			if code := <-done; code != exitDone {
				t.Errorf("exit %d", code)
			}
			after, err := term.GetState(int(inside.Fd()))
			if err != nil {
				t.Fatal(err)
			}
			if fmt.Sprint(*before) != fmt.Sprint(*after) {
				t.Errorf("the terminal was %v and is %v", *before, *after)
			}
			if s := drawn.String(); !strings.HasPrefix(s, drawing) {
				t.Errorf("drawn was %q", s)
			}
		})
	}
}
