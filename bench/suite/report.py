"""Medians, the table a person reads, and the JSON a program reads."""
import datetime
import json
import pathlib
import re
import statistics
import subprocess

from processes import ROOT

RESULTS = ROOT / "build" / "bench"
QUIET_CORES = 0.2  # what others may take of the machine during a run
ATTEMPTS = 2


def quiet(measure):
    """The result of `measure`, again while others were busy; of those attempts the one with the least of it."""
    results = []
    while len(results) < ATTEMPTS and not (results and results[-1]["other_cores"] <= QUIET_CORES):
        results.append(measure())
    return min(results, key=lambda result: result["other_cores"])


def median(rows, *path):
    values = []
    for row in rows:
        for key in path:
            row = row[key]
        values.append(row)
    return statistics.median(values)


def table(header, rows):
    lines = ["| " + " | ".join(header) + " |", "|" + "---|" * len(header)]
    lines += ["| " + " | ".join(str(c) for c in row) + " |" for row in rows]
    return "\n".join(lines)


def goal(text, value, bound, at_least):
    met = value >= bound if at_least else value <= bound
    return f"- {'met' if met else 'MISSED'}: {text}: {value:,.2f} (goal: {'at least' if at_least else 'at most'} {bound:,.2f})"


def machine():
    model = re.search(r"model name\s*:\s*(.+)", pathlib.Path("/proc/cpuinfo").read_text()).group(1)
    cores = subprocess.run(["nproc"], capture_output=True, text=True).stdout.strip()
    return f"{cores} cores of {model}, Linux {pathlib.Path('/proc/sys/kernel/osrelease').read_text().strip()}"


def disturbed(raw):
    """How many runs there are below `raw`, and in how many of them others were busy."""
    if isinstance(raw, list):
        counts = [disturbed(item) for item in raw]
    elif isinstance(raw, dict) and "other_cores" in raw:
        return 1, int(raw["other_cores"] > QUIET_CORES)
    else:
        counts = [disturbed(item) for item in raw.values()] if isinstance(raw, dict) else []
    return sum(c[0] for c in counts), sum(c[1] for c in counts)


def publish(name, title, text, raw, write_docs):
    """Prints the text, stores the raw figures, and with --write-docs puts the text into docs/benchmarks.md."""
    stamp = datetime.date.today().isoformat()
    runs, busy = disturbed(raw)
    note = f"\nDuring {busy} of these {runs} runs others took more than {QUIET_CORES} of a core of the machine.\n" if busy else ""
    body = f"{title}, {stamp}, {machine()}\n\n{text}\n{note}"
    print(body)
    RESULTS.mkdir(parents=True, exist_ok=True)
    (RESULTS / f"{name}.json").write_text(json.dumps({"date": stamp, "machine": machine(), "runs": raw}, indent=1))
    if write_docs:
        page = ROOT / "docs" / "benchmarks.md"
        begin, end = f"<!-- {name} -->", f"<!-- /{name} -->"
        old = page.read_text()
        head, rest = old.split(begin)
        page.write_text(head + begin + "\n" + body + end + rest.split(end)[1])
