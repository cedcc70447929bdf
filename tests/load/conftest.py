"""The option for long runs, the table of figures, and a slow model."""

import resource
from dataclasses import astuple, dataclass

import pytest

import harness

FIGURES = pytest.StashKey()
HEADINGS = ("promise", "test", "figure", "target", "")


def pytest_addoption(parser):
    parser.addoption("--long", action="store_true", help="measure published figures, and require all targets")


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
def slow_model():
    """A model that takes about 20 ms per row. Its features are `x0`, `x1` and `x2`."""
    path = harness.ROOT / "target" / "load" / "slow.onnx"
    path.parent.mkdir(parents=True, exist_ok=True)
    harness.write_slow_model(path)
    return path


@pytest.fixture
def serve(tmp_path):
    """Starts servers, and stops them after the test: each must exit with code 0."""
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
