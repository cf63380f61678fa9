package main

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/signal"
	"syscall"

	"github.com/postrider/postrider/internal/config"
	"github.com/postrider/postrider/internal/watch"
)

type serveCmd struct{}

func (serveCmd) Run(c *cli, s streams) error {
	conf, err := load(c.Config)
	if err != nil {
		return err
	}
	for _, w := range conf.Warnings {
		fmt.Fprintln(s.err, "warning:", w)
	}
	hup := make(chan os.Signal, 1) // from now on: one that comes too early must not end us
	signal.Notify(hup, syscall.SIGHUP)
	defer signal.Stop(hup)
	log := watch.NewLogger(s.err, conf.Log.JSON, conf.Log.Level)
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	n, err := open(conf, world{}, log)
	if err != nil {
		return err
	}
	go func() {
		for {
			select {
			case <-hup:
				n.reload(ctx, c.Config)
			case <-ctx.Done():
				return
			}
		}
	}()
	return n.serve(ctx, func() { greet(s, conf) })
}

// greet says on what the server listens, and how to try it.
func greet(s streams, c *config.Config) {
	try := ""
	for _, l := range c.Listen {
		fmt.Fprintf(s.err, "%-5s on %s\n", l.Kind, l.Address)
		if host, port, err := net.SplitHostPort(l.Address); err == nil && l.Kind == "smtp" && try == "" {
			if host == "" {
				host = "127.0.0.1"
			}
			try = fmt.Sprintf("try it: swaks --server %s --port %s --from you@example.com --to someone@example.org", host, port)
		}
	}
	fmt.Fprintf(s.err, "data in %s\n", c.Data)
	if c.File == "" && try != "" {
		fmt.Fprintf(s.err, "%s\nthen:   postrider queue, postrider trace you@example.com, or a look at http://127.0.0.1:8025/\n", try)
	}
	fmt.Fprintln(s.err, "ready")
}
