"""A mail system in mount and process namespaces of its own, as test/peers runs
its servers: the package is laid over /usr, the configuration over /etc, and its
folder is /srv."""

import os
import pathlib
import shutil
import signal
import subprocess
import tempfile
import time

from network import NAMESERVER
import packages

NS = packages.ROOT / "test/peers/ns.sh"

# The names are compiled into the packages; the numbers are ours.
ACCOUNTS = {
    "author": (7100, "/srv/home/author"), "team": (7101, "/srv/home/team"), "clerk": (7102, "/srv/home/clerk"),
    "postfix": (7001, "/nonexistent"), "postdrop": (7002, "/nonexistent"), "Debian-exim": (7003, "/nonexistent"),
    "opensmtpd": (7004, "/var/lib/opensmtpd/empty"), "opensmtpq": (7005, "/nonexistent"),
    "dovecot": (7006, "/nonexistent"), "dovenull": (7007, "/nonexistent"),
    "smmta": (7010, "/nonexistent"), "smmsp": (7011, "/nonexistent"), "courier": (7012, "/nonexistent"),
    "chasquid": (7013, "/nonexistent"),
}
ENVIRONMENT = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LANG": "C", "TZ": "UTC"}


class Server:
    def __init__(self, name, mounts=(), hostname="out.author.test"):
        self.name, self.mounts, self.hostname = name, mounts, hostname
        self.tree = packages.tree(name)
        self.dir = pathlib.Path(tempfile.mkdtemp(prefix=f"story-{name}-"))
        self.dir.chmod(0o755)
        self.process = None
        for d in ("etc", "home", "log", "spool", "run", "empty"):
            self.folder(d)
        for user in ("author", "team", "clerk"):
            self.folder(f"home/{user}", ACCOUNTS[user][0])
        self.write("etc/resolv.conf", f"nameserver {NAMESERVER}\noptions timeout:1 attempts:2\n")
        self.write("etc/hosts", "127.0.0.1 localhost\n")
        self.write("etc/nsswitch.conf", "passwd: files\ngroup: files\nshadow: files\nhosts: files dns\nservices: files\nprotocols: files\n")
        for file, line in (("passwd", "{0}:x:{1}:{1}::{2}:/bin/sh"), ("group", "{0}:x:{1}:"), ("shadow", "{0}:*:19000:0:99999:7:::")):
            kept = [l for l in pathlib.Path("/etc", file).read_text().splitlines() if l.split(":")[0] not in ACCOUNTS]
            ours = [line.format(n, number, home) for n, (number, home) in ACCOUNTS.items()]
            self.write(f"etc/{file}", "\n".join(kept + ours) + "\n")

    def path(self, name):
        return self.dir / name

    def folder(self, name, owner=0, mode=0o755, group=None):
        path = self.path(name)
        path.mkdir(parents=True, exist_ok=True)
        path.chmod(mode)
        os.chown(path, owner, owner if group is None else group)

    def write(self, name, text, mode=0o644, owner=0):
        path = self.path(name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        path.chmod(mode)
        os.chown(path, owner, owner)
        past = time.time() - 60  # Postfix will not read a main.cf younger than two seconds
        os.utime(path, (past, past))

    def start(self, *command):
        """Run the server; its output is in log/console."""
        with open(self.path("log/console"), "ab") as console:
            self.process = subprocess.Popen(
                ["unshare", "--mount", "--uts", "--pid", "--fork", "--kill-child", "sh", "-c", 'hostname "$0" && exec sh "$@"', self.hostname,
                 NS, self.tree, self.dir, *self.mounts, "--", *command],
                env=ENVIRONMENT, cwd="/", stdin=subprocess.DEVNULL, stdout=console, stderr=console)

    def init(self):
        """The first process of the server's namespace: with it all others end."""
        children = pathlib.Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children")
        for _ in range(100):
            if found := children.read_text().split():
                return int(found[0])
            time.sleep(0.05)
        raise RuntimeError(f"{self.name}: no namespace\n{self.log()}")

    def up(self):
        """Wait until the command has made run/up, as one does that serves no port."""
        while not self.path("run/up").exists():
            if self.process.poll() is not None:
                raise RuntimeError(f"{self.name} has ended:\n{self.log()}")
            time.sleep(0.05)

    def run(self, *command, data=None, check=True):
        """Run a command beside the server, with its programs and files."""
        done = subprocess.run(["nsenter", "--target", str(self.init()), "--mount", "--pid", "--root", "--wd", "--", *command],
                              env=ENVIRONMENT, input=data, capture_output=True, timeout=60)
        if check and done.returncode:
            raise RuntimeError(f"{self.name}: {' '.join(command)}: {done.stdout.decode()}{done.stderr.decode()}")
        return done.stdout + done.stderr

    def stop(self):
        if self.process:
            if self.process.poll() is None:
                os.kill(self.init(), signal.SIGKILL)
            self.process.wait()
            self.process = None

    def remove(self):
        self.stop()
        shutil.rmtree(self.dir)

    def log(self):
        return "".join(f.read_text(errors="replace") for f in sorted(self.path("log").glob("*")) if f.is_file())

    def maildir(self, folder):
        """The messages of a maildir, oldest first, each with the time it came."""
        found = [p for part in ("new", "cur") for p in self.path(folder).glob(f"{part}/*")]
        return [(p.stat().st_mtime, p.read_bytes()) for p in sorted(found, key=lambda p: p.stat().st_mtime)]
