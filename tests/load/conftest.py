"""Long or short, the table of what was measured, and the model that takes long."""

import resource
from dataclasses import astuple, dataclass

import pytest

import harness

FIGURES = pytest.StashKey()
HEADINGS = ("promise", "test", "figure", "target", "")


def pytest_addoption(parser):
    parser.addoption("--long", action="store_true", help="the numbers that figures are published with")


def pytest_configure(config):
    config.stash[FIGURES] = []
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


@pytest.hookimpl(wrapper=True)
def pytest_pyfunc_call(pyfuncitem):
    """Fails a test that missed a target only after it has measured all of its figures."""
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
    """Records a figure of the test, and fails the test if the target is missed."""

    def record(promise, found, target, met):
        verdict = "met" if met else "MISSED"
        request.config.stash[FIGURES].append(Figure(promise, request.node.name, found, target, verdict))

    return record


@pytest.fixture
def speed_figure(request, is_long):
    """Records a figure that depends on the speed of the machine and on what else runs there.

    The target must be met in a long run only, which has the machine to itself.
    """

    def record(promise, found, target, met):
        verdict = "met" if met else "MISSED" if is_long else "missed, not required"
        request.config.stash[FIGURES].append(Figure(promise, request.node.name, found, target, verdict))

    return record


@pytest.fixture(scope="session")
def is_long(request):
    return request.config.getoption("--long")


@pytest.fixture(scope="session")
def heavy():
    """A model that takes some 20 ms a row; its features are `x0`, `x1`, `x2`."""
    path = harness.ROOT / "target" / "load" / "heavy.onnx"
    path.parent.mkdir(parents=True, exist_ok=True)
    harness.write_heavy(path)
    return path


@pytest.fixture
def serve(tmp_path):
    """Starts servers that must end in good order with the test."""
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
