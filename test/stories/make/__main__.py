"""Makes the stories: every trouble happens to every mail system, and the letter
that its author gets is kept, beside what is known to be true of it.

    python3 test/stories/make [SYSTEM...]

Each system lives in namespaces of its own (network, processes, mounts, name of
the host), of which nothing is left when it has ended. Needs root, Debian or a
relative of it, and, the first time, the package mirror.
"""

import importlib
import pathlib
import subprocess
import sys
import tempfile

sys.dont_write_bytecode = True
HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))

import letters
import packages

SYSTEMS = ("postfix", "exim", "sendmail", "opensmtpd", "courier", "chasquid", "dma", "nullmailer", "chain")
NAMESPACES = ["unshare", "--net", "--pid", "--mount", "--fork", "--kill-child", "--mount-proc"]


def main(names):
    names = names or SYSTEMS
    unknown = [n for n in names if n not in SYSTEMS]
    if unknown:
        sys.exit(f"no system {', '.join(unknown)}; there are: {' '.join(SYSTEMS)}")
    packages.fetch(sorted({p for n in names for p in (load(n).package, *load(n).needs)}))
    waiting, running, bad = list(names), {}, 0
    while waiting or running:
        while waiting and len(running) < 2:
            name = waiting.pop(0)
            running[name] = subprocess.Popen([*NAMESPACES, sys.executable, str(HERE), "--inside", name])
        for name, process in list(running.items()):
            try:
                bad += process.wait(0.2) != 0
                del running[name]
            except subprocess.TimeoutExpired:
                pass
    sys.exit(bad != 0)


def load(name):
    return importlib.import_module("systems." + name).System


def inside(name):
    """Play all stories of one system; this process has its namespaces."""
    import network
    import system
    import troubles

    network.lay()
    dns = network.Names()
    dns.host(system.OUT, system.OUT_IP)
    dns.host(system.DESK, system.DESK_IP)
    s = load(name)()
    dns.mx("author.test", s.mailbox)
    world = troubles.World(dns, s.manner, s.warnings)
    names = [n for n in (*s.plays, *s.also) if n not in s.leaves]
    stories = [world.stories[n] for n in (*names, *(n + "-warning" for n in s.warnings))] + s.own(world)
    for t in stories:
        t.change(s.differs.get(t.name, {}))
        if t.rides not in names:
            t.rides = ""
    try:
        s.start()
        s.ready()
        found, accepted = s.play(stories)
        missing = [t.name for t in stories if t.name not in found]
        if missing:
            log = pathlib.Path(tempfile.gettempdir(), f"story-{name}.log")
            log.write_text(s.server.log())
            sys.exit(f"{name}: no letter of {', '.join(missing)}; see {log}")
    finally:
        s.stop()
    keep(s, name, stories, found, accepted)
    print(f"{name} {packages.version(s.package)}: {len(stories)} letters")


def keep(s, name, stories, found, accepted):
    folder = HERE.parent / name
    folder.mkdir(exist_ok=True)
    for old in folder.glob("*"):
        old.unlink()
    used = [f"{p} {packages.version(p)}" for p in dict.fromkeys((s.package, *s.needs))]
    out = [f"# Made by test/stories/make, see ../README.md.\npackages = {letters.value(used)}\n"]
    for t in stories:
        letter = found[t.name]
        host = (t.by or (s.host,))[0]
        if not letter.says(host) and not letter.says(host.partition(".")[2]):  # chasquid gives its domain only
            raise RuntimeError(f"{name}/{t.name}: the report does not come from {host}")
        (folder / f"{t.name}.eml").write_bytes(letter.raw)
        out.append(letters.story(t.entry(s, letter, int(letter.at - accepted[t.name]))))
    (folder / "stories.toml").write_text("\n".join(out))


if __name__ == "__main__":
    if sys.argv[1:2] == ["--inside"]:
        inside(sys.argv[2])
    else:
        main(sys.argv[1:])
