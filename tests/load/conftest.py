"""Defines the option --long, the table of figures, and fixtures that make a slow model and start servers."""

import resource
from dataclasses import astuple, dataclass

import pytest

import harness

FIGURES = pytest.StashKey()
HEADINGS = ("promise", "test", "figure", "target", "")


def pytest_addoption(parser):
    parser.addoption("--long", action="store_true", help="measure the figures that are published, and fail if any target is missed")


def pytest_configure(config):
    config.stash[FIGURES] = []
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


@pytest.hookimpl(wrapper=True)
def pytest_pyfunc_call(pyfuncitem):
    """Fails a test that missed targets. The test first measures all of its figures."""
    result = yield
    missed = [
        f"{figure.promise}: expected {figure.target}, found {figure.found}"
        for figure in pyfuncitem.config.stash[FIGURES]
        if figure.test == pyfuncitem.name and figure.verdict == "MISSED"
    ]
    assert not missed, "\n".join(missed)
    return result


def pytest_terminal_summary(terminalreporter, config):
    rows = [HEADINGS] + [tuple(map(str, astuple(figure))) for figure in config.stash[FIGURES]]
    widths = [max(len(row[column]) for row in rows) for column in range(len(HEADINGS))]
    terminalreporter.section("figures")
    for row in rows:
        terminalreporter.write_line("  ".join(cell.ljust(width) for cell, width in zip(row, widths)).rstrip())


@dataclass
class Figure:
    promise: str
    test: str
    found: object
    target: str
    verdict: str


@pytest.fixture
def figure(request):
    """Returns a function that records a figure of the test. If the target is missed, the test fails at its end."""

    def record(promise, found, target, met):
        verdict = "met" if met else "MISSED"
        request.config.stash[FIGURES].append(Figure(promise, request.node.name, found, target, verdict))

    return record


@pytest.fixture
def speed_figure(request, is_long):
    """Returns a function that records a figure that depends on the speed and the load of the machine.

    If the target is missed, the test fails only in a long run. No other program may run on the machine during a long run.
    """

    def record(promise, found, target, met):
        verdict = "met" if met else "MISSED" if is_long else "missed, not required"
        request.config.stash[FIGURES].append(Figure(promise, request.node.name, found, target, verdict))

    return record


@pytest.fixture(scope="session")
def is_long(request):
    return request.config.getoption("--long")


@pytest.fixture(scope="session")
def slow_model():
    """A model that takes about 20 ms per row. Its features are `x0`, `x1` and `x2`."""
    path = harness.ROOT / "target" / "load" / "slow.onnx"
    path.parent.mkdir(parents=True, exist_ok=True)
    harness.write_slow_model(path)
    return path


@pytest.fixture
def serve(tmp_path):
    """Returns a function that starts a server. After the test, stops all servers; each must exit with code 0."""
    servers = []

    def start(*arguments, **options):
        server = harness.Server(tmp_path / f"stderr-{len(servers)}", *arguments, **options)
        servers.append(server)
        return server

    try:
        yield start
        for server in servers:
            server.stop()
    finally:
        for server in servers:
            server.kill()
