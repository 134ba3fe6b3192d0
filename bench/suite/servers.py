"""What realtime is measured on: raymesh's realtime node and its peers. Each knows its processes, and how ws_fanout subscribes to
it and publishes."""
import json
import pathlib
import urllib.request

from processes import PEERS, Cluster, Peer, free_port

NATS_PUBLISH = r"PUB ch{ch} {size}\r\n{payload}\r\n"
RAYMESH_PUBLISH = '"channel":"ch{ch}","payload":{payload}}'
TOKEN_CHANNELS = 100  # what one token may grant by default


def filled(name, directory, **values):
    text = (PEERS / name).read_text()
    for key, value in values.items():
        text = text.replace(f"@{key}@", str(value))
    path = pathlib.Path(directory) / name.removesuffix(".in")
    path.write_text(text)
    return path


class WebSocketPeer(Peer):
    """One with addresses that do not depend on how many channels there are."""

    def __init__(self, name, command, port, subscribe, publish, **more):
        super().__init__(name, command, port, **more)
        self.subscribe_with, self.publish_with = subscribe, publish

    def subscribe(self, _channels):
        return self.subscribe_with

    def publish(self, _channels):
        return self.publish_with


def nchan(directory):
    port = free_port()
    return WebSocketPeer(
        "nchan", ["nginx", "-c", filled("nchan.conf.in", directory, PORT=port, DIR=directory), "-p", directory], port,
        ["--url", f"ws://127.0.0.1:{port}/sub/ch{{ch}}"], ["--publish", f"http://127.0.0.1:{port}/pub/ch{{ch}}"])


def nats(directory):
    port, tcp = free_port(), free_port()
    return WebSocketPeer(
        "nats", ["nats-server", "-c", filled("nats.conf.in", directory, PORT=port, TCP_PORT=tcp)], port,
        ["--nats", "--url", f"ws://127.0.0.1:{port}/"], ["--publish", f"tcp://127.0.0.1:{tcp}", "--publish-body", NATS_PUBLISH])


def mosquitto(directory):
    port, tcp = free_port(), free_port()
    return WebSocketPeer(
        "mosquitto", ["mosquitto", "-c", filled("mosquitto.conf.in", directory, PORT=port, TCP_PORT=tcp)], port,
        ["--mqtt", "--url", f"ws://127.0.0.1:{port}/"], ["--publish", f"mqtt://127.0.0.1:{tcp}"])


def node_ws(_):
    port = free_port()
    url = f"127.0.0.1:{port}"
    peer = WebSocketPeer("ws", ["node", PEERS / "ws_server.mjs", port], port, ["--url", f"ws://{url}/sub/ch{{ch}}"], None, wait_for="ready")
    # One of its publishing sockets is for one channel.
    peer.publish = lambda channels: ["--publish", f"ws://{url}/pub/ch0" if channels == 1 else f"http://{url}/pub/ch{{ch}}"]
    return peer


class Raymesh:
    """The realtime nodes of a cluster; a fresh cluster, as the peers are fresh too."""

    def __init__(self, directory, **cluster):
        self.name = "raymesh"
        self.directory = pathlib.Path(directory)
        self.cluster = Cluster(**cluster)
        self.nodes = self.cluster.realtime_urls
        self.pids = [pid for name, pid in self.cluster.pids.items() if name.startswith("realtime")]
        self.key_header = f"Authorization: Bearer {self.cluster.api_key}"

    def token(self, *channels):
        request = urllib.request.Request(
            self.cluster.url + "/api/v1/realtime/token", json.dumps({"channels": channels}).encode(),
            {"Authorization": f"Bearer {self.cluster.api_key}", "Content-Type": "application/json"})
        with urllib.request.urlopen(request, timeout=10) as reply:
            return json.load(reply)["token"]

    def write_lines(self, name, lines):
        path = self.directory / name
        path.write_text("\n".join(lines) + "\n")
        return path

    def subscribe(self, channels):
        """Everybody has one channel; on several nodes, equally many of each channel are on each."""
        tokens = [self.token(f"ch{n}") for n in range(channels)]
        return ["--url-file", self.write_lines("subscribe", [f"{node}?token={token}" for node in self.nodes for token in tokens])]

    def publish(self, channels):
        """A socket must hold the channels that it publishes to: at most as many as a token grants, and the equal runs that ws_fanout
        gives to each. It subscribes to them, too, and gets no echo: it is not counted."""
        sockets = -(-channels // TOKEN_CHANNELS)
        first = [-(-n * channels // sockets) for n in range(sockets + 1)]
        runs = [range(*run) for run in zip(first, first[1:])]
        urls = [f"{self.nodes[0]}?token={self.token(*(f'ch{n}' for n in run))}" for run in runs]
        return ["--publish-file", self.write_lines("publish", urls), "--publish-body", '{"type":"publish",' + RAYMESH_PUBLISH]

    def publish_over_http(self, _channels):
        return ["--publish", self.cluster.url + "/api/v1/realtime/publish", "--publish-header", self.key_header,
                "--publish-header", "Content-Type: application/json", "--publish-body", "{" + RAYMESH_PUBLISH]

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.cluster.__exit__()


SERVERS = {"nchan": nchan, "nats": nats, "mosquitto": mosquitto, "ws": node_ws, "raymesh": Raymesh}
