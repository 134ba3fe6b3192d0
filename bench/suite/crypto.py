"""What the primitives of libs/crypto cost, each beside the library that was not taken for it (bench/micro/crypto_bench.cpp)."""
import json
import subprocess

from processes import ROOT
from report import publish, table


def micro(program, repeats, seconds, chosen="."):
    """{name: nanoseconds of CPU}, medians of the repeats."""
    text = subprocess.run(
        [ROOT / "build" / "release" / "bin" / program, f"--benchmark_filter={chosen}", f"--benchmark_min_time={seconds}",
         f"--benchmark_repetitions={max(repeats, 2)}", "--benchmark_report_aggregates_only=true", "--benchmark_format=json"],
        check=True, capture_output=True, text=True).stdout
    return {b["run_name"]: b["cpu_time"] for b in json.loads(text)["benchmarks"] if b["aggregate_name"] == "median"}


def run(repeats, seconds, write_docs):
    times = micro("crypto_bench", repeats, 0.02 * seconds)
    sizes = [64, 200, 1024, 2048, 4096, 16384, 1048576]
    rows = []
    for cipher in "chacha20", "gcm":
        for label, name in ((f"{cipher}, as taken", f"aead/{cipher}_seal"), ("sodium", f"aead/{cipher}_seal_sodium"),
                            ("OpenSSL, key per call", f"aead/{cipher}_seal_openssl"),
                            ("OpenSSL, context that keeps its key", f"openssl_context/{cipher}"), ("opening, as taken", f"aead/{cipher}_open")):
            rows.append([label] + [f"{times[f'{name}/{size}']:,.0f}" for size in sizes])
    other = [["X25519, key", "x25519_key", "x25519_key_openssl"], ["X25519, shared secret", "x25519_shared", "x25519_shared_openssl"],
             ["Ed25519, sign", "ed25519_sign", "ed25519_openssl/sign"], ["Ed25519, verify", "ed25519_verify", "ed25519_openssl/verify"],
             ["SHA-256, 32 bytes", "sha256/32", "sha256_sodium/32"], ["SHA-256, 300 bytes", "sha256/300", "sha256_sodium/300"],
             ["HMAC-SHA-256, 52 bytes", "hmac", "hmac_evp"]]
    text = "ns of CPU per text sealed, by its bytes:\n\n" + table(["what"] + [f"{size:,}" for size in sizes], rows)
    text += "\n\n" + table(["what", "as taken, ns", "the other way, ns"],
                           [[label, f"{times[taken]:,.0f}", f"{times[left]:,.0f}"] for label, taken, left in other])
    publish("crypto", "Primitives (`./dev bench crypto`)", text, times, write_docs)
