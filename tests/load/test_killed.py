"""Kills `ml-app predict FILE --output SCORED`, and checks that SCORED is either complete or absent."""

import fcntl
import os
import random
import subprocess

import pytest

import harness
from harness import BINARY

ROWS = 400_000


@pytest.fixture(scope="module")
def big(tmp_path_factory):
    path = tmp_path_factory.mktemp("big") / "big.csv"
    lines = (f"{18 + row % 60},{row % 2},{row % 20}\n" for row in range(ROWS))
    path.write_text("age,new_user,total_pages_visited\n" + "".join(lines))
    return path


def kill_during(command, part, scored):
    """Starts a run that reads standard input, sends it `part` of a file, and kills it.

    This function does not close the input, so the run cannot complete before it is killed. The write returns when the
    run has read all of `part`, except the bytes that are still in the pipe.
    """
    with subprocess.Popen(command, stdin=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:
        process.stdin.write(part)
        process.stdin.flush()
        assert harness.eventually(scored.with_name("scored.csv.partial").exists), "the run has not begun to write its output"
        process.kill()
        assert process.wait() == -9, "the run ended before it was killed"


def test_predict_is_killed(big, tmp_path, figure, is_long):
    """Kills several runs at random points of the input. Each run has its own folder."""
    times = 50 if is_long else 8
    subprocess.run([BINARY, "predict", big, "--output", tmp_path / "whole.csv"], check=True, capture_output=True)
    whole, content = (tmp_path / "whole.csv").read_bytes(), big.read_bytes()
    assert whole.count(b"\n") == ROWS + 1
    points = [1, *(random.Random(0).random() for _ in range(times - 1))]
    incomplete, wrong, left = 0, 0, []
    for number, point in enumerate(points):
        folder = tmp_path / str(number)
        folder.mkdir()
        scored = folder / "scored.csv"
        part = content[: int(point * len(content))]
        kill_during([BINARY, "predict", "-", "--output", scored], part, scored)
        incomplete += scored.exists()
        subprocess.run([BINARY, "predict", big, "--output", scored], check=True, capture_output=True)
        wrong += scored.read_bytes() != whole
        left += [name for name in os.listdir(folder) if name != "scored.csv"]
    figure(f"{times} kills of predict: incomplete output files", incomplete, "0", incomplete == 0)
    figure("  second run: wrong output files", wrong, "0", wrong == 0)
    figure("  temporary files after both runs", f"{len(left)} {left[:1] or ''}".strip(), "0", not left)


def test_predict_is_killed_in_a_container(big, tmp_path, figure):
    """Kills a run that is process 1, as in a container. A second run then uses the same folder."""
    scored = tmp_path / "scored.csv"
    as_process_1 = [
        "unshare",
        "--pid",
        "--fork",
        "--kill-child",
        *([] if os.getuid() == 0 else ["--user", "--map-root-user"]),
    ]
    kill_during([*as_process_1, BINARY, "predict", "-", "--output", scored], big.read_bytes(), scored)
    # The run is a child of `unshare`, and ends a moment after `unshare`. Until then it keeps the lock of its file.
    for name in os.listdir(tmp_path):
        with open(tmp_path / name, "rb") as left:
            fcntl.flock(left, fcntl.LOCK_EX)
    assert not scored.exists()
    command = [*as_process_1, BINARY, "predict", big, "--output", scored]
    again = subprocess.run(command, check=False, capture_output=True, text=True)
    rows = scored.read_bytes().count(b"\n") - 1 if scored.exists() else 0
    figure(
        "second run as process 1",
        f"exit code {again.returncode}, {rows:,} rows",
        f"0, {ROWS:,}",
        again.returncode == 0 and rows == ROWS,
    )
