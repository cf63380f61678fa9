"""sendmail: Timeout.queuereturn of seconds, the queue run every second."""

from farend import OFFERS, Host
from server import ACCOUNTS, Server
import system
from troubles import Story, words

LIFE, WARN = 12, 4


class System(system.System):
    id = "sendmail"
    package = "sendmail"
    manner = 2
    also = ("user-moved", "bad-syntax", "blocklist-later", "not-compliant", "login-demanded", "far-loop", "rate", "system-full", "no-route", "silent-dot", "hangup",
            "hangup-greeting", "two-mx")
    expiry = ("Timeout.queuereturn", LIFE)
    # What it meets itself it writes like the reply of a host.
    differs = {"no-domain": {"or_code": ["550"]}, "mx-nowhere": {"or_code": ["550"]}, "null-mx": {"or_code": ["556"]}, "unknown-here": {"or_code": ["550"]},
               "deliver-by-not-offered": {"or_code": ["554"]}, "program-fails": {"or_status": ["5.3.0"]}}

    def start(self):
        self.server = serve(system.OUT, system.OUT_IP, "author.test")

    def own(self, world):
        full = "452 4.2.2 <uta@lemon.test>... Over quota, try again later"
        Host("mx.lemon.test", "192.0.2.213", offers=(*OFFERS, "DELIVERBY"), rcpt=full).listen()
        world.names.mx("lemon.test", "mx.lemon.test")
        world.names.host("mx.lemon.test", "192.0.2.213")
        here = Story.here
        return [
            here("program-fails", "program@author.test", "An alias pipes the mail into a program that ends with status 1.", "delivery-program"),
            here("unknown-here", "ghost@author.test", "The local mailer says that there is no such user (status 67).", "user-unknown"),
            here("delivered", "team@author.test", "Sent with NOTIFY=SUCCESS to a local mailbox.", "delivered", "delivered"),
            here("expanded", "both@author.test", "Sent with NOTIFY=SUCCESS to an alias for two mailboxes.", "delivered", "expanded", or_letter=["relayed"]),
            Story("deliver-by", ["uta@lemon.test"], "Sent with BY=3;R (RFC 2852) to a far end that offers DELIVERBY and defers: " + full,
                  words(full) | {"kind": "deliver-by-expired", "reason": "mailbox-full", "or_reason": ["expired"], "contact": "reply", "how": "smtp",
                                 "refused": "mx.lemon.test", "ip": "192.0.2.213", "untold": ["contact", "reason"]}, options=("BY=3;R",), expires=True, clock=("BY", 3)),
            Story("deliver-by-not-offered", ["ute@alder.test"], "Sent with BY=60;R (RFC 2852) to a far end that does not offer DELIVERBY.",
                  {"kind": "refused-at-once", "or_kind": ["deliver-by-expired"], "reason": "expired", "or_reason": ["policy", "unknown", "system"],
                   "contact": "reply", "how": "itself"}, options=("BY=60;R",)),
        ]

    def letters(self):
        return self.server.maildir("home/author/Maildir")


def serve(name, ip, domain):
    """Start a sendmail that delivers the mail of a domain."""
    s = Server("sendmail", hostname=name)
    s.write("sendmail.mc", MC % {"name": name, "ip": ip, "domain": domain})
    s.write("aliases", ALIASES)
    s.write("access", "Connect:192.0.2 RELAY\nTLS_Rcpt:ash.test ENCR:112\n")
    s.write("deliver", DELIVER, 0o755)
    s.folder("spool", ACCOUNTS["smmta"][0], 0o700)
    s.start("sh", "-c", START)
    return s


MC = f"""divert(0)dnl
include(`/usr/share/sendmail/cf/m4/cf.m4')dnl
OSTYPE(`debian')dnl
define(`confDOMAIN_NAME', `%(name)s')dnl
define(`confDONT_PROBE_INTERFACES', `True')dnl
define(`QUEUE_DIR', `/srv/spool')dnl
define(`ALIAS_FILE', `/srv/aliases')dnl
define(`STATUS_FILE', `/srv/run/statistics')dnl
define(`HELP_FILE', `')dnl
define(`confPID_FILE', `/srv/run/sendmail.pid')dnl
define(`confTRUSTED_USER', `smmta')dnl
define(`confTO_QUEUERETURN', `{LIFE}s')dnl
define(`confTO_QUEUEWARN', `{WARN}s')dnl
define(`confTO_ICONNECT', `2s')dnl
define(`confTO_CONNECT', `2s')dnl
define(`confTO_INITIAL', `2s')dnl
define(`confTO_DATAFINAL', `2s')dnl
define(`confTO_IDENT', `0')dnl
define(`confQUEUE_LA', `100')dnl
define(`confREFUSE_LA', `100')dnl
define(`confMAX_RUNNERS_PER_QUEUE', `10')dnl
define(`LOCAL_MAILER_PATH', `/srv/deliver')dnl
define(`LOCAL_MAILER_ARGS', `deliver $u')dnl
define(`LOCAL_MAILER_FLAGS', `PSn')dnl
MODIFY_MAILER_FLAGS(`LOCAL', `-w')dnl
FEATURE(`access_db', `hash -T<TMPF> /srv/access')dnl
FEATURE(`no_default_msa')dnl
DAEMON_OPTIONS(`Name=MTA, Addr=%(ip)s, Port=smtp')dnl
CLIENT_OPTIONS(`Family=inet, Addr=%(ip)s')dnl
LOCAL_DOMAIN(`%(domain)s')dnl
MAILER(`local')dnl
MAILER(`smtp')dnl
"""

ALIASES = """MAILER-DAEMON: postmaster
postmaster: team
program: "|/bin/false"
both: team, clerk
"""

# The local mailer: a maildir, as the other systems fill one themselves.
DELIVER = """#!/bin/sh
[ -d /srv/home/$1 ] || exit 67
box=/srv/home/$1/Maildir
mkdir -p $box/tmp $box/new
cat >$box/tmp/$$ && mv $box/tmp/$$ $box/new/$(date +%s.%N).$$
"""

START = """set -e
bin=/usr/libexec/sendmail
m4 /srv/sendmail.mc >/srv/sendmail.cf
$bin/makemap -C /srv/sendmail.cf hash /srv/access </srv/access
$bin/sendmail -C /srv/sendmail.cf -bi
exec $bin/sendmail -C /srv/sendmail.cf -bD -q1s -X /srv/log/talk
"""
