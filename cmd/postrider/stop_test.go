package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/postrider/postrider/internal/config"
	"github.com/postrider/postrider/internal/dns"
	"github.com/postrider/postrider/internal/memnet"
	"github.com/postrider/postrider/internal/spool"
	"github.com/postrider/postrider/internal/spool/memory"
)

// inMemory opens a node in a bubble, and returns how its socket is reached.
func inMemory(t *testing.T, log slog.Handler) (n *node, dial func() net.Conn) {
	t.Helper()
	conf, err := config.Parse("postrider.toml", []byte("hostname = \"mx.author.test\"\ndata = \"/d\"\n[[listen]]\nkind = \"smtp\"\naddress = \"192.0.2.1:25\"\n"))
	if err != nil {
		t.Fatal(err)
	}
	wire := memnet.New()
	n, err = open(conf, world{
		listen: func(network, address string) (net.Listener, error) {
			if network == "unix" {
				address = "192.0.2.1:80"
			}
			return wire.Listen(address)
		},
		dial: func(ctx context.Context, network, address string, _ net.Addr) (net.Conn, error) {
			return wire.DialFrom(ctx, netip.MustParseAddr("192.0.2.1"), network, address)
		},
		resolver: &dns.Zone{}, store: memory.New(1),
	}, slog.New(log))
	if err != nil {
		t.Fatal(err)
	}
	return n, func() net.Conn {
		c, err := wire.DialFrom(t.Context(), netip.MustParseAddr("192.0.2.1"), "tcp", "192.0.2.1:80")
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
}

// run serves until the node is stopped; ended says when it has come to its end.
func (n *node) run(t *testing.T) (stop func(), ended <-chan bool) {
	ctx, stop := context.WithCancel(context.Background())
	over := make(chan bool)
	go func() {
		defer close(over)
		if err := n.serve(ctx, func() {}); err != nil {
			t.Error(err)
		}
	}()
	synctest.Wait()
	return stop, over
}

func over(ended <-chan bool) bool {
	synctest.Wait()
	select {
	case <-ended:
		return true
	default:
		return false
	}
}

// Else whoever hands over a message does not learn that it was taken, and does it again.
func TestAStopWaitsForTheAnswerToWhatIsUnderWay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n, dial := inMemory(t, slog.DiscardHandler)
		stop, ended := n.run(t)
		quick, slow := dial(), dial()
		for _, c := range []net.Conn{quick, slow} {
			fmt.Fprint(c, "POST /api/v1/messages?from=a@author.test&to=b@there.test HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n")
		}
		synctest.Wait()
		stop()
		if over(ended) {
			t.Error("it ended with a request under way")
		}
		fmt.Fprint(quick, "Subject: x\r\n\r\n", strings.Repeat("x", 86))
		if b, err := io.ReadAll(quick); err != nil || !strings.HasPrefix(string(b), "HTTP/1.1 200 ") {
			t.Errorf("the answer is %q, %v", b, err)
		}
		began := time.Now()
		if <-ended; time.Since(began) > webEnd+time.Second {
			t.Errorf("it waited for %s for one that says nothing", time.Since(began))
		}
	})
}

// unpruned is a store that cannot prune for want of descriptors.
type unpruned struct {
	spool.Store
	asked int
}

func (u *unpruned) Prune(context.Context, time.Time) error {
	u.asked++
	return syscall.EMFILE
}

// What is not forgotten in this hour is in the next: nobody's mail depends on it.
func TestAPruningThatFailsEndsNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n, _ := inMemory(t, slog.DiscardHandler)
		u := &unpruned{Store: n.store}
		n.store = u
		stop, ended := n.run(t)
		time.Sleep(2*time.Hour + time.Minute)
		if over(ended) || u.asked != 3 {
			t.Errorf("over %v, asked %d times", over(ended), u.asked)
		}
		stop()
		<-ended
	})
}

// Whoever watches over the service starts it again, and the start mends what can be mended.
func TestADiskThatHasFailedEndsTheService(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n, _ := inMemory(t, slog.DiscardHandler)
		n.world.broken = make(chan error, 1)
		n.world.broken <- spool.ErrBroken
		if err := n.serve(t.Context(), func() {}); !errors.Is(err, spool.ErrBroken) {
			t.Errorf("it ends with %v", err)
		}
	})
}

// halting is a log in which a line stays for as long as nobody lets it go on.
type halting struct {
	slog.Handler
	at   string
	goOn chan bool
}

func (h halting) Enabled(context.Context, slog.Level) bool { return true }

func (h halting) Handle(_ context.Context, r slog.Record) error {
	if r.Message == h.at {
		<-h.goOn
	}
	return nil
}

func TestAStopWaitsForAReload(t *testing.T) {
	file := filepath.Join(t.TempDir(), "postrider.toml")
	write(t, file, "hostname = \"mx.author.test\"\ndata = \"/d\"\n[[listen]]\nkind = \"smtp\"\naddress = \"192.0.2.1:25\"\n")
	synctest.Test(t, func(t *testing.T) {
		log := halting{slog.DiscardHandler, "the new configuration is in force", make(chan bool)}
		n, _ := inMemory(t, log)
		hup := make(chan os.Signal)
		n.reloads, n.file = hup, file
		stop, ended := n.run(t)
		hup <- syscall.SIGHUP
		stop()
		if over(ended) {
			t.Error("the spool was closed before the end of a reload")
		}
		close(log.goOn)
		<-ended
	})
}
