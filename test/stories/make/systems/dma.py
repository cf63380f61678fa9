"""The DragonFly Mail Agent. Its lifetime of five days is compiled in, so that
only what ends at once can be had."""

import time

from server import Server
import system


class System(system.Desk):
    id = "dma"
    package = "dma"
    manner = 4
    plays = ("unknown-user", "relay-denied", "mailbox-full", "blocklist", "dmarc", "spam", "greeting-554", "no-domain")
    warnings = ()

    def start(self):
        s = self.server = Server("dma", mounts=("spool:/var/spool/dma",))
        s.write("etc/mailname", system.OUT + "\n")
        s.write("etc/dma/dma.conf", f"MAILNAME {system.OUT}\n")
        s.write("etc/aliases", "")
        s.folder("spool", 0, 0o2775, 8)
        self.listen()
        s.start("sh", "-c", "touch /srv/run/up; exec sleep 1000")

    def ready(self):
        self.server.up()

    def submit(self, story, message):
        self.server.run("dma", "-f", system.SENDER, *story.to, data=message.replace(b"\r\n", b"\n"))
        return time.time()
