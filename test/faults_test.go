//go:build linux

package test

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"net"
	"net/textproto"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// under starts a rider by a shell that has said something before: a limit.
func (r *rider) under(script string) {
	r.Launch = func(cmd *exec.Cmd) {
		cmd.Path = "/bin/sh"
		cmd.Args = append([]string{"sh", "-c", script + `; exec "$0" "$@"`}, cmd.Args...)
	}
}

// TestWantOfDescriptorsLosesNothing: while strangers hold all descriptors that it may
// have, mail waits or is put off; what was acknowledged arrives, once, and the program
// lives on as if nothing had been.
func TestWantOfDescriptorsLosesNothing(t *testing.T) {
	t.Parallel()
	r, out := newRider(t), newSink(t)
	r.under("ulimit -n 90") // hard: Go raises a soft one by itself
	r.serve(route("*", "smtp:"+out.Addr))
	var doubtful sync.Map
	c := deliver(t, r.Addr, nil, 1, &doubtful)
	defer c.close()
	var held []net.Conn
	for range 150 { // more than there are; those that are not accepted wait in the kernel
		conn, err := net.Dial("tcp", r.Addr)
		if err != nil {
			break
		}
		held = append(held, conn)
	}
	r.until("want of descriptors", func() bool { return strings.Contains(r.log(), "too many open files") })
	// Who is in already may speak on; to reach the next hop there is no descriptor.
	for id := int64(2); id <= 10; id++ {
		if c = deliver(t, r.Addr, c, id, &doubtful); c == nil {
			t.FailNow()
		}
	}
	// A large body wants a file of its own.
	large := message("large@home.test", "large", strings.Repeat(strings.Repeat("x", 76)+"\r\n", 20_000))
	var said *textproto.Error
	if err := c.send("<ann@home.test>", []string{"<large@there.test>"}, large); err != nil && (!errors.As(err, &said) || said.Code/100 != 4) {
		t.Errorf("a large message is answered %v", err)
	}
	var clients sync.WaitGroup
	for id := int64(11); id <= 20; id++ {
		clients.Go(func() {
			if c := deliver(t, r.Addr, nil, id, &doubtful); c != nil {
				c.close()
			}
		})
	}
	time.Sleep(500 * time.Millisecond) // they knock meanwhile
	for _, conn := range held {
		conn.Close()
	}
	clients.Wait()
	r.until("an empty queue", func() bool { return len(r.queue()) == 0 })
	got := map[int64]int{}
	for _, m := range out.mail() {
		if id, whole := numberOf(m.Data); whole {
			got[id]++
		}
	}
	for id := int64(1); id <= 20; id++ {
		if got[id] != 1 {
			t.Errorf("message %d came %d times", id, got[id])
		}
	}
	if strings.Contains(r.log(), "msg=bounced") || strings.Contains(r.log(), "panic") {
		t.Error("a want of ours ended a message")
	}
}

// TestALargeMessageTakesLittleMemory: of 45 MB only a small part is in memory at a time,
// in and out, by DATA and by BDAT, and every octet arrives.
func TestALargeMessageTakesLittleMemory(t *testing.T) {
	t.Parallel()
	const most = 64 << 20 // octets that two such messages at a time may add
	r, out := newRider(t), newSink(t)
	r.Env = append(r.Env, "GOMEMLIMIT=64MiB")
	r.serve(route("*", "smtp:"+out.Addr))
	deliver(t, r.Addr, nil, 1, new(sync.Map)).close()
	text := message("large@home.test", "large", strings.Repeat(strings.Repeat("x", 76)+"\r\n", 45_000_000/78))
	before := r.memory(t)
	var senders sync.WaitGroup
	for _, chunks := range []bool{false, true} {
		senders.Go(func() {
			c, err := dial(r.Addr)
			if err != nil {
				t.Error(err)
				return
			}
			defer c.close()
			if !chunks {
				if err := c.send("<ann@home.test>", []string{"<bob@there.test>"}, text); err != nil {
					t.Error(err)
				}
				return
			}
			fmt.Fprintf(c.conn, "MAIL FROM:<ann@home.test>\r\nRCPT TO:<bob@there.test>\r\nBDAT %d LAST\r\n", len(text))
			c.conn.Write(text)
			for range 3 {
				if _, _, err := c.text.ReadResponse(250); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	senders.Wait()
	want := sha256.Sum256(text)
	for _, m := range out.wait(t, 3)[1:] {
		if i := bytes.Index(m.Data, []byte("From: Ann")); i < 0 || sha256.Sum256(m.Data[i:]) != want {
			t.Errorf("%d octets of %d came changed", len(m.Data), len(text))
		}
	}
	if grown := r.memory(t) - before; grown > most {
		t.Errorf("two messages of 45 MB took %d MB of memory", grown>>20)
	} else {
		t.Logf("two messages of 45 MB at a time took %d MB of memory", grown>>20)
	}
}

// TestADiskThatFailsIsNeverTrusted has the system answer calls of the program with an
// error, below all of its own code: from then on nothing is acknowledged and nothing is
// refused for good, and a later start on a sound disk has all that was acknowledged.
func TestADiskThatFailsIsNeverTrusted(t *testing.T) {
	strace, err := exec.LookPath("strace")
	if err != nil {
		t.Skip("strace is not there")
	}
	for _, c := range []struct {
		name, inject string
		large        bool // messages that get a file of their own
		passes       bool // the fault does, and mail is taken again
	}{
		{name: "flush of the log", inject: "fdatasync:error=EIO:when=8+"},
		{name: "one flush of the log", inject: "fdatasync:error=EIO:when=8"},
		{name: "write of the log", inject: "pwrite64:error=EIO:when=10+"},
		{name: "full at the log", inject: "pwrite64:error=ENOSPC:when=10..14", passes: true},
		{name: "quota at the log", inject: "pwrite64:error=EDQUOT:when=10..14", passes: true},
		{name: "flush of a large body", inject: "fsync:error=EIO:when=40+", large: true},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			r, out := newRider(t), newSink(t)
			r.Env = append(r.Env, "GOMAXPROCS=1")
			r.Launch = func(cmd *exec.Cmd) {
				cmd.Path = strace
				// -D: the program stays our child. Calls are counted by thread.
				cmd.Args = append([]string{"strace", "-D", "-f", "-qq", "--seccomp-bpf", "-o", filepath.Join(r.Dir, "strace"),
					"-e", "inject=" + c.inject}, cmd.Args...)
			}
			r.serve(route("*", "smtp:"+claimAddr(t))) // nobody is there yet
			acknowledged := map[int64]bool{}
			refused, after := 0, 0
			for id := int64(1); id <= 60 && after < 5; id++ {
				switch code := offer(r.Addr, id, c.large); {
				case code == 250 && refused > 0 && !c.passes:
					t.Errorf("message %d is acknowledged after a fault", id)
					fallthrough
				case code == 250:
					acknowledged[id] = true
					if refused > 0 {
						after++
					}
				case code/100 == 4 || code == 0 && !c.passes:
					refused++
					if !c.passes {
						after++
					}
				default:
					t.Errorf("message %d is answered %d", id, code)
				}
			}
			if refused == 0 || len(acknowledged) == 0 || c.passes && after == 0 {
				t.Errorf("%d acknowledged, %d put off, %d afterwards", len(acknowledged), refused, after)
			}
			if !c.passes {
				r.until("end of the program", func() bool { return over(r.ended) })
				if !strings.Contains(r.log(), "\npostrider: ") || !strings.Contains(r.log(), "spool: broken: ") {
					t.Errorf("it says %.2000q", r.log())
				}
			}
			r.kill()
			r.Launch = nil
			r.serve(route("*", "smtp:"+out.Addr))
			r.until("an empty queue", func() bool { return len(r.queue()) == 0 })
			for _, m := range out.mail() {
				for id := range acknowledged {
					if bytes.Contains(m.Data, fmt.Appendf(nil, "Message-ID: <%d@home.test>", id)) {
						delete(acknowledged, id)
					}
				}
			}
			if len(acknowledged) > 0 {
				t.Errorf("lost: %v", acknowledged)
			}
			t.Logf("%d put off", refused)
		})
	}
}

func over(ended <-chan struct{}) bool {
	select {
	case <-ended:
		return true
	default:
		return false
	}
}

// offer sends a message once and returns the code of the answer that decided; 0 if
// there was none.
func offer(addr string, id int64, large bool) int {
	c, err := dial(addr)
	if err == nil {
		defer c.close()
		text := numbered(id)
		if large {
			text = append(text, strings.Repeat(strings.Repeat("x", 76)+"\r\n", 15_000)...)
		}
		if err = c.send("<ann@home.test>", []string{"<bob@there.test>"}, text); err == nil {
			return 250
		}
	}
	var said *textproto.Error
	if errors.As(err, &said) {
		return said.Code
	}
	return 0
}
