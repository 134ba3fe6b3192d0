"""Small calls over raystream sessions, beside the same echo over a plain WebSocket, npm ws over TLS and nginx as a TLS proxy; and what an idle
session costs."""
import contextlib
import json
import pathlib
import subprocess
import tempfile
import urllib.request

from processes import BIN, PEERS, Cluster, Peer, free_port, load
from report import goal, median, publish, quiet, table
from servers import filled

SESSIONS = 64
WINDOWS = (1, 16)
CALL, ANSWER = 64, 200
MEMBERS = 10_000
CIPHERS = {"aes-256-gcm": "AES-256-GCM", "chacha20-poly1305": "ChaCha20-Poly1305"}


class Raystream:
    """A cluster's gateway; cases by transport and cipher."""

    def __init__(self):
        self.cluster = Cluster()
        self.pids = [self.cluster.pids["gateway"]]
        request = urllib.request.Request(self.cluster.url + "/api/v1/raystream/key", headers={"Authorization": f"Bearer {self.cluster.api_key}"})
        with urllib.request.urlopen(request, timeout=10) as reply:
            key = json.load(reply)["keys"][0]
        self.arguments = ["--key", f"{key['id']}:{key['publicKey']}", "--api-key", self.cluster.api_key]
        self.urls = {"WebSocket": f"{self.cluster.url.replace('http', 'ws')}/raystream", "TCP": f"tcp://127.0.0.1:{self.cluster.raystream_port}"}

    def cases(self):
        return {f"raystream, {transport}, {title}": ["--url", url, *self.arguments, "--cipher", cipher]
                for transport, url in self.urls.items() for cipher, title in CIPHERS.items()}

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.cluster.__exit__()


def certificate(directory):
    pair = [pathlib.Path(directory) / "certificate.pem", pathlib.Path(directory) / "key.pem"]
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2", "-subj",
                    "/CN=localhost", "-out", pair[0], "-keyout", pair[1]], check=True, capture_output=True)
    return pair


@contextlib.contextmanager
def servers():
    """{case: (arguments of call_load, the server's processes)}, all of them up."""
    with contextlib.ExitStack() as stack:
        directory = stack.enter_context(tempfile.TemporaryDirectory(prefix="raymesh-bench-"))
        pair = certificate(directory)
        plain, tls, proxy = free_port(), free_port(), free_port()
        echo = stack.enter_context(Peer("ws_echo", [BIN / "ws_echo", plain, ANSWER], plain, wait_for="ready"))
        node = stack.enter_context(Peer("ws", ["node", PEERS / "ws_echo.mjs", tls, *pair, ANSWER], tls, wait_for="ready"))
        nginx = stack.enter_context(Peer("nginx", ["nginx", "-c", filled("tls_proxy.conf.in", directory, PORT=proxy, TO=plain, DIR=directory),
                                                   "-p", directory], proxy))
        raystream = stack.enter_context(Raystream())
        yield {"plain WebSocket": (["--url", f"ws://127.0.0.1:{plain}/"], echo.pids),
               **{name: (arguments, raystream.pids) for name, arguments in raystream.cases().items()},
               "npm ws, TLS 1.3": (["--url", f"wss://127.0.0.1:{tls}/"], node.pids),
               "nginx, TLS 1.3, before the plain WebSocket": (["--url", f"wss://127.0.0.1:{proxy}/"], nginx.pids + echo.pids)}


def calls(repeats, seconds, write_docs):
    runs = {window: {} for window in WINDOWS}
    with servers() as cases:
        for _ in range(repeats):
            for window in WINDOWS:
                for name, (arguments, pids) in cases.items():
                    runs[window].setdefault(name, []).append(quiet(lambda: load(
                        "call_load", *arguments, "--sessions", SESSIONS, "--window", window, "--bytes", CALL, "--answer", ANSWER, "--seconds", seconds,
                        pids=pids, label=name)))

    def per_cpu(window, name):
        return median(runs[window][name], "calls_per_cpu_s")
    rows = []
    for window in WINDOWS:
        for name, results in runs[window].items():
            rows.append([window, name, f"{median(results, 'calls_per_s'):,.0f}", f"{per_cpu(window, name):,.0f}", f"{per_cpu(window, name) / per_cpu(window, 'plain WebSocket'):.2f}",
                         f"{median(results, 'latency_us', 'p50'):,.0f} / {median(results, 'latency_us', 'p99'):,.0f}",
                         f"{median(results, 'server_cores'):.2f} / {median(results, 'client_cores'):.2f}"])
    text = (f"{CALL} bytes in, {ANSWER} out, {SESSIONS} sessions of one client process, each with so many calls under way. raystream is the gateway with "
            "`raystream.echo` (rate limits, metrics and all), the plain WebSocket is its codec and I/O threads with an echo above them; a proxy's CPU is its own and that of the "
            "server behind it.\n\n")
    text += table(["under way", "what", "calls/s", "per server-CPU-second", "beside the plain WebSocket", "p50 / p99 µs", "server / client cores"], rows)
    best = "raystream, WebSocket, AES-256-GCM"
    text += "\n\n" + "\n".join([
        goal("calls per server-CPU-second over a WebSocket beside the plain one, one under way", per_cpu(1, best) / per_cpu(1, "plain WebSocket"), 0.8, True),
        *(goal(f"the same beside {name}, {window} under way", per_cpu(window, best) / per_cpu(window, name), 1.0, True)
          for window in WINDOWS for name in ("npm ws, TLS 1.3", "nginx, TLS 1.3, before the plain WebSocket"))])
    publish("raystream.calls", "Calls over raystream (`./dev bench raystream.calls`)", text, {str(w): r for w, r in runs.items()}, write_docs)


def idle(repeats, _seconds, write_docs):
    runs = {}
    for n in range(repeats):
        for transport in ("TCP", "WebSocket"):
            def attempt():
                with Raystream() as raystream:  # afresh: the second ten thousand would find memory of the first
                    return load("call_load", "--url", raystream.urls[transport], *raystream.arguments, "--sessions", MEMBERS, "--idle", 12,
                                pids=raystream.pids, label=f"idle {transport}")
            runs.setdefault(transport, []).append(quiet(attempt))
    text = f"{MEMBERS:,} attached sessions that do nothing; what the gateway's resident memory has grown by, per session, 12 s after the last one came:\n\n"
    text += table(["over", "user memory each, bytes", "connecting and attaching, CPU µs each", "idle, cores"],
                  [[t, f"{median(r, 'resident_bytes_each'):,.0f}", f"{median(r, 'connect_cpu_us_each'):.0f}", f"{median(r, 'idle_cores'):.3f}"]
                   for t, r in runs.items()])
    text += "\n\n" + "\n".join(goal(f"user memory of an idle session over {t}, KB", median(r, "resident_bytes_each") / 1024, 12, False)
                               for t, r in runs.items())
    publish("raystream.idle", "Idle raystream sessions (`./dev bench raystream.idle`)", text, runs, write_docs)
