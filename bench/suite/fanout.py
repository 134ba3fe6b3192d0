"""The short form of realtime: one channel with 1,000 subscribers, latency, and idle connections."""
from realtime import channel_goals, channel_text, idle_cluster, idle_goals, idle_text, latency_goals, latency_text, measure_channel, \
    measure_idle, measure_latency, sound
from report import goal, publish

WINDOWS = (1, 16, 64)


def run(repeats, seconds, write_docs):
    fans = measure_channel(repeats, seconds, WINDOWS)
    late = measure_latency(repeats, seconds)
    connections = measure_idle(1)
    cores = idle_cluster()
    text = "\n\n".join([
        channel_text(fans, WINDOWS), latency_text(late), idle_text(connections),
        "\n".join([*channel_goals(fans), *latency_goals(late), *idle_goals(connections),
                   goal("an idle cluster, % of a core, all services", cores * 100, 0.5, False), sound({**fans, **late})])])
    publish("fanout", "Fan-out (`./dev bench fanout`)", text, {**fans, **late, **connections, "idle_cluster_cores": cores}, write_docs)
