"""The far ends: hosts that say over SMTP what a story wants said."""

import dataclasses
import re
import socket
import threading
import time

SILENT = "silent"  # instead of a reply: nothing more, and the connection stays open
HANGUP = "hangup"  # instead of a reply: the connection is closed

OFFERS = ("PIPELINING", "SIZE 20480000", "8BITMIME", "ENHANCEDSTATUSCODES")


@dataclasses.dataclass
class Host:
    """A host and its replies, each as it goes over the wire, lines parted by \\n."""
    name: str
    ip: str
    greeting: str = ""
    offers: tuple = OFFERS     # after EHLO
    hello: str = ""            # instead of all that
    mail: str = "250 2.1.0 Ok"
    rcpt: object = "250 2.1.5 Ok"  # or a function of the address
    data: str = "354 End data with <CR><LF>.<CR><LF>"
    dot: str = "250 2.0.0 Ok"
    tls: str = "454 4.7.0 TLS not available"
    kept: list = dataclasses.field(default_factory=list)  # what came: time, sender, octets

    def listen(self):
        server = socket.create_server((self.ip, 25), backlog=64)
        threading.Thread(target=self.serve, args=(server,), daemon=True).start()

    def serve(self, server):
        while True:
            conn, _ = server.accept()
            threading.Thread(target=self.quietly, args=(conn,), daemon=True).start()

    def quietly(self, conn):
        with conn:
            try:
                self.talk(conn)
            except OSError:
                pass  # the client has gone, which is its right

    def talk(self, conn):
        lines = conn.makefile("rb")

        def say(reply):
            if reply == SILENT:
                while conn.recv(4096):
                    pass
                raise ConnectionAbortedError
            if reply == HANGUP:
                raise ConnectionAbortedError
            conn.sendall("".join(line + "\r\n" for line in reply.split("\n")).encode())
            if reply.startswith("421"):
                raise ConnectionAbortedError

        sender, takers = "", 0
        say(self.greeting or f"220 {self.name} ESMTP")
        for line in lines:
            verb, _, rest = line.decode("utf-8", "replace").strip().partition(" ")
            match verb.upper():
                case "EHLO":
                    words = [self.name, *self.offers]
                    say(self.hello or "\n".join(f"250{'-' if i + 1 < len(words) else ' '}{w}" for i, w in enumerate(words)))
                case "HELO":
                    say(self.hello or f"250 {self.name}")
                case "STARTTLS":
                    say(self.tls)
                case "MAIL":
                    takers = 0
                    sender = re.search("<(.*?)>", rest)[1]
                    say(self.mail)
                case "RCPT":
                    to = re.search("<(.*?)>", rest)[1]
                    reply = self.rcpt(to) if callable(self.rcpt) else self.rcpt
                    takers += reply.startswith("250")
                    say(reply)
                case "DATA" if not takers:
                    say("554 5.5.1 Error: no valid recipients")
                case "DATA":
                    say(self.data)
                    if self.data.startswith("354"):
                        text = []
                        while (t := next(lines, b".\r\n")) != b".\r\n":
                            text.append(t.removeprefix(b"."))
                        self.kept.append((time.time(), sender, b"".join(text)))
                        say(self.dot)
                case "RSET" | "NOOP":
                    say("250 2.0.0 Ok")
                case "QUIT":
                    say("221 2.0.0 Bye")
                    return
                case _:
                    say("502 5.5.1 Command not implemented")


class Deaf:
    """A host whose packets are lost: its queue of connections is full."""

    def __init__(self, ip):
        self.server = socket.socket()
        self.server.bind((ip, 25))
        self.server.listen(0)
        self.first = []
        for _ in range(4):
            s = socket.socket()
            s.setblocking(False)
            s.connect_ex((ip, 25))
            self.first.append(s)
        time.sleep(0.1)
