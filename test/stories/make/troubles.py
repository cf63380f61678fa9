"""The troubles: what a far end does to a message, and what is therefore true of
the letter that the sender gets. The domains are named after trees, so that no
name gives the trouble away to a reader of wordings."""

import copy
import dataclasses
import re

from farend import HANGUP, OFFERS, SILENT, Deaf, Host

OWN = "192.0.2.1"  # the client that all far ends see
SENDER = "author@author.test"


@dataclasses.dataclass
class Trouble:
    name: str
    domain: str
    user: str
    made: str                    # with what it was made, beside the reply
    kind: str
    reason: str
    contact: str = "reply"
    stage: str = "rcpt"          # where the far end says it
    replies: tuple = ()          # in several manners: a system hears one of them
    how: str = "smtp"            # in which it was refused
    host: dict = dataclasses.field(default_factory=dict)
    size: int = 0                # of the message, in octets; 0: as it comes
    or_kind: tuple = ()          # other words that are right too
    or_reason: tuple = ()
    listens: bool = True


def refused(name, domain, user, reason, *replies, stage="rcpt", kind="refused-at-once", **more):
    return Trouble(name, domain, user, "", kind, reason, stage=stage, replies=replies, **more)


def policy(name, domain, user, reason, *replies, **more):
    return refused(name, domain, user, reason, *replies, kind="policy-refusal", **more)


def deferred(name, domain, user, reason, *replies, **more):
    return refused(name, domain, user, reason, *replies, **{"kind": "deferred-until-expired", **more})


def policy_deferred(name, domain, user, reason, *replies, **more):
    return refused(name, domain, user, reason, *replies, kind="policy-deferred-until-expired", **more)


def unreachable(name, domain, user, made, how, contact="none", **more):
    return Trouble(name, domain, user, made, "unreachable-until-expired", "network", contact, how=how, **more)


def nameless(name, domain, user, made, kind="dns/misrouted", reason="host-unknown", **more):
    return Trouble(name, domain, user, made, kind, reason, "none", listens=False, **{"how": "nobody answered", **more})


TABLE = [
    refused("unknown-user", "alder.test", "kees", "user-unknown",
            "550 5.1.1 <{to}>: Recipient address rejected: User unknown in virtual mailbox table",
            "550-5.1.1 The account you write to does not exist. Look for\n"
            "550-5.1.1 typing errors in the address, or for needless spaces. More at\n"
            "550 5.1.1 https://support.provider.test/mail/?p=NoSuchUser q7si3112.7 - gsmtp",
            "550 5.1.1 <{to}>... User unknown",
            "550 5.1.10 RESOLVER.ADR.RecipientNotFound; Recipient {to} not found by SMTP address lookup",
            "550 sorry, no mailbox here by that name (#5.1.1)",
            "550 Unknown user"),
    refused("relay-denied", "aspen.test", "lena", "relay-denied",
            "554 5.7.1 <{to}>: Relay access denied",
            "550 relay not permitted",
            "550 5.7.1 <{to}>... Relaying denied",
            "550 5.7.54 SMTP; Unable to relay recipient in non-accepted domain",
            "553 sorry, that domain isn't in my list of allowed rcpthosts (#5.7.1)",
            or_kind=("policy-refusal",)),
    refused("mailbox-full", "beech.test", "ines", "mailbox-full",
            "552 5.2.2 <{to}>: Quota exceeded (mailbox for user is full)",
            "552-5.2.2 The inbox of the one you write to is out of storage. Tell them\n"
            "552 5.2.2 to make room: https://support.provider.test/mail/?p=OverQuotaPerm m2si91.4 - gsmtp",
            "552 5.2.2 <{to}>... Mailbox full",
            "554 5.2.2 mailbox full; STOREDRV.Deliver.Exception:QuotaExceededException.MapiExceptionShutoffQuotaExceeded; Failed to process message"),
    deferred("mailbox-full-later", "birch.test", "olaf", "mailbox-full",
             "452 4.2.2 <{to}>: Mailbox is full",
             "452-4.2.2 The inbox of the one you write to is out of storage. Tell them\n"
             "452 4.2.2 to make room: https://support.provider.test/mail/?p=OverQuotaTemp x9si40.2 - gsmtp",
             "452 4.2.2 <{to}>... Over quota, try again later"),
    refused("mailbox-disabled", "cedar.test", "ruth", "mailbox-disabled",
            "550 5.2.1 <{to}>: Recipient address rejected: Mailbox disabled",
            "550 5.2.1 The account you write to is disabled",
            "554 5.2.1 <{to}>... Account suspended"),
    refused("user-moved", "cherry.test", "pavel", "user-moved",
            "551 5.1.6 <{to}>: User has moved to pavel@plum.test",
            "551 User not local; please try <pavel@plum.test>",
            or_reason=("user-unknown",)),
    refused("bad-syntax", "chestnut.test", "amy", "syntax",
            "501 5.1.3 Bad recipient address syntax",
            "501 5.5.4 Invalid arguments",
            or_reason=("user-unknown",)),
    Trouble("too-large-declared", "cypress.test", "hugo",
            "The far end offered SIZE 4000, the message had 20,000 octets.", "size", "too-large", size=20000,
            host={"offers": ("PIPELINING", "SIZE 4000", "8BITMIME", "ENHANCEDSTATUSCODES"),
                  "mail": "552 5.3.4 Message size exceeds fixed limit"}),
    refused("too-large-said", "elder.test", "mina", "too-large",
            "552 5.3.4 Error: message file too big",
            "552 Message size exceeds maximum permitted",
            "552 5.2.3 Message exceeds maximum fixed size (4000)", stage="dot", kind="size", size=20000),
    policy("blocklist", "elm.test", "nora", "bad-reputation",
           "554 5.7.1 Service unavailable; Client host [{own}] blocked using bl.listing.test; https://listing.test/query/ip/{own}",
           "550-JunkMail rejected - out.author.test [{own}] is in an RBL:\n550 see https://listing.test/lookup?{own}",
           "550 5.7.1 Mail from {own} refused, see http://www.listing.test/dnsbl?{own}",
           "550 5.7.606 Access denied, banned sending IP [{own}]; ask for removal at https://sender.provider.test/ (AS16012609)"),
    policy_deferred("blocklist-later", "fig.test", "tom", "bad-reputation",
                    "451 4.7.650 Mail server [{own}] is rate limited for a while due to its IP reputation, see https://postmaster.provider.test (S775)",
                    "450 4.7.1 Client host [{own}] is listed at bl.listing.test, deferred",
                    or_reason=("rate",)),
    policy("no-reverse-name", "fir.test", "jan", "no-reverse-name",
           "550 5.7.25 <{own}>: Client host rejected: cannot find your reverse hostname, [{own}]",
           "550-5.7.25 The IP address sending this message ({own}) does not have a PTR record,\n"
           "550 5.7.25 or its PTR record does not match. https://support.provider.test/a/answer/81126#ip-practices a1si77.1 - gsmtp",
           "550 5.7.25 Fix reverse DNS for {own}"),
    policy("sender-refused", "hazel.test", "rosa", "sender-refused",
           "550 5.1.8 <{from}>: Sender address rejected: Domain not found",
           "553 5.1.8 <{from}>... Domain of sender address {from} does not exist",
           "550 Sender verify failed", stage="mail", or_kind=("refused-at-once",)),
    policy("spf", "holly.test", "ben", "authentication",
           "550 5.7.23 <{to}>: Recipient address rejected: Message rejected due to: SPF fail - not authorized. See http://www.openspf.test/Why?s=mfrom;id={from};ip={own}",
           "550-5.7.26 This message is blocked, as its sender is not authenticated.\n"
           "550-5.7.26 SPF [author.test] with ip: [{own}] = did not pass. What to do is told at\n"
           "550 5.7.26 https://support.provider.test/mail/answer/81126#authentication b5si20.3 - gsmtp",
           "550 5.7.1 {from} is not authorized to send from {own}: SPF check failed"),
    policy("dmarc", "hornbeam.test", "eva", "authentication",
           "550 5.7.1 Email rejected per DMARC policy for author.test",
           "550-5.7.26 Unauthenticated email from author.test is not accepted, as the\n"
           "550-5.7.26 DMARC policy of the domain demands it. Its administrator knows\n"
           "550 5.7.26 whether this was legitimate mail. c3si811.9 - gsmtp",
           "550 5.7.509 Access denied, sending domain AUTHOR.TEST fails DMARC verification, and its policy is reject.",
           "554 5.7.9 Message not accepted for policy reasons (DMARC). See https://postmaster.provider.test/error-codes",
           stage="dot"),
    policy("spam", "ivy.test", "carl", "spam",
           "554 5.7.1 Spam message rejected",
           "550 High probability of spam",
           "554 5.7.0 Reject, id=22107-04 - SPAM",
           "550-5.7.1 [{own} 12] This message is most likely unsolicited bulk\n"
           "550-5.7.1 mail. To keep spam away from our users it\n"
           "550 5.7.1 has been blocked. https://support.provider.test/?p=UnsolicitedMessageError z8si1.6 - gsmtp",
           stage="dot"),
    policy("virus", "juniper.test", "dora", "virus",
           "550 5.7.1 This message contains a virus (Eicar-Signature)",
           "554 5.7.1 infected by Win.Test.EICAR_HDB-1, message rejected", stage="dot"),
    policy("content", "larch.test", "finn", "content",
           "554 5.7.1 The file attachment type .exe is not allowed here",
           "552-5.7.0 This message was blocked, as something in it may be a\n"
           "552-5.7.0 security risk. See https://support.provider.test/mail/?p=BlockedMessage for the\n"
           "552 5.7.0 attachment types that are not allowed. d1si5.8 - gsmtp",
           "550 5.7.1 Executable files are prohibited attachments", stage="dot"),
    policy("not-compliant", "laurel.test", "gwen", "not-compliant",
           "550-5.7.1 [{own}] Messages missing a valid address in From: header, or having no\n"
           "550 5.7.1 From: header, are not accepted: not RFC 5322 compliant. e4si6.1 - gsmtp",
           "554 5.6.0 Invalid message header: duplicate header field Date",
           stage="dot", or_kind=("refused-at-once",)),
    policy("policy", "lime.test", "ivo", "policy",
           "550 5.7.1 Delivery not authorized, message refused",
           "554 5.7.1 <{to}>: Recipient address rejected: Access denied",
           "550 5.7.0 Local policy violation"),
    policy("tls-demanded", "maple.test", "jule", "tls",
           "530 5.7.0 Must issue a STARTTLS command first",
           "550 5.7.10 Encryption required for recipient", stage="mail", or_kind=("refused-at-once",)),
    policy("login-demanded", "medlar.test", "kurt", "security",
           "530 5.7.0 Authentication required",
           "550 5.7.1 Unauthenticated senders not allowed", stage="mail", or_kind=("refused-at-once",)),
    refused("far-trouble", "mulberry.test", "lisa", "system",
            "554 5.3.0 Internal error: cannot write the message",
            "550 5.3.5 System configuration error", stage="dot"),
    refused("far-loop", "myrtle.test", "max", "loop",
            "554 5.4.6 Too many hops",
            "554 5.4.14 Hop count exceeded - possible mail loop ATTR34",
            "554 5.4.0 Error: too many hops", stage="dot", kind="loop"),
    refused("not-taking-mail", "oak.test", "nils", "not-a-mail-host",
            "521 5.3.2 {host} does not accept mail",
            "521 {host} does not accept mail (see RFC 7504)", stage="greeting", contact="greeting"),
    policy("greeting-554", "olive.test", "otto", "bad-reputation",
           "554 {host} ESMTP refuses {own}: poor reputation, see https://listing.test/lookup?ip={own}",
           "554 5.7.1 {host}: your IP address {own} is blocked by our blocklist", stage="greeting", contact="greeting"),
    deferred("greeting-421", "pear.test", "paul", "system",
             "421 4.3.2 {host} Service not available, system too busy, try again later",
             "421 {host} Service not available, closing transmission channel",
             stage="greeting", contact="greeting", or_reason=("rate",)),
    policy_deferred("rate", "pine.test", "rita", "rate",
                    "421 4.7.0 [TSS04] Messages from {own} deferred for now due to unexpected volume or complaints - 4.16.55.1; see https://postmaster.provider.test/421",
                    "450 4.7.1 Error: too much mail from {own}",
                    "421-4.7.28 An unusual rate of unsolicited mail originates from your IP address.\n"
                    "421 4.7.28 Mail from it is rate limited for now. f2si3.3 - gsmtp", stage="mail"),
    policy_deferred("greylisted", "plane.test", "sven", "greylisted",
                    "450 4.2.0 <{to}>: Recipient address rejected: Greylisted, see http://postgrey.listing.test/help/plane.test.html",
                    "451 4.7.1 Greylisting in action, please come back later",
                    "451 4.7.1 <{to}>... Greylisted: please try again in 300 seconds"),
    deferred("system-full", "plum.test", "tina", "system-full",
             "452 4.3.1 Insufficient system storage", stage="mail"),
    deferred("far-trouble-later", "poplar.test", "ulla", "system",
             "451 4.3.0 Error: queue file write error",
             "451 Requested action aborted: local error in processing",
             "451 4.3.2 Temporary server error. Please try again later. PRX5", stage="dot"),
    unreachable("connection-refused", "quince.test", "vera", "The MX has an address at which nothing listens.",
                "tcp refused", listens=False),
    unreachable("no-answer", "rowan.test", "willi", "The MX has an address at which connections get no answer: the SYN is lost.",
                "timed out", listens=False, or_reason=("expired",)),
    unreachable("no-route", "spruce.test", "xaver", "The MX has an address to which the sending machine has no route.",
                "nobody answered", listens=False),
    unreachable("silent-greeting", "sorb.test", "yves", "The far end takes the connection and never says a word.",
                "timed out", "broken", host={"greeting": SILENT}, or_reason=("system",)),
    unreachable("silent-dot", "teak.test", "zoe", "The far end takes the message and says nothing after the final dot.",
                "timed out", "broken", host={"dot": SILENT}, or_kind=("deferred-until-expired",)),
    unreachable("hangup", "thuja.test", "anna", "The far end closes the connection after MAIL, without a reply.",
                "connection broken", "broken", host={"mail": HANGUP}, or_kind=("deferred-until-expired",)),
    unreachable("hangup-greeting", "rosewood.test", "bob", "The far end closes each connection at once, without a greeting.",
                "connection broken", "broken", host={"greeting": HANGUP}),
    deferred("two-mx", "walnut.test", "bert", "system-full",
             "452 4.3.1 Insufficient system storage", stage="mail"),
    nameless("no-domain", "nowood.test", "cora", "The domain does not exist: NXDOMAIN."),
    nameless("null-mx", "willow.test", "dirk", "The domain has a null MX (RFC 7505).", reason="not-a-mail-host",
             or_kind=("refused-at-once",)),
    nameless("mx-nowhere", "yew.test", "edda", "The domain's MX has a name that does not exist."),
    nameless("dns-fails", "almond.test", "fritz", "The name server answers SERVFAIL for the domain.",
             "dns/misrouted-until-expired", "network"),
    nameless("mx-is-self", "apple.test", "gabi", "The domain's MX is the sending host itself, which does not know the domain.", "loop", "loop",
             or_kind=("dns/misrouted",), how="itself"),
    Trouble("tls-missing", "ash.test", "hans", "The far end does not offer STARTTLS.", "deferred-until-expired", "tls",
            how="itself", or_kind=("policy-deferred-until-expired",)),
]

# What every large system plays; each plays some of the others too.
CORE = ("unknown-user", "relay-denied", "mailbox-full", "mailbox-full-later", "too-large-declared", "too-large-said", "blocklist", "spf", "dmarc", "spam",
        "content", "policy", "greeting-554", "greeting-421", "greylisted", "connection-refused", "no-answer", "silent-greeting", "no-domain", "null-mx",
        "mx-nowhere", "dns-fails", "mx-is-self", "tls-missing", "mixed", "mixed-later", "relayed")

# Other names of package system that are right too: its Debian form.
OR_SOFTWARE = {"sendmail": ("sendmail-debian",), "exim": ("exim-debian",)}


@dataclasses.dataclass
class Story:
    """A message that one system is given, and what should come of it."""
    name: str
    to: list
    made: str
    truth: dict                    # of every recipient of to
    each: dict = dataclasses.field(default_factory=dict)  # what differs, by recipient
    letter: str = "bounce"         # bounce, delay, delivered, relayed, expanded
    or_letter: list = None         # what the letter says it is, where nobody could know better
    expires: bool = False          # by the system's own clock
    told: list = None              # recipients that the letter tells of; None: all
    rides: str = ""                # the story whose message this is another letter of
    after: str = ""                # the story whose letter must have come before this one begins
    size: int = 0                  # of the message
    body: str = ""                 # of the message, where it matters
    headers: tuple = ()            # more of them, on top
    notify: str = ""               # of RFC 3461
    options: tuple = ()            # of MAIL
    by: tuple = ()                 # who gave up, host and software, where it is not the system
    hops: tuple = ()               # the hosts that had it, oldest first, where they are several
    clock: tuple = ()              # the setting that ended it and its value, where it is not the system's lifetime

    @classmethod
    def here(cls, name, to, made, reason, kind="refused-at-once", **more):
        """A story that the system plays alone: it delivers the mail itself."""
        letter = kind if kind in ("delivered", "expanded") else "bounce"
        truth = {"kind": kind, "reason": reason, "how": "itself" if letter == "bounce" else "accepted", **more.pop("truth", {})}
        notify = "" if letter == "bounce" else "SUCCESS"
        return cls(name, [to], made, truth, letter=letter, notify=notify, expires=kind.endswith("expired"), **more)

    def change(self, differs):
        """Take over what is true on one system only: fields of the story and of the truth."""
        for key, value in differs.items():
            if key == "told":
                self.told = self.to[:value]
            elif key in ("made", "letter", "expires", "clock", "headers"):
                setattr(self, key, value)
            else:
                self.truth[key] = value

    def entry(self, system, letter, held):
        """What is written of it into stories.toml."""
        host, software = self.by or (system.host, system.id)
        gave_up = {"host": host, "software": software, "or_software": list(OR_SOFTWARE.get(software, ()))}
        clock = {}
        if self.expires:
            setting, value = self.clock or system.expiry
            clock = {"owner": host, "setting": setting, "value_s": value, "held_s": held}
        return {"letter": self.name + ".eml", "made": self.made, "kind": self.letter, "or_kind": self.or_letter,
                "gave_up": self.letter == "bounce" and gave_up, "clock": clock, "hops": list(self.hops),
                 "recipients": [self.recipient(to, letter, host) for to in self.told or self.to]}

    def recipient(self, to, letter, reporter):
        t = self.truth | self.each.get(to, {})
        field = letter.fields.get(to.lower(), {}).get("status", "")
        host, ip, how = t.get("refused", ""), t.get("ip", ""), t["how"]
        untold = set(t.get("untold", ()))
        if how == "itself":
            host = reporter
            if "reason" in untold:
                untold.add("refused")
        elif host and not letter.says(host) and not letter.says(ip):
            untold.add("refused")
        if t.get("text") and not letter.says(t["text"]):
            untold |= {"code", "text"}
        status = field if "text" in untold else t.get("status") or field
        return t | {"address": to, "status": status, "field": field != status and field,
                    "refused": {"host": host, "ip": ip, "how": how}, "untold": sorted(untold)}


class World:
    """All far ends, as one system meets them."""

    def __init__(self, names, manner, warnings):
        """manner: which of the replies of each trouble is said. warnings: of
        which stories the warning is wanted too."""
        self.names, self.manner = names, manner
        self.stories, self.hosts, self.kept = {}, {}, []
        for n, t in enumerate(TABLE):
            self.set_up(copy.deepcopy(t), f"192.0.2.{100 + n}")
        self.mixed("192.0.2.200")
        self.relaying("192.0.2.201")
        for name in warnings:
            self.warned(name)
        self.stories["policy"].body = TRAP

    def warned(self, name):
        """The delay warning that comes before the bounce of a story."""
        t = copy.deepcopy(self.stories[name])
        t.name, t.rides, t.letter = name + "-warning", name, "delay"
        t.made += " This is the warning of the delay, before the bounce."
        t.truth |= {"kind": "delayed", "or_kind": []}
        self.stories[t.name] = t

    def set_up(self, t, ip):
        to, mx = f"{t.user}@{t.domain}", f"mx.{t.domain}"
        said = t.replies[self.manner % len(t.replies)] if t.replies else ""
        said = said.format(to=to, host=mx, own=OWN, **{"from": SENDER})
        if said:
            t.host[t.stage] = said
        host = Host(mx, ip, **t.host)
        made = t.made or f"At {STAGES[t.stage]} the far end said: {' / '.join(said.splitlines())}"
        truth = {"kind": t.kind, "reason": t.reason, "contact": t.contact, "how": t.how,
                 "or_kind": list(t.or_kind), "or_reason": list(t.or_reason)}
        if "volume or complaints" in said:
            truth["or_reason"].append("bad-reputation")
        if t.how not in ("itself", "nobody answered") or t.name == "no-route":
            truth |= {"refused": mx, "ip": ip}
        if said or t.name == "too-large-declared":
            truth |= words(said or t.host["mail"])
        self.dns(t.name, t.domain, mx, ip, truth)
        if t.name == "no-answer":
            self.kept.append(Deaf(ip))
        elif t.name == "two-mx":
            made = "The first MX refuses the connection; at MAIL the second said: " + said
            host.name = truth["refused"] = "mx2.walnut.test"
        if t.listens:
            host.listen()
            self.hosts[t.name] = host
        self.stories[t.name] = Story(t.name, [to], made, truth, size=t.size, expires=t.kind.endswith("expired"))

    def dns(self, name, domain, mx, ip, truth):
        names = self.names
        if name == "no-domain":
            return
        if name == "dns-fails":
            names.broken.add(domain)
        elif name == "null-mx":
            names.mx(domain, "", 0)
        elif name == "mx-is-self":
            names.mx(domain, "out.author.test")
        elif name == "mx-nowhere":
            names.mx(domain, mx)
        elif name == "two-mx":
            names.mx(domain, "mx1." + domain, 10)
            names.mx(domain, "mx2." + domain, 20)
            names.host("mx1." + domain, "192.0.2.199")
            names.host("mx2." + domain, ip)
        else:
            if name == "no-route":
                ip = truth["ip"] = "198.51.100.25"
            names.mx(domain, mx)
            names.host(mx, ip)

    def mixed(self, ip):
        """One transaction with four fates: two refusals, a full mailbox for a while, one taken."""
        replies = {"ida@linden.test": "550 5.1.1 <ida@linden.test>: User unknown",
                   "jon@linden.test": "552 5.2.2 <jon@linden.test>: Mailbox full",
                   "kay@linden.test": "450 4.2.1 <kay@linden.test>: Mailbox busy, try again later"}
        self.names.mx("linden.test", "mx.linden.test")
        self.names.host("mx.linden.test", ip)
        Host("mx.linden.test", ip, rcpt=lambda to: replies.get(to, "250 2.1.5 Ok")).listen()
        common = {"contact": "reply", "how": "smtp", "refused": "mx.linden.test", "ip": ip, "kind": "refused-at-once"}
        each = {to: words(said) for to, said in replies.items()}
        each["ida@linden.test"]["reason"] = "user-unknown"
        each["jon@linden.test"]["reason"] = "mailbox-full"
        each["kay@linden.test"] |= {"kind": "deferred-until-expired", "reason": "system", "or_reason": ["unknown", "mailbox-full"]}
        to = [*replies, "lou@linden.test"]
        made = "One transaction with four recipients. At RCPT the far end said: " + " / ".join(replies.values()) + "; it took the message for lou@linden.test."
        self.stories["mixed"] = Story("mixed", to, made, common, each, told=to[:2])
        self.stories["mixed-later"] = Story("mixed-later", to, made + " This is the second letter, about the recipient that was deferred.",
                                            dict(common), each, told=to[2:3], expires=True, rides="mixed")

    def relaying(self, ip):
        """A host that takes all and offers no DSN."""
        self.names.mx("sumac.test", "mx.sumac.test")
        self.names.host("mx.sumac.test", ip)
        Host("mx.sumac.test", ip).listen()
        self.stories["relayed"] = Story("relayed", ["mia@sumac.test"], "Sent with NOTIFY=SUCCESS; the far end takes the message and offers no DSN.",
                                        {"kind": "relayed", "reason": "delivered", "contact": "reply", "how": "accepted", "refused": ""},
                                        letter="relayed", notify="SUCCESS")


# A returned message may be about bounces: its words are no evidence.
TRAP = """Hello,

last week I got a letter that said: 550 5.1.1 User unknown. Then another one:
452 4.2.2 Mailbox full, could not be delivered for 5 days, Connection timed out.
Is there a virus in my computer, or was it greylisted? Status: 4.4.7

Regards, Ann
"""

STAGES = {"greeting": "the connection", "hello": "EHLO", "mail": "MAIL", "rcpt": "RCPT", "data": "DATA", "dot": "the end of the data"}


def words(reply):
    """The code, the status and the text of a reply, its lines joined as they come."""
    status = re.search(r"^\d{3}[ -](\d\.\d+\.\d+)|\(#(\d\.\d+\.\d+)\)", reply)
    return {"code": reply[:3], "status": status and (status[1] or status[2]) or "", "text": reply}
