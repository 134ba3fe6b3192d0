#!/usr/bin/env python3
"""Checks that every header of libs, services and clients/cpp compiles on its own.

    tests/support/check_headers.py <build folder> [header ...]

A header that is the first include of the .cpp of the same name proves itself with every build. The
others are compiled here (syntax only), with the flags of a source in their folder from the build
folder's compile_commands.json.
"""
import json
import os
import re
import shlex
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
FIRST_INCLUDE = re.compile(r'^\s*#\s*include\s*[<"]([^>"]+)[>"]', re.M)


def proves_itself(header):
    source = header.with_suffix(".cpp")
    if not source.is_file():
        return False
    first = FIRST_INCLUDE.search(source.read_text())
    return first is not None and first.group(1) == header.relative_to(ROOT).as_posix()


def flags_by_folder(build):
    """{folder: (working directory, arguments without -c, -o and the source)}"""
    flags = {}
    for entry in json.loads((build / "compile_commands.json").read_text()):
        words = shlex.split(entry["command"])
        kept, skip = [], 0
        for word in words:
            if skip:
                skip -= 1
            elif word in ("-o", "-MF", "-MT", "-c"):
                skip = 1
            elif word not in ("-MD", "ccache") and not word.endswith("/ccache"):
                kept.append(word)
        folder = Path(entry["directory"], entry["file"]).resolve().parent
        # Sources of other libraries that are compiled in a folder have fewer include paths.
        if folder not in flags or len(kept) > len(flags[folder][1]):
            flags[folder] = (entry["directory"], kept)
    return flags


def flags_for(header, flags):
    folder = header.parent
    while folder != ROOT.parent:
        if folder in flags:
            return flags[folder]
        below = [f for f in flags if f.is_relative_to(folder)]
        if below:
            return flags[min(below)]
        folder = folder.parent
    raise SystemExit(f"{header}: no source near it is in compile_commands.json")


def compile_alone(header, flags):
    directory, arguments = flags_for(header, flags)
    # As an include of an empty file: GCC warns about "#pragma once" in a main file.
    command = [*arguments, "-fsyntax-only", "-include", str(header), "-x", "c++", os.devnull]
    done = subprocess.run(command, cwd=directory, capture_output=True, text=True)
    return done.stderr if done.returncode else ""


def main():
    build = Path(sys.argv[1]).resolve()
    if len(sys.argv) > 2:
        headers = [Path(h).resolve() for h in sys.argv[2:]]
    else:
        headers = [h for folder in ("libs", "services", "clients/cpp") for h in sorted((ROOT / folder).rglob("*.hpp"))]
    to_compile = [h for h in headers if not proves_itself(h)]
    flags = flags_by_folder(build)
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        results = list(pool.map(lambda h: compile_alone(h, flags), to_compile))
    failed = [(h, r) for h, r in zip(to_compile, results) if r]
    for header, errors in failed:
        print(f"{header.relative_to(ROOT)} does not compile on its own:\n{errors}\n")
    print(f"headers: {len(headers) - len(to_compile)} are their source's first include, "
          f"{len(to_compile) - len(failed)} compiled alone, {len(failed)} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
