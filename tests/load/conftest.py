"""Long or short, the table of what was measured, and the model that takes long."""

import resource

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
    """A test measures all it has to before a figure that misses its target fails it. Where it is run
    again, what it found before does not count."""
    figures = pyfuncitem.config.stash[FIGURES]
    figures[:] = [row for row in figures if row[1] != pyfuncitem.name]
    result = yield
    missed = [
        f"{promise}: expected {target}, but found {found}"
        for promise, test, found, target, met in figures
        if test == pyfuncitem.name and not met
    ]
    assert not missed, "\n".join(missed)
    return result


def pytest_terminal_summary(terminalreporter, config):
    rows = [HEADINGS] + [(*row[:4], "met" if row[4] else "MISSED") for row in config.stash[FIGURES]]
    widths = [max(len(row[column]) for row in rows) for column in range(len(HEADINGS))]
    terminalreporter.section("figures")
    for row in rows:
        terminalreporter.write_line("  ".join(cell.ljust(width) for cell, width in zip(row, widths)).rstrip())


@pytest.fixture
def figure(request):
    """Takes down a figure of the test: what is promised, what was found, the target, is it met."""

    def take_down(promise, found, target, met):
        request.config.stash[FIGURES].append((promise, request.node.name, str(found), target, bool(met)))

    return take_down


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
