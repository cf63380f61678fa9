"""nullmailer, which hands all mail to a smarthost: here it is the smarthost that
refuses and defers, and that passes the bounces on. queuelifetime is seconds."""

import time

from farend import Host
from server import Server
import system
from troubles import Story, words

LIFE = 12
MAIL = 8  # the user to whom nullmailer-queue is set-user-ID
HUB, HUB_IP = "hub.author.test", "192.0.2.4"
SAID = {
    "kees@alder.test": ("unknown-user", "550 5.1.1 <kees@alder.test>: Recipient address rejected: User unknown", "user-unknown", "refused-at-once"),
    "lena@aspen.test": ("relay-denied", "554 5.7.1 <lena@aspen.test>: Relay access denied", "relay-denied", "refused-at-once"),
    "olaf@birch.test": ("mailbox-full-later", "452 4.2.2 <olaf@birch.test>: Mailbox is full", "mailbox-full", "deferred-until-expired"),
    "sven@plane.test": ("greylisted", "451 4.7.1 Greylisting in action, please come back later", "greylisted", "policy-deferred-until-expired"),
}


class System(system.System):
    id = package = "nullmailer"
    plays = warnings = ()
    expiry = ("queuelifetime", LIFE)
    # At the end it promises a further report, which never comes: the message lies
    # in spool/failed. It does not write such a letter at any other time.
    gone = "has not been delivered to one or more"

    def start(self):
        s = self.server = Server("nullmailer", mounts=("spool:/var/spool/nullmailer",))
        s.write("etc/mailname", system.OUT + "\n")
        for name, text in {"remotes": f"{HUB} smtp", "queuelifetime": str(LIFE), "pausetime": "1", "maxpause": "2", "sendtimeout": "5"}.items():
            s.write("etc/nullmailer/" + name, text + "\n")
        for d in ("", "/queue", "/tmp", "/failed"):
            s.folder("spool" + d, MAIL)
        s.start("sh", "-c", "mkfifo -m 666 /var/spool/nullmailer/trigger; touch /srv/run/up; exec nullmailer-send")

    def own(self, world):
        world.names.host(HUB, HUB_IP)
        self.hub = Host(HUB, HUB_IP, rcpt=lambda to: SAID[to][1] if to in SAID else "250 2.1.5 Ok")
        self.hub.listen()
        return [Story(name, [to], "The smarthost said at RCPT: " + said,
                      words(said) | {"kind": kind, "reason": reason, "contact": "reply", "how": "smtp", "refused": HUB, "ip": HUB_IP,
                                     "or_kind": ["policy-refusal"] if name == "relay-denied" else ["delayed"] if kind.endswith("expired") else []},
                      expires=kind.endswith("expired"), or_letter=["delay"] if kind.endswith("expired") else [])
                for to, (name, said, reason, kind) in SAID.items()]

    def ready(self):
        self.server.up()

    def submit(self, story, message):
        self.server.run("/usr/bin/nullmailer-inject", "-f", system.SENDER, *story.to, data=message.replace(b"\r\n", b"\n"))
        return time.time()

    def letters(self):
        return [(at, raw) for at, sender, raw in self.hub.kept if not sender]
