package peers

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
)

// Postfix starts a Postfix that delivers mail for c.Domains into maildirs and
// hands all other mail from this machine to c.Relay. It retries after seconds.
func Postfix(t testing.TB, c Config) *Server {
	t.Helper()
	return start(t, c, recipe{
		name:    "postfix",
		setup:   setupPostfix,
		command: []string{"/usr/lib/postfix/sbin/master", "-s"}, // what "postfix start-fg" comes to after its checks
		list:    []string{"postqueue", "-j"},
		parse:   parsePostqueue,
		flush:   []string{"postqueue", "-f"},
	})
}

func setupPostfix(s *Server) error {
	var b strings.Builder
	fmt.Fprintf(&b, `compatibility_level = 3.7
queue_directory = /srv/spool
data_directory = /srv/lib
command_directory = /usr/sbin
daemon_directory = /usr/lib/postfix/sbin
mail_owner = postfix
setgid_group = postdrop
maillog_file = /srv/log/maillog
maillog_file_prefixes = /srv
myhostname = %s
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
mynetworks = 127.0.0.0/8
mydestination =
local_recipient_maps =
alias_maps =
alias_database =
enable_long_queue_ids = yes
in_flow_delay = 0
smtpd_peername_lookup = no
smtp_dns_support_level = disabled
smtp_host_lookup = native
# A test has no time: what was deferred is tried again after one or two seconds.
# Not after one: what rests for a second is due to the walk at once, which may come
# while the client still holds the file, and then lets it lie for 60 seconds.
queue_run_delay = 1s
minimal_backoff_time = 2s
maximal_backoff_time = 2s
smtp_connect_timeout = 5s
`, s.Hostname)
	if s.config.Relay == "" {
		b.WriteString("smtpd_relay_restrictions = reject_unauth_destination\n")
	} else {
		host, port, _ := strings.Cut(s.config.Relay, ":")
		fmt.Fprintf(&b, "smtpd_relay_restrictions = permit_mynetworks, reject\nrelayhost = [%s]:%s\n", host, port)
	}
	if s.serves() {
		fmt.Fprintf(&b, `virtual_mailbox_domains = %s
virtual_mailbox_base = /srv
virtual_mailbox_maps = texthash:/srv/mailboxes
virtual_uid_maps = static:%d
virtual_gid_maps = static:%[2]d
`, strings.Join(s.config.Domains, " "), vmail.id)
	}
	if s.config.Discard {
		b.WriteString("virtual_transport = discard\n")
	}
	if s.config.TLS {
		// "may" towards the next hop too, without looking at its name: an MTA's habit.
		b.WriteString(`smtpd_tls_security_level = may
smtpd_tls_cert_file = /srv/tls/cert.pem
smtpd_tls_key_file = /srv/tls/key.pem
smtp_tls_security_level = may
smtpd_tls_loglevel = 1
smtp_tls_loglevel = 1
`)
	}
	b.WriteString(s.config.Extra + "\n")
	if err := s.write("etc/postfix/main.cf", b.String(), 0o644); err != nil {
		return err
	}
	master := fmt.Sprintf(postfixMaster, s.Addr)
	if err := s.write("etc/postfix/master.cf", master, 0o644); err != nil {
		return err
	}
	if err := s.write("mailboxes", s.mailboxes("%s mail/\n"), 0o644); err != nil {
		return err
	}
	return s.postfixQueue()
}

// postfixQueue makes the folders as "postfix check" would (postfix-files).
func (s *Server) postfixQueue() error {
	queue := []string{"lib", "log"}
	for _, d := range []string{"active", "bounce", "corrupt", "defer", "deferred", "flush", "hold",
		"incoming", "maildrop", "private", "public", "saved", "trace"} {
		queue = append(queue, "spool/"+d)
	}
	if err := s.owned(postfixID.id, queue...); err != nil {
		return err
	}
	return s.owned(0, "spool/pid")
}

// No service is chrooted, as nothing was installed into the queue's folder.
const postfixMaster = `%s inet n - n - - smtpd
pickup    unix  n - n 60 1 pickup
cleanup   unix  n - n - 0 cleanup
qmgr      unix  n - n 300 1 qmgr
tlsmgr    unix  - - n 1000? 1 tlsmgr
rewrite   unix  - - n - - trivial-rewrite
bounce    unix  - - n - 0 bounce
defer     unix  - - n - 0 bounce
trace     unix  - - n - 0 bounce
verify    unix  - - n - 1 verify
flush     unix  n - n 1000? 0 flush
proxymap  unix  - - n - - proxymap
smtp      unix  - - n - - smtp
relay     unix  - - n - - smtp
showq     unix  n - n - - showq
error     unix  - - n - - error
retry     unix  - - n - - error
discard   unix  - - n - - discard
local     unix  - n n - - local
virtual   unix  - n n - - virtual
lmtp      unix  - - n - - lmtp
anvil     unix  - - n - 1 anvil
scache    unix  - - n - 1 scache
postlog   unix-dgram n - n - 1 postlogd
`

// parsePostqueue reads one JSON object a line.
func parsePostqueue(out []byte) []Entry {
	var all []Entry
	for dec := json.NewDecoder(strings.NewReader(string(out))); ; {
		var m struct {
			ID   string `json:"queue_id"`
			From string `json:"sender"`
			To   []struct {
				Address string `json:"address"`
				Why     string `json:"delay_reason"`
			} `json:"recipients"`
		}
		if dec.Decode(&m) != nil {
			return all
		}
		e := Entry{ID: m.ID, From: m.From}
		if m.From == "MAILER-DAEMON" { // its name for the null path
			e.From = ""
		}
		for _, r := range m.To {
			e.To = append(e.To, r.Address)
			if e.Why == "" {
				e.Why = r.Why
			}
		}
		all = append(all, e)
	}
}
