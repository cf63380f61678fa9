package peers

import (
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"testing"
	"time"
)

// OpenDKIM starts an OpenDKIM that listens as a milter at Server.Addr. All that it
// does stands in c.Extra, lines of its configuration file, which may name files of
// c.Files as /srv/NAME: "Mode s" with Domain, Selector and KeyFile signs, "Mode v"
// with "TestDNSData file:/srv/NAME" verifies without the DNS.
func OpenDKIM(t testing.TB, c Config) *Server {
	t.Helper()
	onlyExtra(t, "opendkim", c)
	return start(t, c, recipe{
		name: "opendkim",
		setup: func(s *Server) error {
			return s.write("opendkim.conf", fmt.Sprintf(opendkimConf, s.port, s.config.Extra), 0o644)
		},
		command: []string{"opendkim", "-f", "-x", "/srv/opendkim.conf"},
		greets:  negotiates,
	})
}

const opendkimConf = `Socket inet:%d@127.0.0.1
PidFile /srv/run/opendkim.pid
Syslog no
RequireSafeKeys no
%s
`

// Rspamd starts an rspamd with the rules and scores of its package, but only the
// module milter_headers, that listens as a milter at Server.Addr. c.Extra is UCL at
// the top level of its configuration. It has neither DNS nor Redis.
func Rspamd(t testing.TB, c Config) *Server {
	t.Helper()
	onlyExtra(t, "rspamd", c)
	return start(t, c, recipe{
		name:   "rspamd",
		mounts: []string{"run:/run/rspamd", "spool:/var/lib/rspamd", "log:/var/log/rspamd"},
		setup: func(s *Server) error {
			if err := s.write("suffixes", "com\nnet\norg\ntest\n", 0o644); err != nil {
				return err
			}
			return s.write("rspamd.conf", fmt.Sprintf(rspamdConf, s.port, s.config.Extra), 0o644)
		},
		command: []string{"rspamd", "--no-fork", "--insecure", "--config", "/srv/rspamd.conf"},
		greets:  negotiates,
	})
}

// Not the package's whole configuration: its modules would fetch maps from the
// world, and its table of public suffixes alone takes half a minute to compile.
const rspamdConf = `lua = "$RULESDIR/rspamd.lua"
.include "$CONFDIR/metrics.conf"
.include "$CONFDIR/actions.conf"
.include "$CONFDIR/groups.conf"
.include "$CONFDIR/composites.conf"
modules { path = "${PLUGINSDIR}/milter_headers.lua"; }
milter_headers {
  use = ["x-spam-status", "x-spamd-result"];
  skip_local = false;
  skip_authenticated = false;
}
lang_detection { languages = ["en"]; }
options {
  filters = "chartable,dkim,regexp";
  pidfile = "$RUNDIR/rspamd.pid";
  url_tld = "/srv/suffixes";
  disable_hyperscan = true;
  dns { nameserver = ["127.0.0.1"]; timeout = 0.1s; retransmits = 1; }
}
logging {
  type = "file";
  filename = "$LOGDIR/rspamd.log";
  level = "info";
}
worker "rspamd_proxy" {
  bind_socket = "127.0.0.1:%d";
  milter = yes;
  timeout = 60s;
  upstream "local" { default = yes; self_scan = yes; }
  count = 1;
  spam_header = "X-Spam";
  reject_message = "Spam message rejected";
}
%s
`

// onlyExtra ends the test if c asks for what a milter does not do.
func onlyExtra(t testing.TB, name string, c Config) {
	t.Helper()
	if len(c.Domains)+len(c.Users) > 0 || c.Discard || c.Relay != "" || c.Quota != "" || c.TLS {
		t.Fatalf("peers: %s is a milter and takes no mail", name)
	}
}

// negotiates reports whether a milter answers at the server's port.
func negotiates(s *Server) bool {
	c, err := net.DialTimeout("tcp", s.Addr, time.Second)
	if err != nil {
		return false
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(5 * time.Second))
	// SMFIC_OPTNEG: version 6, all actions and steps that it has.
	ask := binary.BigEndian.AppendUint32(nil, 13)
	ask = append(ask, 'O')
	for _, v := range []uint32{6, 0x1ff, 0x1fffff} {
		ask = binary.BigEndian.AppendUint32(ask, v)
	}
	c.Write(ask)
	var answer [5]byte
	_, err = io.ReadFull(c, answer[:])
	c.Write([]byte{0, 0, 0, 1, 'Q'})
	return err == nil && answer[4] == 'O'
}
