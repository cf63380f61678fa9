"""Postfix: a lifetime of seconds, the queue run every second."""

import time

from farend import Host
from server import ACCOUNTS, Server
import system
from troubles import Story, words

LIFE, WARN = 12, 4


class System(system.System):
    id = "postfix"
    package = "postfix"
    manner = 0
    transport = ""  # more lines of the map
    expiry = ("maximal_queue_lifetime", LIFE)
    also = ("mailbox-disabled", "user-moved", "blocklist-later", "no-reverse-name", "sender-refused", "virus", "tls-demanded", "login-demanded", "far-trouble",
            "not-taking-mail", "rate", "system-full", "no-route", "silent-dot", "hangup", "hangup-greeting", "two-mx")
    needs = ("dovecot",)
    # A 5yz greeting is only a reason to try the next host (smtp_skip_5xx_greeting).
    differs = {
        "not-taking-mail": {"kind": "deferred-until-expired", "or_kind": ["refused-at-once", "dns/misrouted-until-expired"], "expires": True},
        "greeting-554": {"or_kind": ["policy-deferred-until-expired"], "expires": True},
        "too-large-declared": {"how": "itself", "code": "", "text": "", "status": ""},
    }

    def start(self):
        self.boxes = dovecot()
        self.server = serve(system.OUT, system.OUT_IP, OUT, {"aliases": ALIASES, "tls": "ash.test encrypt\n",
            "transport": "boxes.test lmtp:inet:[192.0.2.7]:24\nvine.test smtp:[hub.author.test]\n" + self.transport})

    def own(self, world):
        names = world.names
        names.mx("smart.test", "mx.smart.test")
        Host("hub.author.test", "192.0.2.4", rcpt="550 5.7.1 <olga@vine.test>: Relay access denied").listen()
        names.host("hub.author.test", "192.0.2.4")
        seen = []
        Host("mx.peach.test", "192.0.2.210", rcpt=lambda to: later(seen, 7)).listen()
        names.mx("peach.test", "mx.peach.test")
        names.host("mx.peach.test", "192.0.2.210")
        utf8 = ("PIPELINING", "8BITMIME", "SMTPUTF8", "ENHANCEDSTATUSCODES")
        unknown = "550 5.1.1 <jürgen@pflaume.test>: Recipient address rejected: User unknown"
        Host("mx.pflaume.test", "192.0.2.211", offers=utf8, rcpt=unknown).listen()
        names.mx("pflaume.test", "mx.pflaume.test")
        names.host("mx.pflaume.test", "192.0.2.211")
        here = Story.here
        return [
            here("program-fails", "program@author.test", "An alias pipes the mail into a program that ends with status 1.", "delivery-program"),
            here("program-busy", "busy@author.test", "An alias pipes the mail into a program that ends with status 75, time after time.",
                 "delivery-program", "deferred-until-expired"),
            here("unknown-here", "ghost@author.test", "The system itself has no such user; local_recipient_maps is empty, so that it learns that only when it delivers.", "user-unknown"),
            here("circle", "team@author.test", "The message already has a Delivered-To with its recipient, as if it had gone round in a circle.", "loop", "loop",
                 headers=("Delivered-To: team@author.test",)),
            here("delivered", "team@author.test", "Sent with NOTIFY=SUCCESS to a local mailbox.", "delivered", "delivered"),
            here("expanded", "both@author.test", "Sent with NOTIFY=SUCCESS to an alias for two mailboxes.", "delivered", "expanded", or_letter=["relayed"]),
            Story("quota", ["full@boxes.test"], "The mailbox is at a Dovecot behind LMTP and has a quota of 1 kB, the message is larger.",
                  {"kind": "refused-at-once", "reason": "mailbox-full", "contact": "reply", "how": "smtp", "refused": "boxes.author.test", "ip": "192.0.2.7",
                   "code": "552", "status": "5.2.2"}, size=4000),
            Story("smarthost-refuses", ["olga@vine.test"], "transport_maps sends the domain to a smarthost of the sender's own side, which refuses to relay.",
                  {"kind": "refused-at-once", "or_kind": ["policy-refusal"], "reason": "relay-denied", "contact": "reply", "how": "smtp",
                   "refused": "hub.author.test", "ip": "192.0.2.4", **words("550 5.7.1 <olga@vine.test>: Relay access denied")}),
            Story("delay-cleared", ["jo@peach.test"], "The far end defers for seven seconds, then takes the message; confirm_delay_cleared is on.",
                  {"kind": "relayed", "or_kind": ["delivered"], "reason": "delivered", "contact": "reply", "how": "accepted"}, letter="relayed"),
            Story("utf8-not-offered", ["jürgen@alder.test"], "A UTF-8 address, and the far end does not offer SMTPUTF8.",
                  {"kind": "refused-at-once", "reason": "syntax", "or_reason": ["content"], "contact": "reply", "how": "itself"}, options=("SMTPUTF8",)),
            Story("utf8-unknown-user", ["jürgen@pflaume.test"], "A UTF-8 address; at RCPT the far end said: " + unknown,
                  {"kind": "refused-at-once", "reason": "user-unknown", "contact": "reply", "how": "smtp", "refused": "mx.pflaume.test", "ip": "192.0.2.211",
                   **words(unknown)}, options=("SMTPUTF8",)),
        ]

    def stop(self):
        self.boxes.remove()
        super().stop()

    def letters(self):
        return self.server.maildir("home/author/Maildir")


def serve(name, ip, config, files):
    """Start a Postfix."""
    s = Server("postfix", hostname=name)
    s.write("etc/postfix/main.cf", MAIN.format(name=name, ip=ip) + config)
    s.write("etc/postfix/master.cf", MASTER.format(ip=ip))
    for file, text in files.items():
        s.write(file, text)
    mine = ACCOUNTS["postfix"][0]
    s.folder("lib", mine)
    s.folder("log", mine)
    for d in "active bounce corrupt defer deferred flush hold incoming maildrop private public saved trace".split():
        s.folder("spool/" + d, mine)
    s.folder("spool/pid")
    s.start("/usr/lib/postfix/sbin/master", "-s")
    return s


MAIN = f"""compatibility_level = 3.7
queue_directory = /srv/spool
data_directory = /srv/lib
command_directory = /usr/sbin
daemon_directory = /usr/lib/postfix/sbin
mail_owner = postfix
setgid_group = postdrop
maillog_file = /srv/log/maillog
maillog_file_prefixes = /srv
myhostname = {{name}}
inet_interfaces = {{ip}}
inet_protocols = ipv4
mynetworks = 192.0.2.0/24
smtpd_relay_restrictions = permit_mynetworks, reject
local_recipient_maps =
alias_database =
in_flow_delay = 0
queue_run_delay = 1s
minimal_backoff_time = 1s
maximal_backoff_time = 2s
maximal_queue_lifetime = {LIFE}s
bounce_queue_lifetime = {LIFE}s
smtp_connect_timeout = 2s
smtp_helo_timeout = 2s
smtp_data_done_timeout = 2s
"""

# The author's own host has mailboxes, and warns.
OUT = f"""mydestination = author.test, out.author.test
alias_maps = texthash:/srv/aliases
home_mailbox = Maildir/
transport_maps = texthash:/srv/transport
smtp_tls_policy_maps = texthash:/srv/tls
smtp_tls_security_level = may
delay_warning_time = {WARN}s
confirm_delay_cleared = yes
"""

ALIASES = """program "|exit 1"
busy "|exit 75"
both team, clerk
"""

MASTER = """{ip}:25 inet n - n - - smtpd
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
"""


def later(seen, seconds):
    """The reply of a host that defers for so long after it was first asked."""
    seen.append(time.time())
    return "250 2.1.5 Ok" if seen[-1] > seen[0] + seconds else "451 4.3.0 Try again later"


def dovecot():
    """A Dovecot with one mailbox, which is small, behind LMTP."""
    d = Server("dovecot")
    d.write("dovecot.conf", DOVECOT)
    d.write("users", "full@boxes.test::7101:7101::/srv/home/team::\n")
    d.start("dovecot", "-F", "-c", "/srv/dovecot.conf")
    return d


DOVECOT = """protocols = lmtp
base_dir = /srv/run
state_dir = /srv/spool
log_path = /srv/log/dovecot.log
listen = 192.0.2.7
hostname = boxes.author.test
postmaster_address = postmaster@boxes.author.test
ssl = no
service lmtp {
  inet_listener lmtp {
    address = 192.0.2.7
    port = 24
  }
}
passdb {
  driver = static
  args = nopassword=yes
}
userdb {
  driver = passwd-file
  args = username_format=%u /srv/users
}
mail_location = maildir:~/Maildir
first_valid_uid = 7000
mail_plugins = quota
plugin {
  quota = count:User quota
  quota_vsizes = yes
  quota_grace = 0
  quota_rule = *:storage=1k
}
"""
