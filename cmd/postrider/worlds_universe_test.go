package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/postrider/postrider/internal/api"
	"github.com/postrider/postrider/internal/config"
	"github.com/postrider/postrider/internal/dns"
	"github.com/postrider/postrider/internal/memnet"
	"github.com/postrider/postrider/internal/spool"
	"github.com/postrider/postrider/internal/spool/local"
	"github.com/postrider/postrider/mail"
)

const (
	nodeAt = "192.0.2.1:25"
	homeAt = "192.0.2.100:25"
)

// universe is a world that lives: the program, those around it, and what they saw.
type universe struct {
	plan  *plan
	net   *memnet.Network
	zone  *dns.Zone
	began time.Time
	memo  string // the folder of what outlives the program beside the spool
	plant plant
	over  chan struct{}
	told  strings.Builder // the story, if a law is broken
	last  *judge
	work  sync.WaitGroup // all but the program

	disk    *disk
	process *process
	said    atomic.Int64

	mu       sync.Mutex
	posts    map[string]*sent
	arrivals map[string]bool // what was sent to its last octet
	takes    []*take
	words    map[string]word // refusals, by their text
	nights   []night
	full     []night
	silences map[string]bool // domains about which the DNS says nothing
	names    map[string][]turnedTo
	looks    []seen
	orders   []command
	paused   []stretch
	faults   []string // laws that were broken
}

// night is a time during which the program did not run, or could store nothing.
type night struct {
	from, to time.Time
	what     deed
}

// turnedTo is what the DNS said of a domain from a moment on.
type turnedTo struct {
	at   time.Time
	what answer
}

// seen is a delivery as it was shown.
type seen struct {
	at time.Time
	api.Delivery
}

// command is an order that was given.
type command struct {
	at   time.Time
	word string
	by   string
}

// stretch is the pause of a destination.
type stretch struct {
	name     string
	from, to time.Time
}

// plant are faults that a test plants, to see that they are found.
type plant struct {
	store func(spool.Store) spool.Store
	liar  bool // the disk does not flush
}

// breaks notes that a law was broken: its name, and how.
func (w *universe) breaks(law, format string, args ...any) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.faults = append(w.faults, law+": "+fmt.Sprintf(format, args...))
}

// next numbers what hosts say.
func (w *universe) next() int64 { return w.said.Add(1) }

// sleepUntil waits for a time of the plan; false: the world is over.
func (w *universe) sleepUntil(d time.Duration) bool {
	select {
	case <-time.After(time.Until(w.began.Add(d))):
		return true
	case <-w.over:
		return false
	}
}

func (w *universe) posted(s *sent) {
	w.mu.Lock()
	defer w.mu.Unlock()
	s.began = time.Now()
	w.posts[s.id] = s
}

func (w *universe) mayArrive(s *sent, to []mail.Recipient) {
	w.mu.Lock()
	defer w.mu.Unlock()
	s.to = to
	w.arrivals[s.id] = true
}

func (w *universe) acknowledged(s *sent, queue string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	s.acked, s.queue = time.Now(), queue
}

// unanswered notes that the last word of a conversation was not 250: a lost answer is
// no refusal.
func (w *universe) unanswered(s *sent, err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	var ne net.Error
	s.lost = errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.As(err, &ne)
}

func (w *universe) took(t *take) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.takes = append(w.takes, t)
}

// answered notes how the host's answer to the dot fared. What takes longer than the
// client waits is as good as lost.
func (w *universe) answered(t *take, whole bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	t.replied, t.done = whole && time.Since(t.at) < 9*time.Minute, time.Now()
}

func (w *universe) heard(text string, r word) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.words[text] = r
}

// create makes the world of a plan. The program does not run yet.
func create(p *plan, memo string, pl plant) *universe {
	w := &universe{
		plan: p, net: memnet.New(), zone: &dns.Zone{}, began: time.Now(), memo: memo, plant: pl, over: make(chan struct{}),
		disk: newDisk(vfs.NewCrashableMem()), posts: map[string]*sent{}, arrivals: map[string]bool{}, words: map[string]word{},
		silences: map[string]bool{}, names: map[string][]turnedTo{},
	}
	w.disk.liar = pl.liar
	for i, h := range p.hosts {
		w.zone.Add(hostName(i), "A "+hostAt(i))
		w.host(&peer{name: hostName(i), hostPlan: h}, hostAt(i)+":25")
	}
	w.host(&peer{name: "home.test", hostPlan: p.home, home: true}, homeAt)
	for i := range p.domains {
		w.turn(i, turn{})
		w.work.Go(func() {
			for _, t := range p.domains[i].turns {
				if w.sleepUntil(t.from) {
					w.turn(i, t)
				}
			}
		})
	}
	for n, p := range p.posts {
		w.work.Go(func() { w.send(p, n) })
	}
	return w
}

func (w *universe) host(p *peer, at string) {
	p.w, p.seen = w, map[string]time.Time{}
	l, err := w.net.Listen(at)
	if err != nil {
		panic(err)
	}
	w.work.Go(func() { p.live(at) })
	w.work.Go(func() { p.serve(l) })
	w.work.Go(func() {
		<-w.over
		l.Close()
	})
}

// turn makes the DNS say something else of a domain.
func (w *universe) turn(i int, t turn) {
	name, p := domainName(i), w.plan.domains[i]
	w.mu.Lock()
	w.names[name] = append(w.names[name], turnedTo{time.Now(), t.what})
	w.silences[name] = t.what == mute
	w.mu.Unlock()
	w.zone.Remove(name)
	switch t.what {
	case answers, mute:
		if p.implicit {
			w.zone.Add(name, "A "+hostAt(p.hosts[0]))
			return
		}
		for k, h := range p.hosts {
			pref := 10 * (k + 1)
			if p.equal {
				pref = 10
			}
			w.zone.Add(name, fmt.Sprintf("MX %d %s.", pref, hostName(h)))
		}
	case moved:
		w.zone.Add(name, fmt.Sprintf("MX 10 %s.", hostName(t.host)))
	case failing:
		w.zone.Fail(name, "", dns.Failed)
	case nullMX:
		w.zone.Add(name, "MX 0 .")
	case hostless:
		w.zone.Add(name, "MX 10 nobody.test.")
	}
}

// resolver is the DNS as the program sees it: silence takes its time.
type resolver struct {
	*dns.Zone
	w *universe
}

func (r resolver) silent(ctx context.Context, name, what string) error {
	r.w.mu.Lock()
	mute := r.w.silences[name]
	r.w.mu.Unlock()
	if !mute {
		return nil
	}
	select {
	case <-ctx.Done():
	case <-time.After(10 * time.Second):
	}
	return &dns.Error{Name: name, Type: what, Kind: dns.Silent}
}

func (r resolver) MX(ctx context.Context, domain string) (dns.Answer[dns.MX], error) {
	if err := r.silent(ctx, domain, "MX"); err != nil {
		return dns.Answer[dns.MX]{}, err
	}
	return r.Zone.MX(ctx, domain)
}

func (r resolver) IPs(ctx context.Context, host string) (dns.Answer[netip.Addr], error) {
	if err := r.silent(ctx, host, "A"); err != nil {
		return dns.Answer[netip.Addr]{}, err
	}
	return r.Zone.IPs(ctx, host)
}

var quietLog = slog.New(slog.NewTextHandler(io.Discard, nil))

// config is the configuration of the program.
func (w *universe) config() (*config.Config, error) {
	return config.Parse("world.toml", fmt.Appendf(nil, `
hostname = "mx.world.test"
data = "/nowhere"
history = "90d"
[[listen]]
kind = "smtp"
address = %q
[relay]
clients = ["192.0.2.192/26"]
[[route]]
domain = "home.test"
to = ["smtp:%s"]
[[route]]
domain = "*"
to = ["mx"]
[queue]
max_connections = %d
[schedule.default]
%s`, nodeAt, homeAt, w.plan.connections, w.plan.schedule))
}

// start starts the program on the disk as it is.
func (w *universe) start() error {
	conf, err := w.config()
	if err != nil {
		return err
	}
	l := &process{w: w, conns: map[*wire]bool{}, ended: make(chan error, 1)}
	// Little files, so that segments end and large bodies occur.
	broken := make(chan error, 1)
	s, err := local.Open("/spool", local.Options{
		FS: w.disk, MinFree: 1 << 20, InlineMax: 8 << 10, SegmentSize: 256 << 10, Log: quietLog, Broken: func(err error) { broken <- err },
	})
	if err != nil {
		return err
	}
	var store spool.Store = s
	if w.plant.store != nil {
		store = w.plant.store(s)
	}
	if l.n, err = open(conf, world{listen: l.listen, dial: l.dial, resolver: resolver{w.zone, w}, store: store, memo: w.memo, broken: broken}, quietLog); err != nil {
		return err
	}
	o := routeOptions(conf)
	o.Addrs, o.Shuffle = nil, l.shuffle(roll(w.plan.seed, uint64(time.Since(w.began))))
	if err := l.n.settings.finder.Reload(o); err != nil {
		return err
	}
	ctx, stop := context.WithCancel(context.Background())
	l.stop = stop
	ready := make(chan struct{})
	go func() {
		err := l.n.serve(ctx, func() { close(ready) })
		l.ended <- err
	}()
	select {
	case <-ready:
	case err := <-l.ended:
		return fmt.Errorf("it does not start: %w", err)
	}
	w.process = l
	return nil
}

// end stops the program and waits for it. Nothing may be left open.
func (w *universe) end() error {
	w.process.stop()
	err := <-w.process.ended
	if left := w.process.left(); len(left) > 0 {
		w.breaks("nothing open", "connections %v", left)
	}
	if left := w.disk.left(); len(left) > 0 {
		w.breaks("nothing open", "files %v", slices.Sorted(slices.Values(left)))
	}
	return err
}
