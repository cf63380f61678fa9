"""The Debian packages of the mail systems, unpacked and never installed.

Where the tests' own peers have a system (scripts/peers.sh) its tree is theirs;
the others are unpacked the same way, each into a folder of its own below
$POSTRIDER_STORIES, else ~/.cache/postrider-stories.
"""

import os
import pathlib
import shutil
import subprocess

ROOT = pathlib.Path(__file__).resolve().parents[3]
CACHE = pathlib.Path(os.environ.get("XDG_CACHE_HOME", pathlib.Path.home() / ".cache"))
PEERS = pathlib.Path(os.environ.get("POSTRIDER_PEERS", CACHE / "postrider-peers"))
STORIES = pathlib.Path(os.environ.get("POSTRIDER_STORIES", CACHE / "postrider-stories"))

# The first package of a system is the one whose version it shows. What the rest
# of Debian would add (an administrator's tools, other services) is not needed.
OURS = {
    "sendmail": ["sendmail-bin", "sendmail-base", "sendmail-cf", "m4", "libwrap0"],
    "courier": ["courier-mta", "courier-base", "courier-authlib", "courier-authdaemon", "courier-authlib-userdb",
                "libcourier-unicode4", "libidn12", "libltdl7", "libgamin0", "libpcre3", "libnet-cidr-perl"],
    "dma": ["dma"],
    "nullmailer": ["nullmailer"],
    "chasquid": ["chasquid"],
}
THEIRS = ["postfix", "exim", "opensmtpd", "dovecot"]


def tree(name):
    """The folder in which a system lies unpacked."""
    return (PEERS if name in THEIRS else STORIES) / name


def version(name):
    """The version of a system's Debian package."""
    return (tree(name) / ".stamp").read_text().splitlines()[1]


def fetch(names):
    """Unpack what is not there yet. Needs the package mirror only then."""
    wanted = [n for n in names if n in THEIRS and not (tree(n) / ".stamp").exists()]
    if wanted:
        subprocess.run([ROOT / "scripts/peers.sh", *wanted], check=True)
    for name in names:
        stamp = tree(name) / ".stamp"
        if name in OURS and not (stamp.exists() and stamp.read_text().splitlines()[0] == " ".join(OURS[name])):
            unpack(name)


def unpack(name):
    """Make the tree of a system, whole or not at all."""
    new = STORIES / f".{name}.new"
    shutil.rmtree(new, ignore_errors=True)
    (new / "debs").mkdir(parents=True)
    try:
        get = ["apt-get", "-qq", "-o", "APT::Sandbox::User=root", "download", *OURS[name]]
        if subprocess.run(get, cwd=new / "debs").returncode:
            subprocess.run(["apt-get", "-qq", "update"], check=True)
            subprocess.run(get, cwd=new / "debs", check=True)
        debs = sorted((new / "debs").glob("*.deb"))
        for deb in debs:
            subprocess.run(["dpkg", "-x", deb, new / "tree"], check=True)
        below_usr(new / "tree")
        first = next(d for d in debs if d.name.startswith(OURS[name][0] + "_"))
        shown = subprocess.run(["dpkg-deb", "-f", first, "Version"], check=True, capture_output=True, text=True).stdout
        (new / "tree" / ".stamp").write_text(" ".join(OURS[name]) + "\n" + shown)
        shutil.rmtree(tree(name), ignore_errors=True)
        (new / "tree").rename(tree(name))
    finally:
        shutil.rmtree(new, ignore_errors=True)


def below_usr(top):
    """Bring /lib, /bin and /sbin of old packages to where the machine's links
    point: only /usr and /etc are laid over it."""
    for name in ("bin", "sbin", "lib"):
        if (top / name).is_dir():
            shutil.copytree(top / name, top / "usr" / name, symlinks=True, dirs_exist_ok=True)
            shutil.rmtree(top / name)
    (top / "etc").mkdir(exist_ok=True)
    (top / "usr" / "lib").mkdir(parents=True, exist_ok=True)
