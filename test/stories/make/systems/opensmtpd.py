"""OpenSMTPD: a lifetime of seconds. Its retries and timeouts are compiled in and
are minutes, so that each message is tried once and then expires."""


from server import ACCOUNTS, Server
import system
from troubles import Story

LIFE, WARN = 12, 4


class System(system.System):
    id = "opensmtpd"
    package = "opensmtpd"
    manner = 2
    expiry = ("queue ttl", LIFE)
    # The report of an expiry says "delayed for more than 0 seconds" and "Action:
    # delayed", though the message is gone, and nothing of what was heard before:
    # all expiries read alike, and only some are kept.
    gone = "Envelope expired"
    also = ("no-reverse-name", "sender-refused")
    leaves = ("greeting-554", "greeting-421", "no-answer", "silent-greeting", "null-mx", "mx-nowhere", "tls-missing", "mixed-later")
    warnings = ("mailbox-full-later", "connection-refused", "no-route", "hangup", "greeting-421", "greeting-554", "rate", "null-mx", "mx-nowhere", "dns-fails",
                "tls-missing")
    differs = {name: {"untold": ["contact", "kind", "reason"], "or_kind": ["expired-cause-unknown"], "or_reason": ["expired"]}
               for name in ("mailbox-full-later", "greylisted", "connection-refused", "dns-fails")}
    # "Network error on destination MXs" is said of all of these.
    differs |= {name + "-warning": {"untold": ["contact", "reason"]}
                for name in ("connection-refused", "no-route")}
    differs |= {name + "-warning": {"untold": ["contact", "reason"], "or_reason": ["network"]}
                for name in ("greeting-421", "greeting-554", "tls-missing")}
    differs |= {
        "null-mx-warning": {"or_reason": ["host-unknown"]},
        "mx-nowhere-warning": {"or_reason": ["not-a-mail-host"]},  # it says "No MX found for domain"
        "too-large-declared": {"how": "itself", "code": "", "text": "", "status": ""},
        # It hands the message to itself until there are a hundred Received lines.
        "mx-is-self": {"code": "500", "status": "5.4.6", "headers": [f"Received: from hop{n}.author.test by hop{n + 1}.author.test; Tue, 3 Nov 2026 09:00:{n % 60:02} +0000"
                                                    for n in range(92, 0, -1)]},
    }

    def start(self):
        s = self.server = Server("opensmtpd", mounts=("spool:/var/spool/smtpd", "run:/run", "empty:/var/lib/opensmtpd/empty"))
        s.write("etc/smtpd.conf", CONF)
        s.write("aliases", 'program: "|exit 1"\n')
        queue = ACCOUNTS["opensmtpq"][0]
        s.folder("spool", mode=0o711)
        for d in ("corrupt", "incoming", "purge", "queue", "temporary"):
            s.folder("spool/" + d, queue, 0o700, 0)
        s.folder("spool/offline", 0, 0o770, queue)
        s.start("smtpd", "-d")

    def own(self, world):
        here = Story.here
        return [
            here("program-fails", "program@author.test", "An alias pipes the mail into a program that ends with status 1.", "delivery-program"),
            here("delivered", "team@author.test", "Sent with NOTIFY=SUCCESS to a local mailbox.", "delivered", "delivered"),
        ]

    def letters(self):
        return self.server.maildir("home/author/Maildir")


CONF = f"""queue ttl {LIFE}s
bounce warn-interval {WARN}s
table aliases file:/srv/aliases
listen on 192.0.2.1 hostname out.author.test
action "local" maildir "/srv/home/%{{user.username}}/Maildir" alias <aliases>
action "tls" relay tls helo out.author.test
action "out" relay helo out.author.test
match from any for domain {{ author.test, out.author.test }} action "local"
match from any for domain ash.test action "tls"
match from any for any action "out"
"""
