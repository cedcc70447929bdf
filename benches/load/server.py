"""A running server: its processes, their memory and processor time, and its responses."""

import http.client
import json
import os
import signal
import socket
import subprocess
import time
import uuid
from pathlib import Path

from peers import PEERS, Peer
from workload import ROOT, Model, Request

PROCESSORS = os.cpu_count()
TICKS = os.sysconf("SC_CLK_TCK")
START_SECONDS = 120
STOP_SECONDS = 15
RESPONSE_SECONDS = 60
FINAL_ERRORS = (415, 422, 500)
"""Statuses that a server does not return because it is still starting. After such a response, the server has failed."""


class Failure(Exception):
    """The server does not start, or sends a wrong response."""


class Server:
    def __init__(self, peer: Peer, model: Model, built: Path, scratch: Path, environments: Path):
        scratch.mkdir(parents=True, exist_ok=True)
        self.port, port2, port3 = free_ports(3)
        placeholders = {
            "port": str(self.port),
            "port2": str(port2),
            "port3": str(port3),
            "processors": str(PROCESSORS),
            "model": str(model.path),
            "name": model.name,
            "built": str(built),
            "scratch": str(scratch),
            "bin": str(environments / peer.folder / "bin"),
            **{name: str(file) for name, file in model.files.items()},
        }
        if peer.prepare:
            peer.prepare(scratch, placeholders)
        self.peer, self.model = peer, model
        self.path = peer.path.format(**placeholders)
        command = [*peer.command, *(() if model.files else peer.other_model)]
        # A process belongs to the server if it has this variable. Its parent and its session do not matter.
        self.mark = f"LOAD_BENCH={uuid.uuid4().hex}"
        variables = {name: value.format(**placeholders) for name, value in peer.variables.items()}
        search_path = f"{placeholders['bin']}:{os.environ['PATH']}"
        self.log = scratch / "log"
        with self.log.open("wb") as log:
            self.spawned = time.perf_counter()
            self.process = subprocess.Popen(
                [word.format(**placeholders) for word in command],
                env={**os.environ, **variables, "PATH": search_path, **dict([self.mark.split("=")])},
                cwd=PEERS / peer.folder,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.send_signal(signal.SIGTERM)
        deadline = time.monotonic() + STOP_SECONDS
        while self.process.poll() is None and time.monotonic() < deadline:
            time.sleep(0.05)
        while left := self.processes():
            for process in left:
                try:
                    os.kill(process, signal.SIGKILL)
                except ProcessLookupError:
                    pass
            self.process.poll()
            time.sleep(0.05)
        self.process.wait()

    def processes(self) -> list[int]:
        """Returns the IDs of all processes of the server."""
        mark = self.mark.encode()
        found = []
        for folder in Path("/proc").iterdir():
            try:
                if folder.name.isdigit() and mark in (folder / "environ").read_bytes():
                    found.append(int(folder.name))
            except OSError:
                pass
        return found

    def first_response(self, request: Request) -> float:
        """Returns the seconds from the start of the program to its first correct response."""
        pause, last = 0.0005, "no connection"
        while (since := time.perf_counter() - self.spawned) < START_SECONDS:
            if self.process.poll() is not None:
                raise Failure(f"exited with code {self.process.returncode}: {self.tail()}")
            try:
                status, response = self.send(request)
                if status == 200:
                    since = time.perf_counter() - self.spawned
                    self.check(response)
                    return since
                last = f"status {status}: {response[:200]!r}"
                if status in FINAL_ERRORS:
                    raise Failure(f"{last}; {self.tail()}")
            except (OSError, http.client.HTTPException):
                pass
            # Waits for a hundredth of the time so far, so that requests do not slow down the start.
            time.sleep(max(pause, since / 100))
        raise Failure(f"no response in {START_SECONDS} s, last {last}; {self.tail()}")

    def send(self, request: Request) -> tuple[int, bytes]:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=RESPONSE_SECONDS)
        try:
            headers = {"content-type": request.content_type, **dict(request.headers)}
            connection.request("POST", self.path, request.body, headers)
            response = connection.getresponse()
            return response.status, response.read()
        finally:
            connection.close()

    def check(self, response: bytes) -> None:
        try:
            self.model.check(*self.peer.protocol.decode(self.model, response))
        except (ValueError, LookupError, TypeError) as error:
            raise Failure(f"wrong response: {error}; {response[:200]!r}") from error

    def tail(self) -> str:
        """Returns the end of the server's log."""
        return self.log.read_text(errors="replace").strip()[-500:]

    def memory(self) -> float:
        """Returns the memory of all processes in MB. Shared memory is counted once."""
        total = 0
        for process in self.processes():
            try:
                lines = Path(f"/proc/{process}/smaps_rollup").read_text().splitlines()
                total += next(int(line.split()[1]) for line in lines if line.startswith("Pss:"))
            except (OSError, StopIteration):
                pass
        return total * 1024 / 1e6

    def processor_time(self) -> float:
        """Returns the processor time of all processes of the server, in seconds."""
        total = 0.0
        for process in self.processes():
            try:
                fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
                total += (int(fields[11]) + int(fields[12])) / TICKS
            except OSError:
                pass
        return total

    def load(self, request: Request, connections: int, seconds: float) -> dict:
        """Runs wrk. Returns wrk's figures and `others`, the fraction of the processors that other programs used."""
        body = self.log.with_name("body")
        body.write_bytes(request.body)
        command = ["wrk", "--latency", "--timeout", f"{RESPONSE_SECONDS}s", "-s", str(ROOT / "tests/load/wrk.lua")]
        command += ["-t1", f"-c{connections}", f"-d{seconds}s", f"http://127.0.0.1:{self.port}{self.path}"]
        variables = {
            "BODY": str(body),
            "CONTENT_TYPE": request.content_type,
            "HEADERS": "".join(f"{name}: {value}\n" for name, value in request.headers),
        }
        before = all_processor_time(), self.processor_time() + children_time(), time.perf_counter()
        run = subprocess.run(command, env={**os.environ, **variables}, stdout=subprocess.PIPE, text=True, check=True)
        after = all_processor_time(), self.processor_time() + children_time(), time.perf_counter()
        all_programs, own, elapsed = (b - a for a, b in zip(before, after, strict=True))
        sample = json.loads(run.stdout.splitlines()[-1])
        return {**sample, "others": max(0.0, all_programs - own) / elapsed / PROCESSORS}


def free_ports(count: int) -> list[int]:
    sockets = [socket.socket() for _ in range(count)]
    try:
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]
    finally:
        for each in sockets:
            each.close()


def all_processor_time() -> float:
    """Returns the time for which the processors have been busy since the system started, in processor seconds."""
    user, nice, system, _idle, _wait, interrupts, soft = map(
        int, Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:8]
    )
    return (user + nice + system + interrupts + soft) / TICKS


def children_time() -> float:
    """Returns the processor time of this program and of its ended children, such as wrk, in seconds."""
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system
