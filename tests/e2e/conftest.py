"""Starts servers. The variable `SERVER_BINARY` is the path of the binary."""

import os
import re
import signal
import subprocess
import time
from contextlib import contextmanager
from pathlib import Path

import pytest
import requests

ROOT = Path(__file__).resolve().parents[2]
BINARY = os.environ.get("SERVER_BINARY", ROOT / "target" / "release" / "ml-app")
CASES = ROOT / "tests" / "cases"
# Maximum time in seconds that a test waits for an event. It is long, because the machine may be busy.
PATIENCE = 60

# The servers under test are all on this machine.
os.environ["no_proxy"] = os.environ["NO_PROXY"] = "127.0.0.1,localhost"


class Server:
    """A client of a running server."""

    def __init__(self, url):
        self.url = url
        self.session = requests.Session()
        self.document = self.send("GET", "/openapi.json").json()

    def send(self, method, path, **kwargs):
        return self.session.request(method, self.url + path, timeout=PATIENCE, **kwargs)


@contextmanager
def serve(log, model=None, *arguments):
    """Serves the model of a case, or the embedded model if `model` is `None`. Stops the server by SIGTERM, as Kubernetes
    does."""
    command = [BINARY, "serve", "--port", "0", *arguments]
    if model:
        command += ["--model", CASES / model / "model.onnx"]
    environment = {name: value for name, value in os.environ.items() if name != "RUST_LOG"}
    with log.open("wb") as stderr:
        process = subprocess.Popen(command, stderr=stderr, env=environment)
    try:
        server = Server(address(process, log))
        yield server
        server.session.close()
        process.send_signal(signal.SIGTERM)
        assert process.wait(PATIENCE) == 0, log.read_text()
    finally:
        process.kill()
        process.wait()


def address(process, log):
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline and process.poll() is None:
        found = re.search(r"listening on http://0\.0\.0\.0:(\d+)", log.read_text())
        if found:
            return f"http://127.0.0.1:{found[1]}"
        time.sleep(0.05)
    pytest.fail(f"the server does not start: {log.read_text()}")


@pytest.fixture(scope="module")
def server(request, tmp_path_factory):
    """A server of the embedded model. The decorator `serving` selects the model of a case instead."""
    model = getattr(request, "param", None)
    with serve(tmp_path_factory.mktemp("server") / "stderr", model) as running:
        yield running


def serving(*models):
    """Runs a test once for each model. `None` stands for the embedded model."""
    return pytest.mark.parametrize(
        "server", models, indirect=True, ids=[model or "embedded" for model in models]
    )
