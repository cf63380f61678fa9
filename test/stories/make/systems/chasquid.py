"""chasquid, as a forwarder on the receiver's side: it relays only for users that
log in, but its aliases lead to other hosts. Its lifetime of 20 hours is compiled
in, so that only what ends at once can be had."""

import smtplib
import subprocess
import time

from server import ACCOUNTS, Server
import system


class System(system.Desk):
    id = package = "chasquid"
    host = "fwd.boxes.test"
    manner = 5
    plays = ("unknown-user", "relay-denied", "mailbox-full", "too-large-said", "dmarc", "virus")
    warnings = ()

    def own(self, world):
        self.stories = [world.stories[n] for n in self.plays]
        for t in self.stories:
            t.each = {to: {"original": self.alias(to)} for to in t.to}
            t.made = f"Sent to an alias at {self.host}, a forwarder. " + t.made
        return []

    def start(self):
        s = self.server = Server("chasquid", mounts=("spool:/var/lib/chasquid",), hostname=self.host)
        s.write("etc/chasquid/chasquid.conf", CONF)
        s.folder("etc/chasquid/certs/fwd.boxes.test")
        subprocess.run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=fwd.boxes.test", "-days", "30",
                        "-keyout", s.path("etc/chasquid/certs/fwd.boxes.test/privkey.pem"),
                        "-out", s.path("etc/chasquid/certs/fwd.boxes.test/fullchain.pem")], check=True, capture_output=True)
        aliases = [f"{to.partition('@')[0]}: {to}\n" for t in self.stories for to in t.to]
        s.write("etc/chasquid/domains/boxes.test/aliases", "".join(aliases))
        s.folder("etc/chasquid/domains")
        self.listen()
        s.start("chasquid")

    def alias(self, to):
        return to.partition("@")[0] + "@boxes.test"

    def submit(self, story, message):
        for to in story.to:
            message = message.replace(to.encode(), self.alias(to).encode())
        with smtplib.SMTP(system.OUT_IP, 25, system.DESK, source_address=(system.DESK_IP, 0), timeout=30) as c:
            c.sendmail(system.SENDER, [self.alias(to) for to in story.to], message)
            return time.time()


CONF = """hostname: "fwd.boxes.test"
smtp_address: "192.0.2.1:25"
submission_address: "192.0.2.1:587"
data_dir: "/var/lib/chasquid"
mail_log_path: "/srv/log/mail"
"""
