"""What is common to the mail systems: how a story is played on one, and how the
letter that comes of it is found and kept."""

import smtplib
import time

from farend import Host
from letters import Letter
from troubles import CORE, SENDER

OUT, OUT_IP = "out.author.test", "192.0.2.1"
DESK, DESK_IP = "desk.author.test", "192.0.2.3"


class System:
    id = ""          # as package system names it, or its own name
    package = ""     # whose version is told
    manner = 0       # which replies of the far ends it hears
    expiry = ()      # the setting that ends mail, and its value in seconds
    plays = CORE     # stories, of troubles.TABLE and World
    also = ()        # more of them
    leaves = ()      # of plays, those whose bounce it has no use for
    warnings = ("mailbox-full-later", "connection-refused")  # stories of which the warning is kept
    gone = ""        # words that tell the end whatever the report's fields say
    mailbox = OUT    # where mail for author.test goes
    needs = ()       # packages beside its own
    host = OUT
    differs = {}     # what is true of a story here and not elsewhere
    patience = 30    # seconds after the last expiry until all letters must be there

    server = None

    def own(self, world):
        """Stories that only this system plays."""
        return []

    def ready(self):
        """Wait until it greets."""
        self.greets(OUT_IP)

    def greets(self, ip):
        for _ in range(300):
            try:
                with smtplib.SMTP(ip, 25, source_address=(DESK_IP, 0), timeout=5):
                    return
            except (OSError, smtplib.SMTPException):
                time.sleep(0.1)
        raise RuntimeError(f"{self.id} does not greet at {ip}:\n{self.server.log()[-4000:]}")

    def stop(self):
        if self.server:
            self.server.remove()

    def submit(self, story, message):
        """Hand the message over as the author's desk; when it began to have it is returned."""
        with smtplib.SMTP(OUT_IP, 25, DESK, source_address=(DESK_IP, 0), timeout=30) as c:
            c.ehlo()
            notify = ["NOTIFY=" + story.notify] if story.notify else []
            began = time.time()
            c.sendmail(SENDER, story.to, message, mail_options=story.options, rcpt_options=notify)
            return began

    def play(self, stories):
        """Send all, await all. Returns the letter of each story, by name, and
        when its message was accepted."""
        accepted, waiting = {}, list(stories)

        def send():
            for story in [t for t in waiting if not t.rides and (not t.after or t.after in found)]:
                waiting.remove(story)
                try:
                    accepted[story.name] = self.submit(story, message(len(accepted), story))
                except smtplib.SMTPException as e:
                    raise RuntimeError(f"{self.id} does not take {story.name}: {e}\n{self.server.log()[-2000:]}") from e

        found, seen = {}, set()
        send()
        until = time.time() + (self.expiry[1] if self.expiry else 0) + self.patience
        while len(found) < len(stories) and time.time() < until:
            time.sleep(0.2)
            for at, raw in self.letters():
                if raw in seen:
                    continue
                seen.add(raw)
                letter = Letter(at, raw, self.gone)
                for story in stories:
                    if story.name not in found and letter.of(story, story.told or story.to):
                        found[story.name] = letter
                        break
            send()
        for story in waiting:
            accepted[story.name] = accepted[story.rides]
        return found, accepted


class Desk(System):
    """A system without mailboxes: the author's are at the desk, to which all
    mail for author.test goes."""
    mailbox = DESK

    def listen(self, **replies):
        self.desk = Host(DESK, DESK_IP, **replies)
        self.desk.listen()

    def letters(self):
        return [(at, raw) for at, sender, raw in self.desk.kept if not sender]


def message(n, story):
    subject = SUBJECTS[n % len(SUBJECTS)]
    body = story.body or "Good morning,\n\nas agreed I send you the papers of last week. Please tell me by Friday\nwhether they are complete.\n\nKind regards\nAnn Author\n"
    body += ("Line after line of figures, of which there are many in these papers.\n" * (story.size // 70))
    head = [*story.headers, f"Date: {time.strftime('%a, %d %b %Y %H:%M:%S +0000', time.gmtime())}",
            f"From: Ann Author <{SENDER}>", f"To: {', '.join(story.to)}", f"Subject: {subject}",
            f"Message-ID: <{time.strftime('%Y%m%d%H%M%S', time.gmtime())}.{n:03}@{DESK}>",
            "MIME-Version: 1.0", "Content-Type: text/plain; charset=us-ascii"]
    return ("\n".join(head) + "\n\n" + body).replace("\n", "\r\n").encode()


SUBJECTS = ("Minutes of the meeting", "Our offer for the bridge", "Dates in March", "Photographs of the hall",
            "Bill 2207", "The new timetable", "Your question about the roof")
