"""What the cases of this folder share: bench.py of $SHARED as `bench`, a server that is
ended whatever happens, and the stopwatch (tools/stopwatch), which sends, is the next hop,
and times."""
import contextlib, importlib.util, json, os, signal, socket, subprocess, sys, time

SHARED = os.environ.get("SHARED") or os.path.join(os.path.dirname(os.path.abspath(__file__)), "../../shared/bench")
spec = importlib.util.spec_from_file_location("bench", os.path.join(SHARED, "bench.py"))
bench = importlib.util.module_from_spec(spec)
spec.loader.exec_module(bench)


class Group(bench.Group):
    """Of this port alone: a run ends all that is in its group, and there may be another one."""

    def __init__(self, name):
        super().__init__(f"{name}-{bench.IN}")


bench.Group = Group


def arguments():
    """The server and the key=value pairs of a command line like those of bench.py."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    for port in (bench.IN, bench.OUT):  # before anything is set up: the spool of a server that runs is not wiped
        with socket.socket() as s:
            if s.connect_ex(("127.0.0.1", port)) == 0:
                sys.exit(f"port {port} is taken: stop what listens there")
    return bench.Peer(sys.argv[1]), dict(x.split("=", 1) for x in sys.argv[2:])


@contextlib.contextmanager
def server(peer, mode):
    """A new, empty server that runs."""
    try:
        peer.setup(mode)
        peer.start()
        yield
        peer.stop()
    finally:
        peer.kill()
        for sink in bench.SinkProc.all:
            sink.end()


def stopwatch(**flags):
    """What tools/stopwatch printed, and the processor seconds it took."""
    names = {"length": "for"}
    words = [f"-{names.get(k, k)}={v}" for k, v in flags.items()]
    words += [f"-in=127.0.0.1:{bench.IN}"] + ([] if "out" in flags else [f"-out=127.0.0.1:{bench.OUT}"])
    before = os.times()
    out = subprocess.run([bench.W + "/stopwatch", *words], check=True, stdout=subprocess.PIPE).stdout
    after = os.times()
    cpu = after.children_user - before.children_user + after.children_system - before.children_system
    return dict(json.loads(out), source_cpu_s=round(cpu, 2))


def metered(peer, **flags):
    """What stopwatch says, together with what the server needed for it, warming up included.
    It is given a second to settle what it delivered last."""
    meter = bench.Meter(peer)
    r = stopwatch(**flags)
    time.sleep(1)
    return {**r, **meter.end(r["messages"] + flags.get("warm", 0), r["source_cpu_s"], r["wall_s"])}
