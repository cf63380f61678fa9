package peers

import (
	"fmt"
	"strings"
	"testing"
)

// Exim starts an Exim that delivers mail for c.Domains into a maildir and hands
// all other mail from this machine to c.Relay. It retries after seconds.
func Exim(t testing.TB, c Config) *Server {
	t.Helper()
	return start(t, c, recipe{
		name:    "exim",
		setup:   setupExim,
		command: []string{"exim4", "-bdf", "-q1s"},
		list:    []string{"exim4", "-bp"},
		parse:   parseEximQueue,
		flush:   []string{"exim4", "-qff"},
	})
}

func setupExim(s *Server) error {
	tls, out, relay := "tls_advertise_hosts =", "", "false"
	if s.config.TLS {
		tls = "tls_advertise_hosts = *\ntls_certificate = /srv/tls/cert.pem\ntls_privatekey = /srv/tls/key.pem"
	}
	if s.config.Relay != "" {
		host, port, _ := strings.Cut(s.config.Relay, ":")
		relay = "true"
		out = fmt.Sprintf(eximRelay, host, port)
	}
	deliver := "driver = accept\n  transport = maildir"
	if s.config.Discard {
		deliver = "driver = redirect\n  data = :blackhole:"
	}
	conf := fmt.Sprintf(eximConf, s.Hostname, s.port, strings.Join(s.config.Domains, " : "),
		tls, s.config.Extra, relay, deliver, out, vmail.id)
	if err := s.write("etc/exim4/exim4.conf", conf, 0o644); err != nil {
		return err
	}
	if err := s.write("mailboxes", s.mailboxes("%s: yes\n"), 0o644); err != nil {
		return err
	}
	return s.owned(eximID.id, "spool", "log", "run")
}

const eximConf = `primary_hostname = %[1]s
daemon_smtp_ports = %[2]d
local_interfaces = 127.0.0.1
domainlist ours = %[3]s
spool_directory = /srv/spool
log_file_path = /srv/log/%%slog
pid_file_path = /srv/run/exim.pid
host_lookup =
rfc1413_hosts =
keep_environment =
queue_run_max = 1
acl_smtp_rcpt = rcpt
acl_smtp_data = accept
%[4]s
%[5]s
begin acl
rcpt:
  deny
    domains = +ours
    !verify = recipient
    message = 5.1.1 Unknown user
  accept
    domains = +ours
  accept
    condition = %[6]s
  deny
    message = 5.7.1 Relay not permitted
begin routers
ours:
  domains = +ours
  condition = ${lookup{$local_part@$domain}nwildlsearch{/srv/mailboxes}{yes}{no}}
  %[7]s
  no_more
%[8]s
begin transports
maildir:
  driver = appendfile
  directory = /srv/mail
  maildir_format
  user = %[9]d
  group = %[9]d
  delivery_date_add
  envelope_to_add
  return_path_add
smtp:
  driver = smtp
  allow_localhost
  hosts_try_dane =
  connect_timeout = 5s
begin retry
* * F,1h,1s
`

const eximRelay = `out:
  driver = manualroute
  domains = ! +ours
  transport = smtp
  route_list = * %s::%s
  self = send
  same_domain_copy_routing = yes
`

// parseEximQueue reads blocks like
//
//	0m   500 1tEx7s-0000Ab-1C <a@b.test>
//	        D done@c.test
//	          waits@c.test
func parseEximQueue(out []byte) []Entry {
	var all []Entry
	for line := range strings.Lines(string(out)) {
		f := strings.Fields(line)
		switch {
		case len(f) >= 4 && strings.HasPrefix(f[3], "<"):
			all = append(all, Entry{ID: f[2], From: strings.Trim(f[3], "<>")})
		case len(f) == 1 && len(all) > 0:
			e := &all[len(all)-1]
			e.To = append(e.To, f[0])
		}
	}
	return all
}
