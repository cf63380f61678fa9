package main

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"github.com/postrider/postrider/internal/config"
)

// passed are the sockets that whoever started us listens on already, as systemd does
// for a .socket unit: so that ports below 1024 need no privilege (sd_listen_fds(3)).
type passed struct {
	conf *config.Config
	left []*given // those that no listener has taken yet
}

type given struct {
	name string // FileDescriptorName=
	net.Listener
}

const firstPassed = 3 // SD_LISTEN_FDS_START

// takePassed takes the sockets that are meant for this process. There are none
// where nobody passed any.
func takePassed(c *config.Config) (*passed, error) {
	p := &passed{conf: c}
	if pid, err := strconv.Atoi(os.Getenv("LISTEN_PID")); err != nil || pid != os.Getpid() {
		return p, nil
	}
	n, err := strconv.Atoi(os.Getenv("LISTEN_FDS"))
	if err != nil || n < 0 || n > 1000 {
		return nil, fmt.Errorf("LISTEN_FDS=%q is not a number of sockets", os.Getenv("LISTEN_FDS"))
	}
	names := strings.Split(os.Getenv("LISTEN_FDNAMES"), ":")
	for i := range n {
		name := "" // of what an old manager passes
		if i < len(names) {
			name = names[i]
		}
		syscall.CloseOnExec(firstPassed + i)
		f := os.NewFile(uintptr(firstPassed+i), name)
		l, err := net.FileListener(f) // of its own copy
		err = errors.Join(err, f.Close())
		if err != nil {
			p.close()
			return nil, fmt.Errorf("socket %d (%q) that was passed to us is not one to listen on: %w", i+1, name, err)
		}
		p.left = append(p.left, &given{name, l})
	}
	return p, nil
}

// listen returns the passed socket that fits an address; of several the one that
// bears the name of the listener; where none fits the only one that bears its name.
// Without any it listens itself.
func (p *passed) listen(network, address string) (net.Listener, error) {
	best, at, as := 0, -1, 0 // 3: address and name, 2: address, 1: name
	for i, g := range p.left {
		match := 0
		if p.bears(g.name, network, address) {
			match++
			as++
		}
		if fits(g.Addr(), network, address) {
			match += 2
		}
		if match > best {
			best, at = match, i
		}
	}
	switch {
	case best == 0:
		return listen(network, address)
	case best == 1 && as > 1:
		return nil, fmt.Errorf("of the %d sockets called %q that were passed to us none has the address %s", as, p.left[at].name, address)
	}
	l := p.left[at].Listener
	p.left = slices.Delete(p.left, at, at+1)
	return l, nil
}

// bears reports whether the listener of an address has a name.
func (p *passed) bears(name, network, address string) bool {
	for _, l := range p.conf.Listen {
		if l.Network == network && l.Address == address && l.Name != "" && l.Name == name {
			return true
		}
	}
	return false
}

// fits reports whether a socket listens where the configuration says. All addresses
// are all addresses, be it of IPv4 or of both.
func fits(a net.Addr, network, address string) bool {
	got, tcp := a.(*net.TCPAddr)
	if !tcp || network != "tcp" {
		return a.Network() == network && a.String() == address
	}
	want, err := net.ResolveTCPAddr(network, address)
	if err != nil || got.Port != want.Port {
		return false
	}
	anywhere := want.IP == nil || want.IP.IsUnspecified()
	return anywhere && got.IP.IsUnspecified() || want.IP.Equal(got.IP)
}

// close gives up what nobody took.
func (p *passed) close() {
	for _, g := range p.left {
		g.Close()
	}
	p.left = nil
}

// warn says which sockets nobody took: who connects there waits in vain.
func (p *passed) warn(log *slog.Logger) {
	for _, g := range p.left {
		log.Warn("no [[listen]] takes a socket that was passed to us: whoever connects there is not answered", "address", g.Addr().String(), "name", g.name)
	}
}

// tellManager tells the service manager how we are, where there is one that wants to
// know (sd_notify(3)).
func tellManager(state string, log *slog.Logger) {
	socket := os.Getenv("NOTIFY_SOCKET")
	if socket == "" {
		return
	}
	c, err := net.Dial("unixgram", socket) // a leading @ is an abstract name
	if err == nil {
		_, err = c.Write([]byte(state))
		err = errors.Join(err, c.Close())
	}
	if err != nil {
		log.Warn("the service manager cannot be told how we are", "state", state, "err", err)
	}
}
