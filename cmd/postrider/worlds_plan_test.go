package main

import (
	"cmp"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"github.com/postrider/postrider/internal/memnet"
	"github.com/postrider/postrider/mail"
)

// plan is everything that happens to the program from outside, drawn from one seed.
type plan struct {
	seed        uint64
	schedule    string // of mail, as the configuration has it
	connections int    // attempts at a time
	hosts       []hostPlan
	home        hostPlan // where the senders have their mailboxes
	domains     []domainPlan
	posts       []mailing
	acts        []act // in the order of time
}

// dice draws.
type dice struct{ *rand.Rand }

func roll(seed, stream uint64) dice { return dice{rand.New(rand.NewPCG(seed, stream))} }

func (d dice) percent(p int) bool       { return d.IntN(100) < p }
func (d dice) between(from, to int) int { return from + d.IntN(to-from+1) }
func one[T any](d dice, of ...T) T      { return of[d.IntN(len(of))] }
func (d dice) index(n int) int          { return d.IntN(n) }
func (d dice) subset(n, most int) []int { return d.Perm(n)[:d.between(1, min(n, most))] }
func (d dice) within(most time.Duration) time.Duration {
	return time.Duration(d.Int64N(int64(most))) + time.Millisecond
}

// horizon is when a world has begun all that it will do.
const horizon = 30 * time.Hour

// hostPlan is how a host behaves over time.
type hostPlan struct {
	phases []phase // the first begins at 0
	offers offers
}

type phase struct {
	from time.Duration
	manner
}

// offers are the extensions that a host knows.
type offers struct{ pipelining, dsn, by, eightBit, size, hello bool }

// misdeed is what a host does at one stage instead of answering as it should.
type misdeed int

const (
	well     misdeed = iota
	defers           // 4yz
	refuses          // 5yz
	leaves           // 421, and the end
	silent           // no answer
	hangsUp          // the end without an answer
	babbles          // what is no reply
	drips            // the answer, octet by octet
	swallows         // at the dot: it takes the message, and the answer is lost
)

// manner is how a host behaves for some time. The zero manner is a healthy host.
type manner struct {
	fault    memnet.Fault
	at       mail.Stage
	how      misdeed
	share    int           // of a hundred times that it is so
	slow     time.Duration // between the octets of a dripping answer
	grey     time.Duration // strangers are sent away so long; 0: they are not
	unknown  int           // of a hundred recipients, those that are refused
	busy     int           // and those that are deferred
	mostTo   int           // recipients of one transaction; 0: any number
	speaking bool          // it says how long to wait
}

// domainPlan is what the DNS says of a domain over time.
type domainPlan struct {
	hosts    []int // by preference
	equal    bool  // of the same preference
	implicit bool  // there is no MX: the domain has the address of the first
	turns    []turn
}

// turn is a change of what the DNS says.
type turn struct {
	from time.Duration
	what answer
	host int // moved: where to
}

// answer is how the DNS answers about a domain.
type answer int

const (
	answers  answer = iota
	failing         // SERVFAIL
	mute            // nothing in time
	noName          // NXDOMAIN
	nullMX          // RFC 7505
	hostless        // the MX host does not exist
	moved           // the MX is another host
)

// final reports answers that waiting will not change.
func (a answer) final() bool { return a == noName || a == nullMX || a == hostless }

// mailing is a message that a sender sends.
type mailing struct {
	at     time.Duration
	sender int
	null   bool
	to     []mail.Recipient
	ret    mail.Return
	envid  string
	by     mail.DeliverBy
	size   int
	breaks bool // at its first try the sender hangs up in the middle
}

// deed is what is done to the program.
type deed int

const (
	restart deed = iota
	powerCut
	fullDisk // for a while
	badDisk  // a write or a flush fails, and a restart follows
	order    // of an operator, about mail
	pause    // of a destination, or its end
	look     // at what is shown
)

type act struct {
	at     time.Duration
	what   deed
	length time.Duration // of the night after a stop, or of the want of room
	writes int           // powerCut, badDisk: it comes with this write after at
	share  int           // of a hundred blocks that were not flushed, those that are there nevertheless
	flush  bool          // badDisk: it is a flush that fails
	usage  bool          // fullDisk: it is told before a write fails
	lost   bool          // badDisk: what was not flushed is lost
	order  string
	domain int
	rcpt   string // order: for this recipient only
	life   string
}

// planOf makes the plan of a world.
func planOf(seed uint64) *plan {
	d := roll(seed, 1)
	p := &plan{seed: seed, connections: one(d, 2, 5, 20, 500)}
	expire := one(d, "6h", "12h", "1d", "2d")
	warn := one(d, `[]`, `["1h"]`, `["30m", "3h"]`)
	p.schedule = fmt.Sprintf("expire = %q\nwarn = %s\nretry = %s\njitter = %s\n", expire, warn,
		one(d, `["5m", "10m", "20m", "40m", "1h"]`, `["15m"]`, `["1m x2 to 2h"]`, `["30m 2 times", "3h"]`), one(d, "0", "0.1"))
	if d.percent(20) {
		p.schedule += "greylisted = [\"6m\", \"1h\"]\n"
	}
	if d.percent(20) {
		p.schedule += "unreachable = [\"10m\", \"2h\"]\n"
	}
	if d.percent(20) {
		p.schedule += "cleared = true\n"
	}
	for i := range d.between(1, 6) {
		p.hosts = append(p.hosts, drawHost(d, i > 0 && i%3 == 1))
	}
	p.home = hostPlan{offers: offers{pipelining: true, dsn: true, eightBit: true, size: true, hello: true}, phases: []phase{{}}}
	if d.percent(20) {
		at := d.within(horizon)
		bad := manner{at: mail.Rcpt, how: defers, share: 100}
		if d.percent(50) {
			bad = manner{fault: memnet.Fault{Dial: memnet.Refused}}
		}
		p.home.phases = append(p.home.phases, phase{at, bad}, phase{from: at + d.within(3*time.Hour)})
	}
	for range d.between(1, 6) {
		p.domains = append(p.domains, drawDomain(d, len(p.hosts)))
	}
	for s := range d.between(1, 4) {
		for range 1 + int(12*d.Float64()*d.Float64())*d.between(0, 3) {
			p.posts = append(p.posts, drawPost(d, s, len(p.domains)))
		}
	}
	slices.SortStableFunc(p.posts, func(a, b mailing) int { return cmp.Compare(a.at, b.at) })
	p.drawActs(d)
	return p
}

func drawHost(d dice, healthy bool) hostPlan {
	h := hostPlan{offers: offers{d.percent(70), d.percent(50), d.percent(30), d.percent(80), d.percent(70), d.percent(95)}}
	if healthy {
		h.phases = []phase{{}}
		return h
	}
	at := time.Duration(0)
	for range d.between(1, 4) {
		h.phases = append(h.phases, phase{at, drawManner(d)})
		at += time.Minute + d.within(one(d, 20*time.Minute, 3*time.Hour, 15*time.Hour))
	}
	if d.percent(60) {
		h.phases = append(h.phases, phase{at, manner{}})
	}
	return h
}

func drawManner(d dice) manner {
	m := manner{share: one(d, 100, 100, 60, 30), slow: one(d, 10*time.Millisecond, time.Second, 30*time.Second), speaking: d.percent(30)}
	m.fault.Latency = one(d, 0, 20*time.Millisecond, 2*time.Second)
	switch d.IntN(10) {
	case 0:
		m.fault.Dial = one(d, memnet.Refused, memnet.Unreachable)
	case 1:
		m.fault.Dial = memnet.Silent
	case 2:
		m.fault.ResetSent = d.between(1, 1500)
	case 3:
		m.fault.ResetReceived = d.between(1, 700)
	case 4:
		m.grey = one(d, 4*time.Minute, time.Hour)
	case 5:
		m.unknown, m.busy = one(d, 0, 30, 100), one(d, 0, 30)
		m.mostTo = one(d, 0, 1, 2)
	case 6:
		m.at, m.how, m.share = mail.Dot, one(d, swallows, silent, drips), one(d, 100, 50)
	case 7: // healthy
	default:
		m.at = one(d, mail.Greeting, mail.Hello, mail.Mail, mail.Rcpt, mail.Data, mail.Dot)
		m.how = one(d, defers, defers, refuses, leaves, silent, hangsUp, babbles, drips)
	}
	return m
}

func drawDomain(d dice, hosts int) domainPlan {
	p := domainPlan{hosts: d.subset(hosts, 3), equal: d.percent(30)}
	p.implicit = len(p.hosts) == 1 && d.percent(20)
	if d.percent(60) {
		return p
	}
	at := time.Duration(0)
	for range d.between(1, 3) {
		at += d.within(10 * time.Hour)
		p.turns = append(p.turns, turn{at, one(d, failing, mute, noName, nullMX, hostless, moved), d.index(hosts)})
		if d.percent(70) {
			at += d.within(5 * time.Hour)
			p.turns = append(p.turns, turn{from: at, what: answers})
		}
	}
	return p
}

func drawPost(d dice, sender, domains int) mailing {
	p := mailing{
		at: d.within(one(d, time.Hour, 24*time.Hour)), sender: sender, null: d.percent(8),
		ret:  one(d, mail.ReturnAny, mail.ReturnAny, mail.ReturnFull, mail.ReturnHeaders),
		size: one(d, 100, 900, 5000, 30_000), breaks: d.percent(3),
	}
	if d.percent(1) {
		p.size = d.between(1<<20, 2<<20)
	}
	if d.percent(10) {
		p.envid = "QQ+2B" + fmt.Sprint(d.IntN(1000))
	}
	if d.percent(8) {
		p.by = mail.DeliverBy{Within: one(d, 10*time.Minute, 2*time.Hour, 5*time.Hour), Notify: true}
		if d.percent(40) {
			p.by.Return, p.by.Notify = true, false
		}
	}
	for _, k := range d.subset(domains, 3) {
		for _, u := range d.subset(6, one(d, 1, 1, 3)) {
			r := mail.Recipient{Address: mail.Address{Local: fmt.Sprintf("u%d", u), Domain: domainName(k)}}
			if d.percent(40) {
				r.Notify = one(d, mail.NotifyNever, mail.NotifySuccess, mail.NotifyFailure, mail.NotifyDelay, mail.NotifyFailure|mail.NotifyDelay, mail.NotifySuccess|mail.NotifyFailure)
			}
			p.to = append(p.to, r)
		}
	}
	return p
}

// drawActs draws what is done to the program. In three of ten worlds it never stops.
func (p *plan) drawActs(d dice) {
	add := func(n int, what ...deed) {
		for range n {
			p.acts = append(p.acts, act{
				at: d.within(horizon), what: one(d, what...), writes: d.between(1, 12), share: one(d, 0, d.IntN(101), 100),
				length: time.Second + d.within(one(d, 5*time.Second, 10*time.Minute, 2*time.Hour)),
				flush:  d.percent(50), usage: d.percent(50), lost: d.percent(50), domain: d.index(len(p.domains)),
				order: one(d, "retry", "hold", "release", "giveup", "remove", "warn", "life", "reroute"),
				life:  one(d, "30m", "3h", "1d"), rcpt: one(d, "", "", fmt.Sprintf("u%d", d.IntN(6))),
			})
		}
	}
	if !d.percent(30) {
		add(d.between(0, 3), restart)
		add(d.between(0, 3), powerCut)
		add(d.between(0, 1), fullDisk)
		add(d.between(0, 2), badDisk)
	}
	add(d.between(0, 8), order)
	add(one(d, 0, 0, 2, 4), pause)
	add(3, look)
	for i := range p.acts { // cuts strike where there is work: when something has just been sent
		if a := &p.acts[i]; (a.what == powerCut || a.what == badDisk) && d.percent(60) {
			a.at = p.posts[d.index(len(p.posts))].at
		} else if a.what == fullDisk {
			a.length = min(a.length, 10*time.Minute)
		}
	}
	slices.SortStableFunc(p.acts, func(a, b act) int { return cmp.Compare(a.at, b.at) })
}

func domainName(i int) string { return fmt.Sprintf("d%d.test", i) }
func hostName(i int) string   { return fmt.Sprintf("mx%d.test", i) }
func hostAt(i int) string     { return fmt.Sprintf("192.0.2.%d", 10+i) }

// text is a message, whose identity its header tells.
func (p mailing) text(id string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "X-World: %s\r\nMessage-ID: <%s@home.test>\r\nDate: Sat, 01 Jan 2000 00:00:00 +0000\r\nSubject: %s\r\n\r\n", id, id, id)
	for n := 0; b.Len() < p.size; n++ {
		b.WriteString([]string{"a line of this message\r\n", ".\r\n", "..two dots\r\n", "\r\n", strings.Repeat("x", n%900) + "\r\n"}[n%5])
	}
	return b.String()
}
