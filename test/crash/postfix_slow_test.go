//go:build linux && slow

package crash

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/postrider/postrider/test/peers"
)

// postfix is a Postfix in namespaces of its own, beside which the program is measured.
type postfix struct {
	*peers.Server
	t     *testing.T
	power *disk
	init  int // its first process; 0: it does not run
}

// newPostfix starts a Postfix as test/peers does, its spool in the folder for
// temporary files. It does not greet before newPostfix returns.
func newPostfix(t *testing.T, next, home string) *postfix {
	p := &postfix{t: t}
	p.Server = peers.Postfix(t, peers.Config{Relay: next, Extra: fmt.Sprintf("transport_maps = inline:{ { home.test = smtp:[%s]:%s } }\n%s",
		host(home), port(home), postfixExtra)})
	p.init = p.first()
	return p
}

// Its own log file would keep it down after a kill: what is left of the log service
// must be cleared away first, and whoever clears wants to log.
const postfixExtra = `maillog_file =
default_process_limit = 100
default_destination_concurrency_limit = 20
initial_destination_concurrency = 20
bounce_size_limit = 50000
`

func host(addr string) string { h, _, _ := strings.Cut(addr, ":"); return h }
func port(addr string) string { _, p, _ := strings.Cut(addr, ":"); return p }

// first finds the first process of its namespace.
func (p *postfix) first() int {
	all, _ := filepath.Glob("/proc/[0-9]*/cmdline")
	for _, file := range all {
		text, _ := os.ReadFile(file)
		pid, err := strconv.Atoi(filepath.Base(filepath.Dir(file)))
		if err == nil && slices.Contains(strings.Split(string(text), "\x00"), filepath.Join(p.Dir, "ns.sh")) && parent(pid) == os.Getpid() {
			return pid
		}
	}
	p.t.Error("the first process of Postfix is not found")
	return 0
}

func parent(pid int) int {
	stat, _ := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	_, rest, _ := strings.Cut(string(stat), ") ")
	if words := strings.Fields(rest); len(words) > 1 {
		n, _ := strconv.Atoi(words[1])
		return n
	}
	return 0
}

// all are the processes of its namespace.
func (p *postfix) all() []int {
	space, _ := os.Readlink(fmt.Sprintf("/proc/%d/ns/pid", p.init))
	links, _ := filepath.Glob("/proc/[0-9]*/ns/pid")
	var all []int
	for _, link := range links {
		if to, err := os.Readlink(link); err == nil && to == space && space != "" {
			pid, _ := strconv.Atoi(strings.Split(link, "/")[2])
			all = append(all, pid)
		}
	}
	return all
}

func (p *postfix) address() string { return p.Addr }

func (p *postfix) launch() error {
	if p.init == 0 {
		p.Start(p.t) // returns when it greets
		p.init = p.first()
	}
	return nil
}

func (p *postfix) strike() {
	if p.power != nil {
		// New processes may come until the last of those that make them stands.
		for frozen := map[int]bool{}; ; {
			all := p.all()
			n := len(frozen)
			for _, pid := range all {
				if !frozen[pid] {
					freeze(pid)
					frozen[pid] = true
				}
			}
			if len(frozen) == n {
				break
			}
		}
		p.power.cut()
	}
	syscall.Kill(p.init, syscall.SIGKILL)
}

func (p *postfix) gone() error {
	for began := time.Now(); syscall.Kill(p.init, 0) == nil; time.Sleep(time.Millisecond) {
		if time.Since(began) > patience {
			return fmt.Errorf("process %d does not end", p.init)
		}
	}
	p.init = 0
	if p.power != nil {
		return p.power.renew()
	}
	return nil
}

func (p *postfix) empty() bool {
	if len(p.Queue(p.t)) > 0 {
		p.Flush(p.t)
		return false
	}
	return true
}

// left says how many files the folders of its queue hold.
func (p *postfix) left() string {
	var all []string
	for _, d := range []string{"active", "bounce", "corrupt", "defer", "deferred", "hold", "incoming", "maildrop"} {
		n := 0
		filepath.Walk(filepath.Join(p.Dir, "spool", d), func(_ string, info os.FileInfo, err error) error {
			if err == nil && !info.IsDir() {
				n++
			}
			return nil
		})
		if n > 0 {
			all = append(all, fmt.Sprintf("%s %d", d, n))
		}
	}
	return strings.Join(all, ", ")
}

// at paces messages to so many a second, on the average.
func at(rate float64) func() {
	var mu sync.Mutex
	next := time.Now()
	return func() {
		mu.Lock()
		if now := time.Now(); next.Before(now) {
			next = now
		}
		next = next.Add(time.Duration(rand.ExpFloat64() / rate * float64(time.Second)))
		wait := time.Until(next)
		mu.Unlock()
		time.Sleep(wait)
	}
}

// TestPostfixBeside does to Postfix what the other tests do to the program, so that the
// duplicates can be compared: they are as many as transactions are under way, and these
// grow with the rate. So the program is crashed once more at the rate that Postfix
// reached. Postfix is not killed while it starts, and no law of ours is asked of it.
func TestPostfixBeside(t *testing.T) {
	moments := slices.DeleteFunc(slices.Clone(everyMoment), func(m moment) bool { return m == recovering })
	n := max(1, crashes(usualKills)/20)
	for _, kind := range []string{"kill", "ext4"} {
		rate := 0.0
		t.Run(kind, func(t *testing.T) {
			peers.Tree(t, "postfix")
			var d *disk
			if kind != "kill" {
				d = newDisk(t, kind)
				t.Setenv("TMPDIR", d.dir)
			}
			w := newWorld(t)
			p := newPostfix(t, w.next.addr, w.home.addr)
			if p.power = d; d != nil {
				syscall.Sync() // its configuration lies there, too
				os.Chmod(d.dir, 0o755)
			}
			rate = w.play(p, n, moments).rate()
			t.Logf("files left in the folders of the empty queue: %s", p.left())
		})
		t.Run(kind+" at its rate", func(t *testing.T) {
			if rate == 0 {
				t.Skip("Postfix has no rate")
			}
			w := newWorld(t)
			w.pace = at(rate) // nearly every message makes one transaction
			data := t.TempDir()
			var d *disk
			if kind != "kill" {
				d = newDisk(t, kind)
				data = d.dir
			}
			r := newRider(t, data, w.next.addr, w.home.addr)
			r.power = d
			w.play(r, n, moments)
			r.leavesNothing()
		})
	}
}
