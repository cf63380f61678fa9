package dns

import (
	"fmt"
	"net/netip"
	"os"
	"strings"
	"sync"
	"time"
)

// resolvConf is what we take from a file as resolv.conf(5) describes it.
type resolvConf struct {
	servers []string // "host:port"
	trustAD bool     // "options trust-ad"
}

// parseResolvConf reads the lines that concern us and passes over the others.
// Without a nameserver line the machine itself is asked, as the manual says.
func parseResolvConf(text string) resolvConf {
	var c resolvConf
	for line := range strings.Lines(text) {
		if i := strings.IndexAny(line, "#;"); i >= 0 {
			line = line[:i]
		}
		f := strings.Fields(line)
		if len(f) < 2 {
			continue
		}
		switch f[0] {
		case "nameserver":
			if s, err := serverAddr(f[1]); err == nil && len(c.servers) < 3 { // MAXNS
				c.servers = append(c.servers, s)
			}
		case "options":
			for _, o := range f[1:] {
				c.trustAD = c.trustAD || o == "trust-ad"
			}
		}
	}
	if len(c.servers) == 0 {
		c.servers = []string{"127.0.0.1:53", "[::1]:53"}
	}
	return c
}

// serverAddr completes "127.0.0.1", "::1", "fe80::1%eth0", "127.0.0.1:5353" or
// "[::1]:5353" to an address with a port.
func serverAddr(s string) (string, error) {
	ap, err := netip.ParseAddrPort(s)
	if err != nil {
		var ip netip.Addr
		if ip, err = netip.ParseAddr(s); err == nil {
			ap = netip.AddrPortFrom(ip, 53)
		}
	}
	// A zone may hold any character for package netip, even "]:53".
	if err != nil || ap.Port() == 0 || strings.ContainsAny(ap.Addr().Zone(), "[]:%") {
		return "", fmt.Errorf("dns: %q is not the address of a server; write \"192.0.2.53\" or \"192.0.2.53:53\"", s)
	}
	return ap.String(), nil
}

// isLoopback reports whether the answers of a server cannot be forged on their way.
func isLoopback(server string) bool {
	ap, err := netip.ParseAddrPort(server)
	return err == nil && ap.Addr().IsLoopback()
}

const resolvConfEvery = 5 * time.Second // how often the file is looked at

// watched is a resolv.conf that is read again when it changed.
type watched struct {
	path string

	mu      sync.Mutex
	looked  time.Time
	changed time.Time // modification time when it was read
	size    int64
	conf    resolvConf
}

// now returns what the file says. A file that cannot be read is empty.
func (w *watched) now() resolvConf {
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.looked.IsZero() && time.Since(w.looked) < resolvConfEvery {
		return w.conf
	}
	first := w.looked.IsZero()
	w.looked = time.Now()
	var changed time.Time
	var size int64
	if st, err := os.Stat(w.path); err == nil {
		changed, size = st.ModTime(), st.Size()
	}
	if first || !changed.Equal(w.changed) || size != w.size {
		text, _ := os.ReadFile(w.path)
		w.changed, w.size, w.conf = changed, size, parseResolvConf(string(text))
	}
	return w.conf
}
