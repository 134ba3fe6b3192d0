"""Fan-out over WebSockets: raymesh's realtime node beside Nchan, NATS and npm ws."""
import json
import pathlib
import tempfile
import time
import urllib.request

from processes import PEERS, Cluster, Peer, cpu_seconds, free_port, load
from report import goal, median, publish, table

SUBSCRIBERS = 1000
NATS_PUBLISH = r"PUB ch{ch} {size}\r\n{payload}\r\n"


def filled(name, directory, **values):
    text = (PEERS / name).read_text()
    for key, value in values.items():
        text = text.replace(f"@{key}@", str(value))
    path = pathlib.Path(directory) / name.removesuffix(".in")
    path.write_text(text)
    return path


def nchan(directory):
    port = free_port()
    peer = Peer("nchan", ["nginx", "-c", filled("nchan.conf.in", directory, PORT=port, DIR=directory), "-p", directory], port)
    peer.subscribe = ["--url", f"ws://127.0.0.1:{port}/sub/ch{{ch}}"]
    peer.publish = ["--publish", f"http://127.0.0.1:{port}/pub/ch{{ch}}"]
    return peer


def nats(directory):
    port, tcp = free_port(), free_port()
    peer = Peer("nats", ["nats-server", "-c", filled("nats.conf.in", directory, PORT=port, TCP_PORT=tcp)], port)
    peer.subscribe = ["--nats", "--url", f"ws://127.0.0.1:{port}/"]
    peer.publish = ["--publish", f"tcp://127.0.0.1:{tcp}", "--publish-body", NATS_PUBLISH]
    return peer


def node_ws(_):
    port = free_port()
    peer = Peer("ws", ["node", PEERS / "ws_server.mjs", port], port, wait_for="ready")
    peer.subscribe = ["--url", f"ws://127.0.0.1:{port}/sub/ch{{ch}}"]
    peer.publish = ["--publish", f"ws://127.0.0.1:{port}/pub/ch0"]
    return peer


class Raymesh:
    """The realtime node of a cluster; a fresh cluster for each run, as the peers are fresh too."""

    def __init__(self, _):
        self.name = "raymesh"
        self.cluster = Cluster()
        self.pids = [self.cluster.pids["realtime"]]
        connection = self.mint("ch0")
        url = f"{connection['url']}?token={connection['token']}"
        self.subscribe = ["--url", url]
        self.publish = ["--publish", url, "--publish-body", '{"type":"publish","channel":"ch{ch}","payload":{payload}}']

    def mint(self, *channels):
        request = urllib.request.Request(
            self.cluster.url + "/api/v1/realtime/token", json.dumps({"channels": channels}).encode(),
            {"Authorization": f"Bearer {self.cluster.api_key}", "Content-Type": "application/json"})
        with urllib.request.urlopen(request, timeout=10) as reply:
            return json.load(reply)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.cluster.__exit__()


SERVERS = {"nchan": nchan, "nats": nats, "ws": node_ws, "raymesh": Raymesh}


def case(runs, name, server, seconds, *arguments, subscribers=SUBSCRIBERS):
    with tempfile.TemporaryDirectory(prefix="raymesh-bench-") as directory, SERVERS[server](directory) as peer:
        idle = "--idle" in arguments
        # The publisher is a subscriber of its own channel here and gets no echo, so it is not counted.
        result = load("ws_fanout", *peer.subscribe, *([] if idle else peer.publish), "--subscribers", subscribers,
                      *([] if idle else ["--seconds", seconds]), *arguments, pids=peer.pids, label=f"{server} {name}")
        if not idle and (result["lost"] or result["duplicates"] or result["gaps"] or result["closed"]):
            raise RuntimeError(f"{server} {name}: lost, doubled or misordered messages: {result}")
        runs.setdefault(name, {}).setdefault(server, []).append(result)


def idle_cluster(seconds=10):
    with Cluster() as cluster:
        pids = list(cluster.pids.values())
        time.sleep(3)
        before = cpu_seconds(pids)
        time.sleep(seconds)
        return (cpu_seconds(pids) - before) / seconds


def run(repeats, seconds, write_docs):
    runs = {}
    for _ in range(repeats):
        for server in SERVERS:
            case(runs, "window 1", server, seconds, "--window", 1)
            if server != "nchan":  # one HTTP publisher has one message in flight, whatever the window
                case(runs, "window 16", server, seconds, "--window", 16)
                case(runs, "window 64", server, seconds, "--window", 64)
            case(runs, "latency", server, seconds, "--rate", 1000, subscribers=100)
    for server in SERVERS:
        case(runs, "idle", server, seconds, "--idle", 10, subscribers=10_000)
    report(runs, idle_cluster(), write_docs)


def report(runs, idle_cores, write_docs):
    def per_cpu(name, server):
        rows = runs[name].get(server)
        return median(rows, "deliveries_per_cpu_s") if rows else None

    rows = []
    for name in ("window 1", "window 16", "window 64"):
        for server in SERVERS:
            if server not in runs[name]:
                continue
            of = runs[name][server]
            rows.append([name, server, f"{median(of, 'deliveries_per_s'):,.0f}", f"{per_cpu(name, server):,.0f}",
                         f"{per_cpu(name, 'raymesh') / per_cpu(name, server):.2f}"])
    text = f"One channel, {SUBSCRIBERS} subscribers, 128-byte messages, one publisher, so many messages outstanding:\n\n"
    text += table(["case", "server", "deliveries/s", "per server-CPU-second", "raymesh is x times this"], rows)
    text += "\n\n1,000 messages/s to 100 subscribers, from the scheduled time:\n\n"
    text += table(["server", "p50 ms", "p99 ms", "server cores"], [
        [s, f"{median(r, 'latency_us', 'p50') / 1000:.2f}", f"{median(r, 'latency_us', 'p99') / 1000:.2f}", f"{median(r, 'server_cores'):.2f}"]
        for s, r in runs["latency"].items()])
    text += "\n\n10,000 idle connections:\n\n"
    text += table(["server", "user memory each, bytes", "connecting all, s", "idle, cores"], [
        [s, f"{median(r, 'resident_bytes_each'):,.0f}", f"{median(r, 'connect_s'):.2f}", f"{median(r, 'idle_cores'):.3f}"]
        for s, r in runs["idle"].items()])
    latency = {s: (median(r, "latency_us", "p50"), median(r, "latency_us", "p99")) for s, r in runs["latency"].items()}
    text += "\n\n" + "\n".join([
        goal("per CPU-second beside NATS, 16 outstanding", per_cpu("window 16", "raymesh") / per_cpu("window 16", "nats"), 1.5, True),
        goal("per CPU-second beside NATS, 64 outstanding", per_cpu("window 64", "raymesh") / per_cpu("window 64", "nats"), 1.2, True),
        goal("per CPU-second beside Nchan, 1 outstanding", per_cpu("window 1", "raymesh") / per_cpu("window 1", "nchan"), 1.0, True),
        goal("p50 beside Nchan's", latency["raymesh"][0] / latency["nchan"][0], 1.0, False),
        goal("p99 beside Nchan's", latency["raymesh"][1] / latency["nchan"][1], 1.0, False),
        goal("user memory of an idle connection, KB", median(runs["idle"]["raymesh"], "resident_bytes_each") / 1024, 6, False),
        goal("an idle cluster, % of a core, all services", idle_cores * 100, 0.5, False),
    ])
    publish("fanout", "Fan-out (`./dev bench fanout`)", text, {**runs, "idle_cluster_cores": idle_cores}, write_docs)
