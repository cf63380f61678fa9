package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"net/netip"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/net/netutil"

	"github.com/sourcegraph/conc/panics"

	"github.com/postrider/postrider/chain"
	"github.com/postrider/postrider/custody"
	"github.com/postrider/postrider/internal/api"
	"github.com/postrider/postrider/internal/api/web"
	"github.com/postrider/postrider/internal/config"
	"github.com/postrider/postrider/internal/route"
	"github.com/postrider/postrider/internal/watch"
)

const (
	webMost  = 512             // connections to one http listener at a time
	webRead  = 5 * time.Minute // for one request of a listener that others reach
	webWrite = 10 * time.Minute
	webEnd   = 2 * time.Second // for requests under way when postrider stops
	hooksEnd = 3 * time.Second // for webhooks to be told what waits
)

// desk is what the API and the pages need besides the mail: one for all listeners.
type desk struct {
	access *api.Access
	feed   *watch.Feed
	hooks  *watch.Hooks
	tools  *api.Tools
	tls    atomic.Pointer[tls.Config] // nil: there is no certificate
}

// newDesk makes the desk of a configuration.
func newDesk(c *config.Config, s *settings, log *slog.Logger) (*desk, error) {
	k, err := keysOf(c)
	if err != nil {
		return nil, err
	}
	d := &desk{
		access: api.NewAccess(log), feed: watch.NewFeed(), hooks: watch.NewHooks(log),
		tools: api.NewTools(api.ToolsOptions{Scenario: scenarioOf, Schedules: s.schedules, Config: s.configuration, Log: log}),
	}
	return d, d.use(c, k, log)
}

// use puts the tokens, webhooks and certificate of a configuration in force.
func (d *desk) use(c *config.Config, k keys, log *slog.Logger) error {
	if err := d.access.Use(k.tokens); err != nil {
		return err
	}
	d.hooks.Use(k.hooks)
	d.tls.Store(nil)
	if c.TLS.Cert != "" {
		d.tls.Store(certificate(c.TLS.Cert, c.TLS.Key, log)())
	}
	return nil
}

// close has webhooks told what waits for them.
func (d *desk) close() {
	ctx, cancel := context.WithTimeout(context.Background(), hooksEnd)
	defer cancel()
	d.hooks.Close(ctx)
}

// keys are the secrets that a configuration names, read from their files.
type keys struct {
	tokens []api.Token
	hooks  []watch.HookOptions
}

func keysOf(c *config.Config) (k keys, err error) {
	var errs []error
	for _, t := range c.Tokens {
		role, err := api.ParseRole(t.Role)
		if err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", t.Rule, err))
		}
		secret, err := readSecret(t.File)
		if err == nil {
			err = api.CheckSecret(secret)
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("%s %s: %w", t.Rule, t.Name, err))
		}
		k.tokens = append(k.tokens, api.Token{Name: t.Name, Role: role, Secret: secret})
	}
	for _, w := range c.Webhooks {
		secret, err := readSecret(w.SecretFile)
		if err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", w.Rule, err))
			continue
		}
		key, err := watch.ParseSecret(secret)
		if err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", w.Rule, err))
		}
		k.hooks = append(k.hooks, watch.HookOptions{Rule: w.Rule, URL: w.URL, Kinds: w.Events, Key: key})
	}
	if len(errs) == 0 {
		return k, api.CheckTokens(k.tokens)
	}
	return k, errors.Join(errs...)
}

const secretMost = 4 << 10 // octets of a file

// readSecret reads a file with a secret on one line. No error shows it.
func readSecret(file string) (string, error) {
	f, err := os.Open(file)
	if err != nil {
		return "", err
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, secretMost+1))
	if err != nil {
		return "", err
	}
	s := strings.TrimSpace(string(b))
	if s == "" || len(b) > secretMost || strings.ContainsAny(s, "\r\n") {
		return "", fmt.Errorf("%s: not one line with a secret", file)
	}
	return s, nil
}

// contain does what somebody asked for. A fault of ours in it is logged and returned: it
// ends nothing else.
func (n *node) contain(do func()) error {
	fault := panics.Try(do)
	switch {
	case fault == nil:
		return nil
	case fault.Value == http.ErrAbortHandler:
		panic(http.ErrAbortHandler)
	}
	n.log.Error("a fault of this server; please report it", "fault", fmt.Sprint(fault.Value), "stack", string(fault.Stack))
	return fmt.Errorf("a fault of this server: %v", fault.Value)
}

// web serves the API on a listener: to all who come, or to those whom the tokens
// let in. Where other machines come it speaks TLS.
func (n *node) web(l net.Listener, all bool) func(context.Context) error {
	loopback := onLoopback(l.Addr())
	o := api.Options{
		Store: n.store, Queue: n.queue, Door: n.intake, Destinations: n.queue, Schedule: n.settings.Schedule, Submit: n.intake.Submit,
		Via:      func(s string) error { _, err := route.ParseTarget(s); return err },
		Hostname: n.settings.Hostname, Version: version, Metrics: n.metrics, Notices: n.settings.Notices, Pages: web.Routes,
		Access: n.desk.access, Loopback: loopback, Events: n.desk.feed, Hooks: n.desk.hooks.States, Tools: n.desk.tools, Outlooks: n.outlooks,
	}
	return func(ctx context.Context) error {
		late, over := context.WithCancel(context.WithoutCancel(ctx))
		defer over()
		o.Stopping = ctx
		h := api.New(o, all)
		var asked sync.RWMutex // held for reading by each request under way
		s := &http.Server{
			Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if asked.TryRLock() {
					defer asked.RUnlock()
					if n.contain(func() { h.ServeHTTP(w, r) }) != nil {
						http.Error(w, "A fault of this server; its log says more.", http.StatusInternalServerError)
					}
				}
			}),
			BaseContext:       func(net.Listener) context.Context { return late },
			ReadHeaderTimeout: 10 * time.Second, IdleTimeout: 2 * time.Minute, MaxHeaderBytes: 64 << 10,
			ErrorLog: slog.NewLogLogger(n.log.Handler(), slog.LevelDebug), // what strangers do wrong
		}
		ended := make(chan struct{})
		stop := context.AfterFunc(ctx, func() {
			defer close(ended)
			patience, cancel := context.WithTimeout(late, webEnd)
			defer cancel()
			if s.Shutdown(patience) != nil {
				s.Close()
			}
		})
		defer func() { // the store is open until the last request has its answer
			if stop() {
				s.Close()
			} else {
				<-ended
			}
			over()
			asked.Lock()
		}()
		serve := s.Serve
		if all { // an envelope stands in what is asked
			s.MaxHeaderBytes += api.MaxEnvelope
		} else {
			l = netutil.LimitListener(l, webMost)
			s.ReadTimeout, s.WriteTimeout = webRead, webWrite
		}
		if !all && !loopback {
			s.TLSConfig = &tls.Config{MinVersion: tls.VersionTLS12, GetConfigForClient: n.desk.certificate}
			serve = func(l net.Listener) error { return s.ServeTLS(l, "", "") }
		}
		if err := serve(l); err != nil && !errors.Is(err, http.ErrServerClosed) {
			return err
		}
		return nil
	}
}

// certificate is the certificate in force, also after a reload.
func (d *desk) certificate(*tls.ClientHelloInfo) (*tls.Config, error) {
	c := d.tls.Load()
	if c == nil {
		return nil, errors.New("no certificate is configured any more")
	}
	c = c.Clone()
	c.NextProtos = []string{"h2", "http/1.1"}
	return c, nil
}

// onLoopback reports whether only this machine can reach an address.
func onLoopback(a net.Addr) bool {
	p, err := netip.ParseAddrPort(a.String())
	return err == nil && p.Addr().Unmap().IsLoopback()
}

// scenarioOf reads a scenario that the API was sent.
func scenarioOf(text []byte) (chain.Scenario, error) {
	c, err := config.ParseScenario("", text)
	c.Words = ownWords
	return c, mistakes(err)
}

// schedules are those of a configuration that the API was sent; of nil those in force.
func (s *settings) schedules(text []byte) (all []custody.Schedule, err error) {
	c := s.conf.Load()
	if text != nil {
		if c, err = config.Parse("", text); err != nil {
			return nil, mistakes(err)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(c.Schedules)) {
		all = append(all, c.Schedules[name])
	}
	return all, nil
}

// configuration is what is in force.
func (s *settings) configuration() api.Configuration {
	c := s.conf.Load()
	out := api.Configuration{File: c.File, Settings: []api.Setting{}, Restart: waiting(s.start, c), Rules: c.Door.Table.Rules(), Doubts: problems(c.Warnings)}
	for _, set := range c.Settings() {
		out.Settings = append(out.Settings, api.Setting(set))
	}
	return out
}

// mistakes are the errors of a configuration in the words of the API.
func mistakes(err error) error {
	var all config.Errors
	if errors.As(err, &all) {
		return api.Mistakes(problems(all))
	}
	return err
}

func problems(all []config.Problem) []api.Mistake {
	out := []api.Mistake{}
	for _, p := range all {
		out = append(out, api.Mistake{File: p.File, Line: p.Line, Col: p.Col, Text: p.Text})
	}
	return out
}
