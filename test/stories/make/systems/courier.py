"""Courier: queuetime of seconds."""

import shutil

from server import ACCOUNTS, Server
import system

LIFE, WARN = 14, 5


class System(system.Desk):
    id = "courier"
    package = "courier"
    manner = 3
    plays = ("unknown-user", "mailbox-full", "mailbox-full-later", "dmarc", "spam", "greylisted", "connection-refused", "no-answer", "silent-greeting", "greeting-554",
             "no-domain", "null-mx", "mx-nowhere", "dns-fails", "mx-is-self", "mixed", "relayed")
    differs = {
        "mixed": {"told": 3, "expires": True, "made": "One transaction with four recipients, of which two were refused, one deferred and one taken. "
                  "Courier tells of the three in one letter when the last of them has expired."},
        "null-mx": {"or_reason": ["host-unknown"]},  # it says "No such domain."
        "silent-greeting": {"untold": ["contact", "kind", "reason"], "or_kind": ["expired-cause-unknown", "deferred-until-expired"], "or_reason": ["expired", "unknown"]},
    }
    expiry = ("queuetime", LIFE)

    def start(self):
        s = self.server = Server("courier", mounts=("spool:/var/lib/courier", "run:/run", "courier:/etc/courier"))
        me = ACCOUNTS["courier"][0]
        shutil.copytree(s.tree / "etc/courier", s.path("courier"))
        for name, text in CONF.items():
            s.write("courier/" + name, text + "\n")
        s.folder("run/courier", me)
        s.folder("spool", me)
        for d in ("tmp", "msgq", "msgs", "track", "filters", "allfilters"):
            s.folder("spool/" + d, me, 0o770)
        self.listen()
        s.start("sh", "-c", START)


CONF = {
    "me": "out.author.test", "defaultdomain": "author.test", "locals": "localhost",
    "aliases/system": "postmaster: author@author.test",
    "queuetime": f"{LIFE}s", "warntime": f"{WARN}s", "retryalpha": "1s", "retrybeta": "2", "retrygamma": "1s", "retrymaxdelta": "0",
    "esmtptimeout": "2s", "esmtptimeouthelo": "2s", "esmtptimeoutdata": "2s", "esmtptimeoutconnect": "2s", "esmtpdelay": "1s",
    "esmtptimeoutkeepalive": "1s", "esmtphelo": "out.author.test", "esmtptimeoutquit": "2s", "respawnlo": "1h",
}

START = """set -e
export BOFHCHECKDNS=0 TARPIT=0 RELAYCLIENT=
makealiases
/usr/lib/courier/courier/courierd &
exec couriertcpd -noidentlookup -user=courier -group=courier -address=192.0.2.1 \
	-maxprocs=40 -maxperc=40 -maxperip=40 25 /usr/sbin/courieresmtpd
"""
