"""Tests with full load for a long time, and with full load and little memory."""

import os
import statistics
import subprocess
import time
from contextlib import contextmanager
from pathlib import Path

import harness
from harness import ROW, wrk

CONNECTIONS = 16
CGROUPS = Path("/sys/fs/cgroup")
MEMORY = 32 * 1024 * 1024


def test_soak(serve, figure, is_long):
    seconds, settling = (600, 60) if is_long else (30, 10)
    server = serve()
    long, samples = [], []

    def send_long(stop):
        while not stop.wait(0.2):
            response = server.predict([ROW] * 1000)
            long.append(response.status == 200 and len(response.json()) == 1000)

    def watch(stop):
        start = time.monotonic()
        while not stop.wait(0.25):
            samples.append((time.monotonic() - start, server.status("VmRSS"), server.descriptors()))

    with harness.in_background(send_long), harness.in_background(watch):
        done = wrk(server, seconds, CONNECTIONS, ROW)
    settled = [sample for sample in samples if settling <= sample[0] < seconds - 0.5]
    part = len(settled) // 5
    first, last = (statistics.median(rss for _, rss, _ in some) for some in (settled[:part], settled[-part:]))
    files = [count for _, _, count in settled]
    bad = done["refused"] + done["broken"] + long.count(False)
    assert long
    figure(
        f"errors in {seconds} s of full load",
        f"{bad} of {done['requests'] + len(long):,} ({done['rate']:.0f}/s)",
        "0",
        bad == 0,
    )
    figure(
        f"  RSS after {settling} s, and at the end",
        f"{first / 1e6:.1f} MB, {last / 1e6:.1f} MB",
        "<= 10 % more",
        last <= 1.1 * first,
    )
    # In addition to the connections of wrk, there is one connection for the long bodies, or two while the client changes
    # to the next connection. The server needs two open files for a connection.
    figure("  open files", f"{min(files)} to {max(files)}", "constant", max(files) - min(files) <= 6)


@contextmanager
def memory_group():
    """Creates a control group with a limit of MEMORY and without swap.

    Yields a command that runs another command in the group, and a function that returns the group's peak in bytes
    and the number of killed processes.
    """
    name = f"ml-app-load-{os.getpid()}"
    second = (CGROUPS / "cgroup.controllers").exists()
    if second and "memory" not in (CGROUPS / "cgroup.controllers").read_text().split():
        raise AssertionError("the kernel has no memory controller for control groups")
    group = CGROUPS / name if second else CGROUPS / "memory" / name
    if not os.access(group.parent, os.W_OK):
        yield from by_systemd(name)
        return
    if second and "memory" not in (CGROUPS / "cgroup.subtree_control").read_text().split():
        (CGROUPS / "cgroup.subtree_control").write_text("+memory")
    group.mkdir()
    try:
        limits = {"memory.max": MEMORY, "memory.swap.max": 0} if second else {"memory.limit_in_bytes": MEMORY}
        for file, value in limits.items():
            if (group / file).exists() or file != "memory.swap.max":
                (group / file).write_text(str(value))
        yield ["sh", "-c", 'echo $$ >"$0/cgroup.procs" && exec "$@"', group], lambda: figures_of(group)
    finally:
        deadline = time.monotonic() + 5
        while (group / "cgroup.procs").read_text() and time.monotonic() < deadline:
            time.sleep(0.05)
        group.rmdir()


def by_systemd(name):
    """Yields the same values as `memory_group`, on systems on which only systemd may create control groups."""
    command = ["systemd-run", "--scope", "--quiet", f"--unit={name}", f"--property=MemoryMax={MEMORY}"]
    command += ["--property=MemorySwapMax=0", *(["--user"] if os.getuid() else []), "--"]
    try:
        subprocess.run([*command[:3], *command[4:], "true"], check=True, capture_output=True, text=True)
    except (OSError, subprocess.CalledProcessError) as error:
        detail = getattr(error, "stderr", "") or error
        raise AssertionError(
            f"{CGROUPS} cannot be written to, and systemd-run makes no scope: {detail}"
        ) from error
    yield command, lambda: figures_of(next(CGROUPS.rglob(f"{name}.scope")))


def figures_of(group):
    """Returns the peak in bytes (`None` if the kernel does not report it), and the number of killed processes."""

    def counted(file):
        return dict(line.split() for line in (group / file).read_text().splitlines())

    if (group / "memory.events").exists():
        kills = int(counted("memory.events")["oom_kill"])
        # The file memory.peak exists since Linux 5.19.
        peak = group / "memory.peak"
        return (int(peak.read_text()) if peak.exists() else None), kills
    peak = int((group / "memory.max_usage_in_bytes").read_text())
    return peak, int(counted("memory.oom_control")["oom_kill"])


def test_memory_limit(serve, figure, is_long, tmp_path):
    seconds = 60 if is_long else 10
    with memory_group() as (prefix, look):
        # The page cache of a file counts for the group that reads it first, so the group gets its own copy.
        copied = ["sh", "-c", 'cp "$1" "$0" && shift && exec "$0" "$@"', tmp_path / "ml-app"]
        server = serve(prefix=[*prefix, *copied])
        group = Path(f"/proc/{server.pid}/cgroup").read_text()
        assert "ml-app-load" in group, f"the server does not run in the control group: {group}"
        done = wrk(server, seconds, CONNECTIONS, ROW)
        rss = server.status("VmRSS")
        peak, kills = look()
        bad = done["refused"] + done["broken"]
        assert server.process.poll() is None and done["requests"] > 0, "the server has been killed"
        found = f"{bad} of {done['requests']:,} ({done['rate']:.0f}/s)"
        figure(f"errors in {seconds} s of full load in 32 MiB", found, "0", bad == 0)
        figure("  killed by the OOM killer", kills, "0", kills == 0)
        # The peak includes the page cache, which the kernel frees under pressure.
        figure(
            "  peak of the group, RSS",
            f"{(peak or 0) / 1e6:.1f} MB, {rss / 1e6:.1f} MB",
            "<= 33.6 MB",
            (peak or 0) <= MEMORY,
        )
        server.stop()


def test_memory_is_limited():
    """Checks that the kernel kills a process that exceeds the limit, so that `test_memory_limit` is effective."""
    with memory_group() as (prefix, look):
        take = [*prefix, "python3", "-c", f"memory = b'x' * {2 * MEMORY}"]
        code = subprocess.run([str(word) for word in take], check=False).returncode
        assert code in (-9, 137), code
