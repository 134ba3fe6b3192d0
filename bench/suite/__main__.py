"""./dev bench [crypto] [raystream | raystream.PART] [request] [realtime | realtime.PART | fanout] [--repeats N] [--seconds N] [--write-docs]"""
import argparse

import crypto
import fanout
import raystream_calls
import raystream_core
import raystream_events
import raystream_resume
import realtime
import request


def raystream(*arguments):
    for part in (raystream_core.run, raystream_calls.calls, raystream_calls.idle, raystream_events.run, raystream_resume.run):
        part(*arguments)


SUITES = {"crypto": crypto.run, "raystream": raystream, "raystream.core": raystream_core.run, "raystream.calls": raystream_calls.calls,
          "raystream.idle": raystream_calls.idle, "raystream.events": raystream_events.run, "raystream.resume": raystream_resume.run, "request": request.run, "realtime": realtime.run, **{f"realtime.{name}": part for name, part in realtime.PARTS.items()},
          "fanout": fanout.run}

parser = argparse.ArgumentParser(prog="./dev bench", description="Measures raymesh beside its peers, in one run each.")
parser.add_argument("suite", nargs="*", help=f"of {', '.join(SUITES)} (the short form of realtime); none: request and realtime")
parser.add_argument("--repeats", type=int, default=3, help="runs of each case; medians are shown (3)")
parser.add_argument("--seconds", type=int, default=4, help="measured seconds of each run (4)")
parser.add_argument("--write-docs", action="store_true", help="put the tables into docs/benchmarks.md")
arguments = parser.parse_args()
for name in arguments.suite:
    if name not in SUITES:
        parser.error(f"unknown suite '{name}', there are {', '.join(SUITES)}")
for name in arguments.suite or ("request", "realtime"):
    SUITES[name](arguments.repeats, arguments.seconds, arguments.write_docs)
