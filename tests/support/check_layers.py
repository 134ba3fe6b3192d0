#!/usr/bin/env python3
"""Checks who includes whom (CONTRIBUTING.md, "Who may include whom").

    tests/support/check_layers.py [root]

Reads the #include lines of libs, services, apps and clients and the link edges of the CMakeLists.txt files.
Prints one line "file:line: what is wrong" per violation and ends with 1 if there is any.
"""
import fnmatch
import re
import sys
from pathlib import Path

SOURCES = {".hpp", ".cpp", ".h", ".cc"}
INCLUDE = re.compile(r'^\s*#\s*include\s*([<"])([^>"]+)[>"]')

# Makes actors and channels and hands them on, so it sees their libraries.
WIRING = ["services/*/app.hpp", "services/*/app.cpp", "apps/*"]

# Handles and values that may be used anywhere in a service: whom to send to, which thread to run on,
# what an address is.
HANDLES = ["caf/actor.hpp", "caf/actor_cast.hpp", "caf/actor_control_block.hpp", "caf/fwd.hpp",
           "boost/asio/io_context.hpp", "boost/asio/post.hpp", "boost/asio/ip/address*.hpp"]

# Each third-party library has one door: the files that may include its headers.
DOORS = [
    ("libpqxx, libpq", ["pqxx/*", "libpq-fe.h", "libpq/*", "postgresql/*"], ["libs/pg/*"]),
    ("libpg_query", ["pg_query.h", "pg_query/*"], ["services/storage/sql_splitter.cpp"]),
    ("hiredis", ["hiredis/*"], ["libs/redis/*"]),
    ("libsodium", ["sodium.h", "sodium/*"], ["libs/crypto/*"]),
    ("intel-ipsec-mb", ["intel-ipsec-mb.h"], ["libs/crypto/*"]),
    ("OpenSSL", ["openssl/*"],
     ["libs/crypto/*", "libs/net/*", "libs/pg/pipeline_connection.cpp", "clients/cpp/src/stream.hpp"]),
    ("prometheus-cpp", ["prometheus/*"], ["libs/telemetry/*"]),
    ("yaml-cpp", ["yaml-cpp/*"], ["libs/config/*"]),
    ("CAF", ["caf/*"], ["libs/actor/*", "*_actor.hpp", "*_actor.cpp", "services/*_registry.cpp", *WIRING]),
    # Only tests link gRPC's own library; the services speak it through libs/rpc.
    ("gRPC", ["grpcpp/*", "grpc/*", "*.grpc.pb.h"], []),
    ("nghttp2", ["nghttp2/*"], ["libs/rpc/http2_session.cpp"]),
    ("zlib", ["zlib.h", "zconf.h"], ["libs/net/websocket/*"]),
    ("Boost.Asio, Beast", ["boost/asio*", "boost/beast*"],
     ["libs/net/*", "libs/pg/*", "libs/redis/*", "libs/rpc/*", "libs/host/ops_server.cpp",
      "*_session.hpp", "*_session.cpp", "clients/cpp/*"]),
]

# What the published client is built on; an application's code is all that may build on the client.
CLIENT_LIBS = {"base", "crypto", "raystream"}

# Plain data without a library behind it: may be included without a link edge.
PLAIN_DATA = {"libs/rpc/credentials.hpp"}


def link_edges(root):
    """{"rpc": {"base", "proto", ...}}: the raymesh:: names that each library links, transitively."""
    edges = {}
    for cmake in root.glob("libs/*/CMakeLists.txt"):
        text = re.sub(r"#.*", "", cmake.read_text())
        names = edges.setdefault(cmake.parent.name, set())
        for call in re.findall(r"(?:raymesh_library|target_link_libraries)\s*\(([^)]*)\)", text):
            names.update(re.findall(r"raymesh::(\w+)", call))
    edges["asio"] = set()
    changed = True
    while changed:
        changed = False
        for names in edges.values():
            more = set().union(*(edges.get(n, set()) for n in names)) - names if names else set()
            if more:
                names.update(more)
                changed = True
    for names in edges.values():
        if "asio" in names:
            names.add("net_asio")  # raymesh::asio is built in libs/net but has no headers there
    return edges


def check_project_include(path, included, edges):
    """`path` and `included` are relative to the root. Returns what is wrong, or None."""
    mine, other = path.split("/"), included.split("/")
    if other[0] == "apps" and mine[0] != "apps":
        return "only apps may include apps"
    if other[0] == "clients" and mine[:2] != other[:2]:
        return "clients are for applications: nothing of raymesh may include one"
    if mine[0] == "clients" and (other[0] == "services" or (other[0] == "libs" and other[1] not in CLIENT_LIBS)):
        return f"clients may include libs/{', libs/'.join(sorted(CLIENT_LIBS))} only"
    if other[0] == "services":
        if mine[0] == "libs":
            return "a library may not include a service"
        if mine[0] == "services" and mine[1] != other[1]:
            return f"services/{mine[1]} may not include services/{other[1]}, only its proto"
    if other[0] == "libs" and mine[0] == "libs" and mine[1] != other[1]:
        if mine[1] == "base":
            return "libs/base includes nobody"
        allowed = {"base"} | edges.get(mine[1], set())
        if mine[1] != "base":
            allowed.add("telemetry")
        if mine[1] == "telemetry":
            allowed = {"base"}
        if other[1] not in allowed and included not in PLAIN_DATA:
            return (f"libs/{mine[1]} has no link edge to libs/{other[1]} "
                    f"(it may include {', '.join(sorted(a for a in allowed if a != 'net_asio'))})")
    return None


def check_door(path, included):
    if path.startswith("services/") and any(fnmatch.fnmatch(included, h) for h in HANDLES):
        return None
    for library, headers, doors in DOORS:
        if any(fnmatch.fnmatch(included, h) for h in headers):
            if not any(fnmatch.fnmatch(path, d) for d in doors):
                return f"{library} is included through {', '.join(doors) or 'tests'} only"
    return None


def violations(root):
    edges = link_edges(root)
    for folder in ("libs", "services", "apps", "clients"):
        for file in sorted((root / folder).rglob("*")):
            path = file.relative_to(root).as_posix()
            if file.suffix not in SOURCES or "/node_modules/" in path or "/tests/" in path:
                continue
            for number, line in enumerate(file.read_text().splitlines(), 1):
                match = INCLUDE.match(line)
                if not match:
                    continue
                quote, included = match.groups()
                wrong = check_door(path, included)
                if included.startswith(("libs/", "services/", "apps/", "clients/", "tests/")):
                    if included.startswith("tests/"):
                        wrong = "tests are included by tests only"
                    elif not (root / included).is_file():
                        wrong = f"there is no {included}"
                    else:
                        wrong = wrong or check_project_include(path, included, edges)
                elif quote == '"' and not included.startswith("raymesh/"):
                    wrong = wrong or f'write the path from the root, not "{included}"'
                if wrong:
                    yield f"{path}:{number}: {wrong}"


def main():
    root = Path(sys.argv[1] if len(sys.argv) > 1 else Path(__file__).parents[2]).resolve()
    found = list(violations(root))
    print("\n".join(found) if found else "layers: every include is where it belongs")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
