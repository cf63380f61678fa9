package main

import (
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"time"

	"github.com/postrider/postrider/internal/carrier"
	"github.com/postrider/postrider/internal/config"
	"github.com/postrider/postrider/internal/dns"
	"github.com/postrider/postrider/internal/spool"
	"github.com/postrider/postrider/internal/spool/local"
)

// world is what a node lives in. What is left out is the real one; tests put a
// network in memory and virtual time in its place.
type world struct {
	listen   func(network, address string) (net.Listener, error)
	dial     carrier.Dialer
	resolver dns.Resolver
	names    *names         // the resolver, where it is the real one
	level    *slog.LevelVar // of the log; nil: it stays
	store    spool.Store
	flushed  func(took time.Duration, records, octets int) // is told what the store writes
	memo     string                                        // the folder of what the door remembers; "": nothing outlives the node
	broken   chan error                                    // says that the store's disk has failed; nil: nobody does
	drops    bool                                          // there is a data folder whose drop folder is to be looked at
}

// complete fills in the real world. The store comes last, so that nothing can
// fail once the data folder is taken.
func (w world) complete(c *config.Config, log *slog.Logger) (_ world, err error) {
	if w.listen == nil {
		w.listen = listen
	}
	if w.resolver == nil {
		w.names = &names{}
		if err = w.names.use(c.DNS.Servers); err != nil {
			return w, err
		}
		w.resolver = w.names
	}
	if w.store == nil {
		w.drops, w.memo = true, filepath.Join(c.Data, "memo")
		// Others may pass through it to the drop folder, and see nothing.
		if err = os.MkdirAll(c.Data, 0o711); err != nil {
			return w, err
		}
		w.broken = make(chan error, 1)
		w.store, err = local.Open(filepath.Join(c.Data, "spool"), local.Options{
			MinFree: c.Queue.MinFree, Log: log, Flushed: w.flushed, Broken: func(err error) { w.broken <- err },
		})
	}
	return w, err
}

const socketMost = 107 // unix(7)

// listen takes an address. A socket that a killed process left is taken over.
func listen(network, address string) (net.Listener, error) {
	if network == "unix" {
		if len(address) > socketMost {
			return nil, fmt.Errorf("%s is longer than the %d characters that the path of a socket may have", address, socketMost)
		}
		if c, err := net.Dial("unix", address); err == nil {
			c.Close()
			return nil, fmt.Errorf("%s is served by another process", address)
		}
		os.Remove(address)
	}
	return net.Listen(network, address)
}
