// Package carrier makes one attempt: it finds the way, takes a connection that
// is open or opens one, hands the message over, and says in custody's words what
// each recipient heard.
//
// An attempt never fails; it has outcomes. A host that cannot be reached or that
// turns us away before it took a recipient gives way to the next host of the same
// way. The carrier never decides when to try again, writes nothing down, and
// knows no queue.
//
// Start reading at [Carrier.Carry], then (*attempt).run.
package carrier

import (
	"context"
	"crypto/x509"
	"log/slog"
	"maps"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/postrider/postrider/custody"
	"github.com/postrider/postrider/internal/route"
	"github.com/postrider/postrider/internal/smtpc"
	"github.com/postrider/postrider/mail"
)

// Finder finds the next hops of a domain.
type Finder interface {
	Find(ctx context.Context, domain, via string) (route.Way, *route.NoWay)
}

// Dialer opens connections; from is the source address, nil for any.
type Dialer func(ctx context.Context, network, address string, from net.Addr) (net.Conn, error)

// Options of a Carrier.
type Options struct {
	Finder Finder
	Dial   Dialer         // nil: the system's network
	Helo   func() string  // our name, unless the route has another
	Roots  *x509.CertPool // whom tls = "verify" trusts; nil: the system's
	// Timeouts of the conversation; Connect bounds the dial of one address; 0: 20 s
	// (docs/decisions/0015).
	Timeouts smtpc.Timeouts
	Connect  time.Duration
	// Idle is how long a connection is kept for the next message; 0: 5 s. Kept
	// bounds how many wait in all; 0: 200.
	Idle time.Duration
	Kept int
	Log  *slog.Logger // what an operator must act on; nil: slog.Default
}

// Carrier makes attempts. Make it with New.
type Carrier struct {
	o    Options
	pool *pool
	dead dead

	opening, opened atomic.Int64 // connections, for Connections

	mu   sync.Mutex
	ways map[lane]found
}

// lane is what a way is found for.
type lane struct{ domain, via string }

// found is a way as the last look-up of its lane had it.
type found struct {
	custody.Way // for the queue
	hop         route.Way
	via         string
	at          time.Time
}

const (
	// A way is looked up anew after this time. It must be short: hosts of equal
	// preference take turns by it (RFC 5321 5.1).
	wayLife  = 10 * time.Second
	waysKept = 50_000
)

// New makes a Carrier.
func New(o Options) *Carrier {
	if o.Dial == nil {
		o.Dial = func(ctx context.Context, network, address string, from net.Addr) (net.Conn, error) {
			d := net.Dialer{LocalAddr: from}
			c, err := d.DialContext(ctx, network, address)
			if err != nil {
				return nil, err
			}
			return promptly(c), nil
		}
	}
	if o.Connect == 0 {
		o.Connect = 20 * time.Second
	}
	if o.Idle == 0 {
		o.Idle = 5 * time.Second
	}
	if o.Kept == 0 {
		o.Kept = 200
	}
	if o.Log == nil {
		o.Log = slog.Default()
	}
	return &Carrier{o: o, pool: newPool(o.Idle, o.Kept), ways: map[lane]found{}}
}

// Way finds where the mail of a lane goes now.
func (c *Carrier) Way(ctx context.Context, domain, via string) custody.Way {
	return c.look(ctx, domain, via).Way
}

// find returns what was found for the lane lately, or looks it up.
func (c *Carrier) find(ctx context.Context, domain, via string) found {
	c.mu.Lock()
	f, ok := c.ways[lane{domain, via}]
	c.mu.Unlock()
	if ok && time.Since(f.at) < wayLife {
		return f
	}
	return c.look(ctx, domain, via)
}

func (c *Carrier) look(ctx context.Context, domain, via string) found {
	w, no := c.o.Finder.Find(ctx, domain, via)
	if no != nil {
		none := &custody.Outcome{At: time.Now(), Stage: mail.Route, Reply: no.Reply, Permanent: no.Permanent}
		if !no.Permanent {
			none.Trouble = custody.Unrouted
		}
		return found{Way: custody.Way{Site: "?" + domain + via, Text: "no way to " + domain, Rule: no.Rule, None: none}}
	}
	f := found{hop: w, via: via, at: time.Now()}
	limits := w.Route.Limits
	f.Way = custody.Way{Site: w.Lane, Text: w.String(), Rule: w.Rule, Parallel: limits.MaxConns}
	if n := limits.Messages; n > 0 {
		f.Gap = limits.Per / time.Duration(n)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.ways) >= waysKept {
		maps.DeleteFunc(c.ways, func(_ lane, f found) bool { return time.Since(f.at) >= wayLife })
		if len(c.ways) >= waysKept {
			clear(c.ways)
		}
	}
	c.ways[lane{domain, via}] = f
	return f
}

// Close ends the connections that are kept. Attempts that are still under way
// close theirs when they are done.
func (c *Carrier) Close() { c.pool.close() }
