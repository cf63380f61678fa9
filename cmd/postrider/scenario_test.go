package main

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/postrider/postrider/chain"
	"github.com/postrider/postrider/custody"
	"github.com/postrider/postrider/internal/config"
	"github.com/postrider/postrider/internal/dns"
	"github.com/postrider/postrider/internal/memnet"
	"github.com/postrider/postrider/internal/smtpd"
	"github.com/postrider/postrider/internal/spool"
	"github.com/postrider/postrider/internal/spool/memory"
	"github.com/postrider/postrider/mail"
)

// TestOurServersDoWhatTheSimulatorSays plays every scenario that is shipped, and
// whose hops are all ours, with real servers in virtual time.
func TestOurServersDoWhatTheSimulatorSays(t *testing.T) {
	files, err := filepath.Glob("../../examples/*.toml")
	if err != nil || len(files) == 0 {
		t.Fatalf("no examples: %v", err)
	}
	played := 0
	for _, file := range files {
		s, err := config.LoadScenario(file)
		if err != nil {
			t.Errorf("%v", err)
			continue
		}
		if slices.ContainsFunc(s.Hops, func(h chain.Hop) bool { return h.Schedule == nil && !h.Bare() }) {
			continue
		}
		for _, h := range s.Hops { // a hash of the message's number cannot be foretold
			if h.Schedule != nil {
				h.Schedule.Jitter = 0
			}
		}
		played++
		t.Run(filepath.Base(file), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { perform(t, s) })
		})
	}
	if played < 4 {
		t.Errorf("only %d scenarios are of our own hops", played)
	}
}

// stage is where a scenario is played.
type stage struct {
	t     *testing.T
	s     chain.Scenario
	began time.Time
	net   *memnet.Network
	zone  *dns.Zone
	stop  context.Context
	wait  sync.WaitGroup

	mu   sync.Mutex
	told []time.Duration // letters that reached the author
}

func perform(t *testing.T, s chain.Scenario) {
	if !s.Start.IsZero() { // windows on the calendar need its day
		time.Sleep(time.Until(s.Start))
	}
	story, err := chain.Run(s)
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	st := &stage{t: t, s: s, began: time.Now(), net: memnet.New(), zone: &dns.Zone{}, stop: ctx}
	defer func() { stop(); st.wait.Wait() }()
	st.listen(boxAddress, smtpd.Options{Hostname: "inbox.test", LMTP: true}, st)
	var nodes []*node
	for i, h := range s.Hops {
		name := h.Name + ".test"
		st.zone.Add(name, "A "+ip(i))
		if h.Bare() {
			st.zone.Add("destination.test", fmt.Sprintf("MX 10 %s.", name))
			st.listen(address(i), smtpd.Options{Hostname: name}, st.trouble(i, &mailbox{letters: make(chan string, 100)}))
			nodes = append(nodes, nil)
			continue
		}
		if h.Backup != "" {
			st.zone.Add("destination.test", fmt.Sprintf("MX %d %s.", 10+h.Preference, name))
		}
		nodes = append(nodes, st.node(i, name))
	}
	st.faults()
	_, err = nodes[0].intake.Submit(ctx, mail.Envelope{
		From: mail.Address{Local: "ann", Domain: "inbox.test"},
		To:   []mail.Recipient{{Address: mail.Address{Local: "bob", Domain: "destination.test"}, Notify: s.Message.Notify}},
		By:   s.Message.By,
	}, "ann", strings.NewReader("Subject: Are you there?\n\nHello\n"))
	if err != nil {
		t.Fatal(err)
	}
	last := story.Summary.Ended.At
	for _, e := range story.Events {
		last = max(last, e.At, e.Latest)
	}
	time.Sleep(last + 24*time.Hour)
	st.compare(story, nodes)
}

const boxAddress = "192.0.2.1:24"

func ip(i int) string      { return fmt.Sprintf("192.0.2.%d", 10+i) }
func address(i int) string { return ip(i) + ":25" }

// next returns the hop that one hands on to; below 0: it is the last.
func (st *stage) next(i int) int {
	for j := i + 1; j < len(st.s.Hops); j++ {
		if st.s.Hops[j].Backup == "" {
			return j
		}
	}
	return -1
}

// before returns the hop that one's letters go back by.
func (st *stage) before(i int) int {
	for i > 0 && st.s.Hops[i].Backup != "" {
		i--
	}
	for i--; i > 0 && st.s.Hops[i].Backup != ""; i-- {
	}
	return i
}

func (st *stage) node(i int, name string) *node {
	h := st.s.Hops[i]
	to, back := "mx", "lmtp:"+boxAddress
	if n := st.next(i); h.Backup == "" && n < len(st.s.Hops)-1 && !st.s.Hops[n].Bare() {
		to = "smtp:" + address(n)
	}
	if i > 0 {
		back = "smtp:" + address(st.before(i))
	}
	conf, err := config.Parse(name+".toml", fmt.Appendf(nil, `
hostname = %q
data = "/data"
[[listen]]
kind = "smtp"
address = %q
[relay]
clients = ["192.0.2.0/24"]
[[route]]
domain = "inbox.test"
to = [%q]
[[route]]
domain = "*"
to = [%q]
`, name, address(i), back, to))
	if err != nil {
		st.t.Fatal(err)
	}
	conf.Schedules["default"] = *h.Schedule
	conf.Schedules["notice"] = *h.Notices
	quiet := slog.New(slog.NewTextHandler(io.Discard, nil))
	n, err := open(conf, world{
		listen: func(network, address string) (net.Listener, error) {
			if network == "unix" {
				address = "unix:" + name + address
			}
			return st.net.Listen(address)
		},
		dial: func(ctx context.Context, network, address string, _ net.Addr) (net.Conn, error) {
			return st.net.DialFrom(ctx, netip.MustParseAddr(ip(i)), network, address)
		},
		resolver: st.zone,
		store:    memory.New(64),
	}, quiet)
	if err != nil {
		st.t.Fatal(err)
	}
	n.host = st.trouble(i, n.host)
	st.wait.Go(func() {
		if err := n.serve(st.stop, func() {}); err != nil {
			st.t.Error(err)
		}
	})
	return n
}

func (st *stage) listen(at string, o smtpd.Options, h smtpd.Host) {
	l, err := st.net.Listen(at)
	if err != nil {
		st.t.Fatal(err)
	}
	st.wait.Go(func() { smtpd.New(o, h).Serve(st.stop, l) })
}

// faults breaks the network as the scenario says, minute by minute.
func (st *stage) faults() {
	st.wait.Go(func() {
		for {
			for i, h := range st.s.Hops {
				var f memnet.Fault
				for _, o := range st.s.Outages {
					if o.To != h.Name || !o.When.In(st.s.Start, time.Since(st.began)) {
						continue
					}
					switch o.Result.What {
					case chain.Refused:
						f.Dial = memnet.Refused
					case chain.Timeout:
						f.Dial = memnet.Silent
					}
				}
				st.net.Set(address(i), f)
			}
			select {
			case <-time.After(time.Minute):
			case <-st.stop.Done():
				return
			}
		}
	})
	synctest.Wait()
}

// trouble makes a host answer as the scenario's outages have it answer.
func (st *stage) trouble(i int, h smtpd.Host) smtpd.Host {
	return &troubled{Host: h, st: st, name: st.s.Hops[i].Name, seen: map[string]time.Time{}}
}

type troubled struct {
	smtpd.Host
	st   *stage
	name string
	mu   sync.Mutex
	seen map[string]time.Time // strangers
}

func (h *troubled) Greet(ctx context.Context, c smtpd.Client) (smtpd.Session, mail.Reply) {
	s, r := h.Host.Greet(ctx, c)
	if s == nil {
		return nil, r
	}
	return visit{s, h, c.Addr.Addr().String()}, r
}

type visit struct {
	smtpd.Session
	h      *troubled
	client string
}

func (v visit) Rcpt(ctx context.Context, env *mail.Envelope, to mail.Recipient) mail.Reply {
	v.h.mu.Lock()
	defer v.h.mu.Unlock()
	for _, o := range v.h.st.s.Outages {
		if o.To != v.h.name || !o.When.In(v.h.st.s.Start, time.Since(v.h.st.began)) {
			continue
		}
		switch o.Result.What {
		case chain.Says:
			return o.Result.Reply
		case chain.Greylists:
			first, known := v.h.seen[v.client]
			if !known {
				v.h.seen[v.client] = time.Now()
			}
			if !known || time.Since(first) < o.Result.Delay {
				return mail.Reply{Code: 450, Status: mail.Status{4, 2, 0}, Text: "greylisted, come again later"}
			}
		}
	}
	return v.Session.Rcpt(ctx, env, to)
}

// The author's mailbox.
func (st *stage) Greet(context.Context, smtpd.Client) (smtpd.Session, mail.Reply) {
	return authorBox{box{&mailbox{letters: make(chan string, 1)}}, st}, mail.Reply{}
}

type authorBox struct {
	box
	st *stage
}

func (b authorBox) Data(ctx context.Context, t smtpd.Transfer) mail.Reply {
	b.st.mu.Lock()
	b.st.told = append(b.st.told, time.Since(b.st.began))
	b.st.mu.Unlock()
	return b.box.Data(ctx, t)
}

// happening is one thing that a hop does with the message.
type happening struct {
	what             string
	earliest, latest time.Duration
}

func (st *stage) compare(story chain.Story, nodes []*node) {
	foretold := map[string][]happening{}
	tries := map[string]int{}
	var told []happening
	for _, e := range story.Events {
		hop, what := e.Hop, string(e.Kind)
		switch {
		case e.Kind == chain.Told:
			told = append(told, happening{"told", e.Earliest, e.Latest})
			continue
		case e.Letter > 0 || e.Kind == chain.Delivered:
			continue
		case e.Kind == chain.Accepts:
			if hop, what = e.Peer, "handed over"; hop == "" {
				continue
			}
		case e.Kind == chain.Attempts:
			if e.Attempt == tries[hop] {
				continue // another host of the same attempt
			}
			tries[hop] = e.Attempt
		}
		foretold[hop] = append(foretold[hop], happening{what, e.Earliest, e.Latest})
	}
	for i, n := range nodes {
		if n != nil {
			st.alike(st.s.Hops[i].Name, foretold[st.s.Hops[i].Name], st.happened(n))
		}
	}
	var heard []happening
	st.mu.Lock()
	for _, at := range st.told {
		heard = append(heard, happening{"told", at, at})
	}
	st.mu.Unlock()
	st.alike("the author", told, heard)
}

func (st *stage) alike(who string, foretold, happened []happening) {
	st.t.Helper()
	for i := range max(len(foretold), len(happened)) {
		switch {
		case i >= len(foretold):
			st.t.Errorf("%s: happened, not foretold: %v", who, happened[i])
		case i >= len(happened):
			st.t.Errorf("%s: foretold, did not happen: %v", who, foretold[i])
		case foretold[i].what != happened[i].what,
			happened[i].earliest < foretold[i].earliest-time.Minute, happened[i].latest > foretold[i].latest+time.Minute:
			st.t.Errorf("%s: number %d: foretold %v, happened %v", who, i, foretold[i], happened[i])
		default:
			continue
		}
		return
	}
	if len(happened) > 0 {
		st.t.Logf("%s: %d things happened as foretold, the last (%s) at %s", who, len(happened), happened[len(happened)-1].what, custody.FormatAge(happened[len(happened)-1].earliest))
	}
}

// happened is what a node did with the author's message.
func (st *stage) happened(n *node) (all []happening) {
	for row, err := range n.store.Find(st.stop, spool.Query{From: "ann@inbox.test", Departed: true}) {
		if err != nil {
			st.t.Fatal(err)
		}
		h, err := n.store.History(st.stop, row.Message.ID)
		if err != nil {
			st.t.Fatal(err)
		}
		add := func(what string, at time.Time) {
			all = append(all, happening{what, at.Sub(st.began), at.Sub(st.began)})
		}
		for _, e := range h.Timeline(row.Delivery.ID) {
			if tried, ok := e.Event.(custody.Tried); ok {
				add("attempt", tried.Attempt.Began)
			}
			for _, d := range e.Duties {
				if tell, ok := d.(custody.Tell); ok && tell.Kind == custody.Delayed {
					add("warn", e.At)
				}
				if _, over := d.(custody.Close); over {
					add(map[custody.State]string{custody.HandedOver: "handed over", custody.Refused: "refused", custody.Expired: "give_up"}[row.Delivery.Rcpts[0].State], e.At)
				}
			}
		}
	}
	return all
}
