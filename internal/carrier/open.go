package carrier

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/postrider/postrider/custody"
	"github.com/postrider/postrider/internal/route"
	"github.com/postrider/postrider/internal/smtpc"
	"github.com/postrider/postrider/mail"
)

// conn is an open connection to a host of a way.
type conn struct {
	*smtpc.Conn
	place
	opened time.Time
	served int           // transactions
	ends   *time.Timer   // while it is kept
	open   *atomic.Int64 // connections that it is one of, until it leaves
	left   sync.Once
}

// place is one address of a host.
type place struct {
	host     string
	network  string
	addr     string // for the dial
	ip, port string // "" of a Unix socket
	lmtp     bool
	rank     int // among the places of its way
}

// mostPlaces bounds the addresses that one attempt knocks at. Postfix tries 5.
const mostPlaces = 8

// places lists the addresses of a way in order, but not those of one host.
func places(w route.Way, but string) []place {
	var ps []place
	add := func(p place) {
		p.rank = len(ps)
		ps = append(ps, p)
	}
	for _, h := range w.Hosts {
		if h.Name == but {
			continue
		}
		if h.Unix != "" {
			add(place{host: h.Name, network: "unix", addr: h.Unix, lmtp: h.LMTP})
		}
		for _, ip := range h.IPs {
			at := netip.AddrPortFrom(ip, h.Port)
			add(place{host: h.Name, network: "tcp", addr: at.String(), ip: ip.String(), port: fmt.Sprint(h.Port), lmtp: h.LMTP})
		}
	}
	return ps
}

// open tries the hosts of a way, but for one, in their order until one lets us in.
// Else it returns what the clearest of them said, zero if there was none to try.
func (c *Carrier) open(ctx context.Context, w route.Way, but string) (*conn, custody.Outcome) {
	secret, err := password(w.Route.Auth)
	if err != nil {
		c.o.Log.Error("the carrier has no password for a smarthost", "rule", w.Rule, "err", err)
		return nil, place{host: w.Hosts[0].Name}.outcome(smtpc.Outcome{
			Stage: mail.Auth, Ours: true,
			Reply: mail.Reply{Status: mail.Status{4, 3, 5}, Text: "this server cannot read its own password for the next hop"},
		})
	}
	var clearest custody.Outcome
	ps := c.dead.order(places(w, but))
	last := len(ps)
	ps = ps[:min(len(ps), mostPlaces)]
	for i, p := range ps {
		if p.rank > last {
			continue
		}
		limited, end := turn(ctx, i == len(ps)-1)
		c.opening.Add(1)
		cn, o := c.enter(limited, w, p, secret)
		c.opening.Add(-1)
		hurried := limited.Err() != nil
		end()
		if ctx.Err() != nil {
			if cn != nil {
				cn.Close()
			}
			return nil, custody.Outcome{}
		}
		switch {
		case hurried: // it might have answered
		case cn == nil && silent(o):
			c.dead.add(p.addr)
		default:
			c.dead.remove(p.addr)
		}
		if cn != nil {
			return cn, custody.Outcome{}
		}
		clearest = clearer(clearest, o)
		// A host that takes no mail at all (RFC 7504) speaks for those behind it, not
		// for a better one that was passed over as dead.
		if o.Theirs && o.Reply.Code == 521 {
			last = p.rank
		}
	}
	return nil, clearest
}

// turn bounds the time of one place where ctx has a deadline, lest a silent one uses up
// what those behind it need.
func turn(ctx context.Context, last bool) (context.Context, context.CancelFunc) {
	end, ok := ctx.Deadline()
	if !ok || last {
		return ctx, func() {}
	}
	return context.WithTimeout(ctx, time.Until(end)/2)
}

// enter dials one address and greets the host there. Where TLS is a courtesy and
// fails, it comes again without.
func (c *Carrier) enter(ctx context.Context, w route.Way, p place, secret string) (*conn, custody.Outcome) {
	o := smtpc.Options{
		LMTP: p.lmtp, User: w.Route.Auth.User, Password: secret, Timeouts: c.o.Timeouts,
		TLS:       [...]smtpc.TLSPolicy{route.May: smtpc.MayTLS, route.Require: smtpc.RequireTLS, route.Verify: smtpc.VerifyTLS}[w.TLS],
		TLSConfig: &tls.Config{ServerName: p.host, RootCAs: c.o.Roots, MinVersion: tls.VersionTLS12},
	}
	if o.Helo = w.Route.Helo; o.Helo == "" && c.o.Helo != nil {
		o.Helo = c.o.Helo()
	}
	if p.network == "unix" && w.TLS == route.May {
		o.TLS = smtpc.NoTLS
	}
	for {
		nc, err := c.dial(ctx, w, p)
		if err != nil {
			out := smtpc.Outcome{Stage: mail.Connect, Reply: mail.Reply{Status: mail.Status{4, 4, 1}, Text: dialWords(err, p)}}
			if out.Ours = ownFault(err); out.Ours && ctx.Err() == nil {
				c.o.Log.Error("the carrier cannot connect to anyone", "host", p.host, "err", err)
			}
			return nil, p.outcome(out)
		}
		cn, f := smtpc.Open(ctx, nc, o)
		switch {
		case f == nil:
			c.opened.Add(1)
			return &conn{Conn: cn, place: p, opened: time.Now(), open: &c.opened}, custody.Outcome{}
		case f.InPlain && ctx.Err() == nil:
			o.TLS = smtpc.NoTLS
		default:
			return nil, p.failure(f)
		}
	}
}

func (c *Carrier) dial(ctx context.Context, w route.Way, p place) (net.Conn, error) {
	wait := c.o.Connect
	if end, ok := ctx.Deadline(); ok {
		wait = min(wait, time.Until(end).Round(time.Millisecond))
	}
	limited, cancel := context.WithTimeout(ctx, c.o.Connect)
	defer cancel()
	var from net.Addr
	if src := w.Route.Source; src.IsValid() && p.network == "tcp" {
		from = &net.TCPAddr{IP: src.AsSlice(), Zone: src.Zone()}
	}
	nc, err := c.o.Dial(limited, p.network, p.addr, from)
	if err != nil && limited.Err() == context.DeadlineExceeded {
		return nil, fmt.Errorf("no answer within %s: %w", wait, os.ErrDeadlineExceeded)
	}
	return nc, err
}

// password reads the secret of a smarthost, anew each time: it may have changed.
func password(a route.Auth) (string, error) {
	if a.User == "" {
		return "", nil
	}
	b, err := os.ReadFile(a.PasswordFile)
	if err != nil {
		return "", err
	}
	secret := strings.TrimRight(string(b), "\r\n")
	if secret == "" {
		return "", fmt.Errorf("carrier: password file %s is empty", a.PasswordFile)
	}
	return secret, nil
}

// ownFault reports an error of a dial that says nothing about the other end.
func ownFault(err error) bool {
	for _, e := range []error{
		syscall.EMFILE, syscall.ENFILE, syscall.ENOBUFS, syscall.ENOMEM,
		syscall.EADDRNOTAVAIL, syscall.EADDRINUSE, syscall.EACCES, syscall.EPERM,
	} {
		if errors.Is(err, e) {
			return true
		}
	}
	return false
}
