"""What libs/raystream costs without a socket (bench/micro/raystream_bench.cpp), beside `openssl speed -evp` and its own primitives."""
import json
import re
import subprocess

from processes import ROOT
from report import goal, publish, table

SIZES = [64, 200, 1024, 16384, 1048576]


def openssl_speed(cipher, size, seconds):
    """MB/s of blocks of this size."""
    text = subprocess.run(["openssl", "speed", "-evp", cipher, "-bytes", str(size), "-seconds", str(seconds), "-mr"],
                          check=True, capture_output=True, text=True).stdout
    return float(re.search(r"\+F:\d+:[^:]+:([\d.]+)", text).group(1)) / 1e6


def run(repeats, seconds, write_docs):
    text = subprocess.run(
        [ROOT / "build" / "release" / "bin" / "raystream_bench", f"--benchmark_min_time={0.05 * seconds}",
         f"--benchmark_repetitions={max(repeats, 2)}", "--benchmark_report_aggregates_only=true", "--benchmark_format=json"],
        check=True, capture_output=True, text=True).stdout
    medians = {b["run_name"].removesuffix("/manual_time"): b for b in json.loads(text)["benchmarks"] if b["aggregate_name"] == "median"}
    ciphers = {"chacha20": "chacha20-poly1305", "gcm": "aes-256-gcm"}
    speed = {name: openssl_speed(cipher, 16384, max(1, seconds // 2)) for name, cipher in ciphers.items()}
    small = {name: openssl_speed(cipher, 64, max(1, seconds // 2)) for name, cipher in ciphers.items()}
    rows = []
    for case in "chacha20_seal", "chacha20_open", "gcm_seal", "gcm_open":
        cells = [medians[f"frames/{case}/{size}"] for size in SIZES]
        rows.append([case.replace("_", ", ")] + [f"{c['frame_ns']:,.0f} ({c['items_per_second'] / 1e3:,.0f}k/s)" for c in cells[:3]]
                    + [f"{c['frame_ns']:,.0f} ({c['bytes_per_second'] / 1e6:,.0f} MB/s)" for c in cells[3:]])
    page = "ns of CPU per frame, by the bytes of its payload:\n\n" + table(["what"] + [f"{size:,}" for size in SIZES], rows)
    page += "\n\n`openssl speed -evp`: " + "; ".join(
        f"{cipher} {64e3 / small[name]:,.0f} ns per 64 bytes, {speed[name]:,.0f} MB/s in 16 KiB" for name, cipher in ciphers.items())
    page += ". It encrypts with one key and nonce, without additional data, and takes no tag.\n\n"

    def micros(name, field="cpu_time"):
        return medians[name][field] / 1e3
    primitives = micros("primitives")
    new = micros("server_handshake/new")
    page += table(["handshake", "CPU µs"],
                  [["server, new session", f"{new:.1f}"], ["server, resumed", f"{micros('server_handshake/resumed'):.1f}"],
                   ["of these, reading INIT", f"{micros('server_read'):.2f}"], ["client", f"{micros('client_handshake', 'real_time'):.1f}"],
                   ["two X25519, a key, a signature", f"{primitives:.1f}"]]) + "\n\n"
    for name, title in (("chacha20", "ChaCha20-Poly1305"), ("gcm", "AES-256-GCM")):
        for way in "seal", "open":
            ratio = medians[f"frames/{name}_{way}/16384"]["bytes_per_second"] / 1e6 / speed[name]
            page += goal(f"{title}, 16 KiB frames, {way}, beside openssl speed", ratio, 0.7, True) + "\n"
    page += goal("a server's handshakes per CPU-second beside two X25519, a key and a signature", primitives / new, 0.6, True)
    publish("raystream.core", "raystream without sockets (`./dev bench raystream.core`)", page, {"medians": medians, "openssl_speed_mb": speed, "openssl_speed_mb_64": small}, write_docs)
