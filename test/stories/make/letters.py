"""The letters that come back: which story each belongs to, and what is written
down of it."""

import email
import json
import re


class Letter:
    def __init__(self, at, raw, gone=""):
        self.at, self.raw = at, raw
        self.ours = b"@desk.author.test>" in re.split(rb"\r?\n\r?\n", raw)[0].lower().partition(b"message-id:")[2].partition(b"\n")[0]
        text = raw.decode("utf-8", "replace").replace("\r\n", "\n")
        # The report is what stands before the returned message.
        cut = re.search(r"\nContent-Type: *(message/rfc822|text/rfc822-headers|message/global(-headers)?)(?![\w-])"
                        r"|\nMessage headers follow[:.]|\n-+ ?(Original|Copy)|\nOriginal message", text, re.I)
        self.report = text[:cut.start()] if cut else text
        self.gone = bool(gone) and gone in self.report
        self.fields = {}
        status = re.search(r"(?ims)^content-type: *message/(?:global-)?delivery-status.*?\n\n(.*?)(?=^--|\Z)", self.report)
        for block in re.split(r"\n\s*\n", status[1] if status else ""):
            block = email.message_from_string(block)
            to = (block["Final-Recipient"] or "").partition(";")[2].strip(" <>")
            if to:
                self.fields[to.lower()] = {"action": (block["Action"] or " ").split()[0].lower(), "status": (block["Status"] or "").split(" ")[0]}

    def of(self, story, told):
        """Whether the letter tells of these recipients of the story, in its way.
        A message of our own that came to a mailbox is none."""
        if self.ours:
            return False
        want = {"bounce": ["failed"], "delay": ["delayed"], "relayed": ["relayed", "delivered"]}.get(story.letter, [story.letter])
        if self.fields:
            said = [self.fields.get(to.lower(), {}).get("action") for to in told]
            return all(said) and story.letter == "bounce" if self.gone else all(a in want for a in said)
        delay = re.search(r"(?im)^subject:.*(delay|warning)", self.report) is not None
        return all(to in self.report for to in told) and delay == (story.letter == "delay")

    def says(self, words):
        """Whether the report has these words, however it breaks lines or marks them."""
        plain = lambda t: re.sub(r"[\s>]+|^\d{3}[- ]|<<< ", "", t)
        flat = plain(self.report)
        return all(plain(re.sub(r"^\d{3}[- ](\d\.\d+\.\d+ )?", "", line)) in flat for line in words.split("\n"))


RECIPIENT = ("address", "original", "kind", "or_kind", "status", "or_status", "field", "code", "or_code", "reason", "or_reason", "contact", "refused", "text", "untold")


def story(entry):
    """An entry of stories.toml; what is empty is left out."""
    out = ["[[story]]"]
    for key in ("letter", "made", "kind", "or_kind", "gave_up", "clock", "hops"):
        if entry.get(key):
            out.append(f"{key} = {value(entry[key])}")
    for to in entry["recipients"]:
        out.append("\n[[story.recipient]]")
        out += [f"{key} = {value(to[key])}" for key in RECIPIENT if to.get(key)]
    return "\n".join(out) + "\n"


def value(v):
    if isinstance(v, (list, tuple)):
        return "[" + ", ".join(value(x) for x in v) + "]"
    if isinstance(v, dict):
        return "{ " + ", ".join(f"{k} = {value(x)}" for k, x in v.items() if x not in ("", None, [], ())) + " }"
    return json.dumps(v, ensure_ascii=False)
