"""Starting and stopping what is measured: the cluster, its peers, and the load tools."""
import json
import os
import pathlib
import shutil
import socket
import subprocess
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
BIN = ROOT / "build" / "release" / "bin"
PEERS = ROOT / "bench" / "peers"


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def wait_for_port(port, process, seconds=60):
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise RuntimeError(f"{process.args[0]} ended with {process.returncode}")
        with socket.socket() as s:
            if s.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.02)
    raise RuntimeError(f"nobody listens on port {port} after {seconds} s")


class Peer:
    """A server under test: a process, its port, and what else a case needs to know."""

    def __init__(self, name, command, port=None, cwd=None, wait_for=None, log=None):
        self.name = name
        self.port = port
        self.lines = []
        self.process = subprocess.Popen(
            [str(c) for c in command], cwd=cwd, text=True,
            stdout=subprocess.PIPE if wait_for else (log or subprocess.DEVNULL), stderr=log or subprocess.DEVNULL)
        self.pids = [self.process.pid]
        if wait_for:
            for line in self.process.stdout:
                self.lines.append(line.strip())
                if line.strip() == wait_for:
                    break
            else:
                raise RuntimeError(f"{name} ended before it said '{wait_for}'")
        if port:
            wait_for_port(port, self.process)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.terminate()
        try:
            self.process.wait(20)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


class Cluster:
    """raymesh as separate processes over mTLS with its shipped defaults; only limits are raised."""

    def __init__(self, realtime_nodes=1, realtime_flags=()):
        self.directory = tempfile.mkdtemp(prefix="raymesh-bench-")
        ready = pathlib.Path(self.directory) / "ready.json"
        self.process = subprocess.Popen(
            ["node", str(ROOT / "tests" / "support" / "cluster_main.mjs"), "separate", "--ready-file", str(ready),
             "--realtime-nodes", str(realtime_nodes), *(f"--realtime-flag={flag}" for flag in realtime_flags)],
            stdin=subprocess.PIPE, stdout=subprocess.DEVNULL)
        deadline = time.monotonic() + 60
        while not ready.exists():
            if self.process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError("the cluster did not start")
            time.sleep(0.05)
        for key, value in json.loads(ready.read_text()).items():
            setattr(self, key, value)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.stdin.close()
        self.process.wait(60)
        shutil.rmtree(self.directory, ignore_errors=True)


def load(tool, *arguments, pids=(), label="", cores=None):
    """Runs one of the load tools, on these cores only if they are given, and gives its JSON line."""
    command = [str(BIN / tool), *[str(a) for a in arguments], "--label", label]
    if pids:
        command += ["--pids", ",".join(str(p) for p in pids)]
    if cores:
        command = ["taskset", "--cpu-list", ",".join(str(c) for c in cores), *command]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode != 0:
        raise RuntimeError(f"{' '.join(command)}\n{done.stdout}{done.stderr}")
    return json.loads(done.stdout)


def processes_below(pids):
    """{pid: CPU ticks} of the processes and everything below them."""
    table = {}
    for entry in pathlib.Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                fields = (entry / "stat").read_text().rsplit(")", 1)[1].split()
            except OSError:
                continue
            table[int(entry.name)] = (int(fields[1]), sum(int(f) for f in fields[11:15]))
    def below(pid):
        while pid > 1 and pid in table:
            if pid in pids:
                return True
            pid = table[pid][0]
        return False
    return {pid: ticks for pid, (_, ticks) in table.items() if below(pid)}


def cpu_seconds(pids):
    """User and system time of the processes and everything below them."""
    return sum(processes_below(pids).values()) / os.sysconf("SC_CLK_TCK")


def move_to(cores, pids):
    """Keeps the threads of the processes, and of everything below them, on these cores."""
    for pid in processes_below(pids):
        for thread in pathlib.Path(f"/proc/{pid}/task").iterdir():
            os.sched_setaffinity(int(thread.name), cores)
