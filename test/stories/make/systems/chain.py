"""Several hosts in a row: a Postfix as the author's own host, a sendmail as the
content filter behind it, a Postfix as the backup MX of the receiver. Whoever
answered 250 last gives up."""

from systems import postfix, sendmail
import system
from troubles import Story

FILTER, FILTER_IP = "filter.author.test", "192.0.2.9"
BACKUP, BACKUP_IP = "mx2.holm.test", "192.0.2.10"


class System(postfix.System):
    plays = also = warnings = ()
    transport = f"ginkgo.test smtp:[filter2.author.test]\nquince.test smtp:[{FILTER}]\nalder.test smtp:[{FILTER}]\n"
    needs = (*postfix.System.needs, "postfix", "sendmail")

    def own(self, world):
        names = world.names
        names.host(FILTER, FILTER_IP)
        names.host("filter2.author.test", "192.0.2.12")
        names.host("mx1.holm.test", "192.0.2.13")
        names.host(BACKUP, BACKUP_IP)
        names.mx("holm.test", "mx1.holm.test", 10)
        names.mx("holm.test", BACKUP, 20)
        unreachable = {"kind": "unreachable-until-expired", "reason": "network", "contact": "none", "how": "tcp refused"}
        there, own = (system.DESK, system.OUT), ("maximal_queue_lifetime", postfix.LIFE)
        refused = world.stories["unknown-user"]
        return [
            Story("filter-gives-up", ["vera@quince.test"], "The author's host hands the message to the filter at once; nothing listens at the MX, and the filter's clock ends it.",
                  world.stories["connection-refused"].truth, by=(FILTER, "sendmail"), hops=(*there, FILTER), expires=True, clock=sendmail.System.expiry),
            Story("filter-is-told-no", refused.to, "The author's host hands the message to the filter; the far end refuses the recipient to the filter. " + refused.made,
                  refused.truth, by=(FILTER, "sendmail"), hops=(*there, FILTER)),
            Story("filter-is-down", ["rolf@ginkgo.test"], "Nothing listens at the filter to which this domain is routed, so that the author's host gives up.",
                  unreachable | {"refused": "filter2.author.test", "ip": "192.0.2.12"}, hops=there, expires=True, clock=own),
            Story("backup-mx-gives-up", ["ilse@holm.test"], "Nothing listens at the first MX; the second is a backup, takes the message and gives up when its own clock ends.",
                  unreachable | {"refused": "mx1.holm.test", "ip": "192.0.2.13"}, by=(BACKUP, "postfix"), hops=(*there, BACKUP), expires=True, clock=own),
        ]

    def start(self):
        super().start()
        self.filter = sendmail.serve(FILTER, FILTER_IP, FILTER)
        self.backup = postfix.serve(BACKUP, BACKUP_IP, "mydestination =\nrelay_domains = holm.test\n", {})

    def ready(self):
        for ip in (system.OUT_IP, FILTER_IP, BACKUP_IP):
            self.greets(ip)

    def stop(self):
        self.filter.remove()
        self.backup.remove()
        super().stop()
