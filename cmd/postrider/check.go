package main

import (
	"fmt"

	"github.com/postrider/postrider/internal/config"
)

type checkCmd struct{}

func (checkCmd) Run(c *cli, s streams) error {
	file, ok := config.Find(c.Config)
	if !ok {
		fmt.Fprintln(s.out, "no configuration: serve would start the built-in default, which listens on loopback only")
		return nil
	}
	conf, err := config.Load(file)
	if err != nil {
		return err
	}
	for _, w := range conf.Warnings {
		fmt.Fprintln(s.out, "warning:", w)
	}
	count := func(n int, one string) string { return fmt.Sprintf("%d %s", n, plural(n, one, one+"s")) }
	fmt.Fprintf(s.out, "%s is good: %s, %s, %s\n", file, count(len(conf.Listen), "listener"), count(len(conf.Routes), "route"), count(len(conf.Schedules), "schedule"))
	fmt.Fprintln(s.out, "not built yet, so not there: the listener kinds submission and submissions; the commands "+notBuilt)
	return nil
}

// notBuilt are the commands that the plan has and the program has not.
const notBuilt = "pause, resume, allow and top"
