package main

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/postrider/postrider/internal/api"
)

// ordering is what the commands that change mail have in common.
type ordering struct {
	choice
	IDs    []string `arg:"" optional:"" name:"ids" help:"Message or delivery ids."`
	All    bool     `help:"All mail in the queue."`
	DryRun bool     `help:"Show what it would do."`
	Why    string   `help:"The reason, for the timeline."`
	JSON   bool     `name:"json" help:"One object a line."`
}

type (
	retryCmd   struct{ ordering }
	holdCmd    struct{ ordering }
	releaseCmd struct{ ordering }
	giveupCmd  struct{ ordering }
	removeCmd  struct{ ordering }
	rerouteCmd struct {
		ordering
		Via    string `xor:"way" required:"" placeholder:"HOP" help:"The next hop, as in a route: smtp:HOST:PORT, lmtp:HOST:PORT, lmtp:unix:PATH or mx."`
		Routes bool   `xor:"way" required:"" help:"Back to the routes of the configuration."`
	}
	lifeCmd struct {
		ordering
		Age      string `xor:"end" required:"" placeholder:"10d" help:"The age at which it is given up."`
		More     string `xor:"end" required:"" placeholder:"2d" help:"How long from now it is kept."`
		Schedule bool   `xor:"end" required:"" help:"Back to what the schedule says."`
	}
	warnCmd struct{ ordering }
)

func (o retryCmd) Run(c *cli, s streams) error   { return o.run(c, s, api.Order{Order: "retry"}) }
func (o holdCmd) Run(c *cli, s streams) error    { return o.run(c, s, api.Order{Order: "hold"}) }
func (o releaseCmd) Run(c *cli, s streams) error { return o.run(c, s, api.Order{Order: "release"}) }
func (o giveupCmd) Run(c *cli, s streams) error  { return o.run(c, s, api.Order{Order: "giveup"}) }
func (o removeCmd) Run(c *cli, s streams) error  { return o.run(c, s, api.Order{Order: "remove"}) }
func (o warnCmd) Run(c *cli, s streams) error    { return o.run(c, s, api.Order{Order: "warn"}) }
func (o rerouteCmd) Run(c *cli, s streams) error {
	return o.run(c, s, api.Order{Order: "reroute", Via: o.Via})
}
func (o lifeCmd) Run(c *cli, s streams) error {
	return o.run(c, s, api.Order{Order: "life", Life: o.Age, More: o.More})
}

// filters are what the order is for: each id that was named, or what the flags find.
func (o ordering) filters() ([]api.Filter, error) {
	if len(o.IDs) == 0 {
		return []api.Filter{o.api()}, nil
	}
	if o.ID != "" {
		return nil, errors.New("either --id or ids behind the command")
	}
	var all []api.Filter
	for _, id := range o.IDs {
		f := o.api()
		if f.ID = id; id == "" {
			return nil, errors.New("an id is empty")
		}
		if _, err := f.Query(time.Now()); err != nil { // before anything is done
			return nil, err
		}
		all = append(all, f)
	}
	return all, nil
}

// run gives the order, for each id that was named or once for the filter.
func (o ordering) run(c *cli, s streams, order api.Order) error {
	filters, err := o.filters()
	if err != nil {
		return err
	}
	cl, err := connect(c.Config)
	if err != nil {
		return err
	}
	order.All, order.DryRun, order.By, order.Why = o.All, o.DryRun, me(), o.Why
	n, faults, shown := 0, 0, 0
	var unmatched []string
	for _, f := range filters {
		order.Filter = f
		var done []api.Done
		var all, no int
		if done, all, no, err = cl.order(order); err != nil {
			break // what was done before is told
		}
		if all == 0 && f.ID != "" {
			unmatched = append(unmatched, f.ID)
		}
		n, faults, shown = n+all, faults+no, shown+len(done)
		if err := o.show(s, done); err != nil {
			return err
		}
	}
	if n > shown {
		fmt.Fprintf(s.err, "%d of %d are shown\n", shown, n)
	}
	if n > 0 && !o.JSON {
		would := ""
		if o.DryRun {
			would = " would be"
		}
		fmt.Fprintf(s.out, "%s:%s done for %d %s\n", order.Order, would, n-faults, plural(n-faults, "delivery", "deliveries"))
	}
	if faults > 0 {
		err = errors.Join(fmt.Errorf("%d of %d were not carried out", faults, n), err)
	}
	switch {
	case err != nil:
		return err
	case len(unmatched) > 0:
		return fmt.Errorf("%w %s", errNothing, strings.Join(unmatched, ", "))
	case n == 0:
		return errNothing
	}
	return nil
}

// show shows what was done to each delivery.
func (o ordering) show(s streams, done []api.Done) (err error) {
	for _, d := range done {
		if d.Fault != "" {
			fmt.Fprintf(s.err, "%s: %s\n", d.ID, d.Fault)
		}
		if o.JSON {
			err = writeJSON(s.out, d)
		} else {
			err = writeDelivery(s.out, d.Delivery)
		}
		if err != nil {
			return err
		}
	}
	return nil
}
