//go:build linux

// Package test runs the program as it is built, between real mail systems and
// through crashes. It looks at it only from outside: mail goes in and comes out,
// queue and trace tell.
//
// Start reading at [newRider], then TestPostfixToPostfix in interop_test.go.
package test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"hash/fnv"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/postrider/postrider/test/peers"
)

const patience = time.Minute // only what fails waits that long

// program builds the program, once for all tests, and returns its path. It stays
// in the user's cache: there is no moment at which the last test has ended.
var program = sync.OnceValues(func() (string, error) {
	cache, err := os.UserCacheDir()
	if err != nil {
		return "", err
	}
	wd, err := os.Getwd()
	if err != nil {
		return "", err
	}
	tree := fnv.New32a() // another checkout's program is not ours
	tree.Write([]byte(wd))
	dir := filepath.Join(cache, "postrider-test")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", err
	}
	path := filepath.Join(dir, fmt.Sprintf("postrider-%08x", tree.Sum32()))
	// Where nothing has changed since the last run, go build sees that by the file.
	build := exec.Command("go", "build", "-o", path, "../cmd/postrider")
	build.Env = append(os.Environ(), "CGO_ENABLED=0") // as make build does
	out, err := build.CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("go build: %w\n%s", err, out)
	}
	return path, nil
})

// A rider is a postrider of its own: its folder, its ports, its process. It ends
// with the test.
type rider struct {
	Addr   string          // 127.0.0.1:PORT, SMTP
	LMTP   string          // 127.0.0.1:PORT
	Socket string          // path, LMTP
	Dir    string          // data is in Dir/data
	Env    []string        // for the next start
	Launch func(*exec.Cmd) // changes how it is started; nil: as it is

	t       *testing.T
	program string
	process *os.Process
	ended   chan struct{}
}

// newRider takes a folder and ports for a postrider, so that others can be told
// of them; serve starts it.
func newRider(t *testing.T) *rider {
	t.Helper()
	bin, err := program()
	if err != nil {
		t.Fatal(err)
	}
	// Not t.TempDir: its long names leave no room for the path of a Unix socket.
	dir, err := os.MkdirTemp("", "rider-")
	if err != nil {
		t.Fatal(err)
	}
	r := &rider{t: t, Dir: dir, Socket: filepath.Join(dir, "lmtp"), program: bin}
	t.Cleanup(func() {
		r.kill()
		if t.Failed() {
			log := r.log()
			t.Logf("log of postrider:\n%s", log[max(0, len(log)-8<<10):])
		}
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	r.Addr, r.LMTP = claimAddr(t), claimAddr(t)
	return r
}

// claimAddr returns a free address of the loopback, claimed as test/peers claims
// those of its servers until the test ends.
func claimAddr(t *testing.T) string {
	t.Helper()
	for range 200 {
		port := 20000 + rand.IntN(12000)
		claim, err := net.Listen("unix", fmt.Sprintf("@postrider-peers/%d", port))
		if err != nil {
			continue
		}
		addr := fmt.Sprintf("127.0.0.1:%d", port)
		if probe, err := net.Listen("tcp", addr); err == nil {
			probe.Close()
			t.Cleanup(func() { claim.Close() })
			return addr
		}
		claim.Close()
	}
	t.Fatal("no free port between 20000 and 32000")
	return ""
}

// head is the part of the configuration that all tests share: it takes all mail
// of this machine and tries again after a second. Routes and more follow.
const head = `hostname = "rider.test"
data = %q
[[listen]]
kind = "smtp"
address = %q
[[listen]]
kind = "lmtp"
address = %q
[[listen]]
kind = "lmtp"
address = "unix:%s"
[relay]
clients = ["127.0.0.0/8"]
[schedule.default]
retry = ["1s"]
warn = []
expire = "1h"
[schedule.notice]
retry = ["1s"]
expire = "1h"
`

// route is a [[route]] of a domain, with more keys verbatim.
func route(domain, to string, more ...string) string {
	var quoted []string
	for _, t := range strings.Fields(to) {
		quoted = append(quoted, fmt.Sprintf("%q", t))
	}
	return fmt.Sprintf("[[route]]\ndomain = %q\nto = [%s]\n%s\n", domain, strings.Join(quoted, ", "), strings.Join(more, "\n"))
}

// serve writes the configuration and starts the program.
func (r *rider) serve(sections ...string) {
	r.t.Helper()
	r.configure(sections...)
	r.start()
}

func (r *rider) configure(sections ...string) {
	r.t.Helper()
	text := fmt.Sprintf(head, filepath.Join(r.Dir, "data"), r.Addr, r.LMTP, r.Socket) + strings.Join(sections, "")
	if err := os.WriteFile(r.config(), []byte(text), 0o644); err != nil {
		r.t.Fatal(err)
	}
}

func (r *rider) config() string { return filepath.Join(r.Dir, "postrider.toml") }

// start runs the program until it is killed or told to stop, and returns when it
// is ready.
func (r *rider) start() {
	r.t.Helper()
	said := len(r.log())
	out, err := os.OpenFile(filepath.Join(r.Dir, "log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		r.t.Fatal(err)
	}
	defer out.Close()
	cmd := exec.Command(r.program, "serve", "--config", r.config())
	cmd.Dir, cmd.Stdout, cmd.Stderr, cmd.Env = r.Dir, out, out, append(os.Environ(), r.Env...)
	cmd.SysProcAttr = &syscall.SysProcAttr{}
	if r.Launch != nil {
		r.Launch(cmd)
	}
	ended, err := peers.Launch(cmd)
	if err != nil {
		r.t.Fatal(err)
	}
	r.process, r.ended = cmd.Process, ended
	r.until("postrider ready", func() bool {
		select {
		case <-ended:
			r.t.Fatal("postrider ended before it was ready")
		default:
		}
		return strings.Contains(r.log()[said:], "\nready\n")
	})
}

// kill ends the program as a power cut would; whatever it had begun stays begun.
func (r *rider) kill() {
	if r.process != nil {
		r.process.Kill()
		<-r.ended
		r.process = nil
	}
}

// stop tells the program to come to its end.
func (r *rider) stop() {
	r.t.Helper()
	r.process.Signal(syscall.SIGTERM)
	select {
	case <-r.ended:
		r.process = nil
	case <-time.After(patience):
		r.t.Fatal("postrider does not stop")
	}
}

// log is all that the program has printed.
func (r *rider) log() string {
	b, _ := os.ReadFile(filepath.Join(r.Dir, "log"))
	return string(b)
}

// until polls until done, or ends the test.
func (r *rider) until(what string, done func() bool) {
	r.t.Helper()
	await(r.t, what, done)
}

func await(t *testing.T, what string, done func() bool) {
	t.Helper()
	for deadline := time.Now().Add(patience); !done(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("no %s within %v", what, patience)
		}
	}
}

// A delivery is a line of queue --json or trace --json, as far as tests ask.
type delivery struct {
	ID, Message, State string
	MessageID          string `json:"message_id"`
	From, Domain       string
	Recipients         []string
	Attempts           int
	Held               string
	Last               *event
	Events             []event // trace only
}

// An event is one of trace --json.
type event struct {
	Kind, Host, Stage, Status, Text, Trouble, Way, TLS string
	Recipients                                         []string
	Code                                               int
}

// queue lists what waits.
func (r *rider) queue(filter ...string) []delivery {
	r.t.Helper()
	return r.lines(append([]string{"queue"}, filter...)...)
}

// trace returns the timelines of what find names; none if there is none.
func (r *rider) trace(find string) []delivery {
	r.t.Helper()
	return r.lines("trace", find)
}

func (r *rider) lines(args ...string) []delivery {
	r.t.Helper()
	ctx, cancel := context.WithTimeout(r.t.Context(), patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, r.program, append(args, "--json", "--config", r.config())...)
	var out, faults bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &faults
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && (!errors.As(err, &exit) || exit.ExitCode() != 1 || out.Len() > 0) {
		r.t.Fatalf("%q: %v\n%s", args, err, &faults)
	}
	var all []delivery
	for dec := json.NewDecoder(&out); dec.More(); {
		var d delivery
		if err := dec.Decode(&d); err != nil {
			r.t.Fatalf("%q: %v", args, err)
		}
		all = append(all, d)
	}
	return all
}

// waitEvent waits until an event of a kind stands in the only timeline of what
// find names, and returns the timeline.
func (r *rider) waitEvent(find, kind string) delivery {
	r.t.Helper()
	var found delivery
	r.until(kind+" in the trace of "+find, func() bool {
		all := r.trace(find)
		if len(all) != 1 {
			return false
		}
		found = all[0]
		return len(found.events(kind)) > 0
	})
	return found
}

// events returns those of a kind.
func (d delivery) events(kind string) []event {
	var all []event
	for _, e := range d.Events {
		if e.Kind == kind {
			all = append(all, e)
		}
	}
	return all
}

// kinds are the kinds of the events in their order.
func (d delivery) kinds() string {
	var all []string
	for _, e := range d.Events {
		all = append(all, e.Kind)
	}
	return strings.Join(all, " ")
}
