package main

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/postrider/postrider/custody"
	"github.com/postrider/postrider/internal/config"
	"github.com/postrider/postrider/internal/dns"
	"github.com/postrider/postrider/internal/memnet"
	"github.com/postrider/postrider/internal/smtpd"
	"github.com/postrider/postrider/internal/spool"
	"github.com/postrider/postrider/internal/spool/local"
	"github.com/postrider/postrider/mail"
)

// founding is the founding story's chain in virtual time: the author's server, the
// filter, the destination, and a mailbox where the author's letters arrive.
type founding struct {
	t              *testing.T
	net            *memnet.Network
	zone           *dns.Zone
	author, filter *node
	letters        *mailbox
	disk           vfs.FS // of all nodes; nil: each has its own
	stop           context.CancelFunc
	wait           sync.WaitGroup
}

const (
	authorAt      = "192.0.2.1:25"
	filterAt      = "192.0.2.2:25"
	destinationAt = "192.0.2.3:25"
	boxAt         = "192.0.2.4:24"
)

func newFounding(t *testing.T, wrap func(smtpd.Host) smtpd.Host) *founding {
	c := &founding{t: t, net: memnet.New(), zone: &dns.Zone{}, letters: &mailbox{letters: make(chan string, 64)}}
	c.zone.Add("destination.test", "MX 10 mx.destination.test.")
	c.zone.Add("mx.destination.test", "A 192.0.2.3")
	ctx, stop := context.WithCancel(context.Background())
	c.stop = stop
	c.serve(ctx, boxAt, smtpd.Options{Hostname: "author.test", LMTP: true}, c.letters)
	c.filter = c.node(ctx, "filter.test", filterAt, "mx", `warn = []
expire = "6d"
retry = ["1m x2 to 1h"]`, wrap)
	c.author = c.node(ctx, "mx.author.test", authorAt, "smtp:"+filterAt, `warn = ["4h"]
expire = "2d"
retry = ["1m 4 times", "5m 6 times", "10m"]`, nil)
	return c
}

func (c *founding) end() {
	c.stop()
	c.wait.Wait()
}

func (c *founding) serve(ctx context.Context, at string, o smtpd.Options, h smtpd.Host) {
	l, err := c.net.Listen(at)
	if err != nil {
		c.t.Fatal(err)
	}
	c.wait.Go(func() { smtpd.New(o, h).Serve(ctx, l) })
}

func (c *founding) node(ctx context.Context, name, at, next, schedule string, wrap func(smtpd.Host) smtpd.Host) *node {
	conf, err := config.Parse(name+".toml", fmt.Appendf(nil, `
hostname = %q
data = %q
[[listen]]
kind = "smtp"
address = %q
[relay]
clients = ["192.0.2.0/24"]
[[route]]
domain = "author.test"
to = ["lmtp:%s"]
[[route]]
domain = "*"
to = [%q]
[schedule.default]
%s
`, name, "/"+name, at, boxAt, next, schedule))
	if err != nil {
		c.t.Fatal(err)
	}
	quiet := slog.New(slog.NewTextHandler(io.Discard, nil))
	disk := c.disk
	if disk == nil {
		disk = vfs.NewMem()
	}
	store, err := local.Open("/spool", local.Options{FS: disk, MinFree: -1, Log: quiet})
	if err != nil {
		c.t.Fatal(err)
	}
	n, err := open(conf, world{
		listen: func(network, address string) (net.Listener, error) {
			if network == "unix" {
				address = "unix:" + address
			}
			return c.net.Listen(address)
		},
		dial: func(ctx context.Context, network, address string, _ net.Addr) (net.Conn, error) {
			return c.net.DialFrom(ctx, netip.MustParseAddrPort(at).Addr(), network, address)
		},
		resolver: c.zone,
		store:    store,
	}, quiet)
	if err != nil {
		c.t.Fatal(err)
	}
	if wrap != nil {
		n.host = wrap(n.host)
	}
	c.wait.Go(func() {
		if err := n.serve(ctx, func() {}); err != nil {
			c.t.Error(err)
		}
	})
	return n
}

// post hands a message to the author's server, at once.
func (c *founding) post() {
	c.t.Helper()
	_, err := c.author.intake.Submit(c.t.Context(), mail.Envelope{
		From: mail.Address{Local: "ann", Domain: "author.test"},
		To:   []mail.Recipient{{Address: mail.Address{Local: "bob", Domain: "destination.test"}}},
	}, "ann", strings.NewReader("Subject: Are you there?\n\nHello\n"))
	if err != nil {
		c.t.Fatal(err)
	}
	synctest.Wait()
}

// waiting returns the one delivery that waits at a node.
func (c *founding) waiting(n *node) custody.Delivery {
	c.t.Helper()
	var ds []custody.Delivery
	for row, err := range n.store.Find(c.t.Context(), spool.Query{}) {
		if err != nil {
			c.t.Fatal(err)
		}
		ds = append(ds, row.Delivery)
	}
	if len(ds) != 1 {
		c.t.Fatalf("%d deliveries wait at %s, want 1", len(ds), n.conf.Hostname)
	}
	return ds[0]
}

// moments returns what happened to a delivery, in the words of a forecast.
func (c *founding) moments(n *node, id custody.DeliveryID, after time.Time) []custody.Moment {
	c.t.Helper()
	h, err := n.store.History(c.t.Context(), id.Message)
	if err != nil {
		c.t.Fatal(err)
	}
	var ms []custody.Moment
	for _, e := range h.Entries {
		if e.Delivery != id || !e.At.After(after) {
			continue
		}
		if _, ok := e.Event.(custody.Tried); ok {
			ms = append(ms, custody.Moment{At: e.At, What: custody.WillTry})
		}
		for _, d := range e.Duties {
			switch d := d.(type) {
			case custody.Tell:
				if d.Kind == custody.Delayed {
					ms = append(ms, custody.Moment{At: e.At, What: custody.WillWarn})
				}
			case custody.Close:
				ms = append(ms, custody.Moment{At: e.At, What: custody.WillEnd})
			}
		}
	}
	return ms
}

func compare(t *testing.T, want, got []custody.Moment) {
	t.Helper()
	for i := range max(len(want), len(got)) {
		switch {
		case i >= len(want):
			t.Fatalf("happened, not foretold: %v", got[i])
		case i >= len(got):
			t.Fatalf("foretold, did not happen: %v", want[i])
		case want[i].What != got[i].What || got[i].At.Sub(want[i].At).Abs() > time.Minute:
			t.Fatalf("moment %d: foretold %v, happened %v", i, want[i], got[i])
		}
	}
}

func TestSevenDaysOfAChainGoAsForecast(t *testing.T) {
	t.Run("the destination refuses", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			c := newFounding(t, nil)
			defer c.end()
			began := time.Now()
			c.post()
			time.Sleep(time.Second)
			d := c.waiting(c.filter)
			want := forecast(c.filter, d)
			time.Sleep(7 * 24 * time.Hour)
			compare(t, want, c.moments(c.filter, d.ID, d.Began))
			if last := want[len(want)-1].At.Sub(began); last < 6*24*time.Hour || last > 6*24*time.Hour+time.Minute {
				t.Errorf("given up after %s, want 6 days", last)
			}
			c.letter("Not delivered", "filter.test", "connection refused")
			c.none()
		})
	})
	t.Run("the filter defers", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			c := newFounding(t, func(h smtpd.Host) smtpd.Host { return deferring{h} })
			defer c.end()
			c.post()
			d := c.waiting(c.author)
			want := forecast(c.author, d)
			time.Sleep(7 * 24 * time.Hour)
			compare(t, want, c.moments(c.author, d.ID, d.Began))
			c.letter("Delayed", "mx.author.test", "throttled")
			c.letter("Not delivered", "mx.author.test", "throttled")
			c.none()
		})
	})
	t.Run("the destination comes back after three days", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			c := newFounding(t, nil)
			defer c.end()
			c.post()
			time.Sleep(3 * 24 * time.Hour)
			next := c.waiting(c.filter).Next
			there := &mailbox{letters: make(chan string, 1)}
			ctx, stop := context.WithCancel(t.Context())
			defer stop()
			c.serve(ctx, destinationAt, smtpd.Options{Hostname: "mx.destination.test"}, there)
			<-there.letters
			if late := time.Since(next); late < 0 || late > time.Minute {
				t.Errorf("delivered %s from the next try that was shown", late)
			}
			c.none()
		})
	})
}

func forecast(n *node, d custody.Delivery) []custody.Moment {
	var ms []custody.Moment
	for m := range custody.Forecast(d, n.settings.Schedule(d)) {
		ms = append(ms, m)
	}
	return ms
}

// letter expects the next of the author's letters to hold these words.
func (c *founding) letter(words ...string) {
	c.t.Helper()
	select {
	case l := <-c.letters.letters:
		for _, w := range words {
			if !strings.Contains(l, w) {
				c.t.Errorf("the letter lacks %q:\n%s", w, l)
			}
		}
	default:
		c.t.Errorf("no letter with %q", words)
	}
}

func (c *founding) none() {
	c.t.Helper()
	select {
	case l := <-c.letters.letters:
		c.t.Errorf("one letter too many:\n%s", l)
	default:
	}
}
