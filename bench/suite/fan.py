"""One measured run of ws_fanout, and the rows that are made of several. A run that others on the machine disturbed is repeated."""
import contextlib
import os
import tempfile

from processes import load, move_to
from report import median, quiet
from servers import SERVERS

SUBSCRIBERS = 1000
FAULTS = ("lost", "duplicates", "reordered", "closed")


@contextlib.contextmanager
def started(server, **options):
    with tempfile.TemporaryDirectory(prefix="raymesh-bench-") as directory, SERVERS[server](directory, **options) as running:
        yield running


def fan(runs, name, server, running, *arguments, subscribers=SUBSCRIBERS, channels=1, seconds=4, publish=None, pids=None):
    """Adds one run to runs[name][server]."""
    command = [*running.subscribe(channels), *(publish or running.publish(channels)), "--subscribers", subscribers, "--channels", channels,
               "--seconds", seconds, *arguments]
    result = quiet(lambda: load("ws_fanout", *command, pids=pids or running.pids, label=f"{server} {name}"))
    runs.setdefault(name, {}).setdefault(server, []).append(result)
    return result


def hold(name, server, running, seconds, *arguments, subscribers):
    """The same without a publisher: connections that only are there. The client has the last core for itself: Linux otherwise likes to
    run both ends of a loopback connection on one core, or not, by chance, and that decides how long connecting takes."""
    cores = sorted(os.sched_getaffinity(0))
    move_to(cores[:-1] or cores, running.pids)
    return load("ws_fanout", *running.subscribe(1), "--subscribers", subscribers, "--idle", seconds, *arguments, pids=running.pids,
                label=f"{server} {name}", cores=cores[-1:])


def per_cpu(runs, name, server):
    return median(runs[name][server], "deliveries_per_cpu_s")


def ratio(runs, name, server, *path, of="raymesh"):
    """raymesh beside a peer, of the medians."""
    path = path or ("deliveries_per_cpu_s",)
    return median(runs[name][of], *path) / median(runs[name][server], *path)


def faults(rows):
    return [sum(row[fault] for row in rows) for fault in FAULTS]


def faults_of(runs, server="raymesh"):
    return sum(sum(faults(rows)) for servers in runs.values() for rows in [servers.get(server, [])] if rows and "lost" in rows[0])


FAN_HEADER = ["case", "server", "deliveries/s", "per server-CPU-second", "raymesh is x times this", "server / receiver cores",
              "lost / doubled / misordered"]


def fan_row(runs, name, server):
    rows = runs[name][server]
    return [name, server, f"{median(rows, 'deliveries_per_s'):,.0f}", f"{per_cpu(runs, name, server):,.0f}", f"{ratio(runs, name, server):.2f}",
            f"{median(rows, 'server_cores'):.2f} / {median(rows, 'receiver_cores'):.2f}", " / ".join(str(n) for n in faults(rows)[:3])]
