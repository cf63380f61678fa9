"""A network of its own: every address of 192.0.2.0/24 is on the loopback
device of a network namespace, and one name server knows all names there are.

Nothing leaves the machine: the namespace has no other device.
"""

import socket
import struct
import subprocess
import threading

NAMESERVER = "192.0.2.53"
A, NS, SOA, PTR, MX, TXT, AAAA = 1, 2, 6, 12, 15, 16, 28


def lay():
    """Bring the network up. 198.51.100.0/24 has no route, on purpose. Postfix serves
    only an address that is told by name, hence the second one."""
    if [name for _, name in socket.if_nameindex()] != ["lo"]:
        raise RuntimeError("this is not a network namespace of its own")
    for command in ("ip link set lo up", "ip addr add 192.0.2.1/24 dev lo", "ip addr add 192.0.2.10/32 dev lo",
                    "ip route add unreachable 198.51.100.0/24"):
        subprocess.run(command.split(), check=True)


class Names:
    """The name server. What it was not told of does not exist."""

    def __init__(self):
        self.records = {}     # (name, type) -> list of data
        self.broken = set()   # answered with SERVFAIL, with all below
        self.silent = set()   # not answered at all
        sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        sock.bind((NAMESERVER, 53))
        threading.Thread(target=self.serve, args=(sock,), daemon=True).start()

    def host(self, name, ip):
        self.add(name, A, socket.inet_aton(ip))
        self.add(".".join(reversed(ip.split("."))) + ".in-addr.arpa", PTR, wire(name))

    def mx(self, domain, host, preference=10):
        self.add(domain, MX, struct.pack("!H", preference) + wire(host))

    def add(self, name, kind, data):
        self.records.setdefault((name.lower(), kind), []).append(data)

    def serve(self, sock):
        while True:
            question, client = sock.recvfrom(4096)
            answer = self.answer(question)
            if answer:
                sock.sendto(answer, client)

    def answer(self, question):
        labels, at = [], 12
        while question[at]:
            labels.append(question[at + 1:at + 1 + question[at]].decode("ascii", "replace"))
            at += 1 + question[at]
        name, kind = ".".join(labels).lower(), struct.unpack("!H", question[at + 1:at + 3])[0]
        asked = question[12:at + 5]
        if below(name, self.silent):
            return None
        found = self.records.get((name, kind), [])
        code = 0
        if below(name, self.broken):
            found, code = [], 2
        elif not any(n == name or n.endswith("." + name) for n, _ in self.records):
            code = 3
        head = question[:2] + struct.pack("!HHHHH", 0x8580 | code, 1, len(found), 0 if found or code == 2 else 1, 0)
        records = b"".join(b"\xc0\x0c" + struct.pack("!HHIH", kind, 1, 60, len(data)) + data for data in found)
        if not found and code != 2:  # resolvers take an empty answer without it for a lame one
            soa = wire("ns.test") + wire("root.ns.test") + struct.pack("!5I", 1, 60, 60, 60, 60)
            records = wire("test") + struct.pack("!HHIH", SOA, 1, 60, len(soa)) + soa
        return head + asked + records


def below(name, zones):
    return any(name == z or name.endswith("." + z) for z in zones)


def wire(name):
    """A name in the form of RFC 1035 3.1."""
    return b"".join(bytes([len(part)]) + part.encode() for part in name.split(".") if part) + b"\0"
