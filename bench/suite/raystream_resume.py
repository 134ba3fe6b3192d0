"""What it costs to go on with a raystream session, beside beginning a new one in its place (bench/tools/raystream_sessions.mjs): CPU of all
services and of the Redis that keeps sessions, for one with a user and some subscriptions."""
import json
import subprocess

from processes import ROOT, Cluster
from report import goal, median, publish, table

SUBSCRIPTIONS = [0, 10, 100]
SERVICES = ["gateway", "auth", "cache", "realtime"]
COLUMNS = SERVICES + ["Redis"]


def measure(cluster, resumed, subscriptions, sessions):
    options = {"url": cluster.url, "port": cluster.raystream_port, "api_key": cluster.api_key, "resumed": resumed, "sessions": sessions,
               "subscriptions": subscriptions, "parallel": 8, "pids": {name: cluster.pids[name] for name in SERVICES} | {"Redis": cluster.redis_pids["state"]}}
    done = subprocess.run(["node", ROOT / "bench" / "tools" / "raystream_sessions.mjs", json.dumps(options)], check=True, capture_output=True, text=True)
    return json.loads(done.stdout)


def run(repeats, seconds, write_docs):
    raw, rows, totals = {}, [], {}
    for _ in range(repeats):
        with Cluster() as cluster:
            for subscriptions in SUBSCRIPTIONS:
                for resumed in False, True:
                    sessions = int(seconds * (400 if subscriptions < 100 else 50))
                    raw.setdefault(f"{'resumed' if resumed else 'new'}/{subscriptions}", []).append(measure(cluster, resumed, subscriptions, sessions))
    for subscriptions in SUBSCRIPTIONS:
        for what in "new", "resumed":
            cells = [median(raw[f"{what}/{subscriptions}"], "micros", column) for column in COLUMNS]
            totals[what, subscriptions] = sum(cells)
            rows.append([what, subscriptions] + [f"{cell:,.0f}" for cell in cells] + [f"{sum(cells):,.0f}"])
    page = "CPU µs of each service for one session: a new one is a handshake, `auth.attach` with a user's token and its SUBSCRIBEs; a resumed one a handshake and RESUME. Each is stored.\n\n"
    page += table(["session", "subscriptions"] + COLUMNS + ["together"], rows) + "\n\n"
    page += "\n".join(goal(f"a resumed session with {n} subscriptions beside a new one, CPU of all of these", totals["resumed", n] / totals["new", n], 1, False) for n in SUBSCRIPTIONS[1:])
    publish("raystream.resume", "raystream: going on with a session (`./dev bench raystream.resume`)", page, raw, write_docs)
