package peers

import (
	"fmt"
	"strings"
	"testing"
)

// DovecotLMTP starts a Dovecot that takes mail by LMTP at Server.Addr and at
// Server.Socket and delivers it into a maildir for each address.
func DovecotLMTP(t testing.TB, c Config) *Server {
	t.Helper()
	if c.Discard || c.Relay != "" || len(c.Domains) > 0 {
		t.Fatal("peers: dovecot neither discards nor relays, and takes every domain")
	}
	s := start(t, c, recipe{
		name:    "dovecot",
		setup:   setupDovecot,
		command: []string{"dovecot", "-F", "-c", "/srv/dovecot.conf"},
	})
	s.Socket = s.path("run", "lmtp")
	return s
}

func setupDovecot(s *Server) error {
	tls, quota := "ssl = no", ""
	users := fmt.Sprintf("static\n  args = allow_all_users=yes uid=%d gid=%[1]d home=/srv/mail/%%u", vmail.id)
	if s.config.TLS {
		tls = "ssl = yes\nssl_cert = </srv/tls/cert.pem\nssl_key = </srv/tls/key.pem"
	}
	if s.config.Quota != "" {
		quota = fmt.Sprintf(dovecotQuota, s.config.Quota)
	}
	if len(s.config.Users) > 0 {
		users = "passwd-file\n  args = username_format=%u /srv/mailboxes"
	}
	conf := fmt.Sprintf(dovecotConf, s.port, s.Hostname, tls, users, vmail.id, quota, s.config.Extra)
	if err := s.write("dovecot.conf", conf, 0o644); err != nil {
		return err
	}
	var b strings.Builder
	for _, u := range s.config.Users {
		u = strings.ToLower(u)
		fmt.Fprintf(&b, "%s::%d:%d::/srv/mail/%[1]s::\n", u, vmail.id, vmail.id)
	}
	return s.write("mailboxes", b.String(), 0o644)
}

const dovecotConf = `protocols = lmtp
base_dir = /srv/run
state_dir = /srv/spool
log_path = /srv/log/dovecot.log
listen = 127.0.0.1
hostname = %[2]s
postmaster_address = postmaster@%[2]s
%[3]s
service lmtp {
  unix_listener lmtp {
    mode = 0666
  }
  inet_listener lmtp {
    address = 127.0.0.1
    port = %[1]d
  }
}
# It will not start without one, though LMTP asks for no password.
passdb {
  driver = static
  args = nopassword=yes
}
userdb {
  driver = %[4]s
}
auth_username_format = %%Lu
mail_location = maildir:~
first_valid_uid = %[5]d
lda_mailbox_autocreate = yes
%[6]s
%[7]s
`

// The grace is 10 % of the quota unless it is set.
const dovecotQuota = `mail_plugins = quota
plugin {
  quota = count:User quota
  quota_vsizes = yes
  quota_grace = 0
  quota_rule = *:storage=%s
}
`
