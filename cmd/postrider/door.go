package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/postrider/postrider/custody"
	"github.com/postrider/postrider/internal/auth"
	"github.com/postrider/postrider/internal/config"
	"github.com/postrider/postrider/internal/filter"
	"github.com/postrider/postrider/internal/intake"
	"github.com/postrider/postrider/internal/queue"
	"github.com/postrider/postrider/internal/smtpd"
	"github.com/postrider/postrider/internal/spool"
	"github.com/postrider/postrider/internal/watch"
	"github.com/postrider/postrider/mail"
	"github.com/postrider/postrider/policy"
)

// loopback is who may hand back what a filter has seen, wherever the door is.
var loopback = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8"), netip.MustParsePrefix("::1/128")}

// rules are what a configuration says of mail that comes in. A content filter that has no
// door before a restart is given no mail: it could not hand it back. One that is to hand
// back elsewhere then is asked where it was until then.
func (n *node) rules(c *config.Config) (intake.Rules, error) {
	r := intakeRules(c)
	var err error
	r.Door, err = doorOf(c, n.world)
	var through []intake.Through
	for _, t := range r.Door.Through {
		was := slices.IndexFunc(n.conf.Door.Filters, func(f config.Filter) bool { return f.Kind == "smtp" && f.Name == t.Name })
		switch {
		case handsBack(t.Name, n.conf, c):
		case was < 0:
			continue
		default:
			t.To = n.conf.Door.Filters[was].To
		}
		through = append(through, t)
	}
	r.Door.Through = through
	return r, err
}

// doorOf makes what the configuration says of the door: it reads lists of recipients
// and keys, and asks nobody yet.
func doorOf(c *config.Config, w world) (d intake.Door, err error) {
	d = intake.Door{
		Table: c.Door.Table, Resolver: w.resolver, Lookups: c.Door.Lookups, Help: c.Door.Help,
		Filters: map[string]filter.Filter{},
	}
	for _, l := range c.Door.Lists {
		d.Lists = append(d.Lists, listOf(l))
	}
	var errs []error
	for _, f := range c.Door.Filters {
		if f.Kind == "smtp" {
			d.Through = append(d.Through, intake.Through{Name: f.Name, To: f.To, Domains: f.Domains, Rule: f.Rule + " " + f.Name})
			continue
		}
		asked, err := filterOf(f)
		if err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", f.Rule, err))
		}
		d.Filters[f.Name] = asked
	}
	for _, r := range c.Door.Recipients {
		n, err := namesOf(r)
		if err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", r.Rule, err))
		}
		d.Names = append(d.Names, n)
	}
	if d.Signer, err = signerOf(c.Door.Sign); err != nil {
		errs = append(errs, err)
	}
	return d, errors.Join(errs...)
}

func listOf(l config.List) intake.List {
	out := intake.List{Name: l.Name, Zone: l.Zone, Domains: l.Domains, Weight: l.Weight}
	for p, weight := range l.Replies {
		out.Replies = append(out.Replies, intake.Answer{In: netip.MustParsePrefix(p), Weight: weight})
	}
	return out
}

func filterOf(f config.Filter) (filter.Filter, error) {
	if f.Kind == "http" {
		return filter.NewHook(filter.HookOptions{Name: f.Name, URL: f.To, TokenFile: f.TokenFile, Timeout: f.Timeout})
	}
	return filter.NewMilter(filter.MilterOptions{Name: f.Name, Address: f.To, End: f.Timeout})
}

func namesOf(r config.Recipients) (intake.Names, error) {
	n := intake.Names{Domain: r.Domain, Ask: r.Ask, Keep: r.Keep, Lose: r.Lose, Rule: r.Rule}
	if r.File == "" {
		return n, nil
	}
	f, err := os.Open(r.File)
	if err != nil {
		return n, err
	}
	defer f.Close()
	if n.List, err = intake.ReadNames(f); err != nil {
		return n, fmt.Errorf("%s: %w", r.File, err)
	}
	return n, nil
}

// signerOf reads the keys; nil if there are none.
func signerOf(all []config.Sign) (*auth.Signer, error) {
	if len(all) == 0 {
		return nil, nil
	}
	var keys []auth.Key
	for _, k := range all {
		key, err := auth.LoadKey(k.Domain, k.Selector, k.Key)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", k.Rule, err)
		}
		keys = append(keys, key)
	}
	s := &auth.Signer{}
	return s, s.Use(keys...)
}

// askNextHop asks a next hop whether it takes mail for an address.
func (n *node) askNextHop(ctx context.Context, hop string, to mail.Address) (mail.Reply, error) {
	if hop == "route" {
		hop = ""
	}
	return n.carrier.Ask(ctx, to, hop)
}

// startDomain has what waits for a domain tried now.
func (n *node) startDomain(ctx context.Context, domain string, under bool) (started int, err error) {
	return startDomain(ctx, n.store, n.queue.Order, domain, under)
}

// startDomain gives the orders, to all for which it can. The error is that of the first
// for which it could not; what leaves meanwhile is none.
func startDomain(ctx context.Context, store spool.Store, order func(context.Context, custody.DeliveryID, []int, custody.Ordered) error, domain string, under bool) (started int, first error) {
	now := time.Now()
	q := spool.Query{Domain: domain}
	if under {
		q.Domain = ""
	}
	for row, err := range store.Find(ctx, q) {
		if err != nil {
			return started, cmp.Or(first, err)
		}
		if under && row.Delivery.Domain != domain && !strings.HasSuffix(row.Delivery.Domain, "."+domain) {
			continue
		}
		err := order(ctx, row.Delivery.ID, nil, custody.Ordered{At: now, By: "ETRN", Order: custody.OrderRetry, Why: "the host asked for its mail"})
		switch {
		case err == nil:
			started++
		case !errors.Is(err, queue.ErrGone):
			first = cmp.Or(first, err)
		}
	}
	return started, first
}

// announced is how long before its end an override is announced.
const announced = 3 * 24 * time.Hour

// announce tells of overrides whose end is near: in the log, and to the postmaster.
func (n *node) announce(ctx context.Context) error {
	for {
		now := time.Now()
		ending, err := n.intake.Ending(now.Add(announced), now)
		if err != nil {
			n.log.Error("announcing the end of overrides", "err", err)
		}
		for _, a := range ending {
			until := a.Until.UTC().Format("2006-01-02 15:04 UTC")
			n.log.Warn("an override ends soon", "id", a.ID, "who", a.Who(), "rule", a.Rule, "until", until, "by", a.By)
			n.tellPostmaster(ctx, "An override ends soon: "+a.Who(), fmt.Sprintf(
				"Override %s lets %s past rule %s until %s.\nIt was made by %s, because: %s\n\nThen the rule holds for it again. To let it in for longer:\n\n    postrider allow ... --skip %s --for 30d --because \"...\"\n",
				a.ID, a.Who(), a.Rule, until, mail.Clean(a.By, 100), mail.Clean(a.Because, 300), a.Rule))
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(time.Hour):
		}
	}
}

// tellPostmaster writes to the postmaster, if there is one.
func (n *node) tellPostmaster(ctx context.Context, subject, text string) {
	to := n.settings.conf.Load().Postmaster
	if to.IsNull() {
		return
	}
	letter := fmt.Sprintf("From: postrider <postmaster@%s>\nTo: %s\nSubject: %s\nAuto-Submitted: auto-generated\nMIME-Version: 1.0\nContent-Type: text/plain; charset=utf-8\n\n%s",
		n.settings.Hostname(), to, mail.Clean(subject, 200), text)
	env := mail.Envelope{To: []mail.Recipient{{Address: to, Notify: mail.NotifyNever}}}
	if _, err := n.intake.Submit(ctx, env, "postrider", strings.NewReader(letter)); err != nil {
		n.log.Error("writing to the postmaster", "err", err)
	}
}

// turnedAway is a refusal in the words of the log.
func turnedAway(r policy.Record) watch.Refusal {
	w := watch.Refusal{
		Ref: r.Ref, Client: r.Client, Helo: r.Helo, From: r.From, To: r.To, Stage: r.Stage.String(), Rule: r.Rule, Place: r.Place,
		Reply: r.Reply, Why: r.Why, Faults: r.Faults,
	}
	for _, s := range r.Would {
		w.Would = append(w.Would, s.Rule+": "+s.Action.String()+": "+s.Why)
	}
	for _, s := range r.Skipped {
		w.Skipped = append(w.Skipped, s.Rule+" by override "+s.Override)
	}
	return w
}

// refusedByEngine logs what smtpd refused of its own accord.
func (n *node) refusedByEngine(c smtpd.Client, st mail.Stage, r mail.Reply) {
	w := watch.Refusal{Stage: st.String(), Reply: r}
	if a := c.Addr.Addr(); a.IsValid() {
		w.Client = a.String()
	}
	n.events.Refused(w)
	n.counts.Refused(w)
}

// doorName is how rules call a listener.
func doorName(l config.Listen) string { return cmp.Or(l.Name, l.Address) }
