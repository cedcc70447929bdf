"""`ml-app predict FILE --output SCORED`, killed: the file is whole, or is not there."""

import fcntl
import os
import random
import subprocess
import time

import pytest

from harness import BINARY

ROWS = 400_000


@pytest.fixture(scope="module")
def big(tmp_path_factory):
    path = tmp_path_factory.mktemp("big") / "big.csv"
    lines = (f"{18 + row % 60},{row % 2},{row % 20}\n" for row in range(ROWS))
    path.write_text("age,new_user,total_pages_visited\n" + "".join(lines))
    return path


def test_predict_is_killed(big, tmp_path, figure, is_long):
    """Each time in a folder of its own, at a moment of its own."""
    times = 50 if is_long else 8
    start = time.monotonic()
    subprocess.run(
        [BINARY, "predict", big, "--output", tmp_path / "whole.csv"], check=True, capture_output=True
    )
    whole, took = (tmp_path / "whole.csv").read_bytes(), time.monotonic() - start
    assert whole.count(b"\n") == ROWS + 1
    moments, cut, torn, wrong, left = random.Random(0), 0, 0, 0, []
    for number in range(times):
        folder = tmp_path / str(number)
        folder.mkdir()
        scored = folder / "scored.csv"
        command = [BINARY, "predict", big, "--output", scored]
        process = subprocess.Popen(command, stderr=subprocess.DEVNULL)
        time.sleep(took * moments.uniform(0.05, 0.9))
        process.kill()
        if process.wait() == -9:
            cut += 1
            torn += scored.exists() and scored.read_bytes() != whole
        subprocess.run(command, check=True, capture_output=True)
        wrong += scored.read_bytes() != whole
        left += [name for name in os.listdir(folder) if name != "scored.csv"]
    assert cut > times / 2, "it was not killed in time"
    figure(f"{cut} kills of predict: a file that is not whole", torn, "0", torn == 0)
    figure("  run again: other than 400,000 rows scored", wrong, "0", wrong == 0)
    figure("  temporary files left by both", f"{len(left)} {left[:1] or ''}".strip(), "0", not left)


def test_predict_is_killed_in_a_container(big, tmp_path, figure):
    """Where each run is process 1, as in a container, and the folder outlasts it."""
    scored = tmp_path / "scored.csv"
    alone = [
        "unshare",
        "--pid",
        "--fork",
        "--kill-child",
        *([] if os.getuid() == 0 else ["--user", "--map-root-user"]),
    ]
    command = [*alone, BINARY, "predict", big, "--output", scored]
    process = subprocess.Popen(command, stderr=subprocess.DEVNULL)
    while process.poll() is None and not os.listdir(tmp_path):
        time.sleep(0.005)
    process.kill()
    process.wait()
    assert not scored.exists(), "it was not killed in time"
    # What unshare started ends a moment after it, and has the lock of its file until then.
    for name in os.listdir(tmp_path):
        with open(tmp_path / name, "rb") as left:
            fcntl.flock(left, fcntl.LOCK_EX)
    again = subprocess.run(command, check=False, capture_output=True, text=True)
    rows = scored.read_bytes().count(b"\n") - 1 if scored.exists() else 0
    figure(
        "run again where it is always process 1",
        f"exit code {again.returncode}, {rows:,} rows",
        f"0, {ROWS:,}",
        again.returncode == 0 and rows == ROWS,
    )
