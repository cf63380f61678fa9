package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"slices"
	"sync"
	"time"

	"github.com/postrider/postrider/internal/api"
	"github.com/postrider/postrider/internal/carrier"
	"github.com/postrider/postrider/internal/config"
	"github.com/postrider/postrider/internal/intake"
	"github.com/postrider/postrider/internal/memo"
	"github.com/postrider/postrider/internal/queue"
	"github.com/postrider/postrider/internal/route"
	"github.com/postrider/postrider/internal/smtpd"
	"github.com/postrider/postrider/internal/spool"
	"github.com/postrider/postrider/internal/watch"
)

// node is one running postrider.
type node struct {
	conf     *config.Config
	world    world
	log      *slog.Logger
	settings *settings
	store    spool.Store
	intake   *intake.Intake
	host     smtpd.Host // who answers on the wire: the intake
	queue    *queue.Queue
	carrier  *carrier.Carrier
	memo     *memo.Memo     // nil: nothing outlives the node
	memory   *intake.Memory // what the door remembers
	events   *watch.Log
	counts   *watch.Metrics
	metrics  *api.Metrics
	outlooks *api.Outlooks
	desk     *desk
	reach    *reach           // nil: all of the file system
	reloads  <-chan os.Signal // each asks for a reload; nil: none does
	file     string           // the configuration that the flag asks for

	mu        sync.Mutex // a reload at a time
	listeners []net.Listener
	doors     []door
}

// door is a listener with the server that answers there.
type door struct {
	config.Listen
	server *smtpd.Server
}

// in is how a configuration in force has the door, which stays where it is until a
// restart. One that has gone from it is nobody's way past the rules, but that of a filter
// which is to hand back elsewhere after the restart.
func (d door) in(c *config.Config) config.Listen {
	for _, l := range c.Listen {
		if samePlace(l, d.Listen) {
			return l
		}
	}
	l := d.Listen
	l.Back = l.Back && hasBack(c, l.Name)
	return l
}

// open makes a node of a configuration: it takes the data folder and the
// listeners, but serves nobody yet.
func open(c *config.Config, w world, log *slog.Logger) (_ *node, err error) {
	counts := newCounts()
	w.flushed = counts.Flushed
	if w, err = w.complete(c, log); err != nil {
		return nil, err
	}
	n := &node{conf: c, world: w, log: log, settings: &settings{start: c}, store: w.store, counts: counts}
	n.settings.conf.Store(c)
	defer func() {
		if err != nil {
			n.close()
		}
	}()
	if n.settings.finder, err = route.New(w.resolver, routeOptions(c)); err != nil {
		return nil, err
	}
	if w.memo != "" {
		if n.memo, err = memo.Open(w.memo, memo.Options{Log: log}); err != nil {
			return nil, err
		}
		n.memory = intake.NewMemory(n.memo, log)
	}
	rules, err := n.rules(c)
	if err != nil {
		return nil, err
	}
	if n.desk, err = newDesk(c, n.settings, log); err != nil {
		return nil, err
	}
	n.events = watch.NewLog(log)
	n.intake = intake.New(intake.Options{
		Store: n.store, Memory: n.memory, Ask: n.askNextHop, Start: n.startDomain, Log: log,
		Watch: intake.Watch{Accepted: n.accepted, Refused: n.refused, Noted: n.noted},
	}, rules)
	n.settings.intake, n.host = n.intake, n.intake
	n.carrier = carrier.New(carrier.Options{Finder: n.settings.finder, Dial: w.dial, Helo: n.settings.Hostname, Log: log})
	n.queue = queue.New(queue.Options{
		Store: n.store, Courier: n.carrier, Rules: n.settings, Connections: c.Queue.MaxConnections, Log: log,
		Watch: n.stepped, Pauses: pausesOf(n.memo),
	})
	n.outlooks = api.NewOutlooks(n.store, n.queue, n.settings.Schedule)
	n.metrics = api.NewMetrics(api.MetricsOptions{
		Watch: n.counts, Store: n.store, Queue: n.queue, Door: n.intake, Connections: n.carrier.Connections, Outlooks: n.outlooks,
	})
	for _, l := range c.Listen {
		ln, err := w.listen(l.Network, l.Address)
		if err != nil {
			return nil, fmt.Errorf("%s: cannot listen: %w", l.Rule, err)
		}
		n.listeners = append(n.listeners, ln)
	}
	return n, nil
}

func (n *node) close() {
	if n.desk != nil {
		n.desk.close()
	}
	for _, l := range n.listeners {
		l.Close()
	}
	if n.memo != nil {
		if err := n.memo.Close(); err != nil {
			n.log.Error("closing the memory", "err", err)
		}
	}
	if err := n.store.Close(); err != nil {
		n.log.Error("closing the spool", "err", err)
	}
}

// serve runs until ctx ends: then it takes no more mail, lets what is under way
// come to its end, and closes the spool.
func (n *node) serve(ctx context.Context, ready func()) error {
	defer n.close()
	ctx, fail := context.WithCancelCause(ctx)
	defer fail(nil)
	var wait sync.WaitGroup
	run := func(what string, f func(context.Context) error) {
		wait.Go(func() {
			if err := f(ctx); err != nil && ctx.Err() == nil {
				fail(fmt.Errorf("%s: %w", what, err))
			}
		})
	}
	socket, err := n.world.listen("unix", n.conf.Socket())
	if err != nil {
		return fmt.Errorf("the socket for commands: %w", err)
	}
	defer os.Remove(n.conf.Socket())
	run("api on "+n.conf.Socket(), n.web(socket, true))
	n.mu.Lock()
	for i, l := range n.conf.Listen {
		switch l.Kind {
		case "http":
			run(l.Rule, n.web(n.listeners[i], false))
		default:
			s := smtpd.New(n.smtpd(n.conf, l), n.host)
			n.doors = append(n.doors, door{l, s})
			run(l.Rule, func(ctx context.Context) error { return s.Serve(ctx, n.listeners[i]) })
		}
	}
	n.mu.Unlock()
	if n.world.drops {
		run("drop", n.drops)
	}
	run("reload", n.obey)
	run("the disk", n.trust)
	run("history", n.prune)
	run("allow", n.announce)
	if n.world.drops { // where time is virtual nobody looks at it
		run("metrics", n.metrics.Run)
		run("outlook", n.outlooks.Run)
	}
	run("queue", n.queue.Run)
	ready()
	wait.Wait()
	n.carrier.Close()
	if err := context.Cause(ctx); err != nil && !errors.Is(err, context.Canceled) {
		return err
	}
	return nil
}

// smtpd is how a listener serves.
func (n *node) smtpd(c *config.Config, l config.Listen) smtpd.Options {
	o := smtpd.Options{
		Hostname: c.Hostname, Banner: c.SMTP.Banner, Listener: doorName(l), Back: l.Back, LMTP: l.Kind == "lmtp",
		GreetDelay: c.Door.GreetDelay, Starts: c.Door.Turn, Refused: n.refusedByEngine,
		MaxSize: c.SMTP.MaxSize, MaxRcpts: c.SMTP.MaxRecipients, MaxConns: c.SMTP.MaxConnections,
		MaxConnsPerClient: c.SMTP.MaxConnectionsPerClient, MaxConnsPerNetwork: c.SMTP.MaxConnectionsPerNet, HardErrors: c.SMTP.MaxErrors, DeliverBy: true,
		Times: smtpd.Times{Command: c.SMTP.CommandTimeout, Block: c.SMTP.DataTimeout}, Log: n.log,
	}
	in := func(nets []netip.Prefix) func(netip.Addr) bool {
		return func(a netip.Addr) bool {
			return slices.ContainsFunc(nets, func(p netip.Prefix) bool { return p.Contains(a) })
		}
	}
	o.Spare = in(slices.Concat(c.Relay.Clients, c.Door.Trusted))
	if o.Trusts = in(c.Door.Trusted); l.Back {
		o.Trusts = in(slices.Concat(c.Door.Trusted, loopback))
	}
	if c.SMTP.Normalize {
		o.BareNewline = smtpd.Normalize
	}
	if c.TLS.Cert != "" {
		o.TLSConfig = certificate(c.TLS.Cert, c.TLS.Key, n.log)
	}
	return o
}

// trust answers the fault that the store has met: from then on it takes nothing, and only
// the next start finds out what the disk holds.
func (n *node) trust(ctx context.Context) error {
	select {
	case err := <-n.world.broken:
		return err
	case <-ctx.Done():
		return nil
	}
}

// prune forgets what left long ago, now and then every hour.
func (n *node) prune(ctx context.Context) error {
	for {
		err := n.store.Prune(ctx, time.Now().Add(-n.settings.conf.Load().History))
		if err != nil && ctx.Err() == nil {
			n.log.Error("what left long ago could not be forgotten; it is tried again in an hour", "err", err)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(time.Hour):
		}
	}
}

// obey reloads as often as it is asked to.
func (n *node) obey(ctx context.Context) error {
	for {
		select {
		case <-n.reloads:
			n.reload(ctx, n.file)
		case <-ctx.Done():
			return nil
		}
	}
}

// reload reads the configuration again. A bad one leaves the old one in force.
// What stands in fixed stays as it is until a restart.
func (n *node) reload(ctx context.Context, flag string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	c, err := load(flag)
	if err == nil && n.reach != nil {
		if all := n.reach.beyond(c); len(all) > 0 {
			n.log.Warn("what the new configuration names lies where we may not read before a restart (landlock)", "folders", all)
		}
	}
	var rules intake.Rules
	var secrets keys
	if err == nil {
		rules, err = n.rules(c)
	}
	if err == nil {
		secrets, err = keysOf(c)
	}
	if err == nil && n.world.names != nil {
		err = n.world.names.use(c.DNS.Servers)
	}
	if err == nil {
		err = n.settings.finder.Reload(routeOptions(c))
	}
	if err == nil {
		err = n.desk.use(c, secrets, n.log)
	}
	if err != nil {
		n.log.Error("the new configuration is wrong, the old one stays in force", "err", err)
		return
	}
	for _, w := range c.Warnings {
		n.log.Warn(w.String())
	}
	if keys := waiting(n.conf, c); len(keys) > 0 {
		n.log.Warn("what changes only with a restart stays as it was; all else is in force", "keys", keys)
	}
	if n.world.level != nil {
		n.world.level.Set(c.Log.Level)
	}
	n.intake.Reload(rules)
	n.settings.conf.Store(c)
	for _, d := range n.doors {
		d.server.Reload(n.smtpd(c, d.in(c)))
	}
	err = n.queue.Reload(ctx, func(seen, moved int) {
		n.log.Info("reload", "deliveries_seen", seen, "moved", moved)
	})
	if err != nil {
		n.log.Error("the new configuration is in force, but the wakes of waiting mail could not be moved", "err", err)
		return
	}
	n.log.Info("the new configuration is in force", "file", c.File)
}
