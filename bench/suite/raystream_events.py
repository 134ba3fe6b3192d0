"""Events of a channel to 1,000 raystream sessions, encrypted for each, beside the same channel's plain WebSocket subscribers of the realtime
node, in one cluster and one run. All servers that an event passes count: the realtime node, and for raystream the gateway, too."""
import json
import urllib.request

from fan import SUBSCRIBERS, fan, faults_of, started
from report import goal, median, publish, table

WINDOWS = (1, 16, 64)


def raystream_of(running):
    """What ws_fanout needs in place of addresses."""
    request = urllib.request.Request(running.cluster.url + "/api/v1/raystream/key", headers={"Authorization": running.key_header.split(": ")[1]})
    with urllib.request.urlopen(request, timeout=10) as reply:
        key = json.load(reply)["keys"][0]
    return ["--raystream", running.cluster.raystream_port, "--raystream-key", f"{key['id']}:{key['publicKey']}", "--api-key", running.cluster.api_key,
            "--handshakes", 32]  # a gateway takes 64 strangers from an address


class Sessions:
    """The cluster's gateway and its realtime node, for raystream subscribers; the publisher is the same."""

    def __init__(self, running):
        self.running = running
        self.pids = [*running.pids, running.cluster.pids["gateway"]]

    def subscribe(self, _channels):
        return raystream_of(self.running)

    def publish(self, channels):
        return self.running.publish(channels)


def run(repeats, seconds, write_docs):
    runs = {}
    for _ in range(repeats):
        with started("raymesh") as running:
            for window in WINDOWS:
                name = f"window {window}"
                both = {"WebSocket": running, "raystream": Sessions(running)}
                for server, one in both.items():
                    fan(runs, name, server, one, "--window", window, seconds=seconds)
    rows = []
    for name, servers in runs.items():
        for server, all_runs in servers.items():
            rows.append([name, server, f"{median(all_runs, 'deliveries_per_s'):,.0f}", f"{median(all_runs, 'deliveries_per_cpu_s'):,.0f}",
                         f"{median(all_runs, 'latency_us', 'p50'):,.0f} / {median(all_runs, 'latency_us', 'p99'):,.0f}",
                         f"{median(all_runs, 'server_cores'):.2f} / {median(all_runs, 'receiver_cores'):.2f}"])
    text = f"{SUBSCRIBERS:,} subscribers of one channel, 128 bytes, one publisher on a WebSocket of the realtime node:\n\n"
    text += table(["messages under way", "subscribers", "deliveries/s", "per server-CPU-second", "p50 / p99, µs", "server / receiver cores"], rows)
    text += "\n\n" + "\n".join(
        goal(f"{name}: raystream beside plain WebSocket, deliveries per server-CPU-second",
             median(servers["raystream"], "deliveries_per_cpu_s") / median(servers["WebSocket"], "deliveries_per_cpu_s"), 0.5, True)
        for name, servers in runs.items())
    text += "\n" + goal("lost, doubled, misordered and closed, all runs", faults_of(runs, "WebSocket") + faults_of(runs, "raystream"), 0, False)
    publish("raystream.events", "Events to raystream sessions (`./dev bench raystream.events`)", text, runs, write_docs)
