"""Exim: one retry rule of seconds, a queue runner every second."""

from server import ACCOUNTS, Server
import system
from troubles import Story

LIFE, WARN = 12, 4

# At the end Exim does not tell what it never had an answer to.
SILENT = {"untold": ["contact", "kind", "reason"], "or_reason": ["expired"], "or_kind": ["expired-cause-unknown"]}


class System(system.System):
    id = "exim"
    package = "exim"
    manner = 1
    expiry = ("retry", LIFE)
    also = ("mailbox-disabled", "no-reverse-name", "sender-refused", "virus", "not-compliant", "not-taking-mail", "rate", "far-trouble-later", "two-mx")
    differs = {name: SILENT for name in ("connection-refused", "no-answer", "silent-greeting", "dns-fails", "tls-missing")}
    differs |= {
        "connection-refused-warning": {"untold": ["contact", "reason"]},
        # It handed the message on, and says "delivered" in the report's fields.
        "relayed": {"or_kind": ["delivered"]},
        "no-domain": {"or_reason": ["user-unknown"]},  # it says "Unrouteable address" of both
    }

    def start(self):
        s = self.server = Server("exim")
        s.write("etc/exim4/exim4.conf", CONF)
        s.write("aliases", ALIASES)
        for d in ("spool", "log", "run"):
            s.folder(d, ACCOUNTS["Debian-exim"][0])
        s.start("exim4", "-bdf", "-q1s")

    def own(self, world):
        world.names.mx("lilac.test", "mx.lilac.test")
        world.names.host("mx.lilac.test", "192.0.2.212")
        dead = {"reason": "network", "contact": "none", "how": "tcp refused", "refused": "mx.lilac.test", "ip": "192.0.2.212"}
        here = Story.here
        return [
            here("program-fails", "program@author.test", "An alias pipes the mail into a program that complains and ends with status 1.", "delivery-program"),
            here("quota", "clerk@author.test", "The transport has a quota of 1 kB for this mailbox; the message is larger, time after time.",
                 "mailbox-full", "deferred-until-expired", size=4000),
            here("unknown-here", "ghost@author.test", "The system itself has no such user, and learns that only when it delivers.", "user-unknown",
                 truth={"or_reason": ["host-unknown"]}),
            here("delivered", "team@author.test", "Sent with NOTIFY=SUCCESS to a local mailbox.", "delivered", "delivered"),
            Story("dead-host", ["ken@lilac.test"], "Nothing listens at the MX; the retry rule F,2s,8s makes the second attempt the last.",
                  dead | {"kind": "unreachable-until-expired"} | SILENT, expires=True, clock=("retry", 2)),
            Story("not-tried", ["kim@lilac.test"], "Sent right after the bounce of dead-host: the host has failed for longer than the retry rule allows, "
                  "and its next attempt is not due yet.", dead | {"kind": "expired-without-try", "how": "not tried", "untold": ["contact", "reason"], "or_reason": ["expired"]},
                  after="dead-host", expires=True, clock=("retry", 2)),
        ]

    def letters(self):
        return self.server.maildir("home/author/Maildir")


CONF = f"""primary_hostname = out.author.test
domainlist ours = author.test : out.author.test
daemon_smtp_ports = 25
local_interfaces = 192.0.2.1
disable_ipv6
spool_directory = /srv/spool
log_file_path = /srv/log/%slog
pid_file_path = /srv/run/exim.pid
rfc1413_hosts =
keep_environment =
queue_run_max = 4
host_lookup = *
dsn_advertise_hosts = *
tls_advertise_hosts =
smtputf8_advertise_hosts =
delay_warning = {WARN}s
acl_smtp_rcpt = accept
begin routers
remote:
  driver = dnslookup
  domains = ! +ours
  transport = smtp
  ignore_target_hosts = 0.0.0.0 : 127.0.0.0/8
  self = fail
  no_more
aliases:
  driver = redirect
  data = ${{lookup{{$local_part}}lsearch{{/srv/aliases}}}}
  allow_fail
  allow_defer
  pipe_transport = pipe
  user = author
local:
  driver = accept
  check_local_user
  transport = maildir
begin transports
maildir:
  driver = appendfile
  directory = $home/Maildir
  maildir_format
  delivery_date_add
  envelope_to_add
  return_path_add
  quota = ${{if eq{{$local_part}}{{clerk}}{{1K}}{{0}}}}
pipe:
  driver = pipe
  return_output
smtp:
  driver = smtp
  hosts_try_dane =
  hosts_require_tls = ${{if eq{{$domain}}{{ash.test}}{{*}}{{}}}}
  connect_timeout = 2s
  command_timeout = 2s
  final_timeout = 2s
begin retry
lilac.test * F,2s,8s
* * F,{LIFE}s,1s
"""

ALIASES = """program: "|/bin/sh -c 'echo cannot file it; exit 1'"
"""
