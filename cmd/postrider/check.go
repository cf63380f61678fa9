package main

import (
	"errors"
	"fmt"
	"io/fs"

	"github.com/postrider/postrider/internal/config"
)

type checkCmd struct {
	Rules bool `help:"Show the rules of the door, in order."`

	ExplainClient string `placeholder:"IP" help:"Say what would happen to this client, and by which line, without a connection."`
	Helo          string `placeholder:"NAME" help:"What the client calls itself."`
	From          string `placeholder:"ADDRESS" help:"Its sender; empty: the null return path."`
	To            string `placeholder:"ADDRESS" help:"Its recipient; default: postmaster."`
	Listener      string `placeholder:"NAME" help:"The listener that it comes by."`
	JSON          bool   `name:"json" help:"The answer to --explain-client, --rules or --data as JSON."`

	Data bool   `help:"Read the whole spool of a service that does not run, compare every checksum, and say what is damaged."`
	Dir  string `arg:"" optional:"" help:"With --data: the data folder; default: that of the configuration."`
}

func (x checkCmd) Run(c *cli, s streams) error {
	switch {
	case x.ExplainClient != "":
		return x.explain(c, s)
	case x.Rules:
		return x.rules(c, s)
	case x.Data:
		return x.data(c, s)
	case x.Dir != "":
		return fmt.Errorf("check %s: what of it? --data reads a data folder, -c names a configuration", x.Dir)
	}
	file, ok := config.Find(c.Config)
	if !ok {
		fmt.Fprintln(s.out, "no configuration: serve would start the built-in default, which listens on loopback only")
		return nil
	}
	conf, err := config.Load(file)
	if err != nil {
		return err
	}
	if _, err := doorOf(conf, world{}); err != nil { // what the file names must be of use, too
		return err
	}
	if _, err := keysOf(conf); err != nil && !errors.Is(err, fs.ErrPermission) { // another user may serve
		return err
	}
	for _, w := range conf.Warnings {
		fmt.Fprintln(s.out, "warning:", w)
	}
	count := func(n int, one string) string { return fmt.Sprintf("%d %s", n, plural(n, one, one+"s")) }
	fmt.Fprintf(s.out, "%s is good: %s, %s, %s\n", file, count(len(conf.Listen), "listener"), count(len(conf.Routes), "route"), count(len(conf.Schedules), "schedule"))
	fmt.Fprintln(s.out, "not built yet, so not there: the listener kinds submission and submissions")
	return nil
}
