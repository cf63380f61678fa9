// Package intake is the half that receives: it is the Host to which smtpd puts
// its questions. It decides who may send what to whom, puts a message's bytes
// into the spool as they arrive, splits its envelope into deliveries, and lets
// smtpd answer 250 only when all of that is safe on disk.
//
// Who may come in is said by package policy; intake gathers the facts for it, all
// look-ups of a stage side by side, and obeys. It never delivers anything and never
// looks at what waits: the spool is the one place where the two halves meet.
//
// Start reading at [Intake.Greet], then (*session).Rcpt and Data; (*session).judge
// asks the rules, and content.go is for messages that are read before they are kept.
package intake

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/postrider/postrider/custody"
	"github.com/postrider/postrider/internal/spool"
	"github.com/postrider/postrider/mail"
	"github.com/postrider/postrider/policy"
)

// Rules are what the configuration says about mail that comes in.
type Rules struct {
	Hostname string // our name, in Received fields and as domain of local names

	// Clients may send to anyone, and RelayRule names the line that says so.
	Clients   []netip.Prefix
	RelayRule string
	// Domains are those we accept mail for from anyone: canonical, or
	// "*.example.com" for all below it.
	Domains []string

	// Aliases are the targets of names at Hostname (local parts in lower case) and
	// of whole addresses (with a canonical domain). Unless Hostname is a relayed
	// domain, its names are all there is of it. A name that is there without a
	// target is accepted and held for an operator.
	Aliases map[string][]mail.Address

	MaxSize   int64 // octets of a message made on this machine; 0: 50 MB
	MaxHops   int   // Received fields a message may carry; 0: 100 (RFC 5321 6.3)
	MaxHeader int   // octets of a header; 0: 256 KiB

	Door Door

	delay time.Duration // the longest of greylisting
}

// Intake takes mail in. Make it with New.
type Intake struct {
	store  spool.Store
	memory *Memory
	watch  Watch
	asks   asker
	start  Starter
	log    *slog.Logger
	rules  atomic.Pointer[Rules]
}

// Starter has what waits for a domain, or with under for all below it, tried at once,
// and tells how many deliveries that are.
type Starter func(ctx context.Context, domain string, under bool) (int, error)

// Watch sees what comes in; nil fields are not called.
type Watch struct {
	Accepted func(custody.Message, []custody.Delivery)
	Refused  func(policy.Record)
	// Noted is called for who was let in, where a rule would have decided, was
	// skipped, or could not be asked.
	Noted func(policy.Record)
}

// Options of an Intake; Store and Log are wanted.
type Options struct {
	Store  spool.Store
	Memory *Memory // nil: nothing is remembered
	Watch  Watch
	Ask    Asker   // nil: no next hop is asked for recipients
	Start  Starter // nil: ETRN starts nothing
	Log    *slog.Logger
}

// New makes an Intake that goes by the rules.
func New(o Options, r Rules) *Intake {
	w := o.Watch
	if w.Accepted == nil {
		w.Accepted = func(custody.Message, []custody.Delivery) {}
	}
	if w.Refused == nil {
		w.Refused = func(policy.Record) {}
	}
	if w.Noted == nil {
		w.Noted = func(policy.Record) {}
	}
	in := &Intake{store: o.Store, memory: o.Memory, watch: w, asks: asker{o.Ask, make(chan struct{}, asksAtOnce)}, start: o.Start, log: o.Log}
	in.Reload(r)
	return in
}

// Reload puts other rules in force, from the next command on.
func (in *Intake) Reload(r Rules) {
	if r.MaxHops == 0 {
		r.MaxHops = 100
	}
	if r.MaxSize == 0 {
		r.MaxSize = 50e6
	}
	if r.MaxHeader == 0 {
		r.MaxHeader = 256 << 10
	}
	if r.Door.Lookups == 0 {
		r.Door.Lookups = 20 * time.Second
	}
	if r.Door.Table != nil {
		for _, rule := range r.Door.Table.Rules() {
			r.delay = max(r.delay, rule.Delay)
		}
	}
	in.rules.Store(&r)
}

// NewID names a message that is accepted now.
func NewID(at time.Time) custody.ID {
	var b [8]byte
	rand.Read(b[:])
	return custody.NewID(at, 0, binary.BigEndian.Uint64(b[:]))
}

// relays reports whether the client may send to anyone.
func (r *Rules) relays(client netip.AddrPort) bool {
	ip := client.Addr().Unmap()
	if !ip.IsValid() {
		return true // a Unix socket: its permissions say who may
	}
	for _, p := range r.Clients {
		if p.Contains(ip) {
			return true
		}
	}
	return false
}

// Ours reports whether mail for a canonical domain is accepted from anyone.
func (r Rules) Ours(domain string) bool {
	return slices.ContainsFunc(r.Domains, func(d string) bool { return covers(d, domain) })
}

// local reports whether an address names a mailbox of this host itself.
func (r *Rules) local(a mail.Address) bool {
	if a.Domain == "" {
		return true // the bare postmaster of RFC 5321 4.5.1
	}
	d, err := mail.CanonicalDomain(a.Domain)
	host, _ := mail.CanonicalDomain(r.Hostname)
	return err == nil && (d == host || d == "localhost") && !r.Ours(d)
}

// alias returns the targets of an address that has any: by its whole, or for a
// local one by its name. What stands behind a "+" is for the owner alone.
func (r *Rules) alias(a mail.Address) (targets []mail.Address, known bool) {
	name := strings.ToLower(a.Local)
	base, _, _ := strings.Cut(name, "+")
	key := a.Key()
	for _, n := range []string{name, base} {
		if targets, known = r.Aliases[n+"@"+key.Domain]; known {
			return targets, true
		}
		if targets, known = r.Aliases[n]; known && r.local(a) {
			return targets, true
		}
	}
	return nil, false
}

// resolve follows the aliases of a recipient, each once. An address without targets
// stays as it is, and one whose targets lead back to it keeps a copy: the mailbox behind
// the alias.
func (r *Rules) resolve(to mail.Recipient) (all []mail.Recipient) {
	under := map[mail.Address]bool{} // the aliases that were met: whether they are still being followed
	var follow func(mail.Address)
	follow = func(a mail.Address) {
		key := a.Key()
		targets, _ := r.alias(a)
		switch circle, met := under[key]; {
		case circle, len(targets) == 0:
			to.Address = a
			all = append(all, to)
		case !met:
			under[key] = true
			for _, t := range targets {
				follow(t)
			}
			under[key] = false
		}
	}
	follow(to.Address)
	return all
}

// Deliveries opens the custody of a message for its recipients: aliases followed,
// each mailbox once, one delivery for each domain.
func (in *Intake) Deliveries(m custody.Message, to []mail.Recipient) []custody.Delivery {
	r := in.rules.Load()
	type group struct {
		domain string
		to     []mail.Recipient
	}
	var groups []*group
	byDomain := map[string]*group{}
	seen := map[mail.Address]bool{}
	for _, rcpt := range to {
		for _, t := range r.resolve(rcpt) {
			if t.Address.Domain == "" {
				t.Address.Domain = r.Hostname
			}
			key := t.Address.Key()
			if seen[key] {
				continue
			}
			seen[key] = true
			g := byDomain[key.Domain]
			if g == nil {
				g = &group{domain: key.Domain}
				byDomain[key.Domain] = g
				groups = append(groups, g)
			}
			g.to = append(g.to, t)
		}
	}
	ds := make([]custody.Delivery, len(groups))
	for i, g := range groups {
		ds[i] = custody.NewDelivery(m, uint16(i+1), g.domain, g.to)
		if r.local(g.to[0].Address) {
			ds[i].Held = custody.Hold{Since: m.Accepted, By: "postrider", Why: fmt.Sprintf("nobody is configured to get the mail of <%s>: set postmaster or an alias, then reroute or release it", g.to[0].Address)}
		}
	}
	return ds
}

// storeReply is the answer where the store could not keep a message.
func storeReply(err error) mail.Reply {
	if errors.Is(err, spool.ErrFull) {
		return mail.Reply{Code: 452, Status: mail.Status{4, 3, 1}, Text: "No room for the message now, try again later"}
	}
	return mail.Reply{Code: 451, Status: mail.Status{4, 3, 0}, Text: "A fault of this server, try again later"}
}
