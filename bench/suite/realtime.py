"""Realtime: raymesh beside Nchan, NATS, mosquitto and npm ws. Its parts are suites of their own, too: `realtime.latency`."""
import contextlib
import http.client
import json
import os
import subprocess
import threading
import time
import urllib.parse

from fan import FAN_HEADER, SUBSCRIBERS, fan, fan_row, faults_of, hold, per_cpu, ratio, started
from processes import BIN, Cluster, Peer, cpu_seconds, free_port
from report import goal, median, publish, quiet, table
from servers import SERVERS

WINDOWS = (1, 4, 16, 32, 64)
# Deliveries per server-CPU-second of uWebSockets, by messages outstanding. No package registry has it, so these are from an earlier
# sitting on the same kind of machine.
REFERENCE = {1: 220_000, 16: 1_930_000, 32: 3_380_000, 64: 440_000}
HTTP_CONNECTIONS = 8
MEMBERS = 10_000


def sound(runs):
    return goal("lost, doubled, misordered or cut, raymesh", faults_of(runs), 0, False)


# ---- one channel ----

def window_name(window, subscribers):
    return f"{window} outstanding" + ("" if subscribers == SUBSCRIBERS else f", {subscribers:,} subscribers")


def measure_channel(repeats, seconds, windows=WINDOWS, sizes=(SUBSCRIBERS,)):
    runs = {}
    for _ in range(repeats):
        for server in SERVERS:
            with started(server) as running:
                for subscribers in sizes:
                    for window in windows:
                        if server == "nchan" and window > 1:
                            continue  # its publisher has one message in flight, whatever the window
                        fan(runs, window_name(window, subscribers), server, running, "--window", window, subscribers=subscribers, seconds=seconds)
    return runs


def channel_text(runs, windows=WINDOWS, sizes=(SUBSCRIBERS,)):
    rows = []
    for subscribers in sizes:
        for window in windows:
            name = window_name(window, subscribers)
            rows += [fan_row(runs, name, server) for server in SERVERS if server in runs[name]]
            if subscribers == SUBSCRIBERS and window in REFERENCE:
                rows.append([name, "uWebSockets (reference)", "-", f"{REFERENCE[window]:,.0f}", f"{per_cpu(runs, name, 'raymesh') / REFERENCE[window]:.2f}",
                             "-", "-"])
    return (f"One channel, {' and '.join(f'{n:,}' for n in sizes)} subscribers, 128-byte messages, one publisher with so many messages outstanding. "
            + ("The rows of uWebSockets are fixed: it is in no package registry, so they come from an earlier sitting on the same kind of machine."
               if SUBSCRIBERS in sizes else "") + "\n\n" + table(FAN_HEADER, rows))


def channel_goals(runs):
    return [goal("per CPU-second beside Nchan, 1 outstanding", ratio(runs, window_name(1, SUBSCRIBERS), "nchan"), 1.15, True),
            goal("per CPU-second beside NATS, 16 outstanding", ratio(runs, window_name(16, SUBSCRIBERS), "nats"), 2.5, True),
            goal("per CPU-second beside NATS, 64 outstanding", ratio(runs, window_name(64, SUBSCRIBERS), "nats"), 2.2, True)]


def channel(repeats, seconds, write_docs):
    runs = measure_channel(repeats, seconds)
    text = channel_text(runs) + "\n\n" + "\n".join([*channel_goals(runs), sound(runs)])
    publish("realtime.channel", "One channel (`./dev bench realtime.channel`)", text, runs, write_docs)


def crowd(repeats, seconds, write_docs):
    runs = measure_channel(repeats, seconds, sizes=(10_000,))
    publish("realtime.crowd", "One channel, more subscribers (`./dev bench realtime.crowd`)", f"{channel_text(runs, sizes=(10_000,))}\n\n{sound(runs)}",
            runs, write_docs)


# ---- many channels ----

def channels(repeats, seconds, write_docs):
    """Nchan is published to over HTTP in both cases, the others over one connection each in the first."""
    many, of_each = 1000, 10
    common = {"subscribers": many * of_each, "channels": many, "seconds": seconds}
    over_http = ("--publish-connections", HTTP_CONNECTIONS, "--window", 64)
    runs = {}
    for _ in range(repeats):
        for server in SERVERS:
            with started(server) as running:
                if server in ("nchan", "ws"):
                    fan(runs, "8 HTTP publishers", server, running, *over_http, **common)
                    continue
                for window in (8, 64):
                    fan(runs, f"{window} outstanding", server, running, "--window", window, **common)
                if server == "raymesh":
                    pids = [*running.pids, running.cluster.pids["gateway"]]
                    fan(runs, "8 HTTP publishers", server, running, *over_http, publish=running.publish_over_http(many), pids=pids, **common)
    beside_nchan = {name: per_cpu(runs, name, "raymesh") / per_cpu(runs, "8 HTTP publishers", "nchan") for name in runs}
    text = (f"{many:,} channels with {of_each} subscribers each, 128-byte messages. Over a WebSocket the publisher has ten sockets, since one token grants a "
            f"hundred channels; over HTTP it has {HTTP_CONNECTIONS} connections with one message in flight on each, and the CPU of raymesh is that of the gateway "
            "and the realtime node.\n\n")
    text += table(FAN_HEADER, [fan_row(runs, name, server) for name in runs for server in SERVERS if server in runs[name]])
    text += "\n\n" + "\n".join([
        goal("per CPU-second beside Nchan, published over a WebSocket, 8 outstanding", beside_nchan["8 outstanding"], 1.4, True),
        goal("per CPU-second beside Nchan, published over a WebSocket, 64 outstanding", beside_nchan["64 outstanding"], 1.4, True),
        goal("per CPU-second beside Nchan, published over HTTP, with the gateway", beside_nchan["8 HTTP publishers"], 1.0, True),
        sound(runs)])
    publish("realtime.channels", "Many channels (`./dev bench realtime.channels`)", text, runs, write_docs)


# ---- latency ----

def measure_latency(repeats, seconds):
    runs = {}
    for _ in range(repeats):
        for server in SERVERS:
            with started(server) as running:
                fan(runs, "latency", server, running, "--rate", 1000, subscribers=100, seconds=seconds)
    return runs


def latency_text(runs):
    return "1,000 messages/s to 100 subscribers of one channel, from the scheduled time:\n\n" + table(
        ["server", "p50 ms", "p99 ms", "server cores"],
        [[s, f"{median(r, 'latency_us', 'p50') / 1000:.2f}", f"{median(r, 'latency_us', 'p99') / 1000:.2f}", f"{median(r, 'server_cores'):.2f}"]
         for s, r in runs["latency"].items()])


def latency_goals(runs):
    return [goal(f"{p} beside Nchan's", ratio(runs, "latency", "nchan", "latency_us", p), 0.9, False) for p in ("p50", "p99")]


def latency(repeats, seconds, write_docs):
    runs = measure_latency(repeats, seconds)
    text = latency_text(runs) + "\n\n" + "\n".join([*latency_goals(runs), sound(runs)])
    publish("realtime.latency", "Latency (`./dev bench realtime.latency`)", text, runs, write_docs)


# ---- connections ----

def measure_idle(repeats):
    """At rest once, since it takes long; connecting as often as all else, and all at once besides."""
    rows = {server: [] for server in SERVERS}

    def attempt(server, seconds):
        with started(server) as running:  # afresh: the second ten thousand would find memory of the first
            return hold("connect", server, running, seconds, subscribers=MEMBERS)

    for n in range(repeats):
        for server in SERVERS:
            rows[server].append(quiet(lambda: attempt(server, 5 if n == 0 else 1)))
    return {"connect": rows}


def idle_text(runs):
    first = {server: rows[0] for server, rows in runs["connect"].items()}
    return f"{MEMBERS:,} idle connections. Connecting: 256 handshakes at a time, the client on a core of its own:\n\n" + table(
        ["server", "user memory each, bytes", "connecting all, s", "CPU each, µs", "idle, cores"],
        [[s, f"{median(r, 'resident_bytes_each'):,.0f}", f"{median(r, 'connect_s'):.2f}", f"{median(r, 'connect_cpu_us_each'):.1f}",
          f"{first[s]['idle_cores']:.3f}"] for s, r in runs["connect"].items()])


def read_presence(repeats):
    """Median milliseconds of one read of 10,000 members through the gateway, one after another."""
    with started("raymesh") as running:
        holder = {}
        thread = threading.Thread(target=lambda: holder.update(hold("presence", "raymesh", running, 6, subscribers=MEMBERS)))
        thread.start()
        connection = http.client.HTTPConnection(urllib.parse.urlsplit(running.cluster.url).netloc)

        def read():
            start = time.perf_counter()
            connection.request("GET", "/api/v1/realtime/channels/ch0/presence", headers=dict([running.key_header.split(": ")]))
            body = connection.getresponse().read()
            return body, (time.perf_counter() - start) * 1000

        deadline = time.monotonic() + 60
        while len(json.loads(read()[0])["presence"]) < MEMBERS:
            if time.monotonic() > deadline:
                raise RuntimeError(f"presence never had {MEMBERS} members")
            time.sleep(0.05)
        times = []
        for _ in range(20 * repeats):
            body, milliseconds = read()
            times.append({"ms": milliseconds, "bytes": len(body)})
        thread.join()
        if not holder or len(json.loads(body)["presence"]) != MEMBERS:
            raise RuntimeError("members left while presence was read")
        return times


def idle_cluster(seconds=10):
    with Cluster() as cluster:
        pids = list(cluster.pids.values())
        time.sleep(3)
        before = cpu_seconds(pids)
        time.sleep(seconds)
        return (cpu_seconds(pids) - before) / seconds


def idle_goals(runs, most_kb=3):
    return [goal("user memory of an idle connection, KB", median(runs["connect"]["raymesh"], "resident_bytes_each") / 1024, most_kb, False)]


def idle(repeats, _seconds, write_docs):
    runs = measure_idle(repeats)
    presence = read_presence(repeats)
    cores = idle_cluster()
    text = idle_text(runs) + "\n\n" + "\n".join([
        *idle_goals(runs),
        goal(f"reading the presence of {MEMBERS:,} members through the gateway, ms ({presence[0]['bytes']:,} bytes)", median(presence, "ms"), 20, False),
        goal(f"connecting {MEMBERS:,}, time beside Nchan's", ratio(runs, "connect", "nchan", "connect_s"), 1.0, False),
        goal("an idle cluster, % of a core, all services", cores * 100, 0.5, False)])
    publish("realtime.idle", "Connections (`./dev bench realtime.idle`)", text, {**runs, "presence": presence, "idle_cluster_cores": cores}, write_docs)


# ---- several nodes ----

def redis():
    port = free_port()
    peer = Peer("redis", ["redis-server", "--port", port, "--save", "", "--appendonly", "no"], port)
    peer.url = f"redis://127.0.0.1:{port}"
    return peer


def input_bytes(peer):
    info = subprocess.run(["redis-cli", "-p", str(peer.port), "info", "stats"], capture_output=True, text=True, check=True).stdout
    return int(info.split("total_net_input_bytes:")[1].split()[0])


@contextlib.contextmanager
def with_broker(nodes, primaries):
    """Realtime nodes, joined by so many Redis primaries; none: the memory broker. Several nodes share the cores that one would have
    for itself, as many threads in all."""
    with contextlib.ExitStack() as stack:
        stores = [stack.enter_context(redis()) for _ in range(primaries)]
        flags = ["--broker", "redis", "--state-url", ",".join(s.url for s in stores)] if stores else []
        if nodes > 1:
            flags += ["--threads", max(1, os.cpu_count() // nodes)]
        running = stack.enter_context(started("raymesh", realtime_nodes=nodes, realtime_flags=flags))
        running.pids += [pid for s in stores for pid in s.pids]
        yield running, stores


def broker(repeats, seconds, write_docs):
    options = subprocess.run([BIN / "raymesh-realtime", "--help"], capture_output=True, text=True).stdout
    if "--broker" not in options:
        print("realtime.broker: raymesh-realtime has no --broker yet: nothing to measure\n")
        return
    forms = {"one node, memory broker": (1, 0), "one node, Redis broker": (1, 1), "two nodes, Redis broker": (2, 1)}
    runs, shares = {}, []
    for _ in range(repeats):
        for name, (nodes, primaries) in forms.items():
            with with_broker(nodes, primaries) as (running, _stores):
                fan(runs, name, "raymesh", running, "--window", 16, seconds=seconds)
    spread_channels, primaries = 128, 3
    with with_broker(2, primaries) as (running, stores):
        before = [input_bytes(s) for s in stores]
        fan(runs, "128 channels, three primaries", "raymesh", running, "--window", 16, subscribers=2 * spread_channels, channels=spread_channels,
            seconds=seconds)
        taken = [input_bytes(s) - b for s, b in zip(stores, before)]
        shares = [t * primaries / sum(taken) for t in taken]
    memory, single, double = (per_cpu(runs, name, "raymesh") for name in forms)
    text = (f"One channel, {SUBSCRIBERS:,} subscribers, 16 messages outstanding; the CPU is that of all nodes and of Redis. Two nodes have half the threads each. "
            f"{spread_channels} channels over {primaries} primaries: each takes {', '.join(f'{s:.2f}' for s in shares)} times an equal share of the bytes.\n\n"
            + table(FAN_HEADER, [fan_row(runs, name, "raymesh") for name in runs]) + "\n\n" + "\n".join([
                goal("two nodes beside one, both with Redis, per CPU-second", double / single, 0.9, True),
                goal("two nodes with Redis beside one with the memory broker, per CPU-second", double / memory, 0.8, True),
                goal("the largest share of a primary", max(shares), 1.2, False),
                goal("the smallest share of a primary", min(shares), 0.8, True),
                sound(runs)]))
    publish("realtime.broker", "Several nodes (`./dev bench realtime.broker`)", text, {**runs, "shares": shares}, write_docs)


PARTS = {"channel": channel, "crowd": crowd, "channels": channels, "latency": latency, "idle": idle, "broker": broker}


def run(repeats, seconds, write_docs):
    for part in PARTS.values():
        part(repeats, seconds, write_docs)
