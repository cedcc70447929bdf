"""The server and its clients: a process, raw connections, wrk."""

import json
import os
import re
import signal
import socket
import struct
import subprocess
import tempfile
import threading
import time
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
BINARY = Path(os.environ["SERVER_BINARY"]).resolve()
HOST = "127.0.0.1"
THREADS = os.cpu_count()
# Maximum time in seconds that a test waits for an event. A test that waits longer fails.
PATIENCE = 60

ROW = {"age": 21, "new_user": 1, "total_pages_visited": 14}
SLOW_ROW = {"x0": 1, "x1": 2, "x2": 3}

JSON = "application/json"
PROBLEM = "application/problem+json"


class Server:
    """A server process. `stop` asserts that the server had no panic and exits with code 0. `kill` asserts nothing."""

    def __init__(self, log, *arguments, model=None, environment=None, prefix=()):
        command = [*prefix, BINARY, "serve", "--host", HOST, "--port", "0", *arguments]
        if model:
            command += ["--model", model]
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("ML_APP_")}
        self.log = log
        with log.open("wb") as stderr:
            self.process = subprocess.Popen(
                [str(word) for word in command], stderr=stderr, env={**inherited, **(environment or {})}
            )
        self.port = self._port()

    def _port(self):
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline and self.process.poll() is None:
            found = re.search(r"http://127\.0\.0\.1:(\d+)", self.log.read_text())
            if found:
                return int(found[1])
            time.sleep(0.02)
        self.kill()
        raise AssertionError(f"the server does not start: {self.log.read_text()}")

    @property
    def pid(self):
        return self.process.pid

    @property
    def url(self):
        return f"http://{HOST}:{self.port}"

    def stop(self):
        if self.process.returncode == 0:
            return
        assert self.process.poll() is None, f"the server has exited: {self.log.read_text()}"
        assert self.metric("ml_app_panics_total") == 0, self.log.read_text()
        self.process.send_signal(signal.SIGTERM)
        assert self.process.wait(PATIENCE) == 0, self.log.read_text()

    def kill(self):
        self.process.kill()
        self.process.wait()

    def connect(self, timeout=PATIENCE):
        return Connection(self.port, timeout)

    def send(self, method, path, body=b"", timeout=PATIENCE, **headers):
        with self.connect(timeout) as connection:
            connection.send(request(method, path, body, **headers))
            return connection.response(method)

    def predict(self, rows=None, timeout=PATIENCE, **headers):
        return self.send("POST", "/predict", as_json(ROW if rows is None else rows), timeout, **headers)

    def metric(self, family, **labels):
        """Returns the sum of the samples of a metric that have these labels."""
        text = self.send("GET", "/metrics").body.decode()
        samples = re.findall(rf"^{family}(?:\{{(.*)\}})? (\S+)$", text, re.MULTILINE)
        wanted = {f'{name}="{value}"' for name, value in labels.items()}
        return sum(float(value) for found, value in samples if all(label in found for label in wanted))

    def status(self, name):
        """Returns a value of /proc/PID/status, in bytes."""
        text = Path(f"/proc/{self.pid}/status").read_text()
        return int(re.search(rf"^{name}:\s+(\d+) kB$", text, re.MULTILINE)[1]) * 1024

    def processor_seconds(self):
        """Returns the processor time that all threads have used so far. Unlike the elapsed time, it does not depend on the
        load of the machine."""
        fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def descriptors(self):
        return len(os.listdir(f"/proc/{self.pid}/fd"))


def request(method, path, body=b"", **headers):
    """Returns the bytes of a request. In the names of headers, `_` stands for `-`."""
    fields = {"host": "localhost", **{name.replace("_", "-"): value for name, value in headers.items()}}
    if body or method == "POST":
        fields = {"content-type": JSON, "content-length": len(body), **fields}
    head = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
    return f"{method} {path} HTTP/1.1\r\n{head}\r\n".encode() + body


def as_json(value):
    return json.dumps(value).encode()


class Closed(Exception):
    """The server closed the connection before a response began."""


class Response:
    def __init__(self, status, headers, body):
        self.status, self.headers, self.body = status, headers, body

    def __repr__(self):
        return f"{self.status} {self.headers} {self.body[:300]!r}"

    def json(self):
        return json.loads(self.body)

    def is_problem(self):
        """Returns whether this is an error in the format of `/predict`: problem details (RFC 9457)."""
        if self.headers.get("content-type") != PROBLEM:
            return False
        problem = self.json()
        texts = problem.get("title"), problem.get("detail")
        return problem.get("status") == self.status and all(isinstance(text, str) and text for text in texts)

    def is_plain(self):
        """Returns whether this is an error in the format of the inference protocols: `{"error": "…"}`."""
        if self.headers.get("content-type") != JSON:
            return False
        error = self.json()
        return list(error) == ["error"] and isinstance(error["error"], str) and error["error"] != ""

    def is_error_of(self, path):
        first = re.split("[?#]", path)[0].split("/")[1:2]
        return self.is_plain() if first in (["v1"], ["v2"], ["invocations"], ["ping"]) else self.is_problem()

    def has_retry_after(self):
        """Returns whether this is a 503 whose `Retry-After` is a number of seconds."""
        return self.status == 503 and self.headers.get("retry-after", "").isdigit()


class Connection:
    """A connection whose responses are parsed strictly."""

    def __init__(self, port, timeout=PATIENCE):
        self.socket = socket.create_connection((HOST, port), timeout)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.file = self.socket.makefile("rb")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        self.file.close()
        self.socket.close()

    def reset(self):
        """Closes the connection with RST instead of FIN."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.close()

    def send(self, data):
        self.socket.sendall(data)

    def response(self, method="GET"):
        """Returns the next response. Skips interim responses (status 1xx)."""
        while True:
            try:
                line = self.file.readline()
            except ConnectionResetError as error:
                raise Closed from error
            if not line:
                raise Closed
            status = re.fullmatch(rb"HTTP/1\.[01] (\d{3}) [^\r\n]*\r\n", line)
            assert status, f"no status line: {line!r}"
            headers = {}
            while (field := self._line()) != b"":
                name, value = field.split(b":", 1)
                headers[name.decode().lower()] = value.strip().decode("latin-1")
            if (status := int(status[1])) >= 200:
                return Response(status, headers, self._body(method, status, headers))

    def _line(self):
        line = self.file.readline()
        assert line.endswith(b"\r\n"), f"no line: {line!r}"
        return line[:-2]

    def _body(self, method, status, headers):
        if method == "HEAD" or status in (204, 304):
            return b""
        if headers.get("transfer-encoding") == "chunked":
            body = b""
            while size := int(self._line(), 16):
                body += self._exactly(size)
                assert self._line() == b""
            assert self._line() == b""
            return body
        if "content-length" in headers:
            return self._exactly(int(headers["content-length"]))
        return self.file.read()

    def _exactly(self, size):
        body = self.file.read(size)
        assert len(body) == size, f"expected {size} bytes, found {len(body)}"
        return body

    def is_closed(self, seconds=PATIENCE):
        """Returns whether the server closes the connection without sending another byte."""
        self.socket.settimeout(seconds)
        try:
            return self.socket.recv(1) == b""
        except ConnectionResetError:
            return True
        except TimeoutError:
            return False


def wrk(server, seconds, connections, rows, path="/predict", threads=1):
    """Runs wrk; the body of each request is `rows` as JSON. Returns the figures that wrk.lua prints."""
    command = ["wrk", "--latency", "--timeout", f"{PATIENCE}s", "-s", HERE / "wrk.lua"]
    command += [f"-d{seconds}s", f"-c{connections}", f"-t{threads}", server.url + path]
    with tempfile.NamedTemporaryFile() as body:
        body.write(as_json(rows))
        body.flush()
        environment = {**os.environ, "BODY": body.name, "CONTENT_TYPE": JSON}
        done = subprocess.run(
            command, env=environment, stdout=subprocess.PIPE, check=True, timeout=seconds + PATIENCE, text=True
        )
    return json.loads(done.stdout.splitlines()[-1])


@contextmanager
def in_background(work):
    """Runs `work(stop)` on a thread while the block runs. Sets `stop` after the block, and raises an exception of `work`
    again."""
    stop, failures = threading.Event(), []

    def run():
        try:
            work(stop)
        except BaseException as failure:
            failures.append(failure)

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()
        if failures:
            raise failures[0]


def eventually(condition):
    """Waits until the condition holds. Returns false if it does not hold within `PATIENCE`."""
    deadline = time.monotonic() + PATIENCE
    while not (holds := condition()) and time.monotonic() < deadline:
        time.sleep(0.05)
    return holds


def percentile(values, percent):
    return float(np.percentile(values, percent))


def ms(seconds):
    return f"{seconds * 1e3:.1f} ms"


# The slow model turns a row into a matrix of LANES × WIDTH, and multiplies the matrix LAYERS times by the same weights.
# Arithmetic limits the speed of these products, and not memory.
LANES = 64
WIDTH = 256
LAYERS = 160


def write_slow_model(path):
    random = np.random.default_rng(0)

    def weights(name, *shape):
        values = random.standard_normal(shape) / np.sqrt(shape[0])
        return numpy_helper.from_array(values.astype(np.float32), name)

    def shape(name, *sizes):
        return numpy_helper.from_array(np.array(sizes), name)

    nodes = [
        helper.make_node("MatMul", ["x", "first"], ["wide"]),
        helper.make_node("Reshape", ["wide", "lanes"], ["h0"]),
        *(helper.make_node("MatMul", [f"h{at}", "shared"], [f"h{at + 1}"]) for at in range(LAYERS)),
        helper.make_node("ReduceMean", [f"h{LAYERS}"], ["mean"], axes=[1, 2], keepdims=0),
        helper.make_node("Reshape", ["mean", "column"], ["y"]),
    ]
    graph = helper.make_graph(
        nodes,
        "slow",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", 3])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["N", 1])],
        [
            weights("first", 3, LANES * WIDTH),
            weights("shared", WIDTH, WIDTH),
            shape("lanes", -1, LANES, WIDTH),
            shape("column", -1, 1),
        ],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)
